//! Answers on their way to one stream: put down by the pipeline's threads, written by the network's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::frame_header;
use tokio::sync::Notify;

use super::frames;
use crate::counters::Counters;
use crate::pipeline::AnswerSink;

/// Frames ready to be written.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) bytes: BytesMut,
    /// Places of the connection's budget that are given back once these are written.
    pub(super) places: usize,
    /// The same for refusals, which take places of their own.
    pub(super) refusals: usize,
}

/// What waits to be written to one stream; bounded by the budget of the connection.
pub(super) struct StreamAnswers {
    state: Mutex<State>,
    changed: Notify,
    print: bool,
}

#[derive(Default)]
struct State {
    waiting: Waiting,
    /// No further answer can come.
    ended: bool,
}

impl StreamAnswers {
    /// Nothing waits yet. With `print`, every message is also told in words.
    pub(super) fn new(print: bool) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Notify::new(), print })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a frame and counts it; true where nothing waited before.
    fn put(&self, request_id: u32, message: &[u8], count: impl FnOnce(&mut Waiting)) -> bool {
        if self.print && !message.is_empty() {
            frames::print("->", request_id, message);
        }
        let mut state = self.state();
        let waiting = &mut state.waiting;
        let first = waiting.places + waiting.refusals == 0;
        count(waiting);
        if !message.is_empty() {
            waiting.bytes.extend_from_slice(&frame_header(request_id, message.len()));
            waiting.bytes.extend_from_slice(message);
        }
        first
    }

    /// Waits for answers and takes all there are; `None` when the last one was taken and none can follow.
    pub(super) async fn next(&self) -> Option<Waiting> {
        loop {
            {
                let mut state = self.state();
                let waiting = &mut state.waiting;
                if waiting.places + waiting.refusals > 0 {
                    let bytes = waiting.bytes.split();
                    let taken = Waiting { bytes, places: waiting.places, refusals: waiting.refusals };
                    (waiting.places, waiting.refusals) = (0, 0);
                    return Some(taken);
                }
                if state.ended {
                    return None;
                }
            }
            // A permit is kept where the change comes before this line.
            self.changed.notified().await;
        }
    }
}

/// The pipeline's end of a stream. When the last one is gone, the stream ends.
pub(super) struct StreamSink {
    answers: Arc<StreamAnswers>,
    counters: Arc<Counters>,
}

impl StreamSink {
    pub(super) fn new(answers: Arc<StreamAnswers>, counters: Arc<Counters>) -> Self {
        Self { answers, counters }
    }

    /// Answers a request that took no place of the budget.
    pub(super) fn refuse(&self, request_id: u32, code: ErrorCode, retry_after_ms: u32) {
        self.refused(code);
        let message = ErrorMessage::new(code, retry_after_ms).to_bytes();
        if self.answers.put(request_id, &message, |waiting| waiting.refusals += 1) {
            self.send();
        }
    }
}

impl AnswerSink for StreamSink {
    // The stream may be gone; the customer then asks again and gets the stored outcome.
    fn put(&self, request_id: u32, message: &[u8]) -> bool {
        self.answers.put(request_id, message, |waiting| waiting.places += 1)
    }

    fn send(&self) {
        self.answers.changed.notify_one();
    }

    fn refused(&self, code: ErrorCode) {
        self.counters.count_refusal(code);
    }
}

impl Drop for StreamSink {
    fn drop(&mut self) {
        self.answers.state().ended = true;
        self.answers.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn answers_are_taken_together_and_the_last_one_ends_the_stream() {
        let answers = StreamAnswers::new(false);
        let counters = Arc::new(Counters::default());
        let sink = StreamSink::new(Arc::clone(&answers), Arc::clone(&counters));
        assert!(sink.put(1, b"first"), "the writer must be woken");
        assert!(!sink.put(2, b"second") && !sink.put(3, b""), "it was woken already");
        sink.refuse(4, ErrorCode::OverBudget, 50);
        let refusal = ErrorMessage::new(ErrorCode::OverBudget, 50).to_bytes();
        let waiting = answers.next().await.unwrap();
        assert_eq!((waiting.places, waiting.refusals), (3, 1));
        let expected: Vec<u8> = [(1, &b"first"[..]), (2, b"second"), (4, &refusal[..])]
            .iter()
            .flat_map(|(id, message)| [&frame_header(*id, message.len())[..], message].concat())
            .collect();
        assert_eq!(waiting.bytes, expected);
        assert_eq!(
            counters.refusals().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
            [(ErrorCode::OverBudget, 1)]
        );
        assert!(sink.put(5, b"last"));
        drop(sink);
        assert_eq!(answers.next().await.unwrap().places, 1);
        assert!(answers.next().await.is_none());
    }
}
