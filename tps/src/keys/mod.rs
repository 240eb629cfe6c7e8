//! The keys of a TPS in files: who may read them, which are in force, and the signed sets that others pin.
//!
//! The root signs key sets and nothing else, so its file can lie on another machine: only `tps key rotate`, `revoke` and
//! `reissue` need it.

mod file;
pub(crate) mod raw;
mod rotate;
mod secret;
mod sets;
mod tls;
mod vault;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::{KeyId, RealmId};
use protocol::key_set::KeyRole;
use protocol::session::AgreementSecret;
use protocol::signature::{CertificateRole, DeskRole, NotaryRole, ProofRole, RootRole, SigningKey};
use protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::data_directory::{DataDirectory, DataError};
use crate::pipeline::EngineKeys;
use crate::pipeline::open::SessionKey;
use crate::pipeline::prove::ProofSigner;

pub use file::{KeyFile, Seed, role_name};
pub use rotate::{
    CERTIFICATE_KEY_LIFETIME_MS, DESK_KEY_LIFETIME_MS, NOTARY_KEY_LIFETIME_MS, PROOF_KEY_LIFETIME_MS, Rotated,
    RotationStart, SIGNING_KEY_OVERLAP_MS, revoke, rotate,
};
pub use secret::{KeySecret, SecretKind, encryptor_for};
pub use sets::{Issued, issue, issued, key_set_path, load_key_set, signed_set_bytes};
pub use tls::{TLS_NAME, TlsKey, load_certificate};
pub use vault::{Vault, prompt};

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Something with the files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A key file that is none.
    #[error("the key file {path} is damaged: {detail}; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a secret.
        detail: String,
    },
    /// The root's secret key is kept elsewhere.
    #[error(
        "the root key {0} is not here, and only the root signs key sets: bring its file and name it with --root FILE"
    )]
    RootAbsent(PathBuf),
    /// Another root.
    #[error(
        "{0} is the root key of another TPS: name the file of this one's with --root FILE; `tps key list` tells its public key"
    )]
    OtherRoot(PathBuf),
    /// No key of a role can be used now.
    #[error("there is no {role} key that is valid at {now}: run `tps key rotate {role}`")]
    NoneUsable {
        /// The role.
        role: &'static str,
        /// When one was wanted.
        now: Timestamp,
    },
    /// No key with this id.
    #[error("there is no key {0}: see `tps key list`")]
    NoKey(String),
    /// Roles that are not rotated.
    #[error(
        "the root key cannot be rotated or revoked: everybody pins it; make a new TPS with `tps init` and move to it"
    )]
    RootIsForEver,
    /// The last usable key of its role.
    #[error("key {id} is the only usable {role} key: run `tps key rotate {role} --at-once` first")]
    LastUsable {
        /// The key.
        id: KeyId,
        /// Its role.
        role: &'static str,
    },
    /// The set would be refused by those who pin it.
    #[error("the key set cannot be signed: {0}")]
    Set(#[from] protocol::codec::DecodeError),
    /// A key set that does not hold any more.
    #[error("the key set {path} cannot be used: {error}; run `tps key reissue`")]
    SetUnusable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: protocol::key_set::KeySetError,
    },
    /// The keys are protected and nothing opens them.
    #[error(
        "{path} is protected with a {kind}, and none is at hand: name the file with `{}` in tps.toml or with {}, or hand it over as the systemd credential `tps-key`{}",
        match kind { SecretKind::Passphrase => "passphrase_file", SecretKind::KeyFile => "key_file" },
        match kind { SecretKind::Passphrase => "TPS_PASSPHRASE_FILE", SecretKind::KeyFile => "TPS_KEY_FILE" },
        match kind { SecretKind::Passphrase => ", or run this at a terminal and type it", SecretKind::KeyFile => "" },
    )]
    Locked {
        /// What is protected.
        path: PathBuf,
        /// What opens it.
        kind: SecretKind,
    },
    /// Something else opens it.
    #[error(
        "{origin} does not open {path}, which is protected with a {kind}: name the right one with `passphrase_file` or `key_file` in tps.toml, or with TPS_PASSPHRASE_FILE or TPS_KEY_FILE"
    )]
    WrongSecret {
        /// What is protected.
        path: PathBuf,
        /// Which secret was tried.
        origin: String,
        /// What opens it.
        kind: SecretKind,
    },
    /// A passphrase or key file that is none.
    #[error("{origin} cannot be used: {detail}")]
    BadSecret {
        /// Where it comes from.
        origin: String,
        /// What is wrong; never the secret.
        detail: String,
    },
    /// Both a passphrase and a key file.
    #[error("both `key_file` and `passphrase_file` are set, and one of them opens the keys: remove the other")]
    TwoSecrets,
    /// A number that no key set can have reached: numbers never go back, so a mistake in one would stay for ever.
    #[error(
        "--above {above} cannot be right: the last number known here is {last}; name that of the last key set that was published"
    )]
    NumberTooFar {
        /// What was asked for.
        above: u64,
        /// The last one.
        last: u64,
    },
    /// The configuration cannot be read.
    #[error("{0}")]
    Configuration(String),
    /// TLS.
    #[error("cannot make the TLS certificate: {0}")]
    Tls(String),
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness: keys cannot be made on this machine now")]
    NoRandomness,
}

/// All keys of a directory but the root's.
#[derive(Debug)]
pub struct KeyRing {
    directory: PathBuf,
    vault: Arc<Vault>,
    keys: Vec<KeyFile>,
    published: Option<Vec<KeyId>>,
}

impl KeyRing {
    /// Reads all key files, oldest first. Secrets that are sealed stay so until they are used.
    ///
    /// # Errors
    /// [`KeyError`], naming the first file that cannot be used.
    pub fn load(data: &DataDirectory) -> Result<Self, KeyError> {
        let directory = data.keys();
        crate::data_directory::check_private(&directory)?;
        let root = directory.join("root.toml");
        if root.exists() {
            crate::data_directory::check_private(&root)?;
        }
        let mut keys = Vec::new();
        let entries = std::fs::read_dir(&directory).map_err(DataError::system("list", &directory))?;
        for entry in entries {
            let path = entry.map_err(DataError::system("list", &directory))?.path();
            if let Some(role) = role_of_file(&path) {
                keys.push(KeyFile::load(&path, Some(role))?);
            }
        }
        keys.sort_by_key(|key| (key.role, key.valid_from, key.id()));
        Ok(Self { directory, vault: Arc::clone(data.vault()), keys, published: sets::published(data) })
    }

    /// All keys.
    pub fn keys(&self) -> &[KeyFile] {
        &self.keys
    }

    /// Whether those who have the newest key set know the key. A rotation that was killed leaves one that nobody knows: nothing
    /// may be signed with it before `tps key reissue` has published it. Session keys are chosen by the customer's side.
    pub fn is_published(&self, key: &KeyFile) -> bool {
        key.role == KeyRole::Session || self.published.as_ref().is_none_or(|published| published.contains(&key.id()))
    }

    /// The usable and published key of a role that came into force last.
    pub fn current(&self, role: KeyRole, now: Timestamp) -> Option<&KeyFile> {
        self.keys.iter().rfind(|key| key.role == role && key.is_usable(now) && self.is_published(key))
    }

    fn current_seed(&self, role: KeyRole, now: Timestamp) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let key = self.current(role, now);
        let seed = key.map(|key| self.seed(key)).transpose()?.flatten();
        seed.ok_or(KeyError::NoneUsable { role: role_name(role), now })
    }

    fn seed(&self, key: &KeyFile) -> Result<Option<Zeroizing<[u8; 32]>>, KeyError> {
        key.secret(&self.vault, &key.path(&self.directory))
    }

    /// The keys of a serving TPS: every session key that customers may know, the newest in force first, and the
    /// proof-signing key in force.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`] where a role has no usable key, [`KeyError::Locked`] and [`KeyError::WrongSecret`] where they
    /// are protected and cannot be opened.
    pub fn engine_keys(&self, realm: RealmId, now: Timestamp) -> Result<EngineKeys, KeyError> {
        self.current_seed(KeyRole::Session, now)?;
        let signer = signer(realm, &*self.current_seed(KeyRole::Proof, now)?);
        let mut accepted: Vec<&KeyFile> = self.accepted_sessions(now).collect();
        accepted.sort_by_key(|key| (key.valid_from > now, std::cmp::Reverse(key.valid_from)));
        let session = accepted.into_iter().filter_map(|key| self.session_key(key).transpose());
        let session = session.collect::<Result<_, _>>()?;
        Ok(EngineKeys { session, signer })
    }

    /// Keys for carrying out the operator's orders without a listener: nothing is opened and nothing is signed, so a key that
    /// nobody knows does, and neither expired nor protected keys are a hindrance.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn administration_keys(realm: RealmId) -> Result<EngineKeys, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut seed[..]).map_err(|_| KeyError::NoRandomness)?;
        Ok(EngineKeys { session: Vec::new(), signer: signer(realm, &seed) })
    }

    /// What a serving TPS has in force; when this changes, it takes its keys anew.
    pub fn in_force(&self, now: Timestamp) -> Vec<KeyId> {
        let sessions = self.accepted_sessions(now).map(KeyFile::id);
        self.current(KeyRole::Proof, now).map(KeyFile::id).into_iter().chain(sessions).collect()
    }

    fn accepted_sessions(&self, now: Timestamp) -> impl Iterator<Item = &KeyFile> {
        self.keys.iter().filter(move |key| {
            key.role == KeyRole::Session && key.seed.is_some() && !key.revoked && now <= key.valid_until
        })
    }

    fn session_key(&self, key: &KeyFile) -> Result<Option<SessionKey>, KeyError> {
        let seed = self.seed(key)?;
        Ok(seed.map(|seed| SessionKey::new(key.id(), AgreementSecret::from_random(*seed))))
    }

    /// The key that issues merchant certificates at `now`.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`].
    pub fn certificate_key(&self, now: Timestamp) -> Result<SigningKey<CertificateRole>, KeyError> {
        Ok(SigningKey::from_seed(*self.current_seed(KeyRole::Certificate, now)?))
    }

    /// The key that signs the desk's answers and reports at `now`.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`].
    pub fn desk_key(&self, now: Timestamp) -> Result<SigningKey<DeskRole>, KeyError> {
        Ok(SigningKey::from_seed(*self.current_seed(KeyRole::Desk, now)?))
    }

    /// The key that signs the receipts of the notary at `now`.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`].
    pub fn notary_key(&self, now: Timestamp) -> Result<SigningKey<NotaryRole>, KeyError> {
        Ok(SigningKey::from_seed(*self.current_seed(KeyRole::Notary, now)?))
    }
}

fn signer(realm: RealmId, seed: &[u8; 32]) -> ProofSigner {
    let key = SigningKey::<ProofRole>::from_seed(*seed);
    ProofSigner { realm, key_id: protocol::key_set::key_id(KeyRole::Proof, &key.public()), key }
}

/// The role of a key file by its name; `None` for the root's and for other files.
fn role_of_file(path: &Path) -> Option<KeyRole> {
    let name = path.file_name()?.to_str()?.strip_suffix(".toml")?;
    match name.split_once('-')?.0 {
        "session" => Some(KeyRole::Session),
        "proof" => Some(KeyRole::Proof),
        "certificate" => Some(KeyRole::Certificate),
        "desk" => Some(KeyRole::Desk),
        "notary" => Some(KeyRole::Notary),
        _ => None,
    }
}

/// The root's secret key, from `file` or from the directory of keys.
///
/// # Errors
/// [`KeyError::RootAbsent`], [`KeyError::OtherRoot`], [`KeyError::Locked`], [`KeyError::WrongSecret`].
pub fn load_root(
    data: &DataDirectory,
    file: Option<&Path>,
    expected: &[u8; 32],
) -> Result<SigningKey<RootRole>, KeyError> {
    let path = file.map_or_else(|| data.keys().join("root.toml"), Path::to_owned);
    if !path.exists() {
        return Err(KeyError::RootAbsent(path));
    }
    let key = KeyFile::load(&path, Some(KeyRole::Root))?;
    if key.public != *expected {
        return Err(KeyError::OtherRoot(path));
    }
    let seed = key.secret(data.vault(), &path)?.ok_or(KeyError::RootAbsent(path))?;
    Ok(SigningKey::from_seed(*seed))
}
