//! Rehearsals as every host of the installation sees them.

use std::fmt::Debug;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Error;
use crate::core::{DeciderName, Json, ModuleDigest, Namespace, RehearsalId};

/// How many rehearsals of a decider that are over are kept, inclusive, when another one begins.
pub const REHEARSALS_KEPT: u32 = 100;

/// What is kept of a rehearsal. What it means is up to the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct RehearsalRecord {
    /// Its id.
    pub id: RehearsalId,
    /// Where.
    pub namespace: Namespace,
    /// The decider.
    pub decider: DeciderName,
    /// The candidate.
    pub digest: ModuleDigest,
    /// Whether somebody has to work on it still.
    pub is_over: bool,
    /// When the host that works on it was last known to be alive.
    pub seen_at: OffsetDateTime,
    /// Everything else.
    pub document: Json,
}

/// Keeps rehearsals.
#[async_trait]
pub trait RehearsalStore: Debug + Send + Sync {
    /// Keeps a rehearsal, in the place of the one with the same id. One that is over MUST NOT be replaced by one that is not:
    /// then nothing changes, and the answer is false.
    ///
    /// With a rehearsal that is new, the store MUST forget those of the same decider that were over before it, but for the newest
    /// [`REHEARSALS_KEPT`] by id. It never forgets one that is not over.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn put_rehearsal(&self, rehearsal: RehearsalRecord) -> Result<bool, Error>;

    /// One rehearsal.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn rehearsal(
        &self,
        namespace: &Namespace,
        id: RehearsalId,
    ) -> Result<Option<RehearsalRecord>, Error>;

    /// The newest rehearsals of a decider, newest first by id.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn rehearsals(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        limit: u32,
    ) -> Result<Vec<RehearsalRecord>, Error>;

    /// Takes over a rehearsal that is not over and whose host was last seen before `before` (exclusive), and sets `seen_at` to
    /// `now`; of hosts that ask at the same time, one gets it.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn adopt_rehearsal(
        &self,
        before: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error>;
}
