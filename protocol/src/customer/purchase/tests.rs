use std::fmt::Write as _;

use super::*;
use crate::certificate::{CertificateRequest, CertificateTerms};
use crate::ids::{MerchantId, RealmId};
use crate::key_set::PinnedKeySet;
use crate::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet};
use crate::money::{Amount, Asset};
use crate::purchase::{
    Acknowledged, Confirmation, LoyaltyId, OpenedConfirmation, OpenedRenegotiation, Renegotiation,
    RenegotiationAcknowledgment,
};
use crate::quote::{GoodsKind, QuoteItem, QuoteTerms};
use crate::session::merchant::SessionTerms;
use crate::signature::{CertificateRole, RootRole, SigningKey};
use crate::time::DAY_MS;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const REALM: RealmId = RealmId([7; 16]);
const MERCHANT: MerchantId = MerchantId([5; 16]);

const EVENTS: [PurchaseEvent; 14] = [
    PurchaseEvent::Confirm,
    PurchaseEvent::Decline,
    PurchaseEvent::Authenticated,
    PurchaseEvent::Stop,
    PurchaseEvent::BeginPayment,
    PurchaseEvent::GivenUp,
    PurchaseEvent::OutcomeUnknown,
    PurchaseEvent::Paid,
    PurchaseEvent::Denied,
    PurchaseEvent::PaidElsewhere,
    PurchaseEvent::Advised,
    PurchaseEvent::AdvisedShipping,
    PurchaseEvent::Received,
    PurchaseEvent::Acknowledged,
];

// spec: K-26, K-74, K-92
#[test]
fn every_state_and_every_event() {
    let mut table = String::new();
    for state in PurchaseState::ALL {
        writeln!(table, "{state:?}").unwrap();
        for event in EVENTS {
            match state.on(event) {
                Ok(next) => {
                    assert!(!state.is_paid() || next.is_paid(), "{state:?} forgets its payment at {event:?}");
                    assert!(
                        next != PurchaseState::AwaitingOutcome || state == PurchaseState::AwaitingPayment,
                        "unconfirmed"
                    );
                    writeln!(table, "    {event:<18?}{next:?}").unwrap();
                }
                Err(refused) => assert_eq!(refused, PurchaseRefused { state, event }),
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/customer/purchase/states.txt");
    if std::env::var_os("QUITTANCE_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(table, golden, "the table of states and events changed; if it should, set QUITTANCE_BLESS=1");
}

fn merchant_secret() -> AgreementSecret {
    AgreementSecret::from_random([4; 32])
}

fn certificate(merchant: MerchantId, secret: &AgreementSecret) -> MerchantCertificate {
    let request =
        CertificateRequest::new("Elm Music".into(), secret.public(), &SigningKey::from_seed([3; 32])).unwrap();
    let terms = CertificateTerms { realm: REALM, serial: 1, merchant, valid_from: NOW, valid_until: NOW.plus(DAY_MS) };
    MerchantCertificate::issue(&request, &terms, &SigningKey::from_seed([2; 32])).unwrap()
}

fn keys() -> PinnedKeySet {
    let root = SigningKey::<RootRole>::from_seed([1; 32]);
    let mut set = KeySet::new(REALM, Audience::Customer, 1, NOW, 400 * DAY_MS);
    let issuer = SigningKey::<CertificateRole>::from_seed([2; 32]).public();
    set.keys = vec![KeyEntry::new(KeyRole::Certificate, issuer, NOW, NOW.plus(5 * DAY_MS))];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    set.sign(&root).unwrap().verify(&root.public(), None, Audience::Customer, NOW, 0).unwrap()
}

fn quote(lifetime_ms: u64) -> Quote {
    let amount = Amount::new(50).unwrap();
    let items = vec![QuoteItem { code: "song".into(), description: "A song".into(), quantity: 1, amount }];
    Quote::new(QuoteTerms {
        realm: REALM,
        merchant: MERCHANT,
        number: TransactionNumber([3; 16]),
        items,
        asset: Asset::USD6,
        goods: GoodsKind::Digital,
        issued_at: NOW,
        lifetime_ms,
        salt: [4; 32],
    })
    .unwrap()
}

fn offered() -> VerifiedOffer {
    QuoteOffer::new(&certificate(MERCHANT, &merchant_secret()), &quote(600_000)).verify(&keys(), NOW).unwrap()
}

fn stored(purchase: &Purchase) -> Purchase {
    serde_json::from_str(&serde_json::to_string(purchase).unwrap()).unwrap()
}

fn confirmed() -> (Purchase, MerchantSession) {
    let mut purchase = Purchase::new(&offered());
    purchase.confirm(&offered(), AgreementSecret::from_random([9; 32]), &OrderData::default(), NOW).unwrap();
    let message = Confirmation::decode(purchase.confirmation_bytes().unwrap()).unwrap();
    let digest = purchase.certificate().unwrap().digest();
    let OpenedConfirmation { session, .. } = message.open(&quote(600_000), &merchant_secret(), digest).unwrap();
    (stored(&purchase), session)
}

fn authentication(session: &MerchantSession, quote: &Quote) -> Vec<u8> {
    AuthenticatedQuote::new(session, quote.number, quote.digest(), &OrderData::default()).encode()
}

fn paid() -> (Purchase, MerchantSession) {
    let (mut purchase, session) = confirmed();
    purchase.authenticated(&authentication(&session, &quote(600_000))).unwrap();
    let content = purchase.begin_payment(ModifierPart(1), NOW).unwrap();
    let resolution = Resolution { count: 1, content, reason: Reason::Paid, balance: 5 };
    purchase.resolved(&resolution, b"proof").unwrap();
    (stored(&purchase), session)
}

fn goods(byte: u8) -> DigitalGoods {
    DigitalGoods { digest: Digest([byte; 32]), length_bytes: 3, path: "send-goods".into(), format: 1 }
}

fn advice(session: &MerchantSession, goods: Option<DigitalGoods>) -> Vec<u8> {
    ShippingAdvice::new(&session.advice, quote(600_000).number, AdviceStatus::Paid, goods, String::new())
        .unwrap()
        .encode()
}

// spec: K-26, K-73, K-74, K-88
#[test]
fn a_purchase_goes_through_and_survives_its_store_at_every_step() {
    let (mut purchase, session) = paid();
    assert_eq!(purchase.proof_bytes(), Some(&b"proof"[..]));
    assert!(purchase.send_goods(0).is_err(), "not advised yet");
    purchase.advised_by(&advice(&session, Some(goods(8)))).unwrap();
    let mut purchase = stored(&purchase);
    let asked = SendGoods::decode(&purchase.send_goods(2).unwrap()).unwrap();
    asked.verify(&session.send_goods).unwrap();
    assert_eq!(purchase.goods_key().unwrap().expose(), session.goods.expose());
    let wrong = purchase.received(Digest([9; 32]));
    assert!(matches!(wrong, Err(PurchaseError::WrongGoods { .. })));
    assert_eq!(purchase.state(), PurchaseState::AwaitingGoods);
    purchase.received(Digest([8; 32])).unwrap();
    assert_eq!(purchase.state(), PurchaseState::Received);
    assert!(purchase.session.is_none() && purchase.token.is_some(), "the TOKEN outlives the keys");
    assert!(!format!("{purchase:?}").contains(&hex::encode(session.token.expose())));
}

// spec: K-32, K-34
#[test]
fn every_altered_byte_of_the_authentication_stops_the_purchase() {
    let (purchase, session) = confirmed();
    let answer = authentication(&session, &quote(600_000));
    for index in 0..answer.len() {
        let mut altered = answer.clone();
        altered[index] ^= 1;
        let mut stopped = purchase.clone();
        assert!(stopped.authenticated(&altered).is_err(), "byte {index}");
        assert_eq!(stopped, purchase);
        assert!(stopped.begin_payment(ModifierPart(1), NOW).is_err(), "no request-for-payment without authentication");
    }
    let other = authentication(&session, &quote(600_001));
    assert_eq!(purchase.clone().authenticated(&other), Err(PurchaseError::NotAuthentic));
}

// spec: K-32, K-43
#[test]
fn a_loyalty_id_must_come_back_authenticated_is_kept_nowhere_and_given_once() {
    let id = "card-4711-0815";
    let given = OrderData { loyalty_id: Some(LoyaltyId::new(id.into()).unwrap()), ..OrderData::default() };
    let mut purchase = Purchase::new(&offered());
    purchase.confirm(&offered(), AgreementSecret::from_random([9; 32]), &given, NOW).unwrap();
    let text = serde_json::to_string(&purchase).unwrap();
    assert!(!text.contains(id) && !text.contains(&hex::encode(id)));
    // Whoever was killed sends the same bytes again, without having been told the id again.
    let mut purchase = stored(&purchase);
    let message = Confirmation::decode(purchase.confirmation_bytes().unwrap()).unwrap();
    let digest = purchase.certificate().unwrap().digest();
    let opened = message.open(&quote(600_000), &merchant_secret(), digest).unwrap();
    assert_eq!(opened.order_data, given);
    let answer = |data: &OrderData| {
        AuthenticatedQuote::new(&opened.session, quote(600_000).number, quote(600_000).digest(), data).encode()
    };
    let other =
        OrderData { loyalty_id: Some(LoyaltyId::new("card-4711-0816".into()).unwrap()), ..OrderData::default() };
    for received in [&other, &OrderData::default()] {
        assert_eq!(purchase.clone().authenticated(&answer(received)), Err(PurchaseError::NotAuthentic));
    }
    purchase.authenticated(&answer(&given)).unwrap();
    assert!(purchase.authenticated_quote.is_none(), "guesses at the id cannot be tried at what is stored");
}

// spec: K-85, K-74
#[test]
fn every_altered_byte_of_the_advice_is_refused_and_the_purchase_stays_paid() {
    let (purchase, session) = paid();
    let answer = advice(&session, Some(goods(8)));
    for index in 0..answer.len() {
        let mut altered = answer.clone();
        altered[index] ^= 1;
        let mut same = purchase.clone();
        assert!(same.advised_by(&altered).is_err(), "byte {index}");
        assert_eq!(same, purchase);
        assert!(same.send_goods(0).is_err());
    }
    let (_, other) = MerchantSession::for_customer(
        AgreementSecret::from_random([8; 32]),
        &merchant_secret().public(),
        &SessionTerms { certificate: Digest::ZERO, quote: quote(1).digest() },
    )
    .map(|(session, _)| ((), session))
    .unwrap();
    assert_eq!(purchase.clone().advised_by(&advice(&other, None)), Err(PurchaseError::NotAuthentic));
}

// spec: K-90, K-91, K-92, K-93, K-94
#[test]
fn the_token_gets_the_goods_again_under_a_fresh_key() {
    let (mut purchase, session) = paid();
    purchase.advised_by(&advice(&session, Some(goods(8)))).unwrap();
    purchase.received(Digest([8; 32])).unwrap();
    let fresh = certificate(MERCHANT, &merchant_secret()).encode();
    let verified = purchase.check_certificate(&fresh, &keys(), NOW).unwrap();
    let open = |purchase: &mut Purchase, byte| {
        let bytes = purchase.renegotiate(&verified, AgreementSecret::from_random([byte; 32])).unwrap();
        let message = Renegotiation::decode(&bytes).unwrap();
        let terms = SessionTerms { certificate: verified.digest(), quote: quote(600_000).digest() };
        let OpenedRenegotiation { session: new, token } = message.open(&merchant_secret(), &terms).unwrap();
        assert!(token.equals(&session.token));
        let acknowledged = Acknowledged::Retransmission { goods: Some(goods(9)), delivery_text: String::new() };
        (RenegotiationAcknowledgment::new(&new, &message, acknowledged).unwrap().encode(), new)
    };
    let (earlier, _) = open(&mut purchase, 11);
    let (answer, new) = open(&mut purchase, 12);
    let mut purchase = stored(&purchase);
    assert_eq!(purchase.acknowledged(&earlier), Err(PurchaseError::NotAuthentic), "an earlier acknowledgment");
    for index in 0..answer.len() {
        let mut altered = answer.clone();
        altered[index] ^= 1;
        assert!(purchase.clone().acknowledged(&altered).is_err(), "byte {index}");
    }
    assert!(purchase.send_goods(0).is_err(), "not acknowledged yet");
    assert_eq!(purchase.acknowledged(&answer), Ok(true), "other goods than before");
    assert_eq!(purchase.goods_key().unwrap().expose(), new.goods.expose());
    assert_ne!(new.goods.expose(), session.goods.expose());
    let stranger = certificate(MerchantId([6; 16]), &merchant_secret()).encode();
    assert_eq!(purchase.check_certificate(&stranger, &keys(), NOW), Err(PurchaseError::OtherMerchant));
}

#[test]
fn nothing_is_paid_for_an_expired_quote_and_requests_end_with_the_quote() {
    let late = quote(600_000).expires_at.plus(1);
    assert!(matches!(content_of(&quote(600_000), ModifierPart(1), late), Err(PurchaseError::QuoteExpired(_))));
    let content = content_of(&quote(600_000), ModifierPart(1), NOW).unwrap();
    assert_eq!(content.valid_until, quote(600_000).expires_at);
    let content = content_of(&quote(DAY_MS), ModifierPart(1), NOW).unwrap();
    assert_eq!(content.valid_until, NOW.plus(VALID_UNTIL_AHEAD_MAX_MS - CLOCK_TOLERANCE_MS));
    let mut purchase = Purchase::new(&offered());
    let expired = purchase.confirm(&offered(), AgreementSecret::from_random([9; 32]), &OrderData::default(), late);
    assert!(matches!(expired, Err(PurchaseError::QuoteExpired(_))));
    assert_eq!(purchase.state(), PurchaseState::Offered);
}
