//! Steps 3 and 4: the customer confirms, the merchant authenticates quote and address.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{MerchantMessageType, VerifiedOffer, before_authenticator};
use crate::codec::{Canonical, DecodeError, check_text};
use crate::hash::{Purpose, tagged};
use crate::ids::{Digest, QuoteDigest, TransactionNumber};
use crate::limits::ADDRESS_BYTES_MAX;
use crate::purchase::MerchantErrorCode;
use crate::quote::{GoodsKind, Quote};
use crate::session::merchant::{MerchantSession, NotAuthentic, SessionTerms};
use crate::session::payment::SEAL_TAG_BYTES;
use crate::session::{AgreementPublic, AgreementSecret, NoSharedSecret};

/// A sealed address is padded to a multiple of this, so that its length tells little.
const ADDRESS_BLOCK_BYTES: usize = 256;
/// The longest plaintext of a confirmation: length, address, padding.
const ADDRESS_PLAIN_BYTES_MAX: usize = (2 + ADDRESS_BYTES_MAX).next_multiple_of(ADDRESS_BLOCK_BYTES);

/// A shipping address: text for people, lines separated by `\n`, 1 to 2,048 bytes. Overwritten when dropped, never printed by
/// `Debug`: it is the one thing in a purchase that may say who the customer is, and only for hard goods.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Address(String);

impl Address {
    /// An address.
    ///
    /// # Errors
    /// [`DecodeError`] for an empty one, one that is too long, and control characters.
    pub fn new(text: String) -> Result<Self, DecodeError> {
        let address = Self(text);
        for line in address.0.split('\n') {
            check_text("shipping address", "line", line, ADDRESS_BYTES_MAX)?;
        }
        if address.0.trim().is_empty() || address.0.len() > ADDRESS_BYTES_MAX {
            return Err(DecodeError::Field { what: "shipping address", field: "length" });
        }
        Ok(address)
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The tagged hash of the text: what the MTS authenticates as received.
    pub fn digest(&self) -> Digest {
        Digest(tagged(Purpose::ADDRESS, self.0.as_bytes()))
    }

    /// Length (u16, little endian), text, zero bytes up to a multiple of 256.
    fn padded(&self) -> Zeroizing<Vec<u8>> {
        let bytes = (2 + self.0.len()).next_multiple_of(ADDRESS_BLOCK_BYTES);
        let mut plain = Zeroizing::new(Vec::with_capacity(bytes));
        plain.extend_from_slice(&(self.0.len() as u16).to_le_bytes());
        plain.extend_from_slice(self.0.as_bytes());
        plain.resize(bytes, 0);
        plain
    }

    fn from_padded(plain: &[u8]) -> Result<Self, DecodeError> {
        let field = DecodeError::Field { what: "shipping address", field: "padding" };
        let (length, rest) = plain.split_first_chunk::<2>().ok_or(field.clone())?;
        let length = usize::from(u16::from_le_bytes(*length));
        let text = rest.get(..length).ok_or(field.clone())?;
        let address = Self::new(std::str::from_utf8(text).map_err(|_| field.clone())?.to_owned())?;
        if address.padded()[..] == *plain { Ok(address) } else { Err(field) }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(hidden)")
    }
}

/// Step 3, CTS to MTS. Fields: prefix (3 bytes), transaction number (16), quote digest (32), ephemeral public key (32),
/// sealed (length u32 and bytes).
///
/// `sealed` is AES-256-GCM under the address key, nonce zero, with everything before it as associated data: the padded
/// address for hard goods, nothing but the tag for digital goods. Either way it shows that the sender knows the session.
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
    /// Digest of the address that the MTS must authenticate; zero for digital goods.
    pub address_digest: Digest,
}

/// Confirms a displayed offer with a fresh ephemeral key (K-27, K-28).
///
/// # Errors
/// [`ConfirmError`].
pub fn confirm(
    offer: &VerifiedOffer,
    ephemeral: AgreementSecret,
    address: Option<&Address>,
) -> Result<SentConfirmation, ConfirmError> {
    let (quote, certificate) = (offer.quote(), offer.certificate());
    let plain = match (quote.goods, address) {
        (GoodsKind::Hard, Some(address)) => address.padded(),
        (GoodsKind::Hard, None) => return Err(ConfirmError::AddressMissing),
        (GoodsKind::Digital, Some(_)) => return Err(ConfirmError::AddressUnexpected),
        (GoodsKind::Digital, None) => Zeroizing::new(Vec::new()),
    };
    let quote_digest = quote.digest();
    let terms = SessionTerms { certificate: certificate.digest(), quote: quote_digest };
    let ephemeral_public = ephemeral.public();
    let (session, address_key) = MerchantSession::for_customer(ephemeral, certificate.session(), &terms)?;
    let mut message = Confirmation {
        prefix: MerchantMessageType::Confirmation.prefix(),
        number: quote.number,
        quote_digest,
        ephemeral: ephemeral_public,
        sealed: Vec::new(),
    };
    message.sealed = address_key.seal(&message.associated(), &plain);
    Ok(SentConfirmation { message, session, address_digest: address.map_or(Digest::ZERO, Address::digest) })
}

/// A confirmation that the MTS has opened with its own record of the quote.
#[derive(Debug)]
pub struct OpenedConfirmation {
    /// The session's keys.
    pub session: MerchantSession,
    /// Where to ship hard goods; `None` for digital goods.
    pub address: Option<Address>,
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
    /// [`MerchantErrorCode::DoesNotOpen`] where anything was altered, [`MerchantErrorCode::AddressMissing`],
    /// [`MerchantErrorCode::AddressUnexpected`].
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
        let (session, address_key) = MerchantSession::for_merchant(secret, &self.ephemeral, &terms)
            .map_err(|_| MerchantErrorCode::DoesNotOpen)?;
        let plain = address_key.open(&self.associated(), &self.sealed).map_err(|_| MerchantErrorCode::DoesNotOpen)?;
        let address = match (quote.goods, plain.is_empty()) {
            (GoodsKind::Digital, true) => None,
            (GoodsKind::Digital, false) => return Err(MerchantErrorCode::AddressUnexpected),
            (GoodsKind::Hard, true) => return Err(MerchantErrorCode::AddressMissing),
            (GoodsKind::Hard, false) => Some(Address::from_padded(&plain).map_err(|_| MerchantErrorCode::Malformed)?),
        };
        Ok(OpenedConfirmation { session, address })
    }
}

impl Canonical for Confirmation {
    const NAME: &'static str = "confirmation";
    const BYTES_MAX: usize = 3 + 16 + 32 + 32 + 4 + ADDRESS_PLAIN_BYTES_MAX + SEAL_TAG_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::Confirmation.check(Self::NAME, self.prefix)?;
        let plain = self.sealed.len().checked_sub(SEAL_TAG_BYTES);
        match plain {
            Some(bytes) if bytes.is_multiple_of(ADDRESS_BLOCK_BYTES) && bytes <= ADDRESS_PLAIN_BYTES_MAX => Ok(()),
            _ => Err(DecodeError::Field { what: Self::NAME, field: "sealed address" }),
        }
    }
}

/// Step 4, MTS to CTS: quote and received address, authenticated under the session (K-32). Fields: prefix (3 bytes),
/// transaction number (16), quote digest (32), address digest (32, zero for digital goods), authenticator (32): keyed
/// BLAKE3 under the quote key over everything before it.
///
/// The authenticator is symmetric: the CTS could have made it alone, so it proves nothing to a third party (K-33).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct AuthenticatedQuote {
    prefix: [u8; 3],
    /// Which quote.
    pub number: TransactionNumber,
    /// Digest of the MTS's own record of the quote.
    pub quote_digest: QuoteDigest,
    /// Digest of the address as received.
    pub address_digest: Digest,
    authenticator: [u8; 32],
}

impl AuthenticatedQuote {
    /// Authenticates the MTS's record.
    pub fn new(
        session: &MerchantSession,
        number: TransactionNumber,
        quote_digest: QuoteDigest,
        address: Option<&Address>,
    ) -> Self {
        let mut message = Self {
            prefix: MerchantMessageType::AuthenticatedQuote.prefix(),
            number,
            quote_digest,
            address_digest: address.map_or(Digest::ZERO, Address::digest),
            authenticator: [0; 32],
        };
        message.authenticator = session.quote.authenticate(&before_authenticator(&message, 32));
        message
    }

    /// The CTS's check: the very quote that was displayed, the very address that was sent.
    ///
    /// # Errors
    /// [`NotAuthentic`]: nothing must be paid then.
    pub fn verify(
        &self,
        session: &MerchantSession,
        sent: &Confirmation,
        address_digest: Digest,
    ) -> Result<(), NotAuthentic> {
        session.quote.verify(&before_authenticator(self, 32), &self.authenticator)?;
        let same = self.number == sent.number
            && self.quote_digest == sent.quote_digest
            && self.address_digest == address_digest;
        if same { Ok(()) } else { Err(NotAuthentic) }
    }
}

impl Canonical for AuthenticatedQuote {
    const NAME: &'static str = "authenticated quote";
    const BYTES_MAX: usize = 3 + 16 + 32 + 32 + 32;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::AuthenticatedQuote.check(Self::NAME, self.prefix)
    }
}
