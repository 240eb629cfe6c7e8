//! The real server as a process, over RocksDB: killed at every named point, traced, started again.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::quic::exchange;
use common::{MERCHANT, random};
use protocol::certificate::CertificateRequest;
use protocol::codec::{Canonical, Fixed};
use protocol::enrolment::{ActivationAnswer, EnrolmentBundle, activate};
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::ids::*;
use protocol::money::Amount;
use protocol::pin::{Modifier, ModifierPart, Pin};
use protocol::request::{Content, InstrumentKeys, PaymentKind, ProcessorKey, SealedRequest, seal};
use protocol::response::{OpenedResponse, Reason, open};
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use rustls::pki_types::CertificateDer;
use tps::admin::client::AdminClient;
use tps::admin::{AdminRequest, AdminResponse, LimitsText};
use tps::pipeline::clock::wall_clock;
use zeroize::Zeroizing;

const TPS: &str = env!("CARGO_BIN_EXE_tps");

/// A data directory with a server that can be started, stopped and killed.
struct Installation {
    _directory: tempfile::TempDir,
    data: PathBuf,
}

struct Running {
    child: Child,
    address: SocketAddr,
}

impl Installation {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let made = Command::new(TPS).arg("init").arg(&data).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { _directory: directory, data }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(TPS);
        command.arg("serve").arg("--data").arg(&self.data).args(["--listen", "127.0.0.1:0"]);
        command
    }

    fn start(&self, mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("tps: ready on ").map(str::to_owned));
        let address = ready.expect("the server says when it is ready").parse().unwrap();
        Running { child, address }
    }

    fn admin(&self) -> AdminClient {
        AdminClient::connect(&self.data.join("admin.sock")).unwrap().expect("a running server")
    }

    /// Where the server answers operators' programs.
    fn operations(&self) -> SocketAddr {
        let AdminResponse::Status(status) = self.admin().call(&AdminRequest::Status).unwrap() else {
            panic!("another answer")
        };
        status.listeners.iter().find(|listener| listener.name == "operations").unwrap().address
    }

    fn balance(&self, account: &str) -> i128 {
        let AdminResponse::Account(view) =
            self.admin().call(&AdminRequest::ShowAccount { account: account.into() }).unwrap()
        else {
            panic!("another answer")
        };
        view.balance.units.parse().unwrap()
    }

    fn audit(&self) {
        let audit = Command::new(TPS).arg("audit").arg("--data").arg(&self.data).arg("--proofs").output().unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }
}

impl Running {
    fn terminate(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)
            .unwrap();
        assert!(self.child.wait().unwrap().success(), "a drained server ends well");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A customer over the wire.
struct Wallet {
    account: String,
    keys: InstrumentKeys,
    pin: Pin,
    count: u64,
    modifier: Modifier,
    merchant: MerchantId,
    processor: ProcessorKey,
    certificate: CertificateDer<'static>,
}

impl Wallet {
    /// Everything a payment needs, through the operator's socket and over QUIC.
    fn enrol(installation: &Installation, address: SocketAddr) -> Self {
        let mut admin = installation.admin();
        let desk = SigningKey::from_seed(random());
        let session = AgreementSecret::from_random(random()).public();
        let request = hex::encode(CertificateRequest::new("Shop".to_owned(), session, &desk).unwrap().encode());
        let AdminResponse::Merchant(merchant) = admin.call(&AdminRequest::RegisterMerchant { request }).unwrap() else {
            panic!("another answer")
        };
        let id = merchant.merchant.to_string();
        admin.call(&AdminRequest::Approve { merchant: id, valid_days: 1, fingerprint: None }).unwrap();
        let open_account = AdminRequest::OpenAccount { asset: None, reference: String::new() };
        let AdminResponse::Account(account) = admin.call(&open_account).unwrap() else { panic!("another answer") };
        let account = account.account.to_string();
        admin.call(&AdminRequest::Fund { account: account.clone(), amount: "0.001".into(), deposit: None }).unwrap();
        let enrol = AdminRequest::Enrol {
            account: account.clone(),
            label: "test".into(),
            limits: LimitsText::default(),
            valid_ms: 600_000,
            addresses: vec![address.to_string()],
            mailer: false,
        };
        let AdminResponse::Enrolled { bundle, .. } = admin.call(&enrol).unwrap() else { panic!("another answer") };
        let bundle = EnrolmentBundle::decode(&hex::decode(bundle.expose()).unwrap()).unwrap();
        let instrument = bundle.instrument;
        let processor = bundle.open(wall_clock()).unwrap().session_key(wall_clock()).unwrap();
        let certificate = CertificateDer::from(bundle.server_certificate.clone());
        let (signing, device) = (SigningKey::from_seed(random()), random());
        let ephemeral = AgreementSecret::from_random(random());
        let code = &bundle.activation_code;
        let (activation, session) =
            activate(bundle.realm, instrument, code, &signing, &device, &processor, ephemeral).unwrap();
        let answer =
            send_within(address, &certificate, &activation.encode(), Duration::from_secs(10)).expect("an answer");
        ActivationAnswer::decode(&answer).unwrap().open(&activation, &session).unwrap();
        let new_pin = AdminRequest::NewPin { instrument: instrument.to_string(), digits: 6 };
        let AdminResponse::Pin { pin, .. } = admin.call(&new_pin).unwrap() else { panic!("another answer") };
        let keys = InstrumentKeys { instrument, signing: Some(signing), device: Zeroizing::new(device) };
        let pin = Pin::parse(pin.expose()).unwrap();
        Self {
            account,
            keys,
            pin,
            count: 1,
            modifier: Modifier(0),
            merchant: merchant.merchant,
            processor,
            certificate,
        }
    }

    fn content(&self, units: u64) -> Content {
        Content {
            merchant: self.merchant,
            number: TransactionNumber(random()),
            amount: Amount::new(units).unwrap(),
            asset: protocol::money::Asset::USD6,
            quote_digest: QuoteDigest(random()),
            valid_until: wall_clock().plus(600_000),
            kind: PaymentKind::PLAIN,
            terms: TermsDigest::ZERO,
            customer_part: ModifierPart(u64::from_le_bytes(random())),
        }
    }

    fn request(&self, content: &Content) -> SealedRequest {
        let ephemeral = AgreementSecret::from_random(random());
        seal(content, self.count, &self.keys, self.pin.modified(self.modifier), &self.processor, ephemeral).unwrap()
    }

    fn ask(&self, address: SocketAddr, content: &Content) -> Option<OpenedResponse> {
        self.ask_within(address, content, Duration::from_secs(10))
    }

    fn ask_within(&self, address: SocketAddr, content: &Content, patience: Duration) -> Option<OpenedResponse> {
        let request = self.request(content);
        let response = send_within(address, &self.certificate, &request.bytes, patience)?;
        Some(open(&response, &request.hash, &request.session).expect("a sealed answer"))
    }

    fn take(&mut self, content: &Content, opened: &OpenedResponse) {
        let told = opened.answer.authenticated.expect("consumed");
        self.count += 1;
        self.modifier = self.modifier.advanced(content.customer_part, told.processor_part);
    }
}

fn send_within(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    message: &[u8],
    patience: Duration,
) -> Option<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(exchange(address, certificate.clone(), message, patience))
}

// spec: K-61, K-62
#[cfg(feature = "crash-points")]
#[test]
fn killed_at_every_named_point_nothing_is_lost_or_paid_twice() {
    let installation = Installation::new();
    let running = installation.start(installation.command());
    let mut wallet = Wallet::enrol(&installation, running.address);
    running.terminate();
    let mut left = 1_000;
    for point in tps::pipeline::crash_point::CrashPoint::ALL {
        for units in [10, 5_000] {
            let mut command = installation.command();
            command.env("TPS_CRASH_AT", point.name());
            let mut running = installation.start(command);
            let content = wallet.content(units);
            // A server that is gone says nothing; an answer that comes is checked, one that comes late is as if lost.
            let early = wallet.ask_within(running.address, &content, Duration::from_millis(1_500));
            let ended = running.child.wait().unwrap();
            assert!(!ended.success(), "{point:?}: the process was ended at its point");

            let running = installation.start(installation.command());
            let opened = wallet.ask(running.address, &content).expect("an answer");
            assert!(early.is_none_or(|early| early == opened), "{point:?}: what was told stays true");
            let again = wallet.ask(running.address, &content).expect("an answer");
            assert_eq!(again, opened, "{point:?}");
            wallet.take(&content, &opened);
            if units == 10 {
                assert_eq!(opened.answer.reason, Reason::Paid);
                left -= 10;
            } else {
                assert_eq!(opened.answer.reason, Reason::InsufficientFunds);
            }
            assert_eq!(installation.balance(&wallet.account), left, "{point:?}: debited once");
            running.kill();
        }
    }
    installation.audit();
}

#[test]
fn killed_without_warning_between_payments_the_server_continues_where_it_was() {
    let installation = Installation::new();
    let mut running = installation.start(installation.command());
    let mut wallet = Wallet::enrol(&installation, running.address);
    for round in 1..=5 {
        let content = wallet.content(7);
        let opened = wallet.ask(running.address, &content).expect("an answer");
        assert_eq!(opened.answer.reason, Reason::Paid);
        running.kill();
        running = installation.start(installation.command());
        assert_eq!(wallet.ask(running.address, &content).expect("an answer"), opened);
        wallet.take(&content, &opened);
        assert_eq!(installation.balance(&wallet.account), 1_000 - 7 * round);
    }
    running.terminate();
    installation.audit();
}

fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Times at which a sync of the write-ahead log began and ended, from a trace.
fn syncs(trace: &Path) -> Vec<(f64, f64)> {
    let text = std::fs::read_to_string(trace).unwrap();
    text.lines()
        .filter(|line| line.contains("fdatasync(") && line.contains(".log>"))
        .filter_map(|line| {
            // `PID SECONDS fdatasync(FD<PATH>) = 0 (DELAYED) <DURATION>`: complete lines only, as written without -f merging.
            let begin: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
            let duration: f64 = line.rsplit_once('<')?.1.strip_suffix('>')?.parse().ok()?;
            Some((begin, begin + duration))
        })
        .collect()
}

// spec: K-62
#[test]
fn the_answer_leaves_after_the_sync() {
    let installation = Installation::new();
    let trace = installation.data.join("trace");
    let mut command = Command::new("strace");
    // Every sync of data takes 300 ms longer: an answer that does not wait for it is far too early.
    command.args(["-f", "-y", "-ttt", "-T", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=300000"]);
    command.arg("-o").arg(&trace).arg(TPS).arg("serve").arg("--data").arg(&installation.data);
    command.args(["--listen", "127.0.0.1:0"]);
    let running = installation.start(command);
    let mut wallet = Wallet::enrol(&installation, running.address);
    let mut told = Vec::new();
    for units in [5, 5_000] {
        let content = wallet.content(units);
        let asked = seconds_now();
        let opened = wallet.ask(running.address, &content).expect("an answer");
        told.push((asked, seconds_now()));
        wallet.take(&content, &opened);
    }
    // The tracer passes the end of its child on.
    let server = server_pid(&installation);
    rustix::process::kill_process(server, rustix::process::Signal::TERM).unwrap();
    let mut running = running;
    running.child.wait().unwrap();
    let syncs = syncs(&trace);
    for (asked, answered) in told {
        let between = syncs.iter().any(|(begin, end)| asked < *begin && *end < answered);
        assert!(between, "no sync between {asked} and {answered}: {syncs:?}");
        assert!(answered - asked > 0.3, "the answer did not wait for the delayed sync");
    }
}

fn server_pid(installation: &Installation) -> rustix::process::Pid {
    let stream = std::os::unix::net::UnixStream::connect(installation.data.join("admin.sock")).unwrap();
    rustix::net::sockopt::socket_peercred(&stream).unwrap().pid
}

#[test]
fn with_too_little_disk_space_new_payments_are_refused_and_nothing_is_half_done() {
    let installation = Installation::new();
    let running = installation.start(installation.command());
    let mut wallet = Wallet::enrol(&installation, running.address);
    running.terminate();
    let mut command = installation.command();
    command.env("TPS_DISK_LOW_BYTES", u64::MAX.to_string());
    let running = installation.start(command);
    let content = wallet.content(10);
    let refused =
        send_within(running.address, &wallet.certificate, &wallet.request(&content).bytes, Duration::from_secs(10));
    let error = ErrorMessage::decode(&refused.expect("an answer")).unwrap();
    assert_eq!(error.code(), ErrorCode::DiskLow);
    running.terminate();
    let running = installation.start(installation.command());
    let opened = wallet.ask(running.address, &content).expect("an answer");
    wallet.take(&content, &opened);
    assert_eq!(opened.answer.reason, Reason::Paid, "the same payment goes through once there is space");
    assert_eq!(installation.balance(&wallet.account), 990);
    running.terminate();
}

#[test]
fn a_merchant_unknown_to_the_server_is_denied_over_the_wire() {
    let installation = Installation::new();
    let running = installation.start(installation.command());
    let wallet = Wallet::enrol(&installation, running.address);
    let mut content = wallet.content(1);
    content.merchant = MERCHANT;
    let opened = wallet.ask(running.address, &content).expect("an answer");
    assert_eq!(opened.answer.reason, Reason::MerchantUnknown);
    running.terminate();
}

#[test]
fn what_was_paid_denied_and_refused_is_counted() {
    let installation = Installation::new();
    let running = installation.start(installation.command());
    let mut wallet = Wallet::enrol(&installation, running.address);
    for units in [10, 5_000] {
        let content = wallet.content(units);
        let opened = wallet.ask(running.address, &content).expect("an answer");
        assert_eq!(wallet.ask(running.address, &content).expect("an answer"), opened);
        wallet.take(&content, &opened);
    }
    let mut garbage = wallet.request(&wallet.content(1)).bytes;
    *garbage.last_mut().unwrap() ^= 1;
    for (message, code) in [(&garbage[..], ErrorCode::DoesNotOpen), (&garbage[..9], ErrorCode::Malformed)] {
        let refused = send_within(running.address, &wallet.certificate, message, Duration::from_secs(10));
        assert_eq!(ErrorMessage::decode(&refused.expect("an answer")).unwrap().code(), code);
    }
    let page = http::get(installation.operations(), "/metrics").1;
    for (sample, expected) in [
        ("answers_total{reason=\"paid\"}", 1.0),
        ("answers_total{reason=\"insufficient-funds\"}", 1.0),
        ("answers_total{reason=\"held\"}", 0.0),
        ("answers_repeated_total", 2.0),
        ("refusals_total{code=\"does-not-open\"}", 1.0),
        ("refusals_total{code=\"malformed\"}", 1.0),
        ("refusals_total{code=\"overloaded\"}", 0.0),
        ("stage_requests_total{stage=\"open\"}", 5.0),
        ("stage_requests_total{stage=\"reveal\"}", 4.0),
        ("batch_requests_count", 5.0),
        ("batch_requests_sum", 5.0),
        ("durable_seconds_count", 4.0),
    ] {
        assert_eq!(http::sample(&page, &format!("quittance_tps_{sample}")), expected, "{sample}");
    }
    let sample = |name: &str| http::sample(&page, &format!("quittance_tps_{name}"));
    assert_eq!(sample("commits_total"), sample("sync_seconds_count"));
    assert!(sample("durable_seconds_sum") > 0.0 && sample("durable_seconds_sum") < 60.0);
    assert!(sample("durable_seconds_bucket{le=\"+Inf\"}") == 4.0);
    // One connection to activate, four to pay, two for garbage.
    assert_eq!(sample("connections_accepted_total"), 7.0);
    assert!(sample("stage_processor_seconds_total{stage=\"verify\"}") > 0.0);
    running.terminate();
}

#[cfg(feature = "crash-points")]
#[test]
fn a_server_that_drains_says_that_it_is_not_ready() {
    let installation = Installation::new();
    let running = installation.start(installation.command());
    let wallet = Wallet::enrol(&installation, running.address);
    running.terminate();
    let mut command = installation.command();
    command.env("TPS_STALL_AT", "proved");
    let running = installation.start(command);
    let operations = installation.operations();
    assert_eq!(http::get(operations, "/ready").0, 200);
    // A payment that is never answered holds the server up for ten seconds.
    let content = wallet.content(1);
    assert!(wallet.ask_within(running.address, &content, Duration::from_secs(1)).is_none());
    rustix::process::kill_process(rustix::process::Pid::from_child(&running.child), rustix::process::Signal::TERM)
        .unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    let body = loop {
        let (status, body) = http::get(operations, "/ready");
        if status == 503 {
            break body;
        }
        assert!(std::time::Instant::now() < deadline, "{body}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(body.contains("\"draining\""), "{body}");
    assert!(http::get(operations, "/metrics").1.contains("quittance_tps_intake{state=\"draining\"} 1"));
    running.kill();
}
