//! The VRU: the customer's second channel (DESIGN section 9; in the paper a voice-response unit reached by telephone).
//!
//! [`call`] is the course of a call, without I/O: keys in, [`prompts`] and [`call::Action`]s out. [`office`] carries the actions
//! out, on one thread of its own ([`desk`]), through the same writers as payments. [`fronts`] are the ways in: a terminal
//! telephone over TCP, and webhooks of telephony providers over HTTP. Nothing of this is reachable over the channel of the CTS,
//! and nothing of the [`credentials`] is ever in an enrolment bundle.

pub mod budget;
pub mod call;
pub mod conversation;
pub mod credentials;
pub mod desk;
pub mod english;
pub mod fronts;
pub mod mailer;
pub mod office;
pub mod phone;
pub mod prompts;
pub mod records;

/// TCP port of the VRU beside the TPS's default port.
pub const VRU_PORT: u16 = protocol::limits::TPS_PORT + 2;
