//! Where the keys of a view come from.

use super::foreign::Foreign;
use super::query::QueryItem;
use super::recorded::Recorded;

/// The origin of a view's keys, as `#[gavel::view(key = …)]` says it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The id of the stream.
    StreamId,
    /// The values of the tags with this key.
    Tag(&'static str),
    /// The author's `fn keys`.
    ByHand,
}

impl Key {
    /// The keys of an event, without its data; none if the author says them.
    pub fn of<E>(self, event: &Recorded<E>) -> Option<Vec<String>> {
        match self {
            Self::StreamId => Some(vec![event.stream_id.clone()]),
            Self::Tag(tag) => Some(event.tag_values(tag).map(str::to_owned).collect()),
            Self::ByHand => None,
        }
    }

    /// The conditions on the events with the key `key`; none if the author says them.
    pub fn sources<E: Foreign>(self, key: &str) -> Vec<QueryItem> {
        match self {
            Self::StreamId => vec![QueryItem::of_stream::<E>(key)],
            Self::Tag(tag) => vec![QueryItem::of_tag::<E>(&format!("{tag}:{key}"))],
            Self::ByHand => Vec::new(),
        }
    }
}
