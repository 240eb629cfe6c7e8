//! Steps 7 and 8: a proof is presented, the advice answered.

use protocol::codec::Canonical;
use protocol::ids::TransactionNumber;
use protocol::order::{Effect, OrderEvent, judge};
use protocol::proof::verify::VerifiedProof;
use protocol::purchase::{AdviceStatus, DigitalGoods, GOODS_FORMAT, MerchantErrorCode, ShippingAdvice};
use protocol::quote::{GoodsKind, Quote};
use protocol::time::Timestamp;

use super::{Merchant, Refusal};
use crate::proofs::VerificationError;
use crate::store::Order;
use crate::{clock, crash};

/// Where customers send their send-goods message, below the merchant's payment address.
pub(crate) const SEND_GOODS_PATH: &str = "send-goods";

impl Merchant {
    /// Verifies a proof offline, records the payment durably, and answers the shipping advice. The same proof again gets the
    /// same advice; a further payment is recorded as surplus (K-79, K-81, K-82).
    ///
    /// # Errors
    /// The code of the mistake in the proof, or what the order's state says.
    pub fn present_proof(&self, proof: &[u8]) -> Result<Vec<u8>, Refusal> {
        let now = clock::now();
        let verified = self.proofs.verify(proof, now).map_err(|error| {
            let code = match &error {
                VerificationError::KeySet(_) => MerchantErrorCode::KeySetTooOld,
                VerificationError::Proof(protocol::proof::verify::ProofError::Malformed(decode)) => {
                    MerchantErrorCode::from(decode)
                }
                VerificationError::Proof(_) => MerchantErrorCode::ProofInvalid,
            };
            Refusal::because(code, error)
        })?;
        let statement = *verified.statement();
        if self.id().is_some_and(|own| own != statement.merchant) {
            return Err(MerchantErrorCode::ProofForOtherMerchant.into());
        }
        let effect = self.record(&verified, proof, now)?;
        crash::point("after-proof-recorded");
        self.announce(statement.number);
        match effect {
            Effect::RecordSurplus => self.advise_surplus(statement.number, now),
            _ => self.advise(statement.number, now),
        }
    }

    fn record(&self, verified: &VerifiedProof, proof: &[u8], now: Timestamp) -> Result<Effect, Refusal> {
        let payment = verified.statement().payment;
        self.step(
            verified.statement().number,
            now,
            |open| {
                judge(verified, &open.order.quote).map_err(|refusal| Refusal::because(refusal.code(), refusal))?;
                Ok(match open.order.payment {
                    None => OrderEvent::Proof,
                    // Where it stands is told by what follows; here it is known, and nothing is recorded again.
                    Some(recorded) if recorded == payment => OrderEvent::ProofAgain,
                    Some(_) => OrderEvent::FurtherProof,
                })
            },
            |open, step| {
                match step.effect {
                    Effect::RecordPayment => {
                        open.order.payment = Some(payment);
                        open.order.proof = Some(proof.to_vec());
                        open.order.paid_at = Some(now);
                    }
                    Effect::RecordSurplus => open.record_surplus(payment, proof, now)?,
                    _ => {}
                }
                Ok(step.effect)
            },
        )
    }

    /// Answers the stored advice, making it first where there is none: after the first proof, or after a crash. Its digest is
    /// durable before it is told, and other bytes are never delivered under it.
    pub(super) fn advise(&self, number: TransactionNumber, now: Timestamp) -> Result<Vec<u8>, Refusal> {
        let order = self.store.order(number)?.ok_or(MerchantErrorCode::UnknownNumber)?;
        let prepared = match order.state.on(OrderEvent::Advise)?.effect {
            Effect::StoreAdvice => Some(self.delivery(&order.quote)?),
            _ => None,
        };
        crash::point("before-advice");
        let advice = self.step(
            number,
            now,
            |_| Ok(OrderEvent::Advise),
            |open, step| {
                if step.effect == Effect::AnswerAdvice {
                    let advice = open.order.advice.clone();
                    return advice.ok_or_else(|| Refusal::internal("an advised order has no advice"));
                }
                // Another process may have made the keys disappear in between; then the state says so.
                let (goods, text) = prepared.ok_or_else(|| Refusal::from(MerchantErrorCode::Overloaded))?;
                make_advice(&mut open.order, AdviceStatus::Paid, goods, text)
            },
        )?;
        crash::point("after-advice");
        Ok(advice)
    }

    /// The advice that tells a further payer that nothing more is bought.
    fn advise_surplus(&self, number: TransactionNumber, now: Timestamp) -> Result<Vec<u8>, Refusal> {
        let paid = ShippingAdvice::decode(&self.advise(number, now)?).map_err(Refusal::internal)?;
        let order = self.store.order(number)?.ok_or(MerchantErrorCode::UnknownNumber)?;
        let keys = order.keys.as_ref().ok_or(MerchantErrorCode::Renegotiate)?;
        let advice = ShippingAdvice::new(&keys.advice, number, AdviceStatus::Surplus, paid.goods, paid.delivery_text);
        Ok(advice.map_err(Refusal::internal)?.encode())
    }

    /// What the advice of a quote says: how to ask for digital goods and their digest, or a text about hard goods.
    pub(super) fn delivery(&self, quote: &Quote) -> Result<(Option<DigitalGoods>, String), Refusal> {
        if quote.goods == GoodsKind::Hard {
            return Ok((None, self.shop.delivery_text(quote)));
        }
        let path = self.shop.goods(quote).ok_or(MerchantErrorCode::GoodsUnavailable)?;
        let file = self.digests.open(&path)?;
        let goods = DigitalGoods {
            digest: file.digest(),
            length_bytes: file.length_bytes(),
            path: SEND_GOODS_PATH.to_owned(),
            format: GOODS_FORMAT,
        };
        Ok((Some(goods), String::new()))
    }
}

/// Makes the advice under the order's present keys and puts it, with the digest, into the order.
pub(super) fn make_advice(
    order: &mut Order,
    status: AdviceStatus,
    goods: Option<DigitalGoods>,
    text: String,
) -> Result<Vec<u8>, Refusal> {
    let keys = order.keys.as_ref().ok_or(MerchantErrorCode::Renegotiate)?;
    order.goods_digest = goods.as_ref().map(|goods| goods.digest);
    let advice =
        ShippingAdvice::new(&keys.advice, order.quote.number, status, goods, text).map_err(Refusal::internal)?;
    let bytes = advice.encode();
    order.advice = Some(bytes.clone());
    Ok(bytes)
}
