//! Steps 3 and 4: the customer confirms, the merchant authenticates quote and order data.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::order_data::{ORDER_DATA_BLOCK_BYTES, ORDER_DATA_BYTES_MAX};
use super::{MerchantMessageType, OrderData, VerifiedOffer, before_authenticator};
use crate::codec::{Canonical, DecodeError};
use crate::ids::{Digest, QuoteDigest, TransactionNumber};
use crate::purchase::MerchantErrorCode;
use crate::quote::{GoodsKind, Quote};
use crate::session::merchant::{MerchantSession, NotAuthentic, SessionTerms};
use crate::session::payment::SEAL_TAG_BYTES;
use crate::session::{AgreementPublic, AgreementSecret, NoSharedSecret};

/// Step 3, CTS to MTS. Fields: prefix (3 bytes), transaction number (16), quote digest (32), ephemeral public key (32),
/// sealed (length u32 and bytes).
///
/// `sealed` is AES-256-GCM under the order data key, nonce zero, with everything before it as associated data: the padded
/// [`OrderData`], also where there are none. Either way it shows that the sender knows the session.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Confirmation {
    prefix: [u8; 3],
    /// Which quote.
    pub number: TransactionNumber,
    /// Digest of the quote as displayed (K-34).
    pub quote_digest: QuoteDigest,
    /// Fresh for this purchase.
    pub ephemeral: AgreementPublic,
    sealed: Vec<u8>,
}

/// Why the CTS does not confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmError {
    /// Hard goods need an address.
    #[error("these goods are shipped: give the address to ship to")]
    AddressMissing,
    /// Digital goods are not shipped.
    #[error("these goods are sent over the network: do not give an address, the merchant has no use for it")]
    AddressUnexpected,
    /// The certified key is of no use.
    #[error("the merchant's certified key is unusable: {0}")]
    Key(#[from] NoSharedSecret),
}

/// A confirmation as the CTS keeps it.
#[derive(Debug)]
pub struct SentConfirmation {
    /// The message; when no answer came the same bytes are sent again.
    pub message: Confirmation,
    /// The session's keys.
    pub session: MerchantSession,
    /// The one answer that authenticates the quote that was displayed and the order data that were sent.
    pub expected: AuthenticatedQuote,
}

/// Confirms a displayed offer with a fresh ephemeral key (K-27, K-28).
///
/// # Errors
/// [`ConfirmError`].
pub fn confirm(
    offer: &VerifiedOffer,
    ephemeral: AgreementSecret,
    order_data: &OrderData,
) -> Result<SentConfirmation, ConfirmError> {
    let (quote, certificate) = (offer.quote(), offer.certificate());
    match (quote.goods, &order_data.address) {
        (GoodsKind::Hard, None) => return Err(ConfirmError::AddressMissing),
        (GoodsKind::Digital, Some(_)) => return Err(ConfirmError::AddressUnexpected),
        (GoodsKind::Hard, Some(_)) | (GoodsKind::Digital, None) => {}
    }
    let quote_digest = quote.digest();
    let terms = SessionTerms { certificate: certificate.digest(), quote: quote_digest };
    let ephemeral_public = ephemeral.public();
    let (session, order_data_key) = MerchantSession::for_customer(ephemeral, certificate.session(), &terms)?;
    let mut message = Confirmation {
        prefix: MerchantMessageType::Confirmation.prefix(),
        number: quote.number,
        quote_digest,
        ephemeral: ephemeral_public,
        sealed: Vec::new(),
    };
    message.sealed = order_data_key.seal(&message.associated(), &order_data.padded());
    let expected = AuthenticatedQuote::new(&session, quote.number, quote_digest, order_data);
    Ok(SentConfirmation { message, session, expected })
}

/// A confirmation that the MTS has opened with its own record of the quote.
#[derive(Debug)]
pub struct OpenedConfirmation {
    /// The session's keys.
    pub session: MerchantSession,
    /// What the customer tells the merchant: an address for hard goods, and a loyalty id if it wants to be known.
    pub order_data: OrderData,
}

impl Confirmation {
    fn associated(&self) -> Vec<u8> {
        borsh::to_vec(&(self.prefix, self.number, self.quote_digest, self.ephemeral))
            .expect("encoding into memory does not fail")
    }

    /// Opens the confirmation with the MTS's own record of the quote and the secret key of `certificate` (K-32).
    ///
    /// # Errors
    /// The code to answer: [`MerchantErrorCode::QuoteMismatch`] where the customer was shown another quote,
    /// [`MerchantErrorCode::DoesNotOpen`] where anything was altered, [`MerchantErrorCode::Malformed`],
    /// [`MerchantErrorCode::AddressMissing`], [`MerchantErrorCode::AddressUnexpected`].
    pub fn open(
        &self,
        quote: &Quote,
        secret: &AgreementSecret,
        certificate: Digest,
    ) -> Result<OpenedConfirmation, MerchantErrorCode> {
        if self.number != quote.number || self.quote_digest != quote.digest() {
            return Err(MerchantErrorCode::QuoteMismatch);
        }
        let terms = SessionTerms { certificate, quote: self.quote_digest };
        let (session, order_data_key) = MerchantSession::for_merchant(secret, &self.ephemeral, &terms)
            .map_err(|_| MerchantErrorCode::DoesNotOpen)?;
        let plain =
            order_data_key.open(&self.associated(), &self.sealed).map_err(|_| MerchantErrorCode::DoesNotOpen)?;
        let order_data = OrderData::from_padded(&plain).map_err(|_| MerchantErrorCode::Malformed)?;
        match (quote.goods, &order_data.address) {
            (GoodsKind::Digital, Some(_)) => Err(MerchantErrorCode::AddressUnexpected),
            (GoodsKind::Hard, None) => Err(MerchantErrorCode::AddressMissing),
            (GoodsKind::Hard, Some(_)) | (GoodsKind::Digital, None) => Ok(OpenedConfirmation { session, order_data }),
        }
    }
}

impl Canonical for Confirmation {
    const NAME: &'static str = "confirmation";
    const BYTES_MAX: usize = 3 + 16 + 32 + 32 + 4 + ORDER_DATA_BYTES_MAX + SEAL_TAG_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::Confirmation.check(Self::NAME, self.prefix)?;
        match self.sealed.len().checked_sub(SEAL_TAG_BYTES) {
            Some(bytes @ 1..=ORDER_DATA_BYTES_MAX) if bytes.is_multiple_of(ORDER_DATA_BLOCK_BYTES) => Ok(()),
            _ => Err(DecodeError::Field { what: Self::NAME, field: "sealed order data" }),
        }
    }
}

/// Step 4, MTS to CTS: quote and received order data, authenticated under the session (K-32). Fields: prefix (3 bytes),
/// transaction number (16), quote digest (32), authenticator (32): keyed BLAKE3 under the quote key over everything before it
/// and the padded order data.
///
/// The order data stand in the message in no form, not even as a hash: whoever reads along could try guesses at them.
///
/// The authenticator is symmetric: the CTS could have made it alone, so it proves nothing to a third party (K-33).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct AuthenticatedQuote {
    prefix: [u8; 3],
    /// Which quote.
    pub number: TransactionNumber,
    /// Digest of the MTS's own record of the quote.
    pub quote_digest: QuoteDigest,
    authenticator: [u8; 32],
}

impl AuthenticatedQuote {
    /// Authenticates the MTS's record of the quote, and the order data as received.
    pub fn new(
        session: &MerchantSession,
        number: TransactionNumber,
        quote_digest: QuoteDigest,
        order_data: &OrderData,
    ) -> Self {
        let prefix = MerchantMessageType::AuthenticatedQuote.prefix();
        let mut message = Self { prefix, number, quote_digest, authenticator: [0; 32] };
        let authenticated = Zeroizing::new([&message.before_authenticator()[..], &order_data.padded()].concat());
        message.authenticator = session.quote.authenticate(&authenticated);
        message
    }

    fn before_authenticator(&self) -> Vec<u8> {
        before_authenticator(self, 32)
    }

    /// The CTS's check: the very quote that was displayed, the very order data that were sent. `expected` is what
    /// [`confirm`] gave.
    ///
    /// # Errors
    /// [`NotAuthentic`]: nothing must be paid then.
    pub fn verify(&self, expected: &Self) -> Result<(), NotAuthentic> {
        let same = self.authenticator.ct_eq(&expected.authenticator);
        if same.into() && self.before_authenticator() == expected.before_authenticator() {
            Ok(())
        } else {
            Err(NotAuthentic)
        }
    }
}

impl Canonical for AuthenticatedQuote {
    const NAME: &'static str = "authenticated quote";
    const BYTES_MAX: usize = 3 + 16 + 32 + 32;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::AuthenticatedQuote.check(Self::NAME, self.prefix)
    }
}
