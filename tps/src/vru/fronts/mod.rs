//! The ways in to the VRU. They only carry keys and sentences; what a call may do is decided elsewhere.

pub mod line;
pub mod signature;
pub mod tls;
pub mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::desk::Desk;
use crate::config::Config;
use crate::keys::{KeyError, TlsKey};
use signature::WebhookKey;

/// Why the VRU cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum VruError {
    /// The address is taken or not ours.
    #[error("cannot listen on TCP {address}: {error}; set `{key}` to another address, or to \"off\"")]
    Bind {
        /// Which key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The certificate or its key is unusable.
    #[error("the TLS certificate of the server is unusable: {0}; restore keys/ from a backup")]
    Tls(String),
    /// The key of the webhooks.
    #[error("the webhooks of the VRU need a key: {0}; make one with `tps vru webhook-key`")]
    WebhookKey(KeyError),
    /// The key of the webhooks is none.
    #[error("{0} holds no key for webhooks (16 to 256 characters): make one with `tps vru webhook-key`")]
    BadWebhookKey(std::path::PathBuf),
}

/// Bound fronts.
pub struct Fronts {
    line: Option<(TcpListener, Option<TlsAcceptor>)>,
    webhook: Option<(TcpListener, WebhookKey, String)>,
}

impl Fronts {
    /// Binds the line at `line` and the webhooks, which need their key, at `webhooks`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`VruError`].
    pub fn bind(
        config: &Config,
        (line, webhooks): (Option<SocketAddr>, Option<SocketAddr>),
        webhook_key: Option<WebhookKey>,
        tls: &TlsKey,
    ) -> Result<Self, VruError> {
        let acceptor = if config.vru_tls { Some(tls::acceptor(tls)?) } else { None };
        let line = match line.map(|address| bind("vru_listen", address)).transpose() {
            Ok(listener) => listener.map(|listener| (listener, acceptor)),
            // An address that nobody chose must not keep payments from being served; `tps status` says that the VRU is off.
            Err(error) if config.vru_listen.is_none() => {
                tracing::error!(%error, "the VRU is not reachable");
                None
            }
            Err(error) => return Err(error),
        };
        let webhook = match webhooks.zip(webhook_key) {
            None => None,
            Some((address, key)) => Some((bind("vru_http_listen", address)?, key, config.vru_http_url.clone())),
        };
        Ok(Self { line, webhook })
    }

    /// Where the line and the webhooks listen, with the real ports.
    pub fn bound(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let line = self.line.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        (line, self.webhook.as_ref().and_then(|(listener, ..)| listener.local_addr().ok()))
    }

    /// Serves until `stop` becomes true; then calls end where they are.
    pub async fn run(self, desk: Arc<Desk>, stop: watch::Receiver<bool>) {
        let line = async {
            if let Some((listener, acceptor)) = self.line {
                line::run(listener, acceptor, Arc::clone(&desk), stop.clone()).await;
            }
        };
        let webhook = async {
            if let Some((listener, key, url)) = self.webhook {
                webhook::run(listener, key, url, Arc::clone(&desk), stop.clone()).await;
            }
        };
        tokio::join!(line, webhook);
    }
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, VruError> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    bound.map_err(|error| VruError::Bind { key, address, error })
}

/// Returns once `stop` is true.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The guard must not live across another await: it is bound to this thread.
    let _ = stop.wait_for(|stop| *stop).await.map(drop);
}
