//! `init`: from an enrolment bundle to an active instrument (K-05). Whoever is killed on the way runs it again: keys are
//! stored before they are shown to the TPS, and the TPS answers the same keys with the same answer.

use std::path::Path;
use std::time::Duration;

use protocol::codec::{Canonical as _, Fixed as _};
use protocol::customer::payment::PaymentState;
use protocol::customer::purchase::StoredBytes;
use protocol::enrolment::{ActivationAnswer, BundleError, EnrolmentBundle, SignaturePolicy, activate};
use protocol::error::ErrorMessage;
use protocol::frame::MessageType;
use protocol::request::ProcessorKey;
use protocol::response::ResponseError;
use protocol::signature::{CustomerRole, SigningKey};
use zeroize::Zeroizing;

use crate::clock;
use crate::crash;
use crate::error::CtsError;
use crate::frames::{Frames, Link};
use crate::store::{Directory, Enrolment, Keys};
use crate::transport::{ProcessorConnection, ProcessorTarget};

/// How often the TPS is asked while it is busy.
const ATTEMPTS: u32 = 4;
/// The pause before asking again, unless the TPS advises another.
const PAUSE: Duration = Duration::from_millis(300);

/// Activates the instrument of `bundle` with keys made here, in the directory `path`.
///
/// # Errors
/// [`CtsError::Bundle`] for a bundle that is of no use, [`CtsError::AlreadyInitialised`], [`CtsError::OtherInstrument`],
/// [`CtsError::Clear`] where the TPS refuses, [`CtsError::Transport`], [`CtsError::Store`].
pub async fn initialise(path: &Path, bundle: &EnrolmentBundle, frames: &Frames) -> Result<Enrolment, CtsError> {
    let directory = Directory::open(path)?;
    if let Some(enrolment) = directory.enrolment()? {
        return Err(CtsError::AlreadyInitialised(enrolment.instrument));
    }
    let now = clock::now();
    let processor = bundle.open(now)?.session_key(now)?;
    let keys = match directory.keys()? {
        Some(keys) if keys.instrument == bundle.instrument => keys,
        Some(keys) => return Err(CtsError::OtherInstrument(keys.instrument)),
        None => {
            let keys = Keys {
                instrument: bundle.instrument,
                signing_seed: StoredBytes::new(clock::random::<32>().to_vec()),
                device_key: StoredBytes::new(clock::random::<32>().to_vec()),
            };
            directory.store_keys(&keys)?;
            keys
        }
    };
    crash::point("after-keys-stored");

    let target =
        ProcessorTarget { addresses: bundle.processors.clone(), server_certificate: bundle.server_certificate.clone() };
    let connection = ProcessorConnection::connect(&target).await?;
    let (count, policy) = ask(&connection, bundle, &keys, &processor, frames).await?;
    crash::point("after-activation-answer");
    connection.close().await;

    directory.store_key_set(&bundle.key_set)?;
    directory.store_payment_state(&PaymentState::new(count)?)?;
    crash::point("after-payment-state-stored");
    let enrolment = Enrolment {
        realm: bundle.realm,
        processors: bundle.processors.clone(),
        server_certificate: StoredBytes::new(bundle.server_certificate.clone()),
        root: StoredBytes::new(bundle.root.to_vec()),
        instrument: bundle.instrument,
        asset: bundle.asset,
        policy,
        activated_at: now,
    };
    directory.store_enrolment(&enrolment)?;
    Ok(enrolment)
}

async fn ask(
    connection: &ProcessorConnection,
    bundle: &EnrolmentBundle,
    keys: &Keys,
    processor: &ProcessorKey,
    frames: &Frames,
) -> Result<(u64, SignaturePolicy), CtsError> {
    let signing = SigningKey::<CustomerRole>::from_seed(*key_bytes(&keys.signing_seed)?);
    let device = key_bytes(&keys.device_key)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (message, session) = activate(
            bundle.realm,
            bundle.instrument,
            &bundle.activation_code,
            &signing,
            &device,
            processor,
            clock::ephemeral(),
        )?;
        let bytes = message.encode();
        frames.sent(Link::Processor, &bytes);
        let answer = connection.request(&bytes).await;
        crash::point("after-activation-sent");
        let (pause, error) = match answer {
            Ok(answer) => {
                frames.received(Link::Processor, &answer);
                if MessageType::of(&answer) != Ok(MessageType::Error) {
                    let opened = ActivationAnswer::decode(&answer)?.open(&message, &session);
                    return opened
                        .map_err(|_| CtsError::Unresolved { reason: ResponseError::NotAuthentic.to_string() });
                }
                let error = ErrorMessage::decode(&answer)?;
                let pause = PAUSE.max(Duration::from_millis(error.retry_after_ms.into()).min(PAUSE * 10));
                if !error.code().is_transient() {
                    return Err(CtsError::Clear(error.code()));
                }
                (pause, CtsError::Clear(error.code()))
            }
            Err(error) if error.is_transient() => (PAUSE, error.into()),
            Err(error) => return Err(error.into()),
        };
        if attempt >= ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
}

/// A stored key of 32 bytes.
pub(crate) fn key_bytes(stored: &StoredBytes) -> Result<Zeroizing<[u8; 32]>, CtsError> {
    let bytes = <[u8; 32]>::try_from(stored.expose());
    let wrong =
        protocol::codec::DecodeError::Length { what: "stored key", expected: 32, actual: stored.expose().len() };
    bytes.map(Zeroizing::new).map_err(|_| wrong.into())
}

/// Reads a bundle from a file.
///
/// # Errors
/// [`CtsError::File`], [`CtsError::Bundle`].
pub fn read_bundle(path: &Path) -> Result<EnrolmentBundle, CtsError> {
    let bytes = std::fs::read(path).map_err(|source| CtsError::File { path: path.to_owned(), source })?;
    let bytes = Zeroizing::new(bytes);
    Ok(EnrolmentBundle::decode(&bytes).map_err(BundleError::from)?)
}
