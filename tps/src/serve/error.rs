//! Why a server did not start, or ended.

use std::net::SocketAddr;

use crate::admin::{AdminError, AdminErrorCode};
use crate::config::ConfigError;
use crate::data_directory::DataError;
use crate::desk::listener::DeskListenError;
use crate::keys::KeyError;
use crate::operations::OperationsError;
use crate::operator::installation::InstallError;
use crate::receive::ReceiveError;
use crate::store::StoreError;
use crate::vru::fronts::VruError;

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The database.
    #[error(transparent)]
    Ledger(#[from] InstallError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// A job of the server cannot begin.
    #[error(transparent)]
    Job(#[from] AdminError),
    /// The listener for operators' programs.
    #[error(transparent)]
    Operations(#[from] OperationsError),
    /// The VRU.
    #[error(transparent)]
    Vru(#[from] VruError),
    /// Database and `realm.toml` do not belong together.
    #[error("the database belongs to another TPS than realm.toml: restore both from one backup")]
    OtherRealm,
    /// The desk's listener.
    #[error(transparent)]
    Desk(#[from] DeskListenError),
    /// A place that the configuration names anew.
    #[error("cannot listen on {address}: {error}; set `{key}` to another address")]
    Taken {
        /// Which key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// A reload of a ledger in memory.
    #[error("this server keeps its ledger in memory and would lose it: start another `tps dev`")]
    InMemory,
    /// The system gave no runtime or thread.
    #[error("the system refused what the server needs: {0}")]
    System(#[from] std::io::Error),
    /// Something still used the engine when it should have ended.
    #[error("the server could not end in order; everything that was answered is durable")]
    Unfinished,
}

impl From<ServeError> for AdminError {
    fn from(error: ServeError) -> Self {
        let code = match &error {
            ServeError::Config(_) | ServeError::Taken { .. } => AdminErrorCode::BadInput,
            ServeError::Keys(_) => AdminErrorCode::Keys,
            ServeError::InMemory => AdminErrorCode::Refused,
            ServeError::Receive(_)
            | ServeError::Operations(_)
            | ServeError::Desk(_)
            | ServeError::Vru(_)
            | ServeError::System(_)
            | ServeError::Unfinished => AdminErrorCode::Unavailable,
            _ => AdminErrorCode::Store,
        };
        Self::new(code, error.to_string())
    }
}
