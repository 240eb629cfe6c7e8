//! Payouts on their way to the funding agency: one list per closed cycle.

use std::collections::BTreeMap;

use protocol::money::format;

use super::FundingAdapter;
use crate::admin::AdminError;
use crate::data_directory::Realm;
use crate::pipeline::Engine;
use crate::settlement::records::{Payout, PayoutState, SettlementCycle};
use crate::store::desk::DeskRecord;

/// Records that are kept in one commit.
const RECORDS_AT_ONCE: usize = 256;

/// Hands the payouts of every closed cycle over. A list holds all payouts of its cycle, so that handing it over again, after a crash
/// in between, gives the agency nothing new.
///
/// # Errors
/// [`AdminError`] where the store or the adapter does not work.
pub(super) fn hand_over(engine: &Engine, realm: &Realm, adapter: &mut dyn FundingAdapter) -> Result<(), AdminError> {
    let reader = engine.reader().as_ref();
    let mut cycles: BTreeMap<u64, Vec<Payout>> = BTreeMap::new();
    for payout in Payout::all(reader, &[])? {
        cycles.entry(payout.cycle).or_default().push(payout);
    }
    for (cycle, payouts) in cycles {
        let pending: Vec<&Payout> = payouts.iter().filter(|payout| payout.state == PayoutState::Pending).collect();
        let closed = SettlementCycle::read(reader, &cycle.to_be_bytes())?.is_some_and(|cycle| cycle.closed);
        if pending.is_empty() || !closed {
            continue;
        }
        adapter.pay_out(&format!("payouts-{cycle:08}.csv"), &list(realm, &payouts)?)?;
        for part in pending.chunks(RECORDS_AT_ONCE) {
            let sent = part.iter().map(|payout| Payout { state: PayoutState::Sent, ..(*payout).clone() }.entry());
            engine.record(sent.collect())?;
        }
    }
    Ok(())
}

/// The list of a cycle as CSV.
///
/// # Errors
/// [`AdminError`] where it cannot be written, which memory always can.
pub fn list(realm: &Realm, payouts: &[Payout]) -> Result<String, AdminError> {
    let failed = |error: csv::Error| AdminError::bad_input(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["payout", "cycle", "merchant", "asset", "amount", "created_at_ms"]).map_err(failed)?;
    for payout in payouts {
        let exponent = realm.exponent(payout.asset).unwrap_or(0);
        let row = [
            hex::encode(payout.id()),
            payout.cycle.to_string(),
            payout.merchant.to_string(),
            payout.asset.to_string(),
            format(payout.units, exponent),
            payout.created_at.0.to_string(),
        ];
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| AdminError::bad_input(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| AdminError::bad_input(error.to_string()))
}
