//! A purchase as the customer remembers it: every message to the merchant, and every check of an answer (paper sections 2
//! and 3; DESIGN section 3).
//!
//! A [`Purchase`] is stored after each step and before the next message leaves. Which step is next follows from its
//! [`PurchaseState`]; nothing that a merchant says leads from a paid state back to an unpaid one (K-74).

mod error;
mod returning;
mod state;
mod stored;

pub use error::PurchaseError;
pub use state::{PurchaseEvent, PurchaseRefused, PurchaseState};
pub use stored::StoredBytes;

use crate::certificate::MerchantCertificate;
use crate::codec::{Canonical, DecodeError};
use crate::customer::payment::Resolution;
use crate::ids::{Digest, TermsDigest, TransactionNumber};
use crate::limits::VALID_UNTIL_AHEAD_MAX_MS;
use crate::order::pays;
use crate::pin::ModifierPart;
use crate::proof::Proof;
use crate::purchase::{
    AdviceStatus, AuthenticatedQuote, DigitalGoods, OrderData, QuoteOffer, SendGoods, ShippingAdvice, VerifiedOffer,
    confirm,
};
use crate::quote::Quote;
use crate::request::{Content, PaymentKind};
use crate::response::Reason;
use crate::session::AgreementSecret;
use crate::session::merchant::{GoodsKey, MerchantSession, SESSION_BYTES};
use crate::time::{MINUTE_MS, Timestamp};

/// How much earlier than permitted a request ends, for clocks that differ.
const CLOCK_TOLERANCE_MS: u64 = MINUTE_MS;

/// What the merchant said of a paid order, authenticated.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advised {
    /// Whether this payment pays the order, or somebody had paid it before.
    pub status: AdviceStatus,
    /// How to ask for digital goods, and how to recognise them.
    pub goods: Option<DigitalGoods>,
    /// When and how hard goods come.
    pub delivery_text: String,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenRenegotiation {
    message: StoredBytes,
    session: StoredBytes,
}

/// A purchase between its steps. To be kept in a private store: it holds the keys of the session and the TOKEN, but nothing
/// about the PIN and no key of the instrument.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purchase {
    state: PurchaseState,
    certificate: StoredBytes,
    quote: StoredBytes,
    confirmation: Option<StoredBytes>,
    /// The answer that authenticates it, until that came. It cannot be made again: the order data are kept nowhere in clear.
    authenticated_quote: Option<StoredBytes>,
    session: Option<StoredBytes>,
    token: Option<StoredBytes>,
    content: Option<Content>,
    reason: Option<u8>,
    proof: Option<StoredBytes>,
    advised: Option<Advised>,
    renegotiation: Option<OpenRenegotiation>,
}

impl Purchase {
    /// Step 2: an offer whose certificate and quote were checked, to be shown to the customer.
    pub fn new(offer: &VerifiedOffer) -> Self {
        Self {
            state: PurchaseState::Offered,
            certificate: StoredBytes::new(offer.certificate().certificate().encode()),
            quote: StoredBytes::new(offer.quote().encode()),
            confirmation: None,
            authenticated_quote: None,
            session: None,
            token: None,
            content: None,
            reason: None,
            proof: None,
            advised: None,
            renegotiation: None,
        }
    }

    /// What the purchase waits for.
    pub fn state(&self) -> PurchaseState {
        self.state
    }

    /// The quote as it was shown.
    ///
    /// # Errors
    /// [`DecodeError`] where the store was altered.
    pub fn quote(&self) -> Result<Quote, DecodeError> {
        Quote::decode(self.quote.expose())
    }

    /// The merchant's certificate as it was when the quote was shown.
    ///
    /// # Errors
    /// [`DecodeError`] where the store was altered.
    pub fn certificate(&self) -> Result<MerchantCertificate, DecodeError> {
        MerchantCertificate::decode(self.certificate.expose())
    }

    /// The offer once more, for somebody else to check and pay.
    ///
    /// # Errors
    /// [`DecodeError`] where the store was altered.
    pub fn offer(&self) -> Result<QuoteOffer, DecodeError> {
        Ok(QuoteOffer::new(&self.certificate()?, &self.quote()?))
    }

    /// The merchant's number of the order.
    ///
    /// # Errors
    /// [`DecodeError`] where the store was altered.
    pub fn number(&self) -> Result<TransactionNumber, DecodeError> {
        Ok(self.quote()?.number)
    }

    /// What was asked of the TPS, once the payment began.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// Why the TPS denied the payment.
    pub fn reason(&self) -> Option<Reason> {
        self.reason.and_then(|number| Reason::ALL.into_iter().find(|reason| *reason as u8 == number))
    }

    /// Proof or denial, to be forwarded untouched.
    pub fn proof_bytes(&self) -> Option<&[u8]> {
        self.proof.as_ref().map(StoredBytes::expose)
    }

    /// What the merchant advised.
    pub fn advised(&self) -> Option<&Advised> {
        self.advised.as_ref()
    }

    fn on(&self, event: PurchaseEvent) -> Result<PurchaseState, PurchaseRefused> {
        self.state.on(event)
    }

    /// The customer does not want it. Nothing is sent to anybody (K-26).
    ///
    /// # Errors
    /// [`PurchaseError::Refused`].
    pub fn decline(&mut self) -> Result<(), PurchaseError> {
        self.state = self.on(PurchaseEvent::Decline)?;
        Ok(())
    }

    /// Step 3: the customer wants it, and tells the merchant where to ship and who it is, as far as it likes. The ephemeral
    /// key is used up (K-27, K-28, K-43).
    ///
    /// # Errors
    /// [`PurchaseError::Confirm`] for a missing or needless address; [`PurchaseError::QuoteExpired`].
    pub fn confirm(
        &mut self,
        offer: &VerifiedOffer,
        ephemeral: AgreementSecret,
        order_data: &OrderData,
        now: Timestamp,
    ) -> Result<(), PurchaseError> {
        let next = self.on(PurchaseEvent::Confirm)?;
        if offer.quote().encode() != self.quote.expose() {
            return Err(PurchaseError::NotAuthentic);
        }
        if offer.quote().is_expired(now) {
            return Err(PurchaseError::QuoteExpired(offer.quote().expires_at));
        }
        let sent = confirm(offer, ephemeral, order_data)?;
        self.confirmation = Some(StoredBytes::new(sent.message.encode()));
        self.authenticated_quote = Some(StoredBytes::new(sent.expected.encode()));
        self.session = Some(StoredBytes::new(sent.session.expose().to_vec()));
        self.token = Some(StoredBytes::new(sent.session.token.expose().to_vec()));
        self.state = next;
        Ok(())
    }

    /// The confirmation; without an answer the very same bytes are sent again.
    pub fn confirmation_bytes(&self) -> Option<&[u8]> {
        self.confirmation.as_ref().map(StoredBytes::expose)
    }

    /// Step 4: the merchant must authenticate, under the session, the very quote that was shown and the very order data that
    /// were sent (K-32, K-34, K-43).
    ///
    /// # Errors
    /// [`PurchaseError::NotAuthentic`], [`PurchaseError::Malformed`]: nothing must be paid; call [`Self::stop`].
    pub fn authenticated(&mut self, answer: &[u8]) -> Result<(), PurchaseError> {
        let next = self.on(PurchaseEvent::Authenticated)?;
        let expected = self.authenticated_quote.as_ref().ok_or(PurchaseError::NotAuthentic)?;
        AuthenticatedQuote::decode(answer)?.verify(&AuthenticatedQuote::decode(expected.expose())?)?;
        self.authenticated_quote = None;
        self.state = next;
        Ok(())
    }

    /// The purchase goes no further: the merchant refused, or did not authenticate. Nothing was paid.
    ///
    /// # Errors
    /// [`PurchaseError::Refused`] once a payment began.
    pub fn stop(&mut self) -> Result<(), PurchaseError> {
        self.state = self.on(PurchaseEvent::Stop)?;
        Ok(())
    }

    /// Step 5: what to ask of the TPS. To be stored before the payment begins there.
    ///
    /// # Errors
    /// [`PurchaseError::QuoteExpired`].
    pub fn begin_payment(&mut self, customer_part: ModifierPart, now: Timestamp) -> Result<Content, PurchaseError> {
        let next = self.on(PurchaseEvent::BeginPayment)?;
        let content = content_of(&self.quote()?, customer_part, now)?;
        self.content = Some(content);
        self.state = next;
        Ok(content)
    }

    /// Step 6: the TPS decided.
    ///
    /// # Errors
    /// [`PurchaseError::NotAuthentic`] for the outcome of another payment.
    pub fn resolved(&mut self, resolution: &Resolution, proof: &[u8]) -> Result<(), PurchaseError> {
        let event = if resolution.reason == Reason::Paid { PurchaseEvent::Paid } else { PurchaseEvent::Denied };
        let next = self.on(event)?;
        if self.content != Some(resolution.content) {
            return Err(PurchaseError::NotAuthentic);
        }
        self.reason = Some(resolution.reason as u8);
        self.proof = Some(StoredBytes::new(proof.to_vec()));
        self.state = next;
        Ok(())
    }

    /// The payment was given up, or its outcome can no longer be learnt from the TPS.
    ///
    /// # Errors
    /// [`PurchaseError::Refused`].
    pub fn dropped(&mut self, maybe_paid: bool) -> Result<(), PurchaseError> {
        let event = if maybe_paid { PurchaseEvent::OutcomeUnknown } else { PurchaseEvent::GivenUp };
        self.state = self.on(event)?;
        if !maybe_paid {
            self.content = None;
        }
        Ok(())
    }

    /// A proof that came from elsewhere, for example because a third party paid (K-83). Its signature is the merchant's to
    /// verify, but it has to say that this very quote is paid: there is no way back to paying.
    ///
    /// # Errors
    /// [`PurchaseError::Refused`] unless the purchase awaits its payment, [`PurchaseError::Malformed`],
    /// [`PurchaseError::OtherProof`].
    pub fn paid_elsewhere(&mut self, proof: &[u8]) -> Result<(), PurchaseError> {
        let next = self.on(PurchaseEvent::PaidElsewhere)?;
        let said = Proof::decode(proof)?;
        pays(&said.statement, said.outcome, &self.quote()?)?;
        self.state = next;
        self.proof = Some(StoredBytes::new(proof.to_vec()));
        Ok(())
    }

    /// Step 8: the whole advice must be authenticated under the session of the initiator (K-85).
    ///
    /// # Errors
    /// [`PurchaseError::NotAuthentic`], [`PurchaseError::Malformed`]: the goods must not be asked for; the state stays paid.
    pub fn advised_by(&mut self, answer: &[u8]) -> Result<(), PurchaseError> {
        let advice = ShippingAdvice::decode(answer)?;
        let next = self.on(advice_event(advice.goods.as_ref()))?;
        advice.verify(&self.session()?.advice, self.number()?)?;
        let ShippingAdvice { status, goods, delivery_text, .. } = advice;
        self.advised = Some(Advised { status, goods, delivery_text });
        self.state = next;
        Ok(())
    }

    /// Step 9: asks for the goods from `first_chunk` on. Only after an authenticated advice or acknowledgment (K-92).
    ///
    /// # Errors
    /// [`PurchaseError::Refused`].
    pub fn send_goods(&self, first_chunk: u64) -> Result<Vec<u8>, PurchaseError> {
        self.on(PurchaseEvent::Received)?;
        Ok(SendGoods::new(&self.session()?.send_goods, self.number()?, first_chunk).encode())
    }

    /// Step 10: the key that opens the goods.
    ///
    /// # Errors
    /// [`PurchaseError::Refused`].
    pub fn goods_key(&self) -> Result<GoodsKey, PurchaseError> {
        self.on(PurchaseEvent::Received)?;
        Ok(self.session()?.goods)
    }

    /// The goods are whole and of this digest. The keys of the session are dropped, the TOKEN stays (K-88, K-94).
    ///
    /// # Errors
    /// [`PurchaseError::WrongGoods`]: the state stays, the goods can be asked for again.
    pub fn received(&mut self, digest: Digest) -> Result<(), PurchaseError> {
        let next = self.on(PurchaseEvent::Received)?;
        let expected = self.advised.as_ref().and_then(|advised| advised.goods.as_ref()).map(|goods| goods.digest);
        match expected {
            Some(expected) if expected == digest => {}
            expected => {
                let expected = expected.unwrap_or(Digest::ZERO);
                return Err(PurchaseError::WrongGoods { expected, actual: digest });
            }
        }
        self.session = None;
        self.state = next;
        Ok(())
    }

    fn session(&self) -> Result<MerchantSession, PurchaseError> {
        session_of(self.session.as_ref().ok_or(PurchaseError::NotAuthentic)?)
    }
}

fn session_of(stored: &StoredBytes) -> Result<MerchantSession, PurchaseError> {
    let bytes = <&[u8; SESSION_BYTES]>::try_from(stored.expose()).map_err(|_| PurchaseError::NotAuthentic)?;
    Ok(MerchantSession::from_exposed(bytes))
}

fn advice_event(goods: Option<&DigitalGoods>) -> PurchaseEvent {
    if goods.is_some() { PurchaseEvent::Advised } else { PurchaseEvent::AdvisedShipping }
}

/// What a payment for `quote` asks of the TPS: valid as long as the quote is, but no longer than the TPS permits.
///
/// # Errors
/// [`PurchaseError::QuoteExpired`].
pub fn content_of(quote: &Quote, customer_part: ModifierPart, now: Timestamp) -> Result<Content, PurchaseError> {
    if quote.is_expired(now) {
        return Err(PurchaseError::QuoteExpired(quote.expires_at));
    }
    Ok(Content {
        merchant: quote.merchant,
        number: quote.number,
        amount: quote.total,
        asset: quote.asset,
        quote_digest: quote.digest(),
        valid_until: quote.expires_at.min(now.plus(VALID_UNTIL_AHEAD_MAX_MS - CLOCK_TOLERANCE_MS)),
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        customer_part,
    })
}

#[cfg(test)]
mod tests;
