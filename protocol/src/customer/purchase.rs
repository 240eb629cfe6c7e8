//! A purchase as the customer remembers it: every message to the merchant, and every check of an answer (paper sections 2
//! and 3; DESIGN section 3).
//!
//! A [`Purchase`] is stored after each step and before the next message leaves. Which step is next follows from its
//! [`PurchaseState`]; nothing that a merchant says leads from a paid state back to an unpaid one (K-74).

mod state;
mod stored;

pub use state::{PurchaseEvent, PurchaseRefused, PurchaseState};
pub use stored::StoredBytes;

use crate::certificate::{CertificateError, MerchantCertificate, VerifiedCertificate};
use crate::codec::{Canonical, DecodeError};
use crate::customer::payment::Resolution;
use crate::ids::{Digest, TermsDigest, TransactionNumber};
use crate::key_set::PinnedKeySet;
use crate::limits::VALID_UNTIL_AHEAD_MAX_MS;
use crate::pin::ModifierPart;
use crate::purchase::{
    Acknowledged, Address, AdviceStatus, AuthenticatedQuote, Confirmation, ConfirmError, DigitalGoods, QuoteOffer,
    RefundStatus, Renegotiation, RenegotiationAcknowledgment, RenegotiationPurpose, SendGoods, ShippingAdvice, VerifiedOffer,
    confirm,
};
use crate::quote::Quote;
use crate::request::{Content, PaymentKind};
use crate::response::Reason;
use crate::session::merchant::{GoodsKey, MerchantSession, NotAuthentic, SESSION_BYTES, Token};
use crate::session::{AgreementSecret, NoSharedSecret};
use crate::time::{MINUTE_MS, Timestamp};

/// How much earlier than permitted a request ends, for clocks that differ.
const CLOCK_TOLERANCE_MS: u64 = MINUTE_MS;

/// Why a step of a purchase is not taken. The purchase did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PurchaseError {
    /// Not the time for this step.
    #[error(transparent)]
    Refused(#[from] PurchaseRefused),
    /// The quote cannot be confirmed like this.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// The merchant's message cannot be read.
    #[error("the merchant's answer cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The merchant's message is not authenticated under the session, or is about something else.
    #[error("the merchant's answer is not authentic: it was altered on the way, or is about something else than what was shown and confirmed")]
    NotAuthentic,
    /// Too late to pay.
    #[error("the quote expired at {0}: ask for a new one")]
    QuoteExpired(Timestamp),
    /// The goods are others than the merchant advised (K-88).
    #[error("the goods received are not those that the merchant advised: expected digest {expected}, got {actual}; ask for them again, or for a refund")]
    WrongGoods {
        /// The digest advised.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The merchant's certificate is not valid, or another merchant's.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate of somebody else.
    #[error("the certificate is that of another merchant than the one of this purchase")]
    OtherMerchant,
    /// The merchant's key is of no use.
    #[error("the merchant's certified key is unusable: {0}")]
    Key(#[from] NoSharedSecret),
}

impl From<NotAuthentic> for PurchaseError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

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
    address_digest: Digest,
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
            address_digest: Digest::ZERO,
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

    /// Step 3: the customer wants it. The ephemeral key is used up (K-27, K-28).
    ///
    /// # Errors
    /// [`PurchaseError::Confirm`] for a missing or needless address; [`PurchaseError::QuoteExpired`].
    pub fn confirm(
        &mut self,
        offer: &VerifiedOffer,
        ephemeral: AgreementSecret,
        address: Option<&Address>,
        now: Timestamp,
    ) -> Result<(), PurchaseError> {
        let next = self.on(PurchaseEvent::Confirm)?;
        if offer.quote().encode() != self.quote.expose() {
            return Err(PurchaseError::NotAuthentic);
        }
        if offer.quote().is_expired(now) {
            return Err(PurchaseError::QuoteExpired(offer.quote().expires_at));
        }
        let sent = confirm(offer, ephemeral, address)?;
        self.confirmation = Some(StoredBytes::new(sent.message.encode()));
        self.address_digest = sent.address_digest;
        self.session = Some(StoredBytes::new(sent.session.expose().to_vec()));
        self.token = Some(StoredBytes::new(sent.session.token.expose().to_vec()));
        self.state = next;
        Ok(())
    }

    /// The confirmation; without an answer the very same bytes are sent again.
    pub fn confirmation_bytes(&self) -> Option<&[u8]> {
        self.confirmation.as_ref().map(StoredBytes::expose)
    }

    /// Step 4: the merchant must authenticate, under the session, the very quote that was shown and the very address that
    /// was sent (K-32, K-34).
    ///
    /// # Errors
    /// [`PurchaseError::NotAuthentic`], [`PurchaseError::Malformed`]: nothing must be paid; call [`Self::stop`].
    pub fn authenticated(&mut self, answer: &[u8]) -> Result<(), PurchaseError> {
        let next = self.on(PurchaseEvent::Authenticated)?;
        let sent = Confirmation::decode(self.confirmation_bytes().ok_or(PurchaseError::NotAuthentic)?)?;
        let answer = AuthenticatedQuote::decode(answer)?;
        answer.verify(&self.session()?, &sent, self.address_digest)?;
        if sent.quote_digest != self.quote()?.digest() {
            return Err(PurchaseError::NotAuthentic);
        }
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

    /// A proof that came from elsewhere, for example because a third party paid (K-83).
    ///
    /// # Errors
    /// [`PurchaseError::Refused`] unless the purchase awaits its payment.
    pub fn paid_elsewhere(&mut self, proof: &[u8]) -> Result<(), PurchaseError> {
        self.state = self.on(PurchaseEvent::PaidElsewhere)?;
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

    /// The merchant's present certificate, checked, for a renegotiation.
    ///
    /// # Errors
    /// [`PurchaseError::Certificate`], [`PurchaseError::OtherMerchant`].
    pub fn check_certificate(
        &self,
        bytes: &[u8],
        keys: &PinnedKeySet,
        now: Timestamp,
    ) -> Result<VerifiedCertificate, PurchaseError> {
        let certificate = MerchantCertificate::decode(bytes).map_err(CertificateError::from)?.verify(keys, now)?;
        if certificate.merchant() == self.quote()?.merchant { Ok(certificate) } else { Err(PurchaseError::OtherMerchant) }
    }

    /// Comes back with the TOKEN under a fresh session; to be stored before it is sent. Bytes of an earlier renegotiation
    /// that was not acknowledged are forgotten (K-90).
    ///
    /// # Errors
    /// [`PurchaseError::Refused`] before anything was paid, [`PurchaseError::Key`].
    pub fn renegotiate(&mut self, certificate: &VerifiedCertificate, ephemeral: AgreementSecret) -> Result<Vec<u8>, PurchaseError> {
        self.on(PurchaseEvent::Acknowledged)?;
        let (message, session) = self.come_back(RenegotiationPurpose::Retransmission, certificate, ephemeral)?;
        let bytes = message.encode();
        let session = StoredBytes::new(session.expose().to_vec());
        self.renegotiation = Some(OpenRenegotiation { message: StoredBytes::new(bytes.clone()), session });
        Ok(bytes)
    }

    fn come_back(
        &self,
        purpose: RenegotiationPurpose,
        certificate: &VerifiedCertificate,
        ephemeral: AgreementSecret,
    ) -> Result<(Renegotiation, MerchantSession), PurchaseError> {
        let quote = self.quote()?;
        let token = self.token.as_ref().and_then(|token| <[u8; 32]>::try_from(token.expose()).ok());
        let token = Token::from_bytes(token.ok_or(PurchaseError::NotAuthentic)?);
        Ok(Renegotiation::new(quote.number, purpose, quote.digest(), certificate, ephemeral, &token)?)
    }

    /// The merchant acknowledged the renegotiation. Returns whether the goods are other ones than advised at first.
    ///
    /// # Errors
    /// [`PurchaseError::NotAuthentic`], [`PurchaseError::Malformed`]: the goods must not be asked for (K-91, K-92).
    pub fn acknowledged(&mut self, answer: &[u8]) -> Result<bool, PurchaseError> {
        let next = self.on(PurchaseEvent::Acknowledged)?;
        let open = self.renegotiation.as_ref().ok_or(PurchaseError::NotAuthentic)?;
        let message = Renegotiation::decode(open.message.expose())?;
        let session = session_of(&open.session)?;
        let answer = RenegotiationAcknowledgment::decode(answer)?;
        answer.verify(&session, &message)?;
        let Acknowledged::Retransmission { goods, delivery_text } = answer.acknowledged else {
            return Err(PurchaseError::NotAuthentic);
        };
        let before = self.advised.as_ref().and_then(|advised| advised.goods.as_ref());
        let changed = matches!((before, &goods), (Some(before), Some(after)) if before.digest != after.digest);
        let status = self.advised.as_ref().map_or(AdviceStatus::Paid, |advised| advised.status);
        self.state = if goods.is_some() { next } else { PurchaseState::Shipped };
        self.advised = Some(Advised { status, goods, delivery_text });
        self.session = Some(open.session.clone());
        self.renegotiation = None;
        Ok(changed)
    }

    /// Asks for the money back, or how an earlier request stands, under a fresh session that is used for nothing else (K-96).
    ///
    /// # Errors
    /// [`PurchaseError::Refused`] before anything was paid, [`PurchaseError::Key`].
    pub fn ask_refund(
        &self,
        certificate: &VerifiedCertificate,
        ephemeral: AgreementSecret,
    ) -> Result<(Renegotiation, MerchantSession), PurchaseError> {
        self.on(PurchaseEvent::Acknowledged)?;
        self.come_back(RenegotiationPurpose::Refund, certificate, ephemeral)
    }

    /// Reads the acknowledgment of [`Self::ask_refund`].
    ///
    /// # Errors
    /// [`PurchaseError::NotAuthentic`], [`PurchaseError::Malformed`].
    pub fn refund_status(answer: &[u8], asked: &Renegotiation, session: &MerchantSession) -> Result<RefundStatus, PurchaseError> {
        let answer = RenegotiationAcknowledgment::decode(answer)?;
        answer.verify(session, asked)?;
        match answer.acknowledged {
            Acknowledged::Refund { status } => Ok(status),
            Acknowledged::Retransmission { .. } => Err(PurchaseError::NotAuthentic),
        }
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
