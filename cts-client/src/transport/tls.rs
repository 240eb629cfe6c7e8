//! TLS towards the TPS: its own certificate, pinned, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;

use super::TransportError;

/// The name in every TPS's certificate. It says nothing: the certificate itself is pinned.
pub const SERVER_NAME: &str = "tps.quittance";
/// After this time without a sign of the TPS a connection is given up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an idle connection shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// QUIC configuration that trusts the certificate `server_certificate` (DER) alone. Tickets of earlier connections are kept
/// in memory, for resumption and early data; never on disk.
pub(super) fn client_config(server_certificate: &[u8]) -> Result<quinn::ClientConfig, TransportError> {
    let unusable = |error: &dyn std::fmt::Display| TransportError::Certificate(error.to_string());
    let mut anchors = rustls::RootCertStore::empty();
    anchors.add(CertificateDer::from(server_certificate.to_vec())).map_err(|error| unusable(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?
        .with_root_certificates(anchors)
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol::limits::ALPN.to_vec()];
    tls.enable_early_data = true;
    let quic = QuicClientConfig::try_from(tls).map_err(|error| unusable(&error))?;

    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(quinn::IdleTimeout::try_from(IDLE_TIMEOUT).ok());
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    // The TPS opens no streams and sends no datagrams.
    transport.max_concurrent_bidi_streams(0u8.into());
    transport.max_concurrent_uni_streams(0u8.into());
    config.transport_config(Arc::new(transport));
    Ok(config)
}
