//! Modules and activations, as stores take and give them.

use gavel_model::{
    Activation, ActivationKey, ActivationNumber, EventType, Json, ModuleDigest, ModuleKind,
    Namespace,
};
use time::OffsetDateTime;

/// A module to keep: it has been compiled and described.
#[derive(Debug, Clone)]
pub struct NewModule {
    /// The digest of `wasm`.
    pub digest: ModuleDigest,
    /// The component's bytes.
    pub wasm: Vec<u8>,
    /// The kind that the manifest gives.
    pub kind: ModuleKind,
    /// The contract that the component was built for: a package of WIT with its version.
    pub contract: String,
    /// The name that the manifest gives.
    pub name: String,
    /// What `describe` answered.
    pub manifest: Json,
    /// The component's imports, sorted.
    pub imports: Vec<String>,
}

/// A module without its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModule {
    /// The digest of the bytes.
    pub digest: ModuleDigest,
    /// The number of bytes.
    pub size_bytes: u64,
    /// The kind that the manifest gives.
    pub kind: ModuleKind,
    /// The contract that the component was built for: a package of WIT with its version.
    pub contract: String,
    /// The name that the manifest gives.
    pub name: String,
    /// What `describe` answered.
    pub manifest: Json,
    /// The component's imports, sorted.
    pub imports: Vec<String>,
    /// When it was first stored.
    pub uploaded_at: OffsetDateTime,
}

impl StoredModule {
    /// What it takes up in memory beside its texts, in bytes; about right.
    const OVERHEAD_BYTES: usize = 200;

    /// What it takes up in memory, in bytes; about right.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let imports: usize = self.imports.iter().map(String::len).sum();
        let names = self.name.len() + self.contract.len();
        Self::OVERHEAD_BYTES + names + self.manifest.as_str().len() + imports
    }
}

/// Which modules are wanted. All conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleFilter {
    /// Only this module.
    pub digest: Option<ModuleDigest>,
    /// Only modules that this one may know of.
    pub viewer: Option<ModuleViewer>,
    /// Only modules of this name.
    pub name: Option<String>,
    /// Only modules of this kind.
    pub kind: Option<ModuleKind>,
}

/// Somebody who knows of those modules only that they have uploaded, or that are or were active in one of their namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleViewer {
    /// As whom they upload.
    pub name: String,
    /// Their namespaces.
    pub namespaces: Vec<Namespace>,
}

/// Which activation logs are wanted. All conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivationFilter {
    /// Only those of this namespace.
    pub namespace: Option<Namespace>,
    /// Only those of this kind.
    pub kind: Option<ModuleKind>,
}

/// An entry of an activation log that is to be made.
#[derive(Debug, Clone)]
pub struct NewActivation {
    /// The pointer to move.
    pub key: ActivationKey,
    /// The activation that the gate compared with, [`ActivationNumber::NONE`] if there was none: it MUST still be the newest.
    pub after: ActivationNumber,
    /// The module that works from here on, which MUST be stored; none for a deactivation.
    pub digest: Option<ModuleDigest>,
    /// The events that it may append; they enter the registry of (decider, event, schema version).
    pub events: Vec<EventType>,
    /// By whom.
    pub activated_by: Option<String>,
    /// Why.
    pub message: Option<String>,
    /// The findings that were let pass.
    pub accepted: Vec<String>,
    /// What the gate found.
    pub report: Json,
}

impl NewActivation {
    /// The step as it is recorded, once [`NewActivation::after`] is found to be the newest activation.
    pub fn into_activation(
        self,
        replaces: Option<ModuleDigest>,
        activated_at: OffsetDateTime,
    ) -> Activation {
        Activation {
            key: self.key,
            number: self.after.next(),
            digest: self.digest,
            replaces,
            activated_at,
            activated_by: self.activated_by,
            message: self.message,
            accepted: self.accepted,
            report: self.report,
        }
    }
}
