//! Receive and send: QUIC connections of customers, frames on long-lived streams (DESIGN section 7).
//!
//! Everything here runs on one single-threaded runtime and does no cryptography beyond QUIC's own; requests go to the
//! [`Engine`], answers come back in any order and are coalesced per stream.

mod activation;
mod answers;
mod budget;
mod connection;
mod frames;
mod key_set;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::enrolment::SignaturePolicy;
use protocol::ids::RealmId;
use zeroize::Zeroizing;

use crate::pipeline::Engine;
use crate::pipeline::engine::Intake;
use budget::Budgets;
use key_set::KeySetFile;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

/// Bytes that may wait in the socket, either way.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// Bounds and address of the listener.
#[derive(Debug, Clone)]
pub struct ReceiveConfig {
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// Connections at a time; further ones are refused.
    pub connections_max: usize,
    /// Requests that one connection may have unanswered; further ones get `OverBudget`.
    pub open_requests_per_connection_max: usize,
    /// Requests that one network address may have unanswered; further ones get `OverBudget`.
    pub open_requests_per_address_max: usize,
    /// Print every message, without secrets.
    pub frames: bool,
    /// File with the signed key set for customers, given to whoever asks; `None` gives none.
    pub key_set: Option<PathBuf>,
}

impl Default for ReceiveConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], protocol::limits::TPS_PORT)),
            connections_max: 20_000,
            open_requests_per_connection_max: 4_096,
            open_requests_per_address_max: 65_536,
            frames: false,
            key_set: None,
        }
    }
}

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The address is taken or not ours.
    #[error("cannot listen on UDP {address}: {error}; choose another with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The TLS certificate or key is unusable.
    #[error("the TLS certificate of the server is unusable: {0}; make a new one with `tps init` in an empty directory")]
    Tls(String),
}

/// What connections share.
pub(crate) struct Shared {
    engine: Arc<Engine>,
    budgets: Arc<Budgets>,
    activations: activation::Desk,
    frames: bool,
}

/// A bound listener.
pub struct Listener {
    endpoint: quinn::Endpoint,
    shared: Arc<Shared>,
    connections_max: usize,
}

impl Listener {
    /// Binds the UDP address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn bind(
        config: &ReceiveConfig,
        certificate_der: Vec<u8>,
        private_key_pkcs8_der: Zeroizing<Vec<u8>>,
        realm: RealmId,
        policy: SignaturePolicy,
        engine: Arc<Engine>,
    ) -> Result<Self, ReceiveError> {
        let server = tls::server_config(certificate_der, private_key_pkcs8_der)?;
        let address = config.listen;
        let bound = std::net::UdpSocket::bind(address).and_then(|socket| {
            // As much as the system permits: what arrives while the network's thread waits for a processor is not lost.
            let _ = set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
            let _ = set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
            let mut endpoint = quinn::EndpointConfig::default();
            let size = endpoint.max_udp_payload_size(protocol::limits::UDP_PAYLOAD_BYTES_MAX);
            size.map_err(std::io::Error::other)?;
            quinn::Endpoint::new(endpoint, Some(server), socket, Arc::new(quinn::TokioRuntime))
        });
        let endpoint = bound.map_err(|error| ReceiveError::Bind { address, error })?;
        let budgets = Budgets::new(config.open_requests_per_connection_max, config.open_requests_per_address_max);
        let activations =
            activation::Desk::start(Arc::clone(&engine), realm, policy, KeySetFile::at(config.key_set.clone()));
        let shared = Shared { engine, budgets, activations, frames: config.frames };
        Ok(Self { endpoint, shared: Arc::new(shared), connections_max: config.connections_max })
    }

    /// The address bound, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)))
    }

    /// Serves until `stop` becomes true; then refuses what is new, answers what is open, and returns.
    pub async fn run(self, mut stop: tokio::sync::watch::Receiver<bool>) {
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.accept(incoming),
                    None => break,
                },
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.shared.engine.set_intake(Intake::Draining);
        self.endpoint.set_server_config(None);
        if tokio::time::timeout(Duration::from_secs(10), self.shared.budgets.all_answered()).await.is_err() {
            tracing::warn!(
                open = self.shared.budgets.open(),
                "stopping with requests unanswered; their clients ask again"
            );
        }
        // A moment for the last answers to leave: closing drops what is still in QUIC's buffers.
        for connection_count in std::iter::repeat_with(|| self.endpoint.open_connections()).take(10) {
            if connection_count == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.endpoint.close(0u32.into(), b"the server stops");
        let _ = tokio::time::timeout(Duration::from_secs(2), self.endpoint.wait_idle()).await;
        // The tasks of closed connections end at their next turn; then nobody but the caller holds the pipeline.
        for _ in 0..400 {
            if Arc::strong_count(&self.shared) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn accept(&self, incoming: quinn::Incoming) {
        let open = self.endpoint.open_connections();
        if open >= self.connections_max {
            self.shared.engine.counters().connections.refused.add(1);
            return incoming.refuse();
        }
        // When many are open, a new one must show first that its address is its own.
        if open >= self.connections_max / 2 && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            return;
        }
        tokio::spawn(connection::serve(incoming, Arc::clone(&self.shared)));
    }
}
