//! The data path of a payment. The batch is the unit of everything: one equation for all signatures, one signature for
//! all proofs, one write and one sync.
//!
//! ```text
//! receive    frames from QUIC streams, open half read, budgets           receive::
//!    | Sealed
//! open       session keys, the customer's half                           open         \
//!    | Opened                                                                           |  worker threads,
//! verify     device tags, then all signatures in one equation            verify         |  in parallel
//!    | Verified                                                                         |
//! prove      both outcomes of every request, one signature               prove        /
//!    | Proved   (needs only the open halves)
//! sequence   the pure decision over the book of the shard                sequence        one thread per shard
//!    | Sequenced
//! commit     everything that is ready in one synced write                commit          one thread
//!    | Committed
//! reveal     the one opening per request, sealed answers                 reveal          one thread
//!    | bytes
//! send       answers coalesced onto their streams                        receive::
//! ```
//!
//! Each arrow is a type with private fields that only the stage before it can make, so the compiler knows that no
//! signature is skipped and no proof precedes durability. A worker takes whatever is waiting: alone in the night a
//! payment goes through as a batch of one, under load batches grow by themselves.

pub mod clock;
pub mod crash_point;
pub mod directory;
pub mod engine;
pub mod open;
pub mod prove;
pub mod reply;
pub mod reveal;
pub mod sequence;
mod stage_clock;
mod threads;
pub mod verify;

pub use engine::{Engine, EngineConfig, EngineKeys};
pub use open::Sealed;
pub use reply::{AnswerSink, Outbox, ReplyTo};
pub(crate) use stage_clock::ThreadClock;
