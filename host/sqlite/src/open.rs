//! Opening the file, and bringing its schema up to date.

use std::convert::identity;
#[cfg(unix)]
use std::fs::Permissions;
#[cfg(unix)]
use std::io::ErrorKind;
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use gavel_model::Clock;
use gavel_store::toolkit::group::{Group, GroupLimits};
use gavel_store::toolkit::hold::Holds;
use gavel_store::toolkit::lookup::Lookups;
use gavel_store::toolkit::writes::BeginGeneration;
use gavel_store::{Error, Floor, OpenError, Source};
use rusqlite::Connection;
use tokio::task::spawn_blocking;

use super::SqliteStore;
use super::commit::SqliteDatabase;
use super::files::{self, Files};
use super::readers::Readers;
use super::writer::Writer;
use super::{connect, migrations};

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
        let floor = Arc::new(Floor::new(migrations::newest()));
        let setting_up = spawn_blocking({
            let (path, floor) = (path.to_owned(), Arc::clone(&floor));
            move || set_up(&path, migrate, &floor)
        });
        let set_up = setting_up.await;
        let _connection = set_up.map_err(|error| unreachable(error.into()))??;

        // While one of our connections is in use, SQLite leaves all the files in their place: first
        // this one, and then that of a reader.
        let files = Files::of(path).map_err(|error| unreachable(error.into()))?;
        let readers = Readers::open(files.clone()).map_err(|error| unreachable(error.into()))?;
        readers
            .ping()
            .await
            .map_err(|error| unreachable(error.into()))?;
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
            readers,
        })
    }
}

/// Creates the file if need be, brings its schema up to date, and leaves a connection open.
fn set_up(path: &Path, migrate: bool, floor: &Floor) -> Result<Connection, OpenError> {
    let unreachable = |source| unreachable(path, source);
    // Of the folders of a file that is to be created, the first that is there already.
    let known = path.ancestors().skip(1).find(|folder| folder.exists());
    let known = known.unwrap_or(Path::new("")).to_owned();
    let is_new = migrate && !path.exists();
    if let Some(folder) = path.parent().filter(|_| migrate) {
        create_folder(folder).map_err(|error| unreachable(error.into()))?;
    }
    let mut connection = match migrate {
        true => connect::creating(path),
        false => connect::writing(path),
    }
    .map_err(|error| unreachable(error.into()))?;
    keep_from_others(path);
    migrations::require_floor(&connection, floor)?;
    if migrate {
        migrations::run(&mut connection)?;
    } else {
        migrations::require(&connection)?;
    }
    if is_new {
        files::keep_in_folders(path, &known).map_err(|error| unreachable(error.into()))?;
    }
    Ok(connection)
}

fn unreachable(path: &Path, source: Source) -> OpenError {
    OpenError::Unreachable {
        url: format!("sqlite://{}", path.display()),
        source,
    }
}

/// Creates a folder that only its owner may enter. An existing folder may be meant for others as
/// well, and is left unchanged.
fn create_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    builder.mode(0o700);
    builder.recursive(true).create(folder)
}

/// Takes the file, and those that SQLite keeps next to it, from all but their owner: they hold
/// events, and the secrets of consumers. A file that SQLite creates later gets the same
/// permissions.
#[cfg(unix)]
fn keep_from_others(path: &Path) {
    for suffix in files::SUFFIXES {
        let file = files::with_suffix(path, suffix);
        let narrowed = std::fs::set_permissions(&file, Permissions::from_mode(0o600));
        match narrowed {
            Err(error) if error.kind() != ErrorKind::NotFound => tracing::warn!(
                file = %file.display(),
                error = &error as &dyn std::error::Error,
                "other users may be able to read the database"
            ),
            _ => {}
        }
    }
}

#[cfg(not(unix))]
fn keep_from_others(_: &Path) {}
