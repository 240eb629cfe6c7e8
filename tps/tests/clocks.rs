//! The machine's clock jumps: batch times stand still rather than go back, and everything that is judged by them behaves.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use protocol::ledger::instrument::{Limits, PeriodLimit};
use protocol::money::Amount;
use protocol::response::{OpenedResponse, Reason};
use protocol::time::{DAY_MS, MINUTE_MS, Timestamp};
use tps::pipeline::clock::{BatchClock, wall_clock};
use tps::pipeline::{Engine, EngineConfig, EngineKeys};
use tps::store::Store;
use tps::store::crash::CrashDisk;
use tps::store::memory::MemoryStore;
use tps::store::records::Changes;

/// The machine's clock of a test: each has its own.
macro_rules! wall {
    ($wall:ident, $set:ident) => {
        static NOW: AtomicU64 = AtomicU64::new(0);

        fn $wall() -> Timestamp {
            Timestamp(NOW.load(Ordering::Relaxed))
        }

        let $set = |time: Timestamp| NOW.store(time.0, Ordering::Relaxed);
        $set(wall_clock());
    };
}

fn batch_time(opened: &OpenedResponse) -> Timestamp {
    verifier().verify(&opened.proof_bytes).unwrap().statement().batch_time
}

/// Pays with a valid-until a minute after `now`, the customer's own time.
fn pay_at(customer: &mut Customer, server: &mut Server, now: Timestamp, units: u64) -> OpenedResponse {
    let mut content = customer.content(units);
    content.valid_until = now.plus(MINUTE_MS);
    customer.pay_content(server, &content)
}

fn restarted(disk: &CrashDisk, wall: fn() -> Timestamp) -> Server {
    disk.crash();
    let store = disk.recover();
    let registry = store.reader().registry().unwrap();
    let mut server = Server::start(Box::new(store));
    server.clock = BatchClock::with_wall(registry.next_batch, registry.clock, wall);
    server
}

#[test]
fn a_clock_set_back_stops_batch_times_until_it_has_caught_up() {
    wall!(wall, set);
    let start = wall();
    let (disk, store) = CrashDisk::new(Server::genesis());
    let mut server = Server::start(Box::new(store));
    server.clock = BatchClock::with_wall(1, start, wall);
    server.register_merchant(MERCHANT, true);
    let account = server.account(1_000_000);
    let mut customer = server.customer(account, Limits::default());
    assert_eq!(batch_time(&pay_at(&mut customer, &mut server, start, 1)), start);

    // An hour back; customers' clocks are right.
    set(Timestamp(start.0 - 60 * MINUTE_MS));
    for _ in 0..2 {
        let paid = pay_at(&mut customer, &mut server, start, 1);
        assert_eq!((paid.answer.reason, batch_time(&paid)), (Reason::Paid, start), "it stands still");
        assert_eq!(server.clock.ahead_ms(), 60 * MINUTE_MS);
        // Across a restart, too.
        server = restarted(&disk, wall);
    }
    set(start.plus(5));
    let paid = pay_at(&mut customer, &mut server, start, 1);
    assert_eq!((batch_time(&paid), server.clock.ahead_ms()), (start.plus(5), 0), "it has caught up");
    server.check_conservation();
}

#[test]
fn a_jump_far_ahead_and_back_denies_by_the_ledgers_time_and_costs_no_money() {
    wall!(wall, set);
    let start = wall();
    let (disk, store) = CrashDisk::new(Server::genesis());
    let mut server = Server::start(Box::new(store));
    server.clock = BatchClock::with_wall(1, start, wall);
    server.register_merchant(MERCHANT, true);
    let account = server.account(1_000_000);
    let period = PeriodLimit { amount: Amount::new(100).unwrap(), period_ms: DAY_MS };
    let mut customer = server.customer(account, Limits { per_period: Some(period), ..Limits::default() });
    assert_eq!(pay_at(&mut customer, &mut server, start, 60).answer.reason, Reason::Paid);
    assert_eq!(pay_at(&mut customer, &mut server, start, 60).answer.reason, Reason::AboveLimitPerPeriod);

    // Ten days ahead: what customers ask for is past. The denial tells the time, and moves the count on.
    let ahead = start.plus(10 * DAY_MS);
    set(ahead);
    let denied = pay_at(&mut customer, &mut server, start, 1);
    assert_eq!((denied.answer.reason, batch_time(&denied)), (Reason::Expired, ahead));
    set(start.plus(MINUTE_MS));
    let denied = pay_at(&mut customer, &mut server, start.plus(MINUTE_MS), 1);
    assert_eq!((denied.answer.reason, batch_time(&denied)), (Reason::Expired, ahead), "it stands still");
    assert_eq!(server.balance(account), 1_000_000 - 60);

    // A customer that takes the time from the denial pays; the period is a new one, and does not end while time stands still.
    server = restarted(&disk, wall);
    for (minute, reason) in [(2, Reason::Paid), (3, Reason::AboveLimitPerPeriod), (4, Reason::AboveLimitPerPeriod)] {
        set(start.plus(minute * MINUTE_MS));
        let answered = pay_at(&mut customer, &mut server, ahead, 60);
        assert_eq!((answered.answer.reason, batch_time(&answered)), (reason, ahead));
    }
    // The clock has caught up, and a day later the period has ended.
    set(ahead.plus(DAY_MS));
    let paid = pay_at(&mut customer, &mut server, wall(), 60);
    assert_eq!((paid.answer.reason, batch_time(&paid)), (Reason::Paid, wall()));
    server.check_conservation();
}

#[test]
fn a_ledger_ahead_of_the_machine_is_told() {
    let ahead = 3_600_000;
    let mut store = MemoryStore::new(Server::genesis());
    store.commit(&Changes { clock: wall_clock().plus(ahead), ..Changes::default() }).unwrap();
    let keys = || EngineKeys { session: Vec::new(), signer: signer() };
    let engine = Engine::start(Box::new(store), keys(), EngineConfig::default()).unwrap();
    let told = engine.clock_ahead_ms();
    assert!((ahead - 60_000..=ahead).contains(&told), "{told}");
    assert_eq!(engine.now(), engine.now(), "it stands still");
    engine.drain();
    let engine = Engine::start(Box::new(MemoryStore::new(Server::genesis())), keys(), EngineConfig::default()).unwrap();
    assert!(engine.clock_ahead_ms() < 1_000);
    engine.drain();
}
