//! One connection: reads what came, lets the traffic decide what goes out, writes it. One task, many frames at a time.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use quinn::{RecvStream, SendStream};

use super::traffic::Traffic;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1_024;

/// What the tasks of one thread share. The lock is never waited for: they all run on that thread.
pub struct Shared {
    traffic: Mutex<Option<Traffic>>,
    scratch: Mutex<Vec<u8>>,
    started: Instant,
}

impl Shared {
    /// Traffic that begins now.
    pub fn new(traffic: Traffic, started: Instant) -> Arc<Self> {
        let scratch = Mutex::new(vec![0; READ_BYTES]);
        Arc::new(Self { traffic: Mutex::new(Some(traffic)), scratch, started })
    }

    /// Nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn locked(&self) -> MutexGuard<'_, Option<Traffic>> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the traffic; `None` once it is over.
    pub fn with<T>(&self, work: impl FnOnce(&mut Traffic) -> T) -> Option<T> {
        self.locked().as_mut().map(work)
    }

    /// Ends the traffic.
    pub fn take(&self) -> Option<Traffic> {
        self.locked().take()
    }
}

/// An error with its causes: that a connection was lost is one thing, why another.
fn in_full(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// One connection with its stream.
pub struct LaneTask {
    index: u32,
    shared: Arc<Shared>,
    send: SendStream,
    receive: RecvStream,
    /// The beginning of a frame whose end has not come yet.
    partial: Vec<u8>,
    outgoing: Vec<u8>,
    written: usize,
    registered: bool,
}

impl LaneTask {
    /// The task of lane `index`.
    pub fn new(index: u32, shared: Arc<Shared>, send: SendStream, receive: RecvStream) -> Self {
        let (partial, outgoing) = (Vec::new(), Vec::new());
        Self { index, shared, send, receive, partial, outgoing, written: 0, registered: false }
    }

    /// Runs until the traffic is over, or the connection is lost: then says why.
    pub async fn run(mut self) -> Option<String> {
        let lost = poll_fn(|context| self.poll(context)).await;
        if lost.is_some() {
            let index = self.index;
            self.shared.with(|traffic| {
                traffic.bury(index);
                traffic.wake_all();
            });
        }
        lost
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<String>> {
        if let Err(lost) = self.poll_read(context) {
            return Poll::Ready(Some(lost));
        }
        let shared = Arc::clone(&self.shared);
        let (index, now_ns) = (self.index, shared.now_ns());
        let going_on = shared.with(|traffic| {
            traffic.offer(now_ns);
            if !self.registered {
                traffic.lane(index).waker = Some(context.waker().clone());
                self.registered = true;
            }
            traffic.wake(Some(index));
            traffic.forward();
        });
        if going_on.is_none() {
            return Poll::Ready(None);
        }
        match self.poll_write(context) {
            Ok(()) => Poll::Pending,
            Err(lost) => Poll::Ready(Some(lost)),
        }
    }

    /// Reads until there is nothing more, and hands every complete frame over.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        let mut scratch = shared.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let read = match self.receive.poll_read(context, &mut scratch) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err("the TPS ended the stream".to_owned()),
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => return Err(in_full(error)),
            };
            let now_ns = shared.now_ns();
            let whole_frames = |traffic: &mut Traffic, input: &[u8]| {
                traffic.receive(self.index, input, now_ns).map_err(|error| error.to_string())
            };
            if self.partial.is_empty() {
                let input = &scratch[..read];
                let Some(used) = shared.with(|traffic| whole_frames(traffic, input)) else { return Ok(()) };
                self.partial.extend_from_slice(&input[used?..]);
            } else {
                self.partial.extend_from_slice(&scratch[..read]);
                let Some(used) = shared.with(|traffic| whole_frames(traffic, &self.partial)) else { return Ok(()) };
                let used = used?;
                self.partial.drain(..used);
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        loop {
            if self.written == self.outgoing.len() {
                self.outgoing.clear();
                self.written = 0;
                let index = self.index;
                self.shared.with(|traffic| std::mem::swap(&mut traffic.lane(index).output, &mut self.outgoing));
                if self.outgoing.is_empty() {
                    return Ok(());
                }
            }
            match Pin::new(&mut self.send).poll_write(context, &self.outgoing[self.written..]) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Err(in_full(error)),
            }
        }
    }
}
