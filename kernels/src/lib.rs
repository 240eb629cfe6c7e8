//! Curve25519 and SHA-512 for many inputs at once, in the lanes of vector registers.
//!
//! A server agrees on a session key with every customer and checks every customer's signature. Both are the same
//! calculation on different numbers, so a vector register holds one number of each of four or eight customers, and
//! one instruction serves all: lanes never exchange anything, and no input waits for another.
//!
//! | | |
//! |---|---|
//! | [`x25519`] | one secret key with many public keys, in constant time |
//! | [`FixedPoint`] | one point, known beforehand, with many secret scalars, in constant time |
//! | [`fixed_sum`] | two points, known beforehand, with two public scalars: one signature under a known key |
//! | [`Points`], [`sum_of_multiples`] | decompression and multi-scalar sums for the verification of signatures |
//! | [`sha512`] | digests of many messages |
//!
//! Every function takes a [`Backend`], which is a set of instructions, and gives the same result with any.
//! [`Backend::best`] finds the fastest that this processor has and that passes a self-test.
//!
//! # Safety
//!
//! This is the only crate of the project that contains `unsafe` code. It does so for three things: calls of functions
//! compiled for instructions that were found at run time, loads and stores of vectors, and overwriting secrets.

#![expect(clippy::duplicate_mod, reason = "the curve's code is compiled once for each backend, see `lanes`")]
#![expect(clippy::needless_range_loop, reason = "an index stands for the same limb, or lane, of several numbers")]

mod agreement;
mod backend;
mod constants;
mod digits;
mod entry;
mod erase;
mod fixed;
mod hash;
mod points;
mod self_test;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(any(test, feature = "emulation"))]
mod emulated;
#[cfg(target_arch = "x86_64")]
mod ifma;

pub use agreement::x25519;
pub use backend::{Backend, Choice, Name, Obstacle};
pub use fixed::{FixedPoint, fixed_sum};
pub use hash::sha512;
pub use points::{Addends, Points, sum_of_multiples};
