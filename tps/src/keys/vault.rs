//! Protection of the keys at rest.
//!
//! `keys/identity.toml` says that a directory is protected. It holds an age identity, sealed for a passphrase or a key file:
//! what seals the seeds of all keys and the other secrets beside them. So one stretching of a passphrase opens everything, and a new key is
//! sealed without any secret at hand. The root's seed is sealed for the passphrase or key file itself, so that its file can lie
//! on another machine and outlive this directory. Files say by themselves whether they are sealed: a directory that was half
//! protected when the machine stopped can be read, and protected again.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use age::secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::secret::{self, KeySecret, SecretKind};
use super::{KeyError, file::KeyFile, raw};
use crate::config::SecretFiles;
use crate::data_directory::{DataError, FORMAT, hold_directory, read_private, unfinished, write_private};

/// Name of the credential that systemd may hand over.
const CREDENTIAL: &str = "tps-key";

/// Opens and seals the keys of one directory. What was opened once stays open as long as this lives.
pub struct Vault {
    keys: PathBuf,
    config_file: PathBuf,
    may_prompt: AtomicBool,
    unlocked: Mutex<Option<age::x25519::Identity>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.keys.display())
    }
}

/// `identity.toml`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    format: u16,
    recipient: String,
    sealed: String,
}

impl Vault {
    /// The protection of the directory `keys`; `config_file` names the files that open it. Nothing is looked at.
    pub(crate) fn at(keys: PathBuf, config_file: PathBuf) -> Self {
        Self { keys, config_file, may_prompt: AtomicBool::new(true), unlocked: Mutex::new(None) }
    }

    /// Nobody is asked at the terminal from now on: a server that runs must not wait for somebody to type.
    pub(crate) fn stop_prompting(&self) {
        self.may_prompt.store(false, Ordering::Relaxed);
    }

    fn path(&self) -> PathBuf {
        self.keys.join("identity.toml")
    }

    fn unlocked(&self) -> MutexGuard<'_, Option<age::x25519::Identity>> {
        self.unlocked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damaged(&self, detail: &str) -> KeyError {
        KeyError::Damaged { path: self.path(), detail: detail.to_owned() }
    }

    /// Whether the directory is protected.
    pub fn is_protected(&self) -> bool {
        self.path().exists()
    }

    fn identity_file(&self) -> Result<Option<IdentityFile>, KeyError> {
        if !self.is_protected() {
            return Ok(None);
        }
        let bytes = read_private(&self.path())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.damaged("it is not text"))?;
        let file: IdentityFile = toml::from_str(text).map_err(|_| self.damaged("it does not hold an identity"))?;
        if file.format != FORMAT {
            let detail = format!("it has format {}, this program knows format {FORMAT}", file.format);
            return Err(self.damaged(&detail));
        }
        Ok(Some(file))
    }

    /// Seals `plain` where the directory is protected; `None` where it is not.
    ///
    /// # Errors
    /// [`KeyError::Damaged`], [`KeyError::Data`].
    pub fn seal(&self, plain: &[u8]) -> Result<Option<String>, KeyError> {
        let Some(file) = self.identity_file()? else { return Ok(None) };
        let recipient: age::x25519::Recipient =
            file.recipient.parse().map_err(|_| self.damaged("`recipient` is not one"))?;
        Ok(Some(secret::seal(secret::encryptor_for(&recipient), plain)))
    }

    /// Opens what [`Self::seal`] made. `path` names the file in messages.
    ///
    /// # Errors
    /// [`KeyError::Locked`], [`KeyError::WrongSecret`], [`KeyError::Damaged`].
    pub fn open(&self, sealed: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let damaged = |detail: String| KeyError::Damaged { path: path.to_owned(), detail };
        let known = self.unlocked().clone();
        if let Some(identity) = known {
            match secret::open(&identity, sealed) {
                // The directory was protected anew since it was opened.
                Err(age::DecryptError::NoMatchingKeys) => {}
                opened => return opened.map_err(|error| damaged(error.to_string())),
            }
        }
        let identity = self.unlock(None)?;
        secret::open(&identity, sealed).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => damaged("it is sealed for another directory of keys".to_owned()),
            error => damaged(error.to_string()),
        })
    }

    /// Opens the directory's identity: with `first` where that fits, otherwise with what the configuration names.
    fn unlock(&self, first: Option<&KeySecret>) -> Result<age::x25519::Identity, KeyError> {
        let file = self.identity_file()?.ok_or_else(|| self.damaged("it is missing, and keys are sealed for it"))?;
        let opened = match first.map(|secret| secret::open(&*secret.identity(), file.sealed.as_bytes())) {
            Some(Ok(opened)) => opened,
            _ => self.open_with_configured(file.sealed.as_bytes(), &self.path())?,
        };
        let text = std::str::from_utf8(&opened).map_err(|_| self.damaged("it does not hold an identity"))?;
        let identity: age::x25519::Identity = text.parse().map_err(|_| self.damaged("it does not hold an identity"))?;
        if identity.to_public().to_string() != file.recipient {
            return Err(self.damaged("`recipient` does not belong to the identity"));
        }
        *self.unlocked() = Some(identity.clone());
        Ok(identity)
    }

    /// Opens a text that is sealed for the passphrase or key file itself.
    fn open_with_configured(&self, sealed: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let damaged = |error: age::DecryptError| KeyError::Damaged { path: path.to_owned(), detail: error.to_string() };
        let kind = secret::kind_of(sealed).map_err(damaged)?;
        let wrong = |secret: &KeySecret| KeyError::WrongSecret {
            path: path.to_owned(),
            origin: secret.origin().to_owned(),
            kind,
        };
        let secret = match self.configured()? {
            Some(secret) if secret.kind() == kind => secret,
            Some(secret) => return Err(wrong(&secret)),
            None => self.ask(kind, path)?,
        };
        secret::open(&*secret.identity(), sealed).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys
            | age::DecryptError::DecryptionFailed
            | age::DecryptError::KeyDecryptionFailed => wrong(&secret),
            error => damaged(error),
        })
    }

    /// The secret that the environment, `tps.toml` or systemd names.
    fn configured(&self) -> Result<Option<KeySecret>, KeyError> {
        let files = SecretFiles::load(&self.config_file).map_err(|error| KeyError::Configuration(error.to_string()))?;
        match (files.key_file, files.passphrase_file) {
            (Some(_), Some(_)) => return Err(KeyError::TwoSecrets),
            (Some(path), None) => return KeySecret::from_key_file(&path).map(Some),
            (None, Some(path)) => return KeySecret::from_passphrase_file(&path).map(Some),
            (None, None) => {}
        }
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|path| Path::new(&path).join(CREDENTIAL));
        credential.filter(|path| path.exists()).map(|path| KeySecret::from_credential(&path)).transpose()
    }

    /// Asks at the terminal, if there is one.
    fn ask(&self, kind: SecretKind, path: &Path) -> Result<KeySecret, KeyError> {
        let here = self.may_prompt.load(Ordering::Relaxed) && std::io::stdin().is_terminal();
        if kind != SecretKind::Passphrase || !here {
            return Err(KeyError::Locked { path: path.to_owned(), kind });
        }
        prompt(&format!("Passphrase of {}: ", path.display()))
    }

    /// The seed of the root key in `key`, which was read from `path`.
    pub(super) fn open_root(&self, sealed: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.open_with_configured(sealed.as_bytes(), path)
    }

    /// Makes the directory protected by `secret`, or protected by it instead of another one. Keys are not touched.
    pub(crate) fn establish(&self, secret: &KeySecret) -> Result<bool, KeyError> {
        let identity = match self.identity_file()? {
            None => age::x25519::Identity::generate(),
            Some(file) if secret::open(&*secret.identity(), file.sealed.as_bytes()).is_ok() => return Ok(false),
            Some(_) => self.unlock(None)?,
        };
        let sealed = secret::seal(secret.encryptor(), identity.to_string().expose_secret().as_bytes());
        let text = format!(
            "# The keys beside this file are sealed for `recipient`. Its secret is below, sealed for a {}.\n\
             # Without that nobody can use these keys: keep a copy of it elsewhere.\n\
             format = {FORMAT}\nrecipient = \"{}\"\nsealed = \"\"\"\n{sealed}\"\"\"\n",
            secret.kind(),
            identity.to_public(),
        );
        write_private(&self.path(), text.as_bytes())?;
        *self.unlocked() = Some(identity);
        Ok(true)
    }

    /// Protects every secret file of the directory with `secret`, and the root key at `root` where that lies elsewhere. Each
    /// file is replaced as a whole; doing it again completes what was interrupted, and another secret takes the place of the
    /// former one. The files that were replaced.
    ///
    /// # Errors
    /// [`KeyError`]: what was replaced by then stays sealed, everything can be read.
    pub fn protect(&self, secret: &KeySecret, root: Option<&Path>) -> Result<Vec<PathBuf>, KeyError> {
        let _held = hold_directory(&self.keys)?;
        // The root first: what it is sealed for may be known only as long as the configuration names the former secret.
        let mut replaced = Vec::new();
        for path in self.root_files(root) {
            remove(&unfinished(&path))?;
            let key = KeyFile::load(&path, Some(protocol::key_set::KeyRole::Root))?;
            if key.is_sealed_for(secret) {
                continue;
            }
            key.sealed_for(secret, self, &path)?.save(&path)?;
            replaced.push(path);
        }
        if self.establish(secret)? {
            replaced.push(self.path());
        }
        for path in self.key_files()? {
            let key = KeyFile::load(&path, None)?;
            if key.is_open() {
                key.protected(self)?.save(&path)?;
                replaced.push(path);
            }
        }
        for path in raw::files(&self.keys) {
            if raw::protect(self, &path)? {
                replaced.push(path);
            }
        }
        for path in self.entries()?.iter().filter(|path| path.extension().is_some_and(|end| end == "new")) {
            remove(path)?;
        }
        Ok(replaced)
    }

    /// Writes every secret file of the directory in clear again, and the root key at `root` where that lies elsewhere. The
    /// files that were replaced.
    ///
    /// # Errors
    /// [`KeyError`]: everything can still be read.
    pub fn unprotect(&self, root: Option<&Path>) -> Result<Vec<PathBuf>, KeyError> {
        let _held = hold_directory(&self.keys)?;
        let mut replaced = Vec::new();
        for path in self.root_files(root).into_iter().chain(self.key_files()?) {
            let key = KeyFile::load(&path, None)?;
            if !key.is_open() && key.seed.is_some() {
                key.opened(self, &path)?.save(&path)?;
                replaced.push(path);
            }
        }
        for path in raw::files(&self.keys) {
            if raw::unprotect(self, &path)? {
                replaced.push(path);
            }
        }
        if self.is_protected() {
            std::fs::remove_file(self.path()).map_err(DataError::system("remove", &self.path()))?;
            crate::data_directory::sync_directory(&self.keys).map_err(DataError::system("write into", &self.keys))?;
        }
        *self.unlocked() = None;
        Ok(replaced)
    }

    fn root_files(&self, elsewhere: Option<&Path>) -> Vec<PathBuf> {
        let here = Some(self.keys.join("root.toml")).filter(|path| path.exists());
        here.into_iter().chain(elsewhere.map(Path::to_owned)).collect()
    }

    fn key_files(&self) -> Result<Vec<PathBuf>, KeyError> {
        let listed = self.entries()?.into_iter().filter(|path| super::role_of_file(path).is_some());
        Ok(listed.collect())
    }

    fn entries(&self) -> Result<Vec<PathBuf>, KeyError> {
        let error = || DataError::system("list", &self.keys);
        let entries = std::fs::read_dir(&self.keys).map_err(error())?;
        Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(error())?)
    }
}

/// Removes a file that a process left half written when it was killed: it may hold a secret in clear.
fn remove(path: &Path) -> Result<(), KeyError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DataError::system("remove", path)(error).into())
        }
        _ => Ok(()),
    }
}

/// Asks for a passphrase at the terminal.
///
/// # Errors
/// [`KeyError::BadSecret`].
pub fn prompt(text: &str) -> Result<KeySecret, KeyError> {
    let origin = "the passphrase typed".to_owned();
    let typed = rpassword::prompt_password(text)
        .map_err(|error| KeyError::BadSecret { origin: origin.clone(), detail: error.to_string() })?;
    KeySecret::passphrase(SecretString::from(typed), origin)
}
