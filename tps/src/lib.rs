//! The Transaction Processing Subsystem: the server that holds accounts, decides and signs.
//!
//! [`pipeline`] is the way of a payment on one screen; [`book`] what it reads and writes; [`store`] where it becomes
//! durable; [`receive`] where it comes from; [`admin`] what the operator does; [`desk`] what merchants hand in.

pub mod admin;
pub mod audit;
pub mod book;
pub mod cli;
pub mod config;
pub mod counters;
pub mod data_directory;
mod dense;
pub mod desk;
pub mod keys;
pub mod operator;
pub mod pipeline;
pub mod receive;
pub mod serve;
pub mod store;
