//! The module that is active under a name, and the log of its activations.

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

/// An entry of the activation log: from now on this module is active under this name, or none is.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// The pointer that was moved.
    pub key: ActivationKey,
    /// The place of the activation in the activation log.
    pub number: ActivationNumber,
    /// The module that is active from now on; none for a deactivation.
    pub digest: Option<ModuleDigest>,
    /// The module that was active until then; none for the first activation, and after a
    /// deactivation.
    pub replaces: Option<ModuleDigest>,
    /// The time of the activation.
    pub activated_at: OffsetDateTime,
    /// The name of the user who activated; none when authentication is off.
    pub activated_by: Option<String>,
    /// The comment of the person who activated.
    pub message: Option<String>,
    /// The findings that the person accepted, by name.
    pub accepted: Vec<String>,
    /// The report of the gate.
    pub report: Json,
}

impl Activation {
    /// The approximate memory of an activation besides its texts, in bytes.
    const OVERHEAD_BYTES: usize = 300;

    /// The approximate memory of the activation, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let texts = [&self.activated_by, &self.message].into_iter().flatten();
        let texts: usize = texts.chain(&self.accepted).map(String::len).sum();
        Self::OVERHEAD_BYTES + texts + self.report.as_str().len()
    }
}
