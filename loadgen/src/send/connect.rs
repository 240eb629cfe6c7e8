//! Connections to the TPS: one socket for all of a thread, one long-lived stream each.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use cts_client::transport::{SERVER_NAME, client_config, client_endpoint};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::task::JoinSet;

/// Handshakes at a time: more would only time out while they wait for each other.
const HANDSHAKES_AT_ONCE: usize = 64;

/// A connection and its stream.
pub struct Connected {
    /// Keeps the connection open.
    pub connection: Connection,
    /// Requests.
    pub send: SendStream,
    /// Answers.
    pub receive: RecvStream,
}

/// Makes `count` connections to `address`, which must show `certificate`.
///
/// # Errors
/// Whatever prevents one of them.
pub async fn connect(address: &str, certificate: &[u8], count: usize) -> anyhow::Result<(Endpoint, Vec<Connected>)> {
    let resolved = tokio::net::lookup_host(address).await.with_context(|| format!("`{address}` cannot be resolved"))?;
    let Some(address) = resolved.into_iter().next() else { bail!("`{address}` has no address") };
    let mut endpoint = client_endpoint(address)?;
    endpoint.set_default_client_config(client_config(certificate)?);
    let mut connected = Vec::with_capacity(count);
    let mut handshakes = JoinSet::new();
    for _ in 0..count {
        if handshakes.len() == HANDSHAKES_AT_ONCE
            && let Some(done) = handshakes.join_next().await
        {
            connected.push(done??);
        }
        handshakes.spawn(open(endpoint.clone(), address));
    }
    while let Some(done) = handshakes.join_next().await {
        connected.push(done??);
    }
    Ok((endpoint, connected))
}

async fn open(endpoint: Endpoint, address: SocketAddr) -> anyhow::Result<Connected> {
    let connecting = endpoint.connect(address, SERVER_NAME)?;
    let connection =
        connecting.await.with_context(|| format!("no connection to {address}: does a server run there?"))?;
    let (send, receive) = connection.open_bi().await?;
    Ok(Connected { connection, send, receive })
}
