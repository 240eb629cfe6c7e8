//! The funding boundary: money comes in and goes out through an adapter, and through nothing else but the operator's own hand
//! (`tps account fund`). With the adapter stopped, payments go on.

mod apply;
mod folder;
pub mod instruction;
pub mod payouts;

use std::time::Duration;

use crate::admin::{AdminError, AdminErrorCode};
use crate::data_directory::Realm;
use crate::jobs::{Job, Pause};
use crate::pipeline::Engine;
use instruction::Instruction;

pub use apply::{Outcome, apply};
pub use folder::Folder;

/// How often the adapter is asked.
const LOOK: Duration = Duration::from_secs(1);

/// Something that came in.
#[derive(Debug)]
pub struct Received {
    /// The adapter's name for it.
    pub name: String,
    /// The instruction, or what is wrong with it.
    pub instruction: Result<Instruction, String>,
}

/// The way to the funding agency. What it loses or repeats does no harm: every instruction is applied once, and a list of payouts is
/// the same however often it is handed over.
pub trait FundingAdapter: Send {
    /// What came in and was neither done nor refused yet.
    ///
    /// # Errors
    /// [`AdminError`] where the adapter does not work; it is asked again later.
    fn receive(&mut self) -> Result<Vec<Received>, AdminError>;

    /// An instruction was carried out.
    ///
    /// # Errors
    /// [`AdminError`]; it will be received again then.
    fn done(&mut self, name: &str) -> Result<(), AdminError>;

    /// An instruction cannot be carried out.
    ///
    /// # Errors
    /// [`AdminError`]; it will be received again then.
    fn refuse(&mut self, name: &str, reason: &str) -> Result<(), AdminError>;

    /// Hands over a list of payouts; durable when this returns.
    ///
    /// # Errors
    /// [`AdminError`]; it will be handed over again then.
    fn pay_out(&mut self, name: &str, list: &str) -> Result<(), AdminError>;
}

/// Carries instructions out and hands payouts over, in spare time.
pub struct FundingJob<Adapter> {
    /// The way to the agency.
    adapter: Adapter,
    /// What was fixed when the TPS was made.
    realm: Realm,
    /// Payouts of this cycle and those before are handed over.
    handed_over: u64,
}

impl<Adapter> FundingJob<Adapter> {
    /// A job for the TPS of `realm` over `adapter`.
    pub fn new(adapter: Adapter, realm: Realm) -> Self {
        Self { adapter, realm, handed_over: 0 }
    }
}

impl<Adapter: FundingAdapter> Job for FundingJob<Adapter> {
    fn name(&self) -> &'static str {
        "funding"
    }

    fn step(&mut self, engine: &Engine) -> Result<Pause, AdminError> {
        // First, so that a payout that came back is known to have gone out. What fails here keeps no deposit waiting.
        let handed_over = payouts::hand_over(engine, &self.realm, &mut self.adapter, &mut self.handed_over);
        for Received { name, instruction } in self.adapter.receive()? {
            let outcome = match instruction {
                Ok(instruction) => apply(engine, &self.realm, &instruction),
                Err(reason) => Err(AdminError::refused(reason)),
            };
            match outcome {
                Ok(_) => self.adapter.done(&name)?,
                // Not the instruction's fault: it is tried again.
                Err(error) if matches!(error.code, AdminErrorCode::Store | AdminErrorCode::Unavailable) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(instruction = name, %error, "an instruction of the funding agency was refused");
                    self.adapter.refuse(&name, &error.message)?;
                }
            }
        }
        handed_over?;
        Ok(Pause::For(LOOK))
    }
}
