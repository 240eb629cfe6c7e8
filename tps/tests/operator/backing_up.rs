//! Backups: made while payments go on, verified, restored, and refused where something would be lost.

use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Installation, files, id, mode, set_mode, text};
use crate::paying::{Customer, Merchant};

/// A key file for backups; its path as text and its recipient.
fn key_file(tps: &Installation) -> (String, String) {
    let made = tps.json(&["key", "new-key-file", "backup.key"]);
    (tps.path("backup.key").display().to_string(), id(&made, "recipient"))
}

/// The same installation's programs over another data directory.
fn at(tps: &Installation, data: &Path) -> Installation {
    Installation { directory: tempfile::tempdir_in(tps.directory.path()).unwrap(), data: data.to_owned() }
}

fn commit(of: &Value) -> u64 {
    of["commit"].as_u64().unwrap()
}

/// What lies in the directory, but for the ledger's files, which recovery may write anew.
fn left(data: &Path) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> =
        std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into()).collect();
    left.sort();
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_server_is_whole_and_becomes_a_server() {
    let tps = Installation::with(&["--shards", "2"]);
    let (key, recipient) = key_file(&tps);
    let server = tps.serve(&[]);
    let merchant = Merchant::certified(&tps);
    let customer = Customer::enrolled(&tps, &server, "laptop").await;
    customer.pay(&merchant).await;

    // Payments go on while it is made.
    let mut backup = tps.command(&["backup", "create", "one.backup", "--recipient", &recipient, "--json"]);
    let waiting = tokio::task::spawn_blocking(move || backup.output());
    let mut paid = 1;
    while !waiting.is_finished() {
        customer.pay(&merchant).await;
        paid += 1;
    }
    let output = waiting.await.unwrap().unwrap();
    assert!(output.status.success());
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&made["manifest"]["keys_protected"], &made["root_key"]), (&false.into(), &true.into()));
    assert_eq!(mode(&tps.path("one.backup")), 0o600);
    assert!(!tps.data.join("checkpoint").exists());
    for _ in 0..3 {
        customer.pay(&merchant).await;
    }
    paid += 3;
    let now = tps.json(&["status"])["last_commit"].as_u64().unwrap();
    assert!(commit(&made["manifest"]) < now);

    let verified = tps.json(&["backup", "verify", "one.backup", "--key-file", &key]);
    let findings = &verified["findings"];
    assert_eq!(findings["manifest"], made["manifest"]);
    assert_eq!(findings["audit"]["differences_found"], 0);
    assert!(findings["records"].as_u64().unwrap() > 10 && findings["audit"]["payments"].as_u64().unwrap() >= 1);
    let shown = text(&tps.run(&["backup", "verify", "one.backup", "--key-file", &key]).stdout);
    assert!(shown.contains("everything adds up") && shown.contains("NOT PROTECTED"), "{shown}");
    tps.json(&["settlement", "close"]);
    let told = text(&tps.run(&["backup", "create", "two.backup", "--recipient", &recipient]).stdout);
    assert!(told.contains("NOT PROTECTED") && told.contains("move keys/root.toml"), "{told}");
    assert!(tps.refused(&["backup", "create", "two.backup", "--recipient", &recipient]).contains("exists already"));
    assert!(tps.refused(&["backup", "create", "x", "--recipient", "age1nobody"]).contains("new-key-file"));

    // Into a new directory: another machine, with a server that goes on from there.
    let balance = tps.json(&["account", "show", &customer.account])["balance"].clone();
    assert_eq!(balance["units"], (10_000_000 - 100 * paid).to_string());
    let copy = at(&tps, &tps.path("copy"));
    let restored = copy.json(&["backup", "restore", &path(&tps, "two.backup"), "--key-file", &key]);
    assert_eq!(restored["restored"]["former_ledger"], Value::Null);
    assert_eq!(copy.json(&["account", "show", &customer.account])["balance"], balance);
    assert!(copy.run(&["audit", "--proofs"]).status.success());
    assert!(!copy.data.join("manifest.toml").exists());
    // A merchant that had not fetched its report gets it there, with its pages.
    let exported = copy.json(&["settlement", "export", &merchant.id, "1", "report"]);
    assert_eq!(exported["pages"], 1);
    let (was, is) = (left(&tps.data), left(&copy.data));
    assert!(is.iter().all(|name| was.contains(name)), "{is:?}");
    let restarted = copy.serve(&[]);
    copy.account();
    restarted.terminate();
    assert!(copy.run(&["audit"]).status.success());
    server.terminate();
}

fn path(tps: &Installation, name: &str) -> String {
    tps.path(name).display().to_string()
}

#[test]
fn a_restored_ledger_lacks_nothing_or_the_operator_answers_for_it() {
    let tps = Installation::new();
    let (key, _) = key_file(&tps);
    let account = tps.account();
    let old = tps.json(&["backup", "create", "old.backup", "--key-file", &key]);
    let units = || id(&tps.json(&["account", "show", &account])["balance"], "units");
    let restore = |name: &'static str| ["backup", "restore", name, "--key-file", &key].map(str::to_owned);
    let run = |arguments: &[String]| tps.json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let refuse = |arguments: &[String]| tps.refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>());

    // The very state of the backup: nothing is lost.
    let same = run(&restore("old.backup"));
    let former = PathBuf::from(id(&same["restored"], "former_ledger"));
    assert!(former.is_dir() && former.starts_with(&tps.data));
    assert_eq!(units(), "10000000");

    // A deposit later the backup lacks a commit, and both are named.
    tps.json(&["account", "fund", &account, "5", "--deposit", "second"]);
    let new = tps.json(&["backup", "create", "new.backup", "--key-file", &key]);
    let (was, is) = (commit(&old["manifest"]), commit(&new["manifest"]));
    assert!(was < is);
    let before = left(&tps.data);
    let message = refuse(&restore("old.backup"));
    assert!(
        message.contains(&format!("ends at commit {was}, ")) && message.contains(&format!("to commit {is}:")),
        "{message}"
    );
    assert!(message.contains("--accept-loss"));
    assert_eq!((left(&tps.data), units()), (before, "15000000".to_owned()), "nothing was changed");

    let accepted = [&restore("old.backup")[..], &["--accept-loss".to_owned()]].concat();
    let server = tps.serve(&[]);
    assert!(refuse(&accepted).contains("tps drain"));
    server.terminate();
    let lossy = run(&accepted);
    assert_eq!(units(), "10000000");
    assert!(tps.run(&["audit"]).status.success());
    // The former ledger is whole: put back, it is what it was.
    let kept = PathBuf::from(id(&lossy["restored"], "former_ledger"));
    std::fs::rename(tps.data.join("ledger"), tps.path("aside")).unwrap();
    std::fs::rename(&kept, tps.data.join("ledger")).unwrap();
    assert_eq!(units(), "15000000");
    std::fs::rename(tps.data.join("ledger"), &kept).unwrap();
    std::fs::rename(tps.path("aside"), tps.data.join("ledger")).unwrap();

    // As long as the newer backup, but of another history.
    tps.json(&["account", "fund", &account, "1", "--deposit", "third"]);
    let message = refuse(&restore("new.backup"));
    assert!(message.contains("another history") && message.contains("--accept-loss"), "{message}");
    assert_eq!(units(), "11000000");
    // The newer backup lacks nothing of what the older one holds.
    run(&accepted);
    run(&restore("new.backup"));
    assert_eq!(units(), "15000000");

    // A lost mark leaves nobody who could tell.
    std::fs::remove_file(tps.data.join("ledger/high-water")).unwrap();
    assert!(refuse(&restore("new.backup")).contains("high-water mark"));
    run(&[&restore("new.backup")[..], &["--accept-loss".to_owned()]].concat());
    assert_eq!(units(), "15000000");
    let server = tps.serve(&[]);
    assert!(tps.run(&["audit"]).status.success());
    server.terminate();
}

#[test]
fn backups_that_are_of_no_use_change_nothing_and_say_why() {
    let tps = Installation::new();
    let (key, _) = key_file(&tps);
    tps.account();
    std::fs::write(tps.path("passphrase"), "correct horse battery staple").unwrap();
    std::fs::write(tps.path("other"), "incorrect horse battery staple").unwrap();
    for name in ["passphrase", "other"] {
        set_mode(&tps.path(name), 0o600);
    }
    tps.json(&["backup", "create", "whole.backup", "--key-file", &key]);
    tps.json(&["backup", "create", "sealed.backup", "--passphrase-file", "passphrase"]);
    let scratch = tps.path("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let verify = |name: &str, flag: &str, secret: &str| {
        let mut command = tps.command(&["backup", "verify", name, flag, secret]);
        let output = command.env("TMPDIR", &scratch).output().unwrap();
        assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "nothing decrypted is left");
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(verify("whole.backup", "--key-file", &key).0, Some(0));
    assert_eq!(verify("sealed.backup", "--passphrase-file", "passphrase").0, Some(0));

    let (_, wrong) = verify("sealed.backup", "--passphrase-file", "other");
    assert!(wrong.contains("does not open sealed.backup") && wrong.contains("for a passphrase"), "{wrong}");
    let (_, wrong) = verify("sealed.backup", "--key-file", &key);
    assert!(wrong.contains("for a passphrase"), "{wrong}");
    tps.json(&["key", "new-key-file", "another.key"]);
    let (_, wrong) = verify("whole.backup", "--key-file", "another.key");
    assert!(wrong.contains("does not open whole.backup") && wrong.contains("for a key file"), "{wrong}");
    assert!(verify("backup.key", "--key-file", &key).1.contains("is no backup"));
    assert!(verify("nowhere", "--key-file", &key).1.contains("nowhere"));

    // Cut short anywhere, or with one bit changed: it is damaged, and nothing is restored from it.
    let whole = std::fs::read(tps.path("whole.backup")).unwrap();
    let last_chunk = whole.len() - (whole.len() - 200) % 65_552;
    let cuts = [whole.len() - 1, whole.len() - 16, last_chunk, whole.len() / 2, 300];
    let flips = [250, whole.len() / 3, whole.len() - 2];
    let wrongs = cuts.iter().map(|length| whole[..*length].to_vec()).chain(flips.iter().map(|place| {
        let mut flipped = whole.clone();
        flipped[*place] ^= 4;
        flipped
    }));
    let before = (left(&tps.data), files(&tps.data.join("ledger")));
    for (number, bytes) in wrongs.enumerate() {
        std::fs::write(tps.path("damaged"), bytes).unwrap();
        let (code, message) = verify("damaged", "--key-file", &key);
        assert!(code == Some(1) && message.contains("damaged"), "{number}: {message}");
        let message = tps.refused(&["backup", "restore", "damaged", "--key-file", &key, "--accept-loss"]);
        assert!(message.contains("damaged"), "{number}: {message}");
        assert_eq!((left(&tps.data), files(&tps.data.join("ledger"))), before);
    }
    let elsewhere = at(&tps, &tps.path("elsewhere"));
    elsewhere.refused(&["backup", "restore", &path(&tps, "damaged"), "--key-file", &key]);
    assert!(!elsewhere.data.exists());
    std::fs::create_dir(tps.path("full")).unwrap();
    std::fs::write(tps.path("full/letter"), "dear").unwrap();
    let full = at(&tps, &tps.path("full"));
    assert!(
        full.refused(&["backup", "restore", &path(&tps, "whole.backup"), "--key-file", &key]).contains("not empty")
    );

    let other = Installation::new();
    let message =
        other.refused(&["backup", "restore", &path(&tps, "whole.backup"), "--key-file", &key, "--accept-loss"]);
    assert!(message.contains("belongs to realm"), "{message}");
    assert!(left(&other.data).iter().all(|name| !name.to_string_lossy().contains("restor")));
}

#[test]
fn protected_keys_stay_protected_in_a_backup() {
    let tps = Installation::new();
    let (key, _) = key_file(&tps);
    tps.json(&["key", "protect", "--key-file", &key]);
    std::fs::rename(tps.data.join("keys/root.toml"), tps.path("root.toml")).unwrap();
    // A backup that was killed left a checkpoint behind: it is in nobody's way.
    std::fs::create_dir_all(tps.data.join("checkpoint/rocksdb")).unwrap();
    let made = tps.json(&["backup", "create", "safe.backup", "--key-file", &key]);
    assert_eq!((&made["manifest"]["keys_protected"], &made["root_key"]), (&true.into(), &false.into()));
    let shown = text(&tps.run(&["backup", "verify", "safe.backup", "--key-file", &key]).stdout);
    assert!(!shown.contains("NOT PROTECTED") && shown.contains("protected"), "{shown}");
    let copy = at(&tps, &tps.path("copy"));
    copy.json(&["backup", "restore", &path(&tps, "safe.backup"), "--key-file", &key]);
    assert!(copy.refused(&["serve", "--listen", "127.0.0.1:0"]).contains("TPS_KEY_FILE"));
    std::fs::write(copy.data.join("tps.toml"), format!("key_file = \"{key}\"\n")).unwrap();
    copy.serve(&[]).terminate();
}

#[test]
fn what_was_decrypted_goes_at_a_signal_and_after_a_kill() {
    let tps = Installation::new();
    let (key, _) = key_file(&tps);
    tps.json(&["backup", "create", "whole.backup", "--key-file", &key]);
    let whole = std::fs::read(tps.path("whole.backup")).unwrap();
    let scratch = tps.path("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let left = || std::fs::read_dir(&scratch).unwrap().count();
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::TERM, Some(143)), (Signal::KILL, None)] {
        // All but the last byte, so that it waits with everything unpacked.
        let (unpacked, mut feeding) = std::io::pipe().unwrap();
        let bytes = whole[..whole.len() - 1].to_vec();
        let fed = std::thread::spawn(move || feeding.write_all(&bytes).map(|()| feeding));
        let mut command = tps.command(&["backup", "verify", "/dev/stdin", "--key-file", &key]);
        let mut child = command.env("TMPDIR", &scratch).stdin(unpacked).spawn().unwrap();
        let begun = std::time::Instant::now();
        while !files(&scratch).iter().any(|path| path.ends_with("keys/root.toml")) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(60));
        }
        let feeding = fed.join().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code);
        drop(feeding);
        assert_eq!(left(), usize::from(code.is_none()), "{signal:?}");
    }
    let mut command = tps.command(&["backup", "verify", "whole.backup", "--key-file", &key]);
    assert!(command.env("TMPDIR", &scratch).output().unwrap().status.success());
    assert_eq!(left(), 0, "what the kill left is gone, too");
}

#[test]
fn what_lies_beside_the_ledger_is_in_a_backup() {
    let tps = Installation::new();
    let (key, _) = key_file(&tps);
    let beside = ["settlements/00000001/4d4d/00000.page", "funding/done/1.json", "funding/out/payouts-1.csv"];
    for name in beside {
        std::fs::create_dir_all(tps.data.join(name).parent().unwrap()).unwrap();
        std::fs::write(tps.data.join(name), name).unwrap();
    }
    let made = tps.json(&["backup", "create", "one.backup", "--key-file", &key]);
    assert_eq!(made["result"], "backup");
    let verified = tps.json(&["backup", "verify", "one.backup", "--key-file", &key]);
    assert_eq!(verified["findings"]["root_public"], tps.json(&["key", "list"])["root_public"]);
    let copy = at(&tps, &tps.path("copy"));
    copy.json(&["backup", "restore", &path(&tps, "one.backup"), "--key-file", &key]);
    for name in beside {
        assert_eq!(std::fs::read(copy.data.join(name)).unwrap(), name.as_bytes());
        assert_eq!(mode(&copy.data.join(name)), 0o600);
    }
    // Over a TPS: what is missing comes back, what differs is kept beside.
    std::fs::remove_dir_all(tps.data.join("settlements")).unwrap();
    std::fs::write(tps.data.join("funding/out/payouts-1.csv"), "newer").unwrap();
    tps.json(&["backup", "restore", "one.backup", "--key-file", &key]);
    assert_eq!(std::fs::read(tps.data.join(beside[0])).unwrap(), beside[0].as_bytes());
    assert_eq!(std::fs::read(tps.data.join(beside[2])).unwrap(), b"newer");
    std::fs::write(tps.data.join(beside[0]), "another history").unwrap();
    tps.json(&["backup", "restore", "one.backup", "--key-file", &key]);
    assert_eq!(std::fs::read(tps.data.join(beside[0])).unwrap(), beside[0].as_bytes());
    let pages = files(&tps.data.join("settlements"));
    assert!(
        pages.len() == 2 && pages.iter().any(|page| std::fs::read(page).unwrap() == b"another history"),
        "{pages:?}"
    );
}
