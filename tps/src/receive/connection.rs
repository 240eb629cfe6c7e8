//! One connection: streams of frames in, answers out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use protocol::error::ErrorCode;
use protocol::frame::{Frame, MessageType};

use super::answers::{StreamAnswers, StreamSink};
use super::budget::ConnectionBudget;
use super::{Shared, frames};
use crate::counters::Counters;
use crate::pipeline::{AnswerSink, ReplyTo, Sealed};

/// Chunks taken per read: QUIC hands out one per packet.
const CHUNKS_PER_READ_MAX: usize = 64;

/// A connection among the open ones.
struct Counted(Arc<Counters>);

impl Counted {
    fn new(counters: Arc<Counters>) -> Self {
        counters.connections.accepted.add(1);
        Self(counters)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.ended.add(1);
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve(incoming: quinn::Incoming, shared: Arc<Shared>) {
    let address = incoming.remote_address().ip();
    let Ok(connecting) = incoming.accept() else { return };
    let _counted = Counted::new(Arc::clone(shared.engine.counters()));
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
        let answers = StreamAnswers::new(shared.frames);
        let sink = Arc::new(StreamSink::new(Arc::clone(&answers), Arc::clone(shared.engine.counters())));
        tokio::spawn(write_answers(send, answers, Arc::clone(&budget)));
        tokio::spawn(read_requests(receive, sink, Arc::clone(&budget), Arc::clone(&shared)));
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
    let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ_MAX];
    loop {
        match receive.read_chunks(&mut chunks).await {
            Ok(Some(number)) => chunks[..number].iter_mut().for_each(|chunk| {
                buffer.extend_from_slice(chunk);
                chunk.clear();
            }),
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
        sink.refuse(frame.request_id, ErrorCode::OverBudget, 50);
        return budget.take_refusal();
    }
    let reply = ReplyTo::new(Arc::clone(sink) as Arc<dyn AnswerSink>, frame.request_id);
    match MessageType::of(frame.message) {
        Ok(MessageType::RequestForPayment) => {
            if let Some(sealed) = Sealed::parse(frame.message, shared.engine.session_keys(), reply) {
                shared.engine.submit(sealed);
            }
        }
        // These are no payments: on early data they would be open to replay.
        Ok(MessageType::Activation | MessageType::KeySetRequest) if !early => {
            shared.activations.submit(frame.message.to_vec(), reply)
        }
        Ok(_) => reply.refuse(ErrorCode::Malformed, 0),
        Err(error) => reply.refuse(ErrorCode::from(&error), 0),
    }
    true
}

/// Writes answers in the order in which they come, as many per write as wait.
async fn write_answers(mut send: quinn::SendStream, answers: Arc<StreamAnswers>, budget: Arc<ConnectionBudget>) {
    while let Some(waiting) = answers.next().await {
        // A stream that cannot be written to is drained all the same, so that its places are given back.
        let _ = send.write_chunk(waiting.bytes.freeze()).await;
        budget.give_back(waiting.places);
        budget.give_back_refusals(waiting.refusals);
    }
    let _ = send.finish();
}
