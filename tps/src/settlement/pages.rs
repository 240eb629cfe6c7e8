//! The lines of a cycle, sorted by merchant into pages on the disk: one walk over the log, whatever the number of merchants, and no
//! more in memory than a page for each.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use protocol::codec::Canonical;
use protocol::ids::{Digest, MerchantId, RealmId};
use protocol::limits::SETTLEMENT_PAGE_LINES_MAX;
use protocol::money::{Asset, add};
use protocol::response::Reason;
use protocol::settlement::{SettledPayment, SettledRefund, SettlementPage};
use protocol::time::Timestamp;

use super::fees::Turnover;
use super::records::SettlementCycle;
use crate::admin::AdminError;
use crate::data_directory::{DataError, sync_directory, write_private};
use crate::store::Reader;

/// What a cycle brought one merchant, with the digests of its pages on the disk.
#[derive(Debug, Default)]
pub struct MerchantLines {
    /// Per asset.
    pub turnovers: BTreeMap<Asset, Turnover>,
    /// Digests of the pages, in their order.
    pub pages: Vec<Digest>,
    open: Option<SettlementPage>,
}

/// Where the pages of a cycle lie.
#[derive(Debug, Clone)]
pub struct PageDirectory {
    path: PathBuf,
    realm: RealmId,
}

impl PageDirectory {
    /// Under `settlements`, the directory of all cycles.
    pub fn new(settlements: &Path, realm: RealmId) -> Self {
        Self { path: settlements.to_owned(), realm }
    }

    /// The file of a page.
    pub fn page(&self, cycle: u64, merchant: MerchantId, page: u32) -> PathBuf {
        self.path.join(format!("{cycle:08}")).join(merchant.to_string()).join(format!("{page:05}.page"))
    }

    /// Reads a page.
    ///
    /// # Errors
    /// [`AdminError`] where the file is missing or damaged.
    pub fn read(&self, cycle: u64, merchant: MerchantId, page: u32) -> Result<SettlementPage, AdminError> {
        let path = self.page(cycle, merchant, page);
        let bytes = std::fs::read(&path).map_err(DataError::system("read", &path))?;
        let damaged = |error: protocol::codec::DecodeError| DataError::Damaged { path, detail: error.to_string() };
        Ok(SettlementPage::decode(&bytes).map_err(damaged)?)
    }

    fn write(&self, page: &SettlementPage) -> Result<Digest, AdminError> {
        let path = self.page(page.cycle, page.merchant, page.page);
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            std::fs::create_dir_all(directory).map_err(DataError::system("make the directory", directory))?;
            // Of the merchant, the cycle and all cycles: a report never outlives its pages.
            for above in directory.ancestors().skip(1).take(3) {
                sync_directory(above).map_err(DataError::system("write into", above))?;
            }
        }
        write_private(&path, &page.encode())?;
        Ok(page.digest())
    }
}

/// Lines of all merchants of a cycle.
pub struct Lines<'a> {
    directory: &'a PageDirectory,
    cycle: &'a SettlementCycle,
    merchants: BTreeMap<MerchantId, MerchantLines>,
}

impl<'a> Lines<'a> {
    /// Collects every payment of `cycle` from the log. Doing it again writes the same pages.
    ///
    /// # Errors
    /// [`AdminError`] where the log cannot be read or the pages cannot be written.
    pub fn collect(
        reader: &dyn Reader,
        cycle: &'a SettlementCycle,
        directory: &'a PageDirectory,
    ) -> Result<Self, AdminError> {
        let mut lines = Self { directory, cycle, merchants: BTreeMap::new() };
        let mut batch: Option<(u64, Timestamp)> = None;
        let mut outcome = Ok(());
        reader.visit_payments(Some(cycle.after()), &mut |place, record| {
            if place > cycle.last() {
                return ControlFlow::Break(());
            }
            if record.reason != Reason::Paid {
                return ControlFlow::Continue(());
            }
            let time = match batch {
                Some((number, time)) if number == place.batch => Ok(time),
                _ => batch_time(reader, place.batch),
            };
            let added = time.and_then(|time| {
                batch = Some((place.batch, time));
                lines.add_payment(
                    record.merchant,
                    SettledPayment {
                        payment: record.payment,
                        number: record.number,
                        quote_digest: record.quote_digest,
                        amount: record.amount,
                        asset: record.asset,
                        batch_time: time,
                    },
                )
            });
            match added {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    outcome = Err(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        outcome.map(|()| lines)
    }

    fn add_payment(&mut self, merchant: MerchantId, line: SettledPayment) -> Result<(), AdminError> {
        let turnover = self.merchants.entry(merchant).or_default().turnovers.entry(line.asset).or_default();
        turnover.payments += 1;
        turnover.credited = add(turnover.credited, line.amount.signed())?;
        self.with_page(merchant, |page| page.payments.push(line))
    }

    /// Adds a refund that was put through in the cycle.
    ///
    /// # Errors
    /// [`AdminError`] where a page cannot be written.
    pub fn add_refund(&mut self, merchant: MerchantId, line: SettledRefund) -> Result<(), AdminError> {
        let units = i128::try_from(line.units).map_err(|_| protocol::money::MoneyError::Overflow)?;
        let turnover = self.merchants.entry(merchant).or_default().turnovers.entry(line.asset).or_default();
        turnover.refunded = add(turnover.refunded, units)?;
        self.with_page(merchant, |page| page.refunds.push(line))
    }

    fn with_page(&mut self, merchant: MerchantId, change: impl FnOnce(&mut SettlementPage)) -> Result<(), AdminError> {
        let (realm, cycle) = (self.directory.realm, self.cycle.number);
        let lines = self.merchants.entry(merchant).or_default();
        let number = lines.pages.len() as u32;
        let page = lines.open.get_or_insert_with(|| SettlementPage::new(realm, merchant, cycle, number));
        change(page);
        if page.lines() == SETTLEMENT_PAGE_LINES_MAX
            && let Some(full) = lines.open.take()
        {
            lines.pages.push(self.directory.write(&full)?);
        }
        Ok(())
    }

    /// Writes the last pages and gives what every merchant was brought.
    ///
    /// # Errors
    /// [`AdminError`] where a page cannot be written.
    pub fn finish(mut self) -> Result<BTreeMap<MerchantId, MerchantLines>, AdminError> {
        for lines in self.merchants.values_mut() {
            if let Some(last) = lines.open.take() {
                lines.pages.push(self.directory.write(&last)?);
            }
        }
        Ok(self.merchants)
    }
}

/// The time of a batch in which something was consumed.
///
/// # Errors
/// [`AdminError`] where the store has lost it.
pub fn batch_time(reader: &dyn Reader, number: u64) -> Result<Timestamp, AdminError> {
    match reader.batch(number)? {
        Some(batch) => Ok(batch.header.batch_time),
        None => Err(reader.inconsistent(&format!("batch {number} is missing")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::{RefundOrderId, TransactionNumber};
    use protocol::ledger::instrument::Place;

    #[test]
    fn a_page_takes_so_many_lines_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let pages = PageDirectory::new(directory.path(), RealmId([1; 16]));
        let cycle = SettlementCycle::new(3, (Timestamp(1), Timestamp(2)), Place::default(), Place::default());
        let mut lines = Lines { directory: &pages, cycle: &cycle, merchants: BTreeMap::new() };
        let merchant = MerchantId([2; 16]);
        let line = SettledRefund {
            order: RefundOrderId([3; 16]),
            number: TransactionNumber([4; 16]),
            units: 5,
            asset: Asset::USD6,
            refunded_at: Timestamp(1),
        };
        for _ in 0..=SETTLEMENT_PAGE_LINES_MAX {
            lines.add_refund(merchant, line).unwrap();
        }
        let lines = lines.finish().unwrap().remove(&merchant).unwrap();
        assert_eq!(lines.turnovers[&Asset::USD6].refunded, 5 * (SETTLEMENT_PAGE_LINES_MAX as i128 + 1));
        let read: Vec<_> = (0..2).map(|page| pages.read(3, merchant, page).unwrap()).collect();
        assert_eq!(read.iter().map(SettlementPage::lines).collect::<Vec<_>>(), [SETTLEMENT_PAGE_LINES_MAX, 1]);
        assert_eq!(read.iter().map(SettlementPage::digest).collect::<Vec<_>>(), lines.pages);
    }
}
