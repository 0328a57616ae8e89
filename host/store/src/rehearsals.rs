//! Rehearsals as every host of the installation sees them.

use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{ActivationKey, Json, ModuleDigest, Namespace, RehearsalId};
use time::OffsetDateTime;

use super::Error;

/// How many rehearsals of one key that are over are kept, inclusive, when another one begins.
pub const REHEARSALS_KEPT: u32 = 100;

/// How many rehearsals that are not over are told at once, inclusive.
pub const REHEARSALS_WATCHED: u32 = 1_000;

/// A sign of life of the host that works on a rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// Where.
    pub namespace: Namespace,
    /// The rehearsal.
    pub id: RehearsalId,
    /// When it was given, by the clock of that host: a value to compare with another one of the same host, not with a time.
    pub seen_at: OffsetDateTime,
}

/// What is kept of a rehearsal. What it means is up to the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct RehearsalRecord {
    /// Its id.
    pub id: RehearsalId,
    /// The pointer that the candidate may be given.
    pub key: ActivationKey,
    /// The candidate.
    pub digest: ModuleDigest,
    /// Whether somebody has to work on it still.
    pub is_over: bool,
    /// When the host that works on it was last known to be alive, by its own clock.
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
    /// With a rehearsal that is new, the store MUST forget those of the same key that were over
    /// before it, but for the newest [`REHEARSALS_KEPT`] by id. It never forgets one that is not
    /// over.
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

    /// The newest rehearsals of a key, newest first by id.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn rehearsals(
        &self,
        key: &ActivationKey,
        limit: u32,
    ) -> Result<Vec<RehearsalRecord>, Error>;

    /// The first of those that are not over, by id, in all namespaces; at most [`REHEARSALS_WATCHED`].
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn unfinished_rehearsals(&self) -> Result<Vec<Beat>, Error>;

    /// Takes over a rehearsal that is not over and whose host has not been seen since `last`, and sets `seen_at` to `now`, which
    /// MUST be another time; of hosts that ask at the same time, one gets it.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn adopt_rehearsal(
        &self,
        last: &Beat,
        now: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error>;
}
