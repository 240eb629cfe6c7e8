//! Payouts on their way to the funding agency: one list per closed cycle.

use protocol::money::format;

use super::FundingAdapter;
use crate::admin::AdminError;
use crate::data_directory::Realm;
use crate::pipeline::Engine;
use crate::settlement::records::{Payout, PayoutState, SettlementCycle};
use crate::store::desk::DeskRecord;

/// Records that are kept in one commit.
const RECORDS_AT_ONCE: usize = 256;

/// Hands the payouts of every closed cycle after `done` over, and moves `done` to the last of them. A list holds all payouts of its
/// cycle, so that handing it over again, after a crash in between, gives the agency nothing new.
///
/// # Errors
/// [`AdminError`] where the store or the adapter does not work.
pub(super) fn hand_over(
    engine: &Engine,
    realm: &Realm,
    adapter: &mut dyn FundingAdapter,
    done: &mut u64,
) -> Result<(), AdminError> {
    let reader = engine.reader().as_ref();
    loop {
        let cycle = (*done + 1).to_be_bytes();
        if !SettlementCycle::read(reader, &cycle)?.is_some_and(|cycle| cycle.closed) {
            return Ok(());
        }
        let payouts = Payout::all(reader, &cycle)?;
        let pending: Vec<&Payout> = payouts.iter().filter(|payout| payout.state == PayoutState::Pending).collect();
        if !pending.is_empty() {
            adapter.pay_out(&format!("payouts-{:08}.csv", *done + 1), &list(realm, &payouts)?)?;
        }
        for part in pending.chunks(RECORDS_AT_ONCE) {
            let sent = part.iter().map(|payout| Payout { state: PayoutState::Sent, ..(*payout).clone() }.entry());
            engine.record(sent.collect())?;
        }
        *done += 1;
    }
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
