//! The gate itself: what all of its work has in common.

use std::sync::Arc;

use gavel_engine::catalog::Modules;
use gavel_engine::views::Views;
use gavel_sandbox::RunError;
use gavel_store::Store;

use super::slots::Slots;
use super::views::Comparisons;
use super::{Error, GateSettings};

/// Looks at candidates and activates those that pass.
#[derive(Debug, Clone)]
pub struct Gate {
    pub(super) store: Arc<dyn Store>,
    pub(super) modules: Modules,
    pub(super) settings: Arc<GateSettings>,
    pub(super) slots: Slots,
    pub(super) views: Views,
    pub(super) comparisons: Arc<Comparisons>,
}

impl Gate {
    /// Makes a gate in front of `modules`, and of the rows of `views`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        modules: Modules,
        views: Views,
        settings: GateSettings,
    ) -> Self {
        Self {
            store,
            modules,
            views,
            comparisons: Arc::default(),
            slots: Slots::new(&settings),
            settings: Arc::new(settings),
        }
    }

    /// Counts the times that the host had no room for an instance so far.
    pub(super) fn times_without_room(&self) -> u64 {
        self.modules.runtime().times_without_room()
    }

    /// Refuses to say anything against a module if the host had no room meanwhile.
    pub(super) fn had_room_since(&self, before: u64) -> Result<(), Error> {
        if self.times_without_room() == before {
            Ok(())
        } else {
            Err(Error::NotRun(RunError::NoRoom))
        }
    }
}
