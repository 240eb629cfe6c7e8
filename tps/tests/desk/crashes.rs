//! The power fails at every point of every commit of a refund, on a disk that loses what was not synced.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use protocol::codec::Canonical;
use protocol::desk::DeskBatch;
use protocol::ids::TransactionNumber;
use tps::desk::Renewals;
use tps::store::crash::{CrashDisk, CrashPoint, CrashStore};
use tps::store::records::Changes;
use tps::store::{CommitReceipt, Reader, Store, StoreError};

use crate::common::Customer;
use crate::world::*;

const NUMBERS: [TransactionNumber; 2] = [TransactionNumber([7; 16]), TransactionNumber([8; 16])];

/// A store whose process ends with the power: its thread stops where it is and tells nobody but the test.
struct Powered {
    store: CrashStore,
    failed: Sender<()>,
}

impl Store for Powered {
    fn commit(&mut self, changes: &Changes) -> Result<CommitReceipt, StoreError> {
        match self.store.commit(changes) {
            Ok(receipt) => Ok(receipt),
            Err(_) => {
                let _ = self.failed.send(());
                loop {
                    std::thread::park();
                }
            }
        }
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.store.reader()
    }
}

struct Scene {
    disk: CrashDisk,
    world: World,
    customers: Vec<Customer>,
    batch: DeskBatch,
    failed: std::sync::mpsc::Receiver<()>,
}

/// Two orders over five payments of three customers, about to be handed in.
fn scene(place: &Place, disk_and_store: (CrashDisk, CrashStore)) -> Scene {
    let (disk, store) = disk_and_store;
    let (failed_out, failed) = channel();
    let world = place.start(Box::new(Powered { store, failed: failed_out }), Renewals::Automatic);
    world.register(SHOP, "Shop", &shop_key());
    // One of every shard: how many commits a batch takes depends on it.
    let mut customers: Vec<Customer> = Vec::new();
    while customers.len() < 3 {
        let shard = customers.len() as u16 % place.realm.shards;
        let fits = |customer: &Customer| customer.account.shard_key() % place.realm.shards == shard;
        customers.extend(world.customers(1_000, 1).into_iter().filter(fits));
    }
    for (customer, number, units) in [(0, 0, 100), (1, 0, 20), (2, 0, 3), (1, 1, 40), (2, 1, 5)] {
        world.pay(&mut customers[customer], NUMBERS[number], units);
    }
    let batch = world.batch(1, vec![refund(1, NUMBERS[0]), refund(2, NUMBERS[1])]);
    Scene { disk, world, customers, batch, failed }
}

/// Everything is as if the power had never failed, now and after sending the batch again.
fn all_went_back_once(place: &Place, mut world: World, customers: &[Customer], batch: &DeskBatch, detail: &str) {
    world.clerk.resume().unwrap();
    assert!(world.accrued() == 168 || world.accrued() == 0, "{detail}: all of a batch or nothing: {}", world.accrued());
    world.check(place);
    for _ in 0..2 {
        assert_eq!(world.results(batch), [refunded(123), refunded(45)], "{detail}");
        assert!(customers.iter().all(|customer| world.balance(customer) == 1_000), "{detail}");
        assert_eq!(world.accrued(), 0, "{detail}");
        world.check(place);
    }
}

fn power_fails_everywhere(shards: u16) {
    let place = Place::new(shards);
    // How many commits a batch takes.
    let mut dry = scene(&place, CrashDisk::new(place.genesis()));
    let before = dry.disk.durable_commit();
    dry.world.results(&dry.batch);
    let commits = dry.disk.durable_commit() - before;
    assert!(commits >= 5, "index, intent, shards, done, answer: {commits}");
    for commit in 1..=commits {
        for point in CrashPoint::ALL {
            let detail = format!("{} of commit {commit}, {shards} shards", point.name());
            let Scene { disk, world, customers, batch, failed } = scene(&place, CrashDisk::new(place.genesis()));
            disk.arm(point, disk.durable_commit() + commit);
            // The process hangs where its power failed; what it would have said nobody hears.
            let bytes = batch.encode();
            std::thread::spawn(move || {
                let mut world = world;
                let _ = world.hand_in(&bytes);
                std::mem::forget(world);
            });
            failed.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{detail}: the power did not fail"));
            let world = place.start(Box::new(disk.recover()), Renewals::Automatic);
            all_went_back_once(&place, world, &customers, &batch, &detail);
        }
    }
}

// spec: K-62, K-100
#[test]
fn a_crash_anywhere_in_a_refund_is_resumed_and_nothing_goes_back_twice() {
    power_fails_everywhere(1);
}

// spec: K-62, K-100
#[test]
fn a_crash_between_shards_is_resumed_and_nothing_goes_back_twice() {
    power_fails_everywhere(3);
}

#[test]
fn what_the_merchant_was_told_survives_the_loss_of_everything_unsynced() {
    let place = Place::new(1);
    let told_and_kept = |disk_and_store| {
        let Scene { disk, mut world, customers, batch, .. } = scene(&place, disk_and_store);
        world.results(&batch);
        disk.crash();
        std::mem::forget(world);
        let snapshot = tps::store::Store::reader(&disk.recover()).snapshot().unwrap();
        let whole = |customer: &Customer| {
            snapshot.accounts.iter().any(|account| account.id == customer.account && account.balance == 1_000)
        };
        customers.iter().all(whole)
    };
    assert!(told_and_kept(CrashDisk::new(place.genesis())));
    assert!(!told_and_kept(CrashDisk::without_sync(place.genesis())), "without the sync this test would notice");
}
