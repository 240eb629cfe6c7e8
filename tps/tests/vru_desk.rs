//! The VRU's desk and its webhooks over a running pipeline, within one process.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::*;
use http_body_util::BodyExt as _;
use protocol::ids::InstrumentId;
use protocol::money::Asset;
use protocol::response::{Reason, open};
use protocol::time::Timestamp;
use tower::ServiceExt as _;
use tps::book::orders::Order;
use tps::data_directory::{FORMAT, Realm, RealmAsset};
use tps::pipeline::{Engine, EngineConfig};
use tps::reports::{Report, ReportReason};
use tps::store::desk::DeskRecord;
use tps::store::holds::Holder;
use tps::vru::budget::{ATTEMPTS_PER_NUMBER_MAX, DELAY_FIRST_MS};
use tps::vru::call::{Action, Outcome};
use tps::vru::credentials::{AccessNumber, Passcode};
use tps::vru::desk::Desk;
use tps::vru::fronts::signature::WebhookKey;
use tps::vru::fronts::webhook::router;
use tps::vru::office::{Caller, NewAccess};
use tps::vru::records::{PASSCODE_FAILURES_MAX, VruAccess};

fn realm() -> Realm {
    Realm {
        format: FORMAT,
        realm: REALM,
        root: hex::encode([1; 32]),
        shards: 2,
        session_key_days: 7,
        session_key_overlap_days: 7,
        key_set_days: 30,
        created_at_ms: Timestamp(0),
        assets: vec![RealmAsset { code: Asset::USD6, exponent: 6 }],
    }
}

struct Bench {
    engine: Arc<Engine>,
    desk: Arc<Desk>,
    customer: Customer,
    access: NewAccess,
}

impl Bench {
    fn new() -> Self {
        let engine = Arc::new(engine(EngineConfig { shards: 2, workers: 1, ..EngineConfig::default() }));
        let desk = Arc::new(Desk::start(Arc::clone(&engine), realm(), 6));
        let customer = customers(&engine, 1_000_000, 1).remove(0);
        let id = customer.instrument;
        let access = desk.ask_blocking(move |office| office.new_access(id)).unwrap().unwrap();
        Self { engine, desk, customer, access }
    }

    fn attempt(&self, number: AccessNumber, passcode: &Passcode) -> (Outcome, u64) {
        let passcode = passcode.clone();
        self.desk.ask_blocking(move |office| office.carry_out(Action::Authenticate(number, passcode), None)).unwrap()
    }

    fn admitted(&self) -> Caller {
        match self.attempt(self.access.number, &self.access.passcode) {
            (Outcome::Admitted(caller), 0) => caller,
            other => panic!("{other:?}"),
        }
    }

    fn act(&self, action: Action) -> Outcome {
        self.desk.ask_blocking(move |office| office.carry_out(action, None)).unwrap().0
    }

    fn pay(&mut self) -> Reason {
        let content = self.customer.content(10);
        let request = self.customer.request(&content);
        let opened = open(&submit(&self.engine, &request.bytes), &request.hash, &request.session).unwrap();
        self.customer.take(&content, &opened.answer);
        opened.answer.reason
    }
}

fn wrong(right: &Passcode) -> Passcode {
    let digits: String = right.expose().bytes().map(|digit| char::from(b'0' + (digit - b'0' + 1) % 10)).collect();
    Passcode::parse(&digits).unwrap()
}

/// Processor time of this thread: what a busy machine does not change.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn unknown() -> AccessNumber {
    AccessNumber::random(&mut || Ok::<_, std::convert::Infallible>(random())).unwrap()
}

#[test]
fn wrong_passcodes_lock_durably_and_a_right_one_in_time_does_not() {
    let bench = Bench::new();
    let (number, bad) = (bench.access.number, wrong(&bench.access.passcode));
    let stored = || VruAccess::read(&**bench.engine.reader(), &number.bytes()).unwrap().unwrap();
    for failures in 1..PASSCODE_FAILURES_MAX {
        assert!(matches!(bench.attempt(number, &bad), (Outcome::Refused, 1..)));
        assert_eq!(stored().failures, failures, "durable before the answer");
    }
    let caller = bench.admitted();
    assert_eq!(stored().failures, 0);
    for _ in 0..PASSCODE_FAILURES_MAX {
        assert!(matches!(bench.attempt(number, &bad).0, Outcome::Refused));
    }
    assert!(stored().is_locked());
    assert!(matches!(bench.attempt(number, &bench.access.passcode).0, Outcome::Refused), "the right one too");
    // A call that was admitted before ends as well.
    assert!(matches!(bench.act(Action::ReadAccount(caller)), Outcome::AccessEnded));
    let reports = Report::all(&**bench.engine.reader(), &[]).unwrap();
    assert_eq!(reports.len(), 1, "the operator is told once");
    assert_eq!(
        (reports[0].reason, reports[0].instrument),
        (ReportReason::AccessLocked, Some(bench.customer.instrument))
    );
    let id = bench.customer.instrument;
    bench.desk.ask_blocking(move |office| office.unlock(id)).unwrap().unwrap();
    bench.admitted();
}

#[test]
fn an_unknown_number_costs_what_a_wrong_passcode_costs() {
    let bench = Bench::new();
    let bad = wrong(&bench.access.passcode);
    let timed = |number| {
        let passcode = bad.clone();
        let ((outcome, held_back_ms), cpu) = bench
            .desk
            .ask_blocking(move |office| {
                let begun = thread_cpu();
                (office.carry_out(Action::Authenticate(number, passcode), None), thread_cpu() - begun)
            })
            .unwrap();
        assert!(matches!(outcome, Outcome::Refused));
        assert!(held_back_ms >= DELAY_FIRST_MS);
        cpu
    };
    let known: Vec<Duration> = (0..3).map(|_| timed(bench.access.number)).collect();
    let unknown: Vec<Duration> = (0..3).map(|_| timed(unknown())).collect();
    // The hash takes tens of milliseconds; without it, an unknown number would be answered in less than one.
    let fastest = |times: &[Duration]| times.iter().min().copied().unwrap();
    assert!(fastest(&unknown) * 3 > fastest(&known), "{known:?} {unknown:?}");
    assert!(fastest(&known) * 3 > fastest(&unknown), "{known:?} {unknown:?}");
    // Delays and budgets do not tell either.
    let (one, other) = (bench.access.number, self::unknown());
    let delays = |number| (0..4).map(|_| bench.attempt(number, &bad).1).collect::<Vec<_>>();
    let _ = delays(one);
    assert_eq!(delays(other), [500, 1_000, 2_000, 4_000]);
    for number in [one, other] {
        let taken = (0..ATTEMPTS_PER_NUMBER_MAX)
            .take_while(|_| matches!(bench.attempt(number, &bad).0, Outcome::Refused))
            .count();
        let before = if number == one { 7 } else { 4 };
        assert_eq!(taken, ATTEMPTS_PER_NUMBER_MAX as usize - before);
        assert!(matches!(bench.attempt(number, &bad).0, Outcome::Busy));
    }
}

#[test]
fn whatever_is_wrong_takes_one_commit() {
    let bench = Bench::new();
    let bad = wrong(&bench.access.passcode);
    let commits = |number: AccessNumber| {
        let before = bench.engine.counters().commits.get();
        assert!(matches!(bench.attempt(number, &bad).0, Outcome::Refused));
        bench.engine.counters().commits.get() - before
    };
    assert_eq!(commits(unknown()), 1);
    for _ in 0..PASSCODE_FAILURES_MAX {
        assert_eq!(commits(bench.access.number), 1);
    }
    assert_eq!(commits(bench.access.number), 1, "locked");
}

// spec: K-126
#[test]
fn last_amounts_are_found_far_back_and_without_gaps() {
    let mut bench = Bench::new();
    let mut other = customers(&bench.engine, 1_000_000, 1).remove(0);
    assert_eq!([bench.pay(), bench.pay()], [Reason::Paid; 2]);
    // More batches in between than the first look back takes in.
    for _ in 0..70 {
        let content = other.content(10);
        let request = other.request(&content);
        let opened = open(&submit(&bench.engine, &request.bytes), &request.hash, &request.session).unwrap();
        other.take(&content, &opened.answer);
    }
    assert_eq!(bench.pay(), Reason::Paid);
    let caller = bench.admitted();
    let Outcome::Amounts(told) = bench.act(Action::ReadAmounts(caller)) else { panic!("amounts") };
    assert_eq!(told.amounts.iter().map(|past| past.count).collect::<Vec<_>>(), [3, 2, 1]);
    assert!(!told.more && told.amounts.iter().all(|past| past.paid && past.at.0 > 0));
}

// spec: K-114
#[test]
fn pins_of_the_vru_are_random_and_uniform() {
    let bench = Bench::new();
    let id = bench.customer.instrument;
    let mut counts = [0u32; 10];
    let draws = 1_000;
    let pins = bench.desk.ask_blocking(move |office| (0..draws).map(|_| office.new_pin(id, 6)).collect::<Vec<_>>());
    for pin in pins.unwrap() {
        pin.unwrap().expose().bytes().for_each(|digit| counts[usize::from(digit - b'0')] += 1);
    }
    // Ten classes of expectation 600 and standard deviation 23: eight deviations never happen by chance.
    assert!(counts.iter().all(|count| (415..785).contains(count)), "{counts:?}");
    assert!(bench.desk.ask_blocking(move |office| office.new_pin(id, 3)).unwrap().is_err());
}

// spec: K-127
#[test]
fn a_customer_lifts_no_hold_but_the_own() {
    let mut bench = Bench::new();
    assert_eq!(bench.pay(), Reason::Paid);
    let caller = bench.admitted();
    assert!(matches!(bench.act(Action::Hold(caller.clone(), true)), Outcome::Held));
    assert_eq!(bench.pay(), Reason::Held);
    assert!(matches!(bench.act(Action::Hold(caller.clone(), false)), Outcome::Released));
    assert_eq!(bench.pay(), Reason::Paid);
    for by in [Holder::Operator, Holder::Job] {
        let id = bench.customer.instrument;
        bench.engine.order(id.shard_key(), Order::HoldInstrument { id, by, held: true }).unwrap();
        assert!(matches!(bench.act(Action::Hold(caller.clone(), true)), Outcome::Held));
        assert!(matches!(bench.act(Action::Hold(caller.clone(), false)), Outcome::StillHeld));
        assert_eq!(bench.pay(), Reason::Held);
        bench.engine.order(id.shard_key(), Order::HoldInstrument { id, by, held: false }).unwrap();
        assert_eq!(bench.pay(), Reason::Paid);
    }
}

#[test]
fn an_instrument_has_one_access_and_enrolment_gives_it_with_the_instrument() {
    let bench = Bench::new();
    let caller = bench.admitted();
    let id = bench.customer.instrument;
    let second = bench.desk.ask_blocking(move |office| office.new_access(id)).unwrap().unwrap();
    assert!(matches!(bench.attempt(bench.access.number, &bench.access.passcode).0, Outcome::Refused));
    assert!(matches!(bench.act(Action::NewPin(caller)), Outcome::AccessEnded));
    assert!(matches!(bench.attempt(second.number, &second.passcode).0, Outcome::Admitted(_)));
    assert_eq!(VruAccess::all(&**bench.engine.reader(), &[]).unwrap().len(), 1);
    // An enrolment that fails leaves no access behind.
    let account = protocol::ids::AccountId(random());
    let other = InstrumentId::for_account(account, random());
    let order = Order::Enrol {
        id: other,
        account,
        label: "none".into(),
        limits: protocol::ledger::instrument::Limits::default(),
        code_hash: protocol::ids::Digest::ZERO,
        expires_at: Timestamp(u64::MAX),
    };
    assert!(bench.desk.ask_blocking(move |office| office.enrol(other, order)).unwrap().is_err());
    assert!(bench.desk.ask_blocking(move |office| office.access(other)).unwrap().is_err());
    assert_eq!(VruAccess::all(&**bench.engine.reader(), &[]).unwrap().len(), 1);
    assert!(bench.desk.ask_blocking(move |office| office.new_access(other)).unwrap().is_err());
}

const URL: &str = "https://vru.example.com";

struct Provider {
    key: WebhookKey,
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
}

impl Provider {
    fn new(bench: &Bench) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = tps::data_directory::DataDirectory::at(directory.path());
        std::fs::create_dir(data.keys()).unwrap();
        WebhookKey::make(&data).unwrap();
        let key = || WebhookKey::load(&data).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { key: key(), router: router(key(), format!("{URL}/"), Arc::clone(&bench.desk)), runtime }
    }

    fn send(&self, path: &str, body: &str, signature: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::post(path);
        if let Some(signature) = signature {
            request = request.header("X-Quittance-Signature", signature);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
        })
    }

    fn post(&self, path: &str, body: &str) -> (StatusCode, String) {
        let signature = self.key.sign(&format!("{URL}{path}"), body.as_bytes());
        self.send(path, body, Some(&signature))
    }

    /// The path of the next step.
    fn action(document: &str) -> String {
        let url = document.split("action=\"").nth(1).unwrap_or_else(|| panic!("{document}")).split('"').next().unwrap();
        url.strip_prefix(URL).unwrap().to_owned()
    }
}

// spec: K-110, K-111
#[test]
fn a_provider_carries_a_call_by_webhooks() {
    let mut bench = Bench::new();
    bench.pay();
    let provider = Provider::new(&bench);
    let (status, document) = provider.post("/vru", "CallSid=CA1&From=%2B15550100");
    assert_eq!(status, StatusCode::OK);
    assert!(
        document.contains("<Gather input=\"dtmf\" numDigits=\"10\"") && document.contains("<Say>Welcome"),
        "{document}"
    );
    let first = Provider::action(&document);
    let number = format!("CallSid=CA1&Digits={}", bench.access.number.expose());
    let (_, document) = provider.post(&first, &number);
    assert!(document.contains("numDigits=\"8\"") && document.contains("passcode"), "{document}");
    // What was captured is taken once.
    assert_eq!(provider.post(&first, &number).0, StatusCode::CONFLICT);
    let passcode = format!("CallSid=CA1&Digits={}", *bench.access.passcode.expose());
    let (_, document) = provider.post(&Provider::action(&document), &passcode);
    assert!(document.contains("press 1"), "{document}");
    let (_, document) = provider.post(&Provider::action(&document), "CallSid=CA1&Digits=2");
    assert!(document.contains("last transaction is 1.") && document.contains("0.999990 USD6"), "{document}");
    // Silence asks again; the second one ends.
    let (_, document) = provider.post(&Provider::action(&document), "CallSid=CA1&Digits=");
    let (_, document) = provider.post(&Provider::action(&document), "CallSid=CA1");
    assert!(
        document.contains("Goodbye") && document.contains("<Hangup/>") && !document.contains("Gather"),
        "{document}"
    );
    // A refusal is held back.
    let (_, document) = provider.post("/vru", "CallSid=CA2");
    let (_, document) =
        provider.post(&Provider::action(&document), &format!("CallSid=CA2&Digits={}", unknown().expose()));
    let asked = std::time::Instant::now();
    let (_, document) = provider.post(&Provider::action(&document), "CallSid=CA2&Digits=12345678");
    assert!(document.contains("not right") && asked.elapsed() >= Duration::from_millis(DELAY_FIRST_MS), "{document}");
    for path in ["/vru/step", "/vru/step?token="] {
        assert_eq!(provider.post(path, "CallSid=CA1&Digits=2").0, StatusCode::CONFLICT);
    }
}

#[test]
fn webhooks_are_signed_bounded_and_forgotten() {
    let bench = Bench::new();
    let provider = Provider::new(&bench);
    assert_eq!(provider.send("/vru", "CallSid=CA1", None).0, StatusCode::FORBIDDEN);
    let signature = provider.key.sign(&format!("{URL}/vru"), b"CallSid=CA1");
    assert_eq!(provider.send("/vru", "CallSid=CA2", Some(&signature)).0, StatusCode::FORBIDDEN);
    let (status, document) = provider.send("/vru", "CallSid=CA1", Some(&signature));
    assert_eq!(status, StatusCode::OK);
    assert_eq!(provider.send("/vru", "CallSid=CA1", Some(&signature)).0, StatusCode::CONFLICT, "such a call is open");
    let action = Provider::action(&document);
    for body in
        ["CallSid=CA1&Digits=12345678901234567890123456789012345", "CallSid=CA1&Digits=1%3C", "Digits=1", "CallSid=a-b"]
    {
        assert_eq!(provider.post(&action, body).0, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(provider.post(&action, "CallSid=CA9&Digits=1").0, StatusCode::CONFLICT, "another call's step");
    assert_eq!(provider.post("/vru/end", "CallSid=CA1").0, StatusCode::OK);
    assert_eq!(provider.post(&action, "CallSid=CA1&Digits=1").0, StatusCode::CONFLICT, "hung up");
    let opened =
        (0..300).filter(|call| provider.post("/vru", &format!("CallSid=C{call}")).1.contains("Gather")).count();
    assert_eq!(opened, 256);
    assert!(provider.post("/vru", "CallSid=more").1.contains("busy"));
}
