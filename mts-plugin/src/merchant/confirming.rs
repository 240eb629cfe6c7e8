//! Steps 3 and 4: the customer confirms; quote and order data are authenticated.

use protocol::codec::Canonical;
use protocol::hash::{Purpose, tagged};
use protocol::ids::Digest;
use protocol::order::{Effect, OrderEvent};
use protocol::purchase::{AuthenticatedQuote, Confirmation, OpenedConfirmation};

use super::{Merchant, Refusal};
use crate::clock;
use crate::crash;
use crate::store::OrderKeys;

impl Merchant {
    /// Binds the order to the first confirming key, durably, and authenticates the merchant's own record of the quote and
    /// the order data as received (K-32). The same confirmation again gets the same answer; another one is refused.
    ///
    /// # Errors
    /// What [`Confirmation::open`] says, [`MerchantErrorCode::QuoteExpired`], [`MerchantErrorCode::BoundToOtherKey`],
    /// [`MerchantErrorCode::UnknownNumber`].
    ///
    /// [`MerchantErrorCode::QuoteExpired`]: protocol::purchase::MerchantErrorCode::QuoteExpired
    /// [`MerchantErrorCode::BoundToOtherKey`]: protocol::purchase::MerchantErrorCode::BoundToOtherKey
    /// [`MerchantErrorCode::UnknownNumber`]: protocol::purchase::MerchantErrorCode::UnknownNumber
    pub fn confirm(&self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        let confirmation = Confirmation::decode(message)?;
        let digest = Digest(tagged(Purpose::CONFIRMATION, message));
        let (keys, now) = (self.keys(), clock::now());
        let answer = self.step(
            confirmation.number,
            now,
            |open| {
                Ok(match open.order.confirmation {
                    None => OrderEvent::Confirm,
                    Some(bound) if bound == digest => OrderEvent::ConfirmAgain,
                    Some(_) => OrderEvent::ConfirmOther,
                })
            },
            |open, step| {
                let order = &mut open.order;
                if step.effect == Effect::AnswerConfirmation {
                    return order
                        .authenticated_quote
                        .clone()
                        .ok_or_else(|| Refusal::internal("a bound order has no answer"));
                }
                let certified = Self::certified(&keys, order.certificate)?;
                let OpenedConfirmation { session, order_data } =
                    confirmation.open(&order.quote, &certified.secret, order.certificate)?;
                let (number, quote_digest) = (confirmation.number, order.quote.digest());
                let answer = AuthenticatedQuote::new(&session, number, quote_digest, &order_data).encode();
                order.confirmation = Some(digest);
                order.authenticated_quote = Some(answer.clone());
                order.keys = Some(OrderKeys::of(&session, now));
                order.token = Some(session.token);
                order.address = order_data.address;
                order.loyalty_id = order_data.loyalty_id;
                crash::point("before-binding");
                Ok(answer)
            },
        )?;
        crash::point("after-binding");
        Ok(answer)
    }
}
