//! Refunds: whole pairs, once, each payment to its payer.

use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskErrorCode, EntryRefusal, EntryResult};
use protocol::ids::{InstrumentId, RefundOrderId, TransactionNumber};
use protocol::money::{Amount, Asset};
use tps::book::orders::Order;
use tps::book::refund::GivenBack;
use tps::desk::records::{PairRecord, StoredPlace};
use tps::store::desk::DeskRecord;

use crate::world::*;

const NUMBER: TransactionNumber = TransactionNumber([7; 16]);
const OTHER: TransactionNumber = TransactionNumber([8; 16]);

// spec: K-98
#[test]
fn one_order_gives_back_every_payment_of_the_pair_each_to_its_payer() {
    for shards in [1, 3] {
        let place = Place::new(shards);
        let mut world = World::new(&place);
        let mut customers = world.customers(1_000, 2);
        world.pay(&mut customers[0], NUMBER, 100);
        world.pay(&mut customers[1], NUMBER, 250);
        world.pay(&mut customers[0], NUMBER, 7);
        world.pay(&mut customers[1], OTHER, 50);
        let batch = world.batch(1, vec![refund(1, NUMBER)]);
        assert_eq!(world.results(&batch), [refunded(357)]);
        assert_eq!((world.balance(&customers[0]), world.balance(&customers[1])), (1_000, 950));
        assert_eq!(world.accrued(), 50, "the other number stands");
        world.check(&place);
    }
}

// spec: K-100
#[test]
fn a_refund_is_applied_once_and_later_payments_of_the_pair_are_new() {
    let place = Place::new(3);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 2);
    world.pay(&mut customers[0], NUMBER, 100);
    let batch = world.batch(1, vec![refund(1, NUMBER)]);
    let answer = world.hand_in(&batch.encode()).unwrap();
    world.pay(&mut customers[1], NUMBER, 30);
    world.pay(&mut customers[0], NUMBER, 5);
    // The batch again, and the order in another batch: nothing moves, the answer is the first one.
    assert_eq!(world.hand_in(&batch.encode()).unwrap(), answer, "byte for byte");
    let again = world.batch(2, vec![refund(1, NUMBER), refund(1, OTHER)]);
    assert_eq!(world.results(&again), [refunded(100), EntryResult::Refused(EntryRefusal::OtherNumber)]);
    assert_eq!((world.balance(&customers[0]), world.balance(&customers[1])), (995, 970));
    // A new order gives back what was paid since, and no more; a second one of the same batch finds nothing.
    let later = world.batch(3, vec![refund(2, NUMBER), refund(3, NUMBER), refund(2, NUMBER)]);
    let nothing = EntryResult::Refused(EntryRefusal::NothingLeft);
    assert_eq!(world.results(&later), [refunded(35), nothing.clone(), refunded(35)]);
    assert_eq!((world.balance(&customers[0]), world.balance(&customers[1])), (1_000, 1_000));
    let empty = world.batch(4, vec![refund(4, NUMBER), refund(5, OTHER)]);
    assert_eq!(world.results(&empty), [nothing, EntryResult::Refused(EntryRefusal::NothingPaid)]);
    world.check(&place);
}

#[test]
fn the_desk_never_moves_money_by_itself() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 1);
    // A small payment first, whose proof nobody sees, then the full one: both stand, whatever the desk does besides refunds.
    world.pay(&mut customers[0], NUMBER, 1);
    world.pay(&mut customers[0], NUMBER, 500);
    let batch = world.batch(1, vec![BatchEntry::FetchKeySet { held: 0 }, BatchEntry::FetchSettlement { cycle: 1 }]);
    let results = world.results(&batch);
    assert!(matches!(results[0], EntryResult::KeySet(_)));
    assert_eq!(results[1], EntryResult::Refused(EntryRefusal::NoSettlement));
    for _ in 0..3 {
        world.clerk.idle().unwrap();
    }
    assert_eq!((world.balance(&customers[0]), world.accrued()), (499, 501));
    world.check(&place);
}

/// Money leaves the merchant, as a settlement takes it.
fn pay_out(world: &World, customer: &crate::common::Customer, units: u64) {
    let payment = GivenBack {
        instrument: customer.instrument,
        merchant: SHOP,
        asset: Asset::USD6,
        amount: Amount::new(units).unwrap(),
    };
    world
        .engine
        .with_book(customer.account.shard_key(), move |book, now| {
            book.give_back("paid out".into(), &[payment], Vec::new(), now)
        })
        .unwrap();
}

#[test]
fn too_little_accrued_refuses_that_entry_alone_and_a_shards_part_may_be_negative() {
    let place = Place::new(3);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 40);
    // Two customers of different shards.
    let shard = |customer: &crate::common::Customer| customer.account.shard_key() % 3;
    customers.sort_by_key(shard);
    let (mut first, mut last) = (customers.remove(0), customers.pop().unwrap());
    assert_ne!(shard(&first), shard(&last));
    world.pay(&mut first, NUMBER, 100);
    world.pay(&mut last, OTHER, 60);
    pay_out(&world, &first, 70);
    let batch = world.batch(1, vec![refund(1, NUMBER), refund(2, OTHER)]);
    assert_eq!(world.results(&batch), [EntryResult::Refused(EntryRefusal::TooLittleAccrued), refunded(60)]);
    assert_eq!(world.accrued(), 30);
    // Refused is not applied: when more was sold, the same order goes through, out of what another shard was paid.
    world.pay(&mut last, TransactionNumber([9; 16]), 70);
    let again = world.batch(2, vec![refund(1, NUMBER)]);
    assert_eq!(world.results(&again), [refunded(100)]);
    assert_eq!(world.accrued(), 0);
    assert!(world.parts().iter().any(|part| *part < 0), "{:?}", world.parts());
    assert_eq!(crate::common::total(&world.engine), 0);
}

#[test]
fn a_suspended_merchants_refunds_wait() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 1);
    world.pay(&mut customers[0], NUMBER, 100);
    world.engine.order(0, Order::SuspendMerchant { id: SHOP }).unwrap();
    let batch = world.batch(1, vec![refund(1, NUMBER)]);
    assert_eq!(world.results(&batch), [EntryResult::Refused(EntryRefusal::MerchantSuspended)]);
    assert_eq!(world.balance(&customers[0]), 900);
}

// spec: K-16
#[test]
fn many_refunds_are_one_batch() {
    let place = Place::new(3);
    let mut world = World::new(&place);
    let mut customers = world.customers(10_000, 3);
    let numbers: Vec<_> = (0..60u8).map(|number| TransactionNumber([number; 16])).collect();
    for (index, number) in numbers.iter().enumerate() {
        world.pay(&mut customers[index % 3], *number, 1 + index as u64);
    }
    let order = |number: &TransactionNumber| BatchEntry::Refund { order: RefundOrderId(number.0), number: *number };
    let commits = world.engine.reader().last_commit().unwrap();
    let batch = world.batch(1, numbers.iter().map(order).collect());
    let results = world.results(&batch);
    assert_eq!(results, (1..=60).map(refunded).collect::<Vec<_>>());
    let commits = world.engine.reader().last_commit().unwrap() - commits;
    assert!(commits < 20, "a batch costs a few commits, not some per refund: {commits}");
    assert!(customers.iter().all(|customer| world.balance(customer) == 10_000));
    world.check(&place);
}

// spec: K-101
#[test]
fn nothing_that_the_merchant_gets_names_payers_or_counts_them() {
    let place = Place::new(1);
    let mut lengths = Vec::new();
    for payments in [1, 5] {
        let mut world = World::new(&place);
        let mut customers = world.customers(1_000, 5);
        for customer in customers.iter_mut().take(payments) {
            world.pay(customer, NUMBER, 100 / payments as u64);
        }
        let batch = world.batch(1, vec![refund(1, NUMBER)]);
        let answer = world.hand_in(&batch.encode()).unwrap();
        assert_eq!(world.results(&batch), [refunded(100)]);
        for customer in &customers {
            for id in [customer.account.0, customer.instrument.0] {
                assert!(!answer.windows(16).any(|window| window == id));
            }
        }
        lengths.push(answer.len());
    }
    assert_eq!(lengths[0], lengths[1], "one payer or five");
}

/// An accepted refund that cannot be carried out, as after a failure in between: its money is not the merchant's any more.
#[test]
fn nothing_else_is_carried_out_before_what_is_open_is_done() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 1);
    world.pay(&mut customers[0], OTHER, 100);
    let unknown = world.batch(1, vec![refund(1, TransactionNumber([9; 16]))]);
    world.results(&unknown);
    let indexed = PairRecord::of_pair(world.engine.reader().as_ref(), SHOP, OTHER, end_of_log()).unwrap();
    let lost = PairRecord { number: NUMBER, instrument: InstrumentId([0xee; 16]), ..indexed[0] };
    world.engine.record(vec![lost.entry()]).unwrap();
    let impossible = world.batch(2, vec![refund(2, NUMBER)]).encode();
    assert_eq!(world.hand_in(&impossible), Err(DeskErrorCode::Unavailable));
    let other = world.batch(3, vec![refund(3, OTHER)]).encode();
    assert_eq!(world.hand_in(&other), Err(DeskErrorCode::Unavailable), "the same money would go back twice");
    assert_eq!((world.balance(&customers[0]), world.accrued()), (900, 100));
}

fn end_of_log() -> StoredPlace {
    protocol::ledger::instrument::Place { batch: u64::MAX, index: u16::MAX }.into()
}
