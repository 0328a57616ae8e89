//! The place of an event in its stream, and what a writer expects to find there.

use std::fmt;

/// A position inside ONE stream: the first event is 1, an empty stream is at 0. At most `i64::MAX`,
/// as SQL columns hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Version(u64);

impl Version {
    /// The version of a stream without events.
    pub const EMPTY: Self = Self(0);

    /// The version for `number`, or none above `i64::MAX`.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).is_ok().then_some(Self(number))
    }

    /// The version that a row holds, or none when it is negative.
    #[must_use]
    pub fn from_sql(number: i64) -> Option<Self> {
        u64::try_from(number).ok().map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as a row holds it.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// The number of events between this version and `later`; 0 if `later` is not later.
    #[must_use]
    pub fn events_to(self, later: Self) -> usize {
        usize::try_from(later.0.saturating_sub(self.0)).unwrap_or(usize::MAX)
    }

    /// The version `count` events later, clamped to the largest one.
    #[must_use]
    pub fn plus(self, count: usize) -> Self {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(count).min(i64::MAX as u64))
    }

    /// The version of the event after this one.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The version before this one; [`Version::EMPTY`] is the first.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version that a writer expects of a stream at the moment of the append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// The stream may be at any version.
    Any,
    /// The stream MUST have no event.
    NoStream,
    /// The newest event of the stream MUST have this version; `Exact(0)` means the same as
    /// `NoStream`.
    Exact(Version),
}

impl ExpectedVersion {
    /// The version that is expected, or none when any will do.
    #[must_use]
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Any => None,
            Self::NoStream => Some(Version::EMPTY),
            Self::Exact(version) => Some(version),
        }
    }

    /// Tells whether a stream at version `current` meets the expectation.
    #[must_use]
    pub fn accepts(self, current: Version) -> bool {
        self.version().is_none_or(|expected| expected == current)
    }
}
