//! What each thread of the pipeline does, and what they hand to each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use protocol::proof::batch::BatchSeed;
use protocol::response::ResponseSealer;
use protocol::time::Timestamp;

use super::clock::BatchClock;
use super::crash_point::CrashPoint;
use super::directory::Directory;
use super::engine::{EngineConfig, EngineKeys};
use super::open::{Sealed, open_batch};
use super::prove::{ProvedBatch, prove_batch};
use super::reply::Outbox;
use super::reveal::reveal;
use super::sequence::{Committed, Sequenced, sequence_batch};
use super::stage_clock::StageClock;
use super::verify::verify_batch;
use crate::book::Book;
use crate::counters::Counters;
use crate::store::records::Changes;
use crate::store::{Reader, Store};

/// Requests that a worker takes at once. Beyond this the cost of one hardly falls any more, and everybody waits for the last
/// (`docs/performance.md`).
const REQUESTS_PER_BATCH_MAX: usize = 256;
const _: () = assert!(REQUESTS_PER_BATCH_MAX <= protocol::limits::BATCH_REQUESTS_MAX);
/// Decisions after which a sequencer hands over, whatever else waits.
const SEQUENCED_PER_GROUP_MAX: usize = 4 * REQUESTS_PER_BATCH_MAX;

/// What the threads share.
pub(super) struct Shared {
    pub(super) keys: EngineKeys,
    pub(super) config: EngineConfig,
    pub(super) clock: BatchClock,
    pub(super) directory: Directory,
    pub(super) counters: Arc<Counters>,
    pub(super) state: AtomicU8,
    /// Per shard the number of the next batch to sequence.
    pub(super) next_batches: Vec<AtomicU64>,
}

/// Something to do on a sequencer's thread; what it returns is called once the commit is durable.
pub(super) type Work = Box<dyn FnOnce(&mut Book, Timestamp) -> AfterCommit + Send>;
pub(super) type AfterCommit = Box<dyn FnOnce() + Send>;

pub(super) enum SequencerInput {
    /// A batch, and when its worker took it.
    Batch(ProvedBatch, Instant),
    Work(Work),
}

/// What one sequencer hands to the committer.
pub(super) struct Group {
    pub(super) changes: Changes,
    pub(super) sequenced: Vec<Sequenced>,
    pub(super) after: Vec<AfterCommit>,
    pub(super) taken: Vec<Taken>,
}

/// When a worker took a batch of which a sequencer decided so many requests.
pub(super) struct Taken {
    at: Instant,
    requests: usize,
}

fn microseconds(from: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

/// A thread of ours that fails leaves the pipeline in an unknown state: the process ends, the store recovers.
pub(super) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                "a thread of the pipeline failed; the process ends so that nothing is told that is not durable"
            );
            std::process::abort();
        }
    }
}

/// 32 fresh bytes from the operating system.
pub(super) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

pub(super) fn run_worker(shared: &Shared, requests: &Receiver<Sealed>, sequencers: &[Sender<SequencerInput>]) {
    let mut clock = StageClock::start();
    let stages = &shared.counters.stages;
    while let Ok(first) = requests.recv() {
        let taken_at = Instant::now();
        let mut sealed = vec![first];
        sealed.extend(requests.try_iter().take(REQUESTS_PER_BATCH_MAX - 1));
        CrashPoint::Received.reached();
        let received = sealed.len();
        shared.counters.histograms.batch_requests.add(received as u64, 1);
        let opened = open_batch(sealed, &shared.keys.session);
        shared.counters.unopened.add((received - opened.len()) as u64);
        clock.mark(&stages.open, received);
        if opened.is_empty() {
            continue;
        }
        let (verified, signatures) = verify_batch(opened, &shared.directory, shared.config.signatures, random());
        shared.counters.signatures.add(signatures as u64);
        let items = verified.len();
        clock.mark(&stages.verify, items);
        let ticket = shared.clock.draw();
        let seed = BatchSeed::from_random(random());
        let batches = prove_batch(verified, ticket, &shared.keys.signer, seed, shared.config.shards);
        shared.counters.batches.add(1);
        clock.mark(&stages.prove, items);
        CrashPoint::Proved.reached();
        for (sequencer, batch) in sequencers.iter().zip(batches) {
            if sequencer.send(SequencerInput::Batch(batch, taken_at)).is_err() {
                return;
            }
        }
    }
}

pub(super) fn run_sequencer(mut book: Book, shared: &Shared, input: &Receiver<SequencerInput>, groups: &Sender<Group>) {
    let mut next = shared.clock.first_number();
    let next_batch = &shared.next_batches[usize::from(book.shard())];
    let mut early: BTreeMap<u64, (ProvedBatch, Instant)> = BTreeMap::new();
    let mut stage_clock = StageClock::start();
    while let Ok(first) = input.recv() {
        let (mut sequenced, mut after, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for item in std::iter::once(first).chain(input.try_iter()) {
            match item {
                SequencerInput::Work(work) => after.push(work(&mut book, shared.clock.now())),
                SequencerInput::Batch(batch, taken_at) => {
                    early.insert(batch.ticket.number, (batch, taken_at));
                    while let Some((batch, at)) = early.remove(&next) {
                        taken.push(Taken { at, requests: batch.payments.len() });
                        sequenced.append(&mut sequence_batch(&mut book, batch));
                        next += 1;
                    }
                }
            }
            if sequenced.len() >= SEQUENCED_PER_GROUP_MAX {
                break;
            }
        }
        next_batch.store(next, Ordering::Release);
        if sequenced.is_empty() && after.is_empty() {
            continue;
        }
        CrashPoint::Sequenced.reached();
        let (changes, durable) = book.take_changes();
        if let Some(enrolments) = durable {
            after.push(Box::new(|| enrolments.confirm()));
        }
        let group = Group { changes, sequenced, after, taken };
        stage_clock.mark(&shared.counters.stages.sequence, group.sequenced.len());
        if groups.send(group).is_err() {
            return;
        }
    }
}

pub(super) fn run_committer(
    mut store: Box<dyn Store>,
    counters: &Counters,
    groups: &Receiver<Group>,
    committed_out: &Sender<Vec<Committed>>,
) {
    let mut clock = StageClock::start();
    while let Ok(first) = groups.recv() {
        let Group { mut changes, mut sequenced, mut after, mut taken } = first;
        for mut group in groups.try_iter() {
            changes.append(group.changes);
            sequenced.append(&mut group.sequenced);
            after.append(&mut group.after);
            taken.append(&mut group.taken);
        }
        // Nothing but reads: everything before them is durable already.
        if sequenced.is_empty() && changes.is_empty() {
            after.into_iter().for_each(|call| call());
            continue;
        }
        let begun = Instant::now();
        let receipt = match store.commit(&changes) {
            Ok(receipt) => receipt,
            Err(error) => {
                // Whether the write happened is unknown: only recovery can tell, so nobody may be told anything.
                tracing::error!(%error, "cannot commit; the process ends");
                eprintln!("tps: {error}");
                std::process::abort();
            }
        };
        CrashPoint::Committed.reached();
        counters.commits.add(1);
        let durable = Instant::now();
        let histograms = &counters.histograms;
        histograms.sync_us.add(microseconds(begun, durable), 1);
        histograms.commit_requests.add(sequenced.len() as u64, 1);
        for Taken { at, requests } in taken {
            histograms.durable_us.add(microseconds(at, durable), requests as u64);
        }
        let committed: Vec<Committed> = sequenced.into_iter().map(|payment| payment.committed(&receipt)).collect();
        clock.mark(&counters.stages.commit, committed.len());
        if !committed.is_empty() && committed_out.send(committed).is_err() {
            return;
        }
        after.into_iter().for_each(|call| call());
    }
}

pub(super) fn run_revealer(reader: &dyn Reader, counters: &Counters, committed: &Receiver<Vec<Committed>>) {
    let mut clock = StageClock::start();
    let mut sealer = ResponseSealer::default();
    while let Ok(payments) = committed.recv() {
        let items = payments.len();
        let mut outbox = Outbox::default();
        for payment in payments {
            counters.count(&payment);
            CrashPoint::Revealed.reached();
            if let Err(error) = reveal(payment, reader, &mut sealer, &mut outbox) {
                tracing::error!(%error, "a stored outcome cannot be read; its request stays unanswered");
            }
        }
        outbox.send();
        CrashPoint::Sent.reached();
        clock.mark(&counters.stages.reveal, items);
    }
}
