//! The directory of one TPS: what lies where, who may read it, and how files in it are replaced.
//!
//! ```text
//! realm.toml      fixed by `tps init`: realm, root public key, shards, assets, lifetimes of keys
//! tps.toml        configuration, for people to edit
//! keys/           one file per secret key, mode 600, sealed if there is identity.toml; root.toml belongs on another machine
//! key-sets/       what customers and merchants pin, signed by the root
//! ledger/         the database
//! settlements/    pages of settlement reports, by cycle and merchant
//! archive/        segments of transactions that left the ledger, signed
//! funding/        instructions of the funding agency and lists of payouts
//! checkpoint/     a copy of the ledger while a backup is made of it
//! admin.sock      where a running server takes the operator's commands
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::RealmId;
use protocol::key_set::AssetEntry;
use protocol::money::Asset;
use protocol::time::{DAY_MS, Timestamp};
use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use crate::keys::Vault;

/// Format of the files this program writes.
pub const FORMAT: u16 = 1;
/// Longest file that is read whole.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is nothing.
    #[error("{0} holds no TPS: run `tps init {0}` first, or name the right directory with --data or TPS_DATA")]
    NotInitialised(PathBuf),
    /// `tps init` where there is one.
    #[error("{0} already holds a TPS; nothing was changed: choose another directory, or use this one with `tps serve`")]
    AlreadyInitialised(PathBuf),
    /// `tps init` in a directory with other things in it.
    #[error("{0} is not empty; nothing was changed: choose a new directory")]
    NotEmpty(PathBuf),
    /// Other users of the machine could read it.
    #[error("{path} is open to others (mode {mode:03o}), and it holds secrets: run `chmod {wanted:03o} {path}`")]
    OpenToOthers {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {error}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file that this program wrote and cannot read.
    #[error("{path} is damaged: {detail}; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The path of the socket does not fit the system's bound.
    #[error("the path {0} is too long for a socket (100 bytes at most): use a shorter --data directory")]
    SocketPathTooLong(PathBuf),
}

impl DataError {
    /// Binds an error of the system to what was attempted.
    pub fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::System { action, path, error }
    }
}

/// The paths of one TPS.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    path: PathBuf,
    vault: Arc<Vault>,
}

impl DataDirectory {
    /// The paths at `path`; nothing is looked at.
    pub fn at(path: &Path) -> Self {
        let vault = Arc::new(Vault::at(path.join("keys"), path.join("tps.toml")));
        Self { path: path.to_owned(), vault }
    }

    /// The directory at `path`, which must have been initialised and be closed to others.
    ///
    /// # Errors
    /// [`DataError::NotInitialised`], [`DataError::OpenToOthers`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let data = Self::at(path);
        if !data.realm_file().exists() {
            return Err(DataError::NotInitialised(data.path));
        }
        check_private(&data.path)?;
        check_private(&data.keys())?;
        Ok(data)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `tps init` fixed.
    pub fn realm_file(&self) -> PathBuf {
        self.path.join("realm.toml")
    }

    /// The configuration.
    pub fn config_file(&self) -> PathBuf {
        self.path.join("tps.toml")
    }

    /// What opens and seals the keys; shared by all clones, so that a passphrase is asked for once.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Directory of the key files.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// Directory of the signed key sets.
    pub fn key_sets(&self) -> PathBuf {
        self.path.join("key-sets")
    }

    /// Directory of the database.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// Directory of settlement pages, by cycle and merchant.
    pub fn settlements(&self) -> PathBuf {
        self.path.join("settlements")
    }

    /// Directory of statements of single parties, until the command that asked for one has taken it.
    pub fn statements(&self) -> PathBuf {
        self.path.join("statements")
    }

    /// Directory of the archive's segments.
    pub fn archive(&self) -> PathBuf {
        self.path.join("archive")
    }

    /// The folder of the file-based funding adapter.
    pub fn funding(&self) -> PathBuf {
        self.path.join("funding")
    }

    /// Directory of a copy of the ledger while a backup is made of it.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    /// The socket of a running server, for the operator's commands.
    ///
    /// # Errors
    /// [`DataError::SocketPathTooLong`].
    pub fn admin_socket(&self) -> Result<PathBuf, DataError> {
        let socket = self.path.join("admin.sock");
        if socket.as_os_str().len() > 100 { Err(DataError::SocketPathTooLong(socket)) } else { Ok(socket) }
    }

    /// What `tps init` fixed.
    ///
    /// # Errors
    /// [`DataError::Damaged`] and the system's.
    pub fn realm(&self) -> Result<Realm, DataError> {
        let path = self.realm_file();
        let text = read_text(&path)?;
        let damaged = |detail: String| DataError::Damaged { path: path.clone(), detail };
        let realm: Realm = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        realm.check().map_err(damaged)?;
        Ok(realm)
    }
}

/// One asset as `realm.toml` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmAsset {
    /// Its code.
    pub code: Asset,
    /// Decimal places; never changes.
    pub exponent: u8,
}

/// What `tps init` fixes for ever.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Realm {
    /// Format of the directory.
    pub format: u16,
    /// The installation.
    pub realm: RealmId,
    /// Public key of the root, hexadecimal.
    pub root: String,
    /// Account shards.
    pub shards: u16,
    /// Days that a session key is the current one.
    pub session_key_days: u64,
    /// Days that a session key is still accepted after that.
    pub session_key_overlap_days: u64,
    /// Days that a signed key set may be relied upon.
    pub key_set_days: u64,
    /// When the directory was made.
    pub created_at_ms: Timestamp,
    /// The registry of assets.
    pub assets: Vec<RealmAsset>,
}

impl Realm {
    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("it has format {}, this program knows format {FORMAT}", self.format));
        }
        if self.shards == 0 || self.assets.is_empty() {
            return Err("it must name at least one shard and one asset".to_owned());
        }
        self.root_public().map(drop)
    }

    /// The root's public key.
    ///
    /// # Errors
    /// Text where it is not one.
    pub fn root_public(&self) -> Result<[u8; 32], String> {
        let mut public = [0; 32];
        hex::decode_to_slice(&self.root, &mut public).map_err(|_| "`root` is not a public key".to_owned())?;
        Ok(public)
    }

    /// Decimal places of an asset; `None` where the registry does not know it.
    pub fn exponent(&self, asset: Asset) -> Option<u8> {
        self.assets.iter().find(|entry| entry.code == asset).map(|entry| entry.exponent)
    }

    /// The registry as key sets carry it.
    pub fn asset_entries(&self) -> Vec<AssetEntry> {
        self.assets.iter().map(|asset| AssetEntry { asset: asset.code, exponent: asset.exponent }).collect()
    }

    /// How long a session key is accepted, in milliseconds.
    pub fn session_key_lifetime_ms(&self) -> u64 {
        (self.session_key_days + self.session_key_overlap_days) * DAY_MS
    }
}

/// Refuses what others of this machine may read, write or enter.
///
/// # Errors
/// [`DataError::OpenToOthers`] with the command that closes it, or the system's.
pub fn check_private(path: &Path) -> Result<(), DataError> {
    let metadata = std::fs::metadata(path).map_err(DataError::system("look at", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        return Err(DataError::OpenToOthers { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

/// Makes a directory that only its owner may enter.
///
/// # Errors
/// The system's.
pub fn make_private_directory(path: &Path) -> Result<(), DataError> {
    DirBuilder::new().mode(0o700).create(path).map_err(DataError::system("make the directory", path))
}

/// Reads a file that nobody else may read. The bytes are overwritten when dropped.
///
/// # Errors
/// [`DataError::OpenToOthers`], or the system's.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, DataError> {
    check_private(path)?;
    let file = File::open(path).map_err(DataError::system("read", path))?;
    // Room for the whole file at once: growing would leave copies behind.
    let length = file.metadata().map_or(0, |metadata| metadata.len()).min(FILE_BYTES_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(DataError::system("read", path))?;
    Ok(bytes)
}

/// Reads a text that is no secret.
///
/// # Errors
/// The system's.
pub fn read_text(path: &Path) -> Result<String, DataError> {
    let mut text = String::new();
    let file = File::open(path).map_err(DataError::system("read", path))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(DataError::system("read", path))?;
    Ok(text)
}

/// What [`write_private`] leaves of the file at `path` if it is killed.
pub fn unfinished(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Puts `bytes` into place of the file at `path`, mode 600, all or nothing, durable when this returns.
///
/// # Errors
/// The system's; the old file is as it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let unfinished = unfinished(path);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), sync_directory)
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        DataError::system("write", path)(error)
    })
}

/// Waits until no other process holds `directory`, and holds it until the file is dropped: for changes that consist of more than
/// one file.
///
/// # Errors
/// The system's.
pub fn hold_directory(path: &Path) -> Result<File, DataError> {
    let directory = File::open(path).map_err(DataError::system("open", path))?;
    flock(&directory, FlockOperation::LockExclusive).map_err(|error| DataError::system("lock", path)(error.into()))?;
    Ok(directory)
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// The system's.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_private_and_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.toml");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(&read_private(&path).unwrap()[..], b"two");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_private(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains("640"), "{error}");
    }

    #[test]
    fn socket_paths_are_bounded() {
        let data = DataDirectory::at(Path::new(&format!("/{}", "x".repeat(120))));
        assert!(matches!(data.admin_socket(), Err(DataError::SocketPathTooLong(_))));
    }
}
