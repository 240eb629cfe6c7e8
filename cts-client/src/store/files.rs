//! Private files that are whole at any time.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Mode of files that only their owner may read.
pub(super) const PRIVATE_FILE_MODE: u32 = 0o600;
/// Mode of directories that only their owner may enter.
pub(super) const PRIVATE_DIRECTORY_MODE: u32 = 0o700;
/// Files that were being written when a process ended begin like this.
const UNFINISHED: &str = ".unfinished-";
/// Larger than any file of ours: a bound for what is read.
const FILE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// Why the customer's directory cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No instrument here.
    #[error("{0} holds no activated instrument: run `cts init BUNDLE` with the bundle from your operator")]
    NotInitialised(PathBuf),
    /// One process at a time.
    #[error("another process uses the instrument in {0}: wait until it has finished, or enrol a further instrument")]
    InUse(PathBuf),
    /// Others may read or write it.
    #[error(
        "{path} can be used by others (mode {mode:03o}): check who may have read it, then run `chmod {expected:o} {path}`"
    )]
    Permissions {
        /// What can be used by others.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        expected: u32,
    },
    /// The operating system refuses.
    #[error("{path}: {source}")]
    File {
        /// What was used.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Bytes that this program did not write.
    #[error(
        "{path} cannot be read ({reason}): restore it from a backup made after the last payment, or enrol a new instrument"
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |source| StoreError::File { path: path.to_owned(), source }
}

/// Makes a private directory where it is missing.
pub(super) fn make_private_directory(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY_MODE).create(path).map_err(at(path))
}

/// Reads a file that nobody else may read; `None` where there is none.
pub(super) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::File { path: path.to_owned(), source }),
    };
    let metadata = file.metadata().map_err(at(path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Permissions { path: path.to_owned(), mode, expected: PRIVATE_FILE_MODE });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(StoreError::Unreadable { path: path.to_owned(), reason: format!("{} bytes", metadata.len()) });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(at(path))?;
    Ok(Some(bytes))
}

/// A temporary file beside `path` that holds `bytes`, synced.
fn write_beside(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, StoreError> {
    let directory = directory_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(PRIVATE_FILE_MODE))
        .tempfile_in(directory)
        .map_err(at(directory))?;
    file.write_all(bytes).map_err(at(path))?;
    file.as_file().sync_all().map_err(at(path))?;
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Replaces a file as a whole: a temporary file beside it, synced, renamed, and the directory synced. Whoever is killed
/// in between leaves the old file.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_beside(path, bytes)?.persist(path).map_err(|error| at(path)(error.error))?;
    sync_directory(directory_of(path)).map_err(at(directory_of(path)))
}

/// As [`write_private`], but a file that is there already stays as it is: whether this one was written.
pub(super) fn write_private_once(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    match write_beside(path, bytes)?.persist_noclobber(path) {
        Ok(_) => sync_directory(directory_of(path)).map_err(at(directory_of(path))).map(|()| true),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(at(path)(error.error)),
    }
}

/// Makes what was renamed in a directory durable.
pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes what a process that was killed left half written. Only while the lock is held.
pub(super) fn remove_leftovers(directory: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            std::fs::remove_file(entry.path()).map_err(at(directory))?;
        }
    }
    Ok(())
}
