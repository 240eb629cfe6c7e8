//! Settlement reports: fetched from the desk, checked, and kept in the merchant's directory, a cycle in a directory of its own.

use std::path::{Path, PathBuf};

use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskAnswer, DeskBatch, DeskDescription, EntryResult, SettlementAnswer};
use protocol::ids::DeskBatchId;
use protocol::settlement::{SettlementError, SettlementPage, SettlementReport};
use protocol::time::Timestamp;

use super::{DeskClerk, DeskFailure, SendError};
use crate::clock;
use crate::home::Home;

/// Cycles that one synchronisation fetches; what is left comes with the next.
const CYCLES_MAX: usize = 64;

/// A report with its pages, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The report.
    pub report: SettlementReport,
    /// Its pages, all of them.
    pub pages: Vec<SettlementPage>,
}

impl Settled {
    /// Reads what [`DeskClerk::fetch_settlements`] or `tps settlement export` wrote, and checks it again.
    ///
    /// # Errors
    /// [`DeskFailure::Home`] where a file cannot be read, [`DeskFailure::Settlement`] where it is not the TPS's word.
    pub fn read(home: &Home, directory: &Path, now: Timestamp) -> Result<Self, DeskFailure> {
        let report = SettlementReport::decode(&home.read(&directory.join("report"))?)?;
        let mut pages = Vec::with_capacity(report.pages.len());
        for number in 0..report.pages.len() {
            pages.push(SettlementPage::decode(&home.read(&directory.join(format!("{number:05}.page")))?)?);
        }
        let settled = Self { report, pages };
        settled.check(home, now)?;
        Ok(settled)
    }

    fn check(&self, home: &Home, now: Timestamp) -> Result<(), DeskFailure> {
        let keys = home.key_set(now)?;
        // Who we are: the report names it, and the certificates say it while there are any.
        let merchant = home.certified_keys(&keys, now)?.first().map(|key| key.certificate.merchant());
        self.report.verify(merchant.unwrap_or(self.report.merchant), &keys)?;
        Ok(self.report.check_pages(&self.pages)?)
    }

    fn keep(&self, home: &Home) -> Result<(), DeskFailure> {
        let pages = self.pages.iter().enumerate();
        let mut files: Vec<(String, Vec<u8>)> =
            pages.map(|(number, page)| (format!("{number:05}.page"), page.encode())).collect();
        // Last, so that a directory with a report is complete.
        files.push(("report".to_owned(), self.report.encode()));
        Ok(home.keep_settlement(self.report.cycle, &files)?)
    }
}

impl DeskClerk<'_> {
    /// Fetches every report that is not here yet; gives the numbers of the cycles.
    ///
    /// # Errors
    /// [`DeskFailure`]; what was fetched before stays.
    pub fn fetch_settlements(
        &self,
        send: impl Fn(&DeskDescription, &DeskBatch) -> Result<Vec<u8>, SendError>,
    ) -> Result<Vec<u64>, DeskFailure> {
        let description = self.home.desk_description()?;
        let ask = |entry: BatchEntry| self.ask(entry, |batch| send(&description, batch));
        let mut fetched = Vec::new();
        while fetched.len() < CYCLES_MAX {
            let held = self.home.settlement_cycles()?;
            let guessed = held.last().map_or(1, |last| last + 1);
            let Some(mut found) = settlement(ask(BatchEntry::FetchSettlement { cycle: guessed })?) else { break };
            // One that was removed here is fetched again, too.
            let missing = |cycle: &u64| held.binary_search(cycle).is_err();
            let Some(next) = found.cycles.iter().copied().find(missing) else { break };
            if next != guessed || found.report.is_empty() {
                match settlement(ask(BatchEntry::FetchSettlement { cycle: next })?) {
                    Some(again) if !again.report.is_empty() => found = again,
                    _ => break,
                }
            }
            let report = SettlementReport::decode(&found.report)?;
            // What is held stays as it was told, and nothing is passed over.
            if report.cycle != next {
                return Err(SettlementError::OtherCycle { asked: next, got: report.cycle }.into());
            }
            let mut pages = Vec::with_capacity(report.pages.len());
            for page in 0..report.pages.len() as u32 {
                match ask(BatchEntry::FetchSettlementPage { cycle: report.cycle, page })? {
                    EntryResult::SettlementPage(bytes) => pages.push(SettlementPage::decode(&bytes)?),
                    _ => return Err(SettlementError::Page(page).into()),
                }
            }
            let settled = Settled { report, pages };
            settled.check(self.home, clock::now())?;
            settled.keep(self.home)?;
            fetched.push(settled.report.cycle);
        }
        Ok(fetched)
    }

    /// Asks for one thing; nothing of it has to survive a crash.
    fn ask(
        &self,
        entry: BatchEntry,
        send: impl Fn(&DeskBatch) -> Result<Vec<u8>, SendError>,
    ) -> Result<EntryResult, DeskFailure> {
        let now = clock::now();
        let keys = self.home.key_set(now)?;
        let (merchant, id) = (self.merchant(now)?, DeskBatchId(clock::random()));
        let batch = DeskBatch::new(keys.realm(), merchant, id, now, vec![entry], &self.home.desk_key()?)?;
        let answer = DeskAnswer::decode(&send(&batch)?)?;
        answer.verify(&batch, &keys)?;
        // `verify` has seen that there is one result for the one entry.
        let result = answer.results().first().cloned();
        result.ok_or(protocol::codec::DecodeError::Field { what: "desk answer", field: "results" }.into())
    }
}

fn settlement(result: EntryResult) -> Option<SettlementAnswer> {
    match result {
        EntryResult::Settlement(found) => Some(found),
        _ => None,
    }
}

/// Where the report of a cycle lies in a merchant's directory.
pub fn settlement_directory(home: &Home, cycle: u64) -> PathBuf {
    home.settlements_path().join(format!("{cycle:08}"))
}
