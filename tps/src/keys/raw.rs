//! Secrets that lie in files of their own as bytes: the TLS key and that of the VRU's webhooks. Where the directory is protected
//! the file holds armor.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{KeyError, Vault};
use crate::data_directory::{read_private, write_private};

/// The files of this kind that there are.
pub(super) fn files(keys: &Path) -> impl Iterator<Item = PathBuf> {
    [super::tls::private_key_path(keys), webhook_key_path(keys)].into_iter().filter(|path| path.exists())
}

/// Where the key of the VRU's webhooks lies.
pub(crate) fn webhook_key_path(keys: &Path) -> PathBuf {
    keys.join("vru-webhook.key")
}

/// Whether a file holds armor. No such secret begins like this.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"-----BEGIN AGE")
}

/// Reads a secret, opened if it is sealed.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn read(vault: &Vault, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let bytes = read_private(path)?;
    if is_sealed(&bytes) { vault.open(&bytes, path) } else { Ok(bytes) }
}

/// Writes a secret, sealed where the directory is protected.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn write(vault: &Vault, path: &Path, secret: &[u8]) -> Result<(), KeyError> {
    let sealed = vault.seal(secret)?;
    Ok(write_private(path, sealed.as_ref().map_or(secret, |sealed| sealed.as_bytes()))?)
}

/// Seals a secret; false where it is sealed already.
pub(super) fn protect(vault: &Vault, path: &Path) -> Result<bool, KeyError> {
    let bytes = read_private(path)?;
    let open = !is_sealed(&bytes);
    if open {
        write(vault, path, &bytes)?;
    }
    Ok(open)
}

/// Writes a secret in clear; false where it is so already.
pub(super) fn unprotect(vault: &Vault, path: &Path) -> Result<bool, KeyError> {
    let bytes = read_private(path)?;
    if is_sealed(&bytes) {
        write_private(path, &vault.open(&bytes, path)?)?;
    }
    Ok(is_sealed(&bytes))
}
