//! The same payments done in several ways in one run, to compare what they cost.
//!
//! Every way gets the same requests, has a database of its own on the same disk, makes the same decisions in the same
//! ledger and seals its answers alike. The ways take turns within each round, in an order that changes from round to
//! round, so that whatever else the machine does hits all alike. The network is in none of them.

mod check;
mod hardware;
mod libraries;
mod ours;
mod report;
mod run;
mod singly;

pub use report::Report;
pub use run::{Plan, run};
