//! The telephone line for terminals: lines of text over TCP, under TLS where the configuration says so.
//!
//! | From the VRU | |
//! |---|---|
//! | `vru 1` | first line: this is a VRU, version 1 of these lines |
//! | `say TEXT` | the voice says this |
//! | `keys MAX open` / `keys MAX hidden` | now keys, MAX of them; `hidden`: do not show them |
//! | `bye` | the call is over |
//!
//! The caller answers each `keys` with one line of up to 32 of `0`-`9`, `*`, `#`, or with `hangup`. Whoever is silent is
//! asked again, and the second time told goodbye.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::stopped;
use crate::networks::network;
use crate::vru::call::SILENCE_MS;
use crate::vru::conversation::{CALL_TIME_MAX, Conversation, KEYS_MAX, Turn};
use crate::vru::desk::Desk;
use crate::vru::english;

/// Calls at a time.
const CALLS_MAX: usize = 64;
/// Calls from one network at a time, so that nobody takes all lines.
const CALLS_PER_NETWORK_MAX: usize = 8;
/// How long the handshake of TLS may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// The first line.
pub const GREETING: &str = "vru 1";

/// Who is on the line.
#[derive(Default)]
struct Lines {
    calls: usize,
    of_network: HashMap<IpAddr, usize>,
}

impl Lines {
    /// Takes a line for a caller from `network`; false if there is none for this one.
    fn take(&mut self, network: Option<IpAddr>) -> bool {
        let of_network = network.and_then(|network| self.of_network.get(&network)).copied().unwrap_or(0);
        if self.calls >= CALLS_MAX || of_network >= CALLS_PER_NETWORK_MAX {
            return false;
        }
        self.calls += 1;
        if let Some(network) = network {
            self.of_network.insert(network, of_network + 1);
        }
        true
    }

    fn give_back(&mut self, network: Option<IpAddr>) {
        self.calls -= 1;
        let Some(network) = network else { return };
        let left = self.of_network.remove(&network).unwrap_or(0).saturating_sub(1);
        if left > 0 {
            self.of_network.insert(network, left);
        }
    }
}

/// Takes calls until `stop` becomes true.
pub(super) async fn run(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
) {
    let mut calls = JoinSet::new();
    let mut lines = Lines::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Callers of this machine, or behind a proxy on it, cannot be told apart.
                    let network = (!peer.ip().to_canonical().is_loopback()).then(|| network(peer.ip()));
                    if !lines.take(network) {
                        tracing::warn!("too many calls to the VRU; one was not answered");
                        continue;
                    }
                    let (desk, acceptor) = (Arc::clone(&desk), acceptor.clone());
                    calls.spawn(async move {
                        // Whoever goes away, or speaks no TLS, is gone.
                        let _ = tokio::time::timeout(CALL_TIME_MAX, answer(stream, acceptor, desk, network)).await;
                        network
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the VRU cannot answer a call");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(ended) = calls.join_next() => lines.give_back(ended.ok().flatten()),
            () = stopped(&mut stop) => break,
        }
    }
    // What was begun at the desk is finished there; the lines are cut.
    calls.shutdown().await;
}

async fn answer(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    desk: Arc<Desk>,
    network: Option<IpAddr>,
) -> std::io::Result<()> {
    let Some(acceptor) = acceptor else { return serve(stream, desk, network).await };
    let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await??;
    serve(shaken, desk, network).await
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    desk: Arc<Desk>,
    network: Option<IpAddr>,
) -> std::io::Result<()> {
    stream.write_all(format!("{GREETING}\n").as_bytes()).await?;
    let (mut conversation, mut turn) = Conversation::answer(desk, network);
    loop {
        let told = lines(&turn);
        stream.write_all(told.as_bytes()).await?;
        stream.flush().await?;
        if turn.listen.is_none() {
            return stream.shutdown().await;
        }
        let silence = Duration::from_millis(SILENCE_MS);
        let keys = match tokio::time::timeout(silence, line(&mut stream)).await {
            Err(_) => Vec::new(),
            Ok(line) => {
                let line = line?;
                let text = std::str::from_utf8(&line).ok().map(|text| text.trim_end_matches('\r'));
                // Hung up, or no telephone.
                let Some(keys) = text.and_then(Conversation::parse) else { return Ok(()) };
                keys
            }
        };
        turn = conversation.keys(&keys).await;
    }
}

/// One line without its end, byte by byte: a buffer would keep what was typed.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(KEYS_MAX + 2));
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(line),
            _ if line.len() > KEYS_MAX + 1 => return Err(std::io::ErrorKind::InvalidData.into()),
            byte => line.push(byte),
        }
    }
}

fn lines(turn: &Turn) -> Zeroizing<String> {
    let sentences: Vec<Zeroizing<String>> = turn.say.iter().map(english::text).collect();
    let length: usize = sentences.iter().map(|sentence| sentence.len() + 8).sum();
    let mut lines = Zeroizing::new(String::with_capacity(length + 32));
    for sentence in &sentences {
        lines.push_str("say ");
        lines.push_str(sentence);
        lines.push('\n');
    }
    match turn.listen {
        Some(listen) => {
            let how = if listen.hidden { "hidden" } else { "open" };
            lines.push_str(&format!("keys {} {how}\n", listen.keys_max));
        }
        None => lines.push_str("bye\n"),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_lines() {
        let mut lines = Lines::default();
        let network = |last: usize| Some(IpAddr::from([192, 0, 2, last as u8]));
        assert_eq!((0..100).filter(|_| lines.take(network(1))).count(), CALLS_PER_NETWORK_MAX);
        assert!(lines.take(None), "there are lines for others");
        lines.give_back(network(1));
        assert!(lines.take(network(1)) && !lines.take(network(1)));
        let others = (2..200).filter(|last| lines.take(network(*last))).count();
        assert_eq!(others, CALLS_MAX - CALLS_PER_NETWORK_MAX - 1);
        assert!(!lines.take(None) && !lines.take(network(201)));
        lines.give_back(None);
        (2..2 + others).for_each(|last| lines.give_back(network(last)));
        (0..CALLS_PER_NETWORK_MAX).for_each(|_| lines.give_back(network(1)));
        assert_eq!((lines.calls, lines.of_network.len()), (0, 0));
    }
}
