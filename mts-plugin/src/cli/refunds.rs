//! `mts refunds`.

use std::path::Path;

use mts_plugin::Home;
use mts_plugin::store::{Refund, RefundProgress, Store};
use protocol::ids::TransactionNumber;
use protocol::order::OrderState;
use protocol::purchase::MerchantErrorCode;
use serde_json::json;

use super::orders::{summary, unknown, with_merchant};
use super::{Failure, RefundsCommand, print};

/// Orders of one state that are listed.
const LISTED_MAX: u32 = 10_000;

pub(super) fn refunds(directory: &Path, command: RefundsCommand, as_json: bool) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    match command {
        RefundsCommand::List => list(&Store::open(&home.orders_path())?, as_json),
        RefundsCommand::Accept { number, again } => with_merchant(home, |merchant| {
            let new = merchant.accept_refund(number, again).map_err(|refusal| match refusal.code {
                MerchantErrorCode::NotPaid | MerchantErrorCode::UnknownNumber => Failure::Refused(format!(
                    "no payment of {number} is on record here; where a settlement report lists one, --again has the TPS give it back"
                )),
                code => Failure::Refused(code.to_string()),
            })?;
            let order = merchant.store().order(number)?;
            let mut value = order.as_ref().map_or_else(|| json!({ "number": number }), summary);
            value["new_refund"] = json!(new);
            let text = if new {
                "accepted; `mts desk sync` hands it to the TPS"
            } else {
                "accepted before; nothing was paid since that anybody knows of (--again asks the TPS all the same)"
            };
            print(as_json, &value, &format!("{number}  {text}"));
            Ok(())
        }),
        RefundsCommand::Refuse { number } => with_merchant(home, |merchant| {
            merchant.refuse_refund(number).map_err(|refusal| Failure::Refused(refusal.code.to_string()))?;
            let order = merchant.store().order(number)?.ok_or_else(|| unknown(number))?;
            print(as_json, &summary(&order), &format!("{number}  refused"));
            Ok(())
        }),
    }
}

fn list(store: &Store, as_json: bool) -> Result<(), Failure> {
    let requested = store.list(Some(OrderState::AwaitingRefundDecision), LISTED_MAX)?;
    let refunds = store.refunds(None)?;
    let surplus: Vec<TransactionNumber> = {
        // Those recorded since the order's last refund was granted: whoever paid them may not have the money back.
        let mut numbers: Vec<_> = store
            .surplus(None)?
            .into_iter()
            .filter(|payment| {
                let of_number = refunds.iter().filter(|refund| refund.number == payment.number);
                of_number
                    .max_by_key(|refund| refund.granted_at)
                    .is_none_or(|refund| payment.recorded_at >= refund.granted_at)
            })
            .map(|payment| payment.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let value = json!({
        "requested": requested.iter().map(summary).collect::<Vec<_>>(),
        "surplus": surplus,
        "refunds": refunds,
    });
    let mut lines = Vec::new();
    lines.extend(requested.iter().map(|order| format!("{}  requested: accept or refuse it", order.quote.number)));
    lines.extend(
        surplus.iter().map(|number| format!("{number}  paid more than once: accepting gives back every payment")),
    );
    lines.extend(refunds.iter().map(line));
    if lines.is_empty() {
        lines.push("No refunds.".to_owned());
    }
    print(as_json, &value, &lines.join("\n"));
    Ok(())
}

fn line(refund: &Refund) -> String {
    let number = refund.number;
    match (refund.progress, refund.refusal) {
        (RefundProgress::Waiting, None) => format!("{number}  waits for `mts desk sync`"),
        (RefundProgress::Waiting, Some(refusal)) => format!("{number}  waits: {refusal}"),
        (RefundProgress::PutThrough, _) => {
            let totals: Vec<_> =
                refund.totals.iter().map(|(asset, units)| format!("{units} units of {asset}")).collect();
            format!("{number}  put through: {}", totals.join(", "))
        }
        (RefundProgress::NotPutThrough, refusal) => {
            let why = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
            format!("{number}  not put through: {why}")
        }
    }
}
