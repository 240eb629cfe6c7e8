//! Settlement reports on their way to the merchant.

use mts_plugin::clock;
use mts_plugin::desk::DeskFailure;
use mts_plugin::fixtures::{MERCHANT, REALM};
use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, EntryResult, SettlementAnswer};
use protocol::ids::{PaymentId, QuoteDigest, TransactionNumber};
use protocol::money::{Amount, Asset};
use protocol::settlement::{SettledPayment, SettlementError, SettlementPage, SettlementTotals};

use crate::Desk;
use crate::common::World;

#[tokio::test]
async fn every_settlement_report_is_fetched_once_and_none_takes_the_place_of_another() {
    let world = World::new();
    let desk = Desk::of(&world);
    desk.home.keep_desk_description(&world.realm.desk_description("127.0.0.1:1", vec![0x30])).unwrap();
    // The TPS settled the merchant in cycles 2, 3 and 5; `told` is the cycle that it tells instead of the one asked for.
    let fetch = |told: fn(u64) -> u64| {
        desk.clerk().fetch_settlements(|_, batch| {
            let BatchEntry::FetchSettlement { cycle } = batch.entries()[0] else { panic!("{batch:?}") };
            let cycles = vec![2, 3, 5];
            let settled = cycles.contains(&cycle).then(|| world.realm.settled(told(cycle), Vec::new(), &[]).encode());
            let report = settled.unwrap_or_default();
            Ok(world.realm.answer(batch, vec![EntryResult::Settlement(SettlementAnswer { cycles, report })]))
        })
    };
    assert_eq!(fetch(|cycle| cycle).unwrap(), [2, 3, 5]);
    assert_eq!(fetch(|cycle| cycle).unwrap(), Vec::<u64>::new());
    std::fs::remove_dir_all(desk.home.settlements_path().join("00000003")).unwrap();
    let other = fetch(|_| 2);
    let asked = SettlementError::OtherCycle { asked: 3, got: 2 };
    assert!(matches!(&other, Err(DeskFailure::Settlement(error)) if *error == asked), "{other:?}");
    assert_eq!(desk.home.settlement_cycles().unwrap(), [2, 5]);
    assert_eq!(fetch(|cycle| cycle).unwrap(), [3], "what was removed here");
}

// spec: K-105
#[tokio::test]
async fn a_page_that_leaves_a_payment_out_is_not_believed() {
    let world = World::new();
    let desk = Desk::of(&world);
    desk.home.keep_desk_description(&world.realm.desk_description("127.0.0.1:1", vec![0x30])).unwrap();
    let line = |number: u8| SettledPayment {
        payment: PaymentId([number; 16]),
        number: TransactionNumber([number; 16]),
        quote_digest: QuoteDigest([number; 32]),
        amount: Amount::new(10).unwrap(),
        asset: Asset::USD6,
        batch_time: clock::now(),
    };
    let page = |lines: &[u8]| {
        let mut page = SettlementPage::new(REALM, MERCHANT, 1, 0);
        page.payments = lines.iter().map(|number| line(*number)).collect();
        page
    };
    let (whole, short) = (page(&[1, 2]), page(&[1]));
    let totals = SettlementTotals {
        asset: Asset::USD6,
        payments: 2,
        carried_before: 0,
        credited: 20,
        returned: 0,
        refunded: 0,
        fees: 0,
        payout: 20,
        carried_after: 0,
    };
    let fetch = |page: &SettlementPage| {
        desk.clerk().fetch_settlements(|_, batch| {
            let result = match batch.entries()[0] {
                BatchEntry::FetchSettlement { cycle } => {
                    let report = world.realm.settled(1, vec![totals], std::slice::from_ref(&whole)).encode();
                    let report = if cycle == 1 { report } else { Vec::new() };
                    EntryResult::Settlement(SettlementAnswer { cycles: vec![1], report })
                }
                _ => EntryResult::SettlementPage(page.encode()),
            };
            Ok(world.realm.answer(batch, vec![result]))
        })
    };
    let refused = fetch(&short);
    assert!(matches!(refused, Err(DeskFailure::Settlement(SettlementError::Page(0)))), "{refused:?}");
    assert_eq!(desk.home.settlement_cycles().unwrap(), Vec::<u64>::new(), "nothing of it was kept");
    assert_eq!(fetch(&whole).unwrap(), [1]);
}
