//! The merchant's private directory: keys, certificates, the pinned root and key set.
//!
//! | File | What | Mode |
//! |---|---|---|
//! | `merchant.toml` | name, pinned root, settings | 0600 |
//! | `desk.key` | Ed25519 seed: signs certificate requests and batches for the desk; never used in a purchase | 0600 |
//! | `session-<public key>.key` | X25519 secret of one certificate; deleted when that has expired | 0600 |
//! | `certificate-request` | to be sent to the TPS's operator | 0600 |
//! | `certificate-<serial>` | what the operator sent back | 0600 |
//! | `key-set` | the newest signed key set for merchants | 0600 |
//! | `desk` | how the TPS's desk is reached: [`crate::desk`] | 0600 |
//! | `orders.sqlite` | the orders: [`crate::store`] | 0600 |

mod certificates;
mod files;
mod key_set;
mod settings;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use protocol::certificate::CertificateError;
use protocol::codec::{Canonical, DecodeError};
use protocol::desk::DeskDescription;
use protocol::key_set::KeySetError;
use protocol::session::AgreementSecret;
use protocol::time::Timestamp;
use zeroize::Zeroizing;

pub use certificates::CertifiedKey;
use files::{check_private, file_error, read_if_there, write_key, write_private};
pub use settings::{MerchantFile, RootKey};

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file or directory cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read or write secrets.
    #[error("{path} is open to others (mode {mode:o}) or not yours: run `chmod go= {path}` as its owner")]
    Permissions {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// `init` in a directory that is in use.
    #[error("{0} already holds a merchant: choose another directory")]
    Exists(PathBuf),
    /// Not initialised.
    #[error("{0} holds no merchant: run `mts init` first")]
    Missing(PathBuf),
    /// The settings.
    #[error("{path} is not well formed: {message}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A key file of another length.
    #[error("{0} is not a key file: it must hold 64 hexadecimal digits")]
    Key(PathBuf),
    /// Bytes that are no certificate or key set.
    #[error("{what}: {error}")]
    Malformed {
        /// What was read.
        what: String,
        /// Why not.
        error: DecodeError,
    },
    /// Nobody said how the desk is reached.
    #[error(
        "it is not known how the TPS's desk is reached: get its description from the operator and run `mts desk use FILE`"
    )]
    NoDesk,
    /// No key set was imported.
    #[error("no key set is pinned: get one from the TPS's operator and run `mts key-set import FILE`")]
    NoKeySet,
    /// The pinned key set is older than it may be relied upon.
    #[error(
        "the key set expired at {0}: `mts desk sync` fetches the newest one, or import one from the TPS's operator"
    )]
    KeySetTooOld(Timestamp),
    /// The key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate for other keys.
    #[error("the certificate is for keys that are not in {0}: import the answer to this merchant's own request")]
    OtherKeys(PathBuf),
}

/// A merchant's directory whose permissions were checked.
#[derive(Clone, Debug)]
pub struct Home {
    directory: PathBuf,
    settings: MerchantFile,
}

impl Home {
    /// Makes a directory with fresh keys and a certificate request.
    ///
    /// # Errors
    /// [`HomeError::Exists`], [`HomeError::File`], [`HomeError::Malformed`] for an unusable name.
    pub fn initialise(
        directory: &Path,
        settings: MerchantFile,
        session: AgreementSecret,
        desk_seed: [u8; 32],
    ) -> Result<Self, HomeError> {
        let path = directory.join("merchant.toml");
        if path.exists() {
            return Err(HomeError::Exists(directory.to_owned()));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(file_error(directory))?;
        check_private(directory)?;
        let desk_seed = Zeroizing::new(desk_seed);
        let home = Self { directory: directory.to_owned(), settings };
        write_key(&home.directory.join("desk.key"), &desk_seed)?;
        home.request_certificate(session)?;
        let text = toml::to_string_pretty(&home.settings)
            .map_err(|error| HomeError::Settings { path: path.clone(), message: error.to_string() })?;
        // Written last: a directory with settings is complete.
        write_private(&path, text.as_bytes())?;
        Ok(home)
    }

    /// Opens a merchant's directory and checks its permissions.
    ///
    /// # Errors
    /// [`HomeError::Missing`], [`HomeError::Permissions`], [`HomeError::Settings`].
    pub fn open(directory: &Path) -> Result<Self, HomeError> {
        let path = directory.join("merchant.toml");
        if !path.exists() {
            return Err(HomeError::Missing(directory.to_owned()));
        }
        check_private(directory)?;
        check_private(&directory.join("desk.key"))?;
        let text = fs::read_to_string(&path).map_err(file_error(&path))?;
        let settings =
            toml::from_str(&text).map_err(|error| HomeError::Settings { path, message: error.to_string() })?;
        Ok(Self { directory: directory.to_owned(), settings })
    }

    /// The settings.
    pub fn settings(&self) -> &MerchantFile {
        &self.settings
    }

    /// Where the orders are.
    pub fn orders_path(&self) -> PathBuf {
        self.directory.join("orders.sqlite")
    }

    /// Where the certificate request is.
    pub fn request_path(&self) -> PathBuf {
        self.directory.join("certificate-request")
    }

    /// Where settlement reports are, a directory per cycle.
    pub fn settlements_path(&self) -> PathBuf {
        self.directory.join("settlements")
    }

    /// Numbers of the cycles whose reports are here, ascending.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn settlement_cycles(&self) -> Result<Vec<u64>, HomeError> {
        let path = self.settlements_path();
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(file_error(&path))?,
        };
        let mut cycles = Vec::new();
        for entry in entries {
            let entry = entry.map_err(file_error(&path))?;
            if entry.path().join("report").exists() {
                cycles.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
            }
        }
        cycles.sort_unstable();
        Ok(cycles)
    }

    /// Keeps the files of a cycle's report, in this order.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn keep_settlement(&self, cycle: u64, files: &[(String, Vec<u8>)]) -> Result<(), HomeError> {
        let directory = self.settlements_path().join(format!("{cycle:08}"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(file_error(&directory))?;
        files.iter().try_for_each(|(name, bytes)| write_private(&directory.join(name), bytes))
    }

    /// Reads a file that is no secret.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, HomeError> {
        fs::read(path).map_err(file_error(path))
    }

    /// Keeps how the desk is reached; the caller has checked it.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn keep_desk_description(&self, bytes: &[u8]) -> Result<(), HomeError> {
        write_private(&self.directory.join("desk"), bytes)
    }

    /// How the desk is reached.
    ///
    /// # Errors
    /// [`HomeError::NoDesk`], [`HomeError::File`], [`HomeError::Malformed`].
    pub fn desk_description(&self) -> Result<DeskDescription, HomeError> {
        let path = self.directory.join("desk");
        let bytes = read_if_there(&path)?.ok_or(HomeError::NoDesk)?;
        let what = || path.display().to_string();
        DeskDescription::decode(&bytes).map_err(|error| HomeError::Malformed { what: what(), error })
    }
}
