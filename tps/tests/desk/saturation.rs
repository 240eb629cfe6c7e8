//! K-07: the TPS's services beside payments, kept as busy as can be, leave payments nearly as fast as they are alone. Delivery and
//! redelivery are the merchant's, and no part of the TPS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskBatch};
use protocol::ids::{DeskBatchId, Digest, RefundOrderId, TransactionNumber};
use protocol::signature::SigningKey;
use protocol::time::Timestamp;
use tps::desk::clerk::{Clerk, admit};
use tps::desk::{NoSettlements, Renewals};
use tps::notary::Notary;
use tps::pipeline::clock::wall_clock;
use tps::statement::fold::Period;
use tps::statement::run::{Order, Run};
use tps::statement::text::Format;
use tps::statement::walk::Scope;

use super::world::*;
use crate::common::*;

/// Payments of which the slowest hundredth is looked at, and how often that is tried: a busy machine must not fail a test.
const PAYMENTS: usize = 300;
const ROUNDS: usize = 4;
/// By how much a service at its limit may slow the slowest hundredth of payments. A service that holds a shard or the
/// committer for a step of its own costs more; sharing two processors with it costs less.
const TOLERANCE: Duration = Duration::from_millis(25);

/// The time of payment that one in a hundred exceeds.
fn slowest_hundredth(world: &World, customer: &mut Customer) -> Duration {
    let times = (0..PAYMENTS).map(|_| {
        let number = TransactionNumber(random());
        let begun = Instant::now();
        world.pay(customer, number, 1);
        begun.elapsed()
    });
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times[PAYMENTS - PAYMENTS / 100 - 1]
}

/// Does `work` over and over on a thread of its own while payments are made; the least that they were slower than alone.
fn slower_while(world: &World, customer: &mut Customer, mut work: impl FnMut() + Send) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let alone = slowest_hundredth(world, customer);
        let (running, done) = (AtomicBool::new(true), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    work();
                    done.store(true, Ordering::Release);
                }
            });
            while !done.load(Ordering::Acquire) && !busy.is_finished() {
                std::thread::yield_now();
            }
            let beside = slowest_hundredth(world, customer);
            running.store(false, Ordering::Relaxed);
            beside.saturating_sub(alone)
        })
    });
    rounds.min().unwrap()
}

// spec: K-07
#[test]
fn payments_stay_fast_while_a_service_beside_them_is_saturated() {
    let place = Place::new(1);
    let world = World::new(&place);
    let mut customers = world.customers(1_000_000_000, 2);
    let (payer, refunded) = customers.split_at_mut(1);
    let payer = &mut payer[0];
    // Something to refund and to state: more than one step of any job.
    let numbers: Vec<_> = (0..4_000).map(|_| TransactionNumber(random())).collect();
    numbers.iter().for_each(|number| world.pay(&mut refunded[0], *number, 1));

    let (engine, realm) = (Arc::clone(&world.engine), place.realm.clone());
    let notary = Notary::default();
    let key = SigningKey::from_seed(random());
    let attest = || {
        let digests: Vec<Digest> = (0..256).map(|_| Digest(random())).collect();
        assert_eq!(notary.attest(&engine, realm.realm, &key, &digests).unwrap().len(), 256);
    };
    let slower = slower_while(&world, payer, attest);
    assert!(slower < TOLERANCE, "notarisation: {slower:?}");

    let directory = tempfile::tempdir().unwrap();
    let mut made = 0;
    let state = || {
        made += 1;
        let period = Period { from: Timestamp(0), until: engine.now() };
        let order = Order {
            scope: Scope::All,
            period,
            with_lines: true,
            format: Format::Json,
            directory: directory.path().join(made.to_string()),
        };
        let mut run = Run::start(order, realm.clone(), Arc::clone(engine.reader())).unwrap();
        while run.step(&engine).unwrap().is_some() {}
        assert!(run.statements() >= 3, "two customers and a merchant");
    };
    let slower = slower_while(&world, payer, state);
    assert!(slower < TOLERANCE, "statements: {slower:?}");

    let before = world.balance(&refunded[0]);
    let wanted = numbers.iter().enumerate().map(|(place, number)| {
        let mut order = [0; 16];
        order[..8].copy_from_slice(&(place as u64).to_le_bytes());
        BatchEntry::Refund { order: RefundOrderId(order), number: *number }
    });
    let wanted: Vec<BatchEntry> = wanted.collect();
    let batches = wanted.chunks(40).map(|entries| {
        let id = DeskBatchId(random());
        DeskBatch::new(realm.realm, SHOP, id, wall_clock(), entries.to_vec(), &shop_key()).unwrap().encode()
    });
    let batches: Vec<Vec<u8>> = batches.collect();
    let registrar = Arc::clone(&world.registrar);
    let mut clerk = Clerk::new(Arc::clone(&engine), registrar, Renewals::Automatic, Box::new(NoSettlements));
    let mut handed_in = batches.iter().cycle();
    let refund = || {
        let admitted = admit(&engine, realm.realm, handed_in.next().unwrap()).unwrap();
        clerk.answer(&admitted).unwrap();
    };
    let slower = slower_while(&world, payer, refund);
    assert!(slower < TOLERANCE, "refunds: {slower:?}");
    assert!(world.balance(&refunded[0]) > before, "refunds were made");
    world.check(&place);
}
