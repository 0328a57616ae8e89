//! The names of namespaces, deciders and streams; those of consumers are in `consumer.rs`.

use std::fmt;
use std::sync::Arc;

/// The longest decider name, in bytes (inclusive).
const DECIDER_NAME_LIMIT: usize = 128;
/// The longest stream id within its decider, in bytes (inclusive).
const STREAM_ID_LIMIT: usize = 255;

/// The reason for which a name was refused. The text says which rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is not `[a-z0-9][a-z0-9-]{0,62}`.
    #[error("a namespace is 1 to 63 characters of a-z, 0-9 and `-`, and does not start with `-`")]
    Namespace,
    /// The text is not `[A-Za-z][A-Za-z0-9_-]{0,127}`.
    #[error(
        "a decider's name is 1 to 128 characters of A-Z, a-z, 0-9, `_` and `-`, and starts with a letter"
    )]
    Decider,
    /// The text is not `[A-Za-z][A-Za-z0-9_-]{0,127}`.
    #[error(
        "a process's name is 1 to 128 characters of A-Z, a-z, 0-9, `_` and `-`, and starts with a letter"
    )]
    Process,
    /// The text is not `[a-z][a-z0-9_-]{0,62}`.
    #[error(
        "a view's name is 1 to 63 characters of a-z, 0-9, `_` and `-`, and starts with a letter"
    )]
    View,
    /// The text is empty, too long, or holds a control character.
    #[error("a stream id is 1 to 255 bytes of text without control characters")]
    StreamId,
    /// The text is not `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
    #[error(
        "a consumer's name is 1 to 128 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, and starts with a letter or a digit"
    )]
    Consumer,
}

/// An isolated set of deciders, streams and consumers: `[a-z0-9][a-z0-9-]{0,62}`.
///
/// Refused when malformed, never rewritten: two namespaces can not be mistaken for one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// # Errors
    ///
    /// [`NameError::Namespace`] when the text does not follow the pattern.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Namespace)
        }
    }

    /// The namespace in which a store keeps streams of its own. No client can name it.
    #[must_use]
    pub fn internal() -> Self {
        Self("_".into())
    }

    /// Reads a namespace that a store holds: one of clients, or the internal one.
    ///
    /// # Errors
    ///
    /// [`NameError::Namespace`] when it is neither.
    pub fn from_stored(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        if text == "_" {
            return Ok(Self::internal());
        }
        Self::new(text)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a kind of stream, and of the logic that decides on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeciderName(Arc<str>);

impl DeciderName {
    /// # Errors
    ///
    /// [`NameError::Decider`] when the text does not follow `[A-Za-z][A-Za-z0-9_-]{0,127}`.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        if is_decider_name(text) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Decider)
        }
    }

    /// The name of streams that a store keeps for itself: `_` and `name`, which holds characters
    /// of deciders' names alone. No client can name them.
    #[must_use]
    pub fn internal(name: &str) -> Self {
        Self(["_", name].concat().into())
    }

    /// Reads a name that a store holds: one of clients, or an internal one.
    ///
    /// # Errors
    ///
    /// [`NameError::Decider`] when it is neither.
    pub fn from_stored(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        match text.strip_prefix('_') {
            Some(name) => Ok(Self::internal(name)),
            None => Self::new(text),
        }
    }

    /// Tells whether a store keeps these streams for itself.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('_')
    }

    /// Takes a name that was checked.
    pub(super) fn of_checked(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the text against `[A-Za-z][A-Za-z0-9_-]{0,127}`.
pub(super) fn is_decider_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.len() <= DECIDER_NAME_LIMIT
        && text.bytes().all(allowed)
}

impl fmt::Display for DeciderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one stream of the whole installation.
///
/// A cheap clone: a command takes it along everywhere.
///
/// The order (namespace, decider, id) is the order in which several streams are locked, so that no
/// two writers deadlock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(Arc<StreamNames>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct StreamNames {
    namespace: Namespace,
    decider: DeciderName,
    id: Box<str>,
}

impl StreamId {
    /// # Errors
    ///
    /// [`NameError::StreamId`] when `id` breaks a rule.
    pub fn new(
        namespace: Namespace,
        decider: DeciderName,
        id: impl AsRef<str>,
    ) -> Result<Self, NameError> {
        let key = StreamKey::new(id.as_ref())?;
        Ok(Self::of_key(namespace, decider, key))
    }

    /// The stream of an id that was checked.
    #[must_use]
    pub fn of_key(namespace: Namespace, decider: DeciderName, key: StreamKey) -> Self {
        Self(Arc::new(StreamNames {
            namespace,
            decider,
            id: key.0,
        }))
    }

    /// The namespace that holds the stream.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The decider that rules the stream.
    #[must_use]
    pub fn decider(&self) -> &DeciderName {
        &self.0.decider
    }

    /// The id of the stream within its decider.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace(), self.decider(), self.id())
    }
}

/// The id of a stream within its decider. Each instance of a process has one as its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(Box<str>);

impl StreamKey {
    /// # Errors
    ///
    /// [`NameError::StreamId`] when the text breaks a rule.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, NameError> {
        let text = text.into();
        if is_stream_id(&text) {
            Ok(Self(text))
        } else {
            Err(NameError::StreamId)
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_stream_id(text: &str) -> bool {
    (1..=STREAM_ID_LIMIT).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_that_look_alike_stay_apart_because_only_one_of_them_is_a_namespace() {
        assert!(Namespace::new("a-b").is_ok());
        for refused in ["a_b", "a.b", "A-b", "-ab", "", "ä", &"a".repeat(64)] {
            assert_eq!(
                Namespace::new(refused),
                Err(NameError::Namespace),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn what_a_store_keeps_for_itself_is_read_back_and_is_no_name_of_a_client() {
        let names = DeciderName::internal("names");
        assert!(names.is_internal());
        assert_eq!(DeciderName::from_stored(names.as_str()), Ok(names.clone()));
        assert_eq!(DeciderName::new(names.as_str()), Err(NameError::Decider));
        let of_store = Namespace::internal();
        assert_eq!(Namespace::from_stored("_"), Ok(of_store.clone()));
        assert_eq!(Namespace::new(of_store.as_str()), Err(NameError::Namespace));
        // What no store has written is not taken.
        assert_eq!(DeciderName::from_stored("1st"), Err(NameError::Decider));
        assert_eq!(Namespace::from_stored("__"), Err(NameError::Namespace));
    }

    #[test]
    fn a_stream_id_is_any_text_without_control_characters() {
        let stream = |id: &str| {
            StreamId::new(
                Namespace::default(),
                DeciderName::new("counter").unwrap(),
                id,
            )
        };
        for accepted in [
            "c-1",
            "a/b",
            "';DROP TABLE events;--",
            "../..",
            "日本",
            "a b",
            &"x".repeat(255),
        ] {
            assert!(stream(accepted).is_ok(), "{accepted:?}");
            assert_eq!(StreamKey::new(accepted).unwrap().as_str(), accepted);
        }
        for refused in ["", "a\0b", "a\nb", &"x".repeat(256)] {
            assert_eq!(stream(refused), Err(NameError::StreamId), "{refused:?}");
            assert_eq!(StreamKey::new(refused), Err(NameError::StreamId));
        }
    }
}
