//! Review of merchants, audit, and mistakes.

use protocol::certificate::{CertificateRequest, MerchantCertificate};
use protocol::codec::Canonical;
use protocol::key_set::{Audience, SignedKeySet};
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use serde_json::Value;
use tps::pipeline::clock::wall_clock;
use tps::store::Store;
use tps::store::records::Changes;
use tps::store::rocksdb::RocksStore;

use crate::harness::{Installation, id, text};

// spec: K-23, K-24
#[test]
fn merchants_are_reviewed_before_they_are_certified() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let request = tps.request("Elm Music", 1);
    let registered = tps.json(&["merchant", "register", "Elm Music.request"]);
    let merchant = id(&registered, "merchant");
    assert_eq!((&registered["status"], &registered["certificate_digest"]), (&"pending-review".into(), &Value::Null));
    assert!(tps.refused(&["merchant", "reinstate", &merchant]).contains("never approved"));

    // Nobody else gets a certificate over the same key.
    assert!(tps.refused(&["merchant", "register", "Elm Music.request"]).contains("already has this session key"));
    let session = AgreementSecret::from_random([1; 32]).public();
    let other = CertificateRequest::new("Oak".into(), session, &SigningKey::from_seed([2; 32])).unwrap();
    std::fs::write(tps.path("oak.request"), hex::encode(other.encode())).unwrap();
    assert!(tps.refused(&["merchant", "register", "oak.request"]).contains(&merchant));

    let approve = ["merchant", "approve", &merchant, "--certificate-out"];
    let approve = |file: &'static str, more: &[&'static str]| [&approve[..], &[file], more].concat();
    let refused = tps.refused(&approve("elm.certificate", &["--fingerprint", "00112233"]));
    assert!(refused.contains("do not approve"), "{refused}");
    assert!(!tps.path("elm.certificate").exists(), "nothing half done");
    assert!(tps.refused(&approve("elm.certificate", &["--valid-days", "91"])).contains("1 to 90 days"));
    let fingerprint = request.fingerprint();
    tps.json(&[&approve("elm.certificate", &["--fingerprint"])[..], &[&fingerprint]].concat());
    assert!(tps.refused(&approve("elm.certificate", &[])).contains("exists already"));
    assert_eq!(tps.json(&approve("again.certificate", &[]))["already_applied"], true);
    let certificate = std::fs::read(tps.path("elm.certificate")).unwrap();
    assert_eq!(std::fs::read(tps.path("again.certificate")).unwrap(), certificate);

    // What both sides pin vouches for it.
    let root: [u8; 32] = hex::decode(id(&tps.json(&["key", "list"]), "root_public")).unwrap().try_into().unwrap();
    for (audience, name) in [(Audience::Merchant, "merchant"), (Audience::Customer, "customer")] {
        let file = format!("{name}.keyset");
        tps.json(&["key", "export", "--audience", name, &file]);
        let set = SignedKeySet::decode(&std::fs::read(tps.path(&file)).unwrap()).unwrap();
        let pinned = set.verify(&root, None, audience, wall_clock(), 1).unwrap();
        let verified = MerchantCertificate::decode(&certificate).unwrap().verify(&pinned, wall_clock()).unwrap();
        assert_eq!((verified.merchant().to_string(), verified.name()), (merchant.clone(), "Elm Music"));
        assert_eq!((verified.session(), verified.desk()), (&request.session, &request.desk));
    }

    // The next certificate: the same merchant, a fresh session key, the same approval.
    let renew = ["merchant", "renew", &merchant];
    let renew = |file: &'static str| [&renew[..], &[file]].concat();
    assert!(tps.refused(&renew("Elm Music.request")).contains("already has this session key"));
    let fresh = AgreementSecret::from_random([3; 32]).public();
    for (seed, name, accepted) in [(2, "Elm Music", false), (1, "Elm", false), (1, "Elm Music", true)] {
        let next = CertificateRequest::new(name.to_owned(), fresh, &SigningKey::from_seed([seed; 32])).unwrap();
        std::fs::write(tps.path("next.request"), next.encode()).unwrap();
        if accepted {
            assert_eq!(tps.json(&renew("next.request"))["status"], "certified");
        } else {
            assert!(tps.refused(&renew("next.request")).contains("another desk key or another name"));
        }
    }
    assert_eq!(tps.json(&approve("next.certificate", &[]))["already_applied"], false);
    assert_ne!(std::fs::read(tps.path("next.certificate")).unwrap(), certificate);

    assert_eq!(tps.json(&["merchant", "suspend", &merchant])["status"], "suspended");
    assert!(tps.refused(&approve("x", &[])).contains("is suspended"));
    let later = CertificateRequest::new(
        "Elm Music".to_owned(),
        AgreementSecret::from_random([4; 32]).public(),
        &SigningKey::from_seed([1; 32]),
    );
    std::fs::write(tps.path("later.request"), later.unwrap().encode()).unwrap();
    assert!(tps.refused(&renew("later.request")).contains("reinstate it first"));
    server.terminate();
    assert_eq!(tps.json(&["merchant", "show", &merchant])["status"], "suspended");
    assert_eq!(tps.json(&["merchant", "reinstate", &merchant])["status"], "certified");
}

#[test]
fn an_audit_finds_what_does_not_add_up() {
    let tps = Installation::new();
    let (first, _) = (tps.account(), tps.account());
    let (instrument, _) = tps.enrol(&first, "laptop");
    let audited = tps.json(&["audit", "--proofs"]);
    assert_eq!((&audited["differences_found"], &audited["accounts"]), (&0.into(), &2.into()));
    {
        let mut store = RocksStore::open(&tps.data.join("ledger")).unwrap();
        let snapshot = store.reader().snapshot().unwrap();
        let mut richer = *snapshot.accounts.iter().find(|account| account.id.to_string() == first).unwrap();
        richer.balance += 1;
        let (id, mut ahead) = snapshot.instruments[0];
        ahead.last_count = 3;
        let planted = Changes { accounts: vec![richer], instruments: vec![(id, ahead)], ..Changes::default() };
        store.commit(&planted).unwrap();
    }
    let check = || {
        let output = tps.run(&["audit"]);
        let found = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{found}");
        let account = format!("account {first}: the book says 10.000001 USD6, the log adds up to 10.000000 USD6");
        assert!(found.contains(&account), "{found}");
        assert!(found.contains(&format!("instrument {instrument}: its count is 3, but the log holds 0")), "{found}");
        assert!(found.contains("all balances of USD6 add up to 0.000001"), "{found}");
        assert!(found.contains("3 DIFFERENCES"), "{found}");
    };
    check();
    let server = tps.serve(&[]);
    check();
    server.terminate();
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    let tps = Installation::new();
    let account = tps.account();
    let (instrument, _) = tps.enrol(&account, "laptop");
    std::fs::write(tps.path("noise"), [0xff; 100]).unwrap();
    std::fs::write(tps.path("nothing"), "").unwrap();
    let (missing, long) = ("00".repeat(16), "x".repeat(65));
    let enrol = |label: &str, more: &str| format!("instrument enrol {account} --bundle new --label {label} {more}");
    let table = [
        ("account show abc".into(), "32 hexadecimal digits"),
        ("account show zzzzzz".into(), "is not the id of an account"),
        (format!("account show {missing}"), "tps account list"),
        (format!("account fund {missing} 1"), "there is no account"),
        (format!("account fund {account} 0"), "1 to 1000000000000000 units"),
        (format!("account fund {account} 1.0000001"), "at most 6 decimal places"),
        (format!("account fund {account} 1e3"), "is not an amount of USD6"),
        (format!("account fund {account} 1000000001"), "not 1000000001000000"),
        (format!("account fund {account} 1 --deposit jane@example.com"), "stay at the funding agency"),
        ("account open --asset EUR2".into(), "not in this TPS's registry, which holds: USD6"),
        (format!("instrument show {missing}"), "tps instrument list"),
        (format!("instrument limit {instrument}"), "--none"),
        (format!("instrument limit {instrument} --none --per-payment 1"), "--none"),
        (format!("instrument limit {instrument} --merchant {missing}"), "there is no merchant"),
        (format!("instrument limit {instrument} --expires 1999-01-01"), "expired already"),
        (format!("instrument new-pin {instrument} --digits 3"), "4 to 12 digits"),
        (enrol("a", ""), "public_addresses"),
        (enrol("a", "--address nowhere"), "host:port"),
        (enrol("a", "--address h:1 --valid 31d"), "at most 30 days"),
        (enrol(&long, "--address h:1"), "1 to 64 bytes"),
        (format!("instrument enrol {account} --label a --address h:1 --bundle laptop.bundle"), "exists already"),
        (format!("instrument enrol {account} --label a --address h:1 --bundle no/where"), "cannot make the file"),
        ("merchant register missing".into(), "cannot read missing"),
        ("merchant register nothing".into(), "mts init"),
        ("merchant register noise".into(), "certificate request"),
        (format!("merchant approve {missing} --certificate-out new"), "tps merchant list"),
        ("key export --audience merchant laptop.bundle".into(), "exists already"),
        ("key revoke 0011223344556677".into(), "tps key list"),
        ("reload".into(), "no server runs"),
        ("--data elsewhere status".into(), "tps init elsewhere"),
        ("serve --listen 203.0.113.1:1".into(), "cannot listen on UDP 203.0.113.1:1"),
        ("serve --log-level a=b=c".into(), "log_level"),
        ("init fresh --shards 0".into(), "--shards"),
        ("init fresh --session-key-days 8".into(), "1 to 7"),
        ("init fresh --asset USD6:6 --asset USD6:2".into(), "named twice"),
    ];
    for (command, named) in &table {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let message = tps.refused(&arguments);
        assert!(message.contains(named), "{command}: {message}");
    }
    assert!(!tps.path("new").exists() && !tps.path("fresh").exists(), "nothing half done");
    assert_eq!(tps.json(&["account", "list"])["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(tps.json(&["instrument", "list"])["instruments"].as_array().unwrap().len(), 1);

    // The command line itself: exit code 2.
    for command in ["", "fly", "account", "account fund", "instrument enrol x --per-period 1", "init x --asset usd"] {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(tps.run(&arguments).status.code(), Some(2), "{command}");
    }
    // Errors for programs.
    let output = tps.run(&["account", "show", &missing, "--json"]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &error["error"]["code"]), (Some(1), &"not-found".into()));
    // The environment.
    for (name, value, named) in
        [("TPS_LISTEN", "here", "listen"), ("TPS_LISEN", "[::1]:1", "lisen"), ("TPS_SHARDS", "2", "made with 1")]
    {
        let output = tps.command(&["config", "print"]).env(name, value).output().unwrap();
        assert!(!output.status.success() && text(&output.stderr).contains(named), "{}", text(&output.stderr));
    }
    let configured =
        tps.command(&["config", "print"]).env("TPS_PUBLIC_ADDRESSES", "[\"pay.example:4433\"]").output().unwrap();
    assert!(text(&configured.stdout).contains("pay.example:4433"), "{}", text(&configured.stderr));
    std::fs::write(tps.data.join("tps.toml"), "worker = 3\n").unwrap();
    assert!(tps.refused(&["serve", "--listen", "127.0.0.1:0"]).contains("worker"));
}

#[test]
fn an_archive_without_segments_is_whole() {
    let tps = Installation::new();
    assert_eq!(tps.json(&["archive", "list"])["segments"], serde_json::json!([]));
    let server = tps.serve(&[]);
    let verified = tps.run(&["archive", "verify"]);
    assert!(verified.status.success() && text(&verified.stdout).contains("nothing was archived yet"));
    drop(server);
}

#[test]
fn a_ledger_ahead_of_the_machines_clock_is_told() {
    let tps = Installation::new();
    let warned = |tps: &Installation| tps.json(&["status"])["warnings"].to_string().contains("ahead of this machine's");
    assert!(!warned(&tps));
    let mut store = RocksStore::open(&tps.data.join("ledger")).unwrap();
    store.commit(&Changes { clock: wall_clock().plus(3_600_000), ..Changes::default() }).unwrap();
    drop(store);
    assert!(warned(&tps), "by a command");
    let _server = tps.serve(&[]);
    assert!(warned(&tps), "by the server");
}
