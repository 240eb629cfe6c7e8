//! Activations of instruments and requests for key sets: rare, so they have a thread of their own and never touch the path
//! of payments.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use protocol::codec::Canonical;
use protocol::enrolment::{Activation, ActivationAnswer, SignaturePolicy};
use protocol::error::ErrorCode;
use protocol::frame::MessageType;
use protocol::ids::RealmId;

use super::key_set::KeySetFile;
use crate::book::orders::Order;
use crate::pipeline::{Engine, ReplyTo};

/// Messages that may wait; one more is answered `Overloaded`.
const QUEUE_MAX: usize = 256;

/// Where activations and requests for key sets are handed in.
pub(super) struct Desk {
    queue: Option<Sender<(Vec<u8>, ReplyTo)>>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Starts the thread; it ends when the desk is dropped.
    pub(super) fn start(engine: Arc<Engine>, realm: RealmId, policy: SignaturePolicy, mut key_set: KeySetFile) -> Self {
        let (queue, waiting) = bounded(QUEUE_MAX);
        let body = move || run(&engine, realm, policy, &mut key_set, &waiting);
        let thread = std::thread::Builder::new().name("tps-activate".to_owned()).spawn(body);
        Self { queue: Some(queue), thread: Some(thread.expect("the system can start a thread")) }
    }

    /// Hands a message in; answers it if there is no room.
    pub(super) fn submit(&self, message: Vec<u8>, reply: ReplyTo) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full((_, reply)) | TrySendError::Disconnected((_, reply))) =
            queue.try_send((message, reply))
        {
            reply.refuse(ErrorCode::Overloaded, 1_000);
        }
    }
}

impl Drop for Desk {
    /// Waits for the thread, so that whoever owned the desk may count on the pipeline being let go.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    engine: &Engine,
    realm: RealmId,
    policy: SignaturePolicy,
    key_set: &mut KeySetFile,
    waiting: &Receiver<(Vec<u8>, ReplyTo)>,
) {
    while let Ok((message, reply)) = waiting.recv() {
        let answered = match MessageType::of(&message) {
            Ok(MessageType::KeySetRequest) => key_set.answer(&message),
            _ => activate(engine, realm, policy, &message),
        };
        match answered {
            Ok(answer) => reply.answer(&answer),
            Err(code) => reply.refuse(code, if code.is_transient() { 1_000 } else { 0 }),
        }
    }
}

/// Whatever is wrong, the answer is the same: nothing about the instrument is told.
fn activate(engine: &Engine, realm: RealmId, policy: SignaturePolicy, message: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let activation = Activation::decode(message).map_err(|error| ErrorCode::from(&error))?;
    let key = engine.session_keys().iter().find(|key| key.id() == activation.key).ok_or(ErrorCode::UnknownKey)?;
    let opened = activation.open(realm, key.secret()).map_err(|_| ErrorCode::ActivationRefused)?;
    let id = opened.instrument;
    let order = Order::Activate {
        id,
        code: opened.code,
        signing_public: *opened.customer.as_bytes(),
        device_key: *opened.device_key,
    };
    engine.order(id.shard_key(), order).map_err(|_| ErrorCode::ActivationRefused)?;
    let count = engine.read(move |book| book.instrument(id).map(|instrument| instrument.state.last_count));
    let count = count.into_iter().flatten().next().unwrap_or(0);
    Ok(ActivationAnswer::new(&activation, &opened.session, count, policy).encode())
}
