//! Opening the file, and bringing its schema up to date.

use std::convert::identity;
use std::path::Path;
use std::sync::Arc;

use gavel_model::Clock;
use gavel_store::toolkit::group::{Group, GroupLimits};
use gavel_store::toolkit::hold::Holds;
use gavel_store::toolkit::lookup::Lookups;
use gavel_store::toolkit::roster_holds::RosterHolds;
use gavel_store::toolkit::writes::BeginGeneration;
use gavel_store::{Error, Floor, OpenError};

use super::SqliteStore;
use super::commit::SqliteDatabase;
use super::migrations;
use super::setup::{self, SetUp, unreachable};
use super::writer::Writer;

impl SqliteStore {
    /// Opens the file at `path`. With `migrate`, the file and its folder are created when they are
    /// not there, and its schema is brought up to date; without, an older schema is refused. A
    /// newer schema is accepted unless its floor is above what this program knows.
    ///
    /// If the future is dropped, the schema is either as it was or up to date.
    ///
    /// # Errors
    ///
    /// - [`OpenError::Unreachable`]: the file cannot be opened or created.
    /// - [`OpenError::Outdated`]: its schema asks for a newer program.
    /// - [`OpenError::NotMigrated`]: its schema is older than this program, and `migrate` is false.
    /// - [`OpenError::Migrate`]: its schema is not one that this program knows how to update.
    pub async fn open(
        path: impl AsRef<Path>,
        migrate: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let unreachable = |source| unreachable(path, source);
        let floor = Arc::new(Floor::new(migrations::STORE.newest()));
        let SetUp { files, readers } =
            setup::set_up(path, &setup::STORE, migrate, Arc::clone(&floor)).await?;
        let writer = Writer::open(files, floor, Arc::clone(&clock))
            .map(Arc::new)
            .map_err(|error| unreachable(error.into()))?;
        let begun = writer.carry_out(BeginGeneration {}).await;
        begun.map_err(|error| unreachable(error.into_error(identity::<Error>).into()))?;
        let database = SqliteDatabase(Arc::clone(&writer));
        // One committer, for SQLite has one writer.
        let group = Group::start(Arc::new(database), 1, GroupLimits::default());
        Ok(Self {
            clock,
            writer,
            group,
            lookups: Lookups::start(readers.clone()),
            holds: Holds::default(),
            roster_holds: RosterHolds::default(),
            readers,
        })
    }
}
