//! The running pipeline: starts the threads and the queues between them, takes requests and orders in.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use protocol::enrolment::SignaturePolicy;
use protocol::error::ErrorCode;
use protocol::ledger::instrument::Place;
use protocol::limits::BATCH_REQUESTS_MAX;
use protocol::time::Timestamp;

use super::clock::BatchClock;
use super::directory::Directory;
use super::open::{Sealed, SessionKey};
use super::prove::ProofSigner;
use super::sequence::Committed;
use super::threads::{
    AbortOnPanic, Group, SequencerInput, Shared, Work, run_committer, run_revealer, run_sequencer, run_worker,
};
use super::verify::{SignatureCheck, SignatureRule};
use crate::book::Book;
use crate::book::import::{ImportError, ImportRow, Imported};
use crate::book::orders::{Done, Order, OrderError};
use crate::counters::Counters;
use crate::store::desk::DeskEntry;
use crate::store::records::MerchantRecord;
use crate::store::{Reader, Store, StoreError};

/// How often is looked whether every shard has come to the end of the log.
const LOG_END_INTERVAL: Duration = Duration::from_millis(1);

/// How many threads and how long queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// Threads that open, verify and prove.
    pub workers: usize,
    /// Account shards, each with its own sequencer thread. Fixed once accounts exist.
    pub shards: u16,
    /// Requests that may wait for a worker; one more is answered `Overloaded`.
    pub queue_requests: usize,
    /// What is asked of customer signatures.
    pub signatures: SignatureRule,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            workers,
            shards: 1,
            queue_requests: 16 * BATCH_REQUESTS_MAX,
            signatures: SignatureRule { policy: SignaturePolicy::Required, check: SignatureCheck::Live },
        }
    }
}

/// The secret keys of a running TPS.
pub struct EngineKeys {
    /// Session keys, the current one first.
    pub session: Vec<SessionKey>,
    /// The proof-signing key.
    pub signer: ProofSigner,
}

/// Whether new requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Intake {
    /// Yes.
    Open = 0,
    /// No: the server is about to stop.
    Draining = 1,
    /// No: too little disk space.
    DiskLow = 2,
    /// No: the time of the key that signs proofs is over.
    NoProofKey = 3,
}

impl Intake {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Open, Self::Draining, Self::DiskLow, Self::NoProofKey];

    /// The name of the state for operators and their programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Draining => "draining",
            Self::DiskLow => "disk-low",
            Self::NoProofKey => "no-proof-key",
        }
    }

    /// What a request is answered, and after how many milliseconds to ask again; `None` where it is taken.
    const fn refusal(self) -> Option<(ErrorCode, u32)> {
        match self {
            Self::Open => None,
            Self::Draining => Some((ErrorCode::Draining, 1_000)),
            Self::DiskLow => Some((ErrorCode::DiskLow, 60_000)),
            Self::NoProofKey => Some((ErrorCode::NoProofKey, 60_000)),
        }
    }
}

/// A queue between two stages at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLength {
    /// Who takes from it: `workers`, `sequence`, `commit` or `reveal`.
    pub name: &'static str,
    /// What waits: requests before the workers, batches before the sequencers, and groups of them behind.
    pub length: usize,
    /// How much may wait.
    pub capacity: usize,
}

/// Keeps archived transactions in the ledger as long as it lives; see [`Engine::hold_log`].
#[derive(Debug)]
pub struct LogHold {
    _held: Arc<()>,
}

/// The pipeline of a running TPS.
pub struct Engine {
    intake: Sender<Sealed>,
    sequencers: Vec<Sender<SequencerInput>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    reader: Arc<dyn Reader>,
    merchant_debits: Mutex<()>,
    log_held: Arc<()>,
    // Held for their lengths alone; nothing is taken from them here.
    groups: Receiver<Group>,
    committed: Receiver<Vec<Committed>>,
}

impl Engine {
    /// Starts the pipeline over `store`.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn start(store: Box<dyn Store>, keys: EngineKeys, config: EngineConfig) -> Result<Self, StoreError> {
        let reader = store.reader();
        let registry = reader.registry()?;
        let directory = Directory::for_about(reader.instruments_about()?);
        let books = Book::load(&reader, &registry, config.shards, |record| directory.update(record))?;
        let shared = Arc::new(Shared {
            keys,
            config,
            clock: BatchClock::new(registry.next_batch, registry.clock),
            directory,
            counters: Arc::new(Counters::default()),
            state: AtomicU8::new(Intake::Open as u8),
            next_batches: (0..config.shards).map(|_| AtomicU64::new(registry.next_batch)).collect(),
        });
        Ok(Self::spawn(store, reader, shared, books))
    }

    fn spawn(store: Box<dyn Store>, reader: Arc<dyn Reader>, shared: Arc<Shared>, books: Vec<Book>) -> Self {
        let config = shared.config;
        let mut threads = Vec::new();
        let mut start = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let guarded = move || {
                let _guard = AbortOnPanic;
                body();
            };
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(guarded);
            threads.push(thread.expect("the system can start a thread"));
        };

        let (intake, requests) = bounded::<Sealed>(config.queue_requests);
        // One group waits while another is written: what arrives meanwhile becomes one larger group.
        let (groups_out, groups) = bounded::<Group>(1);
        let (committed_out, committed) = bounded::<Vec<Committed>>(64);
        let mut sequencers = Vec::new();
        for book in books {
            let (out, input) = bounded::<SequencerInput>(64);
            sequencers.push(out);
            let (shared, groups_out) = (Arc::clone(&shared), groups_out.clone());
            start("tps-sequence", Box::new(move || run_sequencer(book, &shared, &input, &groups_out)));
        }
        for _ in 0..config.workers.max(1) {
            let (shared, requests, sequencers) = (Arc::clone(&shared), requests.clone(), sequencers.clone());
            start("tps-worker", Box::new(move || run_worker(&shared, &requests, &sequencers)));
        }
        let counters = Arc::clone(&shared.counters);
        let groups_in = groups.clone();
        start("tps-commit", Box::new(move || run_committer(store, &counters, &groups_in, &committed_out)));
        let (counters, store_reader) = (Arc::clone(&shared.counters), Arc::clone(&reader));
        let committed_in = committed.clone();
        start("tps-reveal", Box::new(move || run_revealer(&*store_reader, &counters, &committed_in)));
        Self {
            intake,
            sequencers,
            threads,
            shared,
            reader,
            merchant_debits: Mutex::new(()),
            log_held: Arc::new(()),
            groups,
            committed,
        }
    }

    /// The session keys, the current one first.
    pub fn session_keys(&self) -> &[SessionKey] {
        &self.shared.keys.session
    }

    /// What is counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }

    /// What waits between the stages, in their order. Looks at lengths and takes no lock.
    pub fn queues(&self) -> [QueueLength; 4] {
        let sequence = self.sequencers.iter();
        let (waiting, room) = sequence
            .fold((0, 0), |(waiting, room), queue| (waiting + queue.len(), room + queue.capacity().unwrap_or(0)));
        let queue =
            |name, length, capacity: Option<usize>| QueueLength { name, length, capacity: capacity.unwrap_or(0) };
        [
            queue("workers", self.intake.len(), self.intake.capacity()),
            queue("sequence", waiting, Some(room)),
            queue("commit", self.groups.len(), self.groups.capacity()),
            queue("reveal", self.committed.len(), self.committed.capacity()),
        ]
    }

    /// Reads what was committed.
    pub fn reader(&self) -> &Arc<dyn Reader> {
        &self.reader
    }

    /// The last place that a transaction can have had when the pipeline started: whatever is later in the log was added since.
    pub fn log_end_at_start(&self) -> Place {
        Place { batch: self.shared.clock.first_number() - 1, index: u16::MAX }
    }

    /// The TPS's time: the machine's clock, but never behind a batch.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Opens or closes the intake for new requests.
    pub fn set_intake(&self, state: Intake) {
        self.shared.state.store(state as u8, Ordering::Relaxed);
    }

    /// Changes the intake from one state to another; in a third one it stays, so that one who drains is not overruled.
    pub fn change_intake(&self, from: Intake, to: Intake) -> bool {
        let changed = self.shared.state.compare_exchange(from as u8, to as u8, Ordering::Relaxed, Ordering::Relaxed);
        changed.is_ok()
    }

    /// Whether new requests are taken.
    pub fn intake(&self) -> Intake {
        match self.shared.state.load(Ordering::Relaxed) {
            0 => Intake::Open,
            1 => Intake::Draining,
            2 => Intake::DiskLow,
            _ => Intake::NoProofKey,
        }
    }

    /// Takes a request in, or answers it with a typed error. Never waits.
    pub fn submit(&self, sealed: Sealed) {
        if let Some((code, retry_after_ms)) = self.intake().refusal() {
            return sealed.refuse(code, retry_after_ms);
        }
        self.shared.counters.stages.receive.items.add(1);
        if let Err(TrySendError::Full(sealed) | TrySendError::Disconnected(sealed)) = self.intake.try_send(sealed) {
            self.shared.counters.overloaded.add(1);
            sealed.refuse(ErrorCode::Overloaded, 50);
        }
    }

    /// Carries out an order and waits until it is durable. Blocks; not for a network thread.
    ///
    /// # Errors
    /// [`OrderError`], with nothing changed.
    pub fn order(&self, shard_key: u16, order: Order) -> Result<Done, OrderError> {
        self.order_with(shard_key, order, Vec::new())
    }

    /// The same, and keeps a desk's records in the same commit.
    ///
    /// # Errors
    /// [`OrderError`], with nothing changed.
    pub fn order_with(&self, shard_key: u16, order: Order, records: Vec<DeskEntry>) -> Result<Done, OrderError> {
        let shared = Arc::clone(&self.shared);
        let merchant = match &order {
            Order::RegisterMerchant { id, .. } | Order::CertifyMerchant { id, .. } | Order::SuspendMerchant { id } => {
                Some(*id)
            }
            _ => None,
        };
        let shard = if merchant.is_some() { 0 } else { shard_key % self.shared.config.shards };
        let outcome = self.on_shard(shard, move |book, now| {
            let done = book.order_with(&order, records, now)?;
            if let Order::Activate { id, .. } | Order::Revoke { id } = order
                && let Some(record) = book.enrolment(id)?
            {
                shared.directory.update(&record);
            }
            Ok::<_, OrderError>((done, merchant.and_then(|id| book.merchant(id).cloned())))
        });
        let (done, merchant) = outcome.ok_or(OrderError::Stopping)??;
        if let Some(record) = merchant {
            self.tell_other_shards(&record);
        }
        Ok(done)
    }

    /// Keeps records of a desk and waits until they are durable. Blocks.
    ///
    /// # Errors
    /// [`OrderError::Stopping`].
    pub fn record(&self, records: Vec<DeskEntry>) -> Result<(), OrderError> {
        self.on_shard(0, move |book, now| book.record(records, now)).ok_or(OrderError::Stopping)
    }

    /// Runs `work` on the thread of the shard of `shard_key`, between payments, and returns its result once what it changed is
    /// durable. Blocks; payments of the shard wait while `work` runs.
    ///
    /// # Errors
    /// [`OrderError::Stopping`], and what `work` returns.
    pub fn with_book<T: Send + 'static>(
        &self,
        shard_key: u16,
        work: impl FnOnce(&mut Book, Timestamp) -> Result<T, OrderError> + Send + 'static,
    ) -> Result<T, OrderError> {
        self.on_shard(shard_key % self.shared.config.shards, work).ok_or(OrderError::Stopping)?
    }

    /// The number of the last batch up to which the log is complete: shards commit on their own, so that for a moment a later
    /// transaction can stand in the store before an earlier one of another shard. Jobs over the log go no further than
    /// this. `None` where the server is about to stop. Blocks.
    pub fn log_complete_up_to(&self) -> Option<u64> {
        let next = self.shared.next_batches.iter().map(|next| next.load(Ordering::Acquire)).min()?;
        // What was sequenced before is durable when every shard has answered.
        let answered = self.read(|_| ()).len();
        (answered == self.shared.next_batches.len()).then(|| next.saturating_sub(1))
    }

    /// The number of the next batch: its time, and that of all after it, is not before [`Self::now`].
    pub fn next_batch(&self) -> u64 {
        self.shared.clock.next_number()
    }

    /// Waits until everything that was under way is in the log, complete; whatever is committed later stands in the batch of this
    /// number or after it. `None` where the server is about to stop. Blocks.
    pub fn log_end(&self) -> Option<u64> {
        let end = self.next_batch();
        while self.log_complete_up_to()? + 1 < end {
            std::thread::sleep(LOG_END_INTERVAL);
        }
        Some(end)
    }

    /// To be held by whoever takes money from merchants (refunds, fees, payouts), from looking at what a merchant has accrued until
    /// the change is durable: a merchant's money lies in parts in all shards, and only their sum is bounded. Payments only add.
    pub fn merchant_debits(&self) -> MutexGuard<'_, ()> {
        self.merchant_debits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps whatever is in the log where it is while this is held: for readers of archive and ledger as one log, which must
    /// hold it before they ask up to where the archive reaches.
    pub fn hold_log(&self) -> LogHold {
        LogHold { _held: Arc::clone(&self.log_held) }
    }

    /// Whether somebody holds the log. Whoever takes hold after this was asked finds in the archive all that may leave the ledger.
    pub fn log_is_held(&self) -> bool {
        Arc::strong_count(&self.log_held) > 1
    }

    /// How far the ledger's clock is ahead of the machine's, in milliseconds: more than a moment where the machine's clock was
    /// set back. Batch times stand still meanwhile.
    pub fn clock_ahead_ms(&self) -> u64 {
        self.shared.clock.ahead_ms()
    }

    /// Number of account shards.
    pub fn shards(&self) -> u16 {
        self.shared.config.shards
    }

    /// Imports a chunk of one shard's instruments and waits until it is durable; `None` where the server is about to stop.
    /// Blocks; not for a network thread.
    ///
    /// # Errors
    /// [`ImportError`], with nothing changed.
    pub fn import(&self, rows: Vec<ImportRow>) -> Option<Result<Imported, ImportError>> {
        let shards = self.shared.config.shards;
        let shard = rows.first()?.instrument.shard_key() % shards;
        let outcome = self.on_shard(shard, move |book, now| {
            let imported = book.import(&rows, shards, now)?;
            let records: Vec<_> =
                imported.instruments.iter().filter_map(|id| book.enrolment(*id).ok().flatten()).collect();
            Ok((imported, records))
        })?;
        Some(outcome.map(|(imported, records)| {
            // On this thread, so that the shard's goes on with payments.
            records.iter().for_each(|record| self.shared.directory.update(record));
            imported
        }))
    }

    /// Merchants stand in every shard's book; shard 0 keeps them durable.
    fn tell_other_shards(&self, record: &MerchantRecord) {
        for shard in 1..self.shared.config.shards {
            let record = record.clone();
            self.on_shard(shard, move |book, _| book.adopt_merchant(record));
        }
    }

    /// Reads from the books of all shards, after everything before it is durable. Blocks.
    pub fn read<T: Send + 'static>(&self, read: impl Fn(&Book) -> T + Send + Clone + 'static) -> Vec<T> {
        (0..self.shared.config.shards)
            .filter_map(|shard| {
                let read = read.clone();
                self.on_shard(shard, move |book, _| read(book))
            })
            .collect()
    }

    /// Runs `work` on a shard's thread; returns its result once the commit that holds it is durable.
    fn on_shard<T: Send + 'static>(
        &self,
        shard: u16,
        work: impl FnOnce(&mut Book, Timestamp) -> T + Send + 'static,
    ) -> Option<T> {
        let (result_out, result) = bounded(1);
        let boxed: Work = Box::new(move |book, now| {
            let value = work(book, now);
            Box::new(move || {
                let _ = result_out.send(value);
            })
        });
        self.sequencers.get(usize::from(shard))?.send(SequencerInput::Work(boxed)).ok()?;
        result.recv().ok()
    }

    /// Stops: what was taken in is answered, then the threads end and the store is closed. The same happens to an engine that is
    /// dropped.
    pub fn drain(self) {
        drop(self);
    }
}

/// A process must not end while a thread of the pipeline still has the store open: what the database keeps for the whole
/// process would be torn down under that thread.
impl Drop for Engine {
    fn drop(&mut self) {
        self.set_intake(Intake::Draining);
        // Without senders, each thread ends when its queue is empty, and takes its own senders with it.
        self.intake = bounded(0).0;
        self.sequencers.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
