//! The metadata of an event, which is kept next to its payload.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The largest number of entries that a sender may attach (inclusive).
const METADATA_ENTRIES_LIMIT: usize = 16;
/// The longest key or value, in bytes (inclusive).
const METADATA_TEXT_LIMIT_BYTES: usize = 1024;

/// Keys that the host fills in; a sender cannot.
pub mod reserved {
    /// Groups all that follows from one cause; the command id unless the sender says otherwise.
    pub const CORRELATION_ID: &str = "correlation_id";
    /// The id of the event or command that led to this one.
    pub const CAUSATION_ID: &str = "causation_id";
    /// The key of the W3C trace context, from the request's header.
    pub const TRACEPARENT: &str = "traceparent";
    /// The key of the sender's name, as authenticated.
    pub const ACTOR: &str = "actor";
    /// The digest of the module that decided.
    pub const MODULE: &str = "module";
    /// The beginning of keys that only hosts fill in, those of later releases among them.
    pub const PREFIX: &str = "gavel-";
}

/// A map from text to text, sorted by key. A cheap clone: the events of a command have the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(
    /// None without entries, as most senders attach none.
    Option<Arc<BTreeMap<String, String>>>,
);

static NO_ENTRIES: BTreeMap<String, String> = BTreeMap::new();

/// The reason for which a sender's metadata was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The metadata has more than 16 entries.
    #[error("metadata has {entries} entries, {METADATA_ENTRIES_LIMIT} are allowed")]
    TooMany {
        /// The number of entries.
        entries: usize,
    },
    /// A key or value above 1,024 bytes.
    #[error("metadata `{key}` is longer than {METADATA_TEXT_LIMIT_BYTES} bytes")]
    TooLong {
        /// The key, shortened.
        key: String,
    },
    /// A key that only the host fills in.
    #[error("metadata `{key}` is set by the host")]
    Reserved {
        /// The key.
        key: String,
    },
    /// A key or value with U+0000, or an empty key.
    #[error("metadata `{key}` is empty or holds the character U+0000")]
    Malformed {
        /// The key.
        key: String,
    },
}

impl Metadata {
    /// Checks the metadata of a sender. A sender may set `correlation_id` and `causation_id`, but
    /// no other reserved key.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] names the entry and the limit.
    pub fn from_sender(entries: BTreeMap<String, String>) -> Result<Self, MetadataError> {
        if entries.len() > METADATA_ENTRIES_LIMIT {
            return Err(MetadataError::TooMany {
                entries: entries.len(),
            });
        }
        for (key, value) in &entries {
            if key.len() > METADATA_TEXT_LIMIT_BYTES || value.len() > METADATA_TEXT_LIMIT_BYTES {
                return Err(MetadataError::TooLong {
                    key: key.chars().take(64).collect(),
                });
            }
            if key.is_empty() || key.contains('\0') || value.contains('\0') {
                return Err(MetadataError::Malformed { key: key.clone() });
            }
            let is_reserved =
                [reserved::TRACEPARENT, reserved::ACTOR, reserved::MODULE].contains(&key.as_str());
            if is_reserved || key.starts_with(reserved::PREFIX) {
                return Err(MetadataError::Reserved { key: key.clone() });
            }
        }
        Ok(Self::from_stored(entries))
    }

    /// Takes the metadata that a store read, without checks.
    #[must_use]
    pub fn from_stored(entries: BTreeMap<String, String>) -> Self {
        Self((!entries.is_empty()).then(|| Arc::new(entries)))
    }

    /// Adds or replaces one entry, for the host's own keys.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        Arc::make_mut(self.0.get_or_insert_default()).insert(key.to_owned(), value.into());
        self
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries().get(key).map(String::as_str)
    }

    /// All entries, sorted by key, without the metadata around them.
    #[must_use]
    pub fn into_entries(self) -> BTreeMap<String, String> {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }

    /// All entries, sorted by key.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        self.0.as_deref().unwrap_or(&NO_ENTRIES)
    }
}
