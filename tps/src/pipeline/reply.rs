//! Where an answer goes.

use std::sync::Arc;

use protocol::error::{ErrorCode, ErrorMessage};

/// Takes answers for one stream; must not block.
pub trait AnswerSink: Send + Sync {
    /// Sends `message` as the answer to the request `request_id`.
    fn answer(&self, request_id: u32, message: Vec<u8>);
}

/// The way back to one request. Used once.
pub struct ReplyTo {
    sink: Arc<dyn AnswerSink>,
    request_id: u32,
}

impl ReplyTo {
    /// The way back over `sink` to the request `request_id`.
    pub fn new(sink: Arc<dyn AnswerSink>, request_id: u32) -> Self {
        Self { sink, request_id }
    }

    /// Sends the answer.
    pub fn answer(self, message: Vec<u8>) {
        self.sink.answer(self.request_id, message);
    }

    /// Sends a typed error in clear.
    pub fn refuse(self, code: ErrorCode, retry_after_ms: u32) {
        self.answer(ErrorMessage::new(code, retry_after_ms).to_bytes());
    }
}
