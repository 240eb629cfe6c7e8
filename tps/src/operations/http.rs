//! `/live`, `/ready`, `/metrics` and `/version`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Observation, metrics};
use crate::bounded_listener::BoundedListener;

/// Connections at a time. Two collectors and a few people need no more.
const CONNECTIONS_MAX: usize = 32;
/// How long answers under way may take once the server ends.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why operators' programs cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum OperationsError {
    /// The address is taken or not ours.
    #[error(
        "cannot listen on TCP {address} for /live, /ready, /metrics and /version: {error}; set `operations_listen` to another address of this machine or to off"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
}

/// A bound listener for operators' programs.
pub struct OperationsListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl OperationsListener {
    /// Binds the address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OperationsError::Bind`].
    pub fn bind(address: SocketAddr) -> Result<Self, OperationsError> {
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            Ok(Self { address: listener.local_addr()?, listener })
        });
        bound.map_err(|error| OperationsError::Bind { address, error })
    }

    /// The address bound, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `end` becomes true: that is after the last payment was answered, so that `/ready` tells of the end.
    pub async fn run(self, observation: Arc<Observation>, end: watch::Receiver<bool>) {
        let mut ended = end.clone();
        let graceful = async move {
            let _ = ended.wait_for(|ended| *ended).await.map(drop);
        };
        let listener = BoundedListener::new(self.listener, CONNECTIONS_MAX);
        let server = axum::serve(listener, router(observation)).with_graceful_shutdown(graceful);
        let mut end = end;
        tokio::select! {
            _ = server => {}
            () = async {
                let _ = end.wait_for(|ended| *ended).await.map(drop);
                // A client that keeps its connection open must not hold the server up.
                tokio::time::sleep(LAST_ANSWERS).await;
            } => {}
        }
    }
}

fn router(observation: Arc<Observation>) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .route("/version", get(version))
        .fallback(async || (StatusCode::NOT_FOUND, "there is /live, /ready, /metrics and /version\n"))
        .with_state(observation)
}

/// Whether the process should go on living: the control thread answers, and the pipeline does.
async fn live(State(observation): State<Arc<Observation>>) -> Response {
    let (silent, _) = observation.progress.last();
    let live = !observation.is_stuck();
    let status = if live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let silent_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
    (status, Json(json!({ "live": live, "pipeline_answered_ms_ago": silent_ms }))).into_response()
}

/// Whether payments should be sent here.
async fn ready(State(observation): State<Arc<Observation>>) -> Response {
    let obstacles = observation.obstacles();
    let ready = obstacles.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons: Vec<_> =
        obstacles.iter().map(|obstacle| json!({ "reason": obstacle, "message": obstacle.to_string() })).collect();
    (status, Json(json!({ "ready": ready, "reasons": reasons }))).into_response()
}

async fn scrape(State(observation): State<Arc<Observation>>) -> Response {
    match metrics::page(&observation) {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn version(State(observation): State<Arc<Observation>>) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let realm = observation.constants.realm.to_string();
    Json(json!({ "version": version, "realm": realm, "kernels": metrics::kernels() })).into_response()
}
