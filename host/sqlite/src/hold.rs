//! Holds, and activations with one or without.

use async_trait::async_trait;
use gavel_model::Activation;
use gavel_store::toolkit::hold::Held;
use gavel_store::toolkit::writes::Activate;
use gavel_store::{ActivateError, ActivationSet, Hold, Moment};

use super::SqliteStore;
use super::writer::Writer;

/// A hold of deciders in this process. Another process that has the file open is not kept waiting:
/// its appends are noticed.
#[derive(Debug)]
pub(super) struct SqliteHold<'s> {
    pub(super) store: &'s SqliteStore,
    pub(super) _held: Held,
}

#[async_trait]
impl Hold for SqliteHold<'_> {
    async fn activate(
        self: Box<Self>,
        set: ActivationSet,
        looked_through: &Moment,
    ) -> Result<Vec<Activation>, ActivateError> {
        let looked_through = Some(looked_through.clone());
        activate(&self.store.writer, set, looked_through).await
    }
}

/// Moves the pointers, unless something was stored in the streams of the names after the moment.
pub(super) async fn activate(
    writer: &Writer,
    set: ActivationSet,
    looked_through: Option<Moment>,
) -> Result<Vec<Activation>, ActivateError> {
    let written = writer.carry_out(Activate {
        set,
        looked_through,
    });
    written
        .await
        .map_err(|error| error.into_error(ActivateError::Store))
}
