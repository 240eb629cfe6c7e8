//! The constants that every vector is made of, and what the document says about keys the library does not show.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use protocol::codec::Canonical;
use protocol::enrolment::{Activation, ActivationCode, ActivationSession, EnrolmentBundle, activate};
use protocol::hash::{Purpose, tagged};
use protocol::ids::{InstrumentId, KeyId, MerchantId, QuoteDigest, RealmId, TermsDigest, TransactionNumber};
use protocol::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet, SignedKeySet, key_id};
use protocol::money::{Amount, Asset};
use protocol::pin::{ModifiedPin, Modifier, ModifierPart, Pin};
use protocol::proof::batch::{BatchSeed, PreparedPlace, SignedBatch, prepare};
use protocol::proof::verify::{ProofKey, Verifier};
use protocol::proof::{Claim, Outcome, Proof};
use protocol::request::{Content, InstrumentKeys, PaymentKind, ProcessorKey, SealedRequest, seal};
use protocol::session::AgreementSecret;
use protocol::signature::{CustomerRole, ProofRole, RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

pub(crate) const TIME: Timestamp = Timestamp(1_800_000_000_000);
pub(crate) const VALID_UNTIL: Timestamp = Timestamp(TIME.0 + DAY_MS);
pub(crate) const REALM: RealmId = RealmId([0x52; 16]);
pub(crate) const INSTRUMENT: InstrumentId = InstrumentId([0xa1; 16]);
pub(crate) const EPHEMERAL: [u8; 32] = [0x0e; 32];
pub(crate) const PROCESSOR: [u8; 32] = [0x08; 32];
pub(crate) const SIGNING_SEED: [u8; 32] = [0x06; 32];
pub(crate) const DEVICE_KEY: [u8; 32] = [0xd4; 32];
pub(crate) const PROOF_SEED: [u8; 32] = [0x05; 32];
pub(crate) const ACTIVATION_CODE: [u8; 32] = [0xac; 32];
pub(crate) const COUNT: u64 = 7;
pub(crate) const PIN: &str = "271828";
pub(crate) const MODIFIER: u64 = 99;
pub(crate) const PROCESSOR_PART: ModifierPart = ModifierPart(0x8899_aabb_ccdd_eeff);
/// The order of the prime subgroup, little endian.
pub(crate) const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

pub(crate) fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// `X(purpose, material, N)` of the document.
pub(crate) fn extended<const N: usize>(purpose: Purpose, material: &[u8]) -> [u8; N] {
    let mut output = [0; N];
    blake3::Hasher::new_derive_key(purpose.text()).update(material).finalize_xof().fill(&mut output);
    output
}

pub(crate) fn processor() -> ProcessorKey {
    let public = AgreementSecret::from_random(PROCESSOR).public();
    ProcessorKey { id: key_id(KeyRole::Session, &public.0), public, route: 0 }
}

pub(crate) fn shared(ephemeral: [u8; 32]) -> [u8; 32] {
    *AgreementSecret::from_random(ephemeral).agree(&processor().public).unwrap()
}

fn material(ephemeral: [u8; 32]) -> Vec<u8> {
    let public = AgreementSecret::from_random(ephemeral).public();
    [shared(ephemeral), public.0, processor().public.0].concat()
}

/// Request key, PIN key and response key of section 6.1.
pub(crate) fn payment_keys(ephemeral: [u8; 32]) -> [[u8; 32]; 3] {
    let keys = extended::<96>(Purpose::PAYMENT_SESSION, &material(ephemeral));
    [0, 1, 2].map(|index| keys[index * 32..][..32].try_into().unwrap())
}

/// Request key and answer key of section 15.2.
pub(crate) fn activation_keys(ephemeral: [u8; 32]) -> [[u8; 32]; 2] {
    let keys = extended::<64>(Purpose::ENROLMENT_SESSION, &material(ephemeral));
    [0, 1].map(|index| keys[index * 32..][..32].try_into().unwrap())
}

pub(crate) fn open_gcm(key: &[u8; 32], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    aes_gcm::Aes256Gcm::new(key.into()).decrypt(&[0; 12].into(), Payload { msg, aad }).unwrap()
}

pub(crate) fn open_siv(key: &[u8; 32], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    open_siv_nonce(key, [0; 12], aad, msg).unwrap()
}

pub(crate) fn open_siv_nonce(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], msg: &[u8]) -> Option<Vec<u8>> {
    aes_gcm_siv::Aes256GcmSiv::new(key.into()).decrypt(&nonce.into(), Payload { msg, aad }).ok()
}

pub(crate) fn content() -> Content {
    Content {
        merchant: MerchantId([0x11; 16]),
        number: TransactionNumber([0x22; 16]),
        amount: Amount::new(50_000).unwrap(),
        asset: Asset::USD6,
        quote_digest: QuoteDigest([0x33; 32]),
        valid_until: TIME.plus(600_000),
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        customer_part: ModifierPart(0x0011_2233_4455_6677),
    }
}

pub(crate) fn customer_key() -> SigningKey<CustomerRole> {
    SigningKey::from_seed(SIGNING_SEED)
}

pub(crate) fn instrument_keys(signed: bool) -> InstrumentKeys {
    InstrumentKeys { instrument: INSTRUMENT, signing: signed.then(customer_key), device: DEVICE_KEY.into() }
}

pub(crate) fn modified_pin() -> ModifiedPin {
    Pin::parse(PIN).unwrap().modified(Modifier(MODIFIER))
}

pub(crate) fn sealed_request(signed: bool) -> SealedRequest {
    let ephemeral = AgreementSecret::from_random(EPHEMERAL);
    seal(&content(), COUNT, &instrument_keys(signed), modified_pin(), &processor(), ephemeral).unwrap()
}

/// The claim of the request above, for place 0; others for the other places of a batch.
pub(crate) fn claim(place: usize) -> Claim {
    let Content { kind, terms, merchant, number, amount, asset, quote_digest, .. } = content();
    let mut claim = Claim { kind, terms, merchant, number, amount, asset, quote_digest };
    if place > 0 {
        claim.number.0[..8].copy_from_slice(&(place as u64).to_le_bytes());
        claim.amount = Amount::new(50_000 + place as u64).unwrap();
    }
    claim
}

pub(crate) fn proof_key() -> SigningKey<ProofRole> {
    SigningKey::from_seed(PROOF_SEED)
}

pub(crate) fn proof_key_id() -> KeyId {
    key_id(KeyRole::Proof, &proof_key().public())
}

pub(crate) fn proof_keys() -> [ProofKey; 1] {
    let valid_from = Timestamp(TIME.0 - DAY_MS);
    [ProofKey { id: proof_key_id(), public: proof_key().public(), valid_from, valid_until: VALID_UNTIL }]
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(REALM, proof_keys(), 8)
}

pub(crate) fn batch_seed() -> BatchSeed {
    BatchSeed::from_random([0x09; 32])
}

pub(crate) fn batch(size: usize) -> (SignedBatch, Vec<PreparedPlace>) {
    let claims: Vec<Claim> = (0..size).map(claim).collect();
    prepare(&claims, REALM, TIME, batch_seed(), &proof_key(), proof_key_id())
}

/// The proof or denial of the leaf `index` of a batch of `size`.
pub(crate) fn proof_of(size: usize, index: u16, outcome: Outcome) -> Proof {
    let (batch, places) = batch(size);
    let place = places.into_iter().find(|place| place.index() == index).unwrap();
    batch.proof(&place.release(outcome))
}

fn customer_key_set() -> SignedKeySet {
    let root = SigningKey::<RootRole>::from_seed([1; 32]);
    let mut set = KeySet::new(REALM, Audience::Customer, 1, TIME, DAY_MS);
    set.keys = vec![KeyEntry::new(KeyRole::Session, processor().public.0, TIME, VALID_UNTIL)];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    set.sign(&root).unwrap()
}

pub(crate) fn bundle() -> EnrolmentBundle {
    let root = SigningKey::<RootRole>::from_seed([1; 32]).public();
    let addresses = vec!["tps.example:4433".into(), "[::1]:4433".into()];
    let code = ActivationCode::from_random(ACTIVATION_CODE);
    let (set, expires_at) = (customer_key_set(), TIME.plus(DAY_MS));
    EnrolmentBundle::new(REALM, addresses, vec![0x30, 0x82], root, &set, code, INSTRUMENT, 0, Asset::USD6, expires_at)
        .unwrap()
}

pub(crate) fn made_activation() -> (Activation, ActivationSession) {
    let (code, ephemeral) = (ActivationCode::from_random(ACTIVATION_CODE), AgreementSecret::from_random(EPHEMERAL));
    activate(REALM, INSTRUMENT, &code, &customer_key(), &DEVICE_KEY, &processor(), ephemeral).unwrap()
}

/// What the signature of an activation covers, as the document says.
pub(crate) fn possession() -> Vec<u8> {
    let public = customer_key().public();
    [&REALM.0[..], &INSTRUMENT.0, &public, &tagged(Purpose::DEVICE_KEY, &DEVICE_KEY)].concat()
}

/// The canonical bytes of a value, for layouts.
pub(crate) fn canonical(value: &impl Canonical) -> Vec<u8> {
    value.encode()
}
