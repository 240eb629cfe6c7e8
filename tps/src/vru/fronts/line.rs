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

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::stopped;
use crate::vru::call::SILENCE_MS;
use crate::vru::conversation::{CALL_TIME_MAX, Conversation, KEYS_MAX, Turn};
use crate::vru::desk::Desk;
use crate::vru::english;

/// Calls at a time.
const CALLS_MAX: usize = 64;
/// How long the handshake of TLS may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// The first line.
pub const GREETING: &str = "vru 1";

/// Takes calls until `stop` becomes true.
pub(super) async fn run(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
) {
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if calls.len() < CALLS_MAX => {
                    let (desk, acceptor) = (Arc::clone(&desk), acceptor.clone());
                    calls.spawn(tokio::time::timeout(CALL_TIME_MAX, async move {
                        match acceptor {
                            None => serve(stream, desk).await,
                            Some(acceptor) => {
                                let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await;
                                serve(shaken??, desk).await
                            }
                        }
                    }));
                }
                Ok(_) => tracing::warn!("too many calls to the VRU; one was not answered"),
                Err(error) => {
                    tracing::warn!(%error, "the VRU cannot answer a call");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = calls.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    // What was begun at the desk is finished there; the lines are cut.
    calls.shutdown().await;
}

async fn serve(stream: impl AsyncRead + AsyncWrite, desk: Arc<Desk>) -> std::io::Result<()> {
    let (reading, mut writing) = tokio::io::split(stream);
    let mut reading = std::pin::pin!(BufReader::new(reading));
    writing.write_all(format!("{GREETING}\n").as_bytes()).await?;
    let (mut conversation, mut turn) = Conversation::answer(desk);
    loop {
        let told = lines(&turn);
        writing.write_all(told.as_bytes()).await?;
        writing.flush().await?;
        if turn.listen.is_none() {
            return writing.shutdown().await;
        }
        let mut line = Zeroizing::new(Vec::with_capacity(KEYS_MAX + 2));
        let mut limited = (&mut reading).take(KEYS_MAX as u64 + 2);
        let read = tokio::time::timeout(Duration::from_millis(SILENCE_MS), limited.read_until(b'\n', &mut line)).await;
        let keys = match read {
            Err(_) => Vec::new(),
            Ok(length) => {
                length?;
                let text = std::str::from_utf8(&line).ok().and_then(|line| line.strip_suffix('\n'));
                let keys = text.map(|text| text.trim_end_matches('\r')).and_then(Conversation::parse);
                // Gone, hung up, or no telephone.
                let Some(keys) = keys else { return Ok(()) };
                keys
            }
        };
        turn = conversation.keys(&keys).await;
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
