//! The desk of a TPS: merchants' batches, carried out over a real pipeline.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod archived;
#[path = "../common/mod.rs"]
mod common;
mod crashes;
mod life;
mod property;
mod refunds;
mod refusals;
mod renewals;
mod saturation;
mod world;
