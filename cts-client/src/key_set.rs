//! The pinned key set: what may take its place, and how a newer one is fetched from the TPS (`docs/protocol.md` section 10).
//!
//! A set that is merely ageing is refreshed beside a payment, never before it: paying stays one round trip.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::codec::{Canonical as _, DecodeError, Fixed as _};
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::MessageType;
use protocol::ids::RealmId;
use protocol::key_set::refresh::{KeySetPart, KeySetParts};
use protocol::key_set::{Audience, PinnedKeySet, SignedKeySet};

use crate::clock;
use crate::enrol::key_bytes;
use crate::error::CtsError;
use crate::frames::{Frames, Link};
use crate::store::{Directory, Enrolment};
use crate::transport::{ProcessorConnection, REQUEST_TIMEOUT, TransportError};

/// How often the TPS is asked while it is busy, or while the set changes between two parts.
const ATTEMPTS: u32 = 3;
/// The longest pause that the TPS may advise between two of them.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// An ageing set is asked for once in this time: the TPS may have no newer one.
const AGEING_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long a payment that is done waits for the refresh that ran beside it.
const GRACE: Duration = Duration::from_secs(1);

/// What a key set must agree with.
pub(crate) struct Pins {
    root: [u8; 32],
    realm: RealmId,
}

impl Pins {
    /// What came with the enrolment bundle.
    pub(crate) fn of(enrolment: &Enrolment) -> Result<Self, CtsError> {
        Ok(Self { root: *key_bytes(&enrolment.root)?, realm: enrolment.realm })
    }

    /// The set that is pinned in `directory`. It may be too old by now: whoever uses it asks it again.
    pub(crate) fn pinned(&self, directory: &Directory) -> Result<PinnedKeySet, CtsError> {
        let set = SignedKeySet::decode(&directory.key_set()?)?;
        Ok(set.verify(&self.root, Some(self.realm), Audience::Customer, set.claimed_issue_time(), 0)?)
    }

    /// Pins another set instead of `current`: signed by the same root for the same realm, with a number that is not lower,
    /// and not too old.
    pub(crate) fn replace(
        &self,
        directory: &Directory,
        current: Option<&PinnedKeySet>,
        bytes: &[u8],
    ) -> Result<PinnedKeySet, CtsError> {
        let number_min = current.map_or(0, PinnedKeySet::number);
        let set = SignedKeySet::decode(bytes)?;
        let set = set.verify(&self.root, Some(self.realm), Audience::Customer, clock::now(), number_min)?;
        if current != Some(&set) {
            directory.store_key_set(bytes)?;
        }
        Ok(set)
    }
}

/// The pinned key set of a wallet that is open.
pub(crate) struct KeySets {
    pins: Pins,
    directory: Arc<Directory>,
    connection: ProcessorConnection,
    frames: Frames,
    current: Mutex<PinnedKeySet>,
    /// When the TPS was last asked; held while it is asked.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl KeySets {
    pub(crate) fn open(
        enrolment: &Enrolment,
        directory: Arc<Directory>,
        connection: ProcessorConnection,
        frames: Frames,
    ) -> Result<Self, CtsError> {
        let pins = Pins::of(enrolment)?;
        let current = Mutex::new(pins.pinned(&directory)?);
        Ok(Self { pins, directory, connection, frames, current, asked: tokio::sync::Mutex::default() })
    }

    pub(crate) fn current(&self) -> PinnedKeySet {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pins a newer set from wherever it came.
    pub(crate) fn import(&self, bytes: &[u8]) -> Result<PinnedKeySet, CtsError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = self.pins.replace(&self.directory, Some(&current), bytes)?;
        Ok(current.clone())
    }

    /// Fetches the newest set from the TPS and pins it.
    pub(crate) async fn refresh(&self) -> Result<PinnedKeySet, CtsError> {
        let mut asked = self.asked.lock().await;
        *asked = Some(Instant::now());
        let bytes = fetch(&self.connection, &self.frames).await?;
        self.import(&bytes)
    }

    /// Fetches a newer set where no session key of the pinned one can be used any more. Where none comes, whoever uses the
    /// pinned one is told what is wrong with it.
    pub(crate) async fn ensure_usable(&self) {
        if self.current().session_key(clock::now()).is_err()
            && let Err(error) = self.refresh().await
        {
            tracing::warn!("the outdated key set cannot be refreshed: {error}");
        }
    }

    /// Runs `payment`, and beside it fetches a newer set where the pinned one is ageing.
    pub(crate) async fn beside<T>(self: &Arc<Self>, payment: impl Future<Output = T>) -> T {
        if !self.is_due() {
            return payment.await;
        }
        let key_sets = Arc::clone(self);
        let mut refreshing = tokio::spawn(async move {
            if let Err(error) = key_sets.refresh().await {
                tracing::info!("the ageing key set was not refreshed: {error}");
            }
        });
        let outcome = payment.await;
        if tokio::time::timeout(GRACE, &mut refreshing).await.is_err() {
            refreshing.abort();
        }
        outcome
    }

    fn is_due(&self) -> bool {
        // While somebody asks, no payment waits for the answer.
        let Ok(asked) = self.asked.try_lock() else { return false };
        self.current().is_ageing(clock::now()) && asked.is_none_or(|asked| asked.elapsed() >= AGEING_INTERVAL)
    }
}

/// The newest set as the TPS gives it; nothing is believed yet.
async fn fetch(connection: &ProcessorConnection, frames: &Frames) -> Result<Vec<u8>, CtsError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match fetch_once(connection, frames).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        let pause = match &error {
            Fault::Busy(_, pause) => *pause,
            // The set was replaced between two parts.
            Fault::Other(CtsError::Decode(DecodeError::Field { field: "part", .. })) => Duration::ZERO,
            Fault::Other(_) => return Err(error.into()),
        };
        if attempt >= ATTEMPTS {
            return Err(error.into());
        }
        tokio::time::sleep(pause.min(PAUSE_MAX)).await;
    }
}

/// Why no set came.
enum Fault {
    Busy(ErrorCode, Duration),
    Other(CtsError),
}

impl From<Fault> for CtsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Busy(code, _) => Self::Clear(code),
            Fault::Other(error) => error,
        }
    }
}

impl From<TransportError> for Fault {
    fn from(error: TransportError) -> Self {
        Self::Other(error.into())
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Other(error.into())
    }
}

async fn fetch_once(connection: &ProcessorConnection, frames: &Frames) -> Result<Vec<u8>, Fault> {
    let mut parts = KeySetParts::default();
    loop {
        let request = parts.next().encode();
        frames.sent(Link::Processor, &request);
        let answer = connection.request_within(&request, REQUEST_TIMEOUT).await?;
        frames.received(Link::Processor, &answer);
        if MessageType::of(&answer) == Ok(MessageType::Error) {
            let error = ErrorMessage::decode(&answer)?;
            let (code, pause) = (error.code(), Duration::from_millis(error.retry_after_ms.into()));
            let transient = code.is_transient();
            return Err(if transient { Fault::Busy(code, pause) } else { Fault::Other(CtsError::Clear(code)) });
        }
        if let Some(set) = parts.take(KeySetPart::decode(&answer)?)? {
            return Ok(set);
        }
    }
}
