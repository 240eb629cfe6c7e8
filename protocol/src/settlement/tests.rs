use super::*;
use crate::key_set::{AssetEntry, Audience, KeyEntry, KeySet};
use crate::signature::RootRole;
use crate::time::DAY_MS;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const MERCHANT: MerchantId = MerchantId([5; 16]);
const REALM: RealmId = RealmId([7; 16]);

fn key() -> SigningKey<DeskRole> {
    SigningKey::from_seed([6; 32])
}

fn pinned(revoked: bool) -> PinnedKeySet {
    let root = SigningKey::<RootRole>::from_seed([1; 32]);
    let mut set = KeySet::new(REALM, Audience::Merchant, 1, NOW, DAY_MS);
    let mut entry = KeyEntry::new(KeyRole::Desk, key().public(), NOW, NOW.plus(DAY_MS));
    entry.revoked = revoked;
    set.keys = vec![entry];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    set.sign(&root).unwrap().verify(&root.public(), Some(REALM), Audience::Merchant, NOW, 0).unwrap()
}

fn payment(number: u8, units: u64) -> SettledPayment {
    SettledPayment {
        payment: PaymentId([number; 16]),
        number: TransactionNumber([number; 16]),
        quote_digest: QuoteDigest([3; 32]),
        amount: Amount::new(units).unwrap(),
        asset: Asset::USD6,
        batch_time: NOW,
    }
}

fn pages() -> Vec<SettlementPage> {
    let mut first = SettlementPage::new(REALM, MERCHANT, 1, 0);
    first.payments = vec![payment(1, 100), payment(2, 50)];
    let mut second = SettlementPage::new(REALM, MERCHANT, 1, 1);
    second.payments = vec![payment(3, 7)];
    second.refunds = vec![SettledRefund {
        order: RefundOrderId([9; 16]),
        number: TransactionNumber([1; 16]),
        units: 100,
        asset: Asset::USD6,
        refunded_at: NOW,
    }];
    vec![first, second]
}

fn terms(pages: &[SettlementPage]) -> SettlementTerms {
    let totals = SettlementTotals {
        asset: Asset::USD6,
        payments: 3,
        carried_before: 0,
        credited: 157,
        returned: 0,
        refunded: 100,
        fees: 2,
        payout: 50,
        carried_after: 5,
    };
    let pages = pages.iter().map(SettlementPage::digest).collect();
    SettlementTerms {
        realm: REALM,
        merchant: MERCHANT,
        cycle: 1,
        from: NOW,
        until: NOW.plus(1),
        totals: vec![totals],
        pages,
    }
}

#[test]
fn a_report_is_believed_only_from_the_desk_and_only_whole() {
    let pages = pages();
    let report = SettlementReport::sign(terms(&pages), &key()).unwrap();
    assert_eq!(report.verify(MERCHANT, &pinned(false)), Ok(()));
    assert_eq!(report.check_pages(&pages), Ok(()));
    assert_eq!(report.verify(MerchantId([8; 16]), &pinned(false)), Err(SettlementError::NotOurs));
    assert!(matches!(report.verify(MERCHANT, &pinned(true)), Err(SettlementError::Signer(_))));
    let other = SettlementReport::sign(terms(&pages), &SigningKey::from_seed([2; 32])).unwrap();
    assert!(matches!(other.verify(MERCHANT, &pinned(false)), Err(SettlementError::Signer(_))));

    let bytes = report.encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let believed =
            SettlementReport::decode(&altered).is_ok_and(|report| report.verify(MERCHANT, &pinned(false)).is_ok());
        assert!(!believed, "byte {index}");
    }
}

#[test]
fn pages_that_are_altered_missing_or_too_many_are_named() {
    let pages = pages();
    let report = SettlementReport::sign(terms(&pages), &key()).unwrap();
    let mut suppressed = pages.clone();
    suppressed[0].payments.remove(1);
    assert_eq!(report.check_pages(&suppressed), Err(SettlementError::Page(0)));
    assert_eq!(report.check_pages(&pages[..1]), Err(SettlementError::Page(1)));
    let more: Vec<_> = pages.iter().chain(&pages[..1]).cloned().collect();
    assert_eq!(report.check_pages(&more), Err(SettlementError::Page(2)));
    // Signed over pages that do not add up.
    let short = SettlementReport::sign(terms(&suppressed), &key()).unwrap();
    assert_eq!(short.check_pages(&suppressed), Err(SettlementError::Totals(Asset::USD6)));
    let nothing = SettlementTerms { totals: Vec::new(), ..terms(&pages) };
    let nothing = SettlementReport::sign(nothing, &key()).unwrap();
    assert_eq!(nothing.check_pages(&pages), Err(SettlementError::Totals(Asset::USD6)));
}

#[test]
fn totals_that_do_not_add_up_are_not_signed() {
    let signed = |change: fn(&mut SettlementTotals)| {
        let mut terms = terms(&pages());
        change(&mut terms.totals[0]);
        SettlementReport::sign(terms, &key())
    };
    assert!(signed(|totals| totals.carried_after += 1).is_err());
    assert!(signed(|totals| (totals.fees, totals.carried_after) = (-1, 8)).is_err());
    assert!(signed(|totals| totals.carried_before = i128::MAX).is_err());
    assert!(signed(|totals| (totals.payout, totals.carried_after) = (55, 0)).is_ok());
}
