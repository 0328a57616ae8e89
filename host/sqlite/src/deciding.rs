//! The modules that have decided what a batch appends.

use gavel_model::{ActivationKey, ActivationNumber, ModuleDigest, StreamId};

/// The active deciders that appends name, whose digests need not be in the rows.
#[derive(Debug, Default)]
pub(super) struct DecidingModules(Vec<DecidingModule>);

/// The activation of a decider.
#[derive(Debug)]
pub(super) struct DecidingModule {
    key: ActivationKey,
    pub(super) number: ActivationNumber,
    pub(super) digest: ModuleDigest,
    /// The digest as text.
    pub(super) module: String,
}

impl DecidingModules {
    pub(super) fn push(
        &mut self,
        key: ActivationKey,
        number: ActivationNumber,
        digest: ModuleDigest,
    ) {
        let module = digest.to_string();
        self.0.push(DecidingModule {
            key,
            number,
            digest,
            module,
        });
    }

    /// The active decider of a stream, if a fence has named it.
    pub(super) fn of(&self, stream: &StreamId) -> Option<&DecidingModule> {
        self.0.iter().find(|decider| {
            decider.key.name().as_str() == stream.decider().as_str()
                && decider.key.namespace() == stream.namespace()
        })
    }
}
