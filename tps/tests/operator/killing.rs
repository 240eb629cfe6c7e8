//! Commands over keys and ledgers, killed wherever they change a name or remove a file: what is left serves and hides what was hidden, and
//! doing it again completes it.

use std::path::Path;
use std::process::Command;

use protocol::key_set::{Audience, KeyRole};
use tps::data_directory::DataDirectory;
use tps::keys::{KeyRing, load_key_set};
use tps::pipeline::clock::wall_clock;

use crate::harness::{Installation, TPS, files, id};
use crate::protecting::{configure, found, key_file, secrets};

/// Runs a command that is killed instead of its call number `number` of the system call `call`; whether it was.
fn killed_at(tps: &Installation, call: &str, number: usize, arguments: &[&str]) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]).arg(TPS).args(arguments);
    command.env("TPS_DATA", &tps.data).current_dir(tps.directory.path());
    !command.output().unwrap().status.success()
}

fn unfinished(directory: &Path) -> usize {
    files(directory).iter().filter(|path| path.extension().is_some_and(|end| end == "new")).count()
}

// spec: K-65
#[test]
fn protecting_and_back_can_be_killed_anywhere() {
    let tps = Installation::new();
    let key = key_file(&tps, "tps.key");
    let before = secrets(&tps);
    configure(&tps, &format!("key_file = \"{key}\""));
    let protect = ["key", "protect", "--key-file", &key];
    // Each attempt comes one file further.
    let mut kills = 0;
    let mut clear = found(&tps.data, &before);
    while killed_at(&tps, "rename", 2, &protect) {
        kills += 1;
        assert!(kills < 20 && secrets(&tps) == before, "the same keys, in whatever mixture");
        let now = found(&tps.data, &before);
        assert!(now <= clear, "nothing comes back in clear");
        clear = now;
    }
    assert!(kills >= 7, "{kills}");
    assert_eq!((found(&tps.data, &before), unfinished(&tps.data.join("keys"))), (0, 0));
    tps.serve(&[]).terminate();

    // A half written key in clear is left; protecting removes it.
    assert!(killed_at(&tps, "rename", 1, &["key", "unprotect"]));
    assert_eq!((found(&tps.data, &before), unfinished(&tps.data.join("keys"))), (1, 1));
    tps.json(&protect);
    assert_eq!((found(&tps.data, &before), unfinished(&tps.data.join("keys"))), (0, 0));
    let mut kills = 0;
    while killed_at(&tps, "rename", 2, &["key", "unprotect"]) {
        kills += 1;
        assert!(kills < 20 && secrets(&tps) == before);
    }
    assert!(kills >= 5, "{kills}");
    tps.json(&protect);
    // Everything is in clear, and the identity still there.
    assert!(killed_at(&tps, "unlink", 1, &["key", "unprotect"]));
    assert!(tps.data.join("keys/identity.toml").exists());
    tps.serve(&[]).terminate();
    tps.json(&["key", "unprotect"]);
    assert!(!tps.data.join("keys/identity.toml").exists());
    assert_eq!(secrets(&tps), before);
}

// Nothing of a key may be lost with the power: content before name, and the name before anybody relies on it.
#[test]
fn every_file_is_synced_before_it_has_its_name_and_its_name_after() {
    let tps = Installation::new();
    let trace = tps.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=fsync,rename", "-o"]).arg(&trace).arg(TPS);
    command.args(["key", "rotate", "proof"]).env("TPS_DATA", &tps.data).current_dir(tps.directory.path());
    assert!(command.output().unwrap().status.success());
    let trace = std::fs::read_to_string(&trace).unwrap();
    let calls: Vec<&str> = trace.lines().filter(|line| line.contains("fsync(") || line.contains("rename(")).collect();
    let renames: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].contains("rename(")).collect();
    assert!(renames.len() >= 5, "{trace}");
    for at in renames {
        let unfinished = calls[at].split('"').nth(1).unwrap();
        let directory = Path::new(unfinished).parent().unwrap().display().to_string();
        assert!(calls[at - 1].contains("fsync(") && calls[at - 1].contains(&format!("<{unfinished}>")), "{trace}");
        assert!(calls[at + 1].contains("fsync(") && calls[at + 1].contains(&format!("<{directory}>")), "{trace}");
    }
}

/// The key that a server would sign proofs with, and whether every merchant with the newest key set believes it.
fn signer_is_published(tps: &Installation) -> bool {
    let data = DataDirectory::open(&tps.data).unwrap();
    let realm = data.realm().unwrap();
    let now = wall_clock();
    let keys = KeyRing::load(&data).unwrap().engine_keys(realm.realm, now).unwrap();
    let (_, set) = load_key_set(&data, &realm, Audience::Merchant, now).unwrap();
    set.key(KeyRole::Proof, keys.signer.key_id, now).is_ok()
}

/// Whether the session key that customers with the newest key set choose is one that a server accepts.
fn session_is_accepted(tps: &Installation) -> bool {
    let data = DataDirectory::open(&tps.data).unwrap();
    let realm = data.realm().unwrap();
    let now = wall_clock();
    let keys = KeyRing::load(&data).unwrap().engine_keys(realm.realm, now).unwrap();
    let (_, set) = load_key_set(&data, &realm, Audience::Customer, now).unwrap();
    let chosen = set.session_key(now).unwrap();
    keys.session.iter().any(|key| key.id() == chosen.id)
}

#[test]
fn a_rotation_that_is_killed_leaves_keys_that_everybody_knows() {
    let tps = Installation::new();
    for role in ["proof", "session"] {
        let mut number = 1;
        while killed_at(&tps, "rename", number, &["key", "rotate", role, "--at-once"]) {
            assert!(signer_is_published(&tps) && session_is_accepted(&tps), "{role}, {number}");
            number += 1;
        }
        assert!(number > 4, "{number}");
    }
    let listed = tps.json(&["key", "list"]);
    let stages: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| id(key, "stage")).collect();
    assert!(!stages.contains(&"unpublished".to_owned()), "{stages:?}");
    // Killed before the key sets: the key waits, and signing them anew publishes it.
    assert!(killed_at(&tps, "rename", 2, &["key", "rotate", "notary", "--at-once"]));
    let listed = String::from_utf8(tps.run(&["key", "list"]).stdout).unwrap();
    assert!(listed.contains("unpublished") && listed.contains("tps key reissue"), "{listed}");
    tps.json(&["key", "reissue"]);
    assert!(!String::from_utf8(tps.run(&["key", "list"]).stdout).unwrap().contains("unpublished"));
    tps.serve(&[]).terminate();
}

#[test]
fn a_restoration_that_is_killed_leaves_one_ledger_or_the_other() {
    let tps = Installation::new();
    let key = key_file(&tps, "backup.key");
    let account = tps.account();
    tps.json(&["backup", "create", "ten.backup", "--key-file", &key]);
    tps.json(&["account", "fund", &account, "5", "--deposit", "second"]);
    tps.json(&["backup", "create", "fifteen.backup", "--key-file", &key]);
    let units = || id(&tps.json(&["account", "show", &account])["balance"], "units");
    let ledgers = || {
        let entries = std::fs::read_dir(&tps.data).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("ledger.")).count()
    };
    // Before the exchange, and while the temporary directory is removed after it.
    for (call, expected) in [("renameat2", "15000000"), ("unlinkat", "10000000")] {
        let back = ["backup", "restore", "ten.backup", "--key-file", &key, "--accept-loss"];
        let before = ledgers();
        assert!(killed_at(&tps, call, 1, &back));
        assert_eq!((units().as_str(), ledgers()), (expected, before + 1), "{call}: the other one is kept");
        assert!(tps.run(&["audit"]).status.success());
        tps.json(&back);
        assert_eq!(units(), "10000000");
        tps.json(&["backup", "restore", "fifteen.backup", "--key-file", &key]);
        assert_eq!(units(), "15000000");
        let left = std::fs::read_dir(&tps.data).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".tps-restore-")));
    }
}
