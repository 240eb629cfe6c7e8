//! Every kind of key is rotated under a running server while a customer pays and a merchant verifies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cts_client::error::CtsError;
use protocol::key_set::KeyRole;
use tps::data_directory::DataDirectory;
use tps::keys::{KeyFile, KeyRing};
use tps::pipeline::clock::wall_clock;

use crate::harness::{Installation, id, text};
use crate::paying::{Customer, Merchant};

/// The id of the current key of a role.
fn current(tps: &Installation, role: &str) -> String {
    let listed = tps.json(&["key", "list"]);
    let keys = listed["keys"].as_array().unwrap();
    let found = keys.iter().find(|key| key["role"] == role && key["stage"] == "current");
    id(found.unwrap_or_else(|| panic!("{listed}")), "key")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_role_rotate_while_payments_go_on() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let mut merchant = Merchant::certified(&tps);
    let (customer, other) =
        (Customer::enrolled(&tps, &server, "one").await, Customer::enrolled(&tps, &server, "two").await);

    // Somebody pays all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let steady = Customer::enrolled(&tps, &server, "steady").await;
    let offers: Vec<_> = (0..1_000).map(|_| steady.check(&merchant).unwrap()).collect();
    let paying = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut paid = Vec::new();
            for offer in &offers {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                paid.push(steady.pay_offer(offer).await);
            }
            (steady, paid)
        })
    };
    let before = customer.pay(&merchant).await;
    merchant.accepts(&before.0, &before.1).unwrap();

    // Session keys: the old set does for the overlap; then the server says that it knows the key no more.
    let first_session = current(&tps, "session");
    tps.json(&["key", "rotate", "session"]);
    let overlap = customer.pay(&merchant).await;
    merchant.accepts(&overlap.0, &overlap.1).unwrap();
    assert_eq!(customer.wallet.key_set().number(), 1, "nobody had to ask");
    assert_eq!(customer.wallet.refresh_key_set().await.unwrap().number(), 2);
    let newest = customer.pay(&merchant).await;
    merchant.accepts(&newest.0, &newest.1).unwrap();
    tps.json(&["key", "revoke", &first_session]);
    assert_eq!(other.wallet.key_set().number(), 1);
    let mut paid_late = 1;
    let mut late = other.pay(&merchant).await;
    // Until the server has taken its keys anew, the old one does.
    while other.wallet.key_set().number() == 1 && paid_late < 1_000 {
        late = other.pay(&merchant).await;
        paid_late += 1;
    }
    merchant.accepts(&late.0, &late.1).unwrap();
    assert_eq!(other.wallet.key_set().number(), 3, "fetched after `UnknownKey`, within the payment");
    assert_eq!(cts_client::wallet::pinned_key_set(&other.directory).unwrap().number(), 3, "and stored");

    // Proof keys: what a new key signs is accepted with the set that holds it; what the old one signed stays good.
    let first_proof = current(&tps, "proof");
    tps.json(&["key", "rotate", "proof", "--at-once"]);
    assert_ne!(current(&tps, "proof"), first_proof);
    let mut signed_anew = customer.pay(&merchant).await;
    // The server takes its keys anew; until it has, it signs with the old one.
    for _ in 0..100 {
        if merchant.accepts(&signed_anew.0, &signed_anew.1).is_err() {
            break;
        }
        signed_anew = customer.pay(&merchant).await;
    }
    let unknown = merchant.accepts(&signed_anew.0, &signed_anew.1).unwrap_err();
    assert!(unknown.contains("not pinned"), "{unknown}");
    merchant.refresh(&tps, "second.keyset");
    merchant.accepts(&signed_anew.0, &signed_anew.1).unwrap();
    merchant.accepts(&before.0, &before.1).unwrap();

    // Revoked: with the next set, also where the batch was checked before.
    tps.json(&["key", "revoke", &first_proof]);
    merchant.accepts(&before.0, &before.1).unwrap();
    stop.store(true, Ordering::Relaxed);
    let (steady, paid) = paying.await.unwrap();
    assert!(paid.len() > 5, "{} payments went on", paid.len());
    for (quote, proof) in &paid {
        merchant.accepts(quote, proof).unwrap();
    }
    merchant.refresh(&tps, "third.keyset");
    for (quote, proof) in [&before, &overlap, &newest, &late] {
        assert!(merchant.accepts(quote, proof).unwrap_err().contains("not pinned"));
    }
    merchant.accepts(&signed_anew.0, &signed_anew.1).unwrap();
    let after = customer.pay(&merchant).await;
    merchant.accepts(&after.0, &after.1).unwrap();

    // Certificate keys: an old certificate goes on; one by the new key is believed with a newer set.
    tps.json(&["key", "rotate", "certificate", "--at-once"]);
    customer.check(&merchant).unwrap();
    merchant.refresh(&tps, "fourth.keyset");
    merchant.renew(&tps, "second.certificate");
    let refused = customer.check(&merchant).unwrap_err();
    assert!(matches!(refused, CtsError::Offer(_)) && refused.to_string().contains("not in the pinned"), "{refused}");
    customer.wallet.refresh_key_set().await.unwrap();
    let last = customer.pay(&merchant).await;
    merchant.accepts(&last.0, &last.1).unwrap();

    // Every payment was debited once, and every proof in the log holds, those by the revoked key, too.
    let units =
        |account: &str| -> i64 { id(&tps.json(&["account", "show", account])["balance"], "units").parse().unwrap() };
    assert_eq!(units(&steady.account), 10_000_000 - 100 * paid.len() as i64);
    assert_eq!(units(&other.account), 10_000_000 - 100 * paid_late);
    for customer in [&customer, &other, &steady] {
        customer.wallet.close().await;
    }
    assert!(tps.run(&["audit", "--proofs"]).status.success());
    server.terminate();
    assert!(tps.run(&["audit", "--proofs"]).status.success());
}

#[test]
fn no_money_moves_for_proofs_that_nobody_would_accept() {
    let tps = Installation::new();
    let data = DataDirectory::open(&tps.data).unwrap();
    let ring = KeyRing::load(&data).unwrap();
    // The proof key ends in a few seconds.
    let now = wall_clock();
    let proof = ring.current(KeyRole::Proof, now).unwrap();
    let ending = KeyFile { seed: proof.seed.clone(), valid_until: now.plus(20_000), ..*proof };
    ending.save(&ending.path(&data.keys())).unwrap();
    let server = tps.serve(&[]);
    let intake = || id(&tps.json(&["status"]), "intake");
    assert_eq!(intake(), "open");
    while intake() == "open" {
        assert!(wall_clock() < ending.valid_until, "payments stop before the key ends");
    }
    assert_eq!(intake(), "no-proof-key");
    // The next key opens the intake again.
    tps.json(&["key", "rotate", "proof", "--at-once"]);
    let begun = std::time::Instant::now();
    while intake() != "open" {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }
    server.terminate();
}

#[test]
fn a_mistake_in_the_configuration_ends_no_server_that_takes_new_keys() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    std::fs::write(tps.data.join("tps.toml"), "no such key = 1\n").unwrap();
    server.signal(rustix::process::Signal::HUP);
    let rotated = text(&tps.run(&["key", "rotate", "session"]).stdout);
    assert!(rotated.contains("goes on with its old keys") && rotated.contains("no such key"), "{rotated}");
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(&server.log).unwrap().contains("it goes on with what it has") {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }
    std::fs::write(tps.data.join("tps.toml"), "").unwrap();
    tps.json(&["reload"]);
    server.terminate();
}
