//! What the files hold.

use std::path::PathBuf;

use protocol::customer::payment::Resolution;
use protocol::customer::purchase::{Purchase, StoredBytes};
use protocol::enrolment::SignaturePolicy;
use protocol::ids::{InstrumentId, RealmId};
use protocol::money::Asset;
use protocol::request::Content;
use protocol::response::Reason;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The instrument's own keys. Made here; the TPS never sees the signing key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Which instrument they were made for.
    pub instrument: InstrumentId,
    /// Seed of the Ed25519 key, 32 bytes.
    pub signing_seed: StoredBytes,
    /// Key of the device tags, 32 bytes.
    pub device_key: StoredBytes,
}

/// What `init` learnt. Its presence says that the instrument is active.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The installation.
    pub realm: RealmId,
    /// `host:port` of the TPS, best first.
    pub processors: Vec<String>,
    /// The TPS's TLS certificate (DER).
    pub server_certificate: StoredBytes,
    /// The root's public key, 32 bytes.
    pub root: StoredBytes,
    /// The instrument.
    pub instrument: InstrumentId,
    /// What the account holds.
    #[serde(with = "asset_text")]
    pub asset: Asset,
    /// Whether requests must be signed. They are signed in any case.
    pub policy: SignaturePolicy,
    /// When it was activated.
    pub activated_at: Timestamp,
}

mod asset_text {
    use protocol::money::Asset;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(asset: &Asset, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(asset)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Asset, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What became of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// The TPS decided: paid or denied.
    Decided {
        /// How.
        resolution: Resolution,
        /// Proof or denial, to be forwarded untouched.
        proof: StoredBytes,
    },
    /// Given up after the TPS said that nothing was paid.
    GivenUp,
    /// Dropped in a breach: the second channel knows whether it was paid.
    Unknown,
}

/// A payment that is no longer open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// When it was learnt.
    pub at: Timestamp,
    /// The count it was bound to.
    pub count: u64,
    /// What was to be paid.
    pub content: Content,
    /// What became of it.
    pub kind: OutcomeKind,
}

impl Outcome {
    /// Whether money moved; `None` where nobody here knows.
    pub fn is_paid(&self) -> Option<bool> {
        match &self.kind {
            OutcomeKind::Decided { resolution, .. } => Some(resolution.reason == Reason::Paid),
            OutcomeKind::GivenUp => Some(false),
            OutcomeKind::Unknown => None,
        }
    }
}

/// A confirmed purchase, and what the CTS needs around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurchaseRecord {
    /// Where the merchant takes payments.
    pub url: String,
    /// Where digital goods go.
    pub output: Option<PathBuf>,
    /// When it was confirmed.
    pub begun_at: Timestamp,
    /// The purchase itself.
    pub purchase: Purchase,
}
