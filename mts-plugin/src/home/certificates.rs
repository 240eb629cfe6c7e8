//! Session keys of the merchant, requests for their certificates, and the certificates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocol::certificate::{CertificateError, CertificateRequest, MerchantCertificate, VerifiedCertificate};
use protocol::codec::Canonical;
use protocol::key_set::PinnedKeySet;
use protocol::session::{AgreementPublic, AgreementSecret};
use protocol::signature::{MerchantRole, SigningKey};
use protocol::time::Timestamp;

use super::files::{file_error, read_if_there, read_key, write_key, write_private};
use super::{Home, HomeError};

/// A certified key pair of the merchant.
#[derive(Debug)]
pub struct CertifiedKey {
    /// The verified certificate.
    pub certificate: VerifiedCertificate,
    /// The secret of its session key.
    pub secret: AgreementSecret,
}

impl Home {
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

    /// Certified keys that are valid at `now`, newest first. Keys whose certificate has expired are destroyed: no customer confirms a
    /// quote that comes with it any more.
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
