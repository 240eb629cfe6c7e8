//! The customer comes back with its TOKEN: for the goods once more, or for its money (K-90 to K-94, K-96).

use protocol::codec::Canonical;
use protocol::ids::{Digest, RefundOrderId, TransactionNumber};
use protocol::order::{Effect, OrderEvent, OrderState};
use protocol::purchase::{
    Acknowledged, AdviceStatus, MerchantErrorCode, OpenedRenegotiation, RefundStatus, Renegotiation,
    RenegotiationAcknowledgment, RenegotiationPurpose,
};
use protocol::quote::GoodsKind;
use protocol::session::merchant::SessionTerms;
use protocol::time::Timestamp;

use super::paying::make_advice;
use super::policy::{RefundDecision, RefundFacts};
use super::{Keys, Merchant, Refusal};
use crate::clock;
use crate::crash;
use crate::store::{Order, OrderKeys, OrderTransaction, RefundProgress};

/// Renegotiations of one order: nobody needs more, and each is remembered to recognise its replay.
const RENEGOTIATIONS_MAX: u64 = 256;

impl Merchant {
    /// Accepts a renegotiation whose TOKEN is right and acknowledges it under the new session, whose keys replace the old
    /// ones (K-93). The latest one again gets the same answer, an earlier one is a replay.
    ///
    /// # Errors
    /// [`MerchantErrorCode::TokenRefused`], [`MerchantErrorCode::RenegotiationReplayed`], [`MerchantErrorCode::DoesNotOpen`],
    /// and what the order's state says.
    pub fn renegotiate(&self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request = Renegotiation::decode(message)?;
        let (keys, now) = (self.keys(), clock::now());
        let order = self.store.order(request.number)?.ok_or(MerchantErrorCode::UnknownNumber)?;
        let opened = Self::opened(&keys, &order, &request)?;
        match request.purpose {
            RenegotiationPurpose::Retransmission => self.retransmit(&request, &opened, &order, now),
            RenegotiationPurpose::Refund => self.refund(&request, &opened, now),
        }
    }

    /// The customer used the certificate it got from us, the present one or one shortly before.
    fn opened(keys: &Keys, order: &Order, request: &Renegotiation) -> Result<OpenedRenegotiation, Refusal> {
        let quote = order.quote.digest();
        let opened = keys.certified.iter().find_map(|key| {
            request.open(&key.secret, &SessionTerms { certificate: key.certificate.digest(), quote }).ok()
        });
        let opened = opened.ok_or(MerchantErrorCode::DoesNotOpen)?;
        match &order.token {
            Some(token) if token.equals(&opened.token) => Ok(opened),
            Some(_) => Err(MerchantErrorCode::TokenRefused.into()),
            // Nobody has confirmed: there is no session to refer back to.
            None => Err(MerchantErrorCode::TokenRefused.into()),
        }
    }

    fn retransmit(
        &self,
        request: &Renegotiation,
        opened: &OpenedRenegotiation,
        order: &Order,
        now: Timestamp,
    ) -> Result<Vec<u8>, Refusal> {
        // The digest is computed before the write lock is taken. Present bytes may be sent: the session is a new one.
        let delivery =
            order.state.on(OrderEvent::Renegotiate).is_ok().then(|| self.delivery(&order.quote)).transpose()?;
        let digest = request.digest();
        let answer = self.step(
            request.number,
            now,
            |open| event(open, digest),
            |open, step| {
                if step.effect == Effect::AnswerAcknowledgment {
                    let answer = open.order.acknowledgment.clone();
                    return answer.ok_or_else(|| MerchantErrorCode::RenegotiationReplayed.into());
                }
                let (goods, delivery_text) = delivery.ok_or_else(|| Refusal::from(MerchantErrorCode::Overloaded))?;
                let acknowledged =
                    Acknowledged::Retransmission { goods: goods.clone(), delivery_text: delivery_text.clone() };
                let answer = RenegotiationAcknowledgment::new(&opened.session, request, acknowledged);
                let answer = answer.map_err(Refusal::internal)?.encode();
                open.order.keys = Some(OrderKeys::of(&opened.session, now));
                make_advice(&mut open.order, AdviceStatus::Paid, goods, delivery_text)?;
                open.order.renegotiation = Some(digest);
                open.order.acknowledgment = Some(answer.clone());
                open.remember_renegotiation(digest)?;
                Ok(answer)
            },
        )?;
        crash::point("after-rekey");
        Ok(answer)
    }

    fn refund(
        &self,
        request: &Renegotiation,
        opened: &OpenedRenegotiation,
        now: Timestamp,
    ) -> Result<Vec<u8>, Refusal> {
        let digest = request.digest();
        let status = self.step(
            request.number,
            now,
            |open| {
                let (seen, count) = open.renegotiations(digest)?;
                if !seen && count >= RENEGOTIATIONS_MAX {
                    return Err(MerchantErrorCode::TooManyRenegotiations.into());
                }
                // A decision stands: asking again tells it and opens nothing anew.
                let refused = open.order.refund_status == Some(RefundStatus::Refused) && open.order.state.is_paid();
                Ok(if refused { OrderEvent::Expire } else { OrderEvent::RequestRefund })
            },
            |open, step| {
                if step.effect == Effect::RecordRefundRequest {
                    open.order.refund_status = Some(RefundStatus::Requested);
                }
                open.remember_renegotiation(digest)?;
                Ok(open.order.refund_status.unwrap_or(RefundStatus::Requested))
            },
        )?;
        let status = self.by_policy(request.number, status, now)?;
        let acknowledged = Acknowledged::Refund { status };
        let answer = RenegotiationAcknowledgment::new(&opened.session, request, acknowledged);
        Ok(answer.map_err(Refusal::internal)?.encode())
    }

    /// Decides a request that nobody has decided as the merchant's policy says; where it stands then.
    fn by_policy(
        &self,
        number: TransactionNumber,
        status: RefundStatus,
        now: Timestamp,
    ) -> Result<RefundStatus, Refusal> {
        if status != RefundStatus::Requested || !self.settings.refunds.automatic {
            return Ok(status);
        }
        let order = self.store.order(number)?.ok_or(MerchantErrorCode::UnknownNumber)?;
        // Whoever was told the digest may have fetched the goods, but for the last chunk.
        let fetched = order.quote.goods == GoodsKind::Digital && order.advice.is_some();
        let facts = RefundFacts {
            paid_at: order.paid_at.unwrap_or_default(),
            maybe_delivered: order.delivered_at.is_some() || fetched,
            now,
        };
        match self.settings.refunds.decide(&facts) {
            RefundDecision::Ask => return Ok(status),
            RefundDecision::Accept => drop(self.accept_refund(number, false)?),
            RefundDecision::Refuse => self.refuse_refund(number)?,
        }
        let decided = self.store.order(number)?.and_then(|order| order.refund_status);
        Ok(decided.unwrap_or(status))
    }

    /// Grants a refund of every payment of the order, also where nobody asked for it: nothing is delivered any more (K-103), and
    /// the refund waits for the desk ([`crate::desk`]). Whether that is a new refund: there is none where one waits already, or
    /// where no further payment was recorded since the last one, unless `insist`. Who insists also reaches payments whose proofs were
    /// never presented here, of an order that is not paid or of a number that is no order: settlement reports list them.
    ///
    /// # Errors
    /// [`MerchantErrorCode::UnknownNumber`], [`MerchantErrorCode::NotPaid`], unless `insist`.
    pub fn accept_refund(&self, number: TransactionNumber, insist: bool) -> Result<bool, Refusal> {
        let now = clock::now();
        let id = RefundOrderId(clock::random());
        if insist && self.store.order(number)?.is_none() {
            return Ok(self.store.insert_refund(id, number, now)?);
        }
        self.step(
            number,
            now,
            |open| {
                if insist || open.order.state.is_paid() {
                    Ok(OrderEvent::AcceptRefund)
                } else {
                    Err(MerchantErrorCode::NotPaid.into())
                }
            },
            |open, _| {
                // Nothing is delivered under the present keys any more (K-103).
                open.order.keys = None;
                let new = match open.latest_refund()? {
                    None => insist || open.order.state != OrderState::Refunded,
                    Some(latest) if latest.progress == RefundProgress::Waiting => false,
                    // Recorded since it was granted: it may have been paid after the TPS gave back what there was.
                    Some(latest) => insist || open.surplus_since(latest.granted_at)?,
                };
                if new {
                    open.insert_refund(id, now)?;
                    open.order.refund_status = Some(RefundStatus::Accepted);
                }
                Ok(new)
            },
        )
    }

    /// Records that the merchant does not refund.
    ///
    /// # Errors
    /// [`MerchantErrorCode::UnknownNumber`], [`MerchantErrorCode::NotPaid`], [`MerchantErrorCode::Refunded`].
    pub fn refuse_refund(&self, number: TransactionNumber) -> Result<(), Refusal> {
        self.step(
            number,
            clock::now(),
            |_| Ok(OrderEvent::RefuseRefund),
            |open, _| {
                open.order.refund_status = Some(RefundStatus::Refused);
                open.order.keys = None;
                Ok(())
            },
        )
    }
}

fn event(open: &OrderTransaction<'_>, digest: Digest) -> Result<OrderEvent, Refusal> {
    if open.order.renegotiation == Some(digest) {
        return Ok(OrderEvent::RenegotiateAgain);
    }
    let (seen, count) = open.renegotiations(digest)?;
    if seen {
        return Err(MerchantErrorCode::RenegotiationReplayed.into());
    }
    if count >= RENEGOTIATIONS_MAX {
        return Err(MerchantErrorCode::TooManyRenegotiations.into());
    }
    Ok(OrderEvent::Renegotiate)
}
