//! The desk: merchants' signed batches of refunds, renewals and requests (K-16, K-96 to K-102).
//!
//! It stands beside the payments: on a thread, a port and records of its own. That thread alone takes money from merchants, so
//! that a merchant's sum over all shards, once looked at, can only grow until the refund is through.
//!
//! | Where | What |
//! |---|---|
//! | [`clerk`] | judges a batch, carries it out, answers it |
//! | `refunds`, `plan` | refund orders: accepted, carried out, done; resumed after a crash |
//! | `index` | payments by merchant and number |
//! | `budget` | how often somebody may come |
//! | [`records`] | what is kept |
//! | [`listener`] | batches over HTTPS |

mod budget;
pub mod clerk;
mod index;
pub mod listener;
mod plan;
pub mod records;
mod refunds;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use protocol::desk::{DeskErrorCode, SettlementAnswer};
use protocol::ids::{MerchantId, RealmId};
use tokio::sync::oneshot;

use crate::pipeline::Engine;
use crate::store::StoreError;
use clerk::{AdmittedBatch, Clerk, admit};
pub use index::indexed_up_to;

/// Batches that may wait; one more is refused.
const QUEUE_MAX: usize = 64;
/// How often the desk looks whether requests arrive.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);
/// Looks without a request after which time counts as idle: five seconds.
const IDLE_LOOKS: u32 = 20;

/// What the desk does with a certified merchant's request for its next certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Renewals {
    /// It waits for `tps merchant approve`.
    Review,
    /// Name and desk key are those that were reviewed: it is certified at once.
    #[default]
    Automatic,
}

/// Where reports of settlement come from.
pub trait Settlements: Send {
    /// The cycles that there are reports of for a merchant, and the signed report of one of them; `None` where there is none
    /// at all yet.
    ///
    /// # Errors
    /// [`StoreError`].
    fn report(&self, merchant: MerchantId, cycle: u64) -> Result<Option<SettlementAnswer>, StoreError>;

    /// Canonical bytes of a page of one of them; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    fn page(&self, merchant: MerchantId, cycle: u64, page: u32) -> Result<Option<Vec<u8>>, StoreError>;
}

/// A TPS that has not settled anything yet.
#[derive(Debug, Clone, Copy)]
pub struct NoSettlements;

impl Settlements for NoSettlements {
    fn report(&self, _: MerchantId, _: u64) -> Result<Option<SettlementAnswer>, StoreError> {
        Ok(None)
    }

    fn page(&self, _: MerchantId, _: u64, _: u32) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
}

type Answer = Result<Vec<u8>, DeskErrorCode>;

enum Job {
    Batch(AdmittedBatch, oneshot::Sender<Answer>),
    Stop,
}

/// Where batches are handed in.
#[derive(Clone)]
pub struct DeskHandle {
    queue: Sender<Job>,
    engine: Arc<Engine>,
    realm: RealmId,
}

impl DeskHandle {
    /// Judges a batch and puts it into the queue; the answer comes later. Blocks for a moment; not for a network thread.
    ///
    /// # Errors
    /// What to answer instead.
    pub fn submit(&self, bytes: &[u8]) -> Result<oneshot::Receiver<Answer>, DeskErrorCode> {
        let batch = admit(&self.engine, self.realm, bytes)?;
        let (answer_out, answer) = oneshot::channel();
        match self.queue.try_send(Job::Batch(batch, answer_out)) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(DeskErrorCode::Overloaded),
            Err(TrySendError::Disconnected(_)) => Err(DeskErrorCode::Unavailable),
        }
    }

    /// Judges a batch and waits for its answer. Blocks.
    ///
    /// # Errors
    /// What to answer instead.
    pub fn answer(&self, bytes: &[u8]) -> Answer {
        self.submit(bytes)?.blocking_recv().unwrap_or(Err(DeskErrorCode::Unavailable))
    }
}

/// The desk's thread. It ends when this is dropped; what waits then is not carried out.
pub struct Desk {
    handle: DeskHandle,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Finishes what an earlier process left open, and starts the thread. Whoever else takes money from merchants comes later:
    /// what was accepted counts on theirs.
    pub fn start(engine: Arc<Engine>, realm: RealmId, mut clerk: Clerk) -> Self {
        if let Err(error) = clerk.resume() {
            tracing::error!(%error, "refunds that were left open cannot be finished; the desk tries again");
        }
        let (queue, jobs) = bounded(QUEUE_MAX);
        let handle = DeskHandle { queue, engine: Arc::clone(&engine), realm };
        let body = move || run(&engine, clerk, &jobs);
        let thread = std::thread::Builder::new().name("tps-desk".to_owned()).spawn(body);
        Self { handle, thread: Some(thread.expect("the system can start a thread")) }
    }

    /// Where batches are handed in.
    pub fn handle(&self) -> DeskHandle {
        self.handle.clone()
    }
}

impl Drop for Desk {
    /// Waits for the thread, so that whoever owned the desk may count on the pipeline being let go.
    fn drop(&mut self) {
        let _ = self.handle.queue.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(engine: &Engine, mut clerk: Clerk, jobs: &Receiver<Job>) {
    let (mut received, mut idle_looks) = (engine.counters().received(), 0u32);
    loop {
        match jobs.recv_timeout(IDLE_INTERVAL) {
            Ok(Job::Batch(batch, answer)) => {
                let _ = answer.send(clerk.answer(&batch));
            }
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let before = std::mem::replace(&mut received, engine.counters().received());
                idle_looks = if before == received { idle_looks.saturating_add(1) } else { 0 };
                // Payments come first: while any arrive, the index waits, unless a refund needs it or it is late.
                // Refunds that are open keep merchants from being settled: they wait for no batch.
                let idle = idle_looks >= IDLE_LOOKS;
                let index = |clerk: &mut Clerk| if idle { clerk.idle() } else { clerk.idle_if_late(engine.now()) };
                if let Err(error) = clerk.resume().and_then(|()| index(&mut clerk)) {
                    tracing::warn!(%error, "the desk does not get on with refunds and the index of payments for now");
                }
            }
        }
    }
}
