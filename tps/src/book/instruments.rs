//! Instruments in memory: what payments read and write, 96 bytes each. What they do not touch stays in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::ids::{Digest, InstrumentId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{FailedRequests, Instrument, InstrumentState, Limits, Place};
use protocol::pin::ModifiedPin;
use protocol::time::Timestamp;

use crate::dense::{Dense, Named, Slot};
use crate::store::records::EnrolmentRecord;
use crate::store::{Reader, StoreError};

/// An instrument, packed.
pub(super) struct Entry {
    id: InstrumentId,
    last_content: Digest,
    last_count: u64,
    last_batch: u64,
    current: ModifiedPin,
    previous: ModifiedPin,
    /// What few instruments have.
    rare: Option<Box<Rare>>,
    account: Slot,
    last_index: u16,
    pin_failures: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Entry>() == 96, "docs/performance.md counts on it");

/// State that is the default one for most instruments.
#[derive(Clone, Default, PartialEq)]
struct Rare {
    limits: Option<Arc<Limits>>,
    failed_requests: FailedRequests,
    period_start: Timestamp,
    period_spent: i128,
}

const HELD: u8 = 1;
const REVOKED: u8 = 2;
const HAS_CURRENT: u8 = 4;
const HAS_PREVIOUS: u8 = 8;
const CHANGED: u8 = 16;

impl Named for Entry {
    fn name(&self) -> &[u8; 16] {
        &self.id.0
    }
}

impl Entry {
    /// An instrument that has not paid yet; its account's slot is set when it is put among the others.
    pub(super) fn new(record: &EnrolmentRecord) -> Self {
        let mut entry = Self {
            id: record.id,
            last_content: Digest::ZERO,
            last_count: 0,
            last_batch: 0,
            current: ModifiedPin(0),
            previous: ModifiedPin(0),
            rare: None,
            account: Slot(0),
            last_index: 0,
            pin_failures: 0,
            flags: 0,
        };
        entry.set_enrolment(record);
        entry
    }

    fn set(&mut self, flag: u8, value: bool) {
        self.flags = if value { self.flags | flag } else { self.flags & !flag };
    }

    fn pin(&self, flag: u8, pin: ModifiedPin) -> Option<ModifiedPin> {
        (self.flags & flag != 0).then_some(pin)
    }

    fn set_rare(&mut self, rare: Rare) {
        self.rare = (rare != Rare::default()).then(|| Box::new(rare));
    }

    /// Takes over the part of an enrolment that payments read.
    fn set_enrolment(&mut self, record: &EnrolmentRecord) {
        self.set(HELD, record.holds.any());
        self.set(REVOKED, record.revoked);
        let limits = (record.limits != Limits::default()).then(|| Arc::new(record.limits.clone()));
        let rare = self.rare.take().map_or_else(Rare::default, |rare| *rare);
        self.set_rare(Rare { limits, ..rare });
    }

    fn state(&self) -> InstrumentState {
        let rare = self.rare.as_deref();
        InstrumentState {
            last_count: self.last_count,
            last_content: self.last_content,
            last_place: Place { batch: self.last_batch, index: self.last_index },
            current: self.pin(HAS_CURRENT, self.current),
            previous: self.pin(HAS_PREVIOUS, self.previous),
            pin_failures: self.pin_failures,
            failed_requests: rare.map_or_else(FailedRequests::default, |rare| rare.failed_requests),
            period_start: rare.map_or(Timestamp(0), |rare| rare.period_start),
            period_spent: rare.map_or(0, |rare| rare.period_spent),
        }
    }

    /// Takes over what payments change.
    pub(super) fn set_state(&mut self, state: &InstrumentState) {
        self.last_count = state.last_count;
        self.last_content = state.last_content;
        (self.last_batch, self.last_index) = (state.last_place.batch, state.last_place.index);
        self.set(HAS_CURRENT, state.current.is_some());
        self.set(HAS_PREVIOUS, state.previous.is_some());
        // An erased PIN is overwritten, not only forgotten.
        self.current = state.current.unwrap_or(ModifiedPin(0));
        self.previous = state.previous.unwrap_or(ModifiedPin(0));
        self.pin_failures = state.pin_failures;
        let usual = state.failed_requests == FailedRequests::default()
            && state.period_start == Timestamp(0)
            && state.period_spent == 0;
        if self.rare.is_some() || !usual {
            let limits = self.rare.take().and_then(|rare| rare.limits);
            self.set_rare(Rare {
                limits,
                failed_requests: state.failed_requests,
                period_start: state.period_start,
                period_spent: state.period_spent,
            });
        }
    }
}

/// All instruments of a shard.
pub(super) struct Instruments {
    entries: Dense<Entry>,
    changed: Vec<Slot>,
    enrolments: Enrolments,
}

impl Instruments {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { entries: Dense::new(), changed: Vec::new(), enrolments: Enrolments::new(reader) }
    }

    pub(super) fn slot(&self, id: InstrumentId) -> Option<Slot> {
        self.entries.slot(&id.0)
    }

    /// The slot of the account that an instrument pays from.
    pub(super) fn account(&self, slot: Slot) -> Slot {
        self.entries[slot].account
    }

    /// An instrument; `account` is what stands in the slot of [`Self::account`].
    pub(super) fn at(&self, slot: Slot, account: &Account) -> Instrument {
        let entry = &self.entries[slot];
        Instrument {
            id: entry.id,
            account: account.id,
            held: entry.flags & HELD != 0,
            revoked: entry.flags & REVOKED != 0,
            limits: entry.rare.as_deref().and_then(|rare| rare.limits.clone()),
            state: entry.state(),
        }
    }

    /// Names, accounts' slots and states of all instruments.
    pub(super) fn iter(&self) -> impl Iterator<Item = (InstrumentId, Slot, InstrumentState)> {
        self.entries.iter().map(|entry| (entry.id, entry.account, entry.state()))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets memory aside for so many more.
    pub(super) fn reserve(&mut self, additional: usize) {
        self.entries.reserve(additional);
    }

    /// Takes over a stored instrument.
    pub(super) fn load(&mut self, entry: Entry, account: Slot) -> Slot {
        self.entries.insert(Entry { account, ..entry })
    }

    /// Adds a new instrument.
    pub(super) fn insert(&mut self, record: EnrolmentRecord, account: Slot, state: &InstrumentState) {
        let slot = self.load(Entry::new(&record), account);
        self.set_state(slot, state);
        self.enrolments.put(record);
    }

    pub(super) fn set_state(&mut self, slot: Slot, state: &InstrumentState) {
        let entry = &mut self.entries[slot];
        entry.set_state(state);
        if entry.flags & CHANGED == 0 {
            entry.flags |= CHANGED;
            self.changed.push(slot);
        }
    }

    /// An instrument as enrolled.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub(super) fn enrolment(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError> {
        if self.slot(id).is_none() { Ok(None) } else { self.enrolments.get(id) }
    }

    /// Replaces the enrolment of an instrument.
    pub(super) fn set_enrolment(&mut self, slot: Slot, record: EnrolmentRecord) {
        self.entries[slot].set_enrolment(&record);
        self.enrolments.put(record);
    }

    /// Final states of what changed since the last call, each once.
    pub(super) fn take_changed(&mut self) -> Vec<(InstrumentId, InstrumentState)> {
        let changed = std::mem::take(&mut self.changed);
        let take = |slot: &Slot| {
            let entry = &mut self.entries[*slot];
            entry.flags &= !CHANGED;
            (entry.id, entry.state())
        };
        changed.iter().map(take).collect()
    }

    /// Enrolments that changed since the last call, and what to call once they are durable.
    pub(super) fn take_enrolments(&mut self) -> (Vec<EnrolmentRecord>, Option<EnrolmentsDurable>) {
        self.enrolments.take()
    }
}

/// Enrolments lie in the store; here are only those that changed and may not be there yet.
struct Enrolments {
    reader: Arc<dyn Reader>,
    recent: HashMap<InstrumentId, Recent>,
    changed: Vec<InstrumentId>,
    taken: u64,
    durable: Arc<AtomicU64>,
}

struct Recent {
    record: EnrolmentRecord,
    /// Number of the [`Enrolments::take`] that will hand it out.
    take: u64,
}

impl Enrolments {
    fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader, recent: HashMap::new(), changed: Vec::new(), taken: 0, durable: Arc::default() }
    }

    fn get(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError> {
        match self.recent.get(&id) {
            Some(recent) => Ok(Some(recent.record.clone())),
            None => self.reader.enrolment(id),
        }
    }

    fn put(&mut self, record: EnrolmentRecord) {
        let (id, take) = (record.id, self.taken + 1);
        let before = self.recent.insert(id, Recent { record, take });
        if before.is_none_or(|before| before.take != take) {
            self.changed.push(id);
        }
    }

    fn take(&mut self) -> (Vec<EnrolmentRecord>, Option<EnrolmentsDurable>) {
        if self.changed.is_empty() {
            return (Vec::new(), None);
        }
        self.taken += 1;
        let durable = self.durable.load(Ordering::Acquire);
        self.recent.retain(|_, recent| recent.take > durable);
        let records = self.changed.drain(..).filter_map(|id| Some(self.recent.get(&id)?.record.clone())).collect();
        (records, Some(EnrolmentsDurable { take: self.taken, durable: Arc::clone(&self.durable) }))
    }
}

/// Says that enrolments which were handed out are in the store, so that memory may forget them.
pub struct EnrolmentsDurable {
    take: u64,
    durable: Arc<AtomicU64>,
}

impl EnrolmentsDurable {
    /// They are, and so are all before them.
    pub fn confirm(self) {
        self.durable.fetch_max(self.take, Ordering::Release);
    }
}
