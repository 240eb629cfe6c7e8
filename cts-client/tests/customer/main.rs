//! The customer against a real merchant over HTTP and a TPS made of the protocol's own pieces over QUIC, in one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod anonymity;
mod clocks;
mod command_line;
mod crashes;
mod key_sets;
mod loyalty;
mod payments;
mod purchases;
mod secrets;
mod shop;
mod tps;
mod world;
