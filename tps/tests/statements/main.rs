//! Statements over a running pipeline, against a ledger kept beside it.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod beside;
#[path = "../common/mod.rs"]
mod common;
mod equal;
mod orders;

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use common::*;
use protocol::ids::MerchantId;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::response::{Reason, open};
use protocol::time::Timestamp;
use serde_json::Value;
use tps::data_directory::{DataDirectory, FORMAT, Realm, RealmAsset};
use tps::jobs::Pause;
use tps::operator::installation::{InstallOptions, fill};
use tps::pipeline::Engine;
use tps::pipeline::clock::wall_clock;
use tps::statement::fold::Period;
use tps::statement::run::{Order, Run};
use tps::statement::text::Format;
use tps::statement::walk::Scope;
use tps::statement::{StatementDesk, StatementJob};

const OTHER_MERCHANT: MerchantId = MerchantId([0x4e; 16]);

fn realm(shards: u16) -> Realm {
    Realm {
        format: FORMAT,
        realm: REALM,
        root: "00".repeat(32),
        shards,
        session_key_days: 7,
        session_key_overlap_days: 7,
        key_set_days: 30,
        created_at_ms: Timestamp(1),
        assets: vec![RealmAsset { code: Asset::USD6, exponent: 6 }],
    }
}

/// A moment between everything before and everything after.
fn moment(engine: &Engine) -> Timestamp {
    let before = engine.now();
    loop {
        let now = engine.now();
        if now > before {
            return now;
        }
        std::thread::yield_now();
    }
}

fn pay(engine: &Engine, customer: &mut Customer, merchant: MerchantId, units: u64) {
    let mut content = customer.content(units);
    content.merchant = merchant;
    let request = customer.request(&content);
    let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
    assert_eq!(opened.answer.reason, Reason::Paid);
    customer.take(&content, &opened.answer);
}

fn order(scope: Scope, period: (Timestamp, Timestamp), directory: &Path) -> Order {
    Order {
        scope,
        period: Period { from: period.0, until: period.1 },
        with_lines: true,
        format: Format::Json,
        directory: directory.to_owned(),
    }
}

/// Makes statements here and now.
fn make(engine: &Engine, order: Order) {
    let mut run = Run::start(order, realm(engine.shards()), Arc::clone(engine.reader())).unwrap();
    while let Some(pause) = run.step(engine).unwrap() {
        if let Pause::For(time) = pause {
            std::thread::sleep(time);
        }
    }
}

fn path_of(directory: &Path, party: Party) -> std::path::PathBuf {
    tps::statement::output::Output::file(directory, party, Format::Json)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn units(money: &Value) -> i128 {
    assert_eq!(money["asset"], "USD6");
    money["units"].as_str().unwrap().parse().unwrap()
}

/// What a statement says: opening, sums by kind, closing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Told {
    opening: i128,
    sums: BTreeMap<String, (u64, i128)>,
    closing: i128,
}

/// Reads a statement and checks that its lines are its sums.
fn told(statement: &Value) -> Told {
    let assets = statement["assets"].as_array().unwrap();
    assert_eq!(assets.len(), 1, "{statement}");
    let sums = assets[0]["movements"].as_array().unwrap().iter();
    let told = Told {
        opening: units(&assets[0]["opening"]),
        sums: sums
            .map(|sum| (sum["kind"].as_str().unwrap().to_owned(), (sum["count"].as_u64().unwrap(), units(&sum["sum"]))))
            .collect(),
        closing: units(&assets[0]["closing"]),
    };
    if let Some(lines) = statement["lines"].as_array() {
        let mut listed: BTreeMap<String, (u64, i128)> = BTreeMap::new();
        for line in lines {
            let sum = listed.entry(line["kind"].as_str().unwrap().to_owned()).or_default();
            *sum = (sum.0 + 1, sum.1 + units(&line["amount"]));
            let time = line["time_ms"].as_u64().unwrap();
            let period = statement["from_ms"].as_u64().unwrap()..statement["until_ms"].as_u64().unwrap();
            assert!(period.contains(&time));
        }
        assert_eq!(listed, told.sums);
        let times: Vec<u64> = lines.iter().map(|line| line["time_ms"].as_u64().unwrap()).collect();
        assert!(times.is_sorted(), "oldest first");
    }
    told
}

/// The job that finds its orders at `desk`, with a directory of keys below `directory`.
fn job(desk: &Arc<StatementDesk>, engine: &Engine, directory: &Path) -> StatementJob {
    let path = directory.join("data");
    std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    fill(&path, &InstallOptions::default(), wall_clock()).unwrap();
    StatementJob::new(Arc::clone(desk), realm(engine.shards()), DataDirectory::open(&path).unwrap())
}

fn book_balance(engine: &Engine, party: Party) -> i128 {
    let balances = engine.read(move |book| match party {
        Party::Customer(id) => book.account(id).map_or(0, |account| account.balance),
        party => book.balance(party, Asset::USD6),
    });
    balances.iter().sum()
}
