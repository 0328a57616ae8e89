//! Which module a decider runs, and since when.

use std::fmt;

use time::OffsetDateTime;

use super::{DeciderName, Json, ModuleDigest, Namespace};

/// Counts the activations of one decider in one namespace; the first is 1. Appends carry it as their fence.
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

/// A fact of the activation log: from now on, this decider runs this module.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Where it holds.
    pub namespace: Namespace,
    /// The decider.
    pub decider: DeciderName,
    /// Its place among the decider's activations.
    pub number: ActivationNumber,
    /// The module that is run from here on.
    pub digest: ModuleDigest,
    /// The module that was run before; none for the first.
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
