//! Entries of activation logs that are to be made.

use gavel_model::{ActivationKey, ActivationNumber, ModuleDigest};

/// An entry of an activation log that is to be made.
#[derive(Debug, Clone)]
pub(super) struct Pointing {
    pub(super) key: ActivationKey,
    /// The entry that it comes after.
    pub(super) after: ActivationNumber,
    pub(super) digest: ModuleDigest,
    /// The module that is active until then.
    pub(super) former: Option<ModuleDigest>,
}
