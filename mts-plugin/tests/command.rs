//! The command `mts`, and that verification needs nothing but the merchant's directory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{sent_by, write_goods};
use mts_plugin::fixtures::Realm;
use mts_plugin::{FolderShop, Home, Merchant, Settings};
use protocol::certificate::CertificateRequest;
use protocol::codec::Canonical;
use protocol::key_set::Audience;
use protocol::proof::Outcome;
use protocol::purchase::{QuoteOffer, QuoteRequest};
use protocol::quote::Quote;
use protocol::time::DAY_MS;

fn mts(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mts"));
    command.arg("-d").arg(directory.join("merchant")).args(arguments).current_dir(directory);
    command.output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A merchant set up by the commands alone.
fn set_up(directory: &Path, realm: &Realm) {
    std::fs::write(directory.join("keys"), realm.key_set(Audience::Merchant, 1).encode()).unwrap();
    let root = hex::encode(realm.root());
    let made = mts(directory, &["init", "--name", "Elm Music", "--root", &root, "--key-set", "keys"]);
    assert_eq!(code(&made), 0, "{}", said(&made));
    let request =
        CertificateRequest::decode(&std::fs::read(directory.join("merchant/certificate-request")).unwrap()).unwrap();
    assert!(said(&made).contains(&request.fingerprint()));
    std::fs::write(directory.join("certificate"), realm.certify(&request, 1, DAY_MS).encode()).unwrap();
    let imported = mts(directory, &["certificate", "import", "certificate"]);
    assert_eq!(code(&imported), 0, "{}", said(&imported));
}

fn quoted(directory: &Path) -> Quote {
    write_goods(&directory.join("goods"));
    let shop = std::sync::Arc::new(FolderShop::open(&directory.join("goods")).unwrap());
    let merchant = Merchant::open(Home::open(&directory.join("merchant")).unwrap(), shop, Settings::default()).unwrap();
    let request = QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode();
    let offer = QuoteOffer::decode(&merchant.quote(&request).unwrap()).unwrap();
    Quote::decode(offer.quote_bytes()).unwrap()
}

// spec: K-06, K-81
#[test]
fn a_merchant_is_set_up_and_verifies_proofs_offline() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, realm) = (folder.path(), Realm::default());
    set_up(directory, &realm);
    let quote = quoted(directory);

    let proof = realm.pay(&quote, Outcome::Paid);
    std::fs::write(directory.join("proof"), &proof).unwrap();
    std::fs::write(directory.join("proof.hex"), hex::encode(&proof)).unwrap();
    std::fs::write(directory.join("quote"), quote.encode()).unwrap();
    for arguments in [
        &["verify", "proof"][..],
        &["verify", "proof.hex"],
        &["verify", "proof", "--quote", "quote"],
        &["--json", "verify", "proof"],
    ] {
        let verified = mts(directory, arguments);
        assert_eq!(code(&verified), 0, "{arguments:?}: {}", said(&verified));
        assert!(said(&verified).contains(&quote.number.to_string()));
    }
    std::fs::write(directory.join("denial"), realm.pay(&quote, Outcome::NotPaid)).unwrap();
    let denied = mts(directory, &["verify", "denial"]);
    assert_eq!((code(&denied), said(&denied).contains("denied")), (3, true));
    assert_eq!(code(&mts(directory, &["verify", "denial", "--signature-only"])), 0);
    let mut altered = proof;
    altered[100] ^= 1;
    std::fs::write(directory.join("altered"), altered).unwrap();
    for wrong in ["altered", "quote"] {
        assert_eq!(code(&mts(directory, &["verify", wrong])), 3);
    }
    assert_eq!(code(&mts(directory, &["verify", "missing"])), 1);
    assert_eq!(code(&mts(directory, &["verify"])), 2);

    let listed = mts(directory, &["--json", "orders"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["number"], quote.number.to_string());
    assert_eq!(code(&mts(directory, &["orders", "dispatched", &quote.number.to_string()])), 3, "it is not paid");
    assert_eq!(code(&mts(directory, &["orders", "show", &"0".repeat(32)])), 3);
    assert_eq!(code(&mts(directory, &["orders", "show", &quote.number.to_string()])), 0);
}

// spec: K-43
#[test]
fn orders_tell_what_customers_call_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, realm) = (folder.path(), Realm::default());
    set_up(directory, &realm);
    write_goods(&directory.join("goods"));
    let shop = std::sync::Arc::new(FolderShop::open(&directory.join("goods")).unwrap());
    let merchant = Merchant::open(Home::open(&directory.join("merchant")).unwrap(), shop, Settings::default()).unwrap();
    // The text is the customer's: it must not pass for something that the command says.
    let id = "card 4711\"  paid";
    for given in [Some(id), None] {
        let request = QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode();
        let offer = QuoteOffer::decode(&merchant.quote(&request).unwrap()).unwrap();
        let offer = offer.verify(&realm.customer_keys(), mts_plugin::clock::now()).unwrap();
        merchant.confirm(&sent_by(&offer, given).message.encode()).unwrap();
        let number = offer.quote().number.to_string();
        let shown = mts(directory, &["--json", "orders", "show", &number]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["loyalty_id"].as_str(), given);
    }
    let listed = said(&mts(directory, &["orders"]));
    assert_eq!(listed.matches("  by ").count(), 1, "{listed}");
    assert!(listed.contains(r#"song  by "card 4711\"  paid""#), "{listed}");
}

#[test]
fn mistakes_in_the_directory_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (directory, realm) = (folder.path(), Realm::default());
    let missing = mts(directory, &["orders"]);
    assert_eq!((code(&missing), said(&missing).contains("mts init")), (1, true));
    set_up(directory, &realm);
    let twice = mts(directory, &["init", "--name", "Other", "--root", &hex::encode(realm.root())]);
    assert_eq!((code(&twice), said(&twice).contains("already holds")), (1, true));
    // A set for customers, one of a stranger, one that is none.
    std::fs::write(directory.join("customers"), realm.key_set(Audience::Customer, 2).encode()).unwrap();
    std::fs::write(directory.join("rubbish"), b"rubbish").unwrap();
    for wrong in ["customers", "rubbish", "certificate"] {
        assert_eq!(code(&mts(directory, &["key-set", "import", wrong])), 3, "{wrong}");
    }
    std::fs::write(directory.join("newer"), realm.key_set(Audience::Merchant, 5).encode()).unwrap();
    assert_eq!(code(&mts(directory, &["key-set", "import", "newer"])), 0);
    let older = mts(directory, &["key-set", "import", "keys"]);
    assert_eq!((code(&older), said(&older).contains("number 5")), (3, true), "{}", said(&older));
    // Renewal keeps the old key until its certificate expires.
    assert_eq!(code(&mts(directory, &["certificate", "request"])), 0);
    assert_eq!(code(&mts(directory, &["certificate", "show"])), 0);

    let desk = directory.join("merchant/desk.key");
    std::fs::set_permissions(&desk, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = mts(directory, &["orders"]);
    assert_eq!((code(&open), said(&open).contains("chmod")), (1, true));
}

#[test]
fn the_dependency_tree_holds_no_database_server_and_without_the_desks_client_no_way_to_call_a_tps() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let holds_none_of = |features: &[&str], absent: &[&str]| {
        let tree = Command::new(&cargo)
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--manifest-path", manifest])
            .args(features)
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8(tree.stdout).unwrap();
        assert!(tree.contains("quittance-protocol"));
        for absent in absent {
            assert!(!tree.lines().any(|line| line.starts_with(absent)), "{absent} is in the dependency tree");
        }
    };
    // Payments go over QUIC, which is nowhere; batches over HTTPS, which can be left out.
    holds_none_of(&[], &["rocksdb", "quinn", "cts-client", "tps v"]);
    holds_none_of(&["--no-default-features"], &["rocksdb", "quinn", "reqwest", "rustls", "cts-client", "tps v"]);
}

/// One request on a connection of its own.
fn http(address: &str, request: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head =
        format!("{request} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase(), answer[end + 4..].to_vec())
}

// spec: K-20, K-41
#[test]
fn the_shop_serves_over_connections_that_are_not_kept_and_shows_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, realm) = (folder.path(), Realm::default());
    set_up(directory, &realm);
    write_goods(&directory.join("goods"));
    let mut shop = Command::new(env!("CARGO_BIN_EXE_mts"))
        .arg("-d")
        .arg(directory.join("merchant"))
        .args(["--json", "serve", "--frames", "--listen", "127.0.0.1:0", "--catalogue"])
        .arg(directory.join("goods"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shop.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = started["listening"].as_str().unwrap();

    let (head, page) = http(address, "GET /", b"");
    assert!(head.starts_with("http/1.1 200") && String::from_utf8(page).unwrap().contains("A song"));
    let (_, catalogue) = http(address, "GET /catalogue.json", b"");
    let catalogue: serde_json::Value = serde_json::from_slice(&catalogue).unwrap();
    assert_eq!(catalogue["payment_path"], "/quittance");
    let request = QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode();
    let (head, offer) = http(address, "POST /quittance/quote", &request);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for header in ["set-cookie", "server:", "etag", "keep-alive"] {
        assert!(!head.contains(header), "{head}");
    }
    let offer = QuoteOffer::decode(&offer).unwrap();
    offer.verify(&realm.customer_keys(), mts_plugin::clock::now()).unwrap();

    // A polite end, as a service manager asks for.
    assert!(Command::new("kill").arg(shop.id().to_string()).status().unwrap().success());
    let ended = shop.wait_with_output().unwrap();
    assert!(ended.status.success());
    let frames = String::from_utf8(ended.stderr).unwrap();
    assert!(
        frames.contains("quote request") && frames.contains("quote offer") && frames.contains("A song"),
        "{frames}"
    );
}
