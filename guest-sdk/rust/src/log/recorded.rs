//! An event as it is stored, with all that is known of it.

use std::ops::Deref;

use super::foreign::Foreign;
use super::timestamp::Timestamp;

/// An event of the log, whatever module wrote it: its data as the type `E`, and the facts that are
/// stored with it.
///
/// It dereferences to the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<E> {
    /// The event itself.
    pub event: E,
    /// The decider of the stream.
    pub decider: String,
    /// The id of the stream within its decider.
    pub stream_id: String,
    /// The place in the stream; the first event is 1.
    pub version: u64,
    /// Identifies the event in the whole installation: a UUID in its hyphenated form.
    pub event_id: String,
    /// The schema version in which the event is stored.
    pub schema_version: u32,
    /// The labels by which the log can be queried: `key:value`, without duplicates.
    pub tags: Vec<String>,
    /// The time at which the event was stored, in milliseconds since 1970-01-01T00:00:00Z. It never
    /// decreases within a stream.
    pub created_ms: u64,
    /// The metadata that its sender and the host attached, sorted by key, without duplicate keys.
    pub metadata: Vec<(String, String)>,
}

/// The name and the data of an event, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventText {
    /// The event's name, which means one thing within its decider only.
    pub name: String,
    /// The data as JSON, in the schema version in which it is stored.
    pub data: String,
}

impl<E> Recorded<E> {
    /// The same facts of another event.
    pub(crate) fn with<Other>(self, event: Other) -> Recorded<Other> {
        let Self {
            event: _,
            decider,
            stream_id,
            version,
            event_id,
            schema_version,
            tags,
            created_ms,
            metadata,
        } = self;
        Recorded {
            event,
            decider,
            stream_id,
            version,
            event_id,
            schema_version,
            tags,
            created_ms,
            metadata,
        }
    }

    /// The time at which the event was stored, in a form that a row can keep and a database sorts.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_ms(self.created_ms)
    }

    /// The metadata value under `key`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The values of the tags `key:<value>`, in the order of the tags.
    pub fn tag_values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.tags
            .iter()
            .filter_map(move |tag| tag.strip_prefix(key)?.strip_prefix(':'))
    }
}

impl<E> Deref for Recorded<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}

/// The event, or the input of another kind, that could not be folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldError {
    /// The place among those of the row or the instance; the first is 0.
    pub index: u32,
    /// One sentence for people.
    pub message: String,
}

/// Reads an event in the schema version in which it is stored.
pub(crate) fn read<E: Foreign>(event: Recorded<EventText>) -> Result<Recorded<E>, String> {
    let EventText { name, data } = &event.event;
    let read = E::read(&event.decider, name, event.schema_version, data)
        .unwrap_or_else(|| Err(format!("the module reads no {name} of {}", event.decider)))?;
    Ok(event.with(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_metadata_are_found_by_their_key() {
        let recorded = Recorded {
            event: 5_u8,
            decider: "order".into(),
            stream_id: "o-1".into(),
            version: 1,
            event_id: String::new(),
            schema_version: 1,
            tags: ["order:a", "orders:b", "order:", "order:a:b", "order"]
                .map(str::to_owned)
                .into(),
            created_ms: 1,
            metadata: vec![("a".into(), "1".into()), ("b".into(), "2".into())],
        };
        let values: Vec<&str> = recorded.tag_values("order").collect();
        assert_eq!(values, ["a", "", "a:b"]);
        assert_eq!(recorded.metadata("b"), Some("2"));
        assert_eq!(recorded.metadata("c"), None);
        assert_eq!(*recorded, 5);
        assert_eq!(recorded.created_at(), Timestamp::from_ms(1));
    }
}
