//! Why a file cannot be used, and what to do.

use protocol::time::Timestamp;

/// What is wrong with a file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system.
    #[error("cannot {what} {path}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Secrets that others can read.
    #[error(transparent)]
    Private(#[from] tps::data_directory::DataError),
    /// Something else, or of another version.
    #[error("{0} is no file of `loadgen prepare`, or of another version: prepare a new one with --out FILE")]
    NotALoadFile(String),
    /// A record is not what it should be.
    #[error("{0} is damaged: delete it, and prepare a new one")]
    Damaged(String),
    /// A run did not come to its end.
    #[error(
        "a run with {0} was killed, so that nobody knows how its instruments stand: delete the file, and prepare a new one"
    )]
    RunUnfinished(String),
    /// Too late.
    #[error(
        "the requests in {path} could be used until {until}: make new ones with `loadgen prepare --out {path}`, which keeps its instruments"
    )]
    Expired {
        /// The file.
        path: String,
        /// Until when.
        until: Timestamp,
    },
    /// Fewer than needed.
    #[error(
        "{path} has {left} requests left, and this needs {needed}: make new ones with `loadgen prepare --out {path} --requests N`, run for a shorter time, or compute further ones on line with --online"
    )]
    TooFew {
        /// The file.
        path: String,
        /// How many there are.
        left: u64,
        /// How many are needed.
        needed: u64,
    },
}
