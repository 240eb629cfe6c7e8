//! `mts reconcile`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mts_plugin::desk::settlements::{Settled, settlement_directory};
use mts_plugin::reconcile::{HeldPayment, HeldRefund, Records, reconcile as compare};
use mts_plugin::store::{Refund, RefundProgress, Store};
use mts_plugin::{Home, clock};
use protocol::ids::TransactionNumber;
use protocol::money::Asset;
use protocol::proof::Proof;
use protocol::time::Timestamp;
use serde_json::json;

use super::{Failure, print};

/// Compares one cycle, or all that are here, with the merchant's own records; fails where there are differences.
pub(super) fn reconcile(
    directory: &Path,
    cycle: Option<u64>,
    report: Option<PathBuf>,
    as_json: bool,
) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    let mut records = records(&Store::open(&home.orders_path())?)?;
    let now = clock::now();
    let read = |cycle: &u64| Settled::read(&home, &settlement_directory(&home, *cycle), now);
    let mut held: Vec<Settled> = home.settlement_cycles()?.iter().map(read).collect::<Result<_, _>>()?;
    let wanted = match (&report, cycle) {
        (Some(path), _) => {
            let given = Settled::read(&home, path, now)?;
            let wanted = given.report.cycle;
            held.retain(|settled| settled.report.cycle != wanted);
            held.push(given);
            held.sort_by_key(|settled| settled.report.cycle);
            Some(wanted)
        }
        (None, cycle) => cycle,
    };
    records.given_back = given_back(&held);
    let is_wanted = |settled: &Settled| wanted.is_none_or(|wanted| settled.report.cycle == wanted);
    if !held.iter().any(is_wanted) {
        let which =
            wanted.map_or_else(|| "no settlement report".to_owned(), |cycle| format!("no report of cycle {cycle}"));
        return Err(Failure::Refused(format!(
            "there is {which} here: fetch them with `mts desk sync`, or name one with --report; a cycle in which nothing was sold has none"
        )));
    }
    let mut told = Vec::new();
    let mut text = String::new();
    let mut found = 0;
    for (index, one) in held.iter().enumerate().filter(|(_, one)| is_wanted(one)) {
        let report = &one.report;
        let before = index.checked_sub(1).and_then(|before| held.get(before)).map(|before| &before.report);
        let differences = compare(report, &one.pages, &records, before);
        found += differences.len();
        let payments: u64 = report.totals.iter().map(|totals| totals.payments).sum();
        text += &format!("cycle {}: {payments} payments, {} differences\n", report.cycle, differences.len());
        differences.iter().for_each(|difference| text += &format!("  {}\n", difference.text()));
        told.push(json!({
            "cycle": report.cycle, "from_ms": report.from, "until_ms": report.until, "payments": payments,
            "differences": differences,
            "totals": report.totals.iter().map(|totals| json!({
                "asset": totals.asset, "payments": totals.payments, "carried_before": totals.carried_before.to_string(),
                "credited": totals.credited.to_string(), "returned": totals.returned.to_string(),
                "refunded": totals.refunded.to_string(), "fees": totals.fees.to_string(),
                "payout": totals.payout.to_string(), "carried_after": totals.carried_after.to_string(),
            })).collect::<Vec<_>>(),
        }));
    }
    print(as_json, &json!({ "cycles": told }), text.trim_end());
    if found == 0 { Ok(()) } else { Err(Failure::Refused(format!("{found} differences were found"))) }
}

/// The time of the last refund of each number that a report lists.
fn given_back(held: &[Settled]) -> BTreeMap<TransactionNumber, Timestamp> {
    let mut given_back = BTreeMap::new();
    for line in held.iter().flat_map(|settled| &settled.pages).flat_map(|page| &page.refunds) {
        let latest = given_back.entry(line.number).or_insert(line.refunded_at);
        *latest = line.refunded_at.max(*latest);
    }
    given_back
}

fn records(store: &Store) -> Result<Records, Failure> {
    let mut records = Records::default();
    store.for_each_number(|number| {
        records.numbers.insert(number);
    })?;
    let mut damaged = 0;
    store.for_each_proof(|bytes| match Proof::decode(bytes) {
        Ok(Proof { statement, .. }) => records.payments.push(HeldPayment {
            payment: statement.payment,
            number: statement.number,
            quote_digest: statement.quote_digest,
            amount: statement.amount,
            asset: statement.asset,
            batch_time: statement.batch_time,
        }),
        Err(_) => damaged += 1,
    })?;
    if damaged > 0 {
        return Err(Failure::Refused(format!("{damaged} proofs on record are damaged: restore the order store")));
    }
    records.refunds = store.refunds(None)?.iter().map(held_refund).collect();
    Ok(records)
}

fn held_refund(refund: &Refund) -> HeldRefund {
    let parsed =
        refund.totals.iter().filter_map(|(asset, units)| Some((asset.parse::<Asset>().ok()?, units.parse().ok()?)));
    let totals: BTreeMap<Asset, u128> =
        if refund.progress == RefundProgress::PutThrough { parsed.collect() } else { BTreeMap::new() };
    HeldRefund { order: refund.order, number: refund.number, totals }
}
