//! Replay of payments and journal.

use std::collections::{BTreeMap, HashMap};

use protocol::ids::InstrumentId;
use protocol::ledger::instrument::Place;
use protocol::ledger::posting::{Party, Posting, balanced, payment};
use protocol::money::Asset;
use protocol::response::Reason;

use super::refunds::Marks;
use super::{AuditReport, Books};
use crate::admin::AdminError;
use crate::store::Reader;

/// What the log adds up to.
#[derive(Default)]
pub(super) struct Replayed {
    /// Balances of everybody.
    pub(super) balances: BTreeMap<(Party, Asset), i128>,
    /// Transactions beyond an instrument's count, by instrument: made after the books were copied, or lost by them.
    pub(super) beyond: BTreeMap<InstrumentId, u64>,
}

impl Replayed {
    fn post(&mut self, postings: &[Posting], report: &mut AuditReport) {
        for posting in postings {
            let balance = self.balances.entry((posting.party, posting.asset)).or_insert(0);
            match balance.checked_add(posting.change) {
                Some(sum) => *balance = sum,
                None => report.differs(format!("{}: the log leaves the range of money", super::named(posting.party))),
            }
        }
    }
}

/// Adds up the log as far as the books had seen it: the first `moving` journal entries that move money, and of each
/// instrument as many transactions as its count says.
pub(super) fn replay(
    reader: &dyn Reader,
    books: &Books,
    moving: u64,
    mut marks: Marks,
    report: &mut AuditReport,
) -> Result<Replayed, AdminError> {
    let mut replayed = Replayed::default();
    let mut left = moving;
    reader.for_each_journal(&mut |record| {
        report.journal += 1;
        if record.postings.is_empty() || left == 0 {
            return;
        }
        left -= 1;
        if balanced(&record.postings) != Ok(true) {
            report.differs(format!("the journal entry of {} ({}) does not sum to zero", record.time, record.what));
        }
        marks.journal(&record.postings);
        replayed.post(&record.postings, report);
    })?;

    let mut last: HashMap<InstrumentId, (u64, Place)> = HashMap::new();
    reader.for_each_payment(&mut |place, record| {
        let marked = marks.take(place);
        let Some((account, state)) = books.instruments.get(&record.instrument) else {
            report.differs(format!("instrument {} paid, but was never enrolled", record.instrument));
            return;
        };
        if record.count > state.last_count && place > state.last_place {
            *replayed.beyond.entry(record.instrument).or_insert(0) += 1;
            return;
        }
        if let Some(mark) = marked {
            report.refunds += 1;
            marks.payment(&mark, *account, record, report);
        }
        report.payments += 1;
        let (count, _) = last.get(&record.instrument).copied().unwrap_or_default();
        if record.count != count + 1 {
            let (id, found) = (record.instrument, record.count);
            report.differs(format!("instrument {id}: transaction {found} follows transaction {count}"));
        }
        last.insert(record.instrument, (record.count, place));
        if record.reason == Reason::Paid {
            replayed.post(&payment(*account, record.merchant, record.asset, record.amount), report);
        }
    })?;

    marks.finish(report);

    let mut instruments: Vec<_> = books.instruments.iter().collect();
    instruments.sort_unstable_by_key(|(id, _)| **id);
    for (id, (_, state)) in instruments {
        report.instruments += 1;
        let (count, place) = last.get(id).copied().unwrap_or_default();
        if state.last_count != count {
            report.differs(format!("instrument {id}: its count is {}, but the log holds {count}", state.last_count));
        } else if state.last_place != place {
            report.differs(format!("instrument {id}: its last outcome is not that of transaction {count}"));
        }
    }
    Ok(replayed)
}
