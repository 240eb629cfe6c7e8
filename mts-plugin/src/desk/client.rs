//! Batches over HTTPS, to the desk's own certificate and no other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::codec::Canonical;
use protocol::desk::{BATCH_PATH, DeskBatch, DeskDescription, DeskError};
use protocol::limits::DESK_ANSWER_BYTES_MAX;
use rustls::pki_types::CertificateDer;

use super::SendError;

/// The name in every TPS's certificate. It says nothing: the certificate itself is pinned.
const SERVER_NAME: &str = "tps.quittance";
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a batch may take from end to end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

fn client(certificate: &[u8], addresses: &[SocketAddr]) -> Result<reqwest::Client, SendError> {
    let unusable = |error: &dyn std::fmt::Display| SendError::Certificate(error.to_string());
    let mut anchors = rustls::RootCertStore::empty();
    anchors.add(CertificateDer::from(certificate.to_vec())).map_err(|error| unusable(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?
        .with_root_certificates(anchors)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve_to_addrs(SERVER_NAME, addresses)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .build()
        .map_err(|error| unusable(&error))
}

/// Sends a batch to the first address of the desk that answers; the bytes of the answer, not yet checked.
///
/// # Errors
/// [`SendError`].
pub async fn send(description: &DeskDescription, batch: &DeskBatch) -> Result<Vec<u8>, SendError> {
    let mut failed = SendError::Unreachable("it has no address".to_owned());
    for address in &description.addresses {
        let resolved = match tokio::net::lookup_host(address).await {
            Ok(resolved) => resolved.collect::<Vec<_>>(),
            Err(error) => {
                failed = SendError::Unreachable(format!("{address}: {error}"));
                continue;
            }
        };
        let Some(port) = resolved.first().map(SocketAddr::port) else { continue };
        let client = client(&description.server_certificate, &resolved)?;
        match post(&client, port, batch).await {
            Err(error @ SendError::Unreachable(_)) => failed = error,
            other => return other,
        }
    }
    Err(failed)
}

async fn post(client: &reqwest::Client, port: u16, batch: &DeskBatch) -> Result<Vec<u8>, SendError> {
    let url = format!("https://{SERVER_NAME}:{port}{BATCH_PATH}");
    let request = client.post(url).header("content-type", "application/octet-stream").body(batch.encode());
    let mut response = request.send().await.map_err(|error| SendError::Unreachable(causes(&error)))?;
    let success = response.status() == reqwest::StatusCode::OK;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| SendError::Unreachable(causes(&error)))? {
        if bytes.len() + chunk.len() > DESK_ANSWER_BYTES_MAX {
            return Err(SendError::Strange("the answer is too long".to_owned()));
        }
        bytes.extend_from_slice(&chunk);
    }
    if success {
        return Ok(bytes);
    }
    match DeskError::decode(&bytes).map(|error| error.code()) {
        Ok(Ok(code)) => Err(SendError::Refused(code)),
        _ => Err(SendError::Strange(format!("status {}", response.status()))),
    }
}

/// An error with everything behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
