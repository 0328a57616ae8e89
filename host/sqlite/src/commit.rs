//! Committing batches: one transaction each, as one closure.

use std::sync::Arc;

use async_trait::async_trait;
use gavel_store::toolkit::group::{Commit, Failed, Outcome, Verdict};
use gavel_store::toolkit::writes::AppendBatch;
use gavel_store::{Append, LARGE_APPEND_BYTES};

use super::writer::{WriteError, Writer};

/// The database that batches are sent to: the one file.
#[derive(Debug)]
pub(super) struct SqliteDatabase(pub(super) Arc<Writer>);

#[async_trait]
impl Commit for SqliteDatabase {
    /// The writer keeps the connection.
    type Session = ();

    /// The size of a large append: it has the one writer to itself, and then leaves the writer to
    /// the others for longer.
    const LARGE_BYTES: usize = LARGE_APPEND_BYTES;

    async fn commit(&self, _session: &mut (), batch: &[Append]) -> Result<Vec<Verdict>, Failed> {
        let appends = batch.to_vec();
        let written = self.0.carry_out(AppendBatch { appends });
        match written.await {
            Ok(outcomes) => Ok(outcomes.into_iter().map(Verdict::Settled).collect()),
            Err(WriteError::NotBegun(source)) => Err(Failed::NotSent(source)),
            Err(WriteError::Undone(error)) => Err(Failed::Refused(error.into())),
            Err(WriteError::Unknown(source)) => Err(Failed::Lost(source)),
        }
    }

    async fn commit_held(&self, _append: &Append) -> Result<Outcome, Failed> {
        unreachable!("who writes to the file has it to himself, and no verdict is `Held`")
    }
}
