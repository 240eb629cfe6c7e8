//! What the three roles of Quittance say to each other, and every rule that needs no I/O.
//!
//! The roles are the Transaction Processing Subsystem (TPS), which holds accounts, decides and signs; the Customer
//! Transaction Subsystem (CTS), which pays; and the Merchant Transaction Subsystem (MTS), which sells and verifies
//! proofs offline. The design is that of D. W. Kravitz, "Highly Scalable On-line Payments Via Task Decoupling" (1997).
//!
//! This crate opens no socket or file, reads no clock, starts no thread and draws no randomness: time, randomness and
//! stored state are arguments. `docs/protocol.md` gives the exact bytes of everything that is sent or signed.
//!
//! Where to look, in the order of a purchase:
//!
//! | Step | Module |
//! |---|---|
//! | what is sold, by whom | [`quote`], [`certificate`], [`key_set`] |
//! | CTS and MTS agree on keys | [`session::merchant`], [`purchase`] |
//! | CTS asks the TPS to pay | [`request`], [`session::payment`], [`pin`] |
//! | the TPS decides | [`ledger`] |
//! | the TPS proves | [`proof`] |
//! | CTS reads the answer | [`response`], [`customer`] |
//! | MTS verifies, advises, delivers | [`proof::verify`], [`order`], [`goods`] |
//! | outside a purchase: MTS and TPS in batches | [`desk`] |

pub mod certificate;
pub mod codec;
pub mod customer;
pub mod desk;
pub mod enrolment;
pub mod error;
pub mod frame;
pub mod goods;
pub mod hash;
pub mod ids;
pub mod key_set;
pub mod ledger;
pub mod limits;
pub mod money;
pub mod notary;
mod numbered;
pub mod operations;
pub mod order;
pub mod pin;
pub mod proof;
pub mod purchase;
pub mod quote;
pub mod request;
pub mod response;
pub mod session;
pub mod settlement;
pub mod signature;
pub mod time;
