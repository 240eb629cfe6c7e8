//! What a merchant sees of two purchases of one customer, against what it sees of two customers. Every byte that reaches it
//! is compared, headers and connections included; nothing relies on encryption of the transport (K-39).

use std::collections::HashSet;

use cts_client::{BuyOptions, Wallet};
use protocol::proof::STATEMENT_BYTES;
use protocol::purchase::LoyaltyId;

use crate::shop::Recorded;
use crate::world::{EPHEMERAL_AT, World, one};

/// Long enough not to repeat by chance among some thousand bytes.
const WINDOW: usize = 8;
/// A part of a window that others do not have: long enough to be nobody's fixed text.
const PART: usize = 4;

fn windows(purchase: &[Recorded], length: usize) -> HashSet<Vec<u8>> {
    purchase.iter().flat_map(|record| record.sent.windows(length).map(<[u8]>::to_vec)).collect()
}

/// What two purchases of one customer share and a purchase of another customer has no part of: a link.
///
/// A window on the border of a fixed text and a random field holds only one or two random bytes, and two purchases share
/// such a one by chance now and then. Its other bytes are everybody's, so a window counts only if all its parts are new.
fn links(first: &[Recorded], second: &[Recorded], of_others: &[Recorded]) -> Vec<String> {
    let (first, second, others) = (windows(first, WINDOW), windows(second, WINDOW), windows(of_others, PART));
    let shared = first.intersection(&second).filter(|window| !window.windows(PART).any(|part| others.contains(part)));
    shared.map(|window| window.escape_ascii().to_string()).collect()
}

async fn purchase(world: &World, wallet: &Wallet, name: &str) -> Vec<Recorded> {
    purchase_by(world, wallet, name, None).await
}

/// A purchase of a customer that tells the merchant who it is, if it does.
async fn purchase_by(world: &World, wallet: &Wallet, name: &str, loyalty_id: Option<LoyaltyId>) -> Vec<Recorded> {
    world.shop.take_recorded();
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    let options = BuyOptions { output: Some(world.output(name)), loyalty_id, ..BuyOptions::default() };
    wallet.buy(&quoted, options).await.unwrap();
    let mut records = world.shop.take_recorded();
    records.iter_mut().for_each(blank_batch_time);
    records
}

/// The TPS's time in the proof is near in purchases that are near, whoever makes them (K-42): no field of the customer's.
fn blank_batch_time(record: &mut Recorded) {
    let position = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|window| window == text);
    let Some(request) = position(&record.sent, b"POST /pay/proof ") else { return };
    let body = request + position(&record.sent[request..], b"\r\n\r\n").unwrap() + 4;
    record.sent[body + STATEMENT_BYTES - 8..body + STATEMENT_BYTES].fill(0);
}

fn with(records: &[Recorded], before: &[u8], planted: &[u8]) -> Vec<Recorded> {
    let mut records = records.to_vec();
    for record in &mut records {
        let places: Vec<usize> =
            (0..record.sent.len()).filter(|place| record.sent[*place..].starts_with(before)).collect();
        for place in places.into_iter().rev() {
            record.sent.splice(place..place, planted.iter().copied());
        }
    }
    records
}

// spec: K-37, K-38, K-39, K-40, K-41, K-72
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_purchases_of_one_customer_share_nothing_that_two_customers_do_not() {
    let world = World::new().await;
    let (anne, bert) = (world.customer(1).await, world.customer(2).await);
    let first = purchase(&world, &anne, "first").await;
    let second = purchase(&world, &anne, "second").await;
    let other = purchase(&world, &bert, "other").await;
    assert_eq!(links(&first, &second, &other), Vec::<String>::new());

    // Each purchase has connections of its own, with every route on them.
    for records in [&first, &second, &other] {
        let sent: Vec<u8> = records.iter().flat_map(|record| record.sent.clone()).collect();
        let text = sent.escape_ascii().to_string().to_lowercase();
        for route in ["quote", "confirm", "proof", "send-goods"] {
            assert!(text.contains(&format!("post /pay/{route} http/1.1")), "{route}");
        }
        for header in ["user-agent", "cookie", "accept-language", "authorization", "if-none-match", "referer", "via"] {
            assert!(!text.contains(&format!("{header}:")), "{header}");
        }
    }

    // Nothing that only the TPS may read reaches the merchant: no instrument, no sealed half, no signature.
    let sent: Vec<u8> = first.iter().flat_map(|record| record.sent.clone()).collect();
    let state = world.tps.state();
    let sealed = &state.requests[0][EPHEMERAL_AT..];
    assert!(!sealed.windows(WINDOW).any(|window| sent.windows(WINDOW).any(|part| part == window)));
    assert!(!sent.windows(14).any(|window| window == &[1; 14][..]), "the instrument's id");
}

// spec: K-37, K-39, K-43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_along_links_no_two_purchases_with_the_same_loyalty_id() {
    let world = World::new().await;
    let (anne, bert) = (world.customer(1).await, world.customer(2).await);
    let card = || Some(LoyaltyId::new("card-4711-0815-2342".into()).unwrap());
    let first = purchase_by(&world, &anne, "first", card()).await;
    let second = purchase_by(&world, &anne, "second", card()).await;
    let other = purchase(&world, &bert, "other").await;
    assert_eq!(links(&first, &second, &other), Vec::<String>::new());
}

// spec: K-37, K-41
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_links_are_found() {
    let world = World::new().await;
    let (anne, bert) = (world.customer(1).await, world.customer(2).await);
    let first = purchase(&world, &anne, "first").await;
    let second = purchase(&world, &anne, "second").await;
    let other = purchase(&world, &bert, "other").await;
    assert!(links(&first, &second, &other).is_empty());

    let header = b"x-client: 5f0c1e77\r\n";
    let (a, b) = (with(&first, b"host:", header), with(&second, b"host:", header));
    assert!(!links(&a, &b, &other).is_empty(), "a constant header");
    let (a, b) = (
        with(&first, b"accept:", b"if-none-match: \"a81c3327\"\r\n"),
        with(&second, b"accept:", b"if-none-match: \"a81c3327\"\r\n"),
    );
    assert!(!links(&a, &b, &other).is_empty(), "a cached tag");
    // The confirmation of the first purchase: number, digest, then the ephemeral key.
    let confirm = protocol::purchase::MerchantMessageType::Confirmation.prefix();
    let record = first.iter().find(|record| record.sent.windows(3).any(|window| window == confirm)).unwrap();
    let place =
        record.sent.windows(7).position(|window| window[..4] == *b"\r\n\r\n" && window[4..] == confirm).unwrap() + 4;
    let ephemeral = record.sent[place + 51..place + 83].to_vec();
    assert!(!links(&first, &with(&second, b"\r\n\r\n", &ephemeral), &other).is_empty(), "a repeated ephemeral key");
    let salt = &record.sent[place + 19..place + 51];
    assert!(
        !links(&first, &with(&second, b"\r\n\r\n", salt), &other).is_empty(),
        "a repeated digest, as by a repeated salt"
    );
    let ticket = [0x9au8, 0x11, 0x5d, 0x02, 0xc7, 0x3e, 0x88, 0x61, 0x54, 0x0b];
    let (a, b) = (with(&first, b"POST", &ticket), with(&second, b"POST", &ticket));
    assert!(!links(&a, &b, &other).is_empty(), "a resumed ticket");
}
