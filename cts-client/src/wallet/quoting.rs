//! Steps 1 and 2: a quote is asked for and checked.

use protocol::codec::Canonical as _;
use protocol::money::Amount;
use protocol::purchase::{OfferError, QuoteOffer, QuoteRequest, VerifiedOffer};
use protocol::quote::Quote;

use super::Wallet;
use crate::error::CtsError;
use crate::merchant::MerchantClient;
use crate::skew::ClockSkew;

/// A merchant's offer that was checked and can be shown.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// Where it came from.
    pub url: String,
    /// The checked offer.
    pub offer: VerifiedOffer,
    /// Decimal places of its asset.
    pub exponent: u8,
    /// How far this machine's clock is off, if the quote is not an old one.
    pub(crate) supposed: Option<ClockSkew>,
}

impl Quoted {
    /// The quote, to be shown.
    pub fn quote(&self) -> &Quote {
        self.offer.quote()
    }

    /// The bytes of the offer: a file for somebody else to pay.
    pub fn to_bytes(&self) -> Vec<u8> {
        QuoteOffer::new(self.offer.certificate().certificate(), self.offer.quote()).encode()
    }

    /// Refuses a total above `maximum`.
    ///
    /// # Errors
    /// [`CtsError::AboveMaximum`].
    pub fn at_most(&self, maximum: Option<Amount>) -> Result<(), CtsError> {
        match maximum {
            Some(maximum) if self.quote().total > maximum => Err(CtsError::above(self.quote().total, maximum)),
            _ => Ok(()),
        }
    }
}

impl Wallet {
    /// Steps 1 and 2: asks a merchant for a quote and checks its certificate first, then the quote (K-22). Nothing says who
    /// asks (K-35).
    ///
    /// # Errors
    /// [`CtsError::Merchant`], [`CtsError::Offer`], [`CtsError::OtherItems`]: nothing is to be shown then.
    pub async fn quote(&self, url: &str, items: Vec<(String, u32)>) -> Result<Quoted, CtsError> {
        let client = MerchantClient::new(url, self.0.frames.clone())?;
        self.0.payer.key_sets.ensure_usable().await;
        let request = QuoteRequest::new(items)?;
        let answer = client.post("quote", &request.encode()).await?;
        let quoted = self.check_fresh_offer(url, &answer).await?;
        // An agent that confirms whatever is cheap enough must not buy something else.
        let lines = quoted.quote().items.iter().map(|item| (&item.code, item.quantity));
        if lines.eq(request.items.iter().map(|(code, quantity)| (code, *quantity))) {
            Ok(quoted)
        } else {
            Err(CtsError::OtherItems)
        }
    }

    /// Checks an offer that was asked for this moment.
    async fn check_fresh_offer(&self, url: &str, answer: &[u8]) -> Result<Quoted, CtsError> {
        match self.check_offer(url, answer) {
            // The merchant's certificate may be newer than the pinned set.
            Err(error) if error.is_unknown_issuer() && self.refresh_key_set().await.is_ok() => {
                self.check_offer(url, answer)
            }
            // A quote that was asked for this moment should not have expired: is this machine's clock ahead? Its certificate
            // was found valid before.
            Err(CtsError::Offer(OfferError::Expired(_))) => {
                let quote = Quote::decode(QuoteOffer::decode(answer)?.quote_bytes())?;
                self.check_offer_at(url, answer, self.0.payer.clock.suppose(quote.issued_at))
            }
            checked => checked,
        }
    }

    /// Checks an offer from wherever it came.
    ///
    /// # Errors
    /// [`CtsError::Decode`], [`CtsError::Offer`], [`CtsError::UnknownAsset`].
    pub fn check_offer(&self, url: &str, bytes: &[u8]) -> Result<Quoted, CtsError> {
        self.check_offer_at(url, bytes, None)
    }

    fn check_offer_at(&self, url: &str, bytes: &[u8], supposed: Option<ClockSkew>) -> Result<Quoted, CtsError> {
        let now = self.0.payer.clock.now_for(supposed);
        let offer = QuoteOffer::decode(bytes)?.verify(&self.0.payer.key_sets.current(), now)?;
        let exponent = self.exponent(offer.quote().asset)?;
        Ok(Quoted { url: url.to_owned(), offer, exponent, supposed })
    }
}
