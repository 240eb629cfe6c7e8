//! The long-lived handle of one instrument: holds the PIN in memory, queues payments, and runs purchases side by side.
//!
//! A [`Wallet`] can be cloned. Payments go strictly one after the other (K-60); everything else of any number of purchases
//! runs concurrently. Every method may be dropped or killed at any point and called again.

mod purchasing;
mod quoting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::customer::payment::{PaymentState, Pending, Standing};
use protocol::ids::InstrumentId;
use protocol::key_set::PinnedKeySet;
use protocol::limits::MERCHANT_MESSAGE_BYTES_MAX;
use protocol::money::{Amount, Asset};
use protocol::pin::Pin;
use protocol::quote::Quote;
use protocol::request::InstrumentKeys;
use protocol::signature::SigningKey;

pub use purchasing::{BuyOptions, Progress, Receipt, Watch};
pub use quoting::Quoted;

use crate::clock;
use crate::enrol::key_bytes;
use crate::error::CtsError;
use crate::frames::Frames;
use crate::key_set::{KeySets, Pins};
use crate::payer::{Patience, Payer};
use crate::skew::{ClockSkew, WallClock};
use crate::store::{Directory, Enrolment, Outcome, PurchaseRecord, StoreError};
use crate::transport::{ProcessorConnection, ProcessorTarget};

/// Choices of whoever opens a wallet.
#[derive(Clone, Debug, Default)]
pub struct WalletSettings {
    /// How patiently the TPS is asked.
    pub patience: Patience,
    /// Shows every message.
    pub frames: Frames,
    /// This machine's clock.
    pub wall_clock: WallClock,
}

/// A handle on one instrument; clones share it. While it lives no other process can use the instrument.
#[derive(Clone)]
pub struct Wallet(Arc<Inner>);

struct Inner {
    directory: Arc<Directory>,
    enrolment: Enrolment,
    payer: Payer,
    frames: Frames,
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wallet({:?})", self.0.directory.path())
    }
}

/// How an instrument stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// The instrument.
    pub instrument: InstrumentId,
    /// What the account holds.
    pub asset: Asset,
    /// Decimal places of the asset.
    pub exponent: u8,
    /// Whether it may pay.
    pub standing: Standing,
    /// The count of the next transaction.
    pub next_count: u64,
    /// The payment that is open, if any.
    pub pending: Option<Pending>,
    /// Balance after the latest transaction that told it, in smallest units.
    pub balance: Option<i128>,
    /// Purchases that wait for something.
    pub open_purchases: usize,
    /// How far this machine's clock was off when the TPS answered last, if it ever was.
    pub clock_skew: Option<ClockSkew>,
}

fn status(
    directory: &Directory,
    enrolment: &Enrolment,
    state: &PaymentState,
    exponent: u8,
) -> Result<Status, CtsError> {
    let outcomes = directory.outcomes()?;
    let balance = outcomes.iter().rev().find_map(|outcome| match &outcome.kind {
        crate::store::OutcomeKind::Decided { resolution, .. } => Some(resolution.balance),
        _ => None,
    });
    let open_purchases = directory.purchases()?.iter().filter(|record| !record.purchase.state().is_final()).count();
    Ok(Status {
        instrument: enrolment.instrument,
        asset: enrolment.asset,
        exponent,
        standing: state.standing(),
        next_count: state.next_count(),
        pending: state.pending().copied(),
        balance,
        open_purchases,
        clock_skew: directory.clock_skew()?,
    })
}

/// Looks at an instrument without using it, beside whoever does.
///
/// # Errors
/// [`CtsError::Store`].
pub fn look(path: &Path) -> Result<(Status, Vec<Outcome>, Vec<PurchaseRecord>), CtsError> {
    let directory = Directory::look(path)?;
    let enrolment = directory.enrolment()?.ok_or_else(|| StoreError::NotInitialised(path.to_owned()))?;
    // A damaged key set must not keep anybody from looking.
    let pinned = Pins::of(&enrolment).and_then(|pins| pins.pinned(&directory)).ok();
    let exponent = pinned.and_then(|set| set.asset_exponent(enrolment.asset)).unwrap_or(0);
    let status = status(&directory, &enrolment, &directory.payment_state()?, exponent)?;
    Ok((status, directory.outcomes()?, directory.purchases()?))
}

impl Wallet {
    /// Opens the instrument in `path`. Connects to nobody yet: a key set that is outdated is refreshed when it is needed.
    ///
    /// # Errors
    /// [`CtsError::Store`] for a directory that is missing, in use, readable by others or damaged; [`CtsError::KeySet`] for
    /// a key set that the pinned root did not sign.
    pub fn open(path: &Path, settings: WalletSettings) -> Result<Self, CtsError> {
        // Looking first leaves no empty directory behind where there is no instrument.
        Directory::look(path)?;
        let directory = Arc::new(Directory::open(path)?);
        let missing = || StoreError::NotInitialised(path.to_owned());
        let enrolment = directory.enrolment()?.ok_or_else(missing)?;
        let stored = directory.keys()?.ok_or_else(missing)?;
        let keys = InstrumentKeys {
            instrument: enrolment.instrument,
            signing: Some(SigningKey::from_seed(*key_bytes(&stored.signing_seed)?)),
            device: key_bytes(&stored.device_key)?,
        };
        let target = ProcessorTarget {
            addresses: enrolment.processors.clone(),
            server_certificate: enrolment.server_certificate.expose().to_vec(),
        };
        let connection = ProcessorConnection::new(&target)?;
        let WalletSettings { patience, frames, wall_clock } = settings;
        let key_sets = KeySets::open(&enrolment, Arc::clone(&directory), connection.clone(), frames.clone())?;
        let key_sets = Arc::new(key_sets);
        let payer =
            Payer::new(Arc::clone(&directory), keys, connection, key_sets, frames.clone(), patience, wall_clock)?;
        Ok(Self(Arc::new(Inner { directory, enrolment, payer, frames })))
    }

    /// Holds the PIN in zeroising memory until it is replaced, found wrong, or the last clone is dropped.
    pub fn enter_pin(&self, pin: Pin) {
        self.0.payer.hold_pin(Some(pin));
    }

    /// Overwrites the PIN that is held.
    pub fn forget_pin(&self) {
        self.0.payer.hold_pin(None);
    }

    /// How the instrument stands.
    ///
    /// # Errors
    /// [`CtsError::Store`].
    pub async fn status(&self) -> Result<Status, CtsError> {
        let exponent = self.exponent(self.0.enrolment.asset)?;
        status(&self.0.directory, &self.0.enrolment, &self.0.payer.state().await, exponent)
    }

    fn exponent(&self, asset: Asset) -> Result<u8, CtsError> {
        self.0.payer.key_sets.current().asset_exponent(asset).ok_or(CtsError::UnknownAsset)
    }

    /// Reads an amount such as `0.05` of the account's asset.
    ///
    /// # Errors
    /// [`CtsError::Money`].
    pub fn amount(&self, text: &str) -> Result<Amount, CtsError> {
        let asset = self.0.enrolment.asset;
        Ok(protocol::money::parse(text, asset, self.exponent(asset)?)?)
    }

    /// How far this machine's clock is off, as the TPS's last answer told; `None` where it never told.
    pub fn clock_skew(&self) -> Option<ClockSkew> {
        self.0.payer.clock.skew()
    }

    /// A bare request-for-payment: pays the quote, whoever asked for it (K-83). Paying the same offer again pays a second
    /// time; asking again after [`CtsError::Unresolved`] or [`CtsError::WrongPin`] does not: see [`Self::settle`].
    ///
    /// # Errors
    /// [`CtsError`]; [`CtsError::Unresolved`] where the outcome must be asked for.
    pub async fn pay(&self, quoted: &Quoted) -> Result<Outcome, CtsError> {
        // The same quote that is still open is the same payment.
        let open = self.0.payer.state().await.pending().copied();
        let same = open.filter(|pending| pending.content.quote_digest == quoted.offer.quote_digest());
        let content = match same {
            Some(pending) => pending.content,
            None => protocol::customer::purchase::content_of(
                quoted.quote(),
                clock::modifier_part(),
                self.0.payer.clock.now_for(quoted.supposed),
            )?,
        };
        self.0.payer.pay(&content).await
    }

    /// The proven payment of this quote by this instrument, if there is one: for whoever was killed before it kept the proof
    /// and must not pay a second time.
    ///
    /// # Errors
    /// [`CtsError::Store`].
    pub fn paid_before(&self, quoted: &Quoted) -> Result<Option<Outcome>, CtsError> {
        let digest = quoted.offer.quote_digest();
        let outcomes = self.0.directory.outcomes()?;
        Ok(outcomes
            .into_iter()
            .find(|outcome| outcome.content.quote_digest == digest && outcome.is_paid() == Some(true)))
    }

    /// Asks for the outcome of the payment that is open, if one is.
    ///
    /// # Errors
    /// [`CtsError`].
    pub async fn settle(&self) -> Result<Option<Outcome>, CtsError> {
        self.0.payer.settle().await
    }

    /// Gives up the payment that is open; only after the TPS has said that nothing was paid.
    ///
    /// # Errors
    /// [`CtsError::Payment`].
    pub async fn abandon(&self) -> Result<(), CtsError> {
        self.0.payer.change(PaymentState::abandon).await.map(|_| ())
    }

    /// Enters a new PIN that was set through the second channel: the modifier is zero from now on (K-120).
    ///
    /// # Errors
    /// [`CtsError::Store`].
    pub async fn new_pin(&self, pin: Pin) -> Result<Standing, CtsError> {
        let changed = self.0.payer.change(|state| {
            state.new_pin();
            Ok(protocol::customer::payment::PaymentEffect::Nothing)
        });
        let standing = changed.await?.standing();
        self.0.payer.hold_pin(Some(pin));
        Ok(standing)
    }

    /// Enters by hand the count of the last transaction, as the second channel tells it (K-124).
    ///
    /// # Errors
    /// [`CtsError::Payment`], [`CtsError::Store`].
    pub async fn resync(&self, last_count: u64) -> Result<Standing, CtsError> {
        Ok(self.0.payer.change(|state| state.resync(last_count)).await?.standing())
    }

    /// Pins a newer key set, signed by the root that came with the bundle.
    ///
    /// # Errors
    /// [`CtsError::Decode`], [`CtsError::KeySet`].
    pub fn import_key_set(&self, bytes: &[u8]) -> Result<u64, CtsError> {
        Ok(self.0.payer.key_sets.import(bytes)?.number())
    }

    /// The pinned key set; it may be outdated.
    pub fn key_set(&self) -> PinnedKeySet {
        self.0.payer.key_sets.current()
    }

    /// Fetches the newest key set from the TPS and pins it. Payments do so by themselves when it is due.
    ///
    /// # Errors
    /// [`CtsError::Transport`], [`CtsError::Clear`] where the TPS gives none, [`CtsError::Decode`], [`CtsError::KeySet`] for
    /// one that must not take the place of the pinned one, [`CtsError::Store`]. The pinned one stays then.
    pub async fn refresh_key_set(&self) -> Result<PinnedKeySet, CtsError> {
        self.0.payer.key_sets.refresh().await
    }

    /// Says goodbye to the TPS.
    pub async fn close(&self) {
        self.0.payer.connection.close().await;
    }
}

/// The key set that is pinned in the directory `path`; it may be outdated.
///
/// # Errors
/// [`CtsError::Store`], [`CtsError::Decode`], [`CtsError::KeySet`].
pub fn pinned_key_set(path: &Path) -> Result<PinnedKeySet, CtsError> {
    let directory = Directory::look(path)?;
    let enrolment = directory.enrolment()?.ok_or_else(|| StoreError::NotInitialised(path.to_owned()))?;
    Pins::of(&enrolment)?.pinned(&directory)
}

/// Pins a newer key set from a file, without opening the wallet.
///
/// # Errors
/// [`CtsError::Store`], [`CtsError::Decode`], [`CtsError::KeySet`].
pub fn import_key_set(path: &Path, bytes: &[u8]) -> Result<u64, CtsError> {
    Directory::look(path)?;
    let directory = Directory::open(path)?;
    let enrolment = directory.enrolment()?.ok_or_else(|| StoreError::NotInitialised(path.to_owned()))?;
    let pins = Pins::of(&enrolment)?;
    let current = pins.pinned(&directory).ok();
    Ok(pins.replace(&directory, current.as_ref(), bytes)?.number())
}

/// Reads a file that holds one message, within the bound of messages.
///
/// # Errors
/// [`CtsError::File`], [`CtsError::Decode`].
pub fn read_message_file(path: &Path) -> Result<Vec<u8>, CtsError> {
    let bytes = std::fs::read(path).map_err(|source| CtsError::File { path: path.to_owned(), source })?;
    if bytes.len() > MERCHANT_MESSAGE_BYTES_MAX {
        let (expected, actual) = (MERCHANT_MESSAGE_BYTES_MAX, bytes.len());
        return Err(protocol::codec::DecodeError::Length { what: "file", expected, actual }.into());
    }
    Ok(bytes)
}

/// Where digital goods go unless the caller says otherwise: the code of the item, as a harmless file name.
pub fn default_output(quote: &Quote) -> PathBuf {
    let code = match &quote.items[..] {
        [item] => item.code.as_str(),
        _ => "",
    };
    let last = code.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = last
        .chars()
        .map(|letter| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '_' })
        .collect();
    let safe = safe.trim_start_matches('.');
    PathBuf::from(if safe.is_empty() { format!("{}.goods", quote.number) } else { safe.to_owned() })
}
