//! The service as a router for axum or any other tower server. Mount it below any path:
//!
//! | Request | Body | Answer |
//! |---|---|---|
//! | `POST quote` | quote request | quote offer |
//! | `POST confirm` | confirmation | authenticated quote |
//! | `POST proof` | the proof | shipping advice |
//! | `POST send-goods` | send-goods message | sealed goods |
//! | `POST renegotiate` | renegotiation | renegotiation acknowledgment |
//! | `GET certificate` | | merchant certificate |
//!
//! Bodies are canonical bytes, `application/octet-stream`. A refusal is a merchant error with a status of 400 (unreadable),
//! 409 (not in this state) or 503 (try again later). No cookie, no header that differs between customers, and no need for a
//! connection to be kept (K-41).

pub mod pages;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::stream;
use protocol::codec::Canonical;
use protocol::limits::MERCHANT_MESSAGE_BYTES_MAX;
use protocol::purchase::MerchantErrorCode;
use tower_http::timeout::TimeoutLayer;

use crate::frames::{Direction, FrameText, describe};
use crate::merchant::{GoodsTransfer, Merchant, Refusal};

/// How long one request may take until its answer begins; the first advice of large goods reads them once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Sees every decoded message: for a trace.
pub type Trace = Arc<dyn Fn(&FrameText) + Send + Sync>;

#[derive(Clone)]
struct Service {
    merchant: Arc<Merchant>,
    trace: Option<Trace>,
}

/// The router for `merchant`.
pub fn router(merchant: Arc<Merchant>) -> Router {
    build(Service { merchant, trace: None })
}

/// The router for `merchant`, showing every message to `trace`.
pub fn router_with_trace(merchant: Arc<Merchant>, trace: Trace) -> Router {
    build(Service { merchant, trace: Some(trace) })
}

fn build(service: Service) -> Router {
    Router::new()
        .route("/quote", post(|state, body| answer(state, body, Merchant::quote)))
        .route("/confirm", post(|state, body| answer(state, body, Merchant::confirm)))
        .route("/proof", post(|state, body| answer(state, body, Merchant::present_proof)))
        .route("/renegotiate", post(|state, body| answer(state, body, Merchant::renegotiate)))
        .route("/send-goods", post(send_goods))
        .route("/certificate", get(certificate))
        .layer(DefaultBodyLimit::max(MERCHANT_MESSAGE_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_TIMEOUT))
        .with_state(service)
}

impl Service {
    fn trace(&self, direction: Direction, bytes: &[u8]) {
        if let Some(trace) = &self.trace {
            trace(&describe(direction, bytes));
        }
    }

    /// Runs a step where it may block.
    async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Merchant) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let merchant = self.merchant.clone();
        let done = tokio::task::spawn_blocking(move || step(&merchant)).await;
        done.unwrap_or_else(|error| Err(Refusal { code: MerchantErrorCode::Internal, detail: Some(error.to_string()) }))
    }

    fn respond(&self, answer: Result<Vec<u8>, Refusal>) -> Response {
        let (status, bytes) = match answer {
            Ok(bytes) => (StatusCode::OK, bytes),
            Err(refusal) => {
                if refusal.code == MerchantErrorCode::Internal {
                    tracing::error!("{refusal}");
                } else {
                    tracing::debug!("{refusal}");
                }
                (status(refusal.code), refusal.message().encode())
            }
        };
        self.trace(Direction::Sent, &bytes);
        response(status, Body::from(bytes))
    }
}

fn status(code: MerchantErrorCode) -> StatusCode {
    match code {
        MerchantErrorCode::Malformed | MerchantErrorCode::UnsupportedVersion | MerchantErrorCode::UnsupportedSuite => {
            StatusCode::BAD_REQUEST
        }
        MerchantErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        code if code.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    }
}

fn response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

async fn answer(
    State(service): State<Service>,
    body: Bytes,
    step: fn(&Merchant, &[u8]) -> Result<Vec<u8>, Refusal>,
) -> Response {
    service.trace(Direction::Received, &body);
    let answer = service.run(move |merchant| step(merchant, &body)).await;
    service.respond(answer)
}

async fn certificate(State(service): State<Service>) -> Response {
    match service.run(Merchant::certificate).await {
        Ok(bytes) => response(StatusCode::OK, Body::from(bytes)),
        refused => service.respond(refused),
    }
}

async fn send_goods(State(service): State<Service>, body: Bytes) -> Response {
    service.trace(Direction::Received, &body);
    match service.run(move |merchant| merchant.send_goods(&body)).await {
        Err(refusal) => service.respond(Err(refusal)),
        Ok(transfer) => {
            let length = transfer.sealed_bytes();
            let mut response =
                response(StatusCode::OK, Body::from_stream(stream::unfold((service, Some(transfer)), next)));
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
    }
}

/// The next chunk of a transfer. No thread waits while a slow customer reads (K-08), and one chunk is in memory.
async fn next(
    (service, transfer): (Service, Option<GoodsTransfer>),
) -> Option<(Result<Vec<u8>, std::io::Error>, (Service, Option<GoodsTransfer>))> {
    let mut transfer = transfer?;
    let step = service.run(move |merchant| {
        let chunk = merchant.next_chunk(&mut transfer)?;
        if chunk.is_none() {
            merchant.delivered(transfer.number)?;
        }
        Ok((chunk, transfer))
    });
    match step.await {
        Ok((Some(chunk), transfer)) => Some((Ok(chunk), (service, Some(transfer)))),
        Ok((None, _)) => None,
        Err(refusal) => {
            tracing::error!("a transfer of goods was broken off: {refusal}");
            Some((Err(std::io::Error::other(refusal)), (service, None)))
        }
    }
}
