//! Reconciliation (K-105): a settlement report against the merchant's own orders, proofs and refunds. Pure: what was read goes in,
//! the differences come out.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{PaymentId, QuoteDigest, RefundOrderId, TransactionNumber};
use protocol::money::{Amount, Asset};
use protocol::settlement::{SettlementPage, SettlementReport};
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
    /// A proof is held for a payment of this cycle that the report does not list.
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
    /// What is carried over into the cycle is not what the report of the cycle before left.
    OtherCarry {
        /// In which asset.
        asset: Asset,
        /// What the cycle before left, in smallest units.
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
                 deliver when it is, or refund it"
            ),
            Self::NotPresented { payment, number, units, asset, .. } => format!(
                "payment {payment} of {units} units of {asset} was credited for number {number}, which is no order here: refund it"
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
                "the cycle before left {left} units of {asset}, this one begins with {carried}: ask the operator"
            ),
        }
    }
}

/// Compares a report, whose signature and pages were checked, with the records; `before` is the report of the cycle before, where
/// it is at hand.
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
    let in_cycle = |time: Timestamp| report.from <= time && time < report.until;
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
    if let Some(before) = before.filter(|before| before.cycle + 1 == report.cycle) {
        differences.extend(carried(before, report));
    }
    differences
}

fn carried(before: &SettlementReport, report: &SettlementReport) -> Vec<Difference> {
    let left: BTreeMap<Asset, i128> = before.totals.iter().map(|totals| (totals.asset, totals.carried_after)).collect();
    let wrong = report.totals.iter().filter_map(|totals| {
        let left = left.get(&totals.asset).copied().unwrap_or(0);
        (left != totals.carried_before).then(|| Difference::OtherCarry {
            asset: totals.asset,
            left: left.to_string(),
            carried: totals.carried_before.to_string(),
        })
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use protocol::ids::{MerchantId, RealmId};
    use protocol::settlement::{SettledPayment, SettledRefund, SettlementTerms, SettlementTotals};
    use protocol::signature::SigningKey;

    use super::*;

    const FROM: Timestamp = Timestamp(1_000);
    const UNTIL: Timestamp = Timestamp(2_000);

    fn line(number: u8, units: u64) -> SettledPayment {
        SettledPayment {
            payment: PaymentId([number; 16]),
            number: TransactionNumber([number; 16]),
            quote_digest: QuoteDigest([number; 32]),
            amount: Amount::new(units).unwrap(),
            asset: Asset::USD6,
            batch_time: Timestamp(1_500),
        }
    }

    fn held(line: &SettledPayment) -> HeldPayment {
        HeldPayment {
            payment: line.payment,
            number: line.number,
            quote_digest: line.quote_digest,
            amount: line.amount,
            asset: line.asset,
            batch_time: line.batch_time,
        }
    }

    fn report(
        cycle: u64,
        carried: i128,
        payments: &[SettledPayment],
        refunds: &[SettledRefund],
    ) -> (SettlementReport, Vec<SettlementPage>) {
        let (realm, merchant) = (RealmId([1; 16]), MerchantId([2; 16]));
        let mut page = SettlementPage::new(realm, merchant, cycle, 0);
        page.payments = payments.to_vec();
        page.refunds = refunds.to_vec();
        let credited = payments.iter().map(|line| line.amount.signed()).sum();
        let refunded = refunds.iter().map(|line| line.units as i128).sum();
        let totals = SettlementTotals {
            asset: Asset::USD6,
            payments: payments.len() as u64,
            carried_before: carried,
            credited,
            returned: 0,
            refunded,
            fees: 0,
            payout: 0,
            carried_after: carried + credited - refunded,
        };
        let pages = vec![page];
        let terms = SettlementTerms {
            realm,
            merchant,
            cycle,
            from: FROM,
            until: UNTIL,
            totals: vec![totals],
            pages: pages.iter().map(SettlementPage::digest).collect(),
        };
        (SettlementReport::sign(terms, &SigningKey::from_seed([3; 32])).unwrap(), pages)
    }

    // spec: K-105
    #[test]
    fn a_suppressed_proof_shows_up() {
        let lines = [line(1, 10), line(2, 20), line(3, 30)];
        let (report, pages) = report(1, 0, &lines, &[]);
        let records = Records {
            payments: vec![held(&lines[0])],
            numbers: [lines[0].number, lines[1].number].into(),
            ..Records::default()
        };
        let differences = reconcile(&report, &pages, &records, None);
        let found: Vec<_> = differences
            .iter()
            .map(|difference| match difference {
                Difference::NotPresented { number, known_order, units, .. } => (number.0[0], *known_order, *units),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, [(2, true, 20), (3, false, 30)]);
        assert!(differences[0].text().contains("never presented") && differences[1].text().contains("no order here"));
    }

    #[test]
    fn what_was_proved_and_not_credited_or_credited_otherwise_shows_up() {
        let lines = [line(1, 10), line(2, 20)];
        let (report, pages) = report(1, 0, &lines, &[]);
        let mut other = held(&lines[1]);
        other.amount = Amount::new(21).unwrap();
        let missing = held(&line(4, 40));
        let later = HeldPayment { batch_time: UNTIL, ..held(&line(5, 50)) };
        let records = Records { payments: vec![held(&lines[0]), other, missing, later], ..Records::default() };
        let differences = reconcile(&report, &pages, &records, None);
        assert_eq!(
            differences,
            [
                Difference::OtherTerms { payment: other.payment, number: other.number },
                Difference::NotCredited {
                    payment: missing.payment,
                    number: missing.number,
                    units: 40,
                    asset: Asset::USD6
                }
            ]
        );
    }

    #[test]
    fn refunds_and_carries_are_compared() {
        let refund = |number: u8, units| SettledRefund {
            order: RefundOrderId([number; 16]),
            number: TransactionNumber([number; 16]),
            units,
            asset: Asset::USD6,
            refunded_at: Timestamp(1_600),
        };
        let granted = |number: u8, units| HeldRefund {
            order: RefundOrderId([number; 16]),
            number: TransactionNumber([number; 16]),
            totals: BTreeMap::from([(Asset::USD6, units)]),
        };
        let (before, _) = report(1, 0, &[line(9, 7)], &[]);
        let (report, pages) = report(2, 6, &[], &[refund(1, 10), refund(2, 20), refund(3, 30)]);
        let records = Records { refunds: vec![granted(1, 10), granted(2, 21)], ..Records::default() };
        let differences = reconcile(&report, &pages, &records, Some(&before));
        assert_eq!(differences.len(), 3, "{differences:?}");
        assert!(matches!(differences[0], Difference::OtherRefund { order, .. } if order.0[0] == 2));
        assert!(matches!(differences[1], Difference::RefundNotGranted { order, .. } if order.0[0] == 3));
        assert!(
            matches!(&differences[2], Difference::OtherCarry { left, carried, .. } if left == "7" && carried == "6")
        );
        assert!(differences.iter().all(|difference| !difference.text().is_empty()));
    }
}
