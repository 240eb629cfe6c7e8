//! The TLS key of the listener and its self-signed certificate, which enrolment bundles carry and clients pin.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{KeyError, raw};
use crate::data_directory::{DataDirectory, read_private, write_private};

/// The name in the certificate; clients pin the whole certificate, so the name says nothing about addresses.
pub const TLS_NAME: &str = "tps.quittance";

/// Certificate and secret key of the listener.
pub struct TlsKey {
    /// The certificate.
    pub certificate_der: Vec<u8>,
    /// Its key, PKCS #8.
    pub private_key_pkcs8_der: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsKey(hidden)")
    }
}

impl TlsKey {
    /// A new key with a certificate that outlives every pinned copy of it.
    ///
    /// # Errors
    /// [`KeyError::Tls`].
    pub fn generate() -> Result<Self, KeyError> {
        let failed = |error: rcgen::Error| KeyError::Tls(error.to_string());
        let key = rcgen::KeyPair::generate().map_err(failed)?;
        let mut parameters = rcgen::CertificateParams::new(vec![TLS_NAME.to_owned()]).map_err(failed)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, TLS_NAME);
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let certificate = parameters.self_signed(&key).map_err(failed)?;
        Ok(Self {
            certificate_der: certificate.der().to_vec(),
            private_key_pkcs8_der: Zeroizing::new(key.serialize_der()),
        })
    }

    /// Writes both files into the directory of keys; the secret sealed where that is protected.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn save(&self, data: &DataDirectory) -> Result<(), KeyError> {
        let keys = data.keys();
        raw::write(data.vault(), &private_key_path(&keys), &self.private_key_pkcs8_der)?;
        Ok(write_private(&keys.join("tls-certificate.der"), &self.certificate_der)?)
    }

    /// Reads both files.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(data: &DataDirectory) -> Result<Self, KeyError> {
        let keys = data.keys();
        let private_key_pkcs8_der = raw::read(data.vault(), &private_key_path(&keys))?;
        Ok(Self { certificate_der: load_certificate(&keys)?, private_key_pkcs8_der })
    }
}

/// Where the secret key lies.
pub(super) fn private_key_path(keys: &Path) -> PathBuf {
    keys.join("tls-key.der")
}

/// Reads the certificate alone.
///
/// # Errors
/// [`KeyError::Data`].
pub fn load_certificate(keys: &Path) -> Result<Vec<u8>, KeyError> {
    Ok(read_private(&keys.join("tls-certificate.der"))?.to_vec())
}
