//! The service: every step of a purchase as a function from message bytes to message bytes.
//!
//! Each step reads one order, applies one step of [`protocol::order`] and stores the result in one synced transaction before
//! anything is answered. All functions block (files, database): call them from a blocking thread, as [`crate::http`] does.

mod confirming;
mod delivering;
mod paying;
pub mod policy;
mod quoting;
mod renegotiating;

use std::sync::{Arc, RwLock};

use protocol::codec::{Canonical, DecodeError};
use protocol::ids::{Digest, MerchantId, TransactionNumber};
use protocol::limits::QUOTE_LIFETIME_MS;
use protocol::order::{OrderEvent, OrderState, Step};
use protocol::purchase::{MerchantError, MerchantErrorCode};
use protocol::time::{DAY_MS, Timestamp};

pub use delivering::GoodsTransfer;
use policy::RefundPolicy;

use crate::clock;
use crate::goods_file::{GoodsDigests, GoodsFileError};
use crate::home::{CertifiedKey, Home, HomeError};
use crate::proofs::ProofChecker;
use crate::shop::{PaidOrder, Shop};
use crate::store::{Order, OrderTransaction, Store, StoreError};

/// Choices of a merchant.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long quotes stand, in milliseconds.
    pub quote_lifetime_ms: u64,
    /// How long the keys of an order live before a renegotiation is needed, in milliseconds.
    pub goods_key_lifetime_ms: u64,
    /// Which refund requests are granted without asking anybody.
    pub refunds: RefundPolicy,
    /// How long after its expiry an unconfirmed, unpaid quote is kept for a late payment, in milliseconds.
    pub lapsed_retention_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quote_lifetime_ms: QUOTE_LIFETIME_MS,
            goods_key_lifetime_ms: 3 * DAY_MS,
            refunds: RefundPolicy::MANUAL,
            lapsed_retention_ms: 30 * DAY_MS,
        }
    }
}

/// Why a step is refused: the code for the customer, and for the merchant's log what lies behind it.
#[derive(Debug, thiserror::Error)]
#[error("{code:?}: {}", detail.as_deref().unwrap_or("no detail"))]
pub struct Refusal {
    /// What the customer is told.
    pub code: MerchantErrorCode,
    /// What the customer is not told.
    pub detail: Option<String>,
}

impl Refusal {
    fn internal(error: impl std::fmt::Display) -> Self {
        Self { code: MerchantErrorCode::Internal, detail: Some(error.to_string()) }
    }

    fn because(code: MerchantErrorCode, error: impl std::fmt::Display) -> Self {
        Self { code, detail: Some(error.to_string()) }
    }

    /// The error message for the customer.
    pub fn message(&self) -> MerchantError {
        let retry_after_ms = if self.code.is_transient() { 2_000 } else { 0 };
        MerchantError::new(self.code, retry_after_ms)
    }
}

impl From<MerchantErrorCode> for Refusal {
    fn from(code: MerchantErrorCode) -> Self {
        Self { code, detail: None }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::because(MerchantErrorCode::from(&error), error)
    }
}

impl From<GoodsFileError> for Refusal {
    fn from(error: GoodsFileError) -> Self {
        let code = match &error {
            GoodsFileError::Unreadable { .. } => MerchantErrorCode::GoodsUnavailable,
            GoodsFileError::Changed { .. } => MerchantErrorCode::GoodsChanged,
            GoodsFileError::Goods(protocol::goods::GoodsError::NoSuchChunk(_)) => MerchantErrorCode::NoSuchChunk,
            GoodsFileError::Goods(_) => MerchantErrorCode::GoodsUnavailable,
        };
        Self::because(code, error)
    }
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum MerchantOpenError {
    /// The merchant's directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The orders.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keys in use; replaced as a whole when files change.
#[derive(Debug)]
struct Keys {
    certified: Vec<CertifiedKey>,
}

/// One merchant's subsystem. Share it between threads behind an `Arc`; several processes may open one directory.
pub struct Merchant {
    home: Home,
    shop: Arc<dyn Shop>,
    settings: Settings,
    store: Store,
    keys: RwLock<Arc<Keys>>,
    proofs: ProofChecker,
    digests: GoodsDigests,
}

impl std::fmt::Debug for Merchant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merchant").field("home", &self.home).field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Merchant {
    /// Opens keys and orders. Without a valid certificate the service starts, but does not quote (K-06).
    ///
    /// # Errors
    /// [`MerchantOpenError`]: no key set, files that others can read, a damaged or newer store.
    pub fn open(home: Home, shop: Arc<dyn Shop>, settings: Settings) -> Result<Self, MerchantOpenError> {
        let merchant = Self::open_quietly(home, shop, settings)?;
        merchant.announce_paid();
        Ok(merchant)
    }

    /// As [`Self::open`], but tells the shop of no paid orders: for tools that look after orders beside the serving process.
    ///
    /// # Errors
    /// [`MerchantOpenError`].
    pub fn open_quietly(home: Home, shop: Arc<dyn Shop>, settings: Settings) -> Result<Self, MerchantOpenError> {
        let now = clock::now();
        let pinned = home.key_set(now)?;
        let certified = home.certified_keys(&pinned, now)?;
        let store = Store::open(&home.orders_path())?;
        let proofs = ProofChecker::new(pinned);
        let keys = RwLock::new(Arc::new(Keys { certified }));
        Ok(Self { home, shop, settings, store, keys, proofs, digests: GoodsDigests::default() })
    }

    /// The merchant's directory.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The orders.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is sold.
    pub fn shop(&self) -> &dyn Shop {
        &*self.shop
    }

    /// The proof checker.
    pub fn proofs(&self) -> &ProofChecker {
        &self.proofs
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The merchant's id, once it is certified.
    pub fn id(&self) -> Option<MerchantId> {
        self.keys().certified.first().map(|key| key.certificate.merchant())
    }

    /// The certificate to be used now: for customers who come back.
    ///
    /// # Errors
    /// [`MerchantErrorCode::NotCertified`].
    pub fn certificate(&self) -> Result<Vec<u8>, Refusal> {
        let (keys, now) = (self.keys(), clock::now());
        Ok(Self::current(&keys, now)?.certificate.certificate().encode())
    }

    fn current(keys: &Keys, now: Timestamp) -> Result<&CertifiedKey, Refusal> {
        let valid = keys.certified.iter().find(|key| key.certificate.check_validity(now).is_ok());
        valid.ok_or_else(|| MerchantErrorCode::NotCertified.into())
    }

    fn certified(keys: &Keys, certificate: Digest) -> Result<&CertifiedKey, Refusal> {
        let key = keys.certified.iter().find(|key| key.certificate.digest() == certificate);
        key.ok_or_else(|| Refusal::because(MerchantErrorCode::DoesNotOpen, "the certificate's key was destroyed"))
    }

    /// Work to be done now and then, say once a minute: reads changed keys, destroys old ones, forgets lapsed quotes, tells
    /// the shop of paid orders it has not heard of.
    ///
    /// # Errors
    /// [`MerchantOpenError`]; the service goes on with what it had.
    pub fn maintain(&self, now: Timestamp) -> Result<(), MerchantOpenError> {
        let before = Timestamp(now.0.saturating_sub(self.settings.goods_key_lifetime_ms));
        let aged = self.store.with_keys_before(before)?;
        for number in &aged {
            // The step itself happens in `step`, which looks at the age of the keys first.
            self.store
                .change::<_, StoreError>(*number, |open| {
                    self.refresh(open, now);
                    Ok(())
                })
                .map(drop)?;
        }
        let lapsed_before = Timestamp(now.0.saturating_sub(self.settings.lapsed_retention_ms));
        self.store.delete_lapsed(lapsed_before)?;
        if !aged.is_empty() {
            self.store.empty_log()?;
        }
        self.announce_paid();
        let pinned = self.home.key_set(now)?;
        let certified = self.home.certified_keys(&pinned, now)?;
        self.proofs.replace(pinned);
        *self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(Keys { certified });
        Ok(())
    }

    /// What time alone makes of an order.
    fn refresh(&self, open: &mut OrderTransaction<'_>, now: Timestamp) {
        let order = &mut open.order;
        if order.quote.is_expired(now)
            && let Ok(step) = order.state.on(OrderEvent::Expire)
        {
            order.state = step.next;
        }
        let aged = order.keys.as_ref().is_some_and(|keys| now.since(keys.since) >= self.settings.goods_key_lifetime_ms);
        if aged && let Ok(step) = order.state.on(OrderEvent::KeysExpire) {
            order.state = step.next;
            order.keys = None;
            order.acknowledgment = None;
        }
    }

    /// Applies time and then `event` to an order; `apply` carries out the effect before the transaction commits.
    fn step<T>(
        &self,
        number: TransactionNumber,
        now: Timestamp,
        event: impl FnOnce(&mut OrderTransaction<'_>) -> Result<OrderEvent, Refusal>,
        apply: impl FnOnce(&mut OrderTransaction<'_>, Step) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let done = self.store.change(number, |open| {
            self.refresh(open, now);
            let event = event(open)?;
            let step = open.order.state.on(event)?;
            let value = apply(open, step)?;
            open.order.state = step.next;
            Ok(value)
        })?;
        done.unwrap_or_else(|| Err(MerchantErrorCode::UnknownNumber.into()))
    }

    /// Tells the shop of every paid order at least once.
    fn announce_paid(&self) {
        let numbers = match self.store.not_announced() {
            Ok(numbers) => numbers,
            Err(error) => return tracing::error!("cannot look for paid orders: {error}"),
        };
        for number in numbers {
            self.announce(number);
        }
    }

    fn announce(&self, number: TransactionNumber) {
        let told = || -> Result<(), StoreError> {
            let Some(order) = self.store.order(number)? else { return Ok(()) };
            let (Some(payment), Some(paid_at), false) = (order.payment, order.paid_at, order.announced) else {
                return Ok(());
            };
            match order.state {
                // Hard goods without an address cannot be shipped yet: the shop hears of them when somebody has confirmed.
                OrderState::PaidAwaitingConfirmation => return Ok(()),
                // Nothing is delivered while the money may go back, or after it has (K-103).
                OrderState::AwaitingRefundDecision | OrderState::Refunded => return Ok(()),
                _ => {}
            }
            let Order { quote, address, loyalty_id, .. } = order;
            self.shop.paid(&PaidOrder { number, quote, payment, paid_at, address, loyalty_id });
            let told = self.store.change::<_, StoreError>(number, |open| {
                open.order.announced = true;
                Ok(())
            })?;
            told.unwrap_or(Ok(()))
        };
        if let Err(error) = told() {
            tracing::error!(%number, "cannot tell the shop of a paid order: {error}");
        }
    }

    /// Records that hard goods were handed to the carrier.
    ///
    /// # Errors
    /// [`MerchantErrorCode::UnknownNumber`], [`MerchantErrorCode::NotPaid`].
    pub fn dispatched(&self, number: TransactionNumber) -> Result<(), Refusal> {
        let now = clock::now();
        self.step(
            number,
            now,
            |open| {
                if open.order.state.is_paid() {
                    Ok(OrderEvent::Complete)
                } else {
                    Err(MerchantErrorCode::NotPaid.into())
                }
            },
            |open, _| {
                open.order.delivered_at.get_or_insert(now);
                Ok(())
            },
        )
    }
}
