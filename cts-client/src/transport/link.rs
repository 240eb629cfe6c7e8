//! One QUIC connection with its one stream. It ends once, and is then replaced by another.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use dashmap::DashMap;
use protocol::frame::{FRAME_HEADER_BYTES, Frame, frame_header};
use tokio::sync::{mpsc, oneshot, watch};

use super::{SERVER_NAME, TransportError, client_endpoint};

/// Frames that wait for the network at most; more senders wait before them.
const WRITE_QUEUE_FRAMES: usize = 4_096;
/// Bytes that are handed to the network at once: requests that wait together travel together.
const WRITE_BYTES: usize = 64 * 1_024;
/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Answers that are waited for. Any number of an agent's tasks ask, and one task reads what comes.
#[derive(Default)]
struct Waiting {
    /// By request id.
    answers: DashMap<u32, oneshot::Sender<Vec<u8>>>,
    /// Why the link ended, once it did.
    ended: OnceLock<String>,
}

type SharedWaiting = Arc<Waiting>;

pub(super) struct Link {
    endpoint: quinn::Endpoint,
    connection: quinn::Connection,
    frames: mpsc::Sender<Vec<u8>>,
    waiting: SharedWaiting,
    next_id: AtomicU32,
    /// `false` while early data may still be rejected.
    confirmed: watch::Receiver<bool>,
    tasks: [tokio::task::AbortHandle; 2],
}

fn end(waiting: &SharedWaiting, reason: String) {
    waiting.ended.get_or_init(|| reason);
    // Dropping the senders tells everybody who waits.
    waiting.answers.clear();
}

/// Forgets an answer that nobody waits for any more, for example after a timeout.
struct Forget<'a>(&'a SharedWaiting, u32);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.answers.remove(&self.1);
    }
}

impl Link {
    /// Connects to `address`. With `early` and a ticket from before, the link is ready before the handshake is.
    pub(super) async fn open(
        address: SocketAddr,
        config: quinn::ClientConfig,
        early: bool,
    ) -> Result<Self, TransportError> {
        let unreachable = |error: &dyn std::fmt::Display| TransportError::Unreachable(error.to_string());
        let endpoint = client_endpoint(address)?;
        let connecting = endpoint.connect_with(config, address, SERVER_NAME).map_err(|error| unreachable(&error))?;
        let (confirm, confirmed) = watch::channel(false);
        let connecting = if early { connecting.into_0rtt() } else { Err(connecting) };
        let connection = match connecting {
            Ok((connection, accepted)) => {
                tokio::spawn(async move {
                    accepted.await;
                    confirm.send_replace(true);
                });
                connection
            }
            Err(connecting) => {
                confirm.send_replace(true);
                connecting.await.map_err(|error| unreachable(&error))?
            }
        };
        let (send, receive) = connection.open_bi().await.map_err(|error| unreachable(&error))?;
        let waiting = SharedWaiting::default();
        let (frames, queue) = mpsc::channel(WRITE_QUEUE_FRAMES);
        let tasks = [
            tokio::spawn(write(send, queue, Arc::clone(&waiting))).abort_handle(),
            tokio::spawn(read(receive, Arc::clone(&waiting))).abort_handle(),
        ];
        Ok(Self { endpoint, connection, frames, waiting, next_id: AtomicU32::new(0), confirmed, tasks })
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none() && self.waiting.ended.get().is_none()
    }

    /// Whether what is sent now is early data.
    pub(super) fn is_early(&self) -> bool {
        !*self.confirmed.borrow()
    }

    /// Waits until nothing that is sent is early data.
    pub(super) async fn handshake_finished(&self) {
        let mut confirmed = self.confirmed.clone();
        // An error means that the connection is gone; the request will say so.
        let _gone = confirmed.wait_for(|confirmed| *confirmed).await;
    }

    pub(super) async fn request(&self, message: &[u8]) -> Result<Vec<u8>, TransportError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.answers.insert(id, answer);
        let _forget = Forget(&self.waiting, id);
        // Looked at after the insertion: whoever ends the link either clears this answer away or was seen here.
        if self.waiting.ended.get().is_some() {
            return Err(self.lost());
        }
        let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + message.len());
        frame.extend_from_slice(&frame_header(id, message.len()));
        frame.extend_from_slice(message);
        if self.frames.send(frame).await.is_err() {
            return Err(self.lost());
        }
        answered.await.map_err(|_| self.lost())
    }

    fn lost(&self) -> TransportError {
        let ended = self.waiting.ended.get().cloned();
        TransportError::Lost(ended.unwrap_or_else(|| "the connection ended".to_owned()))
    }

    pub(super) async fn close(&self) {
        self.connection.close(0u8.into(), b"");
        let _late = tokio::time::timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.connection.close(0u8.into(), b"");
    }
}

async fn write(mut stream: quinn::SendStream, mut queue: mpsc::Receiver<Vec<u8>>, waiting: SharedWaiting) {
    let mut together = Vec::with_capacity(WRITE_BYTES);
    while let Some(frame) = queue.recv().await {
        together.clear();
        together.extend_from_slice(&frame);
        while together.len() < WRITE_BYTES {
            let Ok(frame) = queue.try_recv() else { break };
            together.extend_from_slice(&frame);
        }
        if let Err(error) = stream.write_all(&together).await {
            end(&waiting, error.to_string());
            return;
        }
    }
}

async fn read(mut stream: quinn::RecvStream, waiting: SharedWaiting) {
    let mut buffer = BytesMut::with_capacity(WRITE_BYTES);
    let reason = loop {
        match stream.read_chunk(WRITE_BYTES, true).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
            Ok(None) => break "the TPS ended the stream".to_owned(),
            Err(error) => break error.to_string(),
        }
        if let Err(error) = deliver(&mut buffer, &waiting) {
            break error.to_string();
        }
    };
    end(&waiting, reason);
}

/// Hands every complete frame to whoever waits for it; an answer to nothing is dropped.
fn deliver(buffer: &mut BytesMut, waiting: &SharedWaiting) -> Result<(), protocol::frame::FrameTooLong> {
    while let Some(frame) = Frame::first(buffer)? {
        let (id, bytes, message) = (frame.request_id, frame.bytes(), frame.message.to_vec());
        buffer.advance(bytes);
        if let Some((_, answer)) = waiting.answers.remove(&id) {
            // Whoever asked may have given up meanwhile.
            let _given_up = answer.send(message);
        }
    }
    Ok(())
}
