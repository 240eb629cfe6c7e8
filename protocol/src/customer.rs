//! The customer's state machines.
