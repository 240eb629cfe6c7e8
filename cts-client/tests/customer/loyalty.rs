//! A customer that wants to be known, to one merchant and in one purchase (K-43). Everybody else learns nothing of it.

use cts_client::BuyOptions;
use mts_plugin::Home;
use mts_plugin::store::{Order, Store};
use protocol::ids::TransactionNumber;
use protocol::purchase::{LoyaltyId, RefundStatus};

use crate::command_line::run;
use crate::shop::{Recorded, song};
use crate::world::{PIN, World, one};

const CARD: &str = "card-4711-0815-2342";

fn order(world: &World, number: TransactionNumber) -> Order {
    let home = Home::open(&world.output("merchant")).unwrap();
    Store::open(&home.orders_path()).unwrap().order(number).unwrap().unwrap()
}

fn id_of(order: &Order) -> Option<&str> {
    order.loyalty_id.as_ref().map(LoyaltyId::expose)
}

/// Whether any eight letters of the card stand in `bytes`, as they are or as hexadecimal digits.
fn tells(bytes: &[u8]) -> bool {
    let digits = hex::encode(CARD);
    let parts = || CARD.as_bytes().windows(8).chain(digits.as_bytes().windows(16).step_by(2));
    parts().any(|part| bytes.windows(part.len()).any(|window| window == part))
}

fn bytes_both_ways(records: &[Recorded]) -> (usize, usize) {
    let sum = |direction: fn(&Recorded) -> usize| records.iter().map(direction).sum();
    (sum(|record| record.sent.len()), sum(|record| record.received.len()))
}

fn all_files(directory: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { all_files(&path) } else { std::fs::read(&path).unwrap() });
    }
    all
}

// spec: K-43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_shows_the_id_and_nothing_else_tells_it() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let mut lengths = Vec::new();
    for (name, id) in [("unknown", None), ("known", Some(CARD))] {
        let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
        let number = quoted.quote().number;
        world.shop.take_recorded();
        let loyalty_id = id.map(|text| LoyaltyId::new(text.into()).unwrap());
        let options = BuyOptions { output: Some(world.output(name)), loyalty_id, ..BuyOptions::default() };
        assert!(!tells(format!("{options:?}").as_bytes()));
        wallet.buy(&quoted, options).await.unwrap();
        assert_eq!(id_of(&order(&world, number)), id);
        let mut records = world.shop.take_recorded();
        lengths.push(bytes_both_ways(&records));

        // Coming back for the goods and for the money tells it no second time, and the order keeps it.
        std::fs::remove_file(world.output(name)).unwrap();
        wallet.recover(number, BuyOptions::default()).await.unwrap();
        assert_eq!(std::fs::read(world.output(name)).unwrap(), song());
        assert_eq!(wallet.ask_refund(number).await.unwrap(), RefundStatus::Requested);
        assert_eq!(id_of(&order(&world, number)), id);
        records.extend(world.shop.take_recorded());
        assert!(records.iter().all(|record| !tells(&record.sent) && !tells(&record.received)), "{name}");
    }
    assert_eq!(lengths[0], lengths[1], "lengths say who wants to be known");
    assert!(world.tps.state().requests.iter().all(|request| !tells(request)));
    assert!(!tells(&all_files(&world.directory(1))), "the customer's directory remembers it");
    // Nothing goes on into the next purchase.
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    let options = BuyOptions { output: Some(world.output("next")), ..BuyOptions::default() };
    wallet.buy(&quoted, options).await.unwrap();
    assert_eq!(id_of(&order(&world, quoted.quote().number)), None);
    assert!(tells(&all_files(&world.output("merchant"))), "the search finds what is there");
}

// spec: K-32, K-43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_paid_where_the_id_was_altered_on_the_way() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    world.shop.tamper(|route, bytes| {
        if route == "confirm" {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
    });
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    let loyalty_id = Some(LoyaltyId::new(CARD.into()).unwrap());
    let options = BuyOptions { output: Some(world.output("song")), loyalty_id, ..BuyOptions::default() };
    assert!(wallet.buy(&quoted, options).await.is_err());
    assert!(world.tps.state().requests.is_empty());
}

/// The confirmations among what the customer sent: they begin after the headers and are of one length.
#[cfg(feature = "crash-points")]
fn confirmations(records: &[Recorded]) -> Vec<Vec<u8>> {
    let prefix = protocol::purchase::MerchantMessageType::Confirmation.prefix();
    let begin = [b"\r\n\r\n", &prefix[..]].concat();
    let starts = |sent: &[u8]| (0..sent.len()).filter(|place| sent[*place..].starts_with(&begin)).collect::<Vec<_>>();
    let of = |record: &Recorded| {
        starts(&record.sent)
            .into_iter()
            .map(|place| record.sent[place + 4..place + 4 + 359].to_vec())
            .collect::<Vec<_>>()
    };
    records.iter().flat_map(of).collect()
}

// spec: K-43
#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_tells_the_same_id_again_without_being_told_it() {
    let world = World::new().await;
    world.enrol(1).await;
    let (directory, url) = (world.directory(1), world.shop.url());
    for (point, sent) in [("after-confirmation-stored", 1), ("after-confirmation-sent", 2)] {
        world.shop.take_recorded();
        let out = world.output(point).display().to_string();
        let buy = ["buy", &url, "song", "--yes", "--loyalty-id", CARD, "--out", &out, "--pin-fd", "0"];
        assert_eq!(run(&directory, &buy, PIN, Some(point)).await.status.code(), None, "{point} was not reached");
        assert!(!tells(&all_files(&directory)), "{point}");
        let resumed = run(&directory, &["resume", "--pin-fd", "0"], PIN, None).await;
        assert!(resumed.status.success(), "{point}: {}", String::from_utf8_lossy(&resumed.stderr));
        let (.., purchases) = cts_client::wallet::look(&directory).unwrap();
        let number = purchases.last().unwrap().purchase.number().unwrap();
        assert_eq!(id_of(&order(&world, number)), Some(CARD), "{point}");
        let confirmations = confirmations(&world.shop.take_recorded());
        assert_eq!(confirmations.len(), sent, "{point}");
        assert!(confirmations.iter().all(|one| *one == confirmations[0]), "{point}");
    }
}

// spec: K-43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_takes_an_id_names_its_bounds_and_prints_it_nowhere() {
    let world = World::new().await;
    world.enrol(1).await;
    let (directory, url) = (world.directory(1), world.shop.url());
    let out = world.output("song").display().to_string();
    let buy = async |id: &str| {
        let arguments = ["--frames", "--json", "buy", &url, "song", "--yes", "--out", &out, "--pin-fd", "0"];
        run(&directory, &[&arguments[..], &["--loyalty-id", id]].concat(), PIN, None).await
    };
    for (wrong, named) in [(CARD.repeat(4), "at most 64 bytes"), (String::new(), "blank"), ("a\nb".into(), "control")] {
        let refused = buy(&wrong).await;
        let text = String::from_utf8_lossy(&refused.stdout).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains(named) && !tells(&refused.stdout) && !tells(&refused.stderr), "{text}");
    }
    assert!(world.shop.take_recorded().is_empty(), "nobody was asked for a quote");
    let bought = buy(CARD).await;
    assert!(bought.status.success(), "{}", String::from_utf8_lossy(&bought.stderr));
    assert!(!tells(&bought.stdout) && !tells(&bought.stderr));
    let receipt: serde_json::Value = serde_json::from_slice(&bought.stdout).unwrap();
    let number = receipt["order"].as_str().unwrap().parse().unwrap();
    assert_eq!(id_of(&order(&world, number)), Some(CARD));
    let history = run(&directory, &["--json", "history"], "", None).await;
    assert!(history.status.success() && !tells(&history.stdout));
}
