//! Everything that can stop the customer, each with what to do about it.

use protocol::certificate::CertificateError;
use protocol::codec::DecodeError;
use protocol::customer::payment::PaymentRefused;
use protocol::customer::purchase::PurchaseError;
use protocol::enrolment::BundleError;
use protocol::error::ErrorCode;
use protocol::ids::{InstrumentId, TransactionNumber};
use protocol::key_set::KeySetError;
use protocol::money::{Amount, MoneyError};
use protocol::purchase::OfferError;
use protocol::session::NoSharedSecret;

use crate::merchant::MerchantFault;
use crate::store::StoreError;
use crate::transport::TransportError;

/// Why the customer's side stops.
#[derive(Debug, thiserror::Error)]
pub enum CtsError {
    /// The directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The way to the TPS, before anything was begun.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The way to the merchant, or the merchant itself.
    #[error(transparent)]
    Merchant(#[from] MerchantFault),
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The pinned key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The offer is not to be shown.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// A message or file of another form.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The purchase takes no such step.
    #[error(transparent)]
    Purchase(#[from] PurchaseError),
    /// The payment state refuses.
    #[error(transparent)]
    Payment(#[from] PaymentRefused),
    /// An amount.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// The TPS's pinned key.
    #[error("the TPS's pinned session key is unusable: {0}")]
    Key(#[from] NoSharedSecret),
    /// The TPS did not look at the activation.
    #[error("{0}")]
    Clear(ErrorCode),
    /// Activated already.
    #[error("this directory holds the active instrument {0} already: use another directory for another instrument")]
    AlreadyInitialised(InstrumentId),
    /// An earlier activation was not finished.
    #[error(
        "this directory was begun for instrument {0} and not finished: run init again with that bundle, or use another directory"
    )]
    OtherInstrument(InstrumentId),
    /// No PIN is held.
    #[error("the PIN is needed for every payment and is stored nowhere: type it, or hand it over with --pin-fd")]
    PinNeeded,
    /// The TPS did not accept it.
    #[error(
        "the PIN was wrong, or the TPS does not accept this instrument; after five failures a new PIN is needed. The payment stays open: ask again with the right PIN"
    )]
    WrongPin,
    /// More than the caller permits.
    #[error("the total of {total} is above the maximum of {maximum} units: nothing was confirmed or paid")]
    AboveMaximum {
        /// What the merchant asks.
        total: u64,
        /// What the caller permits.
        maximum: u64,
    },
    /// Not in the registry.
    #[error("the asset of this quote is not in the TPS's registry: do not pay it")]
    UnknownAsset,
    /// The outcome is not known: it must be asked for.
    #[error(
        "the outcome of the payment is not known: {reason}. It is stored under its count and can be paid once at most: ask again (`cts resume`, or the same command)"
    )]
    Unresolved {
        /// Why the last attempt brought nothing.
        reason: String,
    },
    /// Dropped in a breach.
    #[error(
        "whether this was paid is not known here, because a copy of the instrument was in use: ask through the second channel"
    )]
    OutcomeUnknown,
    /// Paid, and the goods are not here.
    #[error("order {number} is paid, but not delivered: {cause}. Nothing is lost: run `cts recover {number}`")]
    PaidNotDelivered {
        /// The order.
        number: TransactionNumber,
        /// What stopped it.
        #[source]
        cause: Box<CtsError>,
    },
    /// Confirmed before: what is stored of it is all that can get its goods.
    #[error(
        "order {0} was confirmed before from this directory: go on with it (`cts resume`, `cts recover {0}`), or ask for a new quote"
    )]
    OrderExists(TransactionNumber),
    /// A quote for something else.
    #[error("the merchant quotes other items than were asked for: nothing was confirmed or paid, do not buy there")]
    OtherItems,
    /// No such order.
    #[error("there is no order {0} here: `cts history` lists all")]
    NoSuchOrder(TransactionNumber),
    /// Something lies where the goods should go.
    #[error("{0} exists already: choose another file with --out")]
    OutputExists(std::path::PathBuf),
    /// A file of the caller's.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Goods that do not open.
    #[error(transparent)]
    Goods(#[from] protocol::goods::GoodsError),
}

impl CtsError {
    /// Whether a copy of the instrument may be in use.
    pub fn is_breach(&self) -> bool {
        match self {
            Self::Payment(PaymentRefused::Breached(_)) | Self::OutcomeUnknown => true,
            Self::PaidNotDelivered { cause, .. } => cause.is_breach(),
            _ => false,
        }
    }

    /// Whether a certificate is signed with a key that the pinned key set does not hold.
    pub(crate) fn is_unknown_issuer(&self) -> bool {
        let Self::Offer(OfferError::Certificate(error)) = self else { return false };
        matches!(error, CertificateError::Issuer(KeySetError::UnknownKey(_)))
    }

    pub(crate) fn above(total: Amount, maximum: Amount) -> Self {
        Self::AboveMaximum { total: total.units(), maximum: maximum.units() }
    }
}
