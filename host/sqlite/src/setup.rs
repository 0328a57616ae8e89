//! Setting up a file: created if need be, its schema brought up to date, kept from other users.

#[cfg(unix)]
use std::fs::Permissions;
#[cfg(unix)]
use std::io::ErrorKind;
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use gavel_store::{Floor, OpenError, Source};
use rusqlite::Connection;
use tokio::task::spawn_blocking;

use super::connect::{self, FileSettings};
use super::files::{self, Files};
use super::migrations::{self, FileSchema};
use super::readers::Readers;

/// A file of a host.
#[derive(Debug)]
pub(super) struct FilePlan {
    settings: &'static FileSettings,
    schema: &'static FileSchema,
}

/// The store's file.
pub(super) static STORE: FilePlan = FilePlan {
    settings: &connect::STORE,
    schema: &migrations::STORE,
};

/// The file with the tables of views.
pub(super) static VIEWS: FilePlan = FilePlan {
    settings: &connect::VIEWS,
    schema: &migrations::VIEWS,
};

/// A file that is there and has its schema. While the readers' connection is open, SQLite leaves
/// all the files in their place.
#[derive(Debug)]
pub(super) struct SetUp {
    pub(super) files: Files,
    pub(super) readers: Readers,
}

/// Sets up the file at `path`. With `migrate` it is created when it is not there, and its schema
/// brought up to date.
///
/// # Errors
///
/// [`OpenError`] as [`SqliteStore::open`](super::SqliteStore::open) gives it.
pub(super) async fn set_up(
    path: &Path,
    plan: &'static FilePlan,
    migrate: bool,
    floor: Arc<Floor>,
) -> Result<SetUp, OpenError> {
    let unreachable = |source| unreachable(path, source);
    let setting_up = spawn_blocking({
        let path = path.to_owned();
        move || set_up_blocking(&path, plan, migrate, &floor)
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
    Ok(SetUp { files, readers })
}

/// Creates the file if need be, brings its schema up to date, and leaves a connection open.
fn set_up_blocking(
    path: &Path,
    plan: &FilePlan,
    migrate: bool,
    floor: &Floor,
) -> Result<Connection, OpenError> {
    let unreachable = |source| unreachable(path, source);
    // Of the folders of a file that is to be created, the first that is there already.
    let known = path.ancestors().skip(1).find(|folder| folder.exists());
    let known = known.unwrap_or(Path::new("")).to_owned();
    let is_new = migrate && !path.exists();
    if let Some(folder) = path.parent().filter(|_| migrate) {
        create_folder(folder).map_err(|error| unreachable(error.into()))?;
    }
    let mut connection = match migrate {
        true => plan.settings.creating(path),
        false => plan.settings.writing(path),
    }
    .map_err(|error| unreachable(error.into()))?;
    keep_from_others(path);
    migrations::require_floor(&connection, floor)?;
    if migrate {
        plan.schema.run(&mut connection)?;
    } else {
        plan.schema.require(&connection)?;
    }
    if is_new {
        files::keep_in_folders(path, &known).map_err(|error| unreachable(error.into()))?;
    }
    Ok(connection)
}

pub(super) fn unreachable(path: &Path, source: Source) -> OpenError {
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
