//! The notary: receipts that anybody verifies, in one chain, whatever happens to the server.

use protocol::frame::MessageType;

use crate::harness::{Installation, id};
use crate::paying::{Customer, Merchant};

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn numbers(told: &serde_json::Value) -> Vec<u64> {
    told["receipts"].as_array().unwrap().iter().map(|receipt| receipt["number"].as_u64().unwrap()).collect()
}

// spec: K-107
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_are_attested_apart_from_payments_and_receipts_verify_offline() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let merchant = Merchant::certified(&tps);
    let customer = Customer::enrolled(&tps, &server, "one").await;
    std::fs::write(tps.path("contract"), "what both agreed on").unwrap();
    let told = tps.json(&["notary", "attest", DIGEST, "--file", "contract", "--out", "first.receipts"]);
    assert_eq!(numbers(&told), [1, 2]);
    let contract = id(&told["receipts"][1], "digest");
    assert_eq!(contract, blake3::hash(b"what both agreed on").to_string());

    // A payment goes on in between, in the messages that there were before.
    let (quote, proof) = customer.pay(&merchant).await;
    merchant.accepts(&quote, &proof).unwrap();
    assert_eq!(MessageType::ALL.map(|kind| kind as u8), [0x01, 0x02, 0x03, 0x10, 0x11, 0x20, 0x21]);
    customer.wallet.close().await;

    // Verified without a server, by either audience, each receipt and what it attests.
    tps.json(&["key", "export", "--audience", "customer", "customer.keyset"]);
    let root = id(&tps.json(&["key", "list"]), "root_public");
    server.terminate();
    let offline = ["notary", "verify", "first.receipts", "--key-set", "customer.keyset", "--root", &root];
    let nowhere = tps.command(&offline).env("TPS_DATA", tps.path("nowhere")).output().unwrap();
    assert!(nowhere.status.success(), "it needs no TPS");
    assert_eq!(numbers(&tps.json(&["notary", "verify", "first.receipts", "--digest", DIGEST])), [1, 2]);
    tps.json(&["notary", "verify", "first.receipts", "--file", "contract"]);
    std::fs::write(tps.path("contract"), "what nobody agreed on").unwrap();
    assert!(tps.refused(&["notary", "verify", "first.receipts", "--file", "contract"]).contains("another digest"));

    // Altered, reordered, incomplete: refused.
    let receipts = std::fs::read(tps.path("first.receipts")).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(tps.path("altered.receipts"), bytes).unwrap();
        tps.refused(&["notary", "verify", "altered.receipts"])
    };
    for place in [20, 30, 40, 70, 100, 120] {
        let mut altered = receipts.clone();
        altered[place] ^= 1;
        refused(&altered);
    }
    let (one, two) = receipts.split_at(170);
    assert!(refused(&[two, one].concat()).contains("does not follow"));
    assert!(refused(&receipts[..339]).contains("whole number of receipts"));
    let other = Installation::new();
    other.json(&["notary", "attest", DIGEST, "--out", "other.receipts"]);
    let foreign = refused(&std::fs::read(other.path("other.receipts")).unwrap());
    assert!(foreign.contains("another TPS"), "{foreign}");

    // Neither a restart nor another key begins another chain.
    std::fs::write(tps.path("list"), format!("{DIGEST}\n{contract}\n")).unwrap();
    assert_eq!(numbers(&tps.json(&["notary", "attest", "--list", "list"])), [3, 4]);
    tps.json(&["key", "rotate", "notary", "--at-once"]);
    let server = tps.serve(&[]);
    assert_eq!(numbers(&tps.json(&["notary", "attest", DIGEST])), [5]);
    let all = tps.json(&["notary", "receipts", "1", "--most", "100", "--out", "all.receipts"]);
    assert_eq!(numbers(&all), [1, 2, 3, 4, 5]);
    assert_eq!(std::fs::read(tps.path("all.receipts")).unwrap()[..340], receipts);
    assert_eq!(numbers(&tps.json(&["notary", "verify", "all.receipts"])), [1, 2, 3, 4, 5]);
    assert!(tps.refused(&["notary", "receipts", "6"]).contains("last one is number 5"));
    std::fs::write(tps.path("list"), "no digest\n").unwrap();
    assert!(tps.refused(&["notary", "attest", "--list", "list"]).contains("line 1 of list"));
    assert_eq!(numbers(&tps.json(&["notary", "receipts", "5", "--most", "9"])), [5], "nothing more was attested");
    server.terminate();
}
