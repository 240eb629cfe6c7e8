//! TLS on the line: the server's certificate, which callers pin by its fingerprint.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use subtle::ConstantTimeEq;
use tokio_rustls::TlsAcceptor;

use super::VruError;
use crate::keys::TlsKey;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The server's side.
pub(super) fn acceptor(tls: &TlsKey) -> Result<TlsAcceptor, VruError> {
    let unusable = |error: &dyn std::fmt::Display| VruError::Tls(error.to_string());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(tls.private_key_pkcs8_der.to_vec()));
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(tls.certificate_der.clone())], key)
        .map_err(|error| unusable(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// SHA-256 of a certificate, in hexadecimal: what `openssl x509 -fingerprint -sha256` shows, without colons.
pub fn fingerprint(certificate_der: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate_der))
}

/// The caller's side: trusts the certificate with this fingerprint and nothing else.
///
/// # Errors
/// A text for people, where the fingerprint is none.
pub fn client_config(fingerprint: &str) -> Result<ClientConfig, String> {
    let mut pinned = [0; 32];
    let digits: String = fingerprint.chars().filter(|character| *character != ':').collect();
    hex::decode_to_slice(digits, &mut pinned)
        .map_err(|_| "the fingerprint has 64 hexadecimal digits: copy it from the mailer".to_owned())?;
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    let pinned = Arc::new(Pinned { fingerprint: pinned, algorithms });
    Ok(builder.dangerous().with_custom_certificate_verifier(pinned).with_no_client_auth())
}

#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, end_entity);
        if bool::from(found.as_ref().ct_eq(&self.fingerprint)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
