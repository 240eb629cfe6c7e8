//! A raw QUIC client: one request, one answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::frame::{Frame, frame_header};
use rustls::pki_types::CertificateDer;

/// An endpoint that trusts one certificate.
pub fn client(certificate: CertificateDer<'static>) -> quinn::Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol::limits::ALPN.to_vec()];
    tls.enable_early_data = true;
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(quic)));
    endpoint
}

pub fn framed(id: u32, message: &[u8]) -> Vec<u8> {
    [&frame_header(id, message.len())[..], message].concat()
}

/// Reads frames until `count` have come.
pub async fn read_frames(receive: &mut quinn::RecvStream, count: usize) -> Vec<(u32, Vec<u8>)> {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    while frames.len() < count {
        let chunk = tokio::time::timeout(Duration::from_secs(20), receive.read_chunk(65_536, true)).await;
        buffer.extend_from_slice(&chunk.expect("in time").unwrap().expect("more").bytes);
        while let Some(frame) = Frame::first(&buffer).unwrap() {
            let used = frame.bytes();
            frames.push((frame.request_id, frame.message.to_vec()));
            buffer.drain(..used);
        }
    }
    frames
}

/// Sends one message over a new connection; `None` if the connection ends or nothing comes within `patience`.
pub async fn exchange(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    message: &[u8],
    patience: Duration,
) -> Option<Vec<u8>> {
    let endpoint = client(certificate);
    let talk = async {
        let connection = endpoint.connect(address, "tps.quittance").ok()?.await.ok()?;
        let (mut send, mut receive) = connection.open_bi().await.ok()?;
        send.write_all(&framed(1, message)).await.ok()?;
        let mut buffer = Vec::new();
        loop {
            buffer.extend_from_slice(&receive.read_chunk(65_536, true).await.ok()??.bytes);
            if let Some(frame) = Frame::first(&buffer).ok()? {
                return Some(frame.message.to_vec());
            }
        }
    };
    tokio::time::timeout(patience, talk).await.ok().flatten()
}
