//! The parts that carrying out commands needs. What is done with them stands in files of its own.

use std::sync::Arc;

use gavel_model::{Clock, StreamId};
use gavel_store::Store;

use super::hot::HotStreams;
use super::{CommandSettings, Error};
use crate::catalog::{Active, Modules};

/// Carries out commands and answers queries for states.
#[derive(Debug, Clone)]
pub struct Commands(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Arc<dyn Store>,
    pub(super) modules: Modules,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: CommandSettings,
    pub(super) hot: HotStreams,
}

impl Commands {
    /// Commands on the streams of `store`, decided by what is active in `modules`.
    ///
    /// Must be called within the async runtime that is to run what waits for the store.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        modules: Modules,
        clock: Arc<dyn Clock>,
        settings: CommandSettings,
    ) -> Self {
        let hot = HotStreams::new(store.clone(), &modules, clock.clone(), &settings);
        Self(Arc::new(Inner {
            store,
            modules,
            clock,
            settings,
            hot,
        }))
    }

    /// Gives the bound of what a batch may answer, in bytes.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.0.settings.batch_bytes
    }

    /// Gives the module that decides the commands to a stream, as far as this host knows.
    pub(super) async fn decided_by(&self, stream: &StreamId) -> Result<Arc<Active>, Error> {
        let (namespace, decider) = (stream.namespace(), stream.decider());
        let active = self.0.modules.known_active(namespace, decider).await;
        let active = active.map_err(Error::Module)?;
        active.ok_or_else(|| Error::DeciderNotFound {
            decider: decider.clone(),
        })
    }
}
