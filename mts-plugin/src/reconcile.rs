//! Reconciliation (K-105): a settlement report against the merchant's own orders, proofs and refunds. Pure: what was read goes in,
//! the differences come out.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{PaymentId, QuoteDigest, RefundOrderId, TransactionNumber};
use protocol::money::{Amount, Asset};
use protocol::settlement::{SettlementPage, SettlementReport, SettlementTotals};
use protocol::time::Timestamp;

/// A payment whose verified proof the merchant holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldPayment {
    /// Names the payment.
    pub payment: PaymentId,
    /// The merchant's number.
    pub number: TransactionNumber,
    /// Digest of the quote that was paid.
    pub quote_digest: QuoteDigest,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// When.
    pub batch_time: Timestamp,
}

/// A refund that the merchant granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldRefund {
    /// The merchant's name for it.
    pub order: RefundOrderId,
    /// The merchant's number.
    pub number: TransactionNumber,
    /// What went back as the TPS answered, in smallest units by asset; empty where it did not put the refund through.
    pub totals: BTreeMap<Asset, u128>,
}

/// What the merchant knows.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Payments with proofs, whenever they were made.
    pub payments: Vec<HeldPayment>,
    /// Refunds, whenever they were granted.
    pub refunds: Vec<HeldRefund>,
    /// Numbers of all orders that are on record.
    pub numbers: BTreeSet<TransactionNumber>,
    /// When the TPS last gave back every payment of a number, as its reports say.
    pub given_back: BTreeMap<TransactionNumber, Timestamp>,
}

/// Where report and records differ, and what that means.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum Difference {
    /// The TPS credited a payment whose proof nobody presented here.
    NotPresented {
        /// The payment.
        payment: PaymentId,
        /// The number it names.
        number: TransactionNumber,
        /// Whether an order of that number is on record.
        known_order: bool,
        /// Units credited.
        units: u64,
        /// Of what.
        asset: Asset,
    },
    /// A proof is held for a payment of this cycle, or of the time since the report before, that the report does not list.
    NotCredited {
        /// The payment.
        payment: PaymentId,
        /// The number it names.
        number: TransactionNumber,
        /// Units proved.
        units: u64,
        /// Of what.
        asset: Asset,
    },
    /// Report and proof name one payment and say different things of it.
    OtherTerms {
        /// The payment.
        payment: PaymentId,
        /// The number it names.
        number: TransactionNumber,
    },
    /// The report lists a refund that was never granted here.
    RefundNotGranted {
        /// The refund's name.
        order: RefundOrderId,
        /// The number.
        number: TransactionNumber,
    },
    /// The report lists a refund with another sum than the TPS answered.
    OtherRefund {
        /// The refund's name.
        order: RefundOrderId,
        /// The number.
        number: TransactionNumber,
    },
    /// What is carried over into the cycle is not what the report before left.
    OtherCarry {
        /// In which asset.
        asset: Asset,
        /// What the report before left, in smallest units.
        left: String,
        /// What this one begins with.
        carried: String,
    },
}

impl Difference {
    /// What it means and what to do, for people.
    pub fn text(&self) -> String {
        match self {
            Self::NotPresented { payment, number, known_order: true, units, asset } => format!(
                "payment {payment} of {units} units of {asset} for order {number} was credited, but its proof was never presented: \
                 deliver when it is, or `mts refunds accept {number} --again`"
            ),
            Self::NotPresented { payment, number, units, asset, .. } => format!(
                "payment {payment} of {units} units of {asset} was credited for number {number}, which is no order here: \
                 `mts refunds accept {number} --again`"
            ),
            Self::NotCredited { payment, number, units, asset } => format!(
                "payment {payment} of {units} units of {asset} for order {number} is proved, but was not credited: show the operator \
                 its proof"
            ),
            Self::OtherTerms { payment, number } => format!(
                "payment {payment} for order {number} is listed with other terms than its proof states: show the operator its proof"
            ),
            Self::RefundNotGranted { order, number } => format!(
                "refund {order} of order {number} was never granted here: ask the operator for the batch that ordered it"
            ),
            Self::OtherRefund { order, number } => format!(
                "refund {order} of order {number} is listed with another sum than the desk answered: ask the operator"
            ),
            Self::OtherCarry { asset, left, carried } => format!(
                "the report before left {left} units of {asset}, this one begins with {carried}: fetch what is missing with \
                 `mts desk sync`, or ask the operator"
            ),
        }
    }
}

/// Compares a report, whose signature and pages were checked, with the records; `before` is the last report before it that is at
/// hand. Cycles that brought the merchant nothing have no report, so whatever was left then is carried into this one, and no payment
/// lies in between.
pub fn reconcile(
    report: &SettlementReport,
    pages: &[SettlementPage],
    records: &Records,
    before: Option<&SettlementReport>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut held: BTreeMap<PaymentId, &HeldPayment> =
        records.payments.iter().map(|payment| (payment.payment, payment)).collect();
    for line in pages.iter().flat_map(|page| &page.payments) {
        match held.remove(&line.payment) {
            None if records.given_back.get(&line.number).is_some_and(|time| line.batch_time <= *time) => {}
            None => differences.push(Difference::NotPresented {
                payment: line.payment,
                number: line.number,
                known_order: records.numbers.contains(&line.number),
                units: line.amount.units(),
                asset: line.asset,
            }),
            Some(proof) => {
                let same = (proof.number, proof.quote_digest, proof.amount, proof.asset, proof.batch_time)
                    == (line.number, line.quote_digest, line.amount, line.asset, line.batch_time);
                if !same {
                    differences.push(Difference::OtherTerms { payment: line.payment, number: line.number });
                }
            }
        }
    }
    let from = before.map_or(report.from, |before| before.until.min(report.from));
    let in_cycle = |time: Timestamp| from <= time && time < report.until;
    for proof in held.into_values().filter(|proof| in_cycle(proof.batch_time)) {
        differences.push(Difference::NotCredited {
            payment: proof.payment,
            number: proof.number,
            units: proof.amount.units(),
            asset: proof.asset,
        });
    }
    for line in pages.iter().flat_map(|page| &page.refunds) {
        let (order, number) = (line.order, line.number);
        match records.refunds.iter().find(|refund| refund.order == order) {
            None => differences.push(Difference::RefundNotGranted { order, number }),
            Some(refund) if refund.number != number || refund.totals.get(&line.asset) != Some(&line.units) => {
                differences.push(Difference::OtherRefund { order, number });
            }
            Some(_) => {}
        }
    }
    differences.extend(before.into_iter().flat_map(|before| carried(before, report)));
    differences
}

fn carried(before: &SettlementReport, report: &SettlementReport) -> Vec<Difference> {
    let sums = |report: &SettlementReport, units: fn(&SettlementTotals) -> i128| -> BTreeMap<Asset, i128> {
        report.totals.iter().map(|totals| (totals.asset, units(totals))).collect()
    };
    let left = sums(before, |totals| totals.carried_after);
    let carried = sums(report, |totals| totals.carried_before);
    // An asset that a report does not name has nothing in it.
    let assets: BTreeSet<Asset> = left.keys().chain(carried.keys()).copied().collect();
    let both = |asset: Asset| (left.get(&asset).copied().unwrap_or(0), carried.get(&asset).copied().unwrap_or(0));
    let wrong = assets.into_iter().map(|asset| (asset, both(asset))).filter(|(_, (left, carried))| left != carried);
    let difference = |(asset, (left, carried)): (Asset, (i128, i128))| Difference::OtherCarry {
        asset,
        left: left.to_string(),
        carried: carried.to_string(),
    };
    wrong.map(difference).collect()
}

#[cfg(test)]
mod tests;
