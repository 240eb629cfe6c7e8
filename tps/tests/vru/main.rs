//! The VRU as its customers use it: real processes, RocksDB, a telephone made of standard input.
#![cfg(all(feature = "rocksdb", feature = "crash-points"))]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod access;
mod channels;
mod world;
