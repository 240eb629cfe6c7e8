//! Steps 1 and 2: asking for a quote, and the offer of one.

use super::MerchantMessageType;
use crate::certificate::{CertificateError, MerchantCertificate, VerifiedCertificate};
use crate::codec::{Canonical, DecodeError, check_text};
use crate::ids::{MerchantId, QuoteDigest, RealmId};
use crate::key_set::PinnedKeySet;
use crate::limits::{
    CERTIFICATE_BYTES_MAX, ITEM_CODE_BYTES_MAX, MERCHANT_MESSAGE_BYTES_MAX, QUOTE_BYTES_MAX, QUOTE_ITEMS_MAX,
};
use crate::quote::Quote;
use crate::time::Timestamp;

/// Step 1, CTS to MTS: what the customer would like to buy. Fields: prefix (3 bytes), list of (code, quantity u32).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct QuoteRequest {
    prefix: [u8; 3],
    /// Codes and quantities: 1 to 64.
    pub items: Vec<(String, u32)>,
}

impl QuoteRequest {
    /// A request for these codes and quantities.
    ///
    /// # Errors
    /// [`DecodeError`] for none or too many, an empty or too long code, and a quantity of zero.
    pub fn new(items: Vec<(String, u32)>) -> Result<Self, DecodeError> {
        let request = Self { prefix: MerchantMessageType::QuoteRequest.prefix(), items };
        request.check()?;
        Ok(request)
    }
}

impl Canonical for QuoteRequest {
    const NAME: &'static str = "quote request";
    const BYTES_MAX: usize = 16 * 1_024;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::QuoteRequest.check(Self::NAME, self.prefix)?;
        if self.items.is_empty() || self.items.len() > QUOTE_ITEMS_MAX {
            return Err(DecodeError::Field { what: Self::NAME, field: "number of items" });
        }
        for (code, quantity) in &self.items {
            check_text(Self::NAME, "item code", code, ITEM_CODE_BYTES_MAX)?;
            if code.is_empty() {
                return Err(DecodeError::Field { what: Self::NAME, field: "item code" });
            }
            if *quantity == 0 {
                return Err(DecodeError::Field { what: Self::NAME, field: "quantity" });
            }
        }
        Ok(())
    }
}

/// Step 2, MTS to CTS: certificate and quote. Nothing in it is authenticated yet but the certificate (K-25). Fields:
/// prefix (3 bytes), certificate (length u32 and bytes), quote (length u32 and bytes).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct QuoteOffer {
    prefix: [u8; 3],
    certificate: Vec<u8>,
    quote: Vec<u8>,
}

/// Why an offer is not shown to the customer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The certificate, checked first, is not valid (K-22).
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The quote is not well formed (K-20).
    #[error("the merchant's quote is not usable: {0}")]
    Quote(DecodeError),
    /// The quote names somebody else than the certificate (K-23).
    #[error("the quote asks to pay merchant {quote}, but the certificate is that of {certificate}: do not pay it")]
    OtherMerchant {
        /// The quote's merchant.
        quote: MerchantId,
        /// The certificate's merchant.
        certificate: MerchantId,
    },
    /// The quote is for another installation.
    #[error("the quote belongs to realm {0}, which is not the pinned one")]
    OtherRealm(RealmId),
    /// The quote can no longer be confirmed.
    #[error("the quote expired at {0}: ask for a new one")]
    Expired(Timestamp),
}

/// An offer whose certificate verifies and whose quote is well formed and the certified merchant's own. Only
/// [`QuoteOffer::verify`] makes one. The quote is not yet authenticated: see [`super::AuthenticatedQuote`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedOffer {
    certificate: VerifiedCertificate,
    quote: Quote,
}

impl VerifiedOffer {
    /// The certificate.
    pub fn certificate(&self) -> &VerifiedCertificate {
        &self.certificate
    }

    /// The quote, to be shown to the customer.
    pub fn quote(&self) -> &Quote {
        &self.quote
    }

    /// Digest of the quote as shown: it goes into session and payment (K-34).
    pub fn quote_digest(&self) -> QuoteDigest {
        self.quote.digest()
    }
}

impl QuoteOffer {
    /// An offer.
    pub fn new(certificate: &MerchantCertificate, quote: &Quote) -> Self {
        let prefix = MerchantMessageType::QuoteOffer.prefix();
        Self { prefix, certificate: certificate.encode(), quote: quote.encode() }
    }

    /// The certificate's bytes.
    pub fn certificate_bytes(&self) -> &[u8] {
        &self.certificate
    }

    /// The quote's bytes.
    pub fn quote_bytes(&self) -> &[u8] {
        &self.quote
    }

    /// Checks the certificate first, then the quote (K-22, K-23).
    ///
    /// # Errors
    /// [`OfferError`]; nothing of the offer is to be shown then.
    pub fn verify(&self, keys: &PinnedKeySet, now: Timestamp) -> Result<VerifiedOffer, OfferError> {
        let certificate = MerchantCertificate::decode(&self.certificate).map_err(CertificateError::from)?;
        let certificate = certificate.verify(keys, now)?;
        let quote = Quote::decode(&self.quote).map_err(OfferError::Quote)?;
        if quote.merchant != certificate.merchant() {
            return Err(OfferError::OtherMerchant { quote: quote.merchant, certificate: certificate.merchant() });
        }
        if quote.realm != certificate.realm() {
            return Err(OfferError::OtherRealm(quote.realm));
        }
        if quote.is_expired(now) {
            return Err(OfferError::Expired(quote.expires_at));
        }
        Ok(VerifiedOffer { certificate, quote })
    }
}

impl Canonical for QuoteOffer {
    const NAME: &'static str = "quote offer";
    const BYTES_MAX: usize = MERCHANT_MESSAGE_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::QuoteOffer.check(Self::NAME, self.prefix)?;
        if self.certificate.len() > CERTIFICATE_BYTES_MAX {
            return Err(DecodeError::Field { what: Self::NAME, field: "certificate" });
        }
        if self.quote.len() > QUOTE_BYTES_MAX {
            return Err(DecodeError::Field { what: Self::NAME, field: "quote" });
        }
        Ok(())
    }
}
