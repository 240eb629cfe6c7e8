//! All three roles as processes: a server, a shop and a customer, killed, stalled, cut off and started again.
#![cfg(all(feature = "rocksdb", feature = "crash-points"))]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod desk;
mod world;

use std::process::Command;

use world::*;

// spec: K-01, K-02, K-12, K-14, K-28, K-43, K-48, K-50, K-95
#[test]
fn digital_and_hard_goods_are_bought_and_nobody_learns_what_is_not_theirs() {
    let mut world = World::new();
    world.buy_song("song");
    assert!(world.is_the_song("song"));
    std::fs::write(world.path("address"), format!("Ada Example\n{STREET}\n")).unwrap();
    let address = world.path("address");
    let address = ["--address", address.to_str().unwrap(), "--loyalty-id", CARD];
    let bought = world.cts(&[&["buy", &world.shop_url, "record", "--yes"], &address[..]].concat(), None);
    assert_eq!(world.balance(), 1_000_000 - 50_000 - 200_000);
    let order = bought["order"].as_str().unwrap();
    let shown = world.mts(&["orders", "show", order]);
    assert!(shown.to_string().contains(STREET));
    assert_eq!(shown["loyalty_id"], CARD);

    // Three directories, each with what is its own. No funding agency, no bank took part: there is none.
    assert!(!world.holds("tps", SONG_TEXT) && !world.holds("tps", STREET));
    assert!(!world.holds("shop", &world.account) && !world.holds("tps", "Ada Example"));
    assert!(world.holds("shop", CARD) && !world.holds("tps", CARD) && !world.holds("laptop", CARD));

    // The shop has no socket by which it could ask the TPS: the TPS speaks UDP, the shop owns no UDP socket.
    let shop = world.mts.as_ref().unwrap().0.id();
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{shop}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    assert!(!sockets.is_empty());
    let udp = ["udp", "udp6"].map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).unwrap()).concat();
    for line in udp.lines() {
        let inode = line.split_whitespace().nth(9).unwrap_or_default();
        assert!(!sockets.iter().any(|socket| socket == inode), "the shop owns a UDP socket");
    }

    // Goods again without any TPS at all.
    world.tps.take().unwrap().kill();
    let number = world.cts(&["history"], None)["orders"][0]["order"].as_str().unwrap().to_owned();
    let again = world.path("again");
    world.cts(&["recover", &number, "--out", again.to_str().unwrap()], None);
    assert!(world.is_the_song("again"));
}

// spec: K-75, K-81
#[test]
fn the_proof_is_verified_in_a_network_namespace_without_a_network() {
    let mut world = World::new();
    world.buy_song("song");
    let number = world.cts(&["history"], None)["orders"][0]["order"].as_str().unwrap().to_owned();
    let proof = world.path("proof");
    world.cts(&["proof", &number, "--out", proof.to_str().unwrap()], None);
    world.tps.take().unwrap().kill();
    world.mts.take().unwrap().kill();
    let verify = |bytes: &[u8]| {
        std::fs::write(&proof, bytes).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--net"])
            .arg(program("mts"))
            .arg("-d")
            .arg(world.path("shop"))
            .arg("verify")
            .arg(&proof);
        command.output().unwrap()
    };
    let bytes = std::fs::read(&proof).unwrap();
    let good = verify(&bytes);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let mut altered = bytes.clone();
    altered[100] ^= 1;
    assert_eq!(verify(&altered).status.code(), Some(3));
}

// spec: K-08, K-131, K-136
#[test]
fn any_process_may_die_at_any_time_and_the_song_is_paid_once_and_delivered() {
    let mut world = World::new();
    let mut expected = 1_000_000;
    let points = [
        "after-pending-stored",
        "after-request-sent",
        "after-answer-before-store",
        "after-proof-forwarded",
        "during-goods",
    ];
    for point in points {
        let out = world.path(point);
        let arguments = ["buy", &world.shop_url.clone(), "song", "--yes", "--out", out.to_str().unwrap()];
        let died = world.cts_output(&arguments, Some(point));
        assert!(!died.status.success(), "{point}: the client died");
        world.tps.take().unwrap().kill();
        world.mts.take().unwrap().kill();
        world.start_tps();
        world.start_mts();
        world.cts(&["resume"], None);
        expected -= 50_000;
        assert_eq!(world.balance(), expected, "{point}: paid once");
        assert!(world.is_the_song(point), "{point}: delivered");
    }

    // A stalled shop holds up nothing at the TPS: the same customer pays somebody's quote meanwhile.
    let (quote, proof) = (world.path("quote"), world.path("proof"));
    world.cts(&["quote", &world.shop_url, "song", "--out", quote.to_str().unwrap()], None);
    world.mts.take().unwrap().kill();
    let pay = ["pay", quote.to_str().unwrap(), "--yes", "--proof-out", proof.to_str().unwrap()];
    world.cts(&pay, None);
    assert_eq!(world.balance(), expected - 50_000);
    world.start_mts();
    let verified = world.mts(&["verify", proof.to_str().unwrap()]);
    assert!(verified.is_object());
    world.tps(&["audit", "--proofs"]);
}

// spec: K-07, K-136
#[test]
fn a_shop_that_cannot_deliver_for_a_while_is_paid_meanwhile_and_delivers_later() {
    let world = World::new();
    world.buy_song("first");
    let number = world.cts(&["history"], None)["orders"][0]["order"].as_str().unwrap().to_owned();
    let (goods, away) = (world.path("goods/song.flac"), world.path("away"));
    std::fs::rename(&goods, &away).unwrap();

    let [again, second] = ["again", "second"].map(|name| world.path(name).display().to_string());
    let recover = ["recover", &number, "--out", &again];
    assert!(!world.cts_output(&recover, None).status.success(), "there is nothing to deliver again");
    let buy = ["buy", &world.shop_url, "song", "--yes", "--out", &second];
    assert!(!world.cts_output(&buy, None).status.success(), "there is nothing to deliver");
    assert_eq!(world.balance(), 1_000_000 - 2 * 50_000, "but paid it is");
    let address = world.path("address");
    std::fs::write(&address, STREET).unwrap();
    world.cts(&["buy", &world.shop_url, "record", "--yes", "--address", address.to_str().unwrap()], None);

    std::fs::rename(&away, &goods).unwrap();
    world.cts(&["resume"], None);
    world.cts(&recover, None);
    assert!(world.is_the_song("second") && world.is_the_song("again"));
    assert_eq!(world.balance(), 1_000_000 - 2 * 50_000 - 200_000, "nothing was paid twice");
}

#[test]
fn frames_show_the_protocol_and_no_secret() {
    let world = World::new();
    let out = world.path("song");
    let arguments = ["buy", &world.shop_url, "song", "--yes", "--out", out.to_str().unwrap(), "--frames"];
    let output = world.cts_output(&arguments, None);
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for message in ["quote offer", "confirmation", "request-for-payment", "response", "shipping advice", "send-goods"] {
        assert!(shown.contains(message), "{message}: {shown}");
    }
    assert!(!shown.contains(&world.pin));
}
