//! Coming back to the merchant with the TOKEN: for the goods once more, or for the money (K-90 to K-94, K-96).

use super::{
    Advised, OpenRenegotiation, Purchase, PurchaseError, PurchaseEvent, PurchaseState, StoredBytes, session_of,
};
use crate::certificate::{CertificateError, MerchantCertificate, VerifiedCertificate};
use crate::codec::Canonical;
use crate::key_set::PinnedKeySet;
use crate::purchase::{
    Acknowledged, AdviceStatus, RefundStatus, Renegotiation, RenegotiationAcknowledgment, RenegotiationPurpose,
};
use crate::session::AgreementSecret;
use crate::session::merchant::{MerchantSession, Token};
use crate::time::Timestamp;

impl Purchase {
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
        if certificate.merchant() == self.quote()?.merchant {
            Ok(certificate)
        } else {
            Err(PurchaseError::OtherMerchant)
        }
    }

    /// Comes back with the TOKEN under a fresh session; to be stored before it is sent. Bytes of an earlier renegotiation
    /// that was not acknowledged are forgotten (K-90).
    ///
    /// # Errors
    /// [`PurchaseError::Refused`] before anything was paid, [`PurchaseError::Key`].
    pub fn renegotiate(
        &mut self,
        certificate: &VerifiedCertificate,
        ephemeral: AgreementSecret,
    ) -> Result<Vec<u8>, PurchaseError> {
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
    pub fn refund_status(
        answer: &[u8],
        asked: &Renegotiation,
        session: &MerchantSession,
    ) -> Result<RefundStatus, PurchaseError> {
        let answer = RenegotiationAcknowledgment::decode(answer)?;
        answer.verify(session, asked)?;
        match answer.acknowledged {
            Acknowledged::Refund { status } => Ok(status),
            Acknowledged::Retransmission { .. } => Err(PurchaseError::NotAuthentic),
        }
    }
}
