//! Conditions on events.

use super::foreign::Foreign;

/// A condition on events: an event matches if it is among `events`, is in a stream with the id
/// `stream_id` where there is one, and has all of `tags`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryItem {
    /// The events: pairs of a decider and the name of its event; at least one.
    pub events: Vec<(String, String)>,
    /// The id of the stream. It MUST be given where `tags` is empty.
    pub stream_id: Option<String>,
    /// The labels that an event needs, all of them.
    pub tags: Vec<String>,
}

impl QueryItem {
    /// All events of `E` in the streams with this id.
    #[must_use]
    pub fn of_stream<E: Foreign>(stream_id: &str) -> Self {
        Self {
            events: events::<E>(),
            stream_id: Some(stream_id.to_owned()),
            tags: Vec::new(),
        }
    }

    /// All events of `E` with this label.
    #[must_use]
    pub fn of_tag<E: Foreign>(tag: &str) -> Self {
        Self {
            events: events::<E>(),
            stream_id: None,
            tags: vec![tag.to_owned()],
        }
    }
}

/// A view or a process that can say which events a row or an instance follows from. With
/// `key = …`, or with a function `sources` in the block, the attribute of the module implements it.
pub trait Sources {
    /// The conditions of which an event has to match at least one.
    ///
    /// An event MUST match if and only if `keys` names `key` for it.
    fn sources(key: &str) -> Vec<QueryItem>;
}

fn events<E: Foreign>() -> Vec<(String, String)> {
    let reads = E::reads().into_iter();
    reads
        .map(|read| (read.decider.to_owned(), read.event.to_owned()))
        .collect()
}
