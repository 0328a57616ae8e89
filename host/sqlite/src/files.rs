//! The files of the database, and the check that those at the path are still the ones that are
//! open.
//!
//! Files that were deleted or replaced can be written to as long as they are open, and what was
//! written is lost when the host ends. So the store checks the files before it acknowledges, or
//! answers, anything.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The suffixes that SQLite adds to the name of a database for its files, as long as a connection
/// is open.
pub(super) const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The files of a database that is open. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Files(Arc<FileIdentities>);

#[derive(Debug)]
struct FileIdentities {
    paths: [PathBuf; 3],
    identities: [Identity; 3],
}

/// The device and number of a file. None where the system has no such thing.
type Identity = Option<(u64, u64)>;

/// The error of files at the path that are not those that are open.
#[derive(Debug, thiserror::Error)]
#[error("the files of the database at {path} were removed or replaced: start the host again")]
struct Replaced {
    path: PathBuf,
}

impl Files {
    /// Identifies the files at `path`, which a connection has open, and keeps open until another
    /// one does.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let paths = SUFFIXES.map(|suffix| with_suffix(path, suffix));
        let identities = identities(&paths)?;
        Ok(Self(Arc::new(FileIdentities { paths, identities })))
    }

    pub(super) fn path(&self) -> &Path {
        let [main, ..] = &self.0.paths;
        main
    }

    /// Fails unless the files are those that were opened.
    pub(super) fn check(&self) -> Result<(), gavel_store::Source> {
        if identities(&self.0.paths)? == self.0.identities {
            return Ok(());
        }
        let path = self.path().to_owned();
        Err(Box::new(Replaced { path }))
    }

    /// The size of the write-ahead log, in bytes.
    pub(super) fn log_bytes(&self) -> io::Result<u64> {
        let [_, log, _] = &self.0.paths;
        size(log)
    }
}

/// The file of the database at `path` that has this suffix.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut file = OsString::from(path);
    file.push(suffix);
    file.into()
}

fn identities([main, log, index]: &[PathBuf; 3]) -> io::Result<[Identity; 3]> {
    Ok([identity(main)?, identity(log)?, identity(index)?])
}

/// Asks for nothing else: once its times were looked at, the next write gives a file a new one,
/// which the sync after that has to write as well.
#[cfg(target_os = "linux")]
fn identity(file: &Path) -> io::Result<Identity> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

    let found = statx(CWD, file, AtFlags::empty(), StatxFlags::INO)?;
    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
    Ok(Some((device, found.stx_ino)))
}

/// Asks for nothing else, either.
#[cfg(target_os = "linux")]
fn size(file: &Path) -> io::Result<u64> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

    Ok(statx(CWD, file, AtFlags::empty(), StatxFlags::SIZE)?.stx_size)
}

#[cfg(not(target_os = "linux"))]
fn size(file: &Path) -> io::Result<u64> {
    Ok(std::fs::metadata(file)?.len())
}

#[cfg(all(unix, not(target_os = "linux")))]
fn identity(file: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;

    let metadata = std::fs::metadata(file)?;
    Ok(Some((metadata.dev(), metadata.ino())))
}

#[cfg(not(unix))]
fn identity(file: &Path) -> io::Result<Identity> {
    std::fs::metadata(file).map(|_| None)
}

/// Makes durable that `file` is in its folder, and that in its own, up to `known`, which was there
/// before.
pub(super) fn keep_in_folders(file: &Path, known: &Path) -> io::Result<()> {
    for folder in file.ancestors().skip(1) {
        let is_here = folder.as_os_str().is_empty();
        File::open(if is_here { Path::new(".") } else { folder })?.sync_all()?;
        if folder == known {
            break;
        }
    }
    Ok(())
}
