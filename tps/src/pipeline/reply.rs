//! Where an answer goes.

use std::sync::Arc;

use protocol::error::{ErrorCode, ErrorMessage};

/// Takes answers for one stream; must not block.
pub trait AnswerSink: Send + Sync {
    /// Sends `message` as the answer to the request `request_id`. An empty message means that there will be no answer.
    fn answer(&self, request_id: u32, message: Vec<u8>);
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
    pub fn answer(mut self, message: Vec<u8>) {
        self.answered = true;
        self.sink.answer(self.request_id, message);
    }

    /// Sends a typed error in clear.
    pub fn refuse(self, code: ErrorCode, retry_after_ms: u32) {
        self.answer(ErrorMessage::new(code, retry_after_ms).to_bytes());
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        // The stream counts open requests; one that will never be answered must not count for ever.
        if !self.answered {
            self.sink.answer(self.request_id, Vec::new());
        }
    }
}
