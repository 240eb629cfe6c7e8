//! Retention: old transactions leave the ledger for the archive, and nothing is lost whenever the power fails.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod moving;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;

use common::*;
use protocol::key_set::{KeyRole, key_id};
use protocol::ledger::instrument::Place;
use protocol::money::Asset;
use protocol::response::{Reason, open};
use protocol::signature::{DeskRole, SigningKey};
use protocol::time::Timestamp;
use tps::archive::{Archiving, Pruning, Signers, WholeLog};
use tps::jobs::cursor::Cursor;
use tps::pipeline::{Engine, EngineConfig, EngineKeys};
use tps::settlement::close::Closing;
use tps::settlement::fees::FeeSchedule;
use tps::settlement::pages::PageDirectory;
use tps::settlement::{Schedule, Settings};
use tps::store::desk::DeskRecord;
use tps::store::records::PaymentRecord;
use tps::store::{Reader, Store, StoreError};

const FOR_EVER: Timestamp = Timestamp(u64::MAX);
/// Small, so that a few payments make several segments.
const BYTES_MAX: u64 = 2_000;

fn desk_key() -> SigningKey<DeskRole> {
    SigningKey::from_seed([0x44; 32])
}

fn signers() -> Signers {
    BTreeMap::from([(key_id(KeyRole::Desk, &desk_key().public()), desk_key().public())])
}

fn start(store: impl Store + 'static, shards: u16) -> Engine {
    let keys = EngineKeys {
        session: vec![tps::pipeline::open::SessionKey::new(SESSION_KEY, session_secret())],
        signer: signer(),
    };
    Engine::start(Box::new(store), keys, EngineConfig { shards, ..EngineConfig::default() }).unwrap()
}

fn pay(engine: &Engine, customer: &mut Customer, units: u64) -> protocol::response::OpenedResponse {
    let content = customer.content(units);
    let request = customer.request(&content);
    let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
    customer.take(&content, &opened.answer);
    opened
}

/// Ends a settlement cycle now.
fn settle(engine: &Engine, pages: &Path) {
    let settings = Settings {
        schedule: Schedule::new(24, 0).unwrap(),
        fees: BTreeMap::from([(Asset::USD6, FeeSchedule::default())]),
    };
    let (pages, key) = (PageDirectory::new(pages, REALM), desk_key());
    let closing = Closing { engine, settings: &settings, pages: &pages, key: &key };
    // Until the clock has moved on from the last payment, its batch is not before the cut-off.
    let last = engine.now();
    while engine.now() <= last.plus(1) {
        std::hint::spin_loop();
    }
    closing.close(Timestamp(1), engine.now()).unwrap().expect("nothing is under way");
}

/// As if the index of refunds had come to the end of the log.
fn index(engine: &Engine) {
    let last = all(engine.reader().as_ref()).last().unwrap().0;
    engine.record(vec![Cursor::new("pairs", last, 0).entry()]).unwrap();
}

fn all(reader: &dyn Reader) -> Vec<(Place, PaymentRecord)> {
    let mut found = Vec::new();
    reader.for_each_payment(&mut |place, record| found.push((place, *record))).unwrap();
    found
}

fn archiving<'a>(engine: &'a Engine, directory: &'a Path) -> Archiving<'a> {
    Archiving { engine, directory, bytes_max: BYTES_MAX }
}

/// Writes and prunes until nothing is left to do.
fn work(engine: &Engine, directory: &Path) -> Result<(), tps::admin::AdminError> {
    let archiving = archiving(engine, directory);
    while archiving.write_next(&desk_key(), FOR_EVER)?.is_some() {}
    prune(&archiving)
}

fn prune(archiving: &Archiving<'_>) -> Result<(), tps::admin::AdminError> {
    let (mut after, mut checked) = (Place::default(), 0);
    while let Pruning::UpTo(place) = archiving.prune_next(after, &mut checked)? {
        after = place;
    }
    Ok(())
}

/// A pipeline with two busy customers and one that paid once, long ago; everything is settled.
fn busy(store: impl Store + 'static, shards: u16, directory: &Path) -> (Engine, Vec<Customer>) {
    let engine = start(store, shards);
    register(&engine);
    let mut group: Vec<Customer> = (0..3).map(|_| customers(&engine, 1_000_000, 1).remove(0)).collect();
    pay(&engine, &mut group[2], 5);
    for units in 1..=12 {
        assert_eq!(pay(&engine, &mut group[(units % 2) as usize], units).answer.reason, Reason::Paid);
    }
    settle(&engine, directory);
    index(&engine);
    (engine, group)
}

fn whole(engine: &Engine, directory: &Path) -> Result<WholeLog, StoreError> {
    WholeLog::open(engine, directory, &signers())
}
