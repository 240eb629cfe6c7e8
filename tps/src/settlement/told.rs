//! What merchants are told of settlement at the desk.

use std::sync::Arc;

use protocol::desk::SettlementAnswer;
use protocol::ids::MerchantId;
use protocol::limits::{SETTLEMENT_CYCLES_MAX, SETTLEMENT_PAGE_BYTES_MAX};

use super::pages::PageDirectory;
use super::records::Settlement;
use crate::desk::Settlements;
use crate::store::desk::DeskRecord;
use crate::store::{Reader, StoreError};

/// Reports out of the ledger, pages from the disk.
pub struct LedgerSettlements {
    /// The ledger.
    pub reader: Arc<dyn Reader>,
    /// The pages.
    pub pages: PageDirectory,
}

impl Settlements for LedgerSettlements {
    fn report(&self, merchant: MerchantId, cycle: u64) -> Result<Option<SettlementAnswer>, StoreError> {
        let settled = Settlement::all(&*self.reader, &merchant.0)?;
        if settled.is_empty() {
            return Ok(None);
        }
        let cycles: Vec<u64> = settled.iter().map(|settlement| settlement.cycle).collect();
        let cycles = cycles[cycles.len().saturating_sub(SETTLEMENT_CYCLES_MAX)..].to_vec();
        let report = settled.into_iter().find(|settlement| settlement.cycle == cycle).map(|found| found.report);
        Ok(Some(SettlementAnswer { cycles, report: report.unwrap_or_default() }))
    }

    fn page(&self, merchant: MerchantId, cycle: u64, page: u32) -> Result<Option<Vec<u8>>, StoreError> {
        if Settlement::read(&*self.reader, &Settlement::key_of(merchant, cycle))?.is_none() {
            return Ok(None);
        }
        let path = self.pages.page(cycle, merchant, page);
        match std::fs::read(&path) {
            Ok(bytes) if bytes.len() <= SETTLEMENT_PAGE_BYTES_MAX => Ok(Some(bytes)),
            Ok(_) => Err(StoreError::Unreadable { path: path.display().to_string(), detail: "too long".to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::ReadFailed { path: path.display().to_string(), detail: error.to_string() }),
        }
    }
}
