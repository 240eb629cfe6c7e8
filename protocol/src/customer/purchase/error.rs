//! Why a step of a purchase is not taken.

use super::PurchaseRefused;
use crate::certificate::CertificateError;
use crate::codec::DecodeError;
use crate::ids::Digest;
use crate::order::ProofRefusal;
use crate::purchase::ConfirmError;
use crate::session::NoSharedSecret;
use crate::session::merchant::NotAuthentic;
use crate::time::Timestamp;

/// Why a step of a purchase is not taken. The purchase did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PurchaseError {
    /// Not the time for this step.
    #[error(transparent)]
    Refused(#[from] PurchaseRefused),
    /// The quote cannot be confirmed like this.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// The merchant's message cannot be read.
    #[error("the merchant's answer cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The merchant's message is not authenticated under the session, or is about something else.
    #[error(
        "the merchant's answer is not authentic: it was altered on the way, or is about something else than what was shown and confirmed"
    )]
    NotAuthentic,
    /// A proof that somebody handed over is for something else.
    #[error("this proof does not pay for the order: {0}; nothing was changed, get the proof of this very quote")]
    OtherProof(#[from] ProofRefusal),
    /// Too late to pay.
    #[error("the quote expired at {0}: ask for a new one")]
    QuoteExpired(Timestamp),
    /// The goods are others than the merchant advised (K-88).
    #[error(
        "the goods received are not those that the merchant advised: expected digest {expected}, got {actual}; ask for them again, or for a refund"
    )]
    WrongGoods {
        /// The digest advised.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The merchant's certificate is not valid, or another merchant's.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate of somebody else.
    #[error("the certificate is that of another merchant than the one of this purchase")]
    OtherMerchant,
    /// The merchant's key is of no use.
    #[error("the merchant's certified key is unusable: {0}")]
    Key(#[from] NoSharedSecret),
}

impl From<NotAuthentic> for PurchaseError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}
