//! Load for a TPS: prepared requests, an open loop, latency from the scheduled time, and checks at the end.
//!
//! [`prepare`] makes instruments and requests; [`send`] sends them at next to no cost per payment; [`measure`] and [`server`]
//! look at it; [`check`] verifies every proof and compares the books; [`report`] tells. [`run`] puts it together.

pub mod agreement;
pub mod check;
pub mod cli;
pub mod file;
pub mod hardware;
pub mod measure;
pub mod mix;
pub mod prepare;
pub mod report;
pub mod run;
pub mod schedule;
pub mod search;
pub mod secrets;
pub mod send;
pub mod server;
pub mod view;
