//! The gate itself: what all of its work has in common.

use std::sync::Arc;

use gavel_engine::catalog::Modules;
use gavel_sandbox::RunError;
use gavel_store::Store;

use super::slots::Slots;
use super::{Error, GateSettings};

/// Looks at candidates and activates those that pass.
#[derive(Debug, Clone)]
pub struct Gate {
    pub(super) store: Arc<dyn Store>,
    pub(super) modules: Modules,
    pub(super) settings: Arc<GateSettings>,
    pub(super) slots: Slots,
}

impl Gate {
    /// Makes a gate in front of `modules`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, modules: Modules, settings: GateSettings) -> Self {
        Self {
            store,
            modules,
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
