use super::*;
use crate::certificate::{CertificateRequest, CertificateTerms, MerchantCertificate};
use crate::codec::Canonical;
use crate::ids::{Digest, MerchantId, RealmId, TransactionNumber};
use crate::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet, PinnedKeySet};
use crate::money::{Amount, Asset};
use crate::quote::{GoodsKind, Quote, QuoteItem, QuoteTerms};
use crate::session::AgreementSecret;
use crate::session::merchant::{MerchantSession, SessionTerms, Token};
use crate::signature::{RootRole, SigningKey};
use crate::time::{DAY_MS, Timestamp};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const REALM: RealmId = RealmId([7; 16]);
const MERCHANT: MerchantId = MerchantId([5; 16]);
const NUMBER: TransactionNumber = TransactionNumber([3; 16]);

fn merchant_secret() -> AgreementSecret {
    AgreementSecret::from_random([4; 32])
}

fn certificate() -> MerchantCertificate {
    let request =
        CertificateRequest::new("Elm Music".into(), merchant_secret().public(), &SigningKey::from_seed([3; 32]));
    let terms = CertificateTerms {
        realm: REALM,
        serial: 1,
        merchant: MERCHANT,
        valid_from: NOW,
        valid_until: NOW.plus(DAY_MS),
    };
    MerchantCertificate::issue(&request.unwrap(), &terms, &SigningKey::from_seed([2; 32])).unwrap()
}

fn keys() -> PinnedKeySet {
    let root = SigningKey::<RootRole>::from_seed([1; 32]);
    let mut set = KeySet::new(REALM, Audience::Customer, 1, NOW, 400 * DAY_MS);
    let issuer = SigningKey::<crate::signature::CertificateRole>::from_seed([2; 32]).public();
    set.keys = vec![KeyEntry::new(KeyRole::Certificate, issuer, NOW, NOW.plus(5 * DAY_MS))];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    set.sign(&root).unwrap().verify(&root.public(), None, Audience::Customer, NOW, 0).unwrap()
}

fn quote(goods: GoodsKind, units: u64, merchant: MerchantId) -> Quote {
    let amount = Amount::new(units).unwrap();
    let items = vec![QuoteItem { code: "song".into(), description: "A song".into(), quantity: 1, amount }];
    let (asset, issued_at, salt) = (Asset::USD6, NOW, [4; 32]);
    Quote::new(QuoteTerms {
        realm: REALM,
        merchant,
        number: NUMBER,
        items,
        asset,
        goods,
        issued_at,
        lifetime_ms: 600_000,
        salt,
    })
    .unwrap()
}

fn offered(quote: &Quote) -> Result<VerifiedOffer, OfferError> {
    let offer = QuoteOffer::decode(&QuoteOffer::new(&certificate(), quote).encode()).unwrap();
    offer.verify(&keys(), NOW)
}

fn address() -> Address {
    Address::new("A. Buyer\n12 Elm Street\nSpringfield".into()).unwrap()
}

fn order_data(goods: GoodsKind) -> OrderData {
    OrderData { address: (goods == GoodsKind::Hard).then(address), loyalty_id: None }
}

/// The order data of a customer that wants to be known.
fn known(goods: GoodsKind) -> OrderData {
    OrderData { loyalty_id: Some(LoyaltyId::new("card-4711-0815".into()).unwrap()), ..order_data(goods) }
}

fn confirmed_with(goods: GoodsKind, ephemeral: u8, order_data: &OrderData) -> SentConfirmation {
    let offer = offered(&quote(goods, 50, MERCHANT)).unwrap();
    confirm(&offer, AgreementSecret::from_random([ephemeral; 32]), order_data).unwrap()
}

fn confirmed(goods: GoodsKind, ephemeral: u8) -> SentConfirmation {
    confirmed_with(goods, ephemeral, &order_data(goods))
}

// spec: K-21, K-22, K-23
#[test]
fn only_a_certified_merchants_own_current_quote_is_shown() {
    assert!(offered(&quote(GoodsKind::Digital, 50, MERCHANT)).is_ok());
    let other = offered(&quote(GoodsKind::Digital, 50, MerchantId([9; 16])));
    assert!(matches!(other, Err(OfferError::OtherMerchant { .. })));
    let offer = QuoteOffer::new(&certificate(), &quote(GoodsKind::Digital, 50, MERCHANT));
    assert!(matches!(offer.verify(&keys(), NOW.plus(600_001)), Err(OfferError::Expired(_))));
    // The certificate comes first: with both wrong, it is the certificate that is blamed.
    let mut broken = offer.clone().encode();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    broken[60] ^= 1;
    let broken = QuoteOffer::decode(&broken).unwrap();
    assert!(matches!(broken.verify(&keys(), NOW), Err(OfferError::Certificate(_))));
}

// spec: K-27, K-28, K-32, K-35, K-43
#[test]
fn both_sides_authenticate_the_same_quote_and_order_data() {
    for (goods, given) in
        [GoodsKind::Digital, GoodsKind::Hard].map(|goods| [(goods, order_data(goods)), (goods, known(goods))]).concat()
    {
        let quote = quote(goods, 50, MERCHANT);
        let sent = confirmed_with(goods, 9, &given);
        let bytes = sent.message.encode();
        let opened =
            Confirmation::decode(&bytes).unwrap().open(&quote, &merchant_secret(), certificate().digest()).unwrap();
        assert_eq!(opened.order_data, given);

        let answer = AuthenticatedQuote::new(&opened.session, NUMBER, quote.digest(), &opened.order_data);
        let answer = AuthenticatedQuote::decode(&answer.encode()).unwrap();
        assert_eq!(answer.verify(&sent.expected), Ok(()));
        assert!(answer.verify(&confirmed_with(goods, 10, &given).expected).is_err(), "another session");
        let wire = [bytes, answer.encode()].concat();
        for secret in [address().expose(), "card-4711-0815"] {
            assert!(!wire.windows(8).any(|window| secret.as_bytes().windows(8).any(|part| part == window)));
        }
    }
}

// spec: K-32, K-43
#[test]
fn a_merchant_that_received_other_order_data_convinces_nobody() {
    let goods = GoodsKind::Hard;
    let sent = confirmed_with(goods, 9, &known(goods));
    let elsewhere = Address::new("A. Buyer\n13 Elm Street\nSpringfield".into()).unwrap();
    let another = LoyaltyId::new("card-4711-0816".into()).unwrap();
    for received in [
        order_data(goods),
        OrderData { address: None, ..known(goods) },
        OrderData { address: Some(elsewhere), ..known(goods) },
        OrderData { loyalty_id: Some(another), ..known(goods) },
    ] {
        let lie = AuthenticatedQuote::new(&sent.session, NUMBER, quote(goods, 50, MERCHANT).digest(), &received);
        assert!(lie.verify(&sent.expected).is_err(), "{received:?}");
    }
}

// spec: K-37, K-39, K-43
#[test]
fn whoever_reads_along_learns_neither_whether_there_is_an_id_nor_that_two_are_the_same() {
    for goods in [GoodsKind::Digital, GoodsKind::Hard] {
        let [none, first, second] =
            [(9, order_data(goods)), (10, known(goods)), (11, known(goods))].map(|(ephemeral, data)| {
                let sent = confirmed_with(goods, ephemeral, &data);
                // The quote is the same in all of them here; what follows it is not.
                [&sent.message.encode()[51..], &sent.expected.encode()[51..]].map(<[u8]>::to_vec)
            });
        assert_eq!(none.each_ref().map(Vec::len), first.each_ref().map(Vec::len));
        // The length of the sealed part is in clear, and says what the line above says.
        let windows = |messages: &[Vec<u8>; 2]| -> std::collections::HashSet<Vec<u8>> {
            messages.iter().flat_map(|message| message.windows(8).map(<[u8]>::to_vec)).collect()
        };
        assert!(windows(&first).is_disjoint(&windows(&second)), "{goods:?}");
    }
}

// spec: K-32, K-34, K-43
#[test]
fn an_altered_quote_or_confirmation_stops_the_purchase() {
    let sent = confirmed_with(GoodsKind::Hard, 9, &known(GoodsKind::Hard));
    let dearer = quote(GoodsKind::Hard, 51, MERCHANT);
    let open = |message: &Confirmation, quote| message.open(quote, &merchant_secret(), certificate().digest());
    // The merchant's own record differs from what was displayed.
    assert_eq!(open(&sent.message, &dearer).err(), Some(MerchantErrorCode::QuoteMismatch));
    // A merchant that authenticates another quote than the displayed one convinces nobody.
    let own = quote(GoodsKind::Hard, 50, MERCHANT);
    let session = open(&sent.message, &own).unwrap().session;
    let lie = AuthenticatedQuote::new(&session, NUMBER, dearer.digest(), &known(GoodsKind::Hard));
    assert!(lie.verify(&sent.expected).is_err());
    // Every altered byte of the confirmation is noticed.
    let bytes = sent.message.encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let Ok(decoded) = Confirmation::decode(&altered) else { continue };
        assert!(open(&decoded, &own).is_err(), "byte {index}");
    }
}

#[test]
fn the_address_is_there_exactly_for_hard_goods() {
    let confirm_with = |goods, address: Option<&Address>| {
        let offer = offered(&quote(goods, 50, MERCHANT)).unwrap();
        let data = OrderData { address: address.cloned(), loyalty_id: None };
        confirm(&offer, AgreementSecret::from_random([9; 32]), &data).map(|sent| sent.message.encode().len() - 87)
    };
    assert_eq!(confirm_with(GoodsKind::Hard, None).err(), Some(ConfirmError::AddressMissing));
    assert_eq!(confirm_with(GoodsKind::Digital, Some(&address())).err(), Some(ConfirmError::AddressUnexpected));
    assert_eq!(confirm_with(GoodsKind::Digital, None), Ok(256 + 16));
    assert_eq!(confirm_with(GoodsKind::Hard, Some(&address())), Ok(256 + 16));
    for wrong in ["", " \n ", "tab\there", "bell\u{7}", &"x".repeat(2_049)] {
        assert!(Address::new(wrong.into()).is_err(), "{wrong:?}");
    }
    let longest = Address::new("x".repeat(2_048)).unwrap();
    assert_eq!(confirm_with(GoodsKind::Hard, Some(&longest)), Ok(2_304 + 16));
    assert!(!format!("{:?}", address()).contains("Elm"));
}

// spec: K-33
#[test]
fn the_customer_alone_could_have_made_the_transcript() {
    let quote = quote(GoodsKind::Digital, 50, MERCHANT);
    let sent = confirmed(GoodsKind::Digital, 9);
    let merchant = sent.message.open(&quote, &merchant_secret(), certificate().digest()).unwrap();
    let genuine = AuthenticatedQuote::new(&merchant.session, NUMBER, quote.digest(), &merchant.order_data);
    let simulated = AuthenticatedQuote::new(&sent.session, NUMBER, quote.digest(), &OrderData::default());
    assert_eq!(genuine.encode(), simulated.encode());
}

fn goods() -> DigitalGoods {
    DigitalGoods { digest: Digest([8; 32]), length_bytes: 10, path: "send-goods".into(), format: GOODS_FORMAT }
}

// spec: K-84, K-85
#[test]
fn every_byte_of_the_advice_is_authenticated() {
    let session = confirmed(GoodsKind::Digital, 9).session;
    let advice =
        ShippingAdvice::new(&session.advice, NUMBER, AdviceStatus::Paid, Some(goods()), "by post".into()).unwrap();
    assert_eq!(advice.verify(&session.advice, NUMBER), Ok(()));
    assert!(advice.verify(&session.advice, TransactionNumber([1; 16])).is_err());
    assert!(advice.verify(&confirmed(GoodsKind::Digital, 10).session.advice, NUMBER).is_err());
    let bytes = advice.encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let Ok(decoded) = ShippingAdvice::decode(&altered) else { continue };
        assert!(decoded.verify(&session.advice, NUMBER).is_err(), "byte {index}");
    }
    for path in ["", "/absolute", "../up", "a//b", "https://elsewhere", "a?b", "a/"] {
        let goods = DigitalGoods { path: path.into(), ..goods() };
        assert!(
            ShippingAdvice::new(&session.advice, NUMBER, AdviceStatus::Paid, Some(goods), String::new()).is_err(),
            "{path}"
        );
    }
}

// spec: K-86
#[test]
fn only_the_initiator_can_ask_for_the_goods() {
    let session = confirmed(GoodsKind::Digital, 9).session;
    let message = SendGoods::decode(&SendGoods::new(&session.send_goods, NUMBER, 2).encode()).unwrap();
    assert_eq!(message.verify(&session.send_goods), Ok(()));
    assert!(message.verify(&confirmed(GoodsKind::Digital, 10).session.send_goods).is_err());
    let mut other_chunk = message.clone();
    other_chunk.first_chunk = 0;
    assert!(other_chunk.verify(&session.send_goods).is_err());
}

fn renegotiated(token: &Token, purpose: RenegotiationPurpose, ephemeral: u8) -> (Renegotiation, MerchantSession) {
    let offer = offered(&quote(GoodsKind::Digital, 50, MERCHANT)).unwrap();
    let ephemeral = AgreementSecret::from_random([ephemeral; 32]);
    Renegotiation::new(NUMBER, purpose, offer.quote_digest(), offer.certificate(), ephemeral, token).unwrap()
}

// spec: K-90, K-91, K-93
#[test]
fn the_token_opens_a_new_session_and_only_the_merchant_can_acknowledge_it() {
    let original = confirmed(GoodsKind::Digital, 9).session;
    let terms =
        SessionTerms { certificate: certificate().digest(), quote: quote(GoodsKind::Digital, 50, MERCHANT).digest() };
    let (message, session) = renegotiated(&original.token, RenegotiationPurpose::Retransmission, 20);
    let opened = Renegotiation::decode(&message.encode()).unwrap().open(&merchant_secret(), &terms).unwrap();
    assert!(opened.token.equals(&original.token));
    assert_ne!(opened.session.goods.expose(), original.goods.expose());

    let acknowledged = Acknowledged::Retransmission { goods: Some(goods()), delivery_text: String::new() };
    let answer = RenegotiationAcknowledgment::new(&opened.session, &message, acknowledged.clone()).unwrap();
    let answer = RenegotiationAcknowledgment::decode(&answer.encode()).unwrap();
    assert_eq!(answer.verify(&session, &message), Ok(()));
    // Neither a forgery nor the acknowledgment of an earlier renegotiation convinces.
    let (later, later_session) = renegotiated(&original.token, RenegotiationPurpose::Retransmission, 21);
    assert!(answer.verify(&later_session, &later).is_err());
    let forged = RenegotiationAcknowledgment::new(&original, &message, acknowledged).unwrap();
    assert!(forged.verify(&session, &message).is_err());
    assert_ne!(message.encode()[20..], later.encode()[20..]);

    let bytes = message.encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let Ok(decoded) = Renegotiation::decode(&altered) else { continue };
        assert!(decoded.open(&merchant_secret(), &terms).is_err(), "byte {index}");
    }
}

// spec: K-31, K-96
#[test]
fn a_refund_is_acknowledged_under_a_key_of_its_own() {
    let original = confirmed(GoodsKind::Digital, 9).session;
    let (message, session) = renegotiated(&original.token, RenegotiationPurpose::Refund, 20);
    let refund = Acknowledged::Refund { status: RefundStatus::Requested };
    let answer = RenegotiationAcknowledgment::new(&session, &message, refund).unwrap();
    assert_eq!(answer.verify(&session, &message), Ok(()));
    // Goods cannot be acknowledged where a refund was asked for.
    let goods = Acknowledged::Retransmission { goods: Some(goods()), delivery_text: String::new() };
    let other = RenegotiationAcknowledgment::new(&session, &message, goods).unwrap();
    assert!(other.verify(&session, &message).is_err());
}

#[test]
fn requests_and_errors_have_bounds() {
    let request = QuoteRequest::new(vec![("song".into(), 2)]).unwrap();
    assert_eq!(QuoteRequest::decode(&request.encode()).unwrap(), request);
    for wrong in [vec![], vec![("song".into(), 0)], vec![(String::new(), 1)], vec![("a".into(), 1); 65]] {
        assert!(QuoteRequest::new(wrong).is_err());
    }
    for code in MerchantErrorCode::ALL {
        let error = MerchantError::new(*code, 250);
        assert_eq!(MerchantError::decode(&error.encode()).unwrap().code(), Ok(*code));
        assert_eq!(MerchantErrorCode::from_number(*code as u16), Some(*code));
    }
    for kind in MerchantMessageType::ALL {
        assert_eq!(MerchantMessageType::of(&kind.prefix()), Ok(kind));
    }
}

#[test]
fn messages_are_frozen() {
    let session = confirmed(GoodsKind::Digital, 9).session;
    let (renegotiation, _) = renegotiated(&session.token, RenegotiationPurpose::Retransmission, 20);
    let refund = Acknowledged::Refund { status: RefundStatus::Requested };
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../vectors/purchase.json")).unwrap();
    let hard = quote(GoodsKind::Hard, 50, MERCHANT);
    let advice =
        |goods| ShippingAdvice::new(&session.advice, NUMBER, AdviceStatus::Paid, goods, "by post".into()).unwrap();
    for (name, bytes) in [
        ("quote_request", QuoteRequest::new(vec![("song".into(), 2)]).unwrap().encode()),
        ("quote_offer", QuoteOffer::new(&certificate(), &hard).encode()),
        ("confirmation_digital", confirmed(GoodsKind::Digital, 9).message.encode()),
        ("confirmation_hard", confirmed(GoodsKind::Hard, 9).message.encode()),
        (
            "confirmation_with_loyalty_id",
            confirmed_with(GoodsKind::Digital, 9, &known(GoodsKind::Digital)).message.encode(),
        ),
        ("authenticated_quote", confirmed(GoodsKind::Hard, 9).expected.encode()),
        ("shipping_advice_digital", advice(Some(goods())).encode()),
        ("shipping_advice_hard", advice(None).encode()),
        ("send_goods", SendGoods::new(&session.send_goods, NUMBER, 2).encode()),
        ("renegotiation", renegotiation.encode()),
        (
            "renegotiation_acknowledgment",
            RenegotiationAcknowledgment::new(&session, &renegotiation, refund).unwrap().encode(),
        ),
        ("error", MerchantError::new(MerchantErrorCode::NotPaid, 0).encode()),
    ] {
        assert_eq!(vectors[name], hex::encode(bytes), "{name}");
    }
}
