//! What a payment costs: the inputs and the composed work that benches, instruction counts and the comparison share.
//!
//! [`fixtures`] are keys, requests and batches, [`installation`] is a TPS with customers who can pay, [`staged`] takes a
//! batch through the stages of the server one by one, [`floor`] is the bare work of a payment in a loop, and [`comparison`]
//! the same payments done in several ways in one run. [`preparation`] answers a batch with and without prepared proofs.

pub mod comparison;
pub mod cpu_time;
pub mod fixtures;
pub mod floor;
pub mod installation;
pub mod measure;
pub mod preparation;
pub mod staged;
