//! The customer's side, without I/O: what an instrument remembers between payments, and what a purchase remembers between
//! its steps (paper sections 2 to 4; DESIGN sections 3, 4 and 6).
//!
//! [`payment`] decides when a count may be used again and what an answer of the TPS changes; [`purchase`] makes and checks
//! every message between CTS and MTS. Both are values to be stored before anything is sent: whoever is killed at any point
//! and starts again from what was stored neither pays twice nor loses what was paid for.

pub mod payment;
pub mod purchase;
