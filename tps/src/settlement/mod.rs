//! Settlement (K-105): at every cut-off, merchants are credited what a cycle brought them, less refunds and fees; whole payout units
//! are paid out, the rest is carried over. The signed report lists every payment, so that one whose proof was never presented
//! shows up.
//!
//! A job in spare time. It reads the log, never the way of a payment, and takes money from merchants under
//! [`crate::pipeline::Engine::merchant_debits`].

pub mod close;
pub mod fees;
pub mod pages;
pub mod records;
mod schedule;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::money::Asset;
use protocol::time::Timestamp;

use crate::admin::AdminError;
use crate::data_directory::{DataDirectory, Realm};
use crate::jobs::{Job, Pause};
use crate::keys::KeyRing;
use crate::pipeline::Engine;
use close::{Closing, last_cycle};
use fees::FeeSchedule;
use pages::PageDirectory;
use records::SettlementCycle;
pub use schedule::Schedule;
pub use told::LedgerSettlements;

/// How often the job looks whether a cut-off has passed.
const LOOK: Duration = Duration::from_secs(5);
/// How soon it looks again while the log is not complete.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// When cycles end, and what merchants are charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Cut-offs.
    pub schedule: Schedule,
    /// Per asset; without an entry there is no fee, and payouts have every unit.
    pub fees: BTreeMap<Asset, FeeSchedule>,
}

/// Closes cycles as their cut-offs pass.
pub struct SettlementJob {
    /// Schedule and fees.
    pub settings: Settings,
    /// The TPS.
    pub data: DataDirectory,
    /// What was fixed when it was made.
    pub realm: Realm,
}

impl SettlementJob {
    /// Ends the present cycle: everything that was paid by now belongs to it. Waits until the log is complete, at most some
    /// seconds.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn close_now(&self, engine: &Engine) -> Result<SettlementCycle, AdminError> {
        // What was paid in this millisecond has this time.
        let until = engine.now().plus(1);
        while engine.now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..200 {
            if let Some(cycle) = self.close(engine, until)? {
                return Ok(cycle);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(AdminError::new(
            crate::admin::AdminErrorCode::Unavailable,
            "payments or refunds of before the cut-off are still under way: try again in a moment",
        ))
    }

    fn close(&self, engine: &Engine, until: Timestamp) -> Result<Option<SettlementCycle>, AdminError> {
        let key = KeyRing::load(&self.data)?.desk_key(engine.now())?;
        let pages = PageDirectory::new(&self.data.settlements(), self.realm.realm);
        let closing = Closing { engine, settings: &self.settings, pages: &pages, key: &key };
        let closed = closing.close(self.realm.created_at_ms, until)?;
        if let Some(cycle) = &closed {
            tracing::info!(cycle = cycle.number, until = %cycle.until, "closed a settlement cycle");
        }
        Ok(closed)
    }
}

impl Job for SettlementJob {
    fn name(&self) -> &'static str {
        "settlement"
    }

    fn step(&mut self, engine: &Engine) -> Result<Pause, AdminError> {
        let last = last_cycle(engine.reader().as_ref())?;
        let until = match &last {
            // One that was interrupted goes on as it began.
            Some(cycle) if !cycle.closed => cycle.until,
            Some(cycle) => self.settings.schedule.cut_off_after(cycle.until),
            None => self.settings.schedule.cut_off_after(self.realm.created_at_ms),
        };
        if until > engine.now() {
            return Ok(Pause::For(LOOK));
        }
        Ok(if self.close(engine, until)?.is_some() { Pause::None } else { Pause::For(LOOK_AGAIN) })
    }
}
