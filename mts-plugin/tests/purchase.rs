//! A purchase through the HTTP layer: what a merchant does, and what it never does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use common::{ADDRESS, SONG_BYTES, World, opened, sent, sent_by, song};
use mts_plugin::{Settings, clock};
use protocol::codec::Canonical;
use protocol::ids::{MerchantId, QuoteDigest, TermsDigest, TransactionNumber};
use protocol::money::Amount;
use protocol::order::OrderState;
use protocol::proof::{Claim, Outcome};
use protocol::purchase::{
    AdviceStatus, AuthenticatedQuote, LoyaltyId, MerchantErrorCode as Code, QuoteRequest, SendGoods,
};
use protocol::request::PaymentKind;

// spec: K-12, K-29, K-84, K-86, K-88
#[tokio::test]
async fn digital_goods_are_quoted_paid_and_delivered() {
    let world = World::new();
    let (offer, sent, advice, _) = world.paid("song").await;
    let number = offer.quote().number;
    assert_eq!(advice.status, AdviceStatus::Paid);
    let advised = advice.goods.unwrap();
    assert_eq!((advised.digest, advised.length_bytes), (protocol::goods::digest(&song()), SONG_BYTES as u64));
    assert_eq!(advised.path, "send-goods");
    assert_eq!(world.merchant.store().order(number).unwrap().unwrap().state, OrderState::AwaitingSendGoods);

    let sealed = world.fetch(&sent.session, number, 0).await.unwrap();
    assert_eq!(opened(&sent.session, SONG_BYTES, 0, &sealed), Ok(song()));
    // The goods may be asked for again, arbitrarily later and from any chunk.
    let resumed = world.fetch(&sent.session, number, 2).await.unwrap();
    assert_eq!(opened(&sent.session, SONG_BYTES, 2, &resumed).unwrap(), song()[2 * 65_536..]);
    assert_eq!(world.fetch(&sent.session, number, 4).await, Err(Code::NoSuchChunk));
    assert_eq!(world.merchant.store().order(number).unwrap().unwrap().state, OrderState::Delivered);
    assert_eq!(*world.shop.paid.lock().unwrap(), [number]);
}

// spec: K-12, K-28
#[tokio::test]
async fn hard_goods_reach_the_sealed_address() {
    let world = World::new();
    let (offer, sent, advice, _) = world.paid("mug").await;
    let number = offer.quote().number;
    assert!(advice.goods.is_none() && advice.delivery_text.contains("shipped"));
    let order = world.merchant.store().order(number).unwrap().unwrap();
    assert_eq!(order.address.unwrap().expose(), ADDRESS);
    assert_eq!(world.fetch(&sent.session, number, 0).await, Err(Code::NotDigital));
    world.merchant.dispatched(number).unwrap();
    assert_eq!(world.merchant.store().order(number).unwrap().unwrap().state, OrderState::Delivered);
}

// spec: K-43
#[tokio::test]
async fn order_and_shop_learn_exactly_what_the_customer_calls_itself_and_by_default_nothing() {
    let world = World::new();
    let purchases = [("song", None), ("song", Some("card 4711-é")), ("mug", Some("card 4711-é")), ("mug", None)];
    let mut numbers = Vec::new();
    for (code, given) in purchases {
        let offer = world.offer(code).await;
        let sent = sent_by(&offer, given);
        let answer = world.post("/confirm", sent.message.encode()).await.unwrap();
        AuthenticatedQuote::decode(&answer).unwrap().verify(&sent.expected).unwrap();
        world.advised(world.proof(&offer)).await.unwrap();
        numbers.push(offer.quote().number);
    }
    let told: Vec<_> = world.shop.known.lock().unwrap().clone();
    let told: Vec<_> = told.iter().map(|id| id.as_ref().map(LoyaltyId::expose)).collect();
    assert_eq!(told, purchases.map(|(_, given)| given));
    let world = world.reopened(Settings::default());
    for (number, (code, given)) in numbers.into_iter().zip(purchases) {
        let order = world.merchant.store().order(number).unwrap().unwrap();
        assert_eq!(order.loyalty_id.as_ref().map(LoyaltyId::expose), given);
        assert_eq!(order.address.is_some(), code == "mug");
        assert!(!format!("{order:?}").contains("4711"));
    }
}

// spec: K-32, K-43
#[tokio::test]
async fn an_altered_confirmation_binds_and_records_nothing() {
    let world = World::new();
    let offer = world.offer("song").await;
    let message = sent_by(&offer, Some("card 4711")).message.encode();
    for index in 87..message.len() {
        let mut altered = message.clone();
        altered[index] ^= 1;
        assert_eq!(world.post("/confirm", altered).await, Err(Code::DoesNotOpen), "byte {index}");
    }
    let order = || world.merchant.store().order(offer.quote().number).unwrap().unwrap();
    assert_eq!((order().state, order().loyalty_id), (OrderState::AwaitingConfirmation, None));
    world.post("/confirm", message).await.unwrap();
    assert_eq!(order().loyalty_id.unwrap().expose(), "card 4711");
}

// spec: K-06
#[tokio::test]
async fn nothing_is_quoted_without_a_certificate() {
    let world = World::new();
    let certificate = world.directory.path().join("merchant/certificate-00000000000000000001");
    std::fs::remove_file(certificate).unwrap();
    let world = world.reopened(Settings::default());
    let request = QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode();
    assert_eq!(world.post("/quote", request).await, Err(Code::NotCertified));
}

// spec: K-20, K-21, K-25
#[tokio::test]
async fn quotes_hold_what_was_asked_for_and_no_signature() {
    let world = World::new();
    let quote = |items: &[(&str, u32)]| {
        QuoteRequest::new(items.iter().map(|(code, count)| ((*code).into(), *count)).collect()).unwrap().encode()
    };
    let bytes = world.post("/quote", quote(&[("mug", 2), ("cup", 1)])).await.unwrap();
    let offer = protocol::purchase::QuoteOffer::decode(&bytes).unwrap();
    let verified = offer.verify(&world.realm.customer_keys(), clock::now()).unwrap();
    assert_eq!(verified.quote().total.units(), 22_000_000);
    // Exactly certificate and quote: there is no room for a signature, and the quote alone is what was recorded.
    assert_eq!(bytes.len(), 3 + 4 + offer.certificate_bytes().len() + 4 + offer.quote_bytes().len());
    let order = world.merchant.store().order(verified.quote().number).unwrap().unwrap();
    assert_eq!(order.quote.encode(), offer.quote_bytes());
    assert_eq!(world.post("/quote", quote(&[("car", 1)])).await, Err(Code::UnknownItem));
    assert_eq!(world.post("/quote", quote(&[("mug", u32::MAX)])).await, Err(Code::UnknownItem));
    assert_eq!(world.post("/quote", quote(&[("mug", 1), ("song", 1)])).await, Err(Code::MixedGoods));
}

// spec: K-32, K-35
#[tokio::test]
async fn a_number_is_bound_to_the_first_confirming_key() {
    let world = World::new();
    let offer = world.offer("song").await;
    let first = sent(&offer);
    let answer = world.post("/confirm", first.message.encode()).await.unwrap();
    // The answer was lost: the same confirmation gets the same bytes, also after a restart.
    let world = world.reopened(Settings::default());
    assert_eq!(world.post("/confirm", first.message.encode()).await, Ok(answer.clone()));
    assert_eq!(world.post("/confirm", sent(&offer).message.encode()).await, Err(Code::BoundToOtherKey));
    let answer = AuthenticatedQuote::decode(&answer).unwrap();
    assert_eq!(answer.verify(&first.expected), Ok(()));
}

// spec: K-79
#[tokio::test]
async fn the_same_proof_a_hundred_times_is_one_order() {
    let world = World::new();
    let (offer, _, advice, proof) = world.paid("song").await;
    for _ in 0..100 {
        assert_eq!(world.advised(proof.clone()).await, Ok(advice.clone()));
    }
    assert!(world.merchant.store().surplus(None).unwrap().is_empty());
    assert_eq!(*world.shop.paid.lock().unwrap(), [offer.quote().number]);
}

// spec: K-75, K-76, K-77, K-81
#[tokio::test]
async fn only_a_genuine_proof_of_the_very_quote_is_taken() {
    let world = World::new();
    let offer = world.offer("song").await;
    let session = world.confirmed(&offer).await.session;
    let good = world.realm.claim(offer.quote());
    let cases = [
        (Claim { merchant: MerchantId([1; 16]), ..good }, Code::ProofForOtherMerchant),
        (Claim { number: TransactionNumber([1; 16]), ..good }, Code::UnknownNumber),
        (Claim { quote_digest: QuoteDigest([1; 32]), ..good }, Code::ProofMismatch),
        (Claim { amount: Amount::new(1).unwrap(), ..good }, Code::ProofMismatch),
        (Claim { kind: PaymentKind(3), ..good }, Code::ProofKind),
        (Claim { terms: TermsDigest([1; 32]), ..good }, Code::ProofKind),
    ];
    for (claim, code) in cases {
        assert_eq!(world.advised(world.realm.prove(claim, Outcome::Paid)).await, Err(code));
    }
    assert_eq!(world.advised(world.realm.pay(offer.quote(), Outcome::NotPaid)).await, Err(Code::ProofOfDenial));
    let proof = world.proof(&offer);
    for index in 0..proof.len() {
        let mut altered = proof.clone();
        altered[index] ^= 1;
        assert!(world.advised(altered).await.is_err(), "byte {index}");
    }
    assert_eq!(world.merchant.store().order(offer.quote().number).unwrap().unwrap().state, OrderState::AwaitingProof);
    // Anybody may present it: a proof does not say who paid.
    world.advised(proof).await.unwrap().verify(&session.advice, offer.quote().number).unwrap();
}

// spec: K-82, K-83
#[tokio::test]
async fn a_second_payment_is_surplus_and_buys_nothing() {
    let world = World::new();
    let (offer, sent, first, _) = world.paid("song").await;
    let number = offer.quote().number;
    let second = world.proof(&offer);
    for _ in 0..3 {
        let advice = world.advised(second.clone()).await.unwrap();
        advice.verify(&sent.session.advice, number).unwrap();
        assert_eq!((advice.status, advice.goods), (AdviceStatus::Surplus, first.goods.clone()));
    }
    assert_eq!(world.merchant.store().surplus(Some(number)).unwrap().len(), 1);
    assert_eq!(world.shop.paid.lock().unwrap().len(), 1);
}

// spec: K-83, K-87, K-109
#[tokio::test]
async fn nothing_leaves_before_a_proof_and_nothing_usable_reaches_a_thief() {
    let world = World::new();
    let offer = world.offer("song").await;
    let number = offer.quote().number;
    let sent_first = world.confirmed(&offer).await;
    assert_eq!(world.fetch(&sent_first.session, number, 0).await, Err(Code::NotPaid));

    let advice = world.advised(world.proof(&offer)).await.unwrap();
    // The thief saw everything in clear, but knows no session.
    let thief = sent(&offer);
    assert!(advice.verify(&thief.session.advice, number).is_err());
    assert_eq!(world.fetch(&thief.session, number, 0).await, Err(Code::NotAuthentic));
    let captured = world.fetch(&sent_first.session, number, 0).await.unwrap();
    assert!(opened(&thief.session, SONG_BYTES, 0, &captured).is_err());
    let beginning = &song()[..64];
    assert!(!captured.windows(64).any(|window| window == beginning));
}

#[tokio::test]
async fn an_expired_quote_that_was_paid_anyway_is_delivered() {
    let world = World::new();
    let (confirmed, open) = (world.offer("song").await, world.offer("song").await);
    let session = world.confirmed(&confirmed).await.session;
    let brief = World::with(Settings { quote_lifetime_ms: 1, ..Settings::default() });
    let lapsed = brief.merchant.quote(&QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode()).unwrap();
    let lapsed = protocol::purchase::QuoteOffer::decode(&lapsed).unwrap();
    let lapsed = protocol::quote::Quote::decode(lapsed.quote_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let proof = brief.realm.pay(&lapsed, Outcome::Paid);
    // Late, unconfirmed, but paid: recorded, and told what to do.
    assert_eq!(brief.advised(proof).await, Err(Code::NotConfirmed));
    assert_eq!(
        brief.merchant.store().order(lapsed.number).unwrap().unwrap().state,
        OrderState::PaidAwaitingConfirmation
    );

    // Paid by somebody who never confirmed; whoever confirms first is the initiator.
    let proof = world.proof(&open);
    assert_eq!(world.advised(proof.clone()).await, Err(Code::NotConfirmed));
    let initiator = world.confirmed(&open).await.session;
    let advice = world.advised(proof).await.unwrap();
    advice.verify(&initiator.advice, open.quote().number).unwrap();
    assert!(world.fetch(&initiator, open.quote().number, 0).await.is_ok());
    let advice = world.advised(world.proof(&confirmed)).await.unwrap();
    advice.verify(&session.advice, confirmed.quote().number).unwrap();
}

#[tokio::test]
async fn changed_goods_are_not_sent_under_the_same_session() {
    let world = World::new();
    let (offer, sent, _, _) = world.paid("song").await;
    std::fs::write(world.song_path(), vec![1; SONG_BYTES]).unwrap();
    assert_eq!(world.fetch(&sent.session, offer.quote().number, 0).await, Err(Code::GoodsChanged));
    std::fs::write(world.song_path(), song()).unwrap();
    assert!(world.fetch(&sent.session, offer.quote().number, 0).await.is_ok());
    std::fs::remove_file(world.song_path()).unwrap();
    assert_eq!(world.fetch(&sent.session, offer.quote().number, 0).await, Err(Code::GoodsUnavailable));
}

// spec: K-41
#[tokio::test]
async fn answers_carry_no_identifying_header_and_bodies_are_bounded() {
    let world = World::new();
    let request = QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode();
    let response = world.respond("/quote", request).await;
    let names: Vec<_> = response.headers().keys().map(|name| name.as_str().to_owned()).collect();
    for name in &names {
        assert!(["content-type", "content-length", "cache-control"].contains(&name.as_str()), "{names:?}");
    }
    let response = world.respond("/quote", vec![0; 200_000]).await;
    assert_eq!(response.status(), axum::http::StatusCode::PAYLOAD_TOO_LARGE);
}

// spec: K-36, K-38
#[tokio::test]
async fn the_merchants_records_link_no_two_purchases_of_a_customer() {
    let world = World::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..2 {
        let (offer, sent, _, proof) = world.paid("song").await;
        let send_goods = SendGoods::new(&sent.session.send_goods, offer.quote().number, 0).encode();
        world.post("/send-goods", send_goods.clone()).await.unwrap();
        // Everything that the customer sent: prefix and first-chunk field apart, no eight bytes repeat.
        let proof = protocol::proof::Proof::decode(&proof).unwrap();
        let chosen = [
            &sent.message.number.0[..],
            &sent.message.quote_digest.0,
            &sent.message.ephemeral.0,
            &send_goods[27..],
            &proof.opening,
        ];
        for window in chosen.iter().flat_map(|field| field.windows(8)) {
            seen.insert((window.to_vec(), offer.quote().number));
        }
    }
    let distinct: std::collections::HashSet<_> = seen.iter().map(|(window, _)| window).collect();
    assert_eq!(distinct.len(), seen.len());
}

#[tokio::test]
async fn malformed_messages_are_refused_with_what_is_wrong() {
    let world = World::new();
    for path in ["/quote", "/confirm", "/proof", "/send-goods", "/renegotiate"] {
        for (body, code) in
            [(vec![], Code::Malformed), (vec![1, 1, 0xff], Code::Malformed), (vec![0; 700], Code::Malformed)]
        {
            let refused = world.post(path, body).await.unwrap_err();
            assert!(refused == code || refused == Code::UnsupportedVersion, "{path}: {refused:?}");
        }
    }
    let offer = world.offer("song").await;
    let mut other_version = sent(&offer).message.encode();
    other_version[0] = 2;
    assert_eq!(world.post("/confirm", other_version).await, Err(Code::UnsupportedVersion));
    let mut other_suite = sent(&offer).message.encode();
    other_suite[1] = 2;
    assert_eq!(world.post("/confirm", other_suite).await, Err(Code::UnsupportedSuite));
}
