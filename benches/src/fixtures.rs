//! Deterministic inputs shared by the benches: the same keys, requests and batches on every machine and in every run.
//!
//! Nothing here is random, so nothing here is secret: the keys are made of constants.

use protocol::ids::{InstrumentId, KeyId, MerchantId, QuoteDigest, RealmId, TermsDigest, TransactionNumber};
use protocol::money::{Amount, Asset};
use protocol::pin::{ModifiedPin, Modifier, ModifierPart, Pin};
use protocol::proof::batch::{BatchSeed, PreparedPlace, SignedBatch, prepare};
use protocol::proof::verify::{ProofKey, Verifier};
use protocol::proof::{Claim, Outcome};
use protocol::request::{
    Content, CustomerHalf, InstrumentKeys, PaymentKind, ProcessorKey, ReceivedRequest, SealedRequest, SignedBytes, seal,
};
use protocol::response::{Answer, Authenticated, Reason};
use protocol::session::AgreementSecret;
use protocol::session::payment::PaymentSession;
use protocol::signature::{CustomerKey, CustomerRole, Domain, ProofRole, Signature, SigningKey};
use protocol::time::Timestamp;
use zeroize::Zeroizing;

/// The installation.
pub const REALM: RealmId = RealmId([0x51; 16]);
/// Names the proof-signing key.
pub const PROOF_KEY: KeyId = KeyId([0x52; 8]);
/// Time of every batch.
pub const TIME: Timestamp = Timestamp(1_800_000_000_000);

/// Thirty-two bytes that differ for every `number`, and between uses by `tag`.
pub fn bytes32(tag: u8, number: usize) -> [u8; 32] {
    let mut bytes = [tag; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes
}

/// The TPS's secret session key.
pub fn processor_secret() -> AgreementSecret {
    AgreementSecret::from_random(bytes32(1, 0))
}

/// The TPS's session key as a CTS has pinned it.
pub fn processor() -> ProcessorKey {
    ProcessorKey { id: KeyId([0x53; 8]), public: processor_secret().public(), route: 0 }
}

/// Keys of instrument `number`.
pub fn instrument_keys(number: usize) -> InstrumentKeys {
    let mut instrument = InstrumentId([0x54; 16]);
    instrument.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
    // Random in real ids; the directory spreads instruments by it.
    instrument.0[15] = number as u8;
    InstrumentKeys {
        instrument,
        signing: Some(SigningKey::from_seed(bytes32(2, number))),
        device: Zeroizing::new(bytes32(3, number)),
    }
}

/// The PIN of every instrument.
pub fn pin() -> Pin {
    Pin::parse("271828").expect("six digits are a PIN")
}

/// The modified PIN of every instrument before its first payment.
pub fn modified_pin() -> ModifiedPin {
    pin().modified(Modifier(0))
}

/// Merchants that are paid, one after another.
pub const MERCHANTS: usize = 16;

/// The merchant of payment `number`.
pub fn merchant(number: usize) -> MerchantId {
    MerchantId([0x60 + (number % MERCHANTS) as u8; 16])
}

/// What payment `number` is for.
pub fn content(number: usize) -> Content {
    let mut transaction = TransactionNumber([0x55; 16]);
    transaction.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Content {
        merchant: merchant(number),
        number: transaction,
        amount: Amount::new(1_000 + number as u64).expect("a small amount"),
        asset: Asset::USD6,
        quote_digest: QuoteDigest(bytes32(4, number)),
        valid_until: TIME.plus(600_000),
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        customer_part: ModifierPart(0x0123_4567_89ab_cdef ^ number as u64),
    }
}

/// The first request of instrument `number`, made with an ephemeral key of its own.
pub fn sealed_request(number: usize) -> SealedRequest {
    sealed_request_for(number, &content(number))
}

/// The same for another content.
pub fn sealed_request_for(number: usize, content: &Content) -> SealedRequest {
    let ephemeral = AgreementSecret::from_random(bytes32(5, number));
    seal(content, 1, &instrument_keys(number), modified_pin(), &processor(), ephemeral)
        .expect("the key of the TPS is usable")
}

/// A request as the TPS has it after its `open` stage.
pub struct OpenedRequest {
    /// As received.
    pub request: ReceivedRequest,
    /// The regenerated session.
    pub session: PaymentSession,
    /// The opened half.
    pub half: CustomerHalf,
    /// What the customer signed.
    pub signed: SignedBytes,
    /// The customer's key.
    pub key: CustomerKey,
    /// The customer's signature.
    pub signature: Signature,
}

/// The request of instrument `number`, received and opened.
pub fn opened_request(number: usize) -> OpenedRequest {
    let request = ReceivedRequest::parse(&sealed_request(number).bytes).expect("a request that was just made");
    let session = processor_session(&request);
    let half = request.open(&session).expect("sealed for this key");
    let signed = request.signed_bytes(&half);
    let signing = SigningKey::<CustomerRole>::from_seed(bytes32(2, number));
    let key = CustomerKey::parse(&signing.public()).expect("a generated key is acceptable");
    let signature = signing.sign(Domain::REQUEST_FOR_PAYMENT, &signed);
    OpenedRequest { request, session, half, signed, key, signature }
}

/// The session of a request on the TPS's side.
pub fn processor_session(request: &ReceivedRequest) -> PaymentSession {
    PaymentSession::for_processor(&processor_secret(), &processor().public, &request.ephemeral)
        .expect("the ephemeral key is usable")
}

/// What is claimed in place `number` of a batch.
pub fn claim(number: usize) -> Claim {
    let Content { kind, terms, merchant, number, amount, asset, quote_digest, .. } = content(number);
    Claim { kind, terms, merchant, number, amount, asset, quote_digest }
}

/// `size` claims.
pub fn claims(size: usize) -> Vec<Claim> {
    (0..size).map(claim).collect()
}

/// The proof-signing key.
pub fn proof_key() -> SigningKey<ProofRole> {
    SigningKey::from_seed(bytes32(6, 0))
}

/// A seed for a batch.
pub fn batch_seed() -> BatchSeed {
    BatchSeed::from_random(bytes32(7, 0))
}

/// A prepared and signed batch.
pub fn prepared_batch(size: usize) -> (SignedBatch, Vec<PreparedPlace>) {
    prepare(&claims(size), REALM, TIME, batch_seed(), &proof_key(), PROOF_KEY)
}

/// The first proof-of-payment of a batch of `size`.
pub fn proof(size: usize) -> Vec<u8> {
    let (batch, mut places) = prepared_batch(size);
    batch.proof(&places.swap_remove(0).release(Outcome::Paid)).encode()
}

/// A merchant's verifier that remembers up to `capacity` checked headers.
pub fn verifier(capacity: usize) -> Verifier {
    let key = ProofKey {
        id: PROOF_KEY,
        public: proof_key().public(),
        valid_from: Timestamp(0),
        valid_until: Timestamp(u64::MAX),
    };
    Verifier::new(REALM, [key], capacity)
}

/// The answer to a payment that was made.
pub fn paid_answer() -> Answer {
    let told = Authenticated { processor_part: ModifierPart(9), modifier_in_force: true, balance: 5_000_000 };
    Answer { reason: Reason::Paid, count: 1, authenticated: Some(told) }
}
