//! The keys of a TPS in files: who may read them, which are in force, and the signed sets that others pin.
//!
//! The root signs key sets and nothing else, so its file can lie on another machine: only `tps key rotate`, `revoke` and
//! `reissue` need it.

mod file;
mod rotate;
mod sets;
mod tls;

use std::path::{Path, PathBuf};

use protocol::ids::{KeyId, RealmId};
use protocol::key_set::KeyRole;
use protocol::session::AgreementSecret;
use protocol::signature::{CertificateRole, DeskRole, ProofRole, RootRole, SigningKey};
use protocol::time::Timestamp;

use crate::data_directory::{DataDirectory, DataError};
use crate::pipeline::EngineKeys;
use crate::pipeline::open::SessionKey;
use crate::pipeline::prove::ProofSigner;

pub use file::{KeyFile, role_name};
pub use rotate::{
    CERTIFICATE_KEY_LIFETIME_MS, DESK_KEY_LIFETIME_MS, PROOF_KEY_LIFETIME_MS, Rotated, RotationStart,
    SIGNING_KEY_OVERLAP_MS, revoke, rotate,
};
pub use sets::{Issued, issue, issued, key_set_path, load_key_set};
pub use tls::{TLS_NAME, TlsKey, load_certificate};

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
    #[error("{0} is the root key of another TPS")]
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
    keys: Vec<KeyFile>,
}

impl KeyRing {
    /// Reads all key files, oldest first.
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
        Ok(Self { directory, keys })
    }

    /// All keys.
    pub fn keys(&self) -> &[KeyFile] {
        &self.keys
    }

    /// The usable key of a role that came into force last.
    pub fn current(&self, role: KeyRole, now: Timestamp) -> Option<&KeyFile> {
        self.keys.iter().rfind(|key| key.role == role && key.is_usable(now))
    }

    fn current_seed(&self, role: KeyRole, now: Timestamp) -> Result<[u8; 32], KeyError> {
        let key = self.current(role, now).and_then(|key| key.seed.as_ref());
        key.map(|seed| **seed).ok_or(KeyError::NoneUsable { role: role_name(role), now })
    }

    /// The keys of a serving TPS: every session key that customers may know, the newest in force first, and the
    /// proof-signing key in force.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`] where a role has no usable key.
    pub fn engine_keys(&self, realm: RealmId, now: Timestamp) -> Result<EngineKeys, KeyError> {
        self.current_seed(KeyRole::Session, now)?;
        let signer = self.signer(realm, self.current_seed(KeyRole::Proof, now)?);
        let mut accepted: Vec<&KeyFile> = self.accepted_sessions(now).collect();
        accepted.sort_by_key(|key| (key.valid_from > now, std::cmp::Reverse(key.valid_from)));
        let session = accepted.into_iter().filter_map(session_key).collect();
        Ok(EngineKeys { session, signer })
    }

    /// Keys for carrying out the operator's orders without a listener: nothing is opened and nothing is signed, so
    /// expired keys are no hindrance.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`] where there is no proof-signing key at all.
    pub fn administration_keys(&self, realm: RealmId, now: Timestamp) -> Result<EngineKeys, KeyError> {
        let any = self.keys.iter().rev().filter(|key| key.role == KeyRole::Proof).find_map(|key| key.seed.as_ref());
        let seed = any.map(|seed| **seed).ok_or(KeyError::NoneUsable { role: "proof", now })?;
        Ok(EngineKeys { session: Vec::new(), signer: self.signer(realm, seed) })
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

    fn signer(&self, realm: RealmId, seed: [u8; 32]) -> ProofSigner {
        let key = SigningKey::<ProofRole>::from_seed(seed);
        ProofSigner { realm, key_id: protocol::key_set::key_id(KeyRole::Proof, &key.public()), key }
    }

    /// The key that issues merchant certificates at `now`.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`].
    pub fn certificate_key(&self, now: Timestamp) -> Result<SigningKey<CertificateRole>, KeyError> {
        Ok(SigningKey::from_seed(self.current_seed(KeyRole::Certificate, now)?))
    }

    /// The key that signs the desk's answers and reports at `now`.
    ///
    /// # Errors
    /// [`KeyError::NoneUsable`].
    pub fn desk_key(&self, now: Timestamp) -> Result<SigningKey<DeskRole>, KeyError> {
        Ok(SigningKey::from_seed(self.current_seed(KeyRole::Desk, now)?))
    }
}

fn session_key(key: &KeyFile) -> Option<SessionKey> {
    let seed = key.seed.as_ref()?;
    Some(SessionKey::new(key.id(), AgreementSecret::from_random(**seed)))
}

/// The role of a key file by its name; `None` for the root's and for other files.
fn role_of_file(path: &Path) -> Option<KeyRole> {
    let name = path.file_name()?.to_str()?.strip_suffix(".toml")?;
    match name.split_once('-')?.0 {
        "session" => Some(KeyRole::Session),
        "proof" => Some(KeyRole::Proof),
        "certificate" => Some(KeyRole::Certificate),
        "desk" => Some(KeyRole::Desk),
        _ => None,
    }
}

/// The root's secret key, from `file` or from the directory of keys.
///
/// # Errors
/// [`KeyError::RootAbsent`], [`KeyError::OtherRoot`].
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
    let seed = key.seed.as_ref().ok_or(KeyError::RootAbsent(path))?;
    Ok(SigningKey::from_seed(**seed))
}
