//! Private files of the merchant's directory.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use super::HomeError;

pub(super) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |source| HomeError::File { path: path.to_owned(), source }
}

pub(super) fn check_private(path: &Path) -> Result<(), HomeError> {
    let metadata = fs::metadata(path).map_err(file_error(path))?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    let mode = metadata.permissions().mode() & 0o777;
    if own && mode & 0o077 == 0 { Ok(()) } else { Err(HomeError::Permissions { path: path.to_owned(), mode }) }
}

/// Writes a private file so that it is there whole or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(file_error(path))
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, HomeError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path)(error)),
    }
}

pub(super) fn write_key(path: &Path, secret: &[u8; 32]) -> Result<(), HomeError> {
    write_private(path, Zeroizing::new(hex::encode(secret)).as_bytes())
}

pub(super) fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, HomeError> {
    check_private(path)?;
    let text = Zeroizing::new(fs::read_to_string(path).map_err(file_error(path))?);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut bytes[..]).map_err(|_| HomeError::Key(path.to_owned()))?;
    Ok(bytes)
}

/// Waits until no other process holds the directory, and holds it until the file is dropped.
pub(super) fn hold(directory: &Path) -> Result<fs::File, HomeError> {
    let file = fs::File::open(directory).map_err(file_error(directory))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| file_error(directory)(error.into()))?;
    Ok(file)
}
