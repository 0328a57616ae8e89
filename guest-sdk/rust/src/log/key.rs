//! Where the keys of a view or a process come from.

use std::collections::BTreeSet;

use super::foreign::Foreign;
use super::query::QueryItem;
use super::recorded::{EventText, Recorded, read};

/// The origin of keys, as `key = …` in the attribute says it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The id of the stream.
    StreamId,
    /// The values of the tags with this key.
    Tag(&'static str),
    /// The id of the event.
    EventId,
    /// The author's `fn keys`.
    ByHand,
}

impl Key {
    /// The keys of an event, without its data; none if the author says them.
    pub fn of<E>(self, event: &Recorded<E>) -> Option<Vec<String>> {
        match self {
            Self::StreamId => Some(vec![event.stream_id.clone()]),
            Self::Tag(tag) => Some(event.tag_values(tag).map(str::to_owned).collect()),
            Self::EventId => Some(vec![event.event_id.clone()]),
            Self::ByHand => None,
        }
    }

    /// The conditions on the events with the key `key`; none where a condition cannot say it.
    pub fn sources<E: Foreign>(self, key: &str) -> Vec<QueryItem> {
        match self {
            Self::StreamId => vec![QueryItem::of_stream::<E>(key)],
            Self::Tag(tag) => vec![QueryItem::of_tag::<E>(&format!("{tag}:{key}"))],
            Self::EventId | Self::ByHand => Vec::new(),
        }
    }
}

/// The keys of each event, each once, of which the author says those that `origin` does not.
///
/// # Panics
///
/// When the author's function needs an event that cannot be read: there is no answer that names the
/// event. Keys that come from the stream or from tags need no data, so that the rows or instances
/// of such an event are found, and `fold` can say what is wrong.
pub(crate) fn keys<E: Foreign>(
    origin: Key,
    by_hand: fn(&Recorded<E>) -> Vec<String>,
    events: Vec<Recorded<EventText>>,
) -> Vec<Vec<String>> {
    let keys_of = |event: Recorded<EventText>| {
        let mut keys = origin.of(&event).unwrap_or_else(|| {
            let (name, id) = (event.event.name.clone(), event.event_id.clone());
            match read::<E>(event) {
                Ok(event) => by_hand(&event),
                Err(error) => panic!("the event {name} with the id {id} cannot be read: {error}"),
            }
        });
        // Mostly there is one.
        if keys.len() > 1 {
            let mut seen = BTreeSet::new();
            keys.retain(|key| seen.insert(key.clone()));
        }
        keys
    };
    events.into_iter().map(keys_of).collect()
}
