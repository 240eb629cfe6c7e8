//! The real program as an operator uses it: over RocksDB, with the server running and stopped.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod backing_up;
mod decoupling;
mod harness;
#[path = "../common/http.rs"]
mod http;
mod importing;
mod installing;
mod judging;
mod killing;
mod managing;
mod notarising;
mod observing;
mod paying;
mod protecting;
mod reloading;
mod rotating;
mod serving;
mod stating;
