//! What a merchant wants of the desk.

use crate::codec::{Canonical, DecodeError, check_version};
use crate::hash::{Purpose, tagged};
use crate::ids::{DeskBatchId, Digest, MerchantId, RealmId, RefundOrderId, TransactionNumber};
use crate::limits::{CERTIFICATE_BYTES_MAX, DESK_BATCH_BYTES_MAX, DESK_BATCH_ENTRIES_MAX, PROTOCOL_VERSION, SUITE};
use crate::signature::{Domain, MerchantRole, Signed, SigningKey, StrictError};
use crate::time::Timestamp;

/// One thing that a merchant wants.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub enum BatchEntry {
    /// Give back every payment of a transaction number that was not given back yet, each to the account that paid.
    Refund {
        /// The merchant's name for this refund: applied once.
        order: RefundOrderId,
        /// Whose payments.
        number: TransactionNumber,
    },
    /// Certify a fresh session key.
    RenewCertificate {
        /// A [`crate::certificate::CertificateRequest`] with the same name and desk key as the last one.
        request: Vec<u8>,
    },
    /// Tell the newest key set for merchants.
    FetchKeySet {
        /// Number of the one that the merchant has, 0 for none.
        held: u64,
    },
    /// Tell the merchant's newest certificate.
    FetchCertificate,
    /// Tell what was settled.
    FetchSettlement {
        /// Which cycle.
        cycle: u64,
    },
    /// Give a page of what was settled.
    FetchSettlementPage {
        /// Which cycle.
        cycle: u64,
        /// Which page, from 0.
        page: u32,
    },
}

/// A merchant's batch. Encoding: borsh, fields in this order; the signature covers all before it. One signature covers every
/// entry, so a batch is taken as a whole or not at all (K-102).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct DeskBatch {
    version: u8,
    suite: u8,
    /// The installation.
    pub realm: RealmId,
    /// Who signs.
    pub merchant: MerchantId,
    /// Random name of the batch: sent again, it is answered again.
    pub id: DeskBatchId,
    /// When the merchant made it, by its clock: for people.
    pub made_at: Timestamp,
    entries: Vec<BatchEntry>,
    signature: [u8; 64],
}

impl DeskBatch {
    /// A batch signed with the merchant's desk key.
    ///
    /// # Errors
    /// [`DecodeError`] for no entry, more than [`DESK_BATCH_ENTRIES_MAX`], or more than one of a kind other than a refund.
    pub fn new(
        realm: RealmId,
        merchant: MerchantId,
        id: DeskBatchId,
        made_at: Timestamp,
        entries: Vec<BatchEntry>,
        key: &SigningKey<MerchantRole>,
    ) -> Result<Self, DecodeError> {
        let (version, suite) = (PROTOCOL_VERSION, SUITE);
        Self { version, suite, realm, merchant, id, made_at, entries, signature: [0; 64] }.signed(key)
    }

    /// What the merchant wants, 1 to [`DESK_BATCH_ENTRIES_MAX`] entries.
    pub fn entries(&self) -> &[BatchEntry] {
        &self.entries
    }

    /// Whether carrying it out changes anything: what only asks is answered anew each time.
    pub fn changes_anything(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, BatchEntry::Refund { .. } | BatchEntry::RenewCertificate { .. }))
    }

    /// Names these very bytes in the answer.
    pub fn digest(&self) -> Digest {
        Digest(tagged(Purpose::DESK_BATCH, &self.encode()))
    }

    /// Checks that the merchant with this desk key signed every entry.
    ///
    /// # Errors
    /// [`StrictError`].
    pub fn verify(&self, desk: &[u8; 32]) -> Result<(), StrictError> {
        self.verify_signature(desk)
    }
}

impl Signed for DeskBatch {
    type Signer = MerchantRole;
    const DOMAIN: Domain<MerchantRole> = Domain::DESK_BATCH;

    fn signature_mut(&mut self) -> &mut [u8; 64] {
        &mut self.signature
    }
}

impl Canonical for DeskBatch {
    const NAME: &'static str = "desk batch";
    const BYTES_MAX: usize = DESK_BATCH_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        let wrong = |field| Err(DecodeError::Field { what: Self::NAME, field });
        if self.entries.is_empty() || self.entries.len() > DESK_BATCH_ENTRIES_MAX {
            return wrong("number of entries");
        }
        // Their results are long; whoever wants more sends another batch.
        let mut single = [0usize; 5];
        for entry in &self.entries {
            match entry {
                BatchEntry::Refund { .. } => {}
                BatchEntry::RenewCertificate { request } => {
                    if request.len() > CERTIFICATE_BYTES_MAX {
                        return wrong("certificate request");
                    }
                    single[0] += 1;
                }
                BatchEntry::FetchKeySet { .. } => single[1] += 1,
                BatchEntry::FetchCertificate => single[2] += 1,
                BatchEntry::FetchSettlement { .. } => single[3] += 1,
                BatchEntry::FetchSettlementPage { .. } => single[4] += 1,
            }
        }
        if single.into_iter().any(|count| count > 1) { wrong("number of entries of one kind") } else { Ok(()) }
    }
}
