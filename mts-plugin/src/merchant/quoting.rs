//! Steps 1 and 2: a quote is asked for and offered.

use protocol::codec::Canonical;
use protocol::ids::TransactionNumber;
use protocol::purchase::{MerchantErrorCode, QuoteOffer, QuoteRequest};
use protocol::quote::{GoodsKind, Quote, QuoteItem, QuoteTerms};

use super::{Merchant, Refusal};
use crate::clock;

/// Draws of a number before something must be wrong: two equal ones never happen by chance.
const DRAWS_MAX: usize = 4;

impl Merchant {
    /// Offers a quote, recorded under a fresh number before it is answered (K-20, K-21, K-79, K-80).
    ///
    /// # Errors
    /// [`MerchantErrorCode::NotCertified`], [`MerchantErrorCode::UnknownItem`], [`MerchantErrorCode::MixedGoods`], and for
    /// bytes that are no request the code of the mistake.
    pub fn quote(&self, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request = QuoteRequest::decode(request)?;
        let (keys, now) = (self.keys(), clock::now());
        let current = Self::current(&keys, now)?;
        let (items, goods) = self.priced(&request)?;
        for _ in 0..DRAWS_MAX {
            let terms = QuoteTerms {
                realm: current.certificate.realm(),
                merchant: current.certificate.merchant(),
                number: TransactionNumber(clock::random()),
                items: items.clone(),
                asset: self.shop.asset(),
                goods,
                issued_at: now,
                lifetime_ms: self.settings.quote_lifetime_ms,
                salt: clock::random(),
            };
            let quote = Quote::new(terms).map_err(|error| Refusal::because(MerchantErrorCode::UnknownItem, error))?;
            if self.store.insert_quote(&quote, current.certificate.digest())? {
                return Ok(QuoteOffer::new(current.certificate.certificate(), &quote).encode());
            }
        }
        Err(Refusal::internal("transaction numbers repeat: the system's random numbers are not random"))
    }

    fn priced(&self, request: &QuoteRequest) -> Result<(Vec<QuoteItem>, GoodsKind), Refusal> {
        let mut items = Vec::with_capacity(request.items.len());
        let mut kinds = Vec::with_capacity(request.items.len());
        for (code, quantity) in &request.items {
            let line = self.shop.line(code, *quantity).ok_or(MerchantErrorCode::UnknownItem)?;
            kinds.push(line.goods);
            items.push(QuoteItem {
                code: code.clone(),
                description: line.description,
                quantity: *quantity,
                amount: line.amount,
            });
        }
        // One digital order delivers one file: its digest stands in the advice.
        match kinds[..] {
            [only] => Ok((items, only)),
            _ if kinds.iter().all(|kind| *kind == GoodsKind::Hard) => Ok((items, GoodsKind::Hard)),
            _ => Err(MerchantErrorCode::MixedGoods.into()),
        }
    }
}
