//! Refunds against the log: every mark stands at a payment that was made, and has one posting; no posting is without one.

use std::collections::{BTreeMap, HashMap};

use protocol::ids::{AccountId, MerchantId};
use protocol::ledger::instrument::Place;
use protocol::ledger::posting::{Party, Posting};
use protocol::money::Asset;
use protocol::response::Reason;

use super::AuditReport;
use crate::desk::records::RefundedRecord;
use crate::store::desk::DeskRecord;
use crate::store::records::PaymentRecord;
use crate::store::{Reader, StoreError};

/// Money from a merchant back to an account.
type GivenBack = (MerchantId, AccountId, Asset, i128);

/// The marks of refunded payments, and what of them is still to be compared.
pub(super) struct Marks {
    /// One mark per payment at most: they are found by its place.
    marks: BTreeMap<Place, RefundedRecord>,
    /// Postings seen, less payments marked: all zero where everything is right.
    open: HashMap<GivenBack, i64>,
}

impl Marks {
    pub(super) fn read(reader: &dyn Reader) -> Result<Self, StoreError> {
        let marks = RefundedRecord::all(reader, &[])?.into_iter().map(|mark| (mark.place.into(), mark));
        Ok(Self { marks: marks.collect(), open: HashMap::new() })
    }

    /// Counts the refunds of a journal entry: a merchant's posting, then that of the account that gets it.
    pub(super) fn journal(&mut self, postings: &[Posting]) {
        for pair in postings.chunks_exact(2) {
            if let (Party::Merchant(merchant), Party::Customer(account)) = (pair[0].party, pair[1].party) {
                *self.open.entry((merchant, account, pair[1].asset, pair[1].change)).or_insert(0) += 1;
            }
        }
    }

    /// The mark of the payment at `place`.
    pub(super) fn take(&mut self, place: Place) -> Option<RefundedRecord> {
        self.marks.remove(&place)
    }

    /// Compares a marked payment.
    pub(super) fn payment(
        &mut self,
        mark: &RefundedRecord,
        account: AccountId,
        payment: &PaymentRecord,
        report: &mut AuditReport,
    ) {
        if payment.reason != Reason::Paid || payment.merchant != mark.merchant {
            let (id, count) = (payment.instrument, payment.count);
            report
                .differs(format!("instrument {id}, transaction {count}: refunded, but it paid this merchant nothing"));
            return;
        }
        *self.open.entry((payment.merchant, account, payment.asset, payment.amount.signed())).or_insert(0) -= 1;
    }

    /// Reports what is left.
    pub(super) fn finish(self, report: &mut AuditReport) {
        for (place, mark) in self.marks {
            let (batch, index, order) = (place.batch, place.index, mark.order);
            report.differs(format!(
                "batch {batch}, place {index}: refunded by order {order}, but nothing was paid there"
            ));
        }
        let mut open: Vec<_> = self.open.into_iter().filter(|(_, count)| *count != 0).collect();
        open.sort_unstable();
        for ((merchant, account, asset, units), count) in open {
            let what = if count > 0 {
                "postings of refunds more than refunded payments"
            } else {
                "refunded payments more than postings"
            };
            let count = count.unsigned_abs();
            report
                .differs(format!("merchant {merchant}, account {account}: {count} {what} ({units} units of {asset})"));
        }
    }
}
