//! Where commands are carried out: by the running server, or here over a stopped one's database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Context;
use crate::admin::client::AdminClient;
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};
use crate::config::{Config, Overrides};
use crate::data_directory::DataDirectory;
use crate::keys::KeyRing;
use crate::operator::Operator;
use crate::operator::installation::{InstallError, open_ledger};
use crate::pipeline::{Engine, EngineConfig};
#[cfg(feature = "rocksdb")]
use crate::store::CheckpointView;
use crate::store::{Store, StoreError};

/// How long to wait for a server that has the database already but not yet its socket, or the other way round at its end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Has one command carried out.
pub(super) fn call(context: &Context, request: AdminRequest) -> Result<AdminResponse, AdminError> {
    let data = context.data()?;
    match reach(&data)? {
        Reached::Server(mut client) => client.call(&request),
        Reached::Database(store) => on_database(&data, store, |operator| operator.execute(request)),
    }
}

/// Has commands carried out one after another, over one connection or one opening of the database.
pub(super) fn call_many<T>(
    context: &Context,
    commands: impl FnOnce(&mut dyn FnMut(AdminRequest) -> Result<AdminResponse, AdminError>) -> Result<T, AdminError>,
) -> Result<T, AdminError> {
    let data = context.data()?;
    match reach(&data)? {
        Reached::Server(mut client) => commands(&mut |request| client.call(&request)),
        Reached::Database(store) => {
            on_database(&data, store, |operator| commands(&mut |request| operator.execute(request)))
        }
    }
}

/// Has one command carried out by a running server; `None` where there is none.
pub(super) fn call_server(data: &DataDirectory, request: &AdminRequest) -> Result<Option<AdminResponse>, AdminError> {
    match AdminClient::connect(&data.admin_socket()?)? {
        Some(mut client) => client.call(request).map(Some),
        None => Ok(None),
    }
}

/// Has a checkpoint of the ledger made, by the running server or here.
#[cfg(feature = "rocksdb")]
pub(super) fn checkpoint(data: &DataDirectory) -> Result<CheckpointView, AdminError> {
    match reach(data)? {
        Reached::Database(store) => Ok(store.reader().checkpoint(&data.checkpoint())?),
        Reached::Server(mut client) => match client.call(&AdminRequest::Checkpoint)? {
            AdminResponse::Checkpoint { realm, commit, chain } => {
                let mut value = [0; 32];
                let odd =
                    |_| AdminError::new(AdminErrorCode::Unavailable, "the server told a chain value that is none");
                hex::decode_to_slice(&chain, &mut value).map_err(odd)?;
                Ok(CheckpointView { realm, commit, chain: value })
            }
            _ => Err(AdminError::new(AdminErrorCode::Unavailable, "the server answered something else")),
        },
    }
}

enum Reached {
    Server(AdminClient),
    Database(Box<dyn Store>),
}

fn reach(data: &DataDirectory) -> Result<Reached, AdminError> {
    let socket = data.admin_socket()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(client) = AdminClient::connect(&socket)? {
            return Ok(Reached::Server(client));
        }
        match open_ledger(data) {
            Ok(store) => return Ok(Reached::Database(store)),
            Err(InstallError::Store(StoreError::InUse { .. })) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(InstallError::Store(StoreError::InUse { path })) => {
                return Err(AdminError::new(
                    AdminErrorCode::Unavailable,
                    format!(
                        "another process has {path} open, but no server answers at {}: wait until that process ends, or stop it",
                        socket.display()
                    ),
                ));
            }
            Err(InstallError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(AdminError::new(AdminErrorCode::Store, error.to_string())),
        }
    }
}

/// Starts an engine without a listener, has commands carried out and closes everything in order.
fn on_database<T>(
    data: &DataDirectory,
    store: Box<dyn Store>,
    commands: impl FnOnce(&Operator) -> Result<T, AdminError>,
) -> Result<T, AdminError> {
    let realm = data.realm()?;
    let config = Config::load(&data.config_file(), realm.shards, &Overrides::default())?;
    if store.reader().realm()? != realm.realm {
        return Err(AdminError::new(AdminErrorCode::Store, crate::serve::ServeError::OtherRealm.to_string()));
    }
    let keys = KeyRing::administration_keys(realm.realm)?;
    let engine_config = EngineConfig { workers: 1, ..config.engine(realm.shards) };
    let engine = Arc::new(Engine::start(store, keys, engine_config)?);
    let operator = Operator::new(engine, data.clone(), realm, &config, None);
    // Refunds that a server accepted and could not finish come first: their money is not the merchants' any more.
    operator.clerk().resume()?;
    let result = commands(&operator);
    crate::serve::drain(operator.into_engine())
        .map_err(|error| AdminError::new(AdminErrorCode::Unavailable, error.to_string()))?;
    result
}
