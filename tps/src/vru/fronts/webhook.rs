//! Webhooks in the style of telephony providers: each step of a call is a signed `POST` with the call's name and the digits
//! pressed; the answer is an XML document that says what to say and how to gather the next digits.
//!
//! ```text
//! POST /vru                     CallSid=CA123           a call comes in
//! POST /vru/step?token=...      CallSid=CA123&Digits=1  digits were pressed, or none in time
//! POST /vru/end                 CallSid=CA123           the caller hung up
//! ```
//!
//! The state of a call stays here, and for a bounded number of calls; a step that comes a second time is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::signature::{SIGNATURE_HEADER, WebhookKey};
use super::stopped;
use crate::bounded_listener::BoundedListener;
use crate::vru::call::SILENCE_MS;
use crate::vru::conversation::{CALL_TIME_MAX, Conversation, Turn};
use crate::vru::desk::Desk;
use crate::vru::english;
use crate::vru::prompts::Prompt;

/// Calls at a time.
const CALLS_MAX: usize = 256;
/// Connections at a time: a proxy needs one for each step under way, and no step takes long.
const CONNECTIONS_MAX: usize = 256;
/// A call without a step for this long is forgotten.
const IDLE_TIME_MAX: Duration = Duration::from_secs(90);
/// Longest body.
const BODY_BYTES_MAX: usize = 16 * 1_024;
/// Longest name of a call.
const CALL_NAME_BYTES_MAX: usize = 64;

struct OpenCall {
    conversation: Conversation,
    /// What the URL of the next step must hold.
    token: String,
    times: Times,
}

#[derive(Clone, Copy)]
struct Times {
    begun: Instant,
    last_step: Instant,
}

impl Times {
    /// Whether a call has been silent for too long, or lasts too long.
    fn are_over(self, now: Instant) -> bool {
        now - self.last_step >= IDLE_TIME_MAX || now - self.begun >= CALL_TIME_MAX
    }
}

struct Service {
    key: WebhookKey,
    /// The URL under which the provider calls this, without the path.
    url: String,
    desk: Arc<Desk>,
    calls: Mutex<HashMap<String, OpenCall>>,
}

/// Takes webhooks until `stop` becomes true.
pub(super) async fn run(
    listener: TcpListener,
    key: WebhookKey,
    url: String,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = BoundedListener::new(listener, CONNECTIONS_MAX);
    let service = axum::serve(listener, router(key, url, desk));
    tokio::select! {
        served = service.with_graceful_shutdown({
            let mut stop = stop.clone();
            async move { stopped(&mut stop).await }
        }).into_future() => {
            if let Err(error) = served {
                tracing::error!(%error, "the webhooks of the VRU ended");
            }
        }
        // Connections that stay open do not keep the server from ending.
        () = async { stopped(&mut stop).await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
    }
}

/// The webhooks as a router. `url` is what the provider puts before the path.
pub fn router(key: WebhookKey, url: String, desk: Arc<Desk>) -> Router {
    let url = url.trim_end_matches('/').to_owned();
    let service = Arc::new(Service { key, url, desk, calls: Mutex::default() });
    Router::new()
        .route("/vru", post(begin))
        .route("/vru/step", post(step))
        .route("/vru/end", post(end))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

/// What a provider sends; everything else in the body is ignored.
struct Parameters {
    call: String,
    digits: Zeroizing<String>,
}

impl Service {
    /// The parameters of a request that the provider signed.
    fn authenticated(&self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Parameters, StatusCode> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.key.is_signed(&format!("{}{path}", self.url), body, signature) {
            tracing::warn!("a webhook of the VRU was not signed with the provider's key");
            return Err(StatusCode::FORBIDDEN);
        }
        let (mut call, mut digits) = (None, Zeroizing::new(String::new()));
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "CallSid" => call = Some(value.into_owned()),
                "Digits" => digits = Zeroizing::new(value.into_owned()),
                _ => {}
            }
        }
        let call = call.filter(|call| {
            (1..=CALL_NAME_BYTES_MAX).contains(&call.len()) && call.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        Ok(Parameters { call: call.ok_or(StatusCode::BAD_REQUEST)?, digits })
    }

    /// Keeps the call for its next step, and says what the provider shall do.
    fn answer(&self, call: String, conversation: Conversation, begun: Instant, turn: &Turn) -> Response {
        let mut token = [0; 16];
        let listen = turn.listen.filter(|_| getrandom::fill(&mut token).is_ok());
        let Some(listen) = listen else { return document(hang_up(&turn.say)) };
        let token = hex::encode(token);
        let document = document(gather(&turn.say, listen.keys_max, &format!("{}/vru/step?token={token}", self.url)));
        let open = OpenCall { conversation, token, times: Times { begun, last_step: Instant::now() } };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(call, open);
        document
    }
}

async fn begin(State(service): State<Arc<Service>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let parameters = match service.authenticated(&uri, &headers, &body) {
        Ok(parameters) => parameters,
        Err(status) => return refusal(status),
    };
    {
        let mut calls = service.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        calls.retain(|_, call| !call.times.are_over(now));
        if calls.contains_key(&parameters.call) {
            return refusal(StatusCode::CONFLICT);
        }
        if calls.len() >= CALLS_MAX {
            return document(hang_up(&[Prompt::Busy]));
        }
    }
    let (conversation, turn) = Conversation::answer(Arc::clone(&service.desk), None);
    service.answer(parameters.call, conversation, Instant::now(), &turn)
}

async fn step(State(service): State<Arc<Service>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let parameters = match service.authenticated(&uri, &headers, &body) {
        Ok(parameters) => parameters,
        Err(status) => return refusal(status),
    };
    let Some(keys) = Conversation::parse(&parameters.digits) else { return refusal(StatusCode::BAD_REQUEST) };
    let token = uri.query().and_then(|query| query.strip_prefix("token=")).unwrap_or_default();
    // Out of the table while it is worked on: a second step of the same call finds nothing.
    let open = {
        let mut calls = service.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get(&parameters.call) {
            Some(open) if open.token == token => calls.remove(&parameters.call),
            _ => None,
        }
    };
    let Some(mut open) = open else { return refusal(StatusCode::CONFLICT) };
    if open.times.are_over(Instant::now()) {
        return document(hang_up(&[Prompt::Goodbye]));
    }
    let turn = open.conversation.keys(&keys).await;
    service.answer(parameters.call, open.conversation, open.times.begun, &turn)
}

async fn end(State(service): State<Arc<Service>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    match service.authenticated(&uri, &headers, &body) {
        Ok(parameters) => {
            service.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&parameters.call);
            document(hang_up(&[]))
        }
        Err(status) => refusal(status),
    }
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>";

fn say(prompts: &[Prompt]) -> Zeroizing<String> {
    let texts: Vec<Zeroizing<String>> = prompts.iter().map(|prompt| escaped(&english::text(prompt))).collect();
    let mut verbs = Zeroizing::new(String::with_capacity(texts.iter().map(|text| text.len() + 16).sum()));
    for text in &texts {
        verbs.push_str("<Say>");
        verbs.push_str(text);
        verbs.push_str("</Say>");
    }
    verbs
}

/// Says all of it while the first key is awaited, so that who knows the way need not listen.
fn gather(prompts: &[Prompt], keys_max: u8, action: &str) -> Zeroizing<String> {
    let seconds = SILENCE_MS / 1_000;
    let opening = format!(
        "{HEAD}<Gather input=\"dtmf\" numDigits=\"{keys_max}\" finishOnKey=\"#\" timeout=\"{seconds}\" \
         actionOnEmptyResult=\"true\" method=\"POST\" action=\"{}\">",
        *escaped(action)
    );
    joined(&[&opening, &say(prompts), "</Gather></Response>\n"])
}

fn hang_up(prompts: &[Prompt]) -> Zeroizing<String> {
    joined(&[HEAD, &say(prompts), "<Hangup/></Response>\n"])
}

/// One text, without copies of parts left behind.
fn joined(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| text.push_str(part));
    text
}

fn escaped(text: &str) -> Zeroizing<String> {
    let mut escaped = Zeroizing::new(String::with_capacity(6 * text.len()));
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn document(text: Zeroizing<String>) -> Response {
    let mut response = Response::new(axum::body::Body::from(Bytes::from_owner(text)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refusal(status: StatusCode) -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_after_a_silence_and_after_its_time() {
        let begun = Instant::now();
        let over =
            |last_step: Duration, now: Duration| Times { begun, last_step: begun + last_step }.are_over(begun + now);
        let moment = Duration::from_millis(1);
        assert!(!over(Duration::ZERO, IDLE_TIME_MAX - moment) && over(Duration::ZERO, IDLE_TIME_MAX));
        let late = CALL_TIME_MAX - Duration::from_secs(10);
        assert!(!over(late, CALL_TIME_MAX - moment) && over(late, CALL_TIME_MAX));
    }
}
