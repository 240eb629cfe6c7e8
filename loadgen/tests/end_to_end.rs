//! The real program against a real server with its ledger in memory: everything that a load does, in small.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::Duration;

use loadgen::file::LoadFile;
use loadgen::report::model::Report;
use tps::admin::client::AdminClient;
use tps::admin::{AdminRequest, AdminResponse};
use tps::config::Overrides;
use tps::operator::installation::InstallOptions;
use tps::serve::{ServeOptions, dev};

/// A server in this process; stopped when dropped.
struct Server {
    directory: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(shards: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let options =
            ServeOptions { overrides: Overrides { listen, ..Overrides::default() }, ..ServeOptions::default() };
        let install = InstallOptions { shards, ..InstallOptions::default() };
        let thread = std::thread::spawn(move || dev(Some(&data), &install, options, |_| {}).unwrap());
        let server = Self { directory, thread: Some(thread) };
        // The socket is bound when the server is ready; a server that failed ends its thread.
        while server.admin().is_none() {
            assert!(!server.thread.as_ref().unwrap().is_finished(), "the server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn admin(&self) -> Option<AdminClient> {
        AdminClient::connect(&self.data().join("admin.sock")).ok().flatten()
    }

    fn loadgen(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    /// Runs a command that must succeed.
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.loadgen(arguments);
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {told}");
        told
    }

    fn prepare(&self, more: &[&str]) {
        let data = self.data();
        let arguments = ["prepare", "--quiet", "--data", data.to_str().unwrap(), "--out", "load.bin"];
        self.succeeds(&[&arguments[..], more].concat());
    }

    fn report(&self, name: &str) -> Report {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut admin) = self.admin() {
            let _ = admin.call(&AdminRequest::Drain);
        }
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const MIX: &str = "wrong-pin=0.05,insufficient-funds=0.05,unknown-merchant=0.05,expired=0.05";

#[test]
fn a_run_measures_and_checks_everything() {
    let server = Server::start(3);
    server.prepare(&["--instruments", "600", "--mix", MIX]);
    let open = ["run", "load.bin", "--rate", "200", "--seconds", "1", "--warm-up", "0.2", "--duplicates", "0.2"];
    let small = ["--connections", "4", "--outstanding", "16", "--audit", "--json", "open.json", "--html", "open.html"];
    let told = server.succeeds(&[&open[..], &small].concat());
    // Long lines are wrapped.
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("passed") && words.contains("the audit found nothing"), "{told}");
    let result = server.report("open.json").result.unwrap();
    assert!(result.checks.passed && result.checks.books_compared && result.checks.accounts_compared > 0);
    assert_eq!(result.checks.proofs_verified, result.sent, "every answer was opened and its proof verified");
    assert!(result.repeats > 0 && result.checks.repeats_identical > 0);
    assert_eq!(result.outcomes.len(), 5, "every kind of outcome came: {:?}", result.outcomes);
    assert!((150..=300).contains(&result.sent), "about 240 are due: {}", result.sent);
    assert!(result.server.is_some_and(|server| server.cpu_us > 0));
    assert!(std::fs::read_to_string(server.path("open.html")).unwrap().contains("<svg"));

    // What is left of the file, as fast as possible, over two threads; then nothing is left.
    let closed = ["run", "load.bin", "--closed", "--threads", "2", "--connections", "4", "--warm-up", "0"];
    let told = server.succeeds(&[&closed[..], &["--json", "closed.json"]].concat());
    assert!(told.contains("passed"), "{told}");
    assert!(server.succeeds(&["compare", "open.json", "closed.json"]).contains("not asked for alike"));
    let spent = server.loadgen(&closed);
    assert!(
        !spent.status.success() && text(&spent.stderr).contains("loadgen prepare --out"),
        "{}",
        text(&spent.stderr)
    );

    // The same instruments, with the counts and modifiers that they have by now.
    server.prepare(&["--mix", "none"]);
    assert!(server.succeeds(&closed).contains("Paid 600"));
}

#[test]
fn requests_on_line_follow_each_other() {
    let server = Server::start(1);
    server.prepare(&["--instruments", "20", "--mix", MIX, "--per-account", "4"]);
    let online = ["run", "load.bin", "--rate", "300", "--seconds", "1.5", "--warm-up", "0.2", "--online", "1"];
    let told = server.succeeds(&[&online[..], &["--json", "online.json", "--connections", "2", "--audit"]].concat());
    assert!(told.contains("passed"), "{told}");
    let result = server.report("online.json").result.unwrap();
    assert!(result.paid > 200, "many payments of few instruments: {}", result.paid);
    let standings = LoadFile::open(&server.path("load.bin")).unwrap().standings().unwrap();
    assert!(standings.iter().all(|standing| standing.last_count > 2 && !standing.lost));
}

#[test]
fn money_that_came_from_elsewhere_fails_the_checks() {
    let server = Server::start(1);
    server.prepare(&["--instruments", "40", "--mix", "none"]);
    let world = LoadFile::open(&server.path("load.bin")).unwrap().header.world;
    let account = world.seed.account(0).to_string();
    let fund = AdminRequest::Fund { account, amount: "0.000001".to_owned(), deposit: None };
    assert!(matches!(server.admin().unwrap().call(&fund), Ok(AdminResponse::Funded { .. })));
    let run = ["run", "load.bin", "--closed", "--connections", "2", "--warm-up", "0", "--json", "run.json"];
    let output = server.loadgen(&run);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("the balance must be"), "{}", text(&output.stdout));
    let checks = server.report("run.json").result.unwrap().checks;
    assert!(!checks.passed && checks.problems.count == 1, "{checks:?}");
    assert!(LoadFile::open(&server.path("load.bin")).unwrap().standings().unwrap()[0].lost);
}

#[test]
fn a_search_finds_a_rate_and_tells_its_ladder() {
    let server = Server::start(1);
    server.prepare(&["--instruments", "3000", "--mix", "none"]);
    let search = ["search", "load.bin", "--from", "50", "--to", "400", "--p99-ms", "5000", "--errors", "0.01"];
    let more = ["--seconds", "0.5", "--warm-up", "0.1", "--json", "search.json", "--html", "search.html"];
    let told = server.succeeds(&[&search[..], &more].concat());
    assert!(told.contains("400 requests per second is the highest"), "{told}");
    let ladder = server.report("search.json").search.unwrap().ladder;
    assert_eq!(ladder.iter().map(|rung| rung.rate_per_s).collect::<Vec<_>>(), [50.0, 100.0, 200.0, 400.0]);
    assert!(std::fs::read_to_string(server.path("search.html")).unwrap().contains("Latency against offered load"));
}

#[test]
fn what_cannot_be_done_is_told_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).current_dir(&directory).output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    assert!(run(&["prepare", "--out", "new.bin"]).contains("--data"));
    assert!(run(&["prepare", "--out", "new.bin", "--data", "."]).contains("tps init"));
    assert!(!Path::new(&directory.path().join("new.bin")).exists());
    assert!(run(&["run", "none.bin"]).contains("none.bin"));
    assert!(run(&["run", "none.bin", "--rate", "fast"]).contains("requests per second, or max"));
    assert!(run(&["prepare", "--mix", "wrong-pin"]).contains("wrong-pin=0.01"));
}
