//! Rehearsals as every host of the installation sees them.

use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{ActivationKey, Json, ModuleDigest, Namespace, RehearsalId};
use time::OffsetDateTime;

use super::Error;

/// The number of finished rehearsals of one key that are kept, inclusive, when another one begins.
pub const REHEARSALS_KEPT: u32 = 100;

/// The largest number of unfinished rehearsals in one answer, inclusive.
pub const REHEARSALS_WATCHED: u32 = 1_000;

/// A sign of life of the host that works on a rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// The namespace.
    pub namespace: Namespace,
    /// The rehearsal.
    pub id: RehearsalId,
    /// The time of the sign of life, by the clock of that host: compare it only with times of the
    /// same host.
    pub seen_at: OffsetDateTime,
}

/// A rehearsal, as stores keep it. Its document is read by the gate only.
#[derive(Debug, Clone, PartialEq)]
pub struct RehearsalRecord {
    /// The id of the rehearsal.
    pub id: RehearsalId,
    /// The pointer that the candidate may be given.
    pub key: ActivationKey,
    /// The candidate.
    pub digest: ModuleDigest,
    /// Tells whether the rehearsal has ended, so that no host has to work on it any more.
    pub is_over: bool,
    /// The last sign of life of the host that works on it, by that host's own clock.
    pub seen_at: OffsetDateTime,
    /// The rest of the rehearsal.
    pub document: Json,
}

/// Keeps rehearsals.
#[async_trait]
pub trait RehearsalStore: Debug + Send + Sync {
    /// Keeps a rehearsal, in the place of the one with the same id. A finished rehearsal MUST NOT
    /// be replaced by an unfinished one: then nothing changes, and the answer is false.
    ///
    /// With a new rehearsal, the store MUST forget those of the same key that ended before it, but
    /// for the newest [`REHEARSALS_KEPT`] by id. The store never forgets an unfinished one.
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

    /// The first unfinished rehearsals, by id, in all namespaces; at most [`REHEARSALS_WATCHED`].
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn unfinished_rehearsals(&self) -> Result<Vec<Beat>, Error>;

    /// Takes over an unfinished rehearsal whose host has not been seen since `last`, and sets
    /// `seen_at` to `now`, which MUST be another time; of hosts that ask at the same time, one gets
    /// the rehearsal.
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
