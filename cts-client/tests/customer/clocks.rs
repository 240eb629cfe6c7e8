//! A machine whose clock is wrong: what it costs, what the user learns, and how it heals.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cts_client::skew::{TOLD_FROM_MS, WallClock};
use cts_client::store::OutcomeKind;
use cts_client::{BuyOptions, Patience, Wallet, WalletSettings, clock, wallet};
use protocol::certificate::MerchantCertificate;
use protocol::codec::Canonical as _;
use protocol::customer::purchase::PurchaseState;
use protocol::purchase::QuoteOffer;
use protocol::quote::Quote;
use protocol::response::Reason;
use protocol::time::{SECOND_MS, Timestamp};

use crate::world::{PIN, World, one, pin};

const HOUR_MS: i64 = 3_600_000;

fn open(world: &World, wall: fn() -> Timestamp) -> Wallet {
    let patience = Patience { attempts: 2, timeout: Duration::from_millis(400) };
    let settings = WalletSettings { patience, wall_clock: WallClock(wall), ..WalletSettings::default() };
    let wallet = Wallet::open(&world.directory(1), settings).unwrap();
    wallet.enter_pin(pin(PIN));
    wallet
}

fn reason(kind: &OutcomeKind) -> Reason {
    match kind {
        OutcomeKind::Decided { resolution, .. } => resolution.reason,
        other => panic!("not decided: {other:?}"),
    }
}

fn about(behind_ms: i64, expected: i64) -> bool {
    behind_ms.abs_diff(expected) < TOLD_FROM_MS / 2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_an_hour_behind_costs_one_denied_payment_and_heals() {
    static OFF: AtomicI64 = AtomicI64::new(0);
    fn wall() -> Timestamp {
        Timestamp(clock::now().0.saturating_add_signed(OFF.load(Ordering::Relaxed)))
    }
    let world = World::new().await;
    world.enrol(1).await;
    let wallet = open(&world, wall);
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid);
    assert!(about(wallet.clock_skew().unwrap().behind_ms, 0) && !world.directory(1).join("clock.json").exists());

    OFF.store(-HOUR_MS, Ordering::Relaxed);
    let denied = wallet.pay(&quoted).await.unwrap();
    assert_eq!(reason(&denied.kind), Reason::Expired, "valid-until was past");
    let skew = wallet.clock_skew().unwrap();
    assert!(about(skew.behind_ms, HOUR_MS) && skew.is_to_be_told(), "{skew}");
    assert!(skew.to_string().contains("behind"), "{skew}");
    let balance = world.tps.state().account.balance;
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid, "the next one is right");
    assert!(world.tps.state().account.balance < balance);
    drop(wallet);

    // The next process knows it, and so does whoever only looks.
    assert!(about(wallet::look(&world.directory(1)).unwrap().0.clock_skew.unwrap().behind_ms, HOUR_MS));
    let wallet = open(&world, wall);
    let quoted = wallet.quote(&world.shop.url(), one("mug")).await.unwrap();
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid);

    // The user sets the clock: what was learnt is wrong now, and is learnt anew.
    OFF.store(0, Ordering::Relaxed);
    let quoted = wallet.quote(&world.shop.url(), one("mug")).await.unwrap();
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid);
    assert!(about(wallet.clock_skew().unwrap().behind_ms, 0));
    assert!(about(wallet::look(&world.directory(1)).unwrap().0.clock_skew.unwrap().behind_ms, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_an_hour_ahead_buys_all_the_same_and_is_told() {
    fn wall() -> Timestamp {
        clock::now().plus(HOUR_MS as u64)
    }
    let world = World::new().await;
    world.enrol(1).await;
    let wallet = open(&world, wall);
    // Every quote looks expired.
    for name in ["first", "second"] {
        let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
        let options = BuyOptions { output: Some(world.output(name)), ..BuyOptions::default() };
        assert_eq!(wallet.buy(&quoted, options).await.unwrap().state, PurchaseState::Received);
        let skew = wallet.clock_skew().unwrap();
        assert!(
            about(skew.behind_ms, -HOUR_MS) && skew.is_to_be_told() && skew.to_string().contains("ahead"),
            "{skew}"
        );
    }
    drop(wallet);
    let wallet = open(&world, wall);
    assert!(about(wallet.clock_skew().unwrap().behind_ms, -HOUR_MS), "stored");
    let quoted = wallet.quote(&world.shop.url(), one("mug")).await.unwrap();
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid);
}

/// Whoever stands between customer and merchant sends a quote that has expired: nobody signs quotes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_quote_is_paid_by_nobody_and_spoils_no_other() {
    let world = World::new().await;
    world.enrol(1).await;
    let wallet = open(&world, clock::now);
    let honest = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    world.shop.tamper(|route, bytes| {
        if route == "quote" {
            let offer = QuoteOffer::decode(bytes).unwrap();
            let mut quote = Quote::decode(offer.quote_bytes()).unwrap();
            quote.issued_at.0 -= 40 * SECOND_MS;
            quote.expires_at = quote.issued_at.plus(20 * SECOND_MS);
            let certificate = MerchantCertificate::decode(offer.certificate_bytes()).unwrap();
            *bytes = QuoteOffer::new(&certificate, &quote).encode();
        }
    });
    // Nothing was ever learnt of this machine's clock, which may be ahead: the quote is shown.
    let old = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    let balance = world.tps.state().account.balance;
    let options = BuyOptions { output: Some(world.output("old")), ..BuyOptions::default() };
    wallet.buy(&old, options).await.unwrap_err();
    assert_eq!(world.tps.state().account.balance, balance, "the merchant authenticates its own quotes alone");
    // All else is judged as before.
    let elsewhere = wallet.check_offer(&world.shop.url(), &old.to_bytes()).unwrap_err();
    assert!(elsewhere.to_string().contains("expired"), "{elsewhere}");
    assert_eq!(reason(&wallet.pay(&honest).await.unwrap().kind), Reason::Paid);
    drop(wallet);

    // Without a merchant it is the TPS's time that counts, also where the customer has learnt nothing.
    let _ = std::fs::remove_file(world.directory(1).join("clock.json"));
    let wallet = open(&world, clock::now);
    let old = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    let balance = world.tps.state().account.balance;
    assert_eq!(reason(&wallet.pay(&old).await.unwrap().kind), Reason::Expired);
    assert_eq!(world.tps.state().account.balance, balance);
    assert!(about(wallet.clock_skew().unwrap().behind_ms, 0), "the denial told the time");
    let expired = wallet.pay(&old).await.unwrap_err();
    assert!(expired.to_string().contains("expired"), "{expired}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_made_earlier_tells_nothing() {
    static OFF: AtomicI64 = AtomicI64::new(0);
    fn wall() -> Timestamp {
        Timestamp(clock::now().0.saturating_add_signed(OFF.load(Ordering::Relaxed)))
    }
    let world = World::new().await;
    world.enrol(1).await;
    let wallet = open(&world, wall);
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    world.tps.state().faults.lose_answers = 2;
    wallet.pay(&quoted).await.unwrap_err();
    // An hour later the stored outcome is told, with the time it was made.
    OFF.store(HOUR_MS, Ordering::Relaxed);
    assert_eq!(reason(&wallet.settle().await.unwrap().unwrap().kind), Reason::Paid);
    assert_eq!(wallet.clock_skew(), None);
}
