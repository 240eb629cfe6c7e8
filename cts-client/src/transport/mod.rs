//! The way to the TPS: QUIC, one long-lived stream, frames of [`protocol::frame`], answers in any order by their id.
//!
//! A [`ProcessorConnection`] can be cloned and used by any number of tasks at once; requests of all of them share the stream.
//! It knows nothing of what it carries, but for one thing: only requests-for-payment go into early data (0-RTT), because
//! replaying them is harmless (DESIGN section 6, K-135). It connects again by itself after the connection was lost.

mod link;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::frame::MessageType;
use protocol::limits::FRAME_MESSAGE_BYTES_MAX;

use link::Link;
use tls::client_endpoint;
pub use tls::{SERVER_NAME, client_config};

/// How long one request may take, unless the caller says otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a handshake with one address of the TPS may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a TPS is and how it is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessorTarget {
    /// `host:port`, best first.
    pub addresses: Vec<String>,
    /// The TLS certificate (DER) of the TPS: the only one that is trusted.
    pub server_certificate: Vec<u8>,
}

/// Why a message got no answer. It may have arrived nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The certificate in the enrolment is of no use.
    #[error("the TPS's TLS certificate cannot be used ({0}): ask the operator for a new enrolment bundle")]
    Certificate(String),
    /// No socket.
    #[error("no UDP socket can be opened: {0}")]
    Socket(String),
    /// None of the addresses answered.
    #[error("the TPS cannot be reached: {0}; check the network and ask again")]
    Unreachable(String),
    /// Connected, then lost.
    #[error("the connection to the TPS was lost ({0}): ask again")]
    Lost(String),
    /// No answer in time.
    #[error("the TPS did not answer within {0:?}: ask again")]
    TimedOut(Duration),
    /// Longer than a frame.
    #[error("a message of {0} bytes is longer than the {FRAME_MESSAGE_BYTES_MAX} that a frame takes")]
    MessageTooLong(usize),
}

impl TransportError {
    /// Whether asking again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Lost(_) | Self::TimedOut(_))
    }
}

/// A connection to a TPS, shared by all its clones.
#[derive(Clone)]
pub struct ProcessorConnection(Arc<Shared>);

struct Shared {
    addresses: Vec<String>,
    config: quinn::ClientConfig,
    link: Mutex<Option<Arc<Link>>>,
    /// Held while connecting, so that many waiting requests make one connection.
    connecting: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for ProcessorConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProcessorConnection({:?})", self.0.addresses)
    }
}

impl ProcessorConnection {
    /// A connection that is made when it is first used.
    ///
    /// # Errors
    /// [`TransportError::Certificate`].
    pub fn new(target: &ProcessorTarget) -> Result<Self, TransportError> {
        let config = tls::client_config(&target.server_certificate)?;
        let shared = Shared {
            addresses: target.addresses.clone(),
            config,
            link: Mutex::new(None),
            connecting: Default::default(),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Connects now.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn connect(target: &ProcessorTarget) -> Result<Self, TransportError> {
        let connection = Self::new(target)?;
        connection.link(false).await?;
        Ok(connection)
    }

    /// Connects if there is no connection, so that an unreachable TPS is noticed before anything is begun.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn ready(&self) -> Result<(), TransportError> {
        self.link(true).await.map(|_| ())
    }

    /// Sends a message and waits for its answer, at most [`REQUEST_TIMEOUT`].
    ///
    /// # Errors
    /// [`TransportError`]; except for [`TransportError::MessageTooLong`] the message may have been processed.
    pub async fn request(&self, message: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.request_within(message, REQUEST_TIMEOUT).await
    }

    /// As [`Self::request`], at most `timeout` for everything.
    ///
    /// # Errors
    /// [`TransportError`]; except for [`TransportError::MessageTooLong`] the message may have been processed.
    pub async fn request_within(&self, message: &[u8], timeout: Duration) -> Result<Vec<u8>, TransportError> {
        if message.len() > FRAME_MESSAGE_BYTES_MAX {
            return Err(TransportError::MessageTooLong(message.len()));
        }
        let answer = tokio::time::timeout(timeout, self.exchange(message)).await;
        answer.unwrap_or(Err(TransportError::TimedOut(timeout)))
    }

    async fn exchange(&self, message: &[u8]) -> Result<Vec<u8>, TransportError> {
        let replayable = MessageType::of(message) == Ok(MessageType::RequestForPayment);
        let reused = self.current().is_some();
        let link = self.link(replayable).await?;
        if !replayable {
            link.handshake_finished().await;
        }
        let early = link.is_early();
        match link.request(message).await {
            // A connection that was idle may have ended unnoticed, and early data may be rejected: the same bytes once more
            // over a fresh connection. Whoever answers them twice gives the same answer.
            Err(TransportError::Lost(_)) if reused || early => self.link(false).await?.request(message).await,
            answer => answer,
        }
    }

    fn current(&self) -> Option<Arc<Link>> {
        let link = self.0.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.as_ref().filter(|link| link.is_open()).cloned()
    }

    async fn link(&self, early: bool) -> Result<Arc<Link>, TransportError> {
        if let Some(link) = self.current() {
            return Ok(link);
        }
        let _one_at_a_time = self.0.connecting.lock().await;
        if let Some(link) = self.current() {
            return Ok(link);
        }
        let link = Arc::new(self.open(early).await?);
        *self.0.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
        Ok(link)
    }

    async fn open(&self, early: bool) -> Result<Link, TransportError> {
        let mut failures = Vec::new();
        for address in &self.0.addresses {
            let resolved = match tokio::net::lookup_host(address).await {
                Ok(resolved) => resolved,
                Err(error) => {
                    failures.push(format!("{address}: {error}"));
                    continue;
                }
            };
            for socket in resolved {
                let attempt = Link::open(socket, self.0.config.clone(), early);
                match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
                    Ok(Ok(link)) => return Ok(link),
                    Ok(Err(error)) => failures.push(format!("{socket}: {error}")),
                    Err(_) => failures.push(format!("{socket}: no answer within {CONNECT_TIMEOUT:?}")),
                }
            }
        }
        Err(TransportError::Unreachable(failures.join("; ")))
    }

    /// Says goodbye to the TPS, so that it need not wait for a timeout. Waits a moment at most.
    pub async fn close(&self) {
        let link = self.0.link.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(link) = link {
            link.close().await;
        }
    }
}

#[cfg(test)]
mod tests;
