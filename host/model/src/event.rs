//! Events, before and after they are stored.

use std::collections::HashSet;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{CommandId, Json, Metadata, Position, StreamId, Version};

/// Identifies one event, in all streams and namespaces.
pub type EventId = Uuid;

/// A kind of event that a decider may append: an entry of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType {
    /// The event's name, in the past tense.
    pub event: String,
    /// The version of the event's schema; the first is 1.
    pub schema_version: u32,
    /// One sentence for people; may be empty.
    pub description: String,
}

/// An event as a decider sees it, without its place, time, ids and metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's name, in the past tense.
    pub name: String,
    /// The version of the event's schema; the first is 1.
    pub schema_version: u32,
    /// The payload.
    pub data: Json,
    /// Tells whether the event ends the stream.
    pub is_final: bool,
    /// Labels, without duplicates.
    pub tags: Vec<String>,
}

/// A label that no event can have, with its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A store's text columns cannot hold U+0000.
    #[error("a tag holds the character U+0000")]
    Nul(usize),
    /// The tag is longer than [`Event::TAG_BYTES`].
    #[error("a tag has more than {} bytes", Event::TAG_BYTES)]
    TooLong(usize),
    /// The event has more than [`Event::MOST_TAGS`] tags.
    #[error("there are more than {} tags", Event::MOST_TAGS)]
    TooMany(usize),
    /// The tag repeats an earlier one.
    #[error("the tag `{1}` is there twice")]
    Repeated(usize, String),
}

impl TagError {
    /// The place of the label; the first is 0.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Nul(index)
            | Self::TooLong(index)
            | Self::TooMany(index)
            | Self::Repeated(index, _) => *index,
        }
    }
}

/// Checks the labels of an event.
///
/// # Errors
///
/// The first that cannot be stored, or is there already.
pub fn check_tags(tags: &[String]) -> Result<(), TagError> {
    let mut seen = HashSet::new();
    for (index, tag) in tags.iter().enumerate() {
        if index == Event::MOST_TAGS {
            return Err(TagError::TooMany(index));
        }
        if tag.contains('\0') {
            return Err(TagError::Nul(index));
        }
        if tag.len() > Event::TAG_BYTES {
            return Err(TagError::TooLong(index));
        }
        if !seen.insert(tag) {
            return Err(TagError::Repeated(index, tag.clone()));
        }
    }
    Ok(())
}

/// An event that is to be appended. The store adds version, position, previous id and time.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The id of the event; the store refuses one that it already has.
    pub event_id: EventId,
    /// The event's name, in the past tense.
    pub event: String,
    /// The version of the event's schema; the first is 1.
    pub schema_version: u32,
    /// The payload.
    pub data: Json,
    /// Tells whether the event ends the stream.
    pub is_final: bool,
    /// Labels, without duplicates.
    pub tags: Vec<String>,
    /// The sender's and the host's metadata.
    pub metadata: Metadata,
    /// The command that the event follows from.
    pub command_id: CommandId,
}

/// An event of the store, which never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// The stream of the event.
    pub stream: StreamId,
    /// The place of the event in the stream.
    pub version: Version,
    /// The place of the event in the log of all streams.
    pub position: Position,
    /// The id of the event before it in the stream; none for the first.
    pub previous_id: Option<EventId>,
    /// The time at which the store took the event. Never earlier than that of the event before it
    /// in the stream.
    pub created_at: OffsetDateTime,
    /// The event that was appended.
    pub event: NewEvent,
}

impl Event {
    /// The largest number of tags of an event (inclusive).
    pub const MOST_TAGS: usize = 64;
    /// The longest tag, in bytes (inclusive).
    pub const TAG_BYTES: usize = 255;

    /// The approximate memory of an event besides its texts, in bytes.
    const OVERHEAD_BYTES: usize = 120;

    /// The approximate memory of the event, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(String::len).sum();
        Self::OVERHEAD_BYTES + self.name.len() + self.data.as_str().len() + tags
    }
}

impl NewEvent {
    /// The approximate size of an event besides its texts, in memory or in a store, in bytes.
    const OVERHEAD_BYTES: usize = 600;

    /// The approximate memory of the event, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let metadata = self.metadata.entries().iter();
        let metadata: usize = metadata.map(|(key, value)| key.len() + value.len()).sum();
        let tags: usize = self.tags.iter().map(String::len).sum();
        Self::OVERHEAD_BYTES + self.data.as_str().len() + tags + metadata
    }
}

impl RecordedEvent {
    /// The approximate memory of the event, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.event.size_bytes() + self.stream.id().len()
    }
}

impl From<NewEvent> for Event {
    fn from(event: NewEvent) -> Self {
        Self {
            name: event.event,
            schema_version: event.schema_version,
            data: event.data,
            is_final: event.is_final,
            tags: event.tags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short_few_and_different() {
        let numbered = |count: usize| (0..count).map(|tag| tag.to_string()).collect::<Vec<_>>();
        let long = |bytes| vec!["a".to_owned(), "x".repeat(bytes)];
        assert_eq!(check_tags(&numbered(Event::MOST_TAGS)), Ok(()));
        assert_eq!(check_tags(&long(Event::TAG_BYTES)), Ok(()));
        let too_many = numbered(Event::MOST_TAGS + 1);
        assert_eq!(
            check_tags(&too_many),
            Err(TagError::TooMany(Event::MOST_TAGS))
        );
        assert_eq!(
            check_tags(&long(Event::TAG_BYTES + 1)),
            Err(TagError::TooLong(1))
        );
        let twice = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(
            check_tags(&twice),
            Err(TagError::Repeated(2, "a".to_owned()))
        );
        assert_eq!(check_tags(&["\0".to_owned()]), Err(TagError::Nul(0)));
    }
}
