//! Rehearsals: the gate without the activation.

use uuid::Uuid;

/// Identifies a rehearsal, in all namespaces. Ids made later sort higher.
pub type RehearsalId = Uuid;
