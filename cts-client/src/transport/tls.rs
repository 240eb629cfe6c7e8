//! TLS towards the TPS: its own certificate, pinned, and nothing else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
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
///
/// # Errors
/// [`TransportError::Certificate`].
pub fn client_config(server_certificate: &[u8]) -> Result<quinn::ClientConfig, TransportError> {
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
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.upper_bound(protocol::limits::UDP_PAYLOAD_BYTES_MAX);
    transport.mtu_discovery_config(Some(discovery));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// A UDP socket for connections to `address`. Must be called within a tokio runtime.
///
/// # Errors
/// [`TransportError::Socket`].
pub(super) fn client_endpoint(address: SocketAddr) -> Result<quinn::Endpoint, TransportError> {
    let local: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let endpoint = UdpSocket::bind(local).and_then(|socket| {
        let mut config = quinn::EndpointConfig::default();
        let size = config.max_udp_payload_size(protocol::limits::UDP_PAYLOAD_BYTES_MAX);
        size.map_err(std::io::Error::other)?;
        quinn::Endpoint::new(config, None, socket, Arc::new(quinn::TokioRuntime))
    });
    endpoint.map_err(|error| TransportError::Socket(error.to_string()))
}
