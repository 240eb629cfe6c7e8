//! The Transaction Processing Subsystem: the server that holds accounts, decides and signs.
//!
//! [`pipeline`] is the way of a payment on one screen; [`book`] what it reads and writes; [`store`] where it becomes
//! durable; [`receive`] where it comes from; [`admin`] what the operator does; [`operations`] what
//! the operator sees.
//! [`desk`] is where merchants hand in batches.

pub mod admin;
#[cfg(feature = "rocksdb")]
pub mod archive;
pub mod audit;
#[cfg(feature = "rocksdb")]
pub mod backup;
pub mod book;
mod bounded_listener;
pub mod cli;
pub mod config;
pub mod counters;
pub mod data_directory;
mod dense;
pub mod desk;
pub mod funding;
pub mod jobs;
pub mod keys;
mod networks;
pub mod notary;
pub mod operations;
pub mod operator;
pub mod pipeline;
pub mod receive;
pub mod reports;
pub mod serve;
pub mod settlement;
pub mod statement;
pub mod store;
pub mod vru;
