//! Batches over HTTPS: TCP, a port of its own, the TPS's own TLS key. No payment ever comes this way, and no batch the other.

mod limits;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use protocol::codec::Canonical;
use protocol::desk::{BATCH_PATH, DeskError, DeskErrorCode};
use protocol::limits::DESK_BATCH_BYTES_MAX;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::DeskHandle;
use limits::Limits;

/// Connections at a time; further ones are closed.
const CONNECTIONS_MAX: usize = 256;
/// How long one connection may last, handshake, batch and answer together.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the TLS handshake, and then the head of a request, may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a merchant waits for an answer; the batch is carried out all the same, and sent again it is answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long connections may go on when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// When a refused merchant should come again, in milliseconds.
const RETRY_AFTER_MS: u32 = 5_000;

/// Why the desk cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum DeskListenError {
    /// The address is taken or not ours.
    #[error(
        "cannot listen on TCP {address} for merchants: {error}; choose another with `desk_listen` in tps.toml, or switch it \"off\""
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The TLS certificate or key is unusable.
    #[error("the TLS certificate of the server is unusable: {0}; restore keys/ from a backup")]
    Tls(String),
}

/// A bound listener of the desk.
pub struct DeskListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl DeskListener {
    /// Binds the first of `addresses` that is free. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DeskListenError`], that of the last address.
    pub fn bind(
        addresses: &[SocketAddr],
        certificate_der: Vec<u8>,
        private_key_pkcs8_der: &[u8],
    ) -> Result<Self, DeskListenError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate_der, private_key_pkcs8_der)?));
        let mut failed = DeskListenError::Tls("no address".to_owned());
        for address in addresses {
            let bound = std::net::TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            });
            match bound {
                Ok(listener) => return Ok(Self { listener, acceptor }),
                Err(error) => failed = DeskListenError::Bind { address: *address, error },
            }
        }
        Err(failed)
    }

    /// The address bound, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)))
    }

    /// Serves until `stop` becomes true, then lets what is under way end.
    pub async fn run(self, desk: DeskHandle, mut stop: watch::Receiver<bool>) {
        let limits = Arc::new(Limits::new());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) if connections.len() < CONNECTIONS_MAX => {
                        let Some(counted) = limits.connect(peer.ip()) else {
                            tracing::debug!(peer = %peer.ip(), "too many connections of one network; one was closed");
                            continue;
                        };
                        let router = router(desk.clone(), Arc::clone(&limits), peer.ip());
                        let connection = serve(self.acceptor.clone(), stream, router);
                        connections.spawn(async move {
                            let _counted = counted;
                            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
                        });
                    }
                    Ok(_) => tracing::debug!("too many connections to the desk; one was closed"),
                    Err(error) => {
                        tracing::warn!(%error, "the desk cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = stopped(&mut stop) => break,
            }
        }
        drop(self.listener);
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
            tracing::warn!("stopping while merchants wait at the desk; they send the same batch again");
        }
    }
}

fn server_config(certificate_der: Vec<u8>, key: &[u8]) -> Result<rustls::ServerConfig, DeskListenError> {
    let unusable = |error: rustls::Error| DeskListenError::Tls(error.to_string());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate_der)], key)
        .map_err(unusable)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// One connection, one request after another.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream, router: Router) {
    let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await else { return };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a merchant's connection ended early");
    }
}

#[derive(Clone)]
struct Service {
    desk: DeskHandle,
    limits: Arc<Limits>,
    peer: IpAddr,
}

/// All that a merchant can ask for: hand in a batch.
fn router(desk: DeskHandle, limits: Arc<Limits>, peer: IpAddr) -> Router {
    Router::new()
        .route(BATCH_PATH, post(batch))
        .layer(DefaultBodyLimit::max(DESK_BATCH_BYTES_MAX))
        .with_state(Service { desk, limits, peer })
}

async fn batch(State(service): State<Service>, body: Bytes) -> Response {
    if !service.limits.take(service.peer, Instant::now()) {
        return refusal(DeskErrorCode::Overloaded);
    }
    let desk = service.desk;
    // Judging reads a book and verifies a signature.
    let submitted = tokio::task::spawn_blocking(move || desk.submit(&body)).await;
    let answer = match submitted {
        Ok(Ok(answer)) => answer,
        Ok(Err(code)) => return refusal(code),
        Err(_) => return refusal(DeskErrorCode::Unavailable),
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(Ok(bytes))) => response(StatusCode::OK, bytes),
        Ok(Ok(Err(code))) => refusal(code),
        Ok(Err(_)) => refusal(DeskErrorCode::Unavailable),
        Err(_) => refusal(DeskErrorCode::Overloaded),
    }
}

fn refusal(code: DeskErrorCode) -> Response {
    let status = match code {
        DeskErrorCode::Malformed | DeskErrorCode::UnsupportedVersion | DeskErrorCode::UnsupportedSuite => {
            StatusCode::BAD_REQUEST
        }
        DeskErrorCode::Overloaded | DeskErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        DeskErrorCode::BadSignature | DeskErrorCode::UnknownMerchant | DeskErrorCode::NotCertified => {
            StatusCode::FORBIDDEN
        }
        DeskErrorCode::OtherRealm | DeskErrorCode::OtherBatch => StatusCode::CONFLICT,
    };
    let retry_after_ms = if code.is_transient() { RETRY_AFTER_MS } else { 0 };
    response(status, DeskError::new(code, retry_after_ms).encode())
}

fn response(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = (status, bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns once `stop` is true.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(drop);
}
