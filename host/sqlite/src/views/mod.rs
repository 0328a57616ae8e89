//! The tables of views in a SQLite file of their own, which leaves the one writer of the log free.
//!
//! A table's rows are in `"gavel_rows.v_7"`; what people read are SQL views, named as the views
//! are. All names of ours but those hold a dot, which no name of a view does. One connection
//! writes, a few others read. How values are held is in `migrations/README.md`.
//!
//! What is committed may be lost when the machine loses power: rows and progress together, and the
//! log has all of it.

mod cells;
mod commit;
mod hold;
mod names;
mod query;
mod registry;
mod rows;
mod sql_view;
mod store;
mod writer;

use std::path::Path;
use std::sync::Arc;

use gavel_model::Clock;
use gavel_store::{Floor, OpenError};
use tokio::sync::RwLock;

use super::migrations;
use super::readers::Readers;
use super::setup::{self, SetUp, unreachable};
use writer::RowsWriter;

/// Keeps the rows of views in a SQLite file.
#[derive(Debug)]
pub struct SqliteViews {
    clock: Arc<dyn Clock>,
    writer: RowsWriter,
    readers: Readers,
    /// Commits share it, and a hold has it alone.
    changes: Arc<RwLock<()>>,
}

impl SqliteViews {
    /// Opens the file at `path`. It and its folder are created when they are not there, and its
    /// schema is brought up to date.
    ///
    /// # Errors
    ///
    /// - [`OpenError::Unreachable`]: the file cannot be opened or created, or is no database.
    /// - [`OpenError::Outdated`]: its schema asks for a newer program.
    /// - [`OpenError::Migrate`]: its schema is not one that this program knows how to update.
    pub async fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let floor = Arc::new(Floor::new(migrations::VIEWS.newest()));
        let set_up = setup::set_up(path, &setup::VIEWS, true, Arc::clone(&floor));
        let SetUp { files, readers } = set_up.await?;
        let writer = RowsWriter::open(files, floor);
        let writer = writer.map_err(|error| unreachable(path, error.into()))?;
        Ok(Self {
            clock,
            writer,
            readers,
            changes: Arc::default(),
        })
    }

    /// Leaves the one file, once nothing is read or written any more.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
