//! The tables that people read, as the keeper has seen them last: what a feed of rows watches, so
//! that it asks the store only when there is something else to read.

use std::collections::HashMap;
use std::sync::Arc;

use gavel_model::ViewId;
use gavel_store::views::{TableId, ViewTable};
use tokio::sync::watch;

/// A version of the rows under a name. Within one, rows change by events alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsVersion {
    /// The table that is read.
    pub table: TableId,
    /// The revision of the table.
    pub revision: u64,
}

impl RowsVersion {
    pub(super) fn of(table: &ViewTable) -> Self {
        Self {
            table: table.id,
            revision: table.revision,
        }
    }
}

/// The versions that people read, by view.
pub(super) type VersionsRead = Arc<HashMap<ViewId, RowsVersion>>;

/// Tells those who follow rows that there are others to read.
#[derive(Debug, Default)]
pub(super) struct Heads(watch::Sender<VersionsRead>);

impl Heads {
    /// Takes note of the tables that there are.
    pub(super) fn note(&self, tables: &[ViewTable]) {
        let active = tables.iter().filter(|table| table.active.is_some());
        let heads = active.map(|table| (table.view.clone(), RowsVersion::of(table)));
        let heads: HashMap<_, _> = heads.collect();
        self.0.send_if_modified(|known| {
            let is_other = **known != heads;
            if is_other {
                *known = Arc::new(heads);
            }
            is_other
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<VersionsRead> {
        self.0.subscribe()
    }
}
