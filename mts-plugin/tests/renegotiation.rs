//! Coming back with the TOKEN: goods keys end, the TOKEN outlives them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use common::{SONG_BYTES, World, opened, song};
use mts_plugin::Settings;
use mts_plugin::merchant::policy::RefundPolicy;
use protocol::codec::Canonical;
use protocol::order::OrderState;
use protocol::purchase::{
    Acknowledged, MerchantErrorCode as Code, RefundStatus, Renegotiation, RenegotiationAcknowledgment,
    RenegotiationPurpose, VerifiedOffer,
};
use protocol::session::AgreementSecret;
use protocol::session::merchant::{MerchantSession, Token};

const NO_KEYS: Settings = Settings {
    quote_lifetime_ms: 600_000,
    goods_key_lifetime_ms: 0,
    refunds: RefundPolicy::MANUAL,
    lapsed_retention_ms: 1_000_000,
};

fn made(offer: &VerifiedOffer, token: &Token, purpose: RenegotiationPurpose) -> (Renegotiation, MerchantSession) {
    let ephemeral = AgreementSecret::from_random(mts_plugin::clock::random());
    Renegotiation::new(offer.quote().number, purpose, offer.quote_digest(), offer.certificate(), ephemeral, token)
        .unwrap()
}

async fn retransmission(world: &World, offer: &VerifiedOffer, token: &Token) -> Result<MerchantSession, Code> {
    let (message, session) = made(offer, token, RenegotiationPurpose::Retransmission);
    let answer = world.post("/renegotiate", message.encode()).await?;
    let answer = RenegotiationAcknowledgment::decode(&answer).unwrap();
    answer.verify(&session, &message).unwrap();
    assert!(matches!(answer.acknowledged, Acknowledged::Retransmission { goods: Some(_), .. }));
    Ok(session)
}

// spec: K-44, K-89, K-90, K-93, K-94
#[tokio::test]
async fn expired_keys_need_a_renegotiation_and_the_token_outlives_them() {
    let world = World::new();
    let (offer, sent, _, proof) = world.paid("song").await;
    let number = offer.quote().number;
    let before = world.fetch(&sent.session, number, 0).await.unwrap();
    let world = world.reopened(NO_KEYS);
    assert_eq!(world.fetch(&sent.session, number, 0).await, Err(Code::Renegotiate));
    assert_eq!(world.post("/proof", proof).await, Err(Code::Renegotiate));
    world.merchant.maintain(mts_plugin::clock::now()).unwrap();
    let order = world.merchant.store().order(number).unwrap().unwrap();
    assert!(order.keys.is_none() && order.token.is_some());
    assert_eq!(order.state, OrderState::AwaitingRenegotiation);

    let world = world.reopened(Settings::default());
    let fresh = retransmission(&world, &offer, &sent.session.token).await.unwrap();
    let again = world.fetch(&fresh, number, 0).await.unwrap();
    assert_ne!(before, again);
    assert_eq!(opened(&fresh, SONG_BYTES, 0, &again), Ok(song()));
    assert!(opened(&sent.session, SONG_BYTES, 0, &again).is_err());
    assert_eq!(world.fetch(&sent.session, number, 0).await, Err(Code::NotAuthentic));
}

// spec: K-94
#[tokio::test]
async fn destroyed_keys_are_gone_from_the_files() {
    let world = World::new();
    let (_, sent, _, _) = world.paid("song").await;
    let holds = |world: &World, secret: &[u8]| {
        let directory = std::fs::read_dir(world.directory.path().join("merchant")).unwrap();
        directory.flatten().any(|file| {
            let bytes = std::fs::read(file.path()).unwrap_or_default();
            bytes.windows(32).any(|window| window == secret)
        })
    };
    assert!(holds(&world, sent.session.goods.expose()));
    let world = world.reopened(NO_KEYS);
    world.merchant.maintain(mts_plugin::clock::now()).unwrap();
    assert!(!holds(&world, sent.session.goods.expose()));
    assert!(holds(&world, sent.session.token.expose()));
}

// spec: K-91
#[tokio::test]
async fn wrong_tokens_and_replays_are_refused() {
    let world = World::new();
    let (offer, sent, _, _) = world.paid("song").await;
    let wrong = Token::from_bytes([1; 32]);
    assert_eq!(retransmission(&world, &offer, &wrong).await.err(), Some(Code::TokenRefused));

    let (first, _) = made(&offer, &sent.session.token, RenegotiationPurpose::Retransmission);
    let answer = world.post("/renegotiate", first.encode()).await.unwrap();
    // Its answer was lost: the same message gets the same answer, until a later one replaces it.
    assert_eq!(world.post("/renegotiate", first.encode()).await, Ok(answer));
    let fresh = retransmission(&world, &offer, &sent.session.token).await.unwrap();
    assert_eq!(world.post("/renegotiate", first.encode()).await, Err(Code::RenegotiationReplayed));
    assert!(world.fetch(&fresh, offer.quote().number, 0).await.is_ok(), "the replay changed nothing");
    let bytes = first.encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        assert!(world.post("/renegotiate", altered).await.is_err(), "byte {index}");
    }
}

#[tokio::test]
async fn a_late_proof_is_recorded_and_delivered_after_a_renegotiation() {
    let world = World::new();
    let offer = world.offer("song").await;
    let sent = world.confirmed(&offer).await;
    assert_eq!(retransmission(&world, &offer, &sent.session.token).await.err(), Some(Code::NotPaid));
    let world = world.reopened(NO_KEYS);
    assert_eq!(world.post("/proof", world.proof(&offer)).await, Err(Code::Renegotiate));
    let world = world.reopened(Settings::default());
    assert_eq!(world.shop.paid.lock().unwrap().len(), 0, "announced before the restart");
    let fresh = retransmission(&world, &offer, &sent.session.token).await.unwrap();
    let sealed = world.fetch(&fresh, offer.quote().number, 0).await.unwrap();
    assert_eq!(opened(&fresh, SONG_BYTES, 0, &sealed), Ok(song()));
}

#[tokio::test]
async fn changed_goods_are_sent_under_a_new_session() {
    let world = World::new();
    let (offer, sent, _, _) = world.paid("song").await;
    std::fs::write(world.song_path(), b"a remix").unwrap();
    let number = offer.quote().number;
    assert_eq!(world.fetch(&sent.session, number, 0).await, Err(Code::GoodsChanged));
    let (message, session) = made(&offer, &sent.session.token, RenegotiationPurpose::Retransmission);
    let answer =
        RenegotiationAcknowledgment::decode(&world.post("/renegotiate", message.encode()).await.unwrap()).unwrap();
    answer.verify(&session, &message).unwrap();
    let Acknowledged::Retransmission { goods: Some(goods), .. } = answer.acknowledged else { panic!() };
    assert_eq!(goods.digest, protocol::goods::digest(b"a remix"));
    let sealed = world.fetch(&session, number, 0).await.unwrap();
    assert_eq!(opened(&session, 7, 0, &sealed).unwrap(), b"a remix");
}

async fn refund(world: &World, offer: &VerifiedOffer, token: &Token) -> Result<RefundStatus, Code> {
    let (message, session) = made(offer, token, RenegotiationPurpose::Refund);
    let answer = RenegotiationAcknowledgment::decode(&world.post("/renegotiate", message.encode()).await?).unwrap();
    answer.verify(&session, &message).unwrap();
    match answer.acknowledged {
        Acknowledged::Refund { status } => Ok(status),
        Acknowledged::Retransmission { .. } => panic!("a refund was asked for"),
    }
}

// spec: K-103
#[tokio::test]
async fn the_shop_is_not_told_to_deliver_what_was_refunded_before_it_heard_of_it() {
    let world = World::new();
    // Paid by somebody before anybody confirmed: the shop does not hear of it yet.
    let (refunded, open) = (world.offer("mug").await, world.offer("mug").await);
    for offer in [&refunded, &open] {
        assert_eq!(world.advised(world.proof(offer)).await.err(), Some(Code::NotConfirmed));
    }
    world.merchant.accept_refund(refunded.quote().number, false).unwrap();
    world.merchant.maintain(mts_plugin::clock::now()).unwrap();
    assert!(world.shop.paid.lock().unwrap().is_empty());
    // The other order is announced once it is confirmed, the refunded one never.
    world.confirmed(&open).await;
    world.merchant.maintain(mts_plugin::clock::now()).unwrap();
    assert_eq!(*world.shop.paid.lock().unwrap(), [open.quote().number]);
    let world = world.reopened(Settings::default());
    assert!(world.shop.paid.lock().unwrap().is_empty());
}

// spec: K-96, K-103, K-104
#[tokio::test]
async fn a_refund_is_the_merchants_decision_and_ends_delivery() {
    let world = World::new();
    let (offer, sent, _, _) = world.paid("song").await;
    let (number, token) = (offer.quote().number, &sent.session.token);
    assert_eq!(refund(&world, &offer, &Token::from_bytes([1; 32])).await, Err(Code::TokenRefused));
    assert_eq!(refund(&world, &offer, token).await, Ok(RefundStatus::Requested));
    assert_eq!(world.fetch(&sent.session, number, 0).await, Err(Code::Refunded));
    world.merchant.refuse_refund(number).unwrap();
    assert_eq!(refund(&world, &offer, token).await, Ok(RefundStatus::Refused));
    assert!(retransmission(&world, &offer, token).await.is_ok());
    assert!(world.merchant.accept_refund(number, false).unwrap());
    assert_eq!(refund(&world, &offer, token).await, Ok(RefundStatus::Accepted));
    assert_eq!(retransmission(&world, &offer, token).await.err(), Some(Code::Refunded));
}
