//! The fence of an append: the activation that it depends on.

use gavel_model::{ActivationKey, ActivationNumber, ModuleKind, StreamId};

/// Refuses an append when another activation than this is the newest of its kind under the name of
/// the stream: the module that decided is no longer active. With [`ActivationNumber::NONE`] the
/// append is refused when a module of the kind was ever active under the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The kind of the module.
    pub kind: ModuleKind,
    /// The activation under which the module decided.
    pub number: ActivationNumber,
}

impl Fence {
    /// The fence of a decider's decision.
    #[must_use]
    pub fn of_decider(number: ActivationNumber) -> Self {
        Self {
            kind: ModuleKind::Decider,
            number,
        }
    }

    /// The pointer that has to be at this activation when a part on `stream` is stored.
    #[must_use]
    pub fn key(&self, stream: &StreamId) -> ActivationKey {
        ActivationKey::of_stream(stream, self.kind)
    }
}
