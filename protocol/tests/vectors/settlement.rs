//! Settlement reports.

use protocol::codec::Canonical;
use protocol::ids::{MerchantId, PaymentId, QuoteDigest, RealmId, RefundOrderId, TransactionNumber};
use protocol::key_set::{KeyRole, key_id};
use protocol::money::{Amount, Asset};
use protocol::settlement::{
    SettledPayment, SettledRefund, SettlementPage, SettlementReport, SettlementTerms, SettlementTotals,
};
use protocol::signature::{DeskRole, SigningKey};
use protocol::time::DAY_MS;
use serde_json::json;

use crate::compare;
use crate::inputs::{TIME, hex};

#[test]
fn reports_and_pages() {
    let (realm, merchant) = (RealmId([7; 16]), MerchantId([5; 16]));
    let mut page = SettlementPage::new(realm, merchant, 3, 0);
    page.payments.push(SettledPayment {
        payment: PaymentId([1; 16]),
        number: TransactionNumber([2; 16]),
        quote_digest: QuoteDigest([3; 32]),
        amount: Amount::new(1_500_000).unwrap(),
        asset: Asset::USD6,
        batch_time: TIME,
    });
    page.refunds.push(SettledRefund {
        order: RefundOrderId([4; 16]),
        number: TransactionNumber([2; 16]),
        units: 500_000,
        asset: Asset::USD6,
        refunded_at: TIME.plus(9),
    });
    let totals = SettlementTotals {
        asset: Asset::USD6,
        payments: 1,
        carried_before: -7,
        credited: 1_500_000,
        returned: 10,
        refunded: 500_000,
        fees: 3,
        payout: 990_000,
        carried_after: 10_000,
    };
    let terms = SettlementTerms {
        realm,
        merchant,
        cycle: 3,
        from: TIME,
        until: TIME.plus(DAY_MS),
        totals: vec![totals],
        pages: vec![page.digest()],
    };
    let key = SigningKey::<DeskRole>::from_seed([6; 32]);
    let report = SettlementReport::sign(terms, &key).unwrap();
    report.check_pages(std::slice::from_ref(&page)).unwrap();
    compare(
        "settlement.json",
        &json!({
            "inputs": { "desk_seed": hex(&[6; 32]), "desk_key_id": key_id(KeyRole::Desk, &key.public()) },
            "page": hex(&page.encode()),
            "page_digest": page.digest().to_string(),
            "report": hex(&report.encode()),
        }),
    );
}
