//! Two channels: what the customer's machine does over one, and the telephone over the other.

use std::process::Command;

use crate::world::World;

fn copy(world: &World, from: &str, to: &str) {
    let copied = Command::new("cp").arg("-r").arg(world.path(from)).arg(world.path(to)).status().unwrap();
    assert!(copied.success());
}

// spec: K-05, K-110, K-112, K-113
#[test]
fn the_pin_comes_from_the_vru_whose_credentials_are_nowhere_else() {
    let world = World::new();
    let (number, passcode) = (&world.mailer.number, &world.mailer.passcode);
    assert_eq!((number.len(), passcode.len()), (10, 8));
    assert_eq!(world.buy("laptop", "123456").0, 6, "no payment before there is a PIN");
    assert!(world.customer_calls(&["2", "0"]).contains("There is no PIN yet"));
    let pin = world.new_pin();
    assert_eq!(pin.len(), 6);
    assert_eq!(world.buy("laptop", &pin).0, 0);
    world.call(&[number, "00000000"]);

    // The client's disk and its bundle hold nothing of the VRU; logs hold no credential and no PIN, at any level.
    for place in ["laptop", "bundle", "tps.log", "mts.log", "shop"] {
        for secret in [number, passcode] {
            assert_eq!(world.holds(place, secret), "", "{place}");
        }
    }
    let spoken: Vec<String> = pin.chars().map(String::from).collect();
    assert_eq!(world.holds("tps.log", &spoken.join(" ")), "");
    // The server does not keep the passcode either: a hash of it alone.
    assert_eq!(world.holds("tps", passcode), "");
    // Nothing of the bundle is on the mailer.
    let bundle = std::fs::read(world.path("bundle")).unwrap();
    assert!(!world.mailer.text.contains(&world.instrument) && !world.mailer.text.contains(&world.account));
    assert!(!bundle.windows(8).any(|window| window == &passcode.as_bytes()[..8]));
    let told = world.tps(&["instrument", "show", &world.instrument]).to_string();
    assert!(!told.contains(number.as_str()) && !told.contains(passcode.as_str()));
}

// spec: K-114, K-120, K-125
#[test]
fn a_new_pin_resets_the_modifier_and_unlocks() {
    let world = World::new();
    let first = world.new_pin();
    assert_eq!(world.buy("laptop", &first).0, 0);
    assert_eq!(world.buy("laptop", &first).0, 0);
    copy(&world, "laptop", "old");
    let second = world.new_pin();
    assert_ne!(first, second);
    // The old modifier fails, with the old PIN as with the new one.
    assert_eq!(world.buy("old", &first).0, 6);
    world.cts("old", &["abandon"], None);
    assert_eq!(world.buy("old", &second).0, 6);
    // The CTS is told that the PIN is new, and begins with modifier zero.
    world.cts("laptop", &["new-pin"], Some(&second));
    assert_eq!(world.buy("laptop", &second).0, 0);

    let wrong: String = second.bytes().map(|digit| char::from(b'0' + (digit - b'0' + 1) % 10)).collect();
    for attempt in 0..5 {
        let (code, told) = world.buy("laptop", &wrong);
        assert_eq!(code, 6, "{attempt}: {told}");
        world.cts_output("laptop", &["abandon"], None);
    }
    assert_eq!(world.buy("laptop", &second).0, 6, "locked for the right PIN too");
    assert!(world.customer_calls(&["2", "0"]).contains("The PIN is locked"));
    let third = world.new_pin();
    world.cts("laptop", &["new-pin"], Some(&third));
    world.cts_output("laptop", &["resume"], Some(&third));
    assert_eq!(world.buy("laptop", &third).0, 0);
    assert!(!world.customer_calls(&["2", "0"]).contains("locked"));
}

// spec: K-121, K-124
#[test]
fn a_copied_client_is_recognised_and_the_owner_comes_back_through_the_vru() {
    let world = World::new();
    let pin = world.new_pin();
    assert_eq!(world.buy("laptop", &pin).0, 0);
    copy(&world, "laptop", "copy");
    assert_eq!(world.buy("copy", &pin).0, 0, "whoever has copy and PIN pays, once");
    let (code, told) = world.buy("laptop", &pin);
    assert_eq!(code, 5, "the original recognises the breach: {told}");
    assert!(told.to_string().contains("copy"), "{told}");
    assert_eq!(world.cts_output("laptop", &["status"], None).0, 5);
    // Nothing heals by itself: not by trying again, not by asking again.
    assert_eq!(world.buy("laptop", &pin).0, 5);
    assert_eq!(world.cts_output("laptop", &["resume"], Some(&pin)).0, 5);

    // The owner calls, gets a new PIN and hears the count.
    let second = world.new_pin();
    let said = world.customer_calls(&["2", "0"]);
    let count = said.split("last transaction is ").nth(1).unwrap().split('.').next().unwrap();
    assert_eq!(count, "2");
    assert!(said.contains("The balance is 0.900000 USD6."), "{said}");
    assert_eq!(world.cts_output("laptop", &["new-pin"], Some(&second)).0, 5, "a new PIN alone is not enough");
    assert_eq!(world.buy("laptop", &second).0, 5);
    world.cts("laptop", &["resync", "--count", count], None);
    world.cts_output("laptop", &["abandon"], None);
    let (code, told) = world.buy("laptop", &second);
    assert_eq!(code, 0, "{told}");
    // The copy is worth nothing any more, with either PIN.
    assert_ne!(world.buy("copy", &pin).0, 0);
    world.cts_output("copy", &["abandon"], None);
    assert_ne!(world.buy("copy", &second).0, 0);
    let said = world.customer_calls(&["2", "0"]);
    assert!(said.contains("last transaction is 3.") && said.contains("0.850000 USD6"), "{said}");
}

// spec: K-111, K-126
#[test]
fn both_channels_read_back_the_same() {
    let world = World::new();
    assert!(world.customer_calls(&["3", "0"]).contains("There was no transaction yet"));
    let pin = world.new_pin();
    for _ in 0..7 {
        assert_eq!(world.buy("laptop", &pin).0, 0);
    }
    world.tps(&["account", "hold", &world.account]);
    assert_eq!(world.buy("laptop", &pin).0, 3);
    let status = world.cts("laptop", &["status"], None);
    let history = world.cts("laptop", &["history"], None);
    let payments = history["payments"].as_array().unwrap();
    let latest = payments.iter().max_by_key(|payment| payment["count"].as_u64()).unwrap();
    let said = world.customer_calls(&["2", "3", "0"]);
    let count = status["next_count"].as_u64().unwrap() - 1;
    assert_eq!((count, latest["count"].as_u64()), (8, Some(8)));
    assert!(said.contains(&format!("last transaction is {count}.")), "{said}");
    assert!(said.contains(&format!("balance is {} USD6.", status["balance_text"].as_str().unwrap())), "{said}");
    assert!(said.contains("The operator has stopped the account."), "{said}");
    assert_eq!((latest["amount"].as_u64(), latest["outcome"].as_str()), (Some(50_000), Some("denied")));
    let amounts = said.lines().find(|line| line.starts_with("Number ")).unwrap();
    assert!(amounts.starts_with("Number 8: 0.050000 USD6, denied, on 2"), "{amounts}");
    for paid in 4..=7 {
        assert!(amounts.contains(&format!("Number {paid}: 0.050000 USD6, paid, on 2")), "{amounts}");
    }
    assert!(!amounts.contains("Number 3:") && amounts.contains("Earlier ones"), "{amounts}");

    // What differs can be reported, and the operator reads it.
    let said = world.customer_calls(&["5", "2", "0"]);
    let number: String = said.split("your report is ").nth(1).unwrap().split('.').next().unwrap().replace(' ', "");
    let listed = world.tps(&["report", "list"]);
    assert_eq!(listed["reports"][0]["number"].to_string(), number);
    let report = world.tps(&["report", "show", &number]);
    assert_eq!(
        (report["reason"].as_str(), report["instrument"].as_str()),
        (Some("readings-differ"), Some(&*world.instrument))
    );
    let closed = world.tps(&["report", "close", &number, "--note", "explained"]);
    assert_eq!(closed["note"], "explained");
    assert_eq!(world.tps(&["report", "list"])["reports"].as_array().unwrap().len(), 0);
    assert_eq!(world.tps(&["report", "list", "--all"])["reports"][0]["note"], "explained");
    assert!(!world.tps_output(&["report", "show", "10000000"]).status.success());
}

// spec: K-127
#[test]
fn a_hold_stops_the_very_next_payment() {
    let world = World::new();
    let pin = world.new_pin();
    assert_eq!(world.buy("laptop", &pin).0, 0);
    assert!(world.customer_calls(&["4", "1", "0"]).contains("Payments are stopped."));
    let (code, told) = world.buy("laptop", &pin);
    assert_eq!((code, told["reason"].as_str()), (3, Some("Held")), "{told}");
    let shown = world.tps(&["instrument", "show", &world.instrument]);
    assert_eq!((shown["held"].as_bool(), shown["held_by"].to_string().as_str()), (Some(true), "[\"customer\"]"));
    assert!(world.customer_calls(&["2", "4", "2", "0"]).contains("Payments go on."));
    assert_eq!(world.buy("laptop", &pin).0, 0);

    // The operator's hold stays, whatever the customer presses.
    world.tps(&["instrument", "hold", &world.instrument]);
    let said = world.customer_calls(&["4", "1", "4", "2", "0"]);
    assert!(said.contains("Payments are stopped.") && said.contains("the operator has stopped payments too"), "{said}");
    assert_eq!(world.buy("laptop", &pin).0, 3);
    world.tps(&["instrument", "release", &world.instrument]);
    assert_eq!(world.buy("laptop", &pin).0, 0);
    // Holds outlive the server.
    let mut world = world;
    world.customer_calls(&["4", "1", "0"]);
    world.restart_tps();
    assert_eq!(world.buy("laptop", &pin).0, 3);
    assert!(world.customer_calls(&["4", "2", "0"]).contains("Payments go on."));
    assert!(world.tps(&["audit"])["differences_found"] == 0);
}
