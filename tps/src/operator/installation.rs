//! `tps init`: a new TPS in a new directory, all or nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use protocol::ids::RealmId;
use protocol::key_set::KeyRole;
use protocol::limits::{ASSET_EXPONENT_MAX, KEY_SET_KEYS_MAX, SESSION_KEY_LIFETIME_MAX_MS};
use protocol::signature::SigningKey;
use protocol::time::{DAY_MS, MINUTE_MS, Timestamp};

use crate::config::CONFIG_TEMPLATE;
use crate::data_directory::{
    DataDirectory, DataError, FORMAT, Realm, RealmAsset, make_private_directory, sync_directory, write_private,
};
use crate::keys::{
    CERTIFICATE_KEY_LIFETIME_MS, DESK_KEY_LIFETIME_MS, KeyError, KeyFile, KeySecret, NOTARY_KEY_LIFETIME_MS,
    PROOF_KEY_LIFETIME_MS, TlsKey, issue,
};
use crate::store::{Genesis, StoreError};

/// First keys are valid from a little before they were made: clocks of customers may be late.
const CLOCK_TOLERANCE_MS: u64 = 60 * MINUTE_MS;
/// Longest overlap of session keys and longest age of key sets, in days.
const DAYS_MAX: u64 = 365;
/// Most shards: each has a thread.
const SHARDS_MAX: u16 = 256;

/// What is fixed for ever when a TPS is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallOptions {
    /// The registry of assets, the default one first.
    pub assets: Vec<RealmAsset>,
    /// Account shards.
    pub shards: u16,
    /// Days that a session key is the current one.
    pub session_key_days: u64,
    /// Days that it is still accepted after that.
    pub session_key_overlap_days: u64,
    /// Days that a signed key set may be relied upon.
    pub key_set_days: u64,
}

impl Default for InstallOptions {
    fn default() -> Self {
        let usd = RealmAsset { code: protocol::money::Asset::USD6, exponent: protocol::money::Asset::USD6_EXPONENT };
        let session_key_days = SESSION_KEY_LIFETIME_MAX_MS / DAY_MS;
        Self { assets: vec![usd], shards: 1, session_key_days, session_key_overlap_days: 7, key_set_days: 30 }
    }
}

/// Why no TPS was made. The directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The directory or a file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An option out of its range.
    #[error("{option} must be {range}; nothing was made")]
    OutOfRange {
        /// Which.
        option: &'static str,
        /// What it may be.
        range: String,
    },
    /// This program was built without the database.
    #[error("this `tps` was built without RocksDB and can only run `tps dev`: build it with the feature `rocksdb`")]
    NoDatabase,
}

/// A TPS that was made.
#[derive(Debug, Clone)]
pub struct Installed {
    /// Where.
    pub data: DataDirectory,
    /// What was fixed.
    pub realm: Realm,
    /// The root's secret key, to be moved to another machine.
    pub root_key: PathBuf,
}

impl InstallOptions {
    fn check(&self) -> Result<(), InstallError> {
        let error = |option, range: String| Err(InstallError::OutOfRange { option, range });
        if self.shards == 0 || self.shards > SHARDS_MAX {
            return error("--shards", format!("1 to {SHARDS_MAX}"));
        }
        let session_days_max = SESSION_KEY_LIFETIME_MAX_MS / DAY_MS;
        if self.session_key_days == 0 || self.session_key_days > session_days_max {
            return error("--session-key-days", format!("1 to {session_days_max}"));
        }
        if self.session_key_overlap_days == 0 || self.session_key_overlap_days > DAYS_MAX {
            return error("--session-key-overlap-days", format!("1 to {DAYS_MAX}"));
        }
        if self.key_set_days == 0 || self.key_set_days > DAYS_MAX {
            return error("--key-set-days", format!("1 to {DAYS_MAX}"));
        }
        if self.assets.is_empty() || self.assets.len() > KEY_SET_KEYS_MAX {
            return error("the number of assets", format!("1 to {KEY_SET_KEYS_MAX}"));
        }
        for (index, asset) in self.assets.iter().enumerate() {
            if asset.exponent > ASSET_EXPONENT_MAX {
                return error("the exponent of an asset", format!("0 to {ASSET_EXPONENT_MAX}"));
            }
            if self.assets[..index].iter().any(|earlier| earlier.code == asset.code) {
                return error("an asset", format!("named once, but {} is named twice", asset.code));
            }
        }
        Ok(())
    }
}

/// Makes a TPS at `path`: built beside it and moved into place when it is complete.
///
/// # Errors
/// [`InstallError`]; what was there is as it was.
pub fn install(path: &Path, options: &InstallOptions, now: Timestamp) -> Result<Installed, InstallError> {
    install_protected(path, options, None, now)
}

/// As [`install`], with the keys protected by `secret` from the beginning: none of them is ever written in clear.
///
/// # Errors
/// [`InstallError`]; what was there is as it was.
pub fn install_protected(
    path: &Path,
    options: &InstallOptions,
    secret: Option<&KeySecret>,
    now: Timestamp,
) -> Result<Installed, InstallError> {
    options.check()?;
    if !cfg!(feature = "rocksdb") {
        return Err(InstallError::NoDatabase);
    }
    match std::fs::read_dir(path) {
        Ok(_) if DataDirectory::at(path).realm_file().exists() => {
            return Err(DataError::AlreadyInitialised(path.to_owned()).into());
        }
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(DataError::NotEmpty(path.to_owned()).into());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(DataError::system("look into", path)(error).into()),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(DataError::system("make the directory", parent))?;
    let private = std::fs::Permissions::from_mode(0o700);
    let unfinished = tempfile::Builder::new().prefix(".tps-init-").permissions(private).tempdir_in(parent);
    let unfinished = unfinished.map_err(DataError::system("write into", parent))?;
    let realm = fill_protected(unfinished.path(), options, secret, now)?;
    make_ledger(&DataDirectory::at(unfinished.path()), &realm)?;
    std::fs::rename(unfinished.path(), path).map_err(DataError::system("make", path))?;
    // Moved away, so there is nothing to clean up.
    let _ = unfinished.keep();
    sync_directory(parent).map_err(DataError::system("write into", parent))?;
    let data = DataDirectory::at(path);
    let root_key = data.keys().join("root.toml");
    Ok(Installed { data, realm, root_key })
}

/// Everything but the ledger, in an existing, empty, private directory: what `tps dev` needs.
///
/// # Errors
/// [`InstallError`].
pub fn fill(path: &Path, options: &InstallOptions, now: Timestamp) -> Result<Realm, InstallError> {
    fill_protected(path, options, None, now)
}

fn fill_protected(
    path: &Path,
    options: &InstallOptions,
    secret: Option<&KeySecret>,
    now: Timestamp,
) -> Result<Realm, InstallError> {
    options.check()?;
    let data = DataDirectory::at(path);
    crate::data_directory::check_private(path)?;
    make_private_directory(&data.keys())?;
    make_private_directory(&data.key_sets())?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| KeyError::NoRandomness)?;
    let from = Timestamp(now.0.saturating_sub(CLOCK_TOLERANCE_MS));
    let root = KeyFile::generate(KeyRole::Root, from, Timestamp(i64::MAX as u64 >> 20))?;
    let realm = Realm {
        format: FORMAT,
        realm: RealmId(id),
        root: hex::encode(root.public),
        shards: options.shards,
        session_key_days: options.session_key_days,
        session_key_overlap_days: options.session_key_overlap_days,
        key_set_days: options.key_set_days,
        created_at_ms: now,
        assets: options.assets.clone(),
    };
    let root_path = root.path(&data.keys());
    match secret {
        None => root.save(&root_path)?,
        Some(secret) => {
            data.vault().establish(secret)?;
            root.sealed_for(secret, data.vault(), &root_path)?.save(&root_path)?;
        }
    }
    for (role, lifetime_ms) in [
        (KeyRole::Session, realm.session_key_lifetime_ms()),
        (KeyRole::Proof, PROOF_KEY_LIFETIME_MS),
        (KeyRole::Certificate, CERTIFICATE_KEY_LIFETIME_MS),
        (KeyRole::Desk, DESK_KEY_LIFETIME_MS),
        (KeyRole::Notary, NOTARY_KEY_LIFETIME_MS),
    ] {
        let key = KeyFile::generate(role, from, now.plus(lifetime_ms))?.protected(data.vault())?;
        key.save(&key.path(&data.keys()))?;
    }
    TlsKey::generate()?.save(&data)?;
    let root = root.secret(data.vault(), &root_path)?.map(|seed| SigningKey::from_seed(*seed));
    let root = root.ok_or(KeyError::RootAbsent(root_path))?;
    issue(&data, &realm, &root, now, 0)?;
    write_private(&data.config_file(), CONFIG_TEMPLATE.as_bytes())?;
    let text = toml::to_string(&realm)
        .map_err(|error| DataError::Damaged { path: data.realm_file(), detail: error.to_string() })?;
    let text = format!("# Fixed when this TPS was made. Changing anything here makes it unusable.\n{text}");
    write_private(&data.realm_file(), text.as_bytes())?;
    Ok(realm)
}

#[cfg(feature = "rocksdb")]
fn make_ledger(data: &DataDirectory, realm: &Realm) -> Result<(), InstallError> {
    crate::store::rocksdb::RocksStore::create(&data.ledger(), genesis(realm))?;
    Ok(())
}

#[cfg(not(feature = "rocksdb"))]
fn make_ledger(_: &DataDirectory, _: &Realm) -> Result<(), InstallError> {
    Err(InstallError::NoDatabase)
}

/// What a new store is told about itself.
pub fn genesis(realm: &Realm) -> Genesis {
    Genesis { realm: realm.realm }
}

/// Opens the ledger of a TPS; this process alone has it then.
///
/// # Errors
/// [`InstallError::Store`]: for example in use, damaged, or behind its high-water mark.
#[cfg(feature = "rocksdb")]
pub fn open_ledger(data: &DataDirectory) -> Result<Box<dyn crate::store::Store>, InstallError> {
    Ok(Box::new(crate::store::rocksdb::RocksStore::open(&data.ledger())?))
}

/// Opens the ledger of a TPS.
///
/// # Errors
/// [`InstallError::NoDatabase`]: always, in this build.
#[cfg(not(feature = "rocksdb"))]
pub fn open_ledger(_: &DataDirectory) -> Result<Box<dyn crate::store::Store>, InstallError> {
    Err(InstallError::NoDatabase)
}

/// Takes what the database holds for its latest state, whatever its high-water mark says (`tps accept-history`).
///
/// # Errors
/// [`InstallError::Store`].
#[cfg(feature = "rocksdb")]
pub fn accept_history(data: &DataDirectory) -> Result<(), InstallError> {
    crate::store::rocksdb::RocksStore::accept_history(&data.ledger())?;
    Ok(())
}

/// Needs the database.
///
/// # Errors
/// [`InstallError::NoDatabase`]: always, in this build.
#[cfg(not(feature = "rocksdb"))]
pub fn accept_history(_: &DataDirectory) -> Result<(), InstallError> {
    Err(InstallError::NoDatabase)
}
