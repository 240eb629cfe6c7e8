//! The notary over the admin socket: commands and answers.

use protocol::codec::Canonical;
use protocol::ids::Digest;
use protocol::notary::NotaryReceipt;
use protocol::time::Timestamp;

/// Most digests of one command, and most receipts of one answer.
pub const DIGESTS_MAX: usize = 4_096;

/// What the operator wants of the notary.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "notary", rename_all = "kebab-case")]
pub enum NotaryCommand {
    /// Attests digests now, at most [`DIGESTS_MAX`].
    Attest {
        /// Each of 64 hexadecimal digits.
        digests: Vec<Digest>,
    },
    /// Receipts that were made before.
    Receipts {
        /// Number of the first.
        first: u64,
        /// How many at most; no more than [`DIGESTS_MAX`] are given.
        most: usize,
    },
}

/// Receipts, in their order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NotaryAnswer {
    /// Each.
    pub receipts: Vec<ReceiptView>,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReceiptView {
    /// Its number.
    pub number: u64,
    /// When the digest was seen.
    pub time_ms: Timestamp,
    /// The digest.
    pub digest: Digest,
    /// Canonical bytes of the receipt, hexadecimal.
    pub receipt: String,
}

impl From<&NotaryReceipt> for ReceiptView {
    fn from(receipt: &NotaryReceipt) -> Self {
        Self {
            number: receipt.sequence,
            time_ms: receipt.time,
            digest: receipt.digest,
            receipt: hex::encode(receipt.encode()),
        }
    }
}
