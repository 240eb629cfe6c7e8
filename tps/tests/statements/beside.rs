//! Statements beside payments: neither is in the other's way, and none says who paid.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::ids::AccountId;
use protocol::ledger::posting::{Party, Posting};
use protocol::money::Asset;
use protocol::time::Timestamp;
use tps::jobs::{Job, Jobs};
use tps::statement::run::Order;
use tps::statement::text::Format;
use tps::statement::walk::Scope;
use tps::statement::{Progress, StatementDesk};

use crate::common::*;
use crate::equal::{post, world};
use crate::{OTHER_MERCHANT, book_balance, job, make, moment, order, path_of, pay, read, told, units};

// spec: K-106
#[test]
fn statements_made_while_payments_go_on_add_up() {
    for shards in [1, 2] {
        let (engine, mut group, reference) = world(shards);
        let start = reference.moments[0];
        let accounts: Vec<AccountId> = group.iter().map(|customer| customer.account).collect();
        let directory = tempfile::tempdir().unwrap();
        let desk = Arc::new(StatementDesk::default());
        let engine = Arc::new(engine);
        let jobs: Vec<Box<dyn Job>> = vec![Box::new(job(&desk, &engine, directory.path()))];
        let jobs = Jobs::start(Arc::clone(&engine), jobs).unwrap();
        let stop = AtomicBool::new(false);
        let mut cuts = vec![start];
        std::thread::scope(|scope| {
            for customer in &mut group {
                let (engine, stop) = (&engine, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        pay(engine, customer, MERCHANT, 1);
                    }
                });
            }
            for round in 0..4 {
                let path = directory.path().join(round.to_string());
                // To the present, whatever is under way.
                let ordered = desk.order(order(Scope::All, (cuts[round], Timestamp(u64::MAX)), &path)).unwrap();
                let ended = loop {
                    let now = desk.one(ordered.number).unwrap();
                    if now.progress.is_ended() {
                        break now;
                    }
                    std::thread::yield_now();
                };
                assert_eq!(ended.progress, Progress::Done { statements: 5 });
                cuts.push(Timestamp(read(&path.join("summary.json"))["until_ms"].as_u64().unwrap()));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let parties = accounts.iter().map(|id| Party::Customer(*id)).chain([Party::Merchant(MERCHANT)]);
        for party in parties {
            let mut before = if matches!(party, Party::Customer(_)) { 100_000 } else { 0 };
            for round in 0..4 {
                let told = told(&read(&path_of(&directory.path().join(round.to_string()), party)));
                assert_eq!(told.opening, before, "it begins where the last one ended");
                before = told.closing;
            }
            let path = directory.path().join(format!("last {party:?}"));
            make(&engine, order(Scope::All, (cuts[4], moment(&engine)), &path));
            let last = told(&read(&path_of(&path, party)));
            assert_eq!((last.opening, last.closing), (before, book_balance(&engine, party)));
        }
        for round in 0..4 {
            let summary = read(&directory.path().join(round.to_string()).join("summary.json"));
            let paid = |parties: &str| {
                let movements = summary[parties][0]["movements"].as_array().unwrap().clone();
                movements.iter().find(|sum| sum["kind"] == "payment").map_or(0, |sum| units(&sum["sum"]))
            };
            assert_eq!(paid("accounts"), -paid("merchants"), "both sides of every payment are in it, or none");
        }
        drop(jobs);
        Arc::into_inner(engine).unwrap().drain();
    }
}
/// What shards are asked for does not grow with the log: an answer each, which is the only thing that payments could wait for.
// spec: K-106
#[test]
fn however_long_the_log_shards_are_asked_once_and_do_no_work() {
    let shards = 2;
    let (engine, mut group, _) = world(shards);
    let directory = tempfile::tempdir().unwrap();
    let asked = |name: &str| {
        // Once nothing is under way, every turn of a sequencer is one that the statements asked for.
        while engine.log_complete_up_to().is_none_or(|complete| complete + 1 < engine.next_batch()) {
            std::thread::yield_now();
        }
        let (turns, items) = (&engine.counters().stages.sequence.batches, &engine.counters().stages.sequence.items);
        let until = moment(&engine);
        let before = (turns.get(), items.get());
        make(&engine, order(Scope::All, (Timestamp(0), until), &directory.path().join(name)));
        (turns.get() - before.0, items.get() - before.1)
    };
    let short = asked("short");
    for customer in &mut group {
        for _ in 0..1_400 {
            pay(&engine, customer, MERCHANT, 1);
        }
    }
    let long = asked("long");
    assert_eq!((short, long), ((u64::from(shards), 0), (u64::from(shards), 0)));
    let statement = told(&read(&path_of(&directory.path().join("long"), Party::Merchant(MERCHANT))));
    assert_eq!(statement.sums["payment"], (4_200, 4_200), "more than a page of the log");
    engine.drain();
}

#[test]
fn nothing_of_a_merchants_statement_depends_on_who_paid() {
    let (engine, mut group, _) = world(1);
    let from = moment(&engine);
    for customer in &mut group {
        pay(&engine, customer, MERCHANT, 5);
    }
    let (first, second) = (group[0].account, group[1].account);
    let refund = [
        Posting { party: Party::Merchant(MERCHANT), asset: Asset::USD6, change: -7 },
        Posting { party: Party::Customer(first), asset: Asset::USD6, change: 4 },
        Posting { party: Party::Customer(second), asset: Asset::USD6, change: 3 },
    ];
    post(&engine, 0, refund.to_vec());
    let until = moment(&engine);
    let directory = tempfile::tempdir().unwrap();
    for format in [Format::Text, Format::Json, Format::Csv] {
        let path = directory.path().join(format.extension());
        make(&engine, Order { format, ..order(Scope::All, (from, until), &path) });
        let text = |party| std::fs::read_to_string(tps::statement::output::Output::file(&path, party, format)).unwrap();
        let of_merchant = text(Party::Merchant(MERCHANT));
        for customer in &group {
            assert!(!of_merchant.contains(&customer.account.to_string()));
            assert!(!of_merchant.contains(&customer.instrument.to_string()));
        }
        assert_eq!(of_merchant.matches("-0.000007").count(), 2, "one refund: its sum and its line");
        assert!(text(Party::Customer(first)).contains(&MERCHANT.to_string()));
        assert!(text(Party::Customer(first)).contains("0.099999"), "100,000 - 5 + 4");
        assert!(text(Party::Merchant(OTHER_MERCHANT)).contains("0.000000"), "one where nothing moved");
    }
    engine.drain();
}
