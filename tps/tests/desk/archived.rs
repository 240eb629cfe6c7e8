//! Refunds of payments that are in the archive.
#![cfg(feature = "rocksdb")]

use std::collections::BTreeMap;

use protocol::ids::TransactionNumber;
use protocol::ledger::instrument::Place;
use protocol::signature::SigningKey;
use protocol::time::{DAY_MS, Timestamp};
use tps::archive::{Archiving, Pruning, segments};
use tps::settlement::close::Closing;
use tps::settlement::pages::PageDirectory;
use tps::settlement::{Schedule, Settings};

use crate::world::*;

const NUMBER: TransactionNumber = TransactionNumber([7; 16]);

fn settle(world: &World, place: &crate::world::Place) {
    // What a cycle pays out cannot be given back: no payout reaches a day's money here.
    let fees = tps::settlement::fees::FeeSchedule { payout_unit: 1_000_000, ..Default::default() };
    let settings = Settings {
        schedule: Schedule::new(24, 0).unwrap(),
        fees: BTreeMap::from([(protocol::money::Asset::USD6, fees)]),
    };
    let data = place.data();
    let (pages, key) = (PageDirectory::new(&data.settlements(), world.realm), SigningKey::from_seed([0x44; 32]));
    let closing = Closing { engine: &world.engine, settings: &settings, pages: &pages, key: &key };
    let reached = world.engine.now();
    while world.engine.now() <= reached.plus(1) {
        std::hint::spin_loop();
    }
    closing.close(Timestamp(1), world.engine.now()).unwrap().expect("nothing is under way");
}

/// Payments that left the ledger; how many are left there.
fn archive(world: &World, place: &crate::world::Place) -> usize {
    let directory = place.data().archive();
    let archiving = Archiving { engine: &world.engine, directory: &directory, bytes_max: 1 << 20 };
    let key = SigningKey::from_seed([0x44; 32]);
    while archiving.write_next(&key, Timestamp(u64::MAX)).unwrap().is_some() {}
    let (mut after, mut checked) = (Place::default(), 0);
    while let Pruning::UpTo(end) = archiving.prune_next(after, &mut checked).unwrap() {
        after = end;
    }
    let mut left = 0;
    world.engine.reader().for_each_payment(&mut |_, _| left += 1).unwrap();
    left
}

// spec: K-98
#[test]
fn nothing_is_archived_before_it_can_be_refunded_and_then_it_is_refunded_however_old() {
    let place = crate::world::Place::new(3);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 2);
    world.pay(&mut customers[0], NUMBER, 100);
    world.pay(&mut customers[1], NUMBER, 30);
    for customer in &mut customers {
        world.pay(customer, TransactionNumber([8; 16]), 1);
    }
    settle(&world, &place);
    assert_eq!(archive(&world, &place), 4, "the index for refunds has not begun");

    // While payments arrive, only what has waited long goes into the index.
    let now = world.engine.now();
    world.clerk.idle_if_late(now).unwrap();
    assert_eq!(archive(&world, &place), 4);
    world.clerk.idle_if_late(now.plus(DAY_MS)).unwrap();
    assert_eq!(archive(&world, &place), 2, "the last outcome of each instrument stays");
    assert_eq!(segments(world.engine.reader().as_ref()).unwrap().iter().map(|header| header.payments).sum::<u64>(), 4);

    let batch = world.batch(1, vec![refund(1, NUMBER)]);
    assert_eq!(world.results(&batch), [refunded(130)]);
    assert_eq!((world.balance(&customers[0]), world.balance(&customers[1])), (999, 999));
    let again = world.batch(2, vec![refund(1, NUMBER)]);
    assert_eq!(world.results(&again), [refunded(130)], "once");
    assert_eq!((world.balance(&customers[0]), world.balance(&customers[1])), (999, 999));
}
