//! Holds, and activations with one or without.

use async_trait::async_trait;
use gavel_model::Activation;
use gavel_store::toolkit::hold::Held;
use gavel_store::toolkit::writes::Activate;
use gavel_store::{ActivateError, Hold, Moment, NewActivation};

use super::SqliteStore;
use super::writer::Writer;

/// A hold of a decider in this process. Another process that has the file open is not kept waiting:
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
        activation: NewActivation,
        looked_through: &Moment,
    ) -> Result<Activation, ActivateError> {
        let looked_through = Some(looked_through.clone());
        activate(&self.store.writer, activation, looked_through).await
    }
}

/// Moves the pointer, unless something was stored in the streams of the name after the moment.
pub(super) async fn activate(
    writer: &Writer,
    activation: NewActivation,
    looked_through: Option<Moment>,
) -> Result<Activation, ActivateError> {
    let written = writer.carry_out(Activate {
        activation,
        looked_through,
    });
    written
        .await
        .map_err(|error| error.into_error(ActivateError::Store))
}
