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

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use protocol::certificate::{CertificateError, CertificateRequest, MerchantCertificate, VerifiedCertificate};
use protocol::codec::{Canonical, DecodeError};
use protocol::desk::DeskDescription;
use protocol::key_set::{Audience, KeySetError, PinnedKeySet, SignedKeySet};
use protocol::session::{AgreementPublic, AgreementSecret};
use protocol::signature::{MerchantRole, SigningKey};
use protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::merchant::policy::RefundPolicy;

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

/// A root public key as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootKey(pub [u8; 32]);

impl std::str::FromStr for RootKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .map_err(|_| "the root's public key must be 64 hexadecimal digits".to_owned())?;
        Ok(Self(bytes))
    }
}

impl serde::Serialize for RootKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> serde::Deserialize<'de> for RootKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The settings file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantFile {
    /// The name in the certificate request.
    pub name: String,
    /// Public key of the TPS's offline root, 64 hexadecimal digits.
    pub root: RootKey,
    /// Where `mts serve` listens.
    #[serde(default = "default_listen")]
    pub listen: std::net::SocketAddr,
    /// How long quotes stand, in seconds.
    #[serde(default = "default_quote_lifetime_seconds")]
    pub quote_lifetime_seconds: u64,
    /// How long the keys of an order live before a renegotiation is needed, in hours.
    #[serde(default = "default_goods_key_lifetime_hours")]
    pub goods_key_lifetime_hours: u64,
    /// How often `mts serve` hands in what waits for the TPS's desk, in minutes; never where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desk_sync_minutes: Option<u64>,
    /// Which refund requests are granted without asking anybody.
    #[serde(default)]
    pub refunds: RefundPolicy,
}

fn default_listen() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_quote_lifetime_seconds() -> u64 {
    protocol::limits::QUOTE_LIFETIME_MS / 1_000
}

fn default_goods_key_lifetime_hours() -> u64 {
    72
}

impl MerchantFile {
    /// The default settings for a merchant of that name and a TPS with that root.
    pub fn new(name: String, root: [u8; 32]) -> Self {
        Self {
            name,
            root: RootKey(root),
            listen: default_listen(),
            quote_lifetime_seconds: default_quote_lifetime_seconds(),
            goods_key_lifetime_hours: default_goods_key_lifetime_hours(),
            desk_sync_minutes: None,
            refunds: RefundPolicy::MANUAL,
        }
    }
}

/// A certified key pair of the merchant.
#[derive(Debug)]
pub struct CertifiedKey {
    /// The verified certificate.
    pub certificate: VerifiedCertificate,
    /// The secret of its session key.
    pub secret: AgreementSecret,
}

/// A merchant's directory whose permissions were checked.
#[derive(Clone, Debug)]
pub struct Home {
    directory: PathBuf,
    settings: MerchantFile,
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |source| HomeError::File { path: path.to_owned(), source }
}

fn check_private(path: &Path) -> Result<(), HomeError> {
    let metadata = fs::metadata(path).map_err(file_error(path))?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    let mode = metadata.permissions().mode() & 0o777;
    if own && mode & 0o077 == 0 { Ok(()) } else { Err(HomeError::Permissions { path: path.to_owned(), mode }) }
}

/// Writes a private file so that it is there whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
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

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, HomeError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path)(error)),
    }
}

fn write_key(path: &Path, secret: &[u8; 32]) -> Result<(), HomeError> {
    write_private(path, Zeroizing::new(hex::encode(secret)).as_bytes())
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, HomeError> {
    check_private(path)?;
    let text = Zeroizing::new(fs::read_to_string(path).map_err(file_error(path))?);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut bytes[..]).map_err(|_| HomeError::Key(path.to_owned()))?;
    Ok(bytes)
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

    fn session_path(&self, public: &AgreementPublic) -> PathBuf {
        self.directory.join(format!("session-{}.key", hex::encode(&public.0[..8])))
    }

    /// Keeps a fresh session key and writes a request for its certificate: at the beginning, and to renew.
    ///
    /// # Errors
    /// [`HomeError::File`], [`HomeError::Malformed`].
    pub fn request_certificate(&self, session: AgreementSecret) -> Result<CertificateRequest, HomeError> {
        let desk = self.desk_key()?;
        let request = CertificateRequest::new(self.settings.name.clone(), session.public(), &desk)
            .map_err(|error| HomeError::Malformed { what: "certificate request".into(), error })?;
        write_key(&self.session_path(&session.public()), session.expose())?;
        write_private(&self.request_path(), &request.encode())?;
        Ok(request)
    }

    /// The key that signs for this merchant at the desk.
    ///
    /// # Errors
    /// [`HomeError`] where it cannot be read.
    pub fn desk_key(&self) -> Result<SigningKey<MerchantRole>, HomeError> {
        Ok(SigningKey::from_seed(*read_key(&self.directory.join("desk.key"))?))
    }

    /// The request that was made last, while its session key is here.
    ///
    /// # Errors
    /// [`HomeError::File`], [`HomeError::Malformed`].
    pub fn pending_request(&self) -> Result<Option<CertificateRequest>, HomeError> {
        let path = self.request_path();
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let request = CertificateRequest::decode(&bytes)
            .map_err(|error| HomeError::Malformed { what: path.display().to_string(), error })?;
        Ok(self.session_path(&request.session).exists().then_some(request))
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

    /// Pins a newer key set.
    ///
    /// # Errors
    /// [`HomeError::KeySet`] for one that is not signed by the pinned root, too old, or lower than the pinned one.
    pub fn import_key_set(&self, bytes: &[u8], now: Timestamp) -> Result<PinnedKeySet, HomeError> {
        let what = || "the file is not a key set".to_owned();
        let set = SignedKeySet::decode(bytes).map_err(|error| HomeError::Malformed { what: what(), error })?;
        // The pinned one may be too old by now; its number and realm still count.
        let pinned = self.stored_key_set()?.and_then(|set| self.verify_at_issue(&set));
        let number_min = pinned.as_ref().map_or(0, PinnedKeySet::number);
        let realm = pinned.as_ref().map(PinnedKeySet::realm);
        let verified = set.verify(&self.settings.root.0, realm, Audience::Merchant, now, number_min)?;
        write_private(&self.directory.join("key-set"), bytes)?;
        Ok(verified)
    }

    fn stored_key_set(&self) -> Result<Option<SignedKeySet>, HomeError> {
        let path = self.directory.join("key-set");
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let set = SignedKeySet::decode(&bytes)
            .map_err(|error| HomeError::Malformed { what: path.display().to_string(), error })?;
        Ok(Some(set))
    }

    fn verify_at_issue(&self, set: &SignedKeySet) -> Option<PinnedKeySet> {
        set.verify(&self.settings.root.0, None, Audience::Merchant, set.claimed_issue_time(), 0).ok()
    }

    /// The pinned key set.
    ///
    /// # Errors
    /// [`HomeError::NoKeySet`], [`HomeError::KeySet`].
    pub fn key_set(&self, now: Timestamp) -> Result<PinnedKeySet, HomeError> {
        let set = self.stored_key_set()?.ok_or(HomeError::NoKeySet)?;
        Ok(set.verify(&self.settings.root.0, None, Audience::Merchant, now, 0)?)
    }

    /// Keeps a certificate that answers a request of this merchant.
    ///
    /// # Errors
    /// [`HomeError::Certificate`], [`HomeError::OtherKeys`].
    pub fn import_certificate(&self, bytes: &[u8], now: Timestamp) -> Result<VerifiedCertificate, HomeError> {
        let what = "the file is not a merchant certificate".to_owned();
        let certificate = MerchantCertificate::decode(bytes).map_err(|error| HomeError::Malformed { what, error })?;
        let verified = certificate.verify(&self.key_set(now)?, now)?;
        if !self.session_path(verified.session()).exists() {
            return Err(HomeError::OtherKeys(self.directory.clone()));
        }
        write_private(&self.directory.join(format!("certificate-{:020}", verified.serial())), bytes)?;
        Ok(verified)
    }

    /// Certified keys that are valid at `now`, newest first. Keys whose certificate has expired are destroyed, once no quote
    /// made with them can stand any more.
    ///
    /// # Errors
    /// [`HomeError`] where a file cannot be read; certificates that do not verify are left out.
    pub fn certified_keys(&self, keys: &PinnedKeySet, now: Timestamp) -> Result<Vec<CertifiedKey>, HomeError> {
        let mut certified = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(file_error(&self.directory))? {
            let path = entry.map_err(file_error(&self.directory))?.path();
            let is_certificate = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                name.strip_prefix("certificate-").is_some_and(|serial| serial.bytes().all(|byte| byte.is_ascii_digit()))
            });
            if !is_certificate {
                continue;
            }
            let bytes = fs::read(&path).map_err(file_error(&path))?;
            let certificate = MerchantCertificate::decode(&bytes)
                .map_err(|error| HomeError::Malformed { what: path.display().to_string(), error })?;
            match certificate.verify(keys, now) {
                Ok(verified) => {
                    let secret = read_key(&self.session_path(verified.session()))?;
                    let secret = AgreementSecret::from_random(*secret);
                    if secret.public() != *verified.session() {
                        return Err(HomeError::OtherKeys(self.directory.clone()));
                    }
                    certified.push(CertifiedKey { certificate: verified, secret });
                }
                Err(CertificateError::Expired(at)) => {
                    tracing::info!(certificate = %path.display(), "destroying an expired session key, valid until {at}");
                    self.destroy(&path, certificate)?;
                }
                Err(error) => tracing::warn!(certificate = %path.display(), "certificate left out: {error}"),
            }
        }
        certified.sort_by_key(|key| std::cmp::Reverse(key.certificate.serial()));
        Ok(certified)
    }

    fn destroy(&self, certificate_path: &Path, certificate: MerchantCertificate) -> Result<(), HomeError> {
        let session = self.session_path(&certificate.claimed_session());
        for path in [&*session, certificate_path] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error(path)(error)),
                _ => {}
            }
        }
        Ok(())
    }
}
