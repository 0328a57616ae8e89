//! Compiled code on disk, so that a restart does not compile again.
//!
//! Compiled code is machine code: a user who can write it can run anything as this host. So the
//! folder belongs to the host's user alone, and each file carries an HMAC under a random key that
//! is kept in the folder: a file that this host did not write for this very module and engine is
//! never loaded. The module is compiled again instead, as with a file that is missing or cut short.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use gavel_model::ModuleDigest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wasmtime::Engine;

use super::StartError;
use super::compile::CompiledCode;

const MAC_BYTES: usize = 32;
const KEY_BYTES: usize = 32;

/// The folder and what is needed to trust its files.
#[derive(Clone)]
pub(super) struct CodeCache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// A hash of all that the code was compiled for: version, configuration and processor.
    engine: u64,
}

impl CodeCache {
    /// Opens the cache in `folder`, which is made if it is missing. The folder and the key MUST be
    /// the user's alone.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Result<Self, StartError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StartError::Cache { path, source }
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| check_private(&fs::symlink_metadata(folder)?, 0o700))
            .map_err(failed(folder))?;
        let key_file = folder.join("key");
        let key = read_or_make_key(&key_file).map_err(failed(&key_file))?;

        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder: folder.to_owned(),
            key,
            engine: hasher.finish(),
        })
    }

    /// The code of the module `digest`, if it is there and ours. Blocks on the disk.
    pub(super) fn load(&self, digest: ModuleDigest) -> Option<CompiledCode> {
        let path = self.path(digest);
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(module.digest = %digest, %error, "compiled code cannot be read, compiling again");
                }
                return None;
            }
        };
        let code_length = bytes.len().saturating_sub(MAC_BYTES);
        let (code, mac) = bytes.split_at(code_length);
        if self.mac(digest, code).verify_slice(mac).is_err() {
            tracing::warn!(module.digest = %digest, "compiled code was not written by this host, compiling again");
            return None;
        }
        bytes.truncate(code_length);
        Some(CompiledCode(bytes))
    }

    /// Keeps the code of the module `digest`: the whole file appears at once, or none. Blocks on
    /// the disk.
    pub(super) fn store(&self, digest: ModuleDigest, code: &CompiledCode) -> io::Result<()> {
        let mac = self.mac(digest, &code.0).finalize().into_bytes();
        write_whole(&self.path(digest), &[&code.0, &mac], |from, to| {
            fs::rename(from, to)
        })
    }

    fn path(&self, digest: ModuleDigest) -> PathBuf {
        self.folder
            .join(format!("{}-{:016x}.code", digest.hex(), self.engine))
    }

    /// Covers what the code is for, so that a file under another name is no good.
    fn mac(&self, digest: ModuleDigest, code: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("an HMAC takes a key of any length");
        mac.update(digest.to_string().as_bytes());
        mac.update(&self.engine.to_le_bytes());
        mac.update(code);
        mac
    }
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    if !path.try_exists()? {
        let key: [u8; KEY_BYTES] = rand::random();
        // A link, unlike a rename, does not replace: of two hosts that start at once, both use the
        // key of the first.
        let link = |from: &Path, to: &Path| {
            let linked = match fs::hard_link(from, to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            };
            linked.and(fs::remove_file(from))
        };
        write_whole(path, &[&key], link)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    check_private(&file.metadata()?, 0o600)?;
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(key)
}

/// Refuses files that another user may have written, rather than tightening their permissions when
/// it is too late.
fn check_private(metadata: &fs::Metadata, mode: u32) -> io::Result<()> {
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o777 & !mode != 0
    {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it must belong to the user of this process, with mode {mode:04o}"),
        ));
    }
    Ok(())
}

/// Writes a file under a temporary name, waits for the disk, and has `publish` give it its name.
fn write_whole(
    path: &Path,
    parts: &[&[u8]],
    publish: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = path.with_extension(format!("{:016x}.new", rand::random::<u64>()));
    let written = write_new(&temporary, parts).and_then(|()| publish(&temporary, path));
    if written.is_err() {
        // Already failing: what is left over does no harm, since nothing ever reads it.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

impl std::fmt::Debug for CodeCache {
    /// Leaves out the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeCache")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}
