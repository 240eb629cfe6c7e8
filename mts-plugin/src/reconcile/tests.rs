use protocol::ids::{MerchantId, RealmId};
use protocol::settlement::{SettledPayment, SettledRefund, SettlementTerms};
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
            Difference::NotCredited { payment: missing.payment, number: missing.number, units: 40, asset: Asset::USD6 }
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
    assert!(matches!(&differences[2], Difference::OtherCarry { left, carried, .. } if left == "7" && carried == "6"));
    assert!(differences.iter().all(|difference| !difference.text().is_empty()));
}

#[test]
fn money_that_a_later_report_leaves_out_shows_up() {
    let (before, _) = report(1, 0, &[line(9, 7)], &[]);
    // The asset is not named any more, and two cycles without a report lie between.
    let (silent, pages) = report(4, 0, &[], &[]);
    let silent = SettlementReport::sign(
        SettlementTerms {
            realm: silent.realm,
            merchant: silent.merchant,
            cycle: silent.cycle,
            from: UNTIL.plus(500),
            until: UNTIL.plus(900),
            totals: Vec::new(),
            pages: Vec::new(),
        },
        &SigningKey::from_seed([3; 32]),
    )
    .unwrap();
    // Paid between the two reports, and in neither.
    let between = HeldPayment { batch_time: UNTIL.plus(100), ..held(&line(5, 50)) };
    let records = Records { payments: vec![between], ..Records::default() };
    let differences = reconcile(&silent, &pages, &records, Some(&before));
    assert_eq!(
        differences,
        [
            Difference::NotCredited { payment: between.payment, number: between.number, units: 50, asset: Asset::USD6 },
            Difference::OtherCarry { asset: Asset::USD6, left: "7".to_owned(), carried: "0".to_owned() }
        ]
    );
}

#[test]
fn a_payment_that_was_given_back_is_no_difference_any_more() {
    let lines = [line(1, 10), SettledPayment { batch_time: Timestamp(1_800), ..line(1, 10) }];
    let lines = [lines[0], SettledPayment { payment: PaymentId([2; 16]), ..lines[1] }];
    let (report, pages) = report(1, 0, &lines, &[]);
    let given_back = BTreeMap::from([(lines[0].number, Timestamp(1_700))]);
    let differences = reconcile(&report, &pages, &Records { given_back, ..Records::default() }, None);
    let [Difference::NotPresented { payment, .. }] = differences[..] else { panic!("{differences:?}") };
    assert_eq!(payment, lines[1].payment, "paid after the refund");
}
