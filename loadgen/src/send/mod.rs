//! Sending: who waits for whom, and nothing that costs time per request.

pub mod answers;
pub mod connect;
pub mod lane;
pub mod source;
pub mod thread;
pub mod timer;
pub mod traffic;
pub mod workshop;
