//! What the desk did.

use super::{BatchEntry, DeskBatch};
use crate::codec::{Canonical, DecodeError, check_version};
use crate::ids::{DeskBatchId, Digest, KeyId, MerchantId, RealmId};
use crate::key_set::{KeyRole, KeySetError, PinnedKeySet, key_id};
use crate::limits::{
    CERTIFICATE_BYTES_MAX, DESK_ANSWER_BYTES_MAX, DESK_BATCH_ENTRIES_MAX, KEY_SET_BYTES_MAX, KEY_SET_KEYS_MAX,
    PROTOCOL_VERSION, SETTLEMENT_CYCLES_MAX, SETTLEMENT_PAGE_BYTES_MAX, SETTLEMENT_REPORT_BYTES_MAX, SUITE,
};
use crate::money::Asset;
use crate::numbered::numbered;
use crate::signature::{DeskRole, Domain, Signed, SigningKey};
use crate::time::Timestamp;

/// Money that a refund gave back, of one asset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct RefundedTotal {
    /// Of what.
    pub asset: Asset,
    /// How much in all, in smallest units.
    pub units: u128,
}

/// What was settled, as the TPS signed it.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct SettlementAnswer {
    /// Numbers of the cycles that there are reports of, ascending, the newest [`SETTLEMENT_CYCLES_MAX`].
    pub cycles: Vec<u64>,
    /// Canonical bytes of the signed [`crate::settlement::SettlementReport`] of the cycle asked for; empty where there is none.
    pub report: Vec<u8>,
}

numbered! {
    /// Why one entry was not carried out, while the others were. The text says what to do; `docs/errors.md` lists all.
    #[derive(borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    #[borsh(use_discriminant = true)]
    #[repr(u8)]
    EntryRefusal: u8;

    /// No payment ever named this merchant and number.
    NothingPaid = 1, "nothing was ever paid under this number: check the number";
    /// Every payment of the number was given back before.
    NothingLeft = 2, "everything that was paid under this number was given back before: nothing to do";
    /// The merchant is owed less than it wants to give back.
    TooLittleAccrued = 3, "the merchant is owed less than this refund takes: try again when more was sold";
    /// The operator suspended the merchant.
    MerchantSuspended = 4, "the TPS's operator has suspended this merchant: talk to the operator";
    /// The refund order was applied to another number.
    OtherNumber = 5, "this refund order was used for another number: use a new one";
    /// The bytes are no certificate request, or the maker does not hold the key.
    BadRequest = 6, "the certificate request is damaged: make a new one with `mts certificate request`";
    /// Another name or desk key than the operator reviewed.
    OtherIdentity = 7, "the certificate request has another name or desk key: register as a new merchant";
    /// Another merchant, or an earlier request, has this session key.
    SessionKeyTaken = 8, "the session key was certified before: make a fresh one with `mts certificate request`";
    /// The operator has not approved the merchant's request yet.
    AwaitingApproval = 9, "the TPS's operator has not approved the request yet: ask again later";
    /// There is no settlement yet.
    NoSettlement = 10, "there is no settlement report of this cycle: ask again when the cycle has ended";
    /// The TPS could not do it, through no fault of the merchant.
    Unavailable = 11, "the TPS cannot do this at the moment: ask again later";
}

impl EntryRefusal {
    /// Whether the same entry may be carried out later without the merchant doing anything else.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::TooLittleAccrued
                | Self::MerchantSuspended
                | Self::AwaitingApproval
                | Self::NoSettlement
                | Self::Unavailable
        )
    }
}

/// What became of one entry.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub enum EntryResult {
    /// The money went back. Totals alone: neither who paid nor how many did (K-101).
    Refunded(Vec<RefundedTotal>),
    /// The merchant's newest certificate.
    Certificate(Vec<u8>),
    /// The newest key set for merchants, where it is newer than the one held.
    KeySet(Vec<u8>),
    /// The key set held is the newest.
    KeySetHeld,
    /// A settlement report.
    Settlement(SettlementAnswer),
    /// Nothing was done for this entry.
    Refused(EntryRefusal),
    /// A page of a settlement report.
    SettlementPage(Vec<u8>),
}

impl EntryResult {
    /// Whether this can be the result of `entry`.
    fn fits(&self, entry: &BatchEntry) -> bool {
        matches!(
            (self, entry),
            (Self::Refused(_), _)
                | (Self::Refunded(_), BatchEntry::Refund { .. })
                | (Self::Certificate(_), BatchEntry::RenewCertificate { .. } | BatchEntry::FetchCertificate)
                | (Self::KeySet(_) | Self::KeySetHeld, BatchEntry::FetchKeySet { .. })
                | (Self::Settlement(_), BatchEntry::FetchSettlement { .. })
                | (Self::SettlementPage(_), BatchEntry::FetchSettlementPage { .. })
        )
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Refunded(totals) => {
                let ascending = totals.windows(2).all(|pair| pair[0].asset < pair[1].asset);
                let bounded = !totals.is_empty() && totals.len() <= KEY_SET_KEYS_MAX;
                if bounded && ascending && totals.iter().all(|total| total.units > 0) { Ok(()) } else { Err("totals") }
            }
            Self::Certificate(bytes) if bytes.len() > CERTIFICATE_BYTES_MAX => Err("certificate"),
            Self::KeySet(bytes) if bytes.len() > KEY_SET_BYTES_MAX => Err("key set"),
            Self::Settlement(settlement) => {
                let bounded = settlement.cycles.len() <= SETTLEMENT_CYCLES_MAX
                    && settlement.report.len() <= SETTLEMENT_REPORT_BYTES_MAX;
                if bounded { Ok(()) } else { Err("settlement report") }
            }
            Self::SettlementPage(bytes) if bytes.len() > SETTLEMENT_PAGE_BYTES_MAX => Err("settlement page"),
            _ => Ok(()),
        }
    }
}

/// Why an answer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not a well-formed answer.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The signing key.
    #[error("the answer's signing key is not trusted: {0}")]
    Key(#[from] KeySetError),
    /// The signature does not hold.
    #[error("the answer is forged or altered: its signature does not hold")]
    BadSignature,
    /// It answers something else.
    #[error("the answer is to another batch: give the one to the batch that waits")]
    OtherBatch,
}

/// The TPS's answer to a batch. Encoding: borsh, fields in this order; the signature covers all before it.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct DeskAnswer {
    version: u8,
    suite: u8,
    realm: RealmId,
    merchant: MerchantId,
    batch: DeskBatchId,
    digest: Digest,
    /// When it was carried out.
    pub answered_at: Timestamp,
    results: Vec<EntryResult>,
    key: KeyId,
    signature: [u8; 64],
}

impl DeskAnswer {
    /// Answers `batch` with one result per entry, in the order of the entries.
    ///
    /// # Errors
    /// [`DecodeError`] where results do not fit the entries or are beyond their limits.
    pub fn new(
        batch: &DeskBatch,
        results: Vec<EntryResult>,
        answered_at: Timestamp,
        key: &SigningKey<DeskRole>,
    ) -> Result<Self, DecodeError> {
        let answer = Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm: batch.realm,
            merchant: batch.merchant,
            batch: batch.id,
            digest: batch.digest(),
            answered_at,
            results,
            key: key_id(KeyRole::Desk, &key.public()),
            signature: [0; 64],
        };
        if !answer.fits(batch) {
            return Err(DecodeError::Field { what: Self::NAME, field: "results" });
        }
        answer.signed(key)
    }

    fn fits(&self, batch: &DeskBatch) -> bool {
        self.results.len() == batch.entries().len()
            && self.results.iter().zip(batch.entries()).all(|(result, entry)| result.fits(entry))
    }

    /// What became of each entry, in their order.
    pub fn results(&self) -> &[EntryResult] {
        &self.results
    }

    /// Checks that the TPS signed this answer, and to these very bytes of a batch.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn verify(&self, batch: &DeskBatch, keys: &PinnedKeySet) -> Result<(), AnswerError> {
        let key = keys.key(KeyRole::Desk, self.key, self.answered_at)?;
        self.verify_signature(&key.public).map_err(|_| AnswerError::BadSignature)?;
        let same = self.realm == batch.realm
            && self.merchant == batch.merchant
            && self.batch == batch.id
            && self.digest == batch.digest();
        if same && self.fits(batch) { Ok(()) } else { Err(AnswerError::OtherBatch) }
    }
}

impl Signed for DeskAnswer {
    type Signer = DeskRole;
    const DOMAIN: Domain<DeskRole> = Domain::DESK_ANSWER;

    fn signature_mut(&mut self) -> &mut [u8; 64] {
        &mut self.signature
    }
}

impl Canonical for DeskAnswer {
    const NAME: &'static str = "desk answer";
    const BYTES_MAX: usize = DESK_ANSWER_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        let wrong = |field| DecodeError::Field { what: Self::NAME, field };
        if self.results.is_empty() || self.results.len() > DESK_BATCH_ENTRIES_MAX {
            return Err(wrong("number of results"));
        }
        self.results.iter().try_for_each(|result| result.check().map_err(wrong))
    }
}
