//! The offset tables of `docs/protocol.md` against the real encodings: one field is changed at a time, and exactly the
//! documented bytes have to change.

use std::collections::BTreeSet;

use protocol::certificate::{CertificateRequest, CertificateTerms, MerchantCertificate};
use protocol::codec::Fixed;
use protocol::enrolment::{ActivationAnswer, ActivationCode, SignaturePolicy, activate};
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::frame_header;
use protocol::goods::{ChunkPlan, GoodsSealer};
use protocol::hash::{Purpose, tagged};
use protocol::ids::{
    Digest, InstrumentId, KeyId, MerchantId, PaymentId, QuoteDigest, RealmId, TermsDigest, TransactionNumber,
};
use protocol::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet};
use protocol::limits::GOODS_CHUNK_BYTES;
use protocol::money::{Amount, Asset};
use protocol::notary::{ChainEnd, NotaryReceipt};
use protocol::pin::{Modifier, ModifierPart, Pin};
use protocol::proof::{BatchHeader, Outcome, Proof, Statement};
use protocol::purchase::{
    Address, AuthenticatedQuote, Confirmation, LoyaltyId, OrderData, QuoteOffer, Renegotiation, RenegotiationPurpose,
    SendGoods, VerifiedOffer, confirm,
};
use protocol::quote::{GoodsKind, Quote, QuoteItem, QuoteTerms};
use protocol::request::{Content, CustomerHalf, InstrumentKeys, PaymentKind, ReceivedRequest, SealedRequest, seal};
use protocol::response::{Answer, Authenticated, Reason};
use protocol::session::merchant::{GoodsKey, MerchantSession, SendGoodsKey, SessionTerms, Token};
use protocol::session::{AgreementPublic, AgreementSecret};
use protocol::signature::{CustomerKey, Domain, RootRole, Signature, SigningKey, verify};
use protocol::time::{DAY_MS, Timestamp};

use super::document::{PROTOCOL, table_after};
use super::inputs::*;

/// One row of an offset table.
struct Row {
    offset: usize,
    length: usize,
    field: &'static str,
}

/// The offset table of that name; its rows follow each other without gaps and end where it says.
fn layout(name: &str) -> Vec<Row> {
    let marker = format!("<!-- layout: {name}, ");
    let (_, rest) = PROTOCOL.split_once(&marker).unwrap_or_else(|| panic!("the document has no layout {name}"));
    let bytes: usize = rest.split_once(" bytes -->").unwrap().0.parse().unwrap();
    let rows: Vec<Row> = table_after(&marker, PROTOCOL)
        .into_iter()
        .map(|cells| Row { offset: cells[0].parse().unwrap(), length: cells[1].parse().unwrap(), field: cells[2] })
        .collect();
    let mut end = 0;
    for row in &rows {
        assert_eq!(row.offset, end, "{name}: {}", row.field);
        end += row.length;
    }
    assert_eq!(end, bytes, "{name}");
    rows
}

/// Two encodings that differ in one field, and how the document's name of that field begins.
type Pair = (&'static str, Vec<u8>, Vec<u8>);

/// A change of one field, and how the document's name of that field begins.
type Change<T> = (&'static str, fn(&mut T));

/// What the test knows of a message beyond the document.
#[derive(Default)]
struct Known<'a> {
    /// Fields that depend on others: tags, signatures, authenticators. They may change with anything.
    dependent: &'a [&'a str],
    /// Offsets of single bytes that no value changes, such as the highest byte of an amount.
    constant: &'a [usize],
}

fn check(name: &str, known: &Known<'_>, pairs: &[Pair]) {
    let rows = layout(name);
    let bytes = rows.iter().map(|row| row.length).sum::<usize>();
    let range = |field: &str| {
        let found: Vec<&Row> = rows.iter().filter(|row| row.field.starts_with(field)).collect();
        assert_eq!(found.len(), 1, "{name}: {field}");
        found[0].offset..found[0].offset + found[0].length
    };
    let dependent: BTreeSet<usize> = known.dependent.iter().flat_map(|field| range(field)).collect();
    let mut changed = BTreeSet::new();
    for (field, left, right) in pairs {
        assert!(left.len() >= bytes && right.len() >= bytes, "{name} is shorter than documented");
        let own = range(field);
        let differences: Vec<usize> = (0..bytes).filter(|place| left[*place] != right[*place]).collect();
        assert!(differences.iter().any(|place| own.contains(place)), "{name}, {field}: nothing changed");
        for place in differences {
            assert!(own.contains(&place) || dependent.contains(&place), "{name}, {field}: byte {place} changed too");
            changed.insert(place);
        }
    }
    for row in &rows {
        let places = row.offset..row.offset + row.length;
        // A field written as hexadecimal digits is that constant.
        let digits = row.field.trim_matches('`');
        if let (true, Ok(constant)) =
            (row.field.starts_with('`') && digits.len() == 2 * row.length, hex::decode(digits))
        {
            assert!(pairs.iter().all(|(_, left, _)| left[places.clone()] == constant), "{name}: {}", row.field);
            assert!(places.clone().all(|place| !changed.contains(&place)));
            continue;
        }
        for place in places {
            let expected = !known.constant.contains(&place);
            assert_eq!(changed.contains(&place), expected, "{name}: byte {place} ({})", row.field);
        }
    }
}

/// A pair for each change of `base`.
fn changes<T: Clone>(base: &T, encode: impl Fn(&T) -> Vec<u8>, changes: &[Change<T>]) -> Vec<Pair> {
    let pair = |(field, change): &Change<T>| {
        let mut other = base.clone();
        change(&mut other);
        (*field, encode(base), encode(&other))
    };
    changes.iter().map(pair).collect()
}

/// An amount in which every byte but the highest differs from that of [`content`].
fn other_amount() -> Amount {
    Amount::new(0x0002_ffff_ffff_ffff - 50_000).unwrap()
}

const OTHER_ASSET: Asset = Asset(*b"ABCEFGHI");
const OTHER_TIME: Timestamp = Timestamp(!TIME.0);

#[test]
fn frame_headers() {
    let header = |id, length| frame_header(id, length).to_vec();
    let pairs = [
        ("length of the message that follows", header(7, 0), header(7, 0x07ff)),
        ("request id", header(0, 5), header(u32::MAX, 5)),
    ];
    check("frame header", &Known::default(), &pairs);
}

#[test]
fn error_messages() {
    let message = |code, after| ErrorMessage::new(code, after).to_bytes();
    let pairs = [
        ("code", message(ErrorCode::Malformed, 0), message(ErrorCode::DiskLow, 0)),
        (
            "how long to wait before asking again",
            message(ErrorCode::Malformed, 0),
            message(ErrorCode::Malformed, u32::MAX),
        ),
    ];
    check("error message", &Known { constant: &[4], ..Known::default() }, &pairs);
}

#[test]
fn desk_errors() {
    let message = |code, after| canonical(&protocol::desk::DeskError::new(code, after));
    use protocol::desk::DeskErrorCode::{Malformed, UnsupportedVersion};
    let pairs = [
        ("code", message(Malformed, 0), message(UnsupportedVersion, 0)),
        ("how long to wait before sending again", message(Malformed, 0), message(Malformed, u32::MAX)),
    ];
    check("desk error", &Known { constant: &[3], ..Known::default() }, &pairs);
}

/// Everything that goes into a request.
#[derive(Clone)]
struct Asked {
    content: Content,
    key: KeyId,
    route: u16,
    count: u64,
    instrument: InstrumentId,
    signing_seed: [u8; 32],
    device: [u8; 32],
    pin: &'static str,
    ephemeral: [u8; 32],
}

impl Asked {
    fn base() -> Self {
        Self {
            content: content(),
            key: processor().id,
            route: 0,
            count: COUNT,
            instrument: INSTRUMENT,
            signing_seed: SIGNING_SEED,
            device: DEVICE_KEY,
            pin: PIN,
            ephemeral: EPHEMERAL,
        }
    }

    fn sealed(&self) -> SealedRequest {
        let keys = InstrumentKeys {
            instrument: self.instrument,
            signing: Some(SigningKey::from_seed(self.signing_seed)),
            device: self.device.into(),
        };
        let processor = protocol::request::ProcessorKey { id: self.key, route: self.route, ..processor() };
        let pin = Pin::parse(self.pin).unwrap().modified(Modifier(MODIFIER));
        seal(&self.content, self.count, &keys, pin, &processor, AgreementSecret::from_random(self.ephemeral)).unwrap()
    }

    fn opened(&self) -> (ReceivedRequest, CustomerHalf) {
        let sealed = self.sealed();
        let received = ReceivedRequest::parse(&sealed.bytes).unwrap();
        let half = received.open(&sealed.session).unwrap();
        (received, half)
    }
}

/// Every field of the open half, and the ephemeral key.
const OPEN_CHANGES: &[Change<Asked>] = &[
    ("key id of the TPS's session key that the request is sealed for", |asked| {
        asked.key.0 = asked.key.0.map(|byte| !byte)
    }),
    ("route", |asked| asked.route = 0xffff),
    ("merchant id", |asked| asked.content.merchant = MerchantId([0xee; 16])),
    ("transaction number", |asked| asked.content.number = TransactionNumber([0xdd; 16])),
    ("amount", |asked| asked.content.amount = other_amount()),
    ("asset", |asked| asked.content.asset = OTHER_ASSET),
    ("quote digest", |asked| asked.content.quote_digest = QuoteDigest([0xcc; 32])),
    ("valid-until", |asked| asked.content.valid_until.0 = !asked.content.valid_until.0),
    ("kind", |asked| asked.content.kind = PaymentKind(1)),
    ("terms digest", |asked| asked.content.terms = TermsDigest([1; 32])),
    ("ephemeral public key", |asked| asked.ephemeral = [0x1f; 32]),
    ("ephemeral public key", |asked| asked.ephemeral = [0x2f; 32]),
    ("ephemeral public key", |asked| asked.ephemeral = [0x3f; 32]),
];

// spec: K-46
#[test]
fn requests() {
    let pairs = changes(&Asked::base(), |asked| asked.sealed().bytes, OPEN_CHANGES);
    check("request-for-payment", &Known { dependent: &["sealed half", "tag of the seal"], constant: &[52] }, &pairs);
    // The sealed half itself: what is in it changes nothing outside of it but the tag.
    let pairs = changes(
        &Asked::base(),
        |asked| asked.sealed().bytes,
        &[("sealed half", |asked| asked.instrument.0 = [0; 16]), ("sealed half", |asked| asked.count = 8)],
    );
    for (_, left, right) in pairs {
        assert_eq!(left[..166], right[..166]);
    }
}

#[test]
fn customer_halves() {
    let base = Asked::base().opened().1;
    let mut pairs = changes(
        &base,
        Fixed::encode,
        &[
            ("instrument id", |half| half.instrument.0 = [0; 16]),
            ("count", |half| half.count = !half.count),
            ("the customer's modifier part", |half| half.customer_part.0 = !half.customer_part.0),
            ("the customer's signature", |half| half.signature = half.signature.map(|byte| !byte)),
        ],
    );
    let encode = |asked: &Asked| asked.opened().1.encode();
    pairs.extend(changes(
        &Asked::base(),
        encode,
        &[
            ("device tag", |asked| asked.device = [1; 32]),
            ("device tag", |asked| asked.device = [2; 32]),
            ("PIN authenticator", |asked| asked.pin = "271829"),
            ("PIN authenticator", |asked| asked.pin = "0000"),
            ("PIN authenticator", |asked| asked.pin = "1111"),
        ],
    ));
    check("customer half", &Known { dependent: &["PIN authenticator"], ..Known::default() }, &pairs);
}

#[test]
fn signed_bytes() {
    let encode = |asked: &Asked| {
        let (received, half) = asked.opened();
        // Kinds and terms other than plain are refused on receipt: signed bytes with them cannot be had that way.
        received.signed_bytes(&half).to_vec()
    };
    let changes_of_halves: &[Change<Asked>] = &[
        ("instrument id", |asked| asked.instrument.0 = [0; 16]),
        ("count", |asked| asked.count = !asked.count),
        ("the customer's modifier part", |asked| asked.content.customer_part.0 = !asked.content.customer_part.0),
    ];
    let mut pairs = changes(&Asked::base(), encode, changes_of_halves);
    for (field, change) in OPEN_CHANGES {
        if *field != "kind" && *field != "terms digest" {
            let row = if *field == "ephemeral public key" { "ephemeral public key" } else { "open half" };
            pairs.extend(changes(&Asked::base(), encode, &[(row, *change)]));
        }
    }
    let constant: Vec<usize> = (32..35).chain([32 + 52]).chain(32 + 101..32 + 134).collect();
    check("signed bytes", &Known { constant: &constant, ..Known::default() }, &pairs);
}

#[test]
fn responses() {
    let sealed = sealed_request(true);
    let proof = proof_of(3, 0, Outcome::Paid).encode();
    let key = payment_keys(EPHEMERAL)[2];
    let bytes = |answer: &Answer| protocol::response::seal(*answer, &proof, &sealed.hash, &sealed.session);
    let associated = [&[1, 1, 2][..], &sealed.hash.0, &proof].concat();
    let plain = |answer: &Answer| open_siv(&key, &associated, &bytes(answer)[3..54]);
    let told = Authenticated { processor_part: ModifierPart(0), modifier_in_force: false, balance: 0 };
    let base = Answer { reason: Reason::Paid, count: COUNT, authenticated: Some(told) };
    let some: &[Change<Answer>] = &[
        ("reason", |answer| answer.reason = Reason::Held),
        ("count that was consumed", |answer| answer.count = !answer.count),
        ("authenticated", |answer| answer.authenticated = None),
        ("modifier in force", |answer| answer.authenticated.as_mut().unwrap().modifier_in_force = true),
        ("the TPS's modifier part", |answer| answer.authenticated.as_mut().unwrap().processor_part.0 = u64::MAX),
        ("balance of the account after the transaction", |answer| answer.authenticated.as_mut().unwrap().balance = -1),
    ];
    check("sealed outcome", &Known::default(), &changes(&base, plain, some));
    let all: Vec<Change<Answer>> =
        some.iter().flat_map(|(_, change)| [("sealed outcome", *change), ("tag of the seal", *change)]).collect();
    check(
        "response head",
        &Known { dependent: &["sealed outcome", "tag of the seal"], ..Known::default() },
        &changes(&base, bytes, &all),
    );
    // The proof follows at offset 54, in clear and untouched.
    assert_eq!(bytes(&base)[54..], proof);
}

const STATEMENT_CHANGES: &[Change<Statement>] = &[
    ("realm id", |statement| statement.realm = RealmId([0; 16])),
    ("kind", |statement| statement.kind = PaymentKind(1)),
    ("terms digest", |statement| statement.terms = TermsDigest([1; 32])),
    ("payment id", |statement| statement.payment = PaymentId(statement.payment.0.map(|byte| !byte))),
    ("merchant id", |statement| statement.merchant = MerchantId([0; 16])),
    ("transaction number", |statement| statement.number = TransactionNumber([0xdd; 16])),
    ("amount", |statement| statement.amount = other_amount()),
    ("asset", |statement| statement.asset = OTHER_ASSET),
    ("quote digest", |statement| statement.quote_digest = QuoteDigest([0; 32])),
    ("batch time", |statement| statement.batch_time = OTHER_TIME),
];

#[test]
fn proofs() {
    let proof = proof_of(5, 0, Outcome::Paid);
    let pairs = changes(&proof.statement, Fixed::encode, STATEMENT_CHANGES);
    check("statement", &Known { constant: &[0, 1, 106], ..Known::default() }, &pairs);

    let mut pairs: Vec<Pair> = STATEMENT_CHANGES
        .iter()
        .map(|(_, change)| {
            let mut other = proof.clone();
            change(&mut other.statement);
            ("statement", proof.encode(), other.encode())
        })
        .collect();
    pairs.extend(changes(
        &proof,
        Proof::encode,
        &[
            ("outcome", |proof| proof.outcome = Outcome::NotPaid),
            ("opening of that outcome", |proof| proof.opening = proof.opening.map(|byte| !byte)),
            ("commitment to the opening of the other outcome", |proof| {
                proof.other_commitment = proof.other_commitment.map(|byte| !byte)
            }),
            ("index of the leaf", |proof| proof.index = !proof.index),
            ("size", |proof| proof.size = !proof.size),
            ("key id of the proof key", |proof| proof.key = KeyId(proof.key.0.map(|byte| !byte))),
            ("signature over the batch header", |proof| proof.signature = proof.signature.map(|byte| !byte)),
        ],
    ));
    check("proof head", &Known { constant: &[0, 1, 106], ..Known::default() }, &pairs);
    assert_eq!(proof.encode()[296..], proof.path.concat());

    let pairs = changes(
        &proof.header(),
        Fixed::encode,
        &[
            ("realm id", |header: &mut BatchHeader| header.realm = RealmId([0; 16])),
            ("key id", |header| header.key = KeyId(header.key.0.map(|byte| !byte))),
            ("batch time", |header| header.batch_time = OTHER_TIME),
            ("size", |header| header.size = !header.size),
            ("root", |header| header.root = header.root.map(|byte| !byte)),
        ],
    );
    check("batch header", &Known { constant: &[0, 1], ..Known::default() }, &pairs);
    assert_eq!(proof.header().encode()[..2], [1, 1]);
}

#[test]
fn key_entries() {
    let base = KeyEntry::new(KeyRole::Proof, [5; 32], TIME, VALID_UNTIL);
    let pairs = changes(
        &base,
        |entry| borsh::to_vec(entry).unwrap(),
        &[
            ("role", |entry| entry.role = KeyRole::Session),
            ("key id", |entry| entry.id = KeyId(entry.id.0.map(|byte| !byte))),
            ("public key", |entry| entry.public = [0; 32]),
            ("valid from", |entry| entry.valid_from.0 = !entry.valid_from.0),
            ("valid until", |entry| entry.valid_until.0 = !entry.valid_until.0),
            ("revoked", |entry| entry.revoked = true),
        ],
    );
    check("key entry", &Known::default(), &pairs);
}

fn merchant_secret() -> AgreementSecret {
    AgreementSecret::from_random([4; 32])
}

fn offer(goods: GoodsKind) -> VerifiedOffer {
    let request =
        CertificateRequest::new("Elm Music".into(), merchant_secret().public(), &SigningKey::from_seed([3; 32]));
    let merchant = MerchantId([5; 16]);
    let terms = CertificateTerms { realm: REALM, serial: 1, merchant, valid_from: TIME, valid_until: VALID_UNTIL };
    let issuer = SigningKey::from_seed([2; 32]);
    let certificate = MerchantCertificate::issue(&request.unwrap(), &terms, &issuer).unwrap();
    let root = SigningKey::<RootRole>::from_seed([1; 32]);
    let mut set = KeySet::new(REALM, Audience::Customer, 1, TIME, DAY_MS);
    set.keys = vec![KeyEntry::new(KeyRole::Certificate, issuer.public(), TIME, VALID_UNTIL)];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    let keys = set.sign(&root).unwrap().verify(&root.public(), None, Audience::Customer, TIME, 0).unwrap();
    let amount = Amount::new(50).unwrap();
    let items = vec![QuoteItem { code: "song".into(), description: "A song".into(), quantity: 1, amount }];
    let (number, asset, salt) = (TransactionNumber([3; 16]), Asset::USD6, [4; 32]);
    let terms =
        QuoteTerms { realm: REALM, merchant, number, items, asset, goods, issued_at: TIME, lifetime_ms: 600_000, salt };
    QuoteOffer::new(&certificate, &Quote::new(terms).unwrap()).verify(&keys, TIME).unwrap()
}

fn session(ephemeral: u8) -> MerchantSession {
    let terms = SessionTerms { certificate: Digest([3; 32]), quote: QuoteDigest([4; 32]) };
    let public = AgreementSecret::from_random([ephemeral; 32]).public();
    MerchantSession::for_merchant(&merchant_secret(), &public, &terms).unwrap().0
}

#[test]
fn confirmations() {
    let address = Address::new("12 Elm Street".into()).unwrap();
    let loyalty_id = Some(LoyaltyId::new("card 7".into()).unwrap());
    // With its lengths and the room for a loyalty id this one takes a second block.
    let long_address = Some(Address::new("x".repeat(190)).unwrap());
    let made = |goods, address, loyalty_id| {
        confirm(&offer(goods), AgreementSecret::from_random([9; 32]), &OrderData { address, loyalty_id }).unwrap()
    };
    let digital = made(GoodsKind::Digital, None, None);
    let hard = made(GoodsKind::Hard, Some(address), loyalty_id);
    let long = made(GoodsKind::Hard, long_address, None);
    let mut pairs = changes(
        &digital.message,
        canonical,
        &[
            ("transaction number", |message: &mut Confirmation| message.number = TransactionNumber([0xdd; 16])),
            ("quote digest", |message| message.quote_digest = QuoteDigest(message.quote_digest.0.map(|byte| !byte))),
            ("ephemeral public key", |message| {
                message.ephemeral = AgreementPublic(message.ephemeral.0.map(|byte| !byte))
            }),
        ],
    );
    let mut longer = long.message.clone();
    (longer.number, longer.quote_digest, longer.ephemeral) =
        (digital.message.number, digital.message.quote_digest, digital.message.ephemeral);
    // The length alone differs now: 16 more than a multiple of 256.
    pairs.push(("length of the sealed order data", canonical(&digital.message), canonical(&longer)));
    check("confirmation head", &Known { constant: &[83, 85, 86], ..Known::default() }, &pairs);
    assert_eq!(canonical(&digital.message).len(), 87 + 256 + 16);
    assert_eq!(canonical(&hard.message).len(), 87 + 256 + 16);
    assert_eq!(canonical(&long.message).len(), 87 + 512 + 16);

    // The sealed order data, as the document says.
    let terms =
        SessionTerms { certificate: offer(GoodsKind::Hard).certificate().digest(), quote: hard.message.quote_digest };
    let shared = merchant_secret().agree(&hard.message.ephemeral).unwrap();
    let parts =
        [&shared[..], &hard.message.ephemeral.0, &merchant_secret().public().0, &terms.certificate.0, &terms.quote.0];
    let master = protocol::hash::derive(Purpose::MERCHANT_SESSION, &parts.concat());
    let key = protocol::hash::derive(Purpose::MERCHANT_ADDRESS, &master[..]);
    let bytes = canonical(&hard.message);
    let plain = open_gcm(&key, &bytes[..83], &bytes[87..]);
    let mut expected = [&13u16.to_le_bytes()[..], b"12 Elm Street", &[6], b"card 7"].concat();
    expected.resize(256, 0);
    assert_eq!(plain, expected);
    // And their authentication.
    let answer = canonical(&hard.expected);
    assert_eq!(answer[51..], protocol::hash::mac(hard.session.quote.expose(), &[&answer[..51], &plain].concat()));
}

#[test]
fn authenticated_quotes() {
    let made = |session: &MerchantSession| {
        AuthenticatedQuote::new(session, TransactionNumber([3; 16]), QuoteDigest([4; 32]), &OrderData::default())
    };
    let mut pairs = changes(
        &made(&session(9)),
        canonical,
        &[
            ("transaction number", |message: &mut AuthenticatedQuote| message.number = TransactionNumber([0xdd; 16])),
            ("quote digest", |message| message.quote_digest = QuoteDigest([0; 32])),
        ],
    );
    let base = canonical(&made(&session(9)));
    pairs.extend([10, 11, 12].map(|other| ("authenticator", base.clone(), canonical(&made(&session(other))))));
    check("authenticated quote", &Known::default(), &pairs);
    assert_eq!(base[51..], protocol::hash::mac(session(9).quote.expose(), &[&base[..51], &[0; 256]].concat()));
}

#[test]
fn send_goods() {
    let made = |key: u8| SendGoods::new(&SendGoodsKey::from_bytes([key; 32]), TransactionNumber([3; 16]), 2);
    let mut pairs = changes(
        &made(1),
        canonical,
        &[
            ("transaction number", |message: &mut SendGoods| message.number = TransactionNumber([0xdd; 16])),
            ("first chunk wanted", |message| message.first_chunk = !message.first_chunk),
        ],
    );
    pairs.extend([2, 3, 4].map(|other| ("authenticator", canonical(&made(1)), canonical(&made(other)))));
    check("send-goods", &Known::default(), &pairs);
    let base = canonical(&made(1));
    assert_eq!(base[27..], protocol::hash::mac(&[1; 32], &base[..27]));
}

#[test]
fn renegotiations() {
    let offer = offer(GoodsKind::Digital);
    let made = |token: u8| {
        let (number, purpose) = (TransactionNumber([3; 16]), RenegotiationPurpose::Retransmission);
        let (ephemeral, token) = (AgreementSecret::from_random([9; 32]), Token::from_bytes([token; 32]));
        Renegotiation::new(number, purpose, offer.quote_digest(), offer.certificate(), ephemeral, &token).unwrap()
    };
    let (base, session) = made(1);
    let mut pairs = changes(
        &base,
        canonical,
        &[
            ("transaction number", |message: &mut Renegotiation| message.number = TransactionNumber([0xdd; 16])),
            ("purpose", |message| message.purpose = RenegotiationPurpose::Refund),
            ("ephemeral public key", |message| {
                message.ephemeral = AgreementPublic(message.ephemeral.0.map(|byte| !byte))
            }),
        ],
    );
    pairs.extend([2, 3, 4].map(|other| ("sealed TOKEN", canonical(&base), canonical(&made(other).0))));
    check("renegotiation", &Known::default(), &pairs);
    let bytes = canonical(&base);
    assert_eq!(open_siv(session.token_seal.expose(), &bytes[..52], &bytes[52..]), [1; 32]);
}

#[test]
fn goods_nonces() {
    let rows = layout("goods nonce");
    let place = |field: &str, length| {
        rows.iter().find(|row| row.field.starts_with(field) && row.length == length).unwrap().offset
    };
    let key = GoodsKey::from_bytes([1; 32]);
    let mut sealer = GoodsSealer::new(&key, ChunkPlan::new(GOODS_CHUNK_BYTES as u64 + 3).unwrap(), 0).unwrap();
    for (chunk, last) in [(0u64, 0), (1, 1)] {
        let plain = vec![7; sealer.wants_bytes().unwrap()];
        let mut sealed = plain.clone();
        sealer.seal(&mut sealed).unwrap();
        let mut nonce = [0; 12];
        nonce[place("number of the chunk", 8)..][..8].copy_from_slice(&chunk.to_le_bytes());
        let last_at = place("1 for the last chunk", 1);
        nonce[last_at] = last;
        assert_eq!(open_siv_nonce(&[1; 32], nonce, b"", &sealed), Some(plain));
        nonce[last_at] = 1 - last;
        assert_eq!(open_siv_nonce(&[1; 32], nonce, b"", &sealed), None);
    }
}

/// Everything that goes into an activation.
#[derive(Clone)]
struct Enrolling {
    instrument: InstrumentId,
    code: [u8; 32],
    signing_seed: [u8; 32],
    device: [u8; 32],
    key: KeyId,
    ephemeral: [u8; 32],
}

impl Enrolling {
    fn base() -> Self {
        Self {
            instrument: INSTRUMENT,
            code: ACTIVATION_CODE,
            signing_seed: SIGNING_SEED,
            device: DEVICE_KEY,
            key: processor().id,
            ephemeral: EPHEMERAL,
        }
    }

    fn made(&self) -> (protocol::enrolment::Activation, protocol::enrolment::ActivationSession) {
        let (code, signing) = (ActivationCode::from_random(self.code), SigningKey::from_seed(self.signing_seed));
        let processor = protocol::request::ProcessorKey { id: self.key, ..processor() };
        let ephemeral = AgreementSecret::from_random(self.ephemeral);
        activate(REALM, self.instrument, &code, &signing, &self.device, &processor, ephemeral).unwrap()
    }

    fn plain(&self) -> Vec<u8> {
        let bytes = canonical(&self.made().0);
        open_gcm(&activation_keys(self.ephemeral)[0], &bytes[..43], &bytes[43..])
    }
}

#[test]
fn activations() {
    let pairs = changes(
        &Enrolling::base(),
        |enrolling| canonical(&enrolling.made().0),
        &[
            ("key id of the TPS's session key", |enrolling| enrolling.key = KeyId(enrolling.key.0.map(|byte| !byte))),
            ("ephemeral public key", |enrolling| enrolling.ephemeral = [0x1f; 32]),
            ("ephemeral public key", |enrolling| enrolling.ephemeral = [0x2f; 32]),
            ("ephemeral public key", |enrolling| enrolling.ephemeral = [0x3f; 32]),
        ],
    );
    check("activation", &Known { dependent: &["sealed part", "tag of the seal"], ..Known::default() }, &pairs);

    let pairs = changes(
        &Enrolling::base(),
        Enrolling::plain,
        &[
            ("instrument id", |enrolling| enrolling.instrument = InstrumentId([0; 16])),
            ("activation code", |enrolling| enrolling.code = [0; 32]),
            ("public signing key", |enrolling| enrolling.signing_seed = [0x16; 32]),
            ("public signing key", |enrolling| enrolling.signing_seed = [0x26; 32]),
            ("public signing key", |enrolling| enrolling.signing_seed = [0x36; 32]),
            ("device key", |enrolling| enrolling.device = [0; 32]),
        ],
    );
    check("activation plaintext", &Known { dependent: &["signature of possession"], ..Known::default() }, &pairs);

    // The possession is not sent; that it is what the document says shows in the signature over it.
    let plain = Enrolling::base().plain();
    let rows = layout("possession");
    let parts: [&[u8]; 4] = [&REALM.0, &INSTRUMENT.0, &plain[48..80], &tagged(Purpose::DEVICE_KEY, &DEVICE_KEY)];
    let names = ["realm id", "instrument id", "public signing key", "`H(\"device key\", device key)`"];
    for ((row, part), name) in rows.iter().zip(parts).zip(names) {
        assert_eq!((row.length, row.field), (part.len(), name));
    }
    assert_eq!(parts.concat(), possession());
    let key = CustomerKey::parse(&customer_key().public()).unwrap();
    let signature = Signature(plain[80..144].try_into().unwrap());
    assert_eq!(verify(&key, Domain::ENROLMENT, &possession(), &signature), Ok(()));

    let (message, session) = Enrolling::base().made();
    let answer = |count| canonical(&ActivationAnswer::new(&message, &session, count, SignaturePolicy::Required));
    let pairs: Vec<Pair> = (1..12)
        .flat_map(|count| [("sealed part", answer(0), answer(count)), ("tag of the seal", answer(0), answer(count))])
        .collect();
    check("activation answer", &Known { dependent: &["sealed part", "tag of the seal"], ..Known::default() }, &pairs);
}

#[test]
fn notary_receipts() {
    #[derive(Clone)]
    struct Attesting {
        realm: RealmId,
        end: ChainEnd,
        time: Timestamp,
        digest: Digest,
        seed: u8,
    }
    let base = Attesting {
        realm: REALM,
        end: ChainEnd { sequence: 7, time: Timestamp(0), hash: Digest([1; 32]) },
        time: TIME,
        digest: Digest([2; 32]),
        seed: 3,
    };
    let receipt = |of: &Attesting| {
        let key = SigningKey::from_seed([of.seed; 32]);
        canonical(&NotaryReceipt::sign(of.realm, &of.end, of.time, of.digest, &key).unwrap())
    };
    let mut pairs = changes(
        &base,
        receipt,
        &[
            ("realm id", |of| of.realm = RealmId(of.realm.0.map(|byte| !byte))),
            ("sequence number", |of| of.end.sequence = u64::MAX - 8),
            ("time", |of| of.time = OTHER_TIME),
            ("digest", |of| of.digest = Digest([0xff; 32])),
            ("hash of the receipt before", |of| of.end.hash = Digest([0xfe; 32])),
        ],
    );
    // Ids and signatures of several keys, so that every byte differs somewhere.
    pairs.extend((4..16).map(|seed| ("key id", receipt(&base), receipt(&Attesting { seed, ..base.clone() }))));
    check("notary receipt", &Known { dependent: &["signature"], ..Known::default() }, &pairs);
}

#[test]
fn every_layout_is_checked() {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let source = squeezed(include_str!("layouts.rs"));
    for rest in PROTOCOL.split("<!-- layout: ").skip(1) {
        let name = rest.split_once(", ").unwrap().0;
        let checked = [format!("check(\"{name}\""), format!("layout(\"{name}\")")];
        assert!(checked.iter().any(|call| source.contains(&squeezed(call))), "no test checks the layout {name}");
    }
}
