//! Coming back later: the TOKEN of the original session, sealed under a new session each time (K-90 to K-94, K-96).

use super::{DigitalGoods, MerchantMessageType, before_authenticator};
use crate::certificate::VerifiedCertificate;
use crate::codec::{Canonical, DecodeError, check_text};
use crate::hash::{Purpose, tagged};
use crate::ids::{Digest, QuoteDigest, TransactionNumber};
use crate::limits::DELIVERY_TEXT_BYTES_MAX;
use crate::session::merchant::{MerchantSession, NotAuthentic, SEALED_TOKEN_BYTES, SessionTerms, Token};
use crate::session::payment::DoesNotOpen;
use crate::session::{AgreementPublic, AgreementSecret, NoSharedSecret};

/// What the customer comes back for.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Hash,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RenegotiationPurpose {
    /// The goods once more, under a new key.
    Retransmission = 1,
    /// The money back; asked again, it tells what became of the request (K-104).
    Refund = 2,
}

/// CTS to MTS. Fields: prefix (3 bytes), transaction number (16), purpose (1), new ephemeral public key (32), sealed TOKEN
/// (48): AES-256-GCM-SIV under the new session's token-seal key, nonce zero, everything before it as associated data.
///
/// The new session is derived as the original one was, with the merchant's current certificate and the original quote digest.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Renegotiation {
    prefix: [u8; 3],
    /// Which order.
    pub number: TransactionNumber,
    /// What for.
    pub purpose: RenegotiationPurpose,
    /// Fresh for this renegotiation.
    pub ephemeral: AgreementPublic,
    sealed_token: [u8; SEALED_TOKEN_BYTES],
}

/// A renegotiation that the MTS has opened; whether the TOKEN is right is for the caller to compare.
#[derive(Debug)]
pub struct OpenedRenegotiation {
    /// The new session.
    pub session: MerchantSession,
    /// The TOKEN that the CTS showed.
    pub token: Token,
}

impl Renegotiation {
    /// Refers back to the original transaction. The ephemeral key is used up.
    ///
    /// # Errors
    /// [`NoSharedSecret`] where the merchant's certified key is unusable.
    pub fn new(
        number: TransactionNumber,
        purpose: RenegotiationPurpose,
        quote: QuoteDigest,
        certificate: &VerifiedCertificate,
        ephemeral: AgreementSecret,
        token: &Token,
    ) -> Result<(Self, MerchantSession), NoSharedSecret> {
        let terms = SessionTerms { certificate: certificate.digest(), quote };
        let public = ephemeral.public();
        let (session, _) = MerchantSession::for_customer(ephemeral, certificate.session(), &terms)?;
        let mut message = Self {
            prefix: MerchantMessageType::Renegotiation.prefix(),
            number,
            purpose,
            ephemeral: public,
            sealed_token: [0; SEALED_TOKEN_BYTES],
        };
        message.sealed_token = session.token_seal.seal(&before_authenticator(&message, SEALED_TOKEN_BYTES), token);
        Ok((message, session))
    }

    /// Opens the message on the MTS's side, with the secret key of the certificate whose digest is in `terms`.
    ///
    /// # Errors
    /// [`DoesNotOpen`] where anything was altered or another certificate was used.
    pub fn open(&self, secret: &AgreementSecret, terms: &SessionTerms) -> Result<OpenedRenegotiation, DoesNotOpen> {
        let (session, _) = MerchantSession::for_merchant(secret, &self.ephemeral, terms).map_err(|_| DoesNotOpen)?;
        let associated = before_authenticator(self, SEALED_TOKEN_BYTES);
        let token = session.token_seal.open(&associated, &self.sealed_token)?;
        Ok(OpenedRenegotiation { session, token })
    }

    /// Names this very message in its acknowledgment.
    pub fn digest(&self) -> Digest {
        Digest(tagged(Purpose::MERCHANT_RENEGOTIATION, &self.encode()))
    }
}

impl Canonical for Renegotiation {
    const NAME: &'static str = "renegotiation";
    const BYTES_MAX: usize = 3 + 16 + 1 + 32 + SEALED_TOKEN_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::Renegotiation.check(Self::NAME, self.prefix)
    }
}

/// Where a refund stands. The decision is the merchant's (K-104).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RefundStatus {
    /// Recorded; the merchant decides.
    Requested = 1,
    /// The merchant refunds, and the TPS is still to be told: the goods are no longer sent (K-103).
    Accepted = 2,
    /// The merchant does not refund.
    Refused = 3,
    /// The TPS has put it through: the money is back.
    PutThrough = 4,
    /// The merchant refunds, but the TPS did not put it through; the merchant has to see to it.
    NotPutThrough = 5,
}

/// What the MTS acknowledges.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub enum Acknowledged {
    /// The goods can be asked for with the new session's keys.
    Retransmission {
        /// For digital goods; a digest other than the first one means other bytes.
        goods: Option<DigitalGoods>,
        /// For hard goods, for people.
        delivery_text: String,
    },
    /// The refund request is recorded.
    Refund {
        /// Where it stands.
        status: RefundStatus,
    },
}

/// MTS to CTS. Fields: prefix (3 bytes), transaction number (16), digest of the renegotiation message (32), what is
/// acknowledged (1 byte: 0 retransmission, then digital goods as in the shipping advice and delivery text; 1 refund, then
/// status (1)), authenticator (32): keyed BLAKE3 over everything before it, under the new session's acknowledgment key for a
/// retransmission and its refund key for a refund. A replay fails, because every renegotiation has a session of its own (K-91).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct RenegotiationAcknowledgment {
    prefix: [u8; 3],
    /// Which order.
    pub number: TransactionNumber,
    /// Which renegotiation.
    pub request: Digest,
    /// What is acknowledged.
    pub acknowledged: Acknowledged,
    authenticator: [u8; 32],
}

impl RenegotiationAcknowledgment {
    /// Acknowledges `request` under its session.
    ///
    /// # Errors
    /// [`DecodeError`] for an unusable text or path.
    pub fn new(
        session: &MerchantSession,
        request: &Renegotiation,
        acknowledged: Acknowledged,
    ) -> Result<Self, DecodeError> {
        let mut message = Self {
            prefix: MerchantMessageType::RenegotiationAcknowledgment.prefix(),
            number: request.number,
            request: request.digest(),
            acknowledged,
            authenticator: [0; 32],
        };
        message.check()?;
        let bytes = before_authenticator(&message, 32);
        message.authenticator = match message.acknowledged {
            Acknowledged::Retransmission { .. } => session.acknowledgment.authenticate(&bytes),
            Acknowledged::Refund { .. } => session.refund.authenticate(&bytes),
        };
        Ok(message)
    }

    /// The CTS's check; only after it may the goods be asked for (K-92).
    ///
    /// # Errors
    /// [`NotAuthentic`].
    pub fn verify(&self, session: &MerchantSession, request: &Renegotiation) -> Result<(), NotAuthentic> {
        let bytes = before_authenticator(self, 32);
        let purpose = match self.acknowledged {
            Acknowledged::Retransmission { .. } => {
                session.acknowledgment.verify(&bytes, &self.authenticator)?;
                RenegotiationPurpose::Retransmission
            }
            Acknowledged::Refund { .. } => {
                session.refund.verify(&bytes, &self.authenticator)?;
                RenegotiationPurpose::Refund
            }
        };
        let same = self.number == request.number && self.request == request.digest() && purpose == request.purpose;
        if same { Ok(()) } else { Err(NotAuthentic) }
    }
}

impl Canonical for RenegotiationAcknowledgment {
    const NAME: &'static str = "renegotiation acknowledgment";
    const BYTES_MAX: usize = 2 * 1_024;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::RenegotiationAcknowledgment.check(Self::NAME, self.prefix)?;
        match &self.acknowledged {
            Acknowledged::Retransmission { goods, delivery_text } => {
                check_text(Self::NAME, "delivery text", delivery_text, DELIVERY_TEXT_BYTES_MAX)?;
                goods.as_ref().map_or(Ok(()), |goods| goods.check(Self::NAME))
            }
            Acknowledged::Refund { .. } => Ok(()),
        }
    }
}
