//! Servers: one at a time, running or stopped, ending in order, with new keys.

use std::process::Command;

use protocol::codec::Canonical;
use protocol::enrolment::EnrolmentBundle;
use protocol::time::Timestamp;
use serde_json::Value;
use tps::pipeline::clock::wall_clock;

use crate::harness::{Installation, Server, TPS, id, mode, text};

#[test]
fn one_process_at_a_time_has_the_ledger() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    assert!(tps.refused(&["serve", "--listen", "127.0.0.1:0"]).contains("in use by another process"));
    assert_eq!(mode(&tps.data.join("admin.sock")), 0o600);
    // The database is locked, but nobody answers.
    std::fs::rename(tps.data.join("admin.sock"), tps.path("moved.sock")).unwrap();
    let message = tps.refused(&["account", "list"]);
    assert!(message.contains("no server answers") && message.contains("admin.sock"), "{message}");
    drop(server);

    // A server that was killed leaves its socket behind: it is in nobody's way.
    let server = tps.serve(&[]);
    drop(server);
    assert!(tps.data.join("admin.sock").exists());
    tps.account();
    assert!(tps.refused(&["drain"]).contains("no server runs"));
    let server = tps.serve(&[]);
    assert!(tps.json(&["status"])["serving"].as_bool().unwrap());
    server.terminate();
}

#[test]
fn commands_answer_alike_with_the_server_running_and_stopped() {
    let tps = Installation::with(&["--shards", "3"]);
    let accounts: Vec<String> = (0..4).map(|_| tps.account()).collect();
    let (instrument, _) = tps.enrol(&accounts[0], "one");
    let server = tps.serve(&[]);
    tps.enrol(&accounts[0], "two");
    tps.json(&["account", "fund", &accounts[1], "0.000001"]);
    tps.json(&["account", "hold", &accounts[2]]);
    let request = tps.request("Elm", 1);
    let merchant = id(&tps.json(&["merchant", "register", "Elm.request"]), "merchant");
    let until = "2099-12-31";
    let beginning = &instrument[..12];
    let limit = ["instrument", "limit", beginning, "--per-payment", "0.5", "--per-period", "2.5", "--period", "1d"];
    tps.json(&[&limit[..], &["--merchant", &merchant, "--expires", until]].concat());
    let questions: [&[&str]; 7] = [
        &["account", "list"],
        &["account", "show", &accounts[0]],
        &["instrument", "list"],
        &["instrument", "list", "--account", &accounts[0]],
        &["instrument", "show", &instrument],
        &["merchant", "list"],
        &["merchant", "show", &merchant],
    ];
    let answers: Vec<Value> = questions.iter().map(|question| tps.json(question)).collect();
    let texts: Vec<String> = questions.iter().map(|question| text(&tps.run(question).stdout)).collect();
    let sums = tps.json(&["status"])["sums"].clone();
    server.terminate();
    for ((question, answer), shown) in questions.iter().zip(&answers).zip(&texts) {
        assert_eq!(tps.json(question), *answer, "{question:?}");
        assert_eq!(text(&tps.run(question).stdout), *shown, "{question:?}");
    }
    assert_eq!(tps.json(&["status"])["sums"], sums);
    assert_eq!((&sums[0]["customers"]["decimal"], &sums[0]["total"]["units"]), (&"40.000001".into(), &"0".into()));
    let limits = &answers[4]["limits"];
    assert_eq!((&limits["per_payment"]["decimal"], &limits["period_ms"]), (&"0.500000".into(), &86_400_000.into()));
    let expires = Timestamp(limits["expires_at_ms"].as_u64().unwrap());
    assert_eq!(expires.to_string(), format!("{until} 23:59:59.999 UTC"));
    assert_eq!(answers[6]["fingerprint"], request.fingerprint());
    assert!(texts[0].contains("held") && texts[0].contains("10.000001 USD6"), "{}", texts[0]);
    let none = tps.json(&["instrument", "limit", &instrument, "--none"]);
    assert_eq!((&none["limits"]["per_payment"], &none["limits"]["expires_at_ms"]), (&Value::Null, &Value::Null));

    // The same deposit is credited once, whether a server runs or not; another amount under its name is refused.
    let again = tps.json(&["account", "fund", &accounts[1], "10", "--deposit", "first"]);
    assert_eq!((&again["already_applied"], &again["balance"]["decimal"]), (&true.into(), &"10.000001".into()));
    let server = tps.serve(&[]);
    assert!(tps.refused(&["account", "fund", &accounts[1], "11", "--deposit", "first"]).contains("another name"));
    for (order, held) in [("hold", true), ("release", false)] {
        assert_eq!(tps.json(&["instrument", order, &instrument])["held"], held);
        assert_eq!(tps.json(&["account", order, &accounts[0]])["held"], held);
    }
    assert_eq!(tps.json(&["instrument", "revoke", &instrument])["stage"], "revoked");
    assert!(tps.refused(&["instrument", "release", &instrument]).contains("was revoked"));
    server.terminate();
    assert!(tps.run(&["audit", "--proofs"]).status.success());
}

#[test]
fn a_server_ends_in_order_and_takes_new_keys_on_the_same_port() {
    let tps = Installation::new();
    let account = tps.account();
    let mut server = tps.serve(&[]);
    let (_, before) = tps.enrol(&account, "before");
    tps.json(&["key", "rotate", "session"]);
    // While the server takes its keys anew, commands either wait for it or find the ledger free.
    for _ in 0..5 {
        assert_eq!(tps.json(&["status"])["key_set_number"], 2);
    }
    let serving = (0..50).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let status = tps.json(&["status"]);
        status["listen"].as_str().is_some_and(|listen| listen.ends_with(&format!(":{}", server.port())))
    });
    assert!(serving, "the same port again");
    let (_, after) = tps.enrol(&account, "after");
    let key = |bundle: &EnrolmentBundle| bundle.open(wall_clock()).unwrap().session_key(wall_clock()).unwrap().id;
    assert_ne!(key(&before), key(&after));
    tps.json(&["drain"]);
    assert!(server.child.wait().unwrap().success());
    assert!(!tps.data.join("admin.sock").exists());
    assert!(std::fs::read_to_string(&server.log).unwrap().contains("everything is answered and closed"));
    let server = tps.serve(&[]);
    server.signal(rustix::process::Signal::INT);
    assert!(server.terminate().contains("everything is answered and closed"));
}

#[test]
fn keys_are_rotated_by_the_root_alone() {
    let tps = Installation::new();
    std::fs::rename(tps.data.join("keys/root.toml"), tps.path("root.toml")).unwrap();
    assert!(tps.refused(&["key", "rotate", "proof"]).contains("--root FILE"));
    let other = Installation::new();
    let other_root = other.data.join("keys/root.toml");
    assert!(tps.refused(&["key", "reissue", "--root", other_root.to_str().unwrap()]).contains("another TPS"));
    let listed = tps.json(&["key", "list"]);
    assert_eq!((&listed["root_key_here"], listed["keys"].as_array().unwrap().len()), (&false.into(), 5));
    let proof = id(&listed["keys"][0], "key");
    let only = tps.refused(&["key", "revoke", &proof, "--root", "root.toml"]);
    assert!(only.contains("the only usable proof key"), "{only}");
    let rotated = tps.json(&["key", "rotate", "proof", "--at-once", "--root", "root.toml"]);
    assert_eq!(rotated["key_set"]["number"], 2);
    tps.json(&["key", "revoke", &proof, "--root", "root.toml"]);
    tps.json(&["key", "rotate", "certificate", "--root", "root.toml"]);
    let listed = tps.json(&["key", "list"]);
    let stages: Vec<String> =
        listed["keys"].as_array().unwrap().iter().map(|key| id(key, "role") + " " + &id(key, "stage")).collect();
    let expected = [
        "proof revoked",
        "proof current",
        "certificate current",
        "certificate next",
        "session current",
        "desk current",
        "notary current",
    ];
    assert_eq!(stages, expected);
    tps.serve(&[]).terminate();
}

#[test]
fn a_throw_away_server_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("dev");
    let mut command = Command::new(TPS);
    command.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    let server = Server::start(command, directory.path().join("dev.log"));
    let dev = Installation { directory: tempfile::tempdir().unwrap(), data: data.clone() };
    let account = dev.account();
    let listen = format!("127.0.0.1:{}", server.port());
    let enrolled = dev.json(&["instrument", "enrol", &account, "--label", "agent", "--bundle", "b"]);
    let bundle = EnrolmentBundle::decode(&std::fs::read(dev.path("b")).unwrap()).unwrap();
    assert_eq!((bundle.processors, bundle.instrument.to_string()), (vec![listen], id(&enrolled, "instrument")));
    assert!(dev.run(&["audit", "--proofs"]).status.success());
    assert!(dev.refused(&["reload"]).contains("in memory"));
    server.terminate();
    assert!(!data.exists());
}
