//! `mts reconcile`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mts_plugin::desk::settlements::{Settled, settlement_directory};
use mts_plugin::reconcile::{HeldPayment, HeldRefund, Records, reconcile as compare};
use mts_plugin::store::{Refund, RefundProgress, Store};
use mts_plugin::{Home, clock};
use protocol::money::Asset;
use protocol::proof::Proof;
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
    let records = records(&Store::open(&home.orders_path())?)?;
    let now = clock::now();
    let settled = match (report, cycle) {
        (Some(path), _) => vec![Settled::read(&home, &path, now)?],
        (None, Some(cycle)) => vec![Settled::read(&home, &settlement_directory(&home, cycle), now)?],
        (None, None) => {
            let cycles = home.settlement_cycles()?;
            let read = |cycle: &u64| Settled::read(&home, &settlement_directory(&home, *cycle), now);
            cycles.iter().map(read).collect::<Result<_, _>>()?
        }
    };
    if settled.is_empty() {
        return Err(Failure::Refused(
            "there is no settlement report here: fetch them with `mts desk sync`, or name one with --report".to_owned(),
        ));
    }
    let mut told = Vec::new();
    let mut text = String::new();
    let mut found = 0;
    for one in &settled {
        let report = &one.report;
        let before = settlement_directory(&home, report.cycle.saturating_sub(1));
        let before = before.exists().then(|| Settled::read(&home, &before, now)).transpose()?;
        let differences = compare(report, &one.pages, &records, before.as_ref().map(|before| &before.report));
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
