//! Which module is active under a name, and since when.

use std::fmt;

use time::OffsetDateTime;

use super::{ActivationKey, Json, ModuleDigest};

/// Counts the entries of one activation log; the first is 1. Appends carry it as their fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActivationNumber(i64);

impl ActivationNumber {
    /// The number before any activation.
    pub const NONE: Self = Self(0);

    /// The activation `number`.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// The number of the activation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for ActivationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fact of the activation log: from now on this module works under this name, or none does.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// The pointer that was moved.
    pub key: ActivationKey,
    /// Its place in the activation log.
    pub number: ActivationNumber,
    /// The module that works from here on; none for a deactivation.
    pub digest: Option<ModuleDigest>,
    /// The module that worked until then; none for the first, and after a deactivation.
    pub replaces: Option<ModuleDigest>,
    /// When.
    pub activated_at: OffsetDateTime,
    /// By whom; none when authentication is off.
    pub activated_by: Option<String>,
    /// What the person said about it.
    pub message: Option<String>,
    /// The findings that the person let pass, by name.
    pub accepted: Vec<String>,
    /// What the gate found.
    pub report: Json,
}

impl Activation {
    /// What it takes up in memory beside its texts, in bytes; about right.
    const OVERHEAD_BYTES: usize = 300;

    /// What it takes up in memory, in bytes; about right.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let texts = [&self.activated_by, &self.message].into_iter().flatten();
        let texts: usize = texts.chain(&self.accepted).map(String::len).sum();
        Self::OVERHEAD_BYTES + texts + self.report.as_str().len()
    }
}
