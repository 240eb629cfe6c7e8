//! The request-for-payment: the one message from CTS to TPS (paper section 4; DESIGN section 4).
//!
//! An open half with the merchant's data, from which alone the TPS prepares proof and denial, and a sealed half with the
//! customer's. The customer's half is bound to the open half by the seal, the signature, the device tag and the PIN
//! authenticator, so that neither half can be exchanged.

use std::sync::LazyLock;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::codec::{DecodeError, Fixed, fixed};
use crate::error::ErrorCode;
use crate::frame::MessageType;
use crate::hash::{Purpose, Tagged, mac};
use crate::ids::{Digest, InstrumentId, KeyId, MerchantId, QuoteDigest, TermsDigest, TransactionNumber};
use crate::money::{Amount, Asset};
use crate::pin::{ModifiedPin, ModifierPart};
use crate::session::payment::{PaymentSession, SEAL_TAG_BYTES};
use crate::session::{AgreementPublic, AgreementSecret, NoSharedSecret};
use crate::signature::{CustomerRole, Domain, Signature, SigningKey};
use crate::time::Timestamp;

static REQUEST: LazyLock<Tagged> = LazyLock::new(|| Tagged::new(Purpose::REQUEST));
static CONTENT: LazyLock<Tagged> = LazyLock::new(|| Tagged::new(Purpose::REQUEST_CONTENT));

/// What a payment is for, beyond merchant and amount. Only plain payments exist today.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Default,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct PaymentKind(pub u8);

impl PaymentKind {
    /// Money for goods, without further terms.
    pub const PLAIN: Self = Self(0);
}

/// What is to be paid: the request without anything that says who pays. Two requests ask for the same if and only if
/// their contents are equal (DESIGN section 4, "Content").
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Content {
    /// Who is to be paid.
    pub merchant: MerchantId,
    /// The merchant's number of the quote.
    pub number: TransactionNumber,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// Digest of the quote; the TPS never sees the quote (K-48 to K-50).
    pub quote_digest: QuoteDigest,
    /// After this time the TPS denies.
    pub valid_until: Timestamp,
    /// Plain, or what a profile defines.
    pub kind: PaymentKind,
    /// Zero for a plain payment.
    pub terms: TermsDigest,
    /// The customer's part of the modifier, chosen at random before the first sending (K-117).
    pub customer_part: ModifierPart,
}

impl Content {
    /// The hash that decides whether two requests ask for the same.
    pub fn hash(&self) -> Digest {
        let mut bytes = [0; <Self as Fixed>::BYTES];
        self.encode_into(&mut bytes);
        Digest(CONTENT.hash(&bytes))
    }
}

fixed!(Content, "request content", |_| Ok(()));

/// The open half: everything that a proof is prepared from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct OpenHalf {
    prefix: [u8; 3],
    /// Which session key of the TPS the request is sealed for.
    pub key: KeyId,
    /// Home cell of the account; 0 today.
    pub route: u16,
    /// Who is to be paid.
    pub merchant: MerchantId,
    /// The merchant's number of the quote.
    pub number: TransactionNumber,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// Digest of the quote.
    pub quote_digest: QuoteDigest,
    /// After this time the TPS denies.
    pub valid_until: Timestamp,
    /// Plain, or what a profile defines.
    pub kind: PaymentKind,
    /// Zero for a plain payment.
    pub terms: TermsDigest,
}

fixed!(OpenHalf, "request-for-payment", |half| {
    let what = "request-for-payment";
    if MessageType::of(&half.prefix)? != MessageType::RequestForPayment {
        return Err(DecodeError::Field { what, field: "type" });
    }
    if !half.amount.is_valid() {
        return Err(DecodeError::Field { what, field: "amount" });
    }
    if !half.asset.is_valid() {
        return Err(DecodeError::Field { what, field: "asset" });
    }
    Ok(())
});

impl OpenHalf {
    /// The open half of a request for `content`, sealed for `key`.
    pub fn new(content: &Content, key: KeyId, route: u16) -> Self {
        Self {
            prefix: MessageType::RequestForPayment.prefix(),
            key,
            route,
            merchant: content.merchant,
            number: content.number,
            amount: content.amount,
            asset: content.asset,
            quote_digest: content.quote_digest,
            valid_until: content.valid_until,
            kind: content.kind,
            terms: content.terms,
        }
    }

    /// The content, once the sealed half has told the customer's part of the modifier.
    pub fn content(&self, customer_part: ModifierPart) -> Content {
        Content {
            merchant: self.merchant,
            number: self.number,
            amount: self.amount,
            asset: self.asset,
            quote_digest: self.quote_digest,
            valid_until: self.valid_until,
            kind: self.kind,
            terms: self.terms,
            customer_part,
        }
    }
}

/// The customer's half, in clear.
#[derive(Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct CustomerHalf {
    /// What pays.
    pub instrument: InstrumentId,
    /// The instrument's next transaction count (K-59).
    pub count: u64,
    /// The customer's part of the modifier.
    pub customer_part: ModifierPart,
    /// The customer's signature; all zero where the policy makes it optional and none was made.
    pub signature: [u8; 64],
    device_tag: [u8; 16],
    pin_authenticator: [u8; 32],
}

fixed!(CustomerHalf, "sealed half of a request-for-payment", |_| Ok(()));

impl std::fmt::Debug for CustomerHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomerHalf(hidden)")
    }
}

const OPEN_BYTES: usize = <OpenHalf as Fixed>::BYTES;
const CUSTOMER_BYTES: usize = <CustomerHalf as Fixed>::BYTES;
/// Open half and ephemeral key: associated data of the seal.
const ASSOCIATED_BYTES: usize = OPEN_BYTES + 32;
/// Bytes of a whole request-for-payment.
pub const REQUEST_BYTES: usize = ASSOCIATED_BYTES + CUSTOMER_BYTES + SEAL_TAG_BYTES;
/// Instrument, count, modifier part, open half and ephemeral key.
const SIGNED_BYTES: usize = 16 + 8 + 8 + ASSOCIATED_BYTES;

/// The bytes that the customer signs.
fn signed_bytes(instrument: InstrumentId, count: u64, part: ModifierPart, associated: &[u8]) -> [u8; SIGNED_BYTES] {
    let mut bytes = [0; SIGNED_BYTES];
    bytes[..16].copy_from_slice(&instrument.0);
    bytes[16..24].copy_from_slice(&count.to_le_bytes());
    bytes[24..32].copy_from_slice(&part.0.to_le_bytes());
    bytes[32..].copy_from_slice(associated);
    bytes
}

/// The bytes that the customer signed, from what is kept of a request: its content, count and instrument, the session key
/// and route that it named, and its ephemeral key (K-56).
pub fn signed(
    content: &Content,
    count: u64,
    instrument: InstrumentId,
    (key, route): (KeyId, u16),
    ephemeral: &AgreementPublic,
) -> SignedBytes {
    let mut associated = [0; ASSOCIATED_BYTES];
    OpenHalf::new(content, key, route).encode_into(&mut associated);
    associated[OPEN_BYTES..].copy_from_slice(&ephemeral.0);
    signed_bytes(instrument, count, content.customer_part, &associated)
}

/// The device tag: covers the signature too, so that only the device can make the TPS verify one.
fn device_tag(device_key: &[u8; 32], signed: &[u8; SIGNED_BYTES], signature: &[u8; 64]) -> [u8; 16] {
    let mut bytes = [0; SIGNED_BYTES + 64];
    bytes[..SIGNED_BYTES].copy_from_slice(signed);
    bytes[SIGNED_BYTES..].copy_from_slice(signature);
    let mut tag = [0; 16];
    tag.copy_from_slice(&mac(device_key, &bytes)[..16]);
    tag
}

/// Authenticates everything else in the name of the modified PIN (K-51).
fn pin_authenticator(
    session: &PaymentSession,
    pin: ModifiedPin,
    signed: &[u8; SIGNED_BYTES],
    signature: &[u8; 64],
    tag: &[u8; 16],
) -> [u8; 32] {
    let mut bytes = Zeroizing::new([0; 8 + SIGNED_BYTES + 64 + 16]);
    bytes[..8].copy_from_slice(&pin.0.to_le_bytes());
    bytes[8..8 + SIGNED_BYTES].copy_from_slice(signed);
    bytes[8 + SIGNED_BYTES..8 + SIGNED_BYTES + 64].copy_from_slice(signature);
    bytes[8 + SIGNED_BYTES + 64..].copy_from_slice(tag);
    session.authenticate_pin(&bytes[..])
}

/// The TPS as a CTS knows it: a pinned session key and a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessorKey {
    /// Names the key.
    pub id: KeyId,
    /// The key.
    pub public: AgreementPublic,
    /// Home cell of the account; 0 today.
    pub route: u16,
}

/// What an instrument signs and tags with. The PIN is not among it: it is typed each time (K-122).
pub struct InstrumentKeys {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Signs for non-repudiation; `None` where the TPS's policy makes signatures optional and none is wanted.
    pub signing: Option<SigningKey<CustomerRole>>,
    /// The 32-byte key from enrolment.
    pub device: Zeroizing<[u8; 32]>,
}

/// A request ready to be sent, and the session that will open its answer.
pub struct SealedRequest {
    /// The bytes to send: [`REQUEST_BYTES`].
    pub bytes: Vec<u8>,
    /// Identifies these bytes in the answer's associated data.
    pub hash: Digest,
    /// Opens the answer.
    pub session: PaymentSession,
}

/// Makes the request for `content` under `count`. The ephemeral key is used up: a changed request needs a new one.
///
/// # Errors
/// [`NoSharedSecret`] where the pinned key of the TPS is not a usable key.
pub fn seal(
    content: &Content,
    count: u64,
    keys: &InstrumentKeys,
    pin: ModifiedPin,
    processor: &ProcessorKey,
    ephemeral: AgreementSecret,
) -> Result<SealedRequest, NoSharedSecret> {
    let draft = Draft::new(content, count, keys.instrument, processor, &ephemeral.public());
    let session = PaymentSession::for_customer(ephemeral, &processor.public)?;
    let signature = keys.signing.as_ref().map(|key| key.sign(Domain::REQUEST_FOR_PAYMENT, draft.signed_bytes()));
    Ok(draft.seal(signature, &keys.device, pin, session))
}

/// A request before it is signed and sealed: for whoever signs very many at once. [`seal`] makes one alone.
pub struct Draft {
    bytes: Vec<u8>,
    signed: SignedBytes,
    instrument: InstrumentId,
    count: u64,
    customer_part: ModifierPart,
}

impl Draft {
    /// The draft of a request for `content` under `count`. Neither `ephemeral` nor the secret behind it may ever be used
    /// for another request.
    pub fn new(
        content: &Content,
        count: u64,
        instrument: InstrumentId,
        processor: &ProcessorKey,
        ephemeral: &AgreementPublic,
    ) -> Self {
        let signed = signed(content, count, instrument, (processor.id, processor.route), ephemeral);
        let mut bytes = vec![0; REQUEST_BYTES];
        bytes[..ASSOCIATED_BYTES].copy_from_slice(&signed[SIGNED_BYTES - ASSOCIATED_BYTES..]);
        Self { bytes, signed, instrument, count, customer_part: content.customer_part }
    }

    /// What the customer signs, in [`Domain::REQUEST_FOR_PAYMENT`].
    pub fn signed_bytes(&self) -> &SignedBytes {
        &self.signed
    }

    /// The request, with the device's tag and the PIN's authenticator. `session` is the one that was agreed under the
    /// ephemeral key of this draft.
    pub fn seal(
        self,
        signature: Option<Signature>,
        device: &[u8; 32],
        pin: ModifiedPin,
        session: PaymentSession,
    ) -> SealedRequest {
        let Self { mut bytes, signed, instrument, count, customer_part } = self;
        let signature = signature.map_or([0; 64], |signature| signature.0);
        let tag = device_tag(device, &signed, &signature);
        let half = CustomerHalf {
            instrument,
            count,
            customer_part,
            signature,
            device_tag: tag,
            pin_authenticator: pin_authenticator(&session, pin, &signed, &signature, &tag),
        };
        let (associated, sealed) = bytes.split_at_mut(ASSOCIATED_BYTES);
        let (customer, seal_tag) = sealed.split_at_mut(CUSTOMER_BYTES);
        half.encode_into(customer);
        seal_tag.copy_from_slice(&session.seal_request(associated, customer));
        let hash = Digest(REQUEST.hash(&bytes));
        SealedRequest { bytes, hash, session }
    }
}

/// A request as received: its open half was read, its sealed half not yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedRequest {
    /// The open half.
    pub open: OpenHalf,
    /// The customer's key of this request.
    pub ephemeral: AgreementPublic,
    /// Identifies the bytes received.
    pub hash: Digest,
    bytes: [u8; REQUEST_BYTES],
}

impl ReceivedRequest {
    /// Reads the open half (DESIGN section 6, row 1).
    ///
    /// # Errors
    /// The typed error to answer in clear.
    pub fn parse(message: &[u8]) -> Result<Self, ErrorCode> {
        MessageType::of(message).map_err(|error| ErrorCode::from(&error))?;
        let bytes: [u8; REQUEST_BYTES] = message.try_into().map_err(|_| ErrorCode::Malformed)?;
        let open = OpenHalf::decode(&bytes[..OPEN_BYTES]).map_err(|error| ErrorCode::from(&error))?;
        if open.kind != PaymentKind::PLAIN || !open.terms.is_zero() {
            return Err(ErrorCode::UnsupportedKind);
        }
        let mut ephemeral = [0; 32];
        ephemeral.copy_from_slice(&bytes[OPEN_BYTES..ASSOCIATED_BYTES]);
        let hash = Digest(REQUEST.hash(&bytes));
        Ok(Self { open, ephemeral: AgreementPublic(ephemeral), hash, bytes })
    }

    /// Opens the sealed half with the regenerated session (row 2).
    ///
    /// # Errors
    /// [`ErrorCode::DoesNotOpen`].
    pub fn open(&self, session: &PaymentSession) -> Result<CustomerHalf, ErrorCode> {
        let mut customer = Zeroizing::new([0; CUSTOMER_BYTES]);
        customer.copy_from_slice(&self.bytes[ASSOCIATED_BYTES..ASSOCIATED_BYTES + CUSTOMER_BYTES]);
        let mut tag = [0; SEAL_TAG_BYTES];
        tag.copy_from_slice(&self.bytes[ASSOCIATED_BYTES + CUSTOMER_BYTES..]);
        session
            .open_request(&self.bytes[..ASSOCIATED_BYTES], &mut customer[..], &tag)
            .map_err(|_| ErrorCode::DoesNotOpen)?;
        CustomerHalf::decode(&customer[..]).map_err(|_| ErrorCode::DoesNotOpen)
    }

    /// What the customer signed, given the opened half.
    pub fn signed_bytes(&self, half: &CustomerHalf) -> [u8; SIGNED_BYTES] {
        signed_bytes(half.instrument, half.count, half.customer_part, &self.bytes[..ASSOCIATED_BYTES])
    }
}

impl CustomerHalf {
    /// Whether the request comes from the device that was enrolled: checked first, and cheaply.
    pub fn device_tag_holds(&self, device_key: &[u8; 32], signed: &[u8; SIGNED_BYTES]) -> bool {
        device_tag(device_key, signed, &self.signature).ct_eq(&self.device_tag).into()
    }

    /// Whether whoever made the request knew `pin`.
    pub fn opens_with(&self, pin: ModifiedPin, session: &PaymentSession, signed: &[u8; SIGNED_BYTES]) -> bool {
        pin_authenticator(session, pin, signed, &self.signature, &self.device_tag).ct_eq(&self.pin_authenticator).into()
    }

    /// The customer's signature, or `None` where none was made.
    pub fn signature(&self) -> Option<Signature> {
        (self.signature != [0; 64]).then_some(Signature(self.signature))
    }
}

/// What the customer signs: the type that pipeline stages hold.
pub type SignedBytes = [u8; SIGNED_BYTES];

#[cfg(test)]
mod tests;
