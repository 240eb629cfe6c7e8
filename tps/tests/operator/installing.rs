//! Installing, and who may come near the secrets.

use std::path::PathBuf;
use std::process::Command;

use protocol::ledger::account::Account;
use serde_json::Value;
use tps::store::Store;
use tps::store::records::{EnrolmentRecord, PaymentRecord};
use tps::store::rocksdb::RocksStore;

use crate::harness::{Installation, TPS, files, id, mode, set_mode, text};

#[test]
fn a_directory_is_initialised_once() {
    let tps = Installation::new();
    let before = std::fs::read(tps.data.join("realm.toml")).unwrap();
    let again = tps.refused(&["init"]);
    assert!(again.contains("already holds a TPS"), "{again}");
    assert_eq!(std::fs::read(tps.data.join("realm.toml")).unwrap(), before);
    let database = tps.data.join("ledger/rocksdb");
    assert!(files(&tps.data).iter().all(|path| path.starts_with(&database) || mode(path) == 0o600));

    std::fs::create_dir(tps.path("other")).unwrap();
    std::fs::write(tps.path("other/letter"), "dear").unwrap();
    assert!(tps.refused(&["init", "other"]).contains("not empty"));
    std::fs::create_dir(tps.path("empty")).unwrap();
    assert!(tps.run(&["init", "empty", "--asset", "EUR2:2", "--asset", "USD6:6"]).status.success());
    assert_eq!(mode(&tps.path("empty")), 0o700);
    let account =
        Command::new(TPS).args(["account", "open", "--json", "--data"]).arg(tps.path("empty")).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&account.stdout).unwrap()["balance"]["decimal"], "0.00");
    // Nothing is left of what was refused.
    let left: Vec<_> =
        std::fs::read_dir(tps.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

// spec: K-65
#[test]
fn keys_that_others_can_read_are_refused_and_never_logged() {
    let tps = Installation::new();
    let keys = files(&tps.data.join("keys"));
    assert_eq!(keys.len(), 8, "the root, five keys and two files for TLS");
    for path in keys.iter().chain([&tps.data.join("keys"), &tps.data]) {
        let closed = mode(path);
        for open in [closed | 0o040, closed | 0o004] {
            set_mode(path, open);
            let message = tps.refused(&["serve", "--listen", "127.0.0.1:0"]);
            assert!(message.contains(&format!("chmod {closed:o} {}", path.display())), "{message}");
        }
        set_mode(path, closed);
    }
    let server = tps.serve(&["--log-level", "trace"]);
    let account = tps.account();
    let (instrument, _) = tps.enrol(&account, "laptop");
    tps.json(&["instrument", "new-pin", &instrument]);
    let log = server.terminate();
    assert!(log.contains("serving"), "{log}");
    let key_files: Vec<&PathBuf> =
        keys.iter().filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert_eq!(key_files.len(), 6);
    for path in key_files {
        let file: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        assert!(!log.contains(file["seed"].as_str().unwrap()));
    }
}

// spec: K-04
#[test]
fn nothing_in_the_ledger_says_who_a_customer_is() {
    let tps = Installation::new();
    for personal in ["Jane Doe", "jane@example.com", "4111 1111 1111 1111", "12 Elm Street, Oakville"] {
        assert!(tps.refused(&["account", "open", "--reference", personal]).contains("stay at the funding agency"));
    }
    let account = tps.account();
    tps.enrol(&account, "laptop");
    let store = RocksStore::open(&tps.data.join("ledger")).unwrap();
    let snapshot = store.reader().snapshot().unwrap();
    assert_eq!((snapshot.accounts.len(), snapshot.enrolments.len()), (1, 1));
    for record in snapshot.accounts {
        // Every field by name: a further one does not compile until somebody has thought about this test.
        let Account { id, asset: _, balance: _, held: _ } = record;
        assert_eq!(store.reader().reference(id).unwrap(), "agency/17", "an opaque reference is all there is");
    }
    for record in snapshot.enrolments {
        let EnrolmentRecord {
            id: _,
            account: _,
            label,
            activation: _,
            holds: _,
            revoked: _,
            limits: _,
            enrolled_at: _,
        } = record;
        assert_eq!(label, "laptop", "the operator's name for the instrument, not for a person");
    }
    let mut told = Vec::new();
    store.reader().for_each_journal(&mut |record| told.push(record.what.clone())).unwrap();
    assert!(told.iter().all(|what| !what.contains("agency") && !what.contains("laptop")), "{told:?}");
    let _: fn(PaymentRecord) = |record| {
        let PaymentRecord {
            instrument: _,
            count: _,
            reason: _,
            balance: _,
            customer_part: _,
            processor_part: _,
            payment: _,
            merchant: _,
            number: _,
            amount: _,
            asset: _,
            quote_digest: _,
            kind: _,
            terms: _,
            opening: _,
            other_commitment: _,
            valid_until: _,
            session_key: _,
            route: _,
            ephemeral: _,
            signature: _,
        } = record;
    };
}

#[test]
fn a_pin_is_told_once_and_kept_nowhere() {
    let tps = Installation::new();
    let account = tps.account();
    let (instrument, _) = tps.enrol(&account, "laptop");
    assert_eq!(tps.json(&["instrument", "show", &instrument])["pin"], "none");
    let server = tps.serve(&["--log-level", "trace", "--log-format", "json"]);
    // Twelve digits are not found by chance.
    let quiet = tps.run(&["instrument", "new-pin", &instrument, "--digits", "12", "--quiet"]);
    let first = text(&quiet.stdout).trim_end().to_owned();
    assert!(first.len() == 12 && first.bytes().all(|byte| byte.is_ascii_digit()), "{first}");
    let second = id(&tps.json(&["instrument", "new-pin", &instrument, "--digits", "12"]), "pin");
    assert_ne!(second, first);
    let shown = text(&tps.run(&["instrument", "new-pin", &instrument]).stdout);
    let is_pin = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
    assert_eq!(shown.split_whitespace().filter(is_pin).count(), 1, "{shown}");
    let secrets = [first, second];
    for question in [&["instrument", "show", &instrument][..], &["account", "show", &account], &["status"]] {
        let answer = tps.json(question).to_string();
        assert!(!secrets.iter().any(|pin| answer.contains(pin)));
    }
    let log = server.terminate();
    assert_eq!(tps.json(&["instrument", "show", &instrument])["pin"], "set");
    assert!(log.lines().count() > 0 && log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    assert!(!secrets.iter().any(|pin| log.contains(pin)));
    for path in files(&tps.data) {
        let bytes = std::fs::read(&path).unwrap();
        let found = |secret: &String| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!secrets.iter().any(found), "{}", path.display());
    }
}
