//! Refunds: first what will be done is durable, then it is done shard by shard, then that it was.
//!
//! A crash at any point leaves orders accepted and not done. Each payment that went back bears a mark from the commit that
//! moved its money, so that resuming does exactly what is missing. While an order is open its pair is in no other.

use std::collections::{BTreeMap, HashSet};

use protocol::desk::{EntryRefusal, EntryResult, RefundedTotal};
use protocol::ids::{MerchantId, RefundOrderId, TransactionNumber};
use protocol::ledger::posting::Party;

use super::plan::{Accrued, Found, decide, totals};
use super::records::{OpenRefund, PairRecord, RefundOrderRecord, RefundProgress, RefundedRecord, StoredPlace};
use crate::book::orders::OrderError;
use crate::book::refund::GivenBack;
use crate::pipeline::Engine;
use crate::store::StoreError;
use crate::store::desk::{DeskEntry, DeskRecord};

/// Payments given back in one commit of one shard: payments that arrive meanwhile wait no longer than for a batch.
const PAYMENTS_PER_COMMIT: usize = 256;

/// Refund orders of a batch, as the merchant wrote them.
pub(super) type Wanted = (RefundOrderId, TransactionNumber);

/// Carries out the refund orders of one merchant's batch; one result per order, in their order, and whether any was accepted now.
/// `through` is where the index of pairs has come to.
///
/// # Errors
/// [`OrderError`]: what was accepted by then is carried out by [`resume`].
pub(super) fn refund(
    engine: &Engine,
    merchant: MerchantId,
    suspended: bool,
    wanted: &[Wanted],
    through: StoredPlace,
) -> Result<(Vec<EntryResult>, bool), OrderError> {
    let _debits = engine.merchant_debits();
    let mut accrued = accrued(engine, merchant);
    let mut accepted: BTreeMap<RefundOrderId, RefundOrderRecord> = BTreeMap::new();
    let mut pairs: HashSet<TransactionNumber> = HashSet::new();
    let mut results = Vec::with_capacity(wanted.len());
    for (order, number) in wanted {
        let known = match accepted.get(order) {
            Some(record) => Some(record.clone()),
            None => RefundOrderRecord::read(&**engine.reader(), &RefundOrderRecord::key_of(merchant, *order))?,
        };
        results.push(match known {
            // Applied once, whatever was paid since (K-100).
            Some(record) if record.number == *number => EntryResult::Refunded(record.totals),
            Some(_) => EntryResult::Refused(EntryRefusal::OtherNumber),
            None => {
                let mut found = payments_of(engine, merchant, *number, through)?;
                if pairs.contains(number) {
                    // An earlier order of this batch takes them all.
                    found.iter_mut().for_each(|payment| payment.refunded = true);
                }
                match decide(suspended, &found, &mut accrued) {
                    Ok(totals) => {
                        pairs.insert(*number);
                        let record = accept(engine, merchant, (*order, *number), through, totals.clone());
                        accepted.insert(*order, record);
                        EntryResult::Refunded(totals)
                    }
                    Err(refusal) => EntryResult::Refused(refusal),
                }
            }
        });
    }
    let accepted: Vec<RefundOrderRecord> = accepted.into_values().collect();
    let changed = !accepted.is_empty();
    if changed {
        let open = accepted.iter().flat_map(|record| {
            let open = OpenRefund { merchant, order: record.order };
            [record.entry(), open.entry()]
        });
        engine.record(open.collect())?;
        carry_out(engine, accepted)?;
    }
    Ok((results, changed))
}

fn accept(
    engine: &Engine,
    merchant: MerchantId,
    (order, number): Wanted,
    through: StoredPlace,
    totals: Vec<RefundedTotal>,
) -> RefundOrderRecord {
    let (progress, accepted_at) = (RefundProgress::Accepted, engine.now());
    RefundOrderRecord { merchant, order, number, through, totals, progress, accepted_at }
}

/// Finishes what an earlier process, or an earlier attempt, left open. Before that nothing else may take from a merchant.
///
/// # Errors
/// [`OrderError`].
pub(super) fn resume(engine: &Engine) -> Result<usize, OrderError> {
    let _debits = engine.merchant_debits();
    let reader = engine.reader();
    let mut open = Vec::new();
    for OpenRefund { merchant, order } in OpenRefund::all(&**reader, &OpenRefund::BEGINNING)? {
        let record = RefundOrderRecord::read(&**reader, &RefundOrderRecord::key_of(merchant, order))?;
        let missing = || reader.inconsistent(&format!("refund order {order} of merchant {merchant} is missing"));
        open.push(record.ok_or_else(missing)?);
    }
    let count = open.len();
    if count > 0 {
        carry_out(engine, open)?;
    }
    Ok(count)
}

/// What the merchant is owed by all shards together. Credits only grow meanwhile, and nobody else debits.
fn accrued(engine: &Engine, merchant: MerchantId) -> Accrued {
    let party = Party::Merchant(merchant);
    let parts = engine.read(move |book| {
        let own = book.balances().filter(|(owner, ..)| *owner == party);
        own.map(|(_, asset, units)| (asset, units)).collect::<Vec<_>>()
    });
    let mut sums = Accrued::new();
    for (asset, units) in parts.concat() {
        *sums.entry(asset).or_insert(0) += units;
    }
    sums
}

fn payments_of(
    engine: &Engine,
    merchant: MerchantId,
    number: TransactionNumber,
    through: StoredPlace,
) -> Result<Vec<Found>, StoreError> {
    let reader = &**engine.reader();
    let payments = PairRecord::of_pair(reader, merchant, number, through)?;
    let found = payments
        .into_iter()
        .map(|payment| Ok(Found { payment, refunded: RefundedRecord::of(reader, payment.place)?.is_some() }));
    found.collect()
}

/// Gives the payments of accepted orders back, as far as they do not bear a mark, and notes that the orders are done.
fn carry_out(engine: &Engine, orders: Vec<RefundOrderRecord>) -> Result<(), OrderError> {
    let mut by_shard: BTreeMap<u16, Vec<(RefundOrderId, PairRecord)>> = BTreeMap::new();
    for order in &orders {
        for payment in missing(engine, order)? {
            let shard = payment.instrument.shard_key() % engine.shards();
            by_shard.entry(shard).or_default().push((order.order, payment));
        }
    }
    for (shard, payments) in by_shard {
        for chunk in payments.chunks(PAYMENTS_PER_COMMIT) {
            let marks: Vec<DeskEntry> = chunk
                .iter()
                .map(|(order, payment)| {
                    RefundedRecord { place: payment.place, merchant: payment.merchant, order: *order }.entry()
                })
                .collect();
            let given_back: Vec<GivenBack> = chunk
                .iter()
                .map(|(_, payment)| GivenBack {
                    instrument: payment.instrument,
                    merchant: payment.merchant,
                    asset: payment.asset,
                    amount: payment.amount,
                })
                .collect();
            let what = format!("refunded {} payments by order of their merchants", given_back.len());
            engine.with_book(shard, move |book, now| book.give_back(what, &given_back, marks, now))?;
        }
    }
    let done = orders.into_iter().flat_map(|mut record| {
        record.progress = RefundProgress::Done;
        let open = OpenRefund { merchant: record.merchant, order: record.order };
        [record.entry(), OpenRefund::removal(&open.key())]
    });
    engine.record(done.collect())
}

/// The payments of an accepted order that are still to go back.
fn missing(engine: &Engine, order: &RefundOrderRecord) -> Result<Vec<PairRecord>, StoreError> {
    let reader = &**engine.reader();
    let (mut own, mut missing) = (Vec::new(), Vec::new());
    for payment in PairRecord::of_pair(reader, order.merchant, order.number, order.through)? {
        match RefundedRecord::of(reader, payment.place)? {
            None => {
                own.push(payment);
                missing.push(payment);
            }
            Some(mark) if mark.order == order.order && mark.merchant == order.merchant => own.push(payment),
            Some(_) => {}
        }
    }
    if totals(own.iter()) != order.totals {
        let detail = format!("the payments of refund order {} are not those it was accepted for", order.order);
        return Err(reader.inconsistent(&detail));
    }
    Ok(missing)
}
