//! Deferred verification: payments with bad signatures go through, are found later, and stand.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use common::*;
use protocol::ids::InstrumentId;
use protocol::response::{Reason, open};
use tps::jobs::cursor::Cursor;
use tps::jobs::deferred::DeferredVerification;
use tps::jobs::{Job, Pause};
use tps::pipeline::verify::{SignatureCheck, SignatureRule};
use tps::pipeline::{Engine, EngineConfig, EngineKeys};
use tps::reports::Report;
use tps::store::Store;
use tps::store::crash::CrashDisk;
use tps::store::desk::DeskRecord;

fn config(check: SignatureCheck) -> EngineConfig {
    let default = EngineConfig::default();
    EngineConfig { signatures: SignatureRule { check, ..default.signatures }, ..default }
}

fn start(store: impl Store + 'static, check: SignatureCheck) -> (Engine, Option<DeferredVerification>) {
    let keys = EngineKeys {
        session: vec![tps::pipeline::open::SessionKey::new(SESSION_KEY, session_secret())],
        signer: signer(),
    };
    let engine = Engine::start(Box::new(store), keys, config(check)).unwrap();
    let job = DeferredVerification::start(&engine, check).unwrap();
    (engine, job)
}

/// Pays a few times; `honest` with the enrolled key, else with another.
fn pay(engine: &Engine, customer: &mut Customer, honest: bool, times: u64) {
    let enrolled = customer.seed;
    if !honest {
        customer.seed = random();
    }
    for units in 1..=times {
        let content = customer.content(units);
        let request = customer.request(&content);
        let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
        assert_eq!(opened.answer.reason, Reason::Paid);
        verifier().verify(&opened.proof_bytes).unwrap();
        customer.take(&content, &opened.answer);
    }
    customer.seed = enrolled;
}

/// Runs the job until it waits for more.
fn work(engine: &Engine, job: &mut DeferredVerification) {
    while job.step(engine).unwrap() == Pause::None {}
}

fn held(engine: &Engine, id: InstrumentId) -> bool {
    engine.read(move |book| book.instrument(id).unwrap().held).remove(0)
}

// spec: K-54, K-55, K-128
#[test]
fn no_signature_is_checked_live_and_bad_ones_are_found_later() {
    let engine = engine(config(SignatureCheck::Deferred));
    let mut job = DeferredVerification::start(&engine, SignatureCheck::Deferred).unwrap().unwrap();
    let mut group = customers(&engine, 1_000_000, 3);
    let mut before = tallied(&engine);
    let (honest, rest) = group.split_first_mut().unwrap();
    pay(&engine, honest, true, 5);
    pay(&engine, &mut rest[0], false, 2);
    before.iter_mut().zip(tallied(&engine)).for_each(|(before, after)| *before = after - *before);
    assert_eq!(before, [7, 7, 0], "session keys, proofs' signatures (batches of one), signatures checked");

    // The PIN authorises, not the signature.
    let content = rest[1].content(1);
    let wrong = rest[1].request_with(&content, 1, protocol::pin::ModifiedPin(1));
    let denied = open(&submit(&engine, &wrong.bytes), &wrong.hash, &wrong.session).unwrap();
    assert_eq!(denied.answer.reason, Reason::AuthenticationFailed);

    let balance = |engine: &Engine| total(engine);
    let paid = engine.counters().paid();
    work(&engine, &mut job);
    assert!(
        !held(&engine, honest.instrument) && held(&engine, rest[0].instrument) && !held(&engine, rest[1].instrument)
    );
    assert_eq!((balance(&engine), engine.counters().paid()), (0, paid), "nothing is reversed");
    let reports = Report::all(engine.reader().as_ref(), &[]).unwrap();
    assert_eq!(reports.len(), 2, "one for each bad signature");
    assert!(reports.iter().all(|report| report.instrument == Some(rest[0].instrument)));
    // The same again, as after a crash before the cursor was kept: nothing is filed twice.
    let cursor = Cursor::new("deferred verification", engine.log_end_at_start(), 0);
    engine.record(vec![cursor.entry()]).unwrap();
    let mut again = DeferredVerification::start(&engine, SignatureCheck::Deferred).unwrap().unwrap();
    work(&engine, &mut again);
    assert_eq!(Report::all(engine.reader().as_ref(), &[]).unwrap().len(), 2);
    let content = rest[0].content(1);
    let request = rest[0].request(&content);
    let denied = open(&submit(&engine, &request.bytes), &request.hash, &request.session).unwrap();
    assert_eq!(denied.answer.reason, Reason::Held);
    engine.drain();
}

/// Session keys regenerated, signatures made, signatures checked.
fn tallied(engine: &Engine) -> [u64; 3] {
    let counters = engine.counters();
    [counters.stages.open.items.get(), counters.batches.get(), counters.signatures.get()]
}

// spec: K-56
#[test]
fn what_was_not_checked_is_found_after_a_crash_whatever_the_next_server_does() {
    for next in [SignatureCheck::Deferred, SignatureCheck::Live] {
        let (disk, store) = CrashDisk::new(Server::genesis());
        let (engine, job) = start(store, SignatureCheck::Live);
        assert!(job.is_none(), "nothing is left to check");
        register(&engine);
        let mut group = customers(&engine, 1_000_000, 3);
        pay(&engine, &mut group[0], true, 3);
        engine.drain();

        let (engine, _) = start(disk.recover(), SignatureCheck::Deferred);
        pay(&engine, &mut group[1], false, 1);
        pay(&engine, &mut group[0], true, 3);
        pay(&engine, &mut group[2], false, 1);
        disk.crash();
        drop(engine);

        let (engine, job) = start(disk.recover(), next);
        let mut job = job.unwrap();
        // Of what a live server takes itself, nothing is checked twice.
        pay(&engine, &mut group[0], true, 2);
        work(&engine, &mut job);
        let states: Vec<bool> = group.iter().map(|customer| held(&engine, customer.instrument)).collect();
        assert_eq!(states, [false, true, true], "{next:?}");
        engine.drain();
        let (engine, job) = start(disk.recover(), SignatureCheck::Live);
        assert_eq!(job.is_none(), next == SignatureCheck::Live, "it is known that all was checked");
        engine.drain();
    }
}
