//! What the MTS answers when it does not do what was asked. Not authenticated: it changes nothing at the CTS by itself.

use super::MerchantMessageType;
use crate::codec::{Canonical, DecodeError, check_text};
use crate::numbered::numbered;

numbered! {
    /// Why the MTS refuses. The text says what to do; `docs/errors.md` lists all codes.
    #[repr(u16)]
    MerchantErrorCode: u16;

    /// Bytes that are no message, or a field out of range.
    Malformed = 1, "the merchant could not read the message: update the client";
    /// Another version of the protocol.
    UnsupportedVersion = 2, "the merchant speaks another version of the protocol: update the older side";
    /// Another cryptographic suite.
    UnsupportedSuite = 3, "the merchant does not know this cryptographic suite: update the older side";
    /// The merchant holds no valid certificate and so does not quote (K-06).
    NotCertified = 4, "the merchant has no valid certificate at the moment and sells nothing: try again later";
    /// No such item, or not in that quantity.
    UnknownItem = 5, "the merchant does not sell one of these items in that quantity: look at its catalogue";
    /// Items that cannot be delivered together: digital with hard goods, or several files.
    MixedGoods = 6, "these items need separate quotes: one digital item at a time, and shipped goods apart from sent ones";
    /// No quote of that number.
    UnknownNumber = 7, "the merchant has no quote of that number: ask for a new quote";
    /// The quote can no longer be confirmed.
    QuoteExpired = 8, "the quote has expired and was not paid: ask for a new quote";
    /// Another key confirmed first.
    BoundToOtherKey = 9, "the quote was confirmed before under another key: ask for a new quote";
    /// The customer was shown another quote than the merchant made.
    QuoteMismatch = 10, "the quote that was confirmed is not the one the merchant made: it was altered on the way; do not pay";
    /// The sealed part does not open.
    DoesNotOpen = 11, "the merchant could not open the message: it was altered, or made for an older certificate; get the current one";
    /// Hard goods without an address.
    AddressMissing = 12, "these goods are shipped: confirm with an address";
    /// Digital goods with an address.
    AddressUnexpected = 13, "these goods are sent over the network: confirm without an address";
    /// The proof does not verify.
    ProofInvalid = 14, "the proof does not verify: it was altered or is not the TPS's; present the one the TPS gave";
    /// The proof names another merchant.
    ProofForOtherMerchant = 15, "the proof is for another merchant: present it there";
    /// A denial was presented.
    ProofOfDenial = 16, "the TPS denied this payment: nothing was paid, pay again";
    /// A kind of payment that this merchant does not take.
    ProofKind = 17, "the payment is of a kind that this merchant does not take: ask the merchant for a refund";
    /// Paid, but not what the quote says.
    ProofMismatch = 18, "the payment is not for the quote that the merchant made: ask the merchant for a refund";
    /// The payment is recorded, but nobody has confirmed the quote.
    NotConfirmed = 19, "the payment is recorded, but the quote was never confirmed: confirm it, then present the proof again";
    /// Goods were asked for before a proof was presented (K-86).
    NotPaid = 20, "no proof of payment was presented for this order yet: present it first";
    /// The authenticator is not that of the order's current session.
    NotAuthentic = 21, "the message does not come from the initiator of this order, or is of an older session: renegotiate";
    /// The keys of the order have been destroyed (K-89).
    Renegotiate = 22, "the keys of this order have expired: renegotiate a new one, then ask again";
    /// The TOKEN is wrong.
    TokenRefused = 23, "the token does not belong to this order";
    /// A renegotiation that was used before.
    RenegotiationReplayed = 24, "this renegotiation was used before: make a new one";
    /// Too many renegotiations of one order.
    TooManyRenegotiations = 25, "this order was renegotiated too often: contact the merchant";
    /// The order was refunded: nothing is delivered any more (K-103).
    Refunded = 26, "the order was refunded: its goods are not sent any more";
    /// The goods differ from those advised.
    GoodsChanged = 27, "the goods have changed since they were advised: renegotiate to get the present ones, or ask for a refund";
    /// The goods cannot be read.
    GoodsUnavailable = 28, "the goods are not available at the moment: try again later";
    /// Hard goods are shipped, not sent.
    NotDigital = 29, "these goods are shipped: there is nothing to send";
    /// A chunk beyond the last.
    NoSuchChunk = 30, "the goods have fewer chunks than that: start again from chunk 0";
    /// Too much at once.
    Overloaded = 31, "the merchant is overloaded: ask again shortly";
    /// A fault of the merchant's own.
    Internal = 32, "the merchant has a fault of its own: ask again later, nothing is lost";
    /// The pinned keys are too old to judge a proof.
    KeySetTooOld = 33, "the merchant cannot verify proofs at the moment, its key set is too old: present the proof again later";
}

impl MerchantErrorCode {
    /// Whether the same message may succeed later without the customer doing anything else.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::NotCertified | Self::GoodsUnavailable | Self::Overloaded | Self::Internal | Self::KeySetTooOld
        )
    }
}

impl From<&DecodeError> for MerchantErrorCode {
    fn from(error: &DecodeError) -> Self {
        error.tell(Self::Malformed, Self::UnsupportedVersion, Self::UnsupportedSuite)
    }
}

/// Bytes of the text in an error.
const TEXT_BYTES_MAX: usize = 512;

/// An error on the wire. Fields: prefix (3 bytes), code (u16), retry after (u32, milliseconds, 0 where it makes no
/// difference), text for people (length u32 and bytes).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct MerchantError {
    prefix: [u8; 3],
    number: u16,
    /// How long to wait before asking again, in milliseconds; 0 where it makes no difference.
    pub retry_after_ms: u32,
    /// For people, in the merchant's words.
    pub text: String,
}

impl MerchantError {
    /// An error whose text is that of its code.
    pub fn new(code: MerchantErrorCode, retry_after_ms: u32) -> Self {
        Self {
            prefix: MerchantMessageType::Error.prefix(),
            number: code as u16,
            retry_after_ms,
            text: code.to_string(),
        }
    }

    /// The code, or the bare number where this program does not know it yet.
    pub fn code(&self) -> Result<MerchantErrorCode, u16> {
        MerchantErrorCode::from_number(self.number).ok_or(self.number)
    }
}

impl Canonical for MerchantError {
    const NAME: &'static str = "merchant error";
    const BYTES_MAX: usize = 3 + 2 + 4 + 4 + TEXT_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::Error.check(Self::NAME, self.prefix)?;
        check_text(Self::NAME, "text", &self.text, TEXT_BYTES_MAX)
    }
}
