//! A reload that would fail leaves the server as it is; and what a start would fail on, `tps config check` finds.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::{Installation, Server, text};

fn configure(tps: &Installation, text: &str) {
    std::fs::write(tps.data.join("tps.toml"), text).unwrap();
}

fn wait_for(server: &Server, words: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !std::fs::read_to_string(&server.log).unwrap().contains(words) {
        assert!(Instant::now() < deadline, "no {words}: {}", std::fs::read_to_string(&server.log).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_reload_that_would_fail_leaves_the_server_as_it_is() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let account = tps.account();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (mistake, named) in [
        ("workerss = 2\n".to_owned(), "workerss"),
        (format!("vru_listen = \"{address}\"\n"), "vru_listen"),
        (format!("operations_listen = \"{address}\"\n"), "operations_listen"),
        ("vru_http_listen = \"127.0.0.1:0\"\nvru_http_url = \"https://a\"\n".to_owned(), "tps vru webhook-key"),
        ("[[settlement.fees]]\nasset = \"EUR2\"\n".to_owned(), "EUR2"),
    ] {
        configure(&tps, &mistake);
        let refused = tps.refused(&["reload"]);
        assert!(refused.contains(named), "{mistake}: {refused}");
    }
    // The system's signal asks nobody first.
    configure(&tps, "workerss = 2\n");
    server.signal(rustix::process::Signal::HUP);
    wait_for(&server, "does not reload");
    assert_eq!(tps.json(&["status"])["serving"], true);
    assert_eq!(tps.json(&["account", "show", &account])["account"], account.as_str());
    // The mistake is gone: now it does.
    configure(&tps, "workers = 2\n");
    server.signal(rustix::process::Signal::HUP);
    wait_for(&server, "everything is answered");
    let log = server.terminate();
    assert!(log.contains("workerss") && !log.contains("panicked"), "{log}");
}

#[test]
fn a_check_finds_what_a_start_would_fail_on() {
    let tps = Installation::new();
    for (mistake, named) in [
        ("vru_http_listen = \"127.0.0.1:0\"\nvru_http_url = \"https://a\"\n", "tps vru webhook-key"),
        ("[[settlement.fees]]\nasset = \"EUR2\"\n", "EUR2"),
    ] {
        configure(&tps, mistake);
        let started = tps.command(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
        assert!(!started.status.success());
        let checked = tps.refused(&["config", "check"]);
        assert!(checked.contains(named), "{mistake}: {checked}");
    }
    tps.json(&["vru", "webhook-key"]);
    configure(&tps, "vru_http_listen = \"127.0.0.1:0\"\nvru_http_url = \"https://a\"\n");
    tps.json(&["config", "check"]);
    tps.serve(&[]).terminate();
}

#[test]
fn payments_go_on_without_a_place_for_the_vru_and_the_operator_is_told() {
    let tps = Installation::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut command = tps.command(&["serve", "--listen", &format!("127.0.0.1:{}", port - 2)]);
    command.env("TPS_OPERATIONS_LISTEN", "off").env("TPS_DESK_LISTEN", "off");
    let server = Server::start(command, tps.path("server.log"));
    let warnings = || tps.json(&["status"])["warnings"].to_string();
    assert!(warnings().contains("the VRU takes no calls"), "{}", warnings());
    // Nobody is enrolled with a mailer that says nothing of where to call.
    let account = tps.account();
    let order = ["instrument", "enrol", &account, "--label", "a", "--bundle", "bundle", "--mailer", "sheet"];
    assert!(tps.refused(&order).contains("vru_public_address"));
    assert!(!tps.path("sheet").exists() && !tps.path("bundle").exists());
    assert_eq!(tps.json(&["instrument", "list"])["instruments"].as_array().unwrap().len(), 0);
    // Freed, it is taken.
    drop(taken);
    tps.json(&["reload"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    // A question in the middle of the reload may stay without an answer.
    while !text(&tps.run(&["--json", "status"]).stdout).contains("\"vru\"") {
        assert!(Instant::now() < deadline, "{}", warnings());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(warnings(), "[]");
    server.terminate();
}
