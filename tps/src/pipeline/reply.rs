//! Where an answer goes.

use std::sync::Arc;

use protocol::error::{ErrorCode, ErrorMessage};

/// Takes answers for one stream; must not block.
pub trait AnswerSink: Send + Sync {
    /// Puts `message` down as the answer to the request `request_id`. An empty message means that there will be no answer. True
    /// where nothing was waiting before, so that somebody has to call [`Self::send`].
    fn put(&self, request_id: u32, message: &[u8]) -> bool;

    /// Sends what was put down.
    fn send(&self);

    /// Told of every typed error before it is put down, for whoever counts them.
    fn refused(&self, _code: ErrorCode) {}
}

/// The way back to one request. Used once.
pub struct ReplyTo {
    sink: Arc<dyn AnswerSink>,
    request_id: u32,
    answered: bool,
}

impl ReplyTo {
    /// The way back over `sink` to the request `request_id`.
    pub fn new(sink: Arc<dyn AnswerSink>, request_id: u32) -> Self {
        Self { sink, request_id, answered: false }
    }

    /// Sends the answer.
    pub fn answer(mut self, message: &[u8]) {
        self.answered = true;
        if self.sink.put(self.request_id, message) {
            self.sink.send();
        }
    }

    /// Puts the answer down, to be sent with others of its stream.
    pub fn answer_with(mut self, message: &[u8], others: &mut Outbox) {
        self.answered = true;
        if self.sink.put(self.request_id, message) {
            others.0.push(Arc::clone(&self.sink));
        }
    }

    /// Sends a typed error in clear.
    pub fn refuse(self, code: ErrorCode, retry_after_ms: u32) {
        self.sink.refused(code);
        self.answer(&ErrorMessage::new(code, retry_after_ms).to_bytes());
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        // The stream counts open requests; one that will never be answered must not count for ever.
        if !self.answered && self.sink.put(self.request_id, &[]) {
            self.sink.send();
        }
    }
}

/// Streams on which answers wait: each is woken once for all of them.
#[derive(Default)]
pub struct Outbox(Vec<Arc<dyn AnswerSink>>);

impl Outbox {
    /// Sends everything.
    pub fn send(&mut self) {
        for sink in self.0.drain(..) {
            sink.send();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.send();
    }
}
