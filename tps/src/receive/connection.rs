//! One connection: streams of frames in, answers out.

use std::sync::Arc;

use bytes::BytesMut;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::{Frame, MessageType, frame_header};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::budget::ConnectionBudget;
use super::{Shared, frames};
use crate::pipeline::{AnswerSink, ReplyTo, Sealed};

/// Answers written at once, at most: keeps the buffer of a write in bounds.
const ANSWERS_PER_WRITE_MAX: usize = 256;

/// Serves one connection until it ends.
pub(super) async fn serve(incoming: quinn::Incoming, shared: Arc<Shared>) {
    let address = incoming.remote_address().ip();
    let Ok(connecting) = incoming.accept() else { return };
    // The server can always answer early data; whether a message may come that way is decided per message.
    let connection = match connecting.into_0rtt() {
        Ok((connection, _)) => connection,
        Err(connecting) => match connecting.await {
            Ok(connection) => connection,
            Err(_) => return,
        },
    };
    let budget = shared.budgets.connection(address);
    while let Ok((send, receive)) = connection.accept_bi().await {
        let (answers_out, answers) = unbounded_channel();
        tokio::spawn(write_answers(send, answers, Arc::clone(&budget), shared.frames));
        let sink = Arc::new(StreamSink(answers_out));
        tokio::spawn(read_requests(receive, sink, Arc::clone(&budget), Arc::clone(&shared)));
    }
}

/// Takes the answers of one stream. What waits here is bounded by the budget of the connection.
struct StreamSink(UnboundedSender<(u32, Vec<u8>)>);

impl AnswerSink for StreamSink {
    fn answer(&self, request_id: u32, message: Vec<u8>) {
        // The stream may be gone; the customer then asks again and gets the stored outcome.
        let _ = self.0.send((request_id, message));
    }
}

/// Reads frames and passes them on, all complete ones per read.
async fn read_requests(
    mut receive: quinn::RecvStream,
    sink: Arc<StreamSink>,
    budget: Arc<ConnectionBudget>,
    shared: Arc<Shared>,
) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    loop {
        match receive.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
            Ok(None) | Err(_) => return,
        }
        let early = receive.is_0rtt();
        let mut used = 0;
        loop {
            match Frame::first(&buffer[used..]) {
                Ok(Some(frame)) if pass_on(&frame, early, &sink, &budget, &shared) => used += frame.bytes(),
                Ok(None) => break,
                // A length that cannot be trusted, or a client that only writes and never reads.
                Ok(Some(_)) | Err(_) => {
                    let _ = receive.stop(1u32.into());
                    return;
                }
            }
        }
        let _ = buffer.split_to(used);
    }
}

/// Passes one message to where it belongs, or answers it with a typed error. False where the stream must end.
fn pass_on(frame: &Frame<'_>, early: bool, sink: &Arc<StreamSink>, budget: &ConnectionBudget, shared: &Shared) -> bool {
    if shared.frames {
        frames::print("<-", frame.request_id, frame.message);
    }
    if !budget.take() {
        sink.answer(frame.request_id, ErrorMessage::new(ErrorCode::OverBudget, 50).to_bytes());
        return budget.take_refusal();
    }
    let reply = ReplyTo::new(Arc::clone(sink) as Arc<dyn AnswerSink>, frame.request_id);
    match MessageType::of(frame.message) {
        Ok(MessageType::RequestForPayment) => {
            if let Some(sealed) = Sealed::parse(frame.message, shared.engine.session_keys(), reply) {
                shared.engine.submit(sealed);
            }
        }
        // An activation is no payment: on early data it would be open to replay.
        Ok(MessageType::Activation) if !early => shared.activations.submit(frame.message.to_vec(), reply),
        Ok(_) => reply.refuse(ErrorCode::Malformed, 0),
        Err(error) => reply.refuse(ErrorCode::from(&error), 0),
    }
    true
}

/// Writes answers in the order in which they come, as many per write as wait.
async fn write_answers(
    mut send: quinn::SendStream,
    mut answers: UnboundedReceiver<(u32, Vec<u8>)>,
    budget: Arc<ConnectionBudget>,
    print: bool,
) {
    let mut waiting = Vec::with_capacity(ANSWERS_PER_WRITE_MAX);
    let mut buffer = BytesMut::new();
    while answers.recv_many(&mut waiting, ANSWERS_PER_WRITE_MAX).await > 0 {
        let (mut places, mut refusals) = (0, 0);
        for (request_id, message) in waiting.drain(..) {
            // A refusal for want of budget took no place of the budget.
            let over_budget = is_over_budget(&message);
            places += usize::from(!over_budget);
            refusals += usize::from(over_budget);
            if message.is_empty() {
                continue;
            }
            if print {
                frames::print("->", request_id, &message);
            }
            buffer.extend_from_slice(&frame_header(request_id, message.len()));
            buffer.extend_from_slice(&message);
        }
        // A stream that cannot be written to is drained all the same, so that its places are given back.
        let _ = send.write_chunk(buffer.split().freeze()).await;
        budget.give_back(places);
        budget.give_back_refusals(refusals);
    }
    let _ = send.finish();
}

fn is_over_budget(message: &[u8]) -> bool {
    use protocol::codec::Fixed;
    ErrorMessage::decode(message).is_ok_and(|error| error.code() == ErrorCode::OverBudget)
}
