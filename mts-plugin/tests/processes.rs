//! Several processes on one store, and processes that end in the middle of a purchase.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::World;
use mts_plugin::{FolderShop, Home, Merchant, Settings};
use protocol::codec::Canonical;
use protocol::purchase::{QuoteOffer, QuoteRequest};
use protocol::quote::Quote;

/// Quotes per child; two children in two rounds make a hundred thousand.
const QUOTES: usize = 25_000;

/// What a child does: `MTS_TEST_ACTION` is an action and a file, `MTS_TEST_DIRECTORY` the world's directory.
#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    let Ok(directory) = std::env::var("MTS_TEST_DIRECTORY") else { return };
    let directory = Path::new(&directory);
    let action = std::env::var("MTS_TEST_ACTION").unwrap();
    let (action, file) = action.split_once(' ').unwrap();
    let shop = FolderShop::open(&directory.join("goods")).unwrap();
    let home = Home::open(&directory.join("merchant")).unwrap();
    let merchant = Merchant::open(home, Arc::new(shop), Settings::default()).unwrap();
    let message = || std::fs::read(file).unwrap();
    match action {
        "quote" => quote(&merchant, file),
        "confirm" => drop(merchant.confirm(&message()).unwrap()),
        "proof" => drop(merchant.present_proof(&message()).unwrap()),
        "renegotiate" => drop(merchant.renegotiate(&message()).unwrap()),
        "goods" => {
            let mut transfer = merchant.send_goods(&message()).unwrap();
            while merchant.next_chunk(&mut transfer).unwrap().is_some() {}
            merchant.delivered(transfer.number).unwrap();
        }
        other => panic!("{other}"),
    }
}

fn quote(merchant: &Merchant, file: &str) {
    let request = QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode();
    let mut numbers = BufWriter::new(std::fs::File::create(file).unwrap());
    for _ in 0..QUOTES {
        let offer = QuoteOffer::decode(&merchant.quote(&request).unwrap()).unwrap();
        numbers.write_all(&Quote::decode(offer.quote_bytes()).unwrap().number.0).unwrap();
    }
    numbers.flush().unwrap();
}

fn start(world: &World, action: &str, file: &Path, crash_at: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "child", "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
    command
        .env("MTS_TEST_DIRECTORY", world.directory.path())
        .env("MTS_TEST_ACTION", format!("{action} {}", file.display()));
    if let Some(point) = crash_at {
        command.env("MTS_CRASH_AT", point);
    }
    command.spawn().unwrap()
}

// spec: K-80
#[test]
fn two_processes_and_restarts_never_issue_a_number_twice() {
    let world = World::new();
    let mut numbers = HashSet::new();
    for round in 0..2 {
        let files: Vec<_> =
            (0..2).map(|child| world.directory.path().join(format!("numbers-{round}-{child}"))).collect();
        let children: Vec<_> = files.iter().map(|file| start(&world, "quote", file, None)).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        for file in files {
            let bytes = std::fs::read(file).unwrap();
            let (issued, []) = bytes.as_chunks::<16>() else { panic!("whole numbers") };
            assert_eq!(issued.len(), QUOTES);
            assert!(issued.iter().all(|number| numbers.insert(*number)), "a number was issued twice");
        }
    }
    assert_eq!(numbers.len(), 4 * QUOTES);
}

#[cfg(feature = "crash-points")]
mod crashes {
    use super::*;
    use common::{SONG_BYTES, opened, sent, song};
    use protocol::order::OrderState;
    use protocol::purchase::{
        Acknowledged, Renegotiation, RenegotiationAcknowledgment, RenegotiationPurpose, SendGoods, ShippingAdvice,
    };
    use protocol::session::AgreementSecret;

    /// Does one step in a process that ends at `point`.
    fn crash(world: &World, action: &str, message: &[u8], point: &str) {
        assert!(mts_plugin::crash::CRASH_POINTS.contains(&point));
        let file = world.directory.path().join("message");
        std::fs::write(&file, message).unwrap();
        assert!(!start(world, action, &file, Some(point)).wait().unwrap().success(), "{point} was passed");
    }

    async fn finishes(
        world: &World,
        offer: &protocol::purchase::VerifiedOffer,
        session: &protocol::session::merchant::MerchantSession,
        proof: &[u8],
    ) {
        let number = offer.quote().number;
        let advice = world.advised(proof.to_vec()).await.unwrap();
        advice.verify(&session.advice, number).unwrap();
        let sealed = world.fetch(session, number, 0).await.unwrap();
        assert_eq!(opened(session, SONG_BYTES, 0, &sealed), Ok(song()));
        assert!(world.merchant.store().surplus(None).unwrap().is_empty());
    }

    // spec: K-136
    #[tokio::test]
    async fn a_crash_around_the_binding_loses_nothing() {
        for point in ["before-binding", "after-binding"] {
            let world = World::new();
            let offer = world.offer("song").await;
            let sent = sent(&offer);
            crash(&world, "confirm", &sent.message.encode(), point);
            let bound = world.merchant.store().order(offer.quote().number).unwrap().unwrap().confirmation.is_some();
            assert_eq!(bound, point == "after-binding");
            world.post("/confirm", sent.message.encode()).await.unwrap();
            finishes(&world, &offer, &sent.session, &world.proof(&offer)).await;
        }
    }

    // spec: K-136
    #[tokio::test]
    async fn a_crash_between_proof_and_advice_still_ends_in_delivery() {
        for point in ["after-proof-recorded", "before-advice", "after-advice"] {
            let world = World::new();
            let offer = world.offer("song").await;
            let sent = world.confirmed(&offer).await;
            let proof = world.proof(&offer);
            crash(&world, "proof", &proof, point);
            let order = world.merchant.store().order(offer.quote().number).unwrap().unwrap();
            assert!(order.state.is_paid() && order.proof.as_deref() == Some(&proof[..]), "{point}");
            // The shop hears of the paid order even if the customer never comes back.
            let world = world.reopened(Settings::default());
            let announced = world.merchant.store().order(offer.quote().number).unwrap().unwrap().announced;
            assert!(announced, "{point}");
            finishes(&world, &offer, &sent.session, &proof).await;
        }
    }

    // spec: K-94, K-136
    #[tokio::test]
    async fn a_crash_after_a_renegotiation_is_answered_again() {
        let world = World::new();
        let (offer, sent, _, _) = world.paid("song").await;
        let ephemeral = AgreementSecret::from_random(mts_plugin::clock::random());
        let (purpose, token) = (RenegotiationPurpose::Retransmission, &sent.session.token);
        let (message, session) = Renegotiation::new(
            offer.quote().number,
            purpose,
            offer.quote_digest(),
            offer.certificate(),
            ephemeral,
            token,
        )
        .unwrap();
        crash(&world, "renegotiate", &message.encode(), "after-rekey");
        let answer =
            RenegotiationAcknowledgment::decode(&world.post("/renegotiate", message.encode()).await.unwrap()).unwrap();
        answer.verify(&session, &message).unwrap();
        assert!(matches!(answer.acknowledged, Acknowledged::Retransmission { .. }));
        let sealed = world.fetch(&session, offer.quote().number, 0).await.unwrap();
        assert_eq!(opened(&session, SONG_BYTES, 0, &sealed), Ok(song()));
    }

    // spec: K-136
    #[tokio::test]
    async fn a_crash_during_delivery_leaves_the_goods_to_be_asked_for_again() {
        let world = World::new();
        let (offer, sent, advice, proof) = world.paid("song").await;
        let number = offer.quote().number;
        crash(&world, "goods", &SendGoods::new(&sent.session.send_goods, number, 0).encode(), "before-last-chunk");
        assert_eq!(world.merchant.store().order(number).unwrap().unwrap().state, OrderState::AwaitingSendGoods);
        assert_eq!(world.advised(proof.clone()).await, Ok::<ShippingAdvice, _>(advice));
        finishes(&world, &offer, &sent.session, &proof).await;
    }
}
