//! Putting a backup into place, in one step, with the former ledger kept.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use protocol::time::Timestamp;

use super::manifest::MANIFEST;
use super::unpack::SETTLEMENTS;
use super::{BackupError, Findings, inspect, unpack};
use crate::admin::client::AdminClient;
use crate::data_directory::{DataDirectory, DataError, make_private_directory, sync_directory};
use crate::keys::KeySecret;
use crate::store::StoreError;
use crate::store::rocksdb::{ReplaceError, RocksStore};

/// What a restoration did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Restored {
    /// What was found in the backup.
    pub findings: Findings,
    /// Where the former ledger lies now; `None` where the whole directory is new.
    pub former_ledger: Option<PathBuf>,
}

/// Restores the backup `file` into `data`: everything where nothing is there yet, the ledger alone where there is a TPS of the
/// same realm, whose keys, key sets and configuration are at least as new. The backup is checked before anything changes.
///
/// # Errors
/// [`BackupError`]; what was there is as it was.
pub fn restore(
    file: &Path,
    secret: &KeySecret,
    data: &Path,
    accept_loss: bool,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    if DataDirectory::at(data).realm_file().exists() {
        return over(file, secret, &DataDirectory::open(data)?, accept_loss, now);
    }
    match std::fs::read_dir(data) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(DataError::NotEmpty(data.to_owned()).into());
            }
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(DataError::system("look into", data)(error).into());
        }
        Err(_) => {}
    }
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(DataError::system("make the directory", parent))?;
    let staged = stage(parent)?;
    unpack(file, secret, staged.path())?;
    let (_, findings) = inspect(file, staged.path())?;
    let manifest = staged.path().join(MANIFEST);
    std::fs::remove_file(&manifest).map_err(DataError::system("remove", &manifest))?;
    std::fs::rename(staged.path(), data).map_err(DataError::system("make", data))?;
    // Moved away, so there is nothing to clean up.
    let _ = staged.keep();
    sync_directory(parent).map_err(DataError::system("write into", parent))?;
    Ok(Restored { findings, former_ledger: None })
}

fn stage(parent: &Path) -> Result<tempfile::TempDir, BackupError> {
    let private = std::fs::Permissions::from_mode(0o700);
    let staged = tempfile::Builder::new().prefix(".tps-restore-").permissions(private).tempdir_in(parent);
    Ok(staged.map_err(DataError::system("write into", parent))?)
}

/// Replaces the ledger of a TPS.
fn over(
    file: &Path,
    secret: &KeySecret,
    data: &DataDirectory,
    accept_loss: bool,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let socket = data.admin_socket()?;
    if matches!(AdminClient::connect(&socket), Ok(Some(_)) | Err(_)) {
        return Err(BackupError::ServerRuns(data.path().to_owned()));
    }
    let staged = stage(data.path())?;
    unpack(file, secret, staged.path())?;
    let (realm, findings) = inspect(file, staged.path())?;
    let present = data.realm()?.realm;
    let backup = findings.manifest.realm;
    if realm.realm != present {
        return Err(BackupError::OtherRealm { data: data.path().to_owned(), backup, present });
    }
    // Out of the temporary directory, which is removed whatever happens: from here on this may become the former ledger.
    let new = data.path().join(format!("ledger.restored-{}", now.0));
    std::fs::rename(staged.path().join("ledger"), &new).map_err(DataError::system("make", &new))?;
    let former = data.path().join(format!("ledger.before-restore-{}", now.0));
    let had_one = data.ledger().exists();
    let replaced = RocksStore::replace(&data.ledger(), &new, &former, accept_loss);
    let error = match replaced {
        Ok(()) => {
            merge(&staged.path().join("archive"), &data.archive(), now)?;
            merge(&staged.path().join(SETTLEMENTS), &data.settlements(), now)?;
            return Ok(Restored { findings, former_ledger: had_one.then_some(former) });
        }
        Err(error) => error,
    };
    let (data, backup) = (data.path().to_owned(), findings.manifest.commit);
    let error = match error {
        ReplaceError::Behind { high_water, .. } => BackupError::Behind { data, backup, present: high_water },
        ReplaceError::OtherHistory { high_water, .. } => {
            BackupError::OtherHistory { data, backup, present: high_water }
        }
        ReplaceError::Store(StoreError::HighWaterMarkLost { .. }) => BackupError::MarkLost { data, backup },
        ReplaceError::Store(StoreError::InUse { .. }) => BackupError::ServerRuns(data),
        // Unknown how far it came: nothing is removed.
        ReplaceError::Store(error) => return Err(error.into()),
    };
    std::fs::remove_dir_all(&new).map_err(DataError::system("remove", &new))?;
    Err(error)
}

/// Puts the files of a directory of the backup into its place where they are not there. One of another history is kept beside under
/// another name. Where this is interrupted, restoring again finishes it.
fn merge(staged: &Path, directory: &Path, now: Timestamp) -> Result<(), BackupError> {
    if !staged.exists() {
        return Ok(());
    }
    if !directory.exists() {
        make_private_directory(directory)?;
    }
    for entry in std::fs::read_dir(staged).map_err(DataError::system("list", staged))? {
        let from = entry.map_err(DataError::system("list", staged))?.path();
        let Some(name) = from.file_name() else { continue };
        let to = directory.join(name);
        if from.is_dir() {
            merge(&from, &to, now)?;
            continue;
        }
        if to.exists() {
            if same_bytes(&from, &to).map_err(DataError::system("compare", &to))? {
                continue;
            }
            let beside = to.with_added_extension(format!("before-restore-{}", now.0));
            std::fs::rename(&to, &beside).map_err(DataError::system("rename", &to))?;
        }
        std::fs::rename(&from, &to).map_err(DataError::system("write", &to))?;
    }
    Ok(sync_directory(directory).map_err(DataError::system("write into", directory))?)
}

/// Whether two files hold the same.
fn same_bytes(one: &Path, other: &Path) -> std::io::Result<bool> {
    let digest = |path: &Path| -> std::io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path)?)?;
        Ok(hasher.finalize())
    };
    Ok(digest(one)? == digest(other)?)
}
