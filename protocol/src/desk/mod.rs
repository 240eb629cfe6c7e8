//! The desk: merchants and the TPS in batches, never in a purchase (K-16). A merchant signs a [`DeskBatch`] of refunds and
//! requests, the TPS signs a [`DeskAnswer`] with one result per entry, or refuses the whole batch with a [`DeskError`].
//!
//! Nothing here tells a merchant who paid or how many did (K-101), and nothing here comes from a customer (K-97).

mod answer;
mod batch;
mod description;
mod error;
#[cfg(test)]
mod tests;

pub use answer::{AnswerError, DeskAnswer, EntryRefusal, EntryResult, RefundedTotal, SettlementAnswer};
pub use batch::{BatchEntry, DeskBatch};
pub use description::{DescriptionError, DeskDescription};
pub use error::{DeskError, DeskErrorCode};

/// Where a merchant posts its batch, below the address of the desk.
pub const BATCH_PATH: &str = "/desk/v1/batch";
