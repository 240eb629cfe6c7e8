//! The way to a merchant: HTTP, and nothing in it that links two purchases of one customer (K-37, K-41).
//!
//! Every purchase has a client of its own: no connection, TLS ticket or cookie outlives it. All customers send the same
//! headers; none names program, version, language or machine.

mod goods;

use std::time::Duration;

use futures_util::StreamExt as _;
use protocol::codec::Canonical as _;
use protocol::limits::MERCHANT_MESSAGE_BYTES_MAX;
use protocol::purchase::{MerchantError, MerchantErrorCode};
use reqwest::{StatusCode, Url};

pub use goods::{FetchedGoods, fetch};

use crate::frames::{Frames, Link};

/// How long a merchant may take to begin its answer; the first advice of large goods reads them once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a merchant that is busy is asked again.
const ATTEMPTS: u32 = 4;
/// The first pause before asking again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause before asking again.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What went wrong with a merchant. It proves nothing about the payment (K-74).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MerchantFault {
    /// Not an address.
    #[error("`{0}` is not the address of a merchant: write http://host/path or https://host/path")]
    Url(String),
    /// Nobody there.
    #[error("the merchant cannot be reached: {0}")]
    Unreachable(String),
    /// The merchant says no.
    #[error("the merchant refuses: {0}")]
    Refused(MerchantErrorCode),
    /// The merchant says no in words that this program does not know.
    #[error("the merchant refuses with code {0}, which this program does not know: update it")]
    RefusedUnknown(u16),
    /// Not a merchant's answer.
    #[error("there is no merchant of Quittance at this address: HTTP status {0}")]
    Status(u16),
    /// More than any answer may have.
    #[error("the merchant's answer is longer than the {MERCHANT_MESSAGE_BYTES_MAX} bytes permitted")]
    TooLong,
}

impl MerchantFault {
    /// Whether the same message may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(code) => code.is_transient(),
            _ => false,
        }
    }

    /// The merchant's code, if it gave one.
    pub fn code(&self) -> Option<MerchantErrorCode> {
        match self {
            Self::Refused(code) => Some(*code),
            _ => None,
        }
    }
}

/// A client for one purchase from one merchant.
#[derive(Debug)]
pub struct MerchantClient {
    base: Url,
    http: reqwest::Client,
    frames: Frames,
}

impl MerchantClient {
    /// A client for one purchase; `base` is where the merchant's payment routes are mounted.
    ///
    /// # Errors
    /// [`MerchantFault::Url`], [`MerchantFault::Unreachable`] where this machine has no TLS roots.
    pub fn new(base: &str, frames: Frames) -> Result<Self, MerchantFault> {
        let wrong = || MerchantFault::Url(base.chars().take(200).collect());
        let mut url = Url::parse(base).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !url.username().is_empty() {
            return Err(wrong());
        }
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|error| MerchantFault::Unreachable(reason(&error)))?;
        Ok(Self { base: url, http, frames })
    }

    /// Sends a message to the route `path`, and again while the merchant is busy. Messages may be repeated: the MTS answers
    /// the same again.
    ///
    /// # Errors
    /// [`MerchantFault`].
    pub async fn post(&self, path: &str, message: &[u8]) -> Result<Vec<u8>, MerchantFault> {
        self.repeat(|| async {
            self.frames.sent(Link::Merchant, message);
            let response = self.http.post(self.route(path)?).body(message.to_vec()).send().await;
            self.answer(response).await
        })
        .await
    }

    /// The merchant's present certificate.
    ///
    /// # Errors
    /// [`MerchantFault`].
    pub async fn certificate(&self) -> Result<Vec<u8>, MerchantFault> {
        self.repeat(|| async { self.answer(self.http.get(self.route("certificate")?).send().await).await }).await
    }

    async fn repeat<F: Future<Output = Result<Vec<u8>, MerchantFault>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<Vec<u8>, MerchantFault> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match ask().await {
                Err(fault) if fault.is_transient() => tokio::time::sleep(pause).await,
                answer => return answer,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        ask().await
    }

    fn route(&self, path: &str) -> Result<Url, MerchantFault> {
        self.base.join(path).map_err(|_| MerchantFault::Url(path.chars().take(200).collect()))
    }

    async fn answer(&self, response: reqwest::Result<reqwest::Response>) -> Result<Vec<u8>, MerchantFault> {
        let response = response.map_err(|error| MerchantFault::Unreachable(reason(&error)))?;
        let status = response.status();
        let bytes = read_bounded(response).await?;
        self.frames.received(Link::Merchant, &bytes);
        fault_of(status, &bytes).map_or(Ok(bytes), Err)
    }
}

/// What a refusal says; `None` for an answer that is none.
fn fault_of(status: StatusCode, bytes: &[u8]) -> Option<MerchantFault> {
    match MerchantError::decode(bytes) {
        Ok(error) => Some(error.code().map_or_else(MerchantFault::RefusedUnknown, MerchantFault::Refused)),
        Err(_) if status.is_success() => None,
        Err(_) if status == StatusCode::SERVICE_UNAVAILABLE => {
            Some(MerchantFault::Refused(MerchantErrorCode::Overloaded))
        }
        Err(_) => Some(MerchantFault::Status(status.as_u16())),
    }
}

/// Reads no more than a message may have, whatever the merchant announces.
async fn read_bounded(response: reqwest::Response) -> Result<Vec<u8>, MerchantFault> {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| MerchantFault::Unreachable(reason(&error)))?;
        if bytes.len() + piece.len() > MERCHANT_MESSAGE_BYTES_MAX {
            return Err(MerchantFault::TooLong);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The innermost cause: the outer ones repeat the address.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
