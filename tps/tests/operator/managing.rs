//! What a running server tells the service manager, and the unit that systemd starts it with.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Installation, Server, TPS, text};
#[cfg(feature = "crash-points")]
use crate::http::get;
#[cfg(feature = "crash-points")]
use crate::observing::{json, operations};
#[cfg(feature = "crash-points")]
use crate::paying::{Customer, Merchant};

/// A service manager's socket.
struct Manager {
    socket: UnixDatagram,
    _directory: tempfile::TempDir,
}

impl Manager {
    /// A manager, and a command that talks to it, with so many milliseconds for the watchdog.
    fn over(tps: &Installation, watchdog_ms: u64) -> (Self, Command) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut command = tps.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", (watchdog_ms * 1_000).to_string());
        command.env_remove("WATCHDOG_PID");
        (Self { socket, _directory: directory }, command)
    }

    /// The next message; `None` if none comes for so long.
    fn next(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut message = [0; 4_096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(text(&message[..length]))
    }

    /// Waits for a message with this line, past others.
    fn wait_for(&self, line: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(message) = self.next(Duration::from_secs(10))
                && message.lines().any(|found| found.starts_with(line))
            {
                return message;
            }
        }
        panic!("no {line}")
    }

    /// Waits until it is not told any more that the server lives.
    #[cfg(feature = "crash-points")]
    fn wait_for_silence(&self) {
        let (begun, mut last) = (Instant::now(), Instant::now());
        while last.elapsed() < Duration::from_secs(4) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the watchdog is fed for ever");
            if let Some(message) = self.next(Duration::from_millis(500)) {
                assert!(message.starts_with("WATCHDOG=1"), "{message}");
                last = Instant::now();
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_everything() {
    let tps = Installation::new();
    let (manager, command) = Manager::over(&tps, 600_000);
    let server = Server::start(command, tps.path("manager.log"));
    let first = manager.next(Duration::from_secs(10)).unwrap();
    let lines: Vec<&str> = first.lines().collect();
    if lines != ["WATCHDOG=1"] {
        assert_eq!(lines[0], "READY=1", "{first}");
    }
    for _ in 0..2 {
        manager.wait_for("WATCHDOG=1");
    }
    tps.json(&["reload"]);
    let reloading = manager.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC=") && reloading.contains("WATCHDOG_USEC=1800000000"), "{reloading}");
    let ready = manager.wait_for("READY=1");
    assert!(
        ready.contains("STATUS=Serving payments on 127.0.0.1:") && ready.contains("WATCHDOG_USEC=600000000"),
        "{ready}"
    );
    manager.wait_for("WATCHDOG=1");
    server.signal(rustix::process::Signal::TERM);
    manager.wait_for("STOPPING=1");
    server.terminate();
}

#[cfg(feature = "crash-points")]
#[test]
fn a_pipeline_that_stands_still_stops_the_watchdog() {
    let tps = Installation::new();
    let (manager, mut command) = Manager::over(&tps, 1_500);
    command.env("TPS_STALL_AT", "committed");
    let server = Server::start(command, tps.path("stall.log"));
    let address = operations(&tps);
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");
    assert_eq!(get(address, "/live").0, 200);
    // The committer stands still with this order in its hands, as over a disk that does not answer.
    let mut order = tps.command(&["account", "open"]).spawn().unwrap();
    manager.wait_for_silence();
    // The control thread still answers, and says so.
    let (status, live) = json(address, "/live");
    assert_eq!((status, &live["live"]), (503, &false.into()), "{live}");
    let (status, ready) = json(address, "/ready");
    assert_eq!((status, &ready["reasons"][0]["reason"]), (503, &"stuck".into()));
    drop(server);
    assert!(!order.wait().unwrap().success(), "nobody was told that the account is open");
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_pass_stops_the_watchdog_though_orders_do() {
    let tps = Installation::new();
    let (manager, mut command) = Manager::over(&tps, 1_500);
    // The worker stands still with the first payment in its hands.
    command.env("TPS_STALL_AT", "proved");
    let server = Server::start(command, tps.path("stall.log"));
    let address = operations(&tps);
    let merchant = Merchant::certified(&tps);
    let customer = Customer::enrolled(&tps, &server, "laptop").await;
    manager.wait_for("WATCHDOG=1");
    assert_eq!(get(address, "/live").0, 200);
    let offer = customer.check(&merchant).unwrap();
    let paying = tokio::spawn(async move { customer.wallet.pay(&offer).await.is_ok() });
    manager.wait_for_silence();
    let (status, live) = json(address, "/live");
    assert_eq!((status, &live["live"]), (503, &false.into()), "{live}");
    tps.json(&["account", "open"]);
    drop(server);
    paying.abort();
}

#[test]
fn the_unit_starts_what_there_is() {
    let unit =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/quittance-tps.service")).unwrap();
    let commands: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.split_once("=/usr/local/bin/tps "))
        .map(|(_, arguments)| arguments)
        .collect();
    assert_eq!(commands, ["serve"]);
    for command in commands {
        let mut program = Command::new(TPS);
        program.args(command.split(' ')).arg("--help");
        assert!(program.output().unwrap().status.success(), "{command}");
    }
    for line in [
        "Type=notify",
        "WatchdogSec=30",
        "StateDirectory=quittance-tps",
        "Environment=TPS_DATA=/var/lib/quittance-tps",
        "#LoadCredential=tps-key:/etc/quittance-tps/tps.key",
        // The filter forbids what changes priorities, but for what the thread of the jobs does.
        "SystemCallFilter=~@privileged @resources",
        "SystemCallFilter=setpriority",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}
