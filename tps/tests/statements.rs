//! Statements over a running pipeline, against a ledger kept beside it.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use proptest::prelude::*;
use protocol::ids::{AccountId, MerchantId};
use protocol::ledger::posting::{Party, Posting, transfer};
use protocol::money::{Amount, Asset};
use protocol::response::{Reason, open};
use protocol::session::AgreementPublic;
use protocol::time::Timestamp;
use serde_json::Value;
use tps::book::orders::Order as LedgerOrder;
use tps::data_directory::{FORMAT, Realm, RealmAsset};
use tps::jobs::{Job, Jobs, Pause};
use tps::pipeline::{Engine, EngineConfig};
use tps::statement::fold::Period;
use tps::statement::movement::Kind;
use tps::statement::run::{Order, Run};
use tps::statement::text::Format;
use tps::statement::walk::Scope;
use tps::statement::{Progress, StatementDesk, StatementJob};

const OTHER_MERCHANT: MerchantId = MerchantId([0x4e; 16]);

fn realm() -> Realm {
    Realm {
        format: FORMAT,
        realm: REALM,
        root: "00".repeat(32),
        shards: 1,
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
    let mut run = Run::start(order, realm(), Arc::clone(engine.reader())).unwrap();
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

/// Something that moves money.
#[derive(Debug, Clone, Copy)]
enum Step {
    Deposit { customer: usize, units: u64 },
    Pay { customer: usize, other: bool, units: u64 },
    Refund { customer: usize, other: bool, units: u64 },
    Settle { other: bool, fee: u64, payout: u64 },
    Return { other: bool, units: u64 },
    Moment,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..3, 1u64..1_000).prop_map(|(customer, units)| Step::Deposit { customer, units }),
        (0usize..3, any::<bool>(), 1u64..1_000).prop_map(|(customer, other, units)| Step::Pay {
            customer,
            other,
            units
        }),
        (0usize..3, any::<bool>(), 1u64..1_000).prop_map(|(customer, other, units)| Step::Refund {
            customer,
            other,
            units
        }),
        (any::<bool>(), 1u64..50, 1u64..1_000).prop_map(|(other, fee, payout)| Step::Settle { other, fee, payout }),
        (any::<bool>(), 1u64..1_000).prop_map(|(other, units)| Step::Return { other, units }),
        Just(Step::Moment),
    ];
    prop::collection::vec(step, 1..40)
}

/// The ledger that statements are compared with: kept by the test, from what it ordered.
#[derive(Default)]
struct Reference {
    /// (number of moments before it, party, kind, change)
    entries: Vec<(usize, Party, Kind, i128)>,
    moments: Vec<Timestamp>,
}

impl Reference {
    fn enter(&mut self, party: Party, kind: Kind, change: i128) {
        self.entries.push((self.moments.len(), party, kind, change));
    }

    /// What the statement of a period between two moments has to say.
    fn expected(&self, party: Party, from: usize, until: usize) -> Told {
        let mut told = Told::default();
        for (at, _, kind, change) in self.entries.iter().filter(|(_, of, ..)| *of == party) {
            if *at <= from {
                told.opening += change;
            } else if *at <= until {
                let sum = told.sums.entry(kind.name().to_owned()).or_default();
                *sum = (sum.0 + 1, sum.1 + change);
            }
        }
        told.closing = told.opening + told.sums.values().map(|(_, sum)| sum).sum::<i128>();
        told
    }
}

fn merchant(other: bool) -> MerchantId {
    if other { OTHER_MERCHANT } else { MERCHANT }
}

fn post(engine: &Engine, shard_key: u16, postings: Vec<Posting>) {
    engine.with_book(shard_key, move |book, now| book.transfer("moved".into(), &postings, Vec::new(), now)).unwrap();
}

fn carry_out(engine: &Engine, group: &mut [Customer], step: Step, reference: &mut Reference) {
    let amount = |units| Amount::new(units).unwrap();
    let signed = i128::from;
    match step {
        Step::Moment => reference.moments.push(moment(engine)),
        Step::Deposit { customer, units } => {
            let account = group[customer].account;
            let order = LedgerOrder::Fund { account, amount: amount(units), deposit: None };
            engine.order(account.shard_key(), order).unwrap();
            reference.enter(Party::Customer(account), Kind::Deposit, signed(units));
        }
        Step::Pay { customer, other, units } => {
            pay(engine, &mut group[customer], merchant(other), units);
            reference.enter(Party::Customer(group[customer].account), Kind::Payment, -signed(units));
            reference.enter(Party::Merchant(merchant(other)), Kind::Payment, signed(units));
        }
        // As a desk for refunds posts them: statements know no desk.
        Step::Refund { customer, other, units } => {
            let (account, merchant) = (group[customer].account, Party::Merchant(merchant(other)));
            let postings = transfer(merchant, Party::Customer(account), Asset::USD6, amount(units));
            post(engine, account.shard_key(), postings.to_vec());
            reference.enter(Party::Customer(account), Kind::Refund, signed(units));
            reference.enter(merchant, Kind::Refund, -signed(units));
        }
        Step::Settle { other, fee, payout } => {
            let merchant = Party::Merchant(merchant(other));
            let fees = transfer(merchant, Party::Fees, Asset::USD6, amount(fee));
            let paid_out = transfer(merchant, Party::Funding, Asset::USD6, amount(payout));
            post(engine, 0, [fees, paid_out].concat());
            reference.enter(merchant, Kind::Fee, -signed(fee));
            reference.enter(merchant, Kind::Payout, -signed(payout));
        }
        Step::Return { other, units } => {
            let merchant = Party::Merchant(merchant(other));
            post(engine, 0, transfer(Party::Funding, merchant, Asset::USD6, amount(units)).to_vec());
            reference.enter(merchant, Kind::PayoutReturned, signed(units));
        }
    }
}

fn book_balance(engine: &Engine, party: Party) -> i128 {
    let balances = engine.read(move |book| match party {
        Party::Customer(id) => book.account(id).map_or(0, |account| account.balance),
        party => book.balance(party, Asset::USD6),
    });
    balances.iter().sum()
}

fn world(shards: u16) -> (Engine, Vec<Customer>, Reference) {
    let engine = engine(EngineConfig { shards, workers: 2, ..EngineConfig::default() });
    let session_public = AgreementPublic(random());
    let order =
        LedgerOrder::RegisterMerchant { id: OTHER_MERCHANT, name: "Other".into(), request: vec![1], session_public };
    engine.order(0, order).unwrap();
    engine.order(0, LedgerOrder::CertifyMerchant { id: OTHER_MERCHANT, certificate: vec![2] }).unwrap();
    let group: Vec<Customer> = (0..3).map(|_| customers(&engine, 100_000, 1).remove(0)).collect();
    let mut reference = Reference::default();
    for customer in &group {
        reference.enter(Party::Customer(customer.account), Kind::Deposit, 100_000);
    }
    reference.moments.push(moment(&engine));
    (engine, group, reference)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]

    // spec: K-106
    #[test]
    fn statements_of_every_period_equal_the_ledger(steps in steps(), shards in prop::sample::select(vec![1u16, 3])) {
        let (engine, mut group, mut reference) = world(shards);
        for step in steps {
            carry_out(&engine, &mut group, step, &mut reference);
        }
        reference.moments.push(moment(&engine));
        let last = reference.moments.len() - 1;
        let parties: Vec<Party> = group
            .iter()
            .map(|customer| Party::Customer(customer.account))
            .chain([Party::Merchant(MERCHANT), Party::Merchant(OTHER_MERCHANT)])
            .collect();
        let directory = tempfile::tempdir().unwrap();
        for from in 0..last {
            let path = directory.path().join(from.to_string());
            // To the next moment, and from the first on to the end.
            let (from, until) = if from == 0 { (0, last) } else { (from, from + 1) };
            make(&engine, order(Scope::All, (reference.moments[from], reference.moments[until]), &path));
            for party in &parties {
                let statement = read(&path_of(&path, *party));
                prop_assert_eq!(told(&statement), reference.expected(*party, from, until));
                if until == last {
                    prop_assert_eq!(told(&statement).closing, book_balance(&engine, *party), "it is the book's");
                }
            }
            let summary = read(&path.join("summary.json"));
            prop_assert_eq!(&summary["statements"], 5);
            prop_assert!(!path.join("unsorted").exists());
        }
        // One party's statement alone is the same, byte for byte.
        for party in &parties {
            let scope = match party {
                Party::Customer(id) => Scope::Account(*id),
                Party::Merchant(id) => Scope::Merchant(*id),
                other => panic!("{other:?} has no statement"),
            };
            let path = directory.path().join(format!("{scope:?}"));
            make(&engine, order(scope, (reference.moments[0], reference.moments[last]), &path));
            let all = std::fs::read(path_of(&directory.path().join("0"), *party)).unwrap();
            prop_assert_eq!(std::fs::read(path_of(&path, *party)).unwrap(), all);
        }
        prop_assert_eq!(total(&engine), 0);
        engine.drain();
    }
}

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
        let jobs: Vec<Box<dyn Job>> = vec![Box::new(StatementJob::new(Arc::clone(&desk), realm()))];
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

#[test]
fn orders_that_fail_or_are_taken_back_leave_nothing_and_others_go_on() {
    let (engine, _, _) = world(1);
    let directory = tempfile::tempdir().unwrap();
    let (desk, path) = (Arc::new(StatementDesk::default()), |name: &str| directory.path().join(name));
    let mut job = StatementJob::new(Arc::clone(&desk), realm());
    let all = (Timestamp(0), moment(&engine));
    let run = |job: &mut StatementJob, number: u64| {
        for _ in 0..1_000 {
            if desk.one(number).unwrap().progress.is_ended() {
                break;
            }
            let _ = job.step(&engine).unwrap();
        }
        desk.one(number).unwrap().progress
    };
    std::fs::write(path("file"), "in the way").unwrap();
    let blocked = desk.order(order(Scope::All, all, &path("file"))).unwrap();
    let future = (engine.now().plus(1_000_000), Timestamp(u64::MAX));
    let early = desk.order(order(Scope::All, future, &path("early"))).unwrap();
    let waiting = desk.order(order(Scope::All, all, &path("waiting"))).unwrap();
    let good = desk.order(order(Scope::All, all, &path("good"))).unwrap();
    assert!(matches!(run(&mut job, blocked.number), Progress::Failed { .. }));
    assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "in the way");
    let Progress::Failed { error } = run(&mut job, early.number) else { panic!("a period in the future") };
    assert!(error.message.contains("not in the future"), "{error}");
    assert!(matches!(desk.cancel(waiting.number).unwrap().progress, Progress::Failed { .. }));
    assert_eq!(run(&mut job, good.number), Progress::Done { statements: 5 });

    let running = desk.order(order(Scope::All, all, &path("running"))).unwrap();
    for _ in 0..3 {
        let _ = job.step(&engine).unwrap();
    }
    assert!(path("running").exists());
    assert_eq!(desk.cancel(running.number).unwrap().progress, Progress::Running);
    assert!(matches!(run(&mut job, running.number), Progress::Failed { .. }));
    let mut left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["file", "good"]);
    assert!(desk.one(99).is_err());
    engine.drain();
}
