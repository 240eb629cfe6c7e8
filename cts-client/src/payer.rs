//! Payments of one instrument, one after the other (K-60): stored, sealed, sent, answered, stored.
//!
//! ```text
//! pay(content) -> [queue] -> finish what is open -> begin + store -> attempt + store -> seal -> send
//!              -> open answer -> store outcome -> store state
//! ```
//!
//! The outcome is stored before the state forgets the request: whoever is killed in between asks again under the same count
//! and gets the same outcome.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::codec::Fixed as _;
use protocol::customer::payment::{Attempt, PaymentEffect, PaymentRefused, PaymentState, Resolution};
use protocol::customer::purchase::StoredBytes;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::MessageType;
use protocol::ids::KeyId;
use protocol::pin::Pin;
use protocol::proof::Proof;
use protocol::request::{Content, InstrumentKeys, seal};
use protocol::response;
use protocol::time::Timestamp;

use crate::clock;
use crate::crash;
use crate::error::CtsError;
use crate::frames::{Frames, Link};
use crate::key_set::KeySets;
use crate::skew::{Clock, WallClock};
use crate::store::{Directory, Outcome, OutcomeKind};
use crate::transport::{ProcessorConnection, REQUEST_TIMEOUT};

/// The first pause before asking again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before asking again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How patiently the TPS is asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts per call, at least 1; the payment stays open after the last.
    pub attempts: u32,
    /// How long one attempt waits for its answer.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 4, timeout: REQUEST_TIMEOUT }
    }
}

/// What one sending brought.
enum Answered {
    Outcome(Box<Outcome>),
    AskAgain { reason: String, pause: Option<Duration> },
}

pub(crate) struct Payer {
    pub(crate) directory: Arc<Directory>,
    pub(crate) keys: InstrumentKeys,
    pub(crate) connection: ProcessorConnection,
    pub(crate) frames: Frames,
    pub(crate) patience: Patience,
    pub(crate) key_sets: Arc<KeySets>,
    pub(crate) clock: Clock,
    pin: Mutex<Option<Pin>>,
    /// The queue: whoever holds it pays. Fair, first come, first served.
    state: tokio::sync::Mutex<PaymentState>,
}

impl Payer {
    pub(crate) fn new(
        directory: Arc<Directory>,
        keys: InstrumentKeys,
        connection: ProcessorConnection,
        key_sets: Arc<KeySets>,
        frames: Frames,
        patience: Patience,
        wall: WallClock,
    ) -> Result<Self, CtsError> {
        let state = tokio::sync::Mutex::new(directory.payment_state()?);
        let clock = Clock::new(wall, directory.clock_skew()?);
        let pin = Mutex::new(None);
        Ok(Self { directory, keys, connection, frames, patience, key_sets, clock, pin, state })
    }

    /// Holds a PIN in memory, or forgets the one held; what is replaced is overwritten.
    pub(crate) fn hold_pin(&self, pin: Option<Pin>) {
        *self.pin.lock().unwrap_or_else(PoisonError::into_inner) = pin;
    }

    /// The PIN that is held.
    pub(crate) fn pin(&self) -> Result<Pin, CtsError> {
        self.pin.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(CtsError::PinNeeded)
    }

    /// Changes the payment state by hand: a new PIN, a count, giving up. What is dropped is recorded first.
    pub(crate) async fn change(
        &self,
        change: impl FnOnce(&mut PaymentState) -> Result<PaymentEffect, PaymentRefused>,
    ) -> Result<PaymentState, CtsError> {
        let mut state = self.state.lock().await;
        let mut next = state.clone();
        if let PaymentEffect::Dropped { pending, maybe_paid } = change(&mut next)? {
            let kind = if maybe_paid { OutcomeKind::Unknown } else { OutcomeKind::GivenUp };
            let outcome = Outcome { at: clock::now(), count: pending.count, content: pending.content, kind };
            self.directory.store_outcome(&outcome)?;
        }
        self.keep(&mut state, next)?;
        Ok(state.clone())
    }

    fn keep(&self, state: &mut PaymentState, next: PaymentState) -> Result<(), CtsError> {
        self.directory.store_payment_state(&next)?;
        *state = next;
        Ok(())
    }

    /// Pays `content` once, however often this is called for it.
    pub(crate) async fn pay(&self, content: &Content) -> Result<Outcome, CtsError> {
        self.key_sets.beside(self.pay_alone(content)).await
    }

    async fn pay_alone(&self, content: &Content) -> Result<Outcome, CtsError> {
        let mut state = self.state.lock().await;
        if let Some(outcome) = self.directory.outcome(content)? {
            // Killed between outcome and state, the state still has the request open: the next payment asks again first.
            return Ok(outcome);
        }
        self.pin()?;
        if state.pending().is_some_and(|pending| pending.content != *content) {
            self.finish_open(&mut state).await?;
        }
        if state.pending().is_none() {
            // What can fail beforehand fails before anything is begun.
            state.may_pay()?;
            self.key_sets.ensure_usable().await;
            self.key_sets.current().session_key(clock::now())?;
            self.connection.ready().await?;
            let mut next = state.clone();
            next.begin(*content)?;
            self.keep(&mut state, next)?;
            crash::point("after-pending-stored");
        }
        self.finish_open(&mut state).await
    }

    /// Asks for the outcome of whatever is open; `None` where nothing is.
    pub(crate) async fn settle(&self) -> Result<Option<Outcome>, CtsError> {
        let mut state = self.state.lock().await;
        if state.pending().is_none() {
            return Ok(None);
        }
        self.finish_open(&mut state).await.map(Some)
    }

    async fn finish_open(&self, state: &mut PaymentState) -> Result<Outcome, CtsError> {
        self.key_sets.ensure_usable().await;
        let mut pause = FIRST_PAUSE;
        let mut reason = String::new();
        for attempt in 0..self.patience.attempts.max(1) {
            if attempt > 0 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            match self.ask(state).await? {
                Answered::Outcome(outcome) => return Ok(*outcome),
                Answered::AskAgain { reason: why, pause: advised } => {
                    reason = why;
                    pause = advised.map_or(pause, |advised| advised.min(PAUSE_MAX));
                }
            }
        }
        Err(CtsError::Unresolved { reason })
    }

    async fn ask(&self, state: &mut PaymentState) -> Result<Answered, CtsError> {
        let pin = self.pin()?;
        let processor = self
            .key_sets
            .current()
            .session_key(clock::now())
            .map_err(|error| CtsError::Unresolved { reason: error.to_string() })?;
        // An answer to an earlier attempt may be told again later, with the time it was made.
        let is_first = state.pending().is_some_and(|pending| pending.attempts_unanswered == 0);
        let mut next = state.clone();
        let attempt = next.about_to_send()?;
        self.keep(state, next)?;
        crash::point("after-attempt-stored");

        let modified = pin.modified(state.modifier());
        let request = seal(attempt.content(), attempt.count(), &self.keys, modified, &processor, clock::ephemeral())?;
        self.frames.sent(Link::Processor, &request.bytes);
        let sent_at = self.clock.wall();
        let answer = self.connection.request_within(&request.bytes, self.patience.timeout).await;
        crash::point("after-request-sent");
        let again = |reason: String, pause| Ok(Answered::AskAgain { reason, pause });
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return again(error.to_string(), None),
        };
        self.frames.received(Link::Processor, &answer);
        if MessageType::of(&answer) == Ok(MessageType::Error) {
            return match ErrorMessage::decode(&answer) {
                Ok(error) if error.code().is_transient() => again(
                    error.code().to_string(),
                    Some(Duration::from_millis(error.retry_after_ms.into())).filter(|pause| !pause.is_zero()),
                ),
                Ok(error) if error.code() == ErrorCode::UnknownKey => self.after_unknown_key(processor.id).await,
                Ok(error) => Err(CtsError::Unresolved { reason: error.code().to_string() }),
                Err(error) => again(error.to_string(), None),
            };
        }
        let opened = match response::open(&answer, &request.hash, &request.session) {
            Ok(opened) => opened,
            Err(error) => return again(error.to_string(), None),
        };
        crash::point("after-answer-before-store");
        let told = Proof::decode(&opened.proof_bytes).map(|proof| proof.statement.batch_time);
        let taken = self.take(state, attempt, opened);
        if is_first && let Ok(told) = told {
            self.learn_time(told, sent_at)?;
        }
        taken
    }

    /// Compares the TPS's time with this machine's, and keeps the difference for later payments.
    fn learn_time(&self, told: Timestamp, sent_at: Timestamp) -> Result<(), CtsError> {
        if let Some(skew) = self.clock.learn(told, sent_at) {
            self.directory.store_clock_skew(&skew)?;
            if skew.is_to_be_told() {
                tracing::warn!("{skew}: set it");
            }
        }
        Ok(())
    }

    /// The TPS no longer holds the session key `used`: nothing was looked at, so the same content is sealed again for the
    /// key of a newer set.
    async fn after_unknown_key(&self, used: KeyId) -> Result<Answered, CtsError> {
        let unknown = ErrorCode::UnknownKey.to_string();
        if let Err(error) = self.key_sets.refresh().await {
            return Err(CtsError::Unresolved { reason: format!("{unknown}; that failed: {error}") });
        }
        match self.key_sets.current().session_key(clock::now()) {
            Ok(newer) if newer.id != used => Ok(Answered::AskAgain { reason: unknown, pause: Some(Duration::ZERO) }),
            _ => Err(CtsError::Unresolved { reason: format!("{unknown}; the newest one has no other key") }),
        }
    }

    fn take(
        &self,
        state: &mut PaymentState,
        attempt: Attempt,
        opened: response::OpenedResponse,
    ) -> Result<Answered, CtsError> {
        let mut next = state.clone();
        let effect = match next.answered(attempt, &opened) {
            Ok(effect) => effect,
            Err(error) => return Err(CtsError::Unresolved { reason: error.to_string() }),
        };
        if let PaymentEffect::Resolved(resolution) = effect {
            let outcome = decided(resolution, opened.proof_bytes);
            self.directory.store_outcome(&outcome)?;
            crash::point("after-outcome-stored");
            self.keep(state, next)?;
            crash::point("after-answer-stored");
            return Ok(Answered::Outcome(Box::new(outcome)));
        }
        self.keep(state, next)?;
        match effect {
            PaymentEffect::TypePinAgain => {
                // An agent that repeats a wrong PIN would lock its own instrument.
                self.hold_pin(None);
                Err(CtsError::WrongPin)
            }
            PaymentEffect::NewPinNeeded => {
                self.hold_pin(None);
                Err(PaymentRefused::NewPinNeeded.into())
            }
            PaymentEffect::Breach => {
                tracing::warn!("a copy of this instrument may be in use");
                Err(PaymentRefused::Breached(state.standing()).into())
            }
            PaymentEffect::SendAgain => {
                Ok(Answered::AskAgain { reason: "the count was corrected".to_owned(), pause: Some(Duration::ZERO) })
            }
            _ => Ok(Answered::AskAgain { reason: "the answer was to an earlier request".to_owned(), pause: None }),
        }
    }

    pub(crate) async fn state(&self) -> PaymentState {
        self.state.lock().await.clone()
    }
}

fn decided(resolution: Resolution, proof: Vec<u8>) -> Outcome {
    let kind = OutcomeKind::Decided { resolution, proof: StoredBytes::new(proof) };
    Outcome { at: clock::now(), count: resolution.count, content: resolution.content, kind }
}
