//! TLS and transport settings of the listener.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::ReceiveError;

/// Streams that a client may have open: enough for many agents behind one connection. More costs memory per connection.
const STREAMS_MAX: u32 = 100;
/// A connection without traffic is closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings for a self-signed certificate that clients pin.
pub(super) fn server_config(
    certificate_der: Vec<u8>,
    private_key_pkcs8_der: Zeroizing<Vec<u8>>,
) -> Result<quinn::ServerConfig, ReceiveError> {
    let unusable = |error: &dyn std::fmt::Display| ReceiveError::Tls(error.to_string());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private_key_pkcs8_der.to_vec()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate_der)], key)
        .map_err(|error| unusable(&error))?;
    tls.alpn_protocols = vec![protocol::limits::ALPN.to_vec()];
    // Early data saves a returning customer a round trip. Replays change nothing (DESIGN section 6); what is not a
    // request-for-payment is refused on it.
    tls.max_early_data_size = u32::MAX;
    let quic = QuicServerConfig::try_from(tls).map_err(|error| unusable(&error))?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(quic));
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_bidi_streams(STREAMS_MAX.into());
    transport.max_concurrent_uni_streams(0u8.into());
    transport.max_idle_timeout(IDLE_TIMEOUT.try_into().ok());
    transport.datagram_receive_buffer_size(None);
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.upper_bound(protocol::limits::UDP_PAYLOAD_BYTES_MAX);
    transport.mtu_discovery_config(Some(discovery));
    server.transport_config(Arc::new(transport));
    Ok(server)
}
