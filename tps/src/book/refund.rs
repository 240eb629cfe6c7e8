//! Payments that a merchant gives back. Only the desk's thread orders this (`crate::desk`).

use protocol::ids::{InstrumentId, MerchantId};
use protocol::ledger::posting::{Party, transfer};
use protocol::money::{Amount, Asset};
use protocol::time::Timestamp;

use super::Book;
use super::orders::OrderError;
use crate::store::desk::DeskEntry;

/// A payment of this shard, to be given back whole to the account that paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenBack {
    /// What paid.
    pub instrument: InstrumentId,
    /// Who was paid.
    pub merchant: MerchantId,
    /// In what.
    pub asset: Asset,
    /// How much.
    pub amount: Amount,
}

impl Book {
    /// Gives payments back and keeps the records of that with them, all or nothing. The journal has one pair of postings per
    /// payment, in their order. This shard's part of the merchant's balance may become negative: what counts is the sum over
    /// all shards, which the caller has looked at.
    ///
    /// # Errors
    /// [`OrderError::NoInstrument`] for one that is not of this shard, [`OrderError::Overflow`]; nothing was changed.
    pub fn give_back(
        &mut self,
        what: String,
        payments: &[GivenBack],
        records: Vec<DeskEntry>,
        now: Timestamp,
    ) -> Result<(), OrderError> {
        let mut postings = Vec::with_capacity(2 * payments.len());
        for payment in payments {
            let id = payment.instrument;
            let slot = self.instruments.slot(id).ok_or(OrderError::NoInstrument(id))?;
            let account = self.accounts.at(self.instruments.account(slot)).id;
            let (from, to) = (Party::Merchant(payment.merchant), Party::Customer(account));
            postings.extend(transfer(from, to, payment.asset, payment.amount));
        }
        self.post(&postings).map_err(|_| OrderError::Overflow)?;
        self.note(now, what, postings, None);
        self.record(records, now);
        Ok(())
    }
}
