//! Secret files that are sealed as a whole: the key of TLS, and the one that a telephony provider shares.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{KeyError, Vault};
use crate::data_directory::{read_private, write_private};

/// Their names among the keys. Either may be missing.
const NAMES: [&str; 2] = ["tls-key.der", "vru-webhook.key"];

/// Whether a file holds armor. Neither DER nor a shared key begins so.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"-----BEGIN AGE")
}

impl Vault {
    /// Reads the secret file at `path`, and opens it where it is sealed.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let bytes = read_private(path)?;
        if is_sealed(&bytes) { self.open(&bytes, path) } else { Ok(bytes) }
    }

    /// Writes `secret` to the file at `path`, sealed where the directory is protected.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn write(&self, path: &Path, secret: &[u8]) -> Result<(), KeyError> {
        let sealed = self.seal(secret)?;
        Ok(write_private(path, sealed.as_ref().map_or(secret, |sealed| sealed.as_bytes()))?)
    }
}

/// Seals what lies in clear; the files that were replaced.
pub(super) fn protect(keys: &Path, vault: &Vault) -> Result<Vec<PathBuf>, KeyError> {
    replace(keys, |path, bytes| if is_sealed(bytes) { Ok(false) } else { vault.write(path, bytes).map(|()| true) })
}

/// Writes what is sealed in clear; the files that were replaced.
pub(super) fn unprotect(keys: &Path, vault: &Vault) -> Result<Vec<PathBuf>, KeyError> {
    replace(keys, |path, bytes| {
        if is_sealed(bytes) {
            write_private(path, &vault.open(bytes, path)?)?;
        }
        Ok(is_sealed(bytes))
    })
}

fn replace(keys: &Path, change: impl Fn(&Path, &[u8]) -> Result<bool, KeyError>) -> Result<Vec<PathBuf>, KeyError> {
    let mut replaced = Vec::new();
    for path in NAMES.map(|name| keys.join(name)).into_iter().filter(|path| path.exists()) {
        if change(&path, &read_private(&path)?)? {
            replaced.push(path);
        }
    }
    Ok(replaced)
}
