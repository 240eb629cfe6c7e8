//! Connections to the TPS: one socket for all of a thread, one long-lived stream each.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail};
use cts_client::transport::{SERVER_NAME, client_config};
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use tokio::task::JoinSet;

/// Handshakes at a time: more would only time out while they wait for each other.
const HANDSHAKES_AT_ONCE: usize = 64;

/// Bytes that may wait in the socket, either way.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

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
    let local: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let mut endpoint = endpoint(local).context("no UDP socket can be opened")?;
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

/// An endpoint whose socket holds what a server answers at once: a thousand answers and more leave it together, and what is
/// dropped here looks like a slow server.
fn endpoint(local: SocketAddr) -> std::io::Result<Endpoint> {
    let socket = std::net::UdpSocket::bind(local)?;
    // As much as the system permits.
    let _ = set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(protocol::limits::UDP_PAYLOAD_BYTES_MAX).map_err(std::io::Error::other)?;
    Endpoint::new(config, None, socket, Arc::new(TokioRuntime))
}

async fn open(endpoint: Endpoint, address: SocketAddr) -> anyhow::Result<Connected> {
    let connecting = endpoint.connect(address, SERVER_NAME)?;
    let connection =
        connecting.await.with_context(|| format!("no connection to {address}: does a server run there?"))?;
    let (send, receive) = connection.open_bi().await?;
    Ok(Connected { connection, send, receive })
}
