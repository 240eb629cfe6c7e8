//! Proofs: both outcomes prepared from the open half alone, one signature for many payments (DESIGN section 5).
//!
//! For each request of a batch the TPS prepares a leaf before it knows who pays:
//!
//! ```text
//! statement = proof version, suite, realm, kind, terms digest, payment id, merchant, number, amount, asset, quote digest, batch time
//! leaf      = H(statement || H_paid(opening_paid) || H_unpaid(opening_unpaid))
//! ```
//!
//! The leaves, sorted by payment id, form a Merkle tree whose root is signed once. Deciding a payment reveals one of the
//! two openings; nothing is signed after the decision. Nothing in a proof depends on who pays (K-42, K-77).

pub mod batch;
mod known;
pub mod tree;
pub mod verify;

use std::sync::LazyLock;

use crate::codec::{DecodeError, Fixed, fixed};
use crate::hash::{Purpose, Tagged};
use crate::ids::{KeyId, MerchantId, PaymentId, QuoteDigest, RealmId, TermsDigest, TransactionNumber};
use crate::limits::{BATCH_REQUESTS_MAX, PROOF_VERSION, SUITE};
use crate::money::{Amount, Asset};
use crate::request::PaymentKind;
use crate::time::Timestamp;

/// What a proof says about its statement.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Outcome {
    /// A denial-of-payment.
    NotPaid = 0,
    /// A proof-of-payment.
    Paid = 1,
}

/// What the TPS states about one request. Nothing in it depends on the payer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Statement {
    proof_version: u8,
    suite: u8,
    /// The installation that states it.
    pub realm: RealmId,
    /// Plain, or what a profile defines; a plain MTS accepts plain payments only.
    pub kind: PaymentKind,
    /// Zero for a plain payment.
    pub terms: TermsDigest,
    /// Random name of this answer.
    pub payment: PaymentId,
    /// Who was to be paid.
    pub merchant: MerchantId,
    /// The merchant's number of the quote.
    pub number: TransactionNumber,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// Digest of the quote that the payer named (K-49).
    pub quote_digest: QuoteDigest,
    /// When the TPS decided, in milliseconds.
    pub batch_time: Timestamp,
}

fixed!(Statement, "proof statement", |statement| {
    let what = "proof statement";
    crate::codec::check_version(what, statement.proof_version, PROOF_VERSION, statement.suite)?;
    if !statement.amount.is_valid() {
        return Err(DecodeError::Field { what, field: "amount" });
    }
    if !statement.asset.is_valid() {
        return Err(DecodeError::Field { what, field: "asset" });
    }
    Ok(())
});

/// The part of a statement that comes from the request; the TPS adds realm, payment id and time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Kind of the payment.
    pub kind: PaymentKind,
    /// Terms of the payment.
    pub terms: TermsDigest,
    /// Who is to be paid.
    pub merchant: MerchantId,
    /// The merchant's number of the quote.
    pub number: TransactionNumber,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// Digest of the quote.
    pub quote_digest: QuoteDigest,
}

impl Statement {
    /// The TPS's statement about `claim`.
    pub fn new(claim: &Claim, realm: RealmId, payment: PaymentId, batch_time: Timestamp) -> Self {
        let Claim { kind, terms, merchant, number, amount, asset, quote_digest } = *claim;
        Self {
            proof_version: PROOF_VERSION,
            suite: SUITE,
            realm,
            kind,
            terms,
            payment,
            merchant,
            number,
            amount,
            asset,
            quote_digest,
            batch_time,
        }
    }
}

/// Length of an encoded statement, in bytes.
pub const STATEMENT_BYTES: usize = <Statement as Fixed>::BYTES;

static COMMITMENT_PAID: LazyLock<Tagged> = LazyLock::new(|| Tagged::new(Purpose::COMMITMENT_PAID));
static COMMITMENT_UNPAID: LazyLock<Tagged> = LazyLock::new(|| Tagged::new(Purpose::COMMITMENT_UNPAID));
static LEAF: LazyLock<Tagged> = LazyLock::new(|| Tagged::new(Purpose::PROOF_LEAF));

/// Commitment to the opening of `outcome`.
pub fn commitment(outcome: Outcome, opening: &[u8; 32]) -> [u8; 32] {
    match outcome {
        Outcome::Paid => COMMITMENT_PAID.hash(opening),
        Outcome::NotPaid => COMMITMENT_UNPAID.hash(opening),
    }
}

/// The leaf of a statement and its two commitments.
pub fn leaf(statement: &Statement, commitment_paid: &[u8; 32], commitment_unpaid: &[u8; 32]) -> [u8; 32] {
    let mut encoded = [0; STATEMENT_BYTES];
    statement.encode_into(&mut encoded);
    leaf_of_encoded(&encoded, commitment_paid, commitment_unpaid)
}

fn leaf_of_encoded(
    statement: &[u8; STATEMENT_BYTES],
    commitment_paid: &[u8; 32],
    commitment_unpaid: &[u8; 32],
) -> [u8; 32] {
    let mut bytes = [0; STATEMENT_BYTES + 64];
    bytes[..STATEMENT_BYTES].copy_from_slice(statement);
    bytes[STATEMENT_BYTES..STATEMENT_BYTES + 32].copy_from_slice(commitment_paid);
    bytes[STATEMENT_BYTES + 32..].copy_from_slice(commitment_unpaid);
    LEAF.hash(&bytes)
}

/// What is signed once per batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct BatchHeader {
    proof_version: u8,
    suite: u8,
    /// The installation that signs.
    pub realm: RealmId,
    /// The proof-signing key.
    pub key: KeyId,
    /// Time of all decisions in the batch.
    pub batch_time: Timestamp,
    /// Requests in the batch: 1 to 1024.
    pub size: u16,
    /// Root of the tree of leaves.
    pub root: [u8; 32],
}

fixed!(BatchHeader, "batch header", |header| {
    crate::codec::check_version("batch header", header.proof_version, PROOF_VERSION, header.suite)?;
    if header.size == 0 || usize::from(header.size) > BATCH_REQUESTS_MAX {
        return Err(DecodeError::Field { what: "batch header", field: "size" });
    }
    Ok(())
});

impl BatchHeader {
    /// A header of the current version.
    pub fn new(realm: RealmId, key: KeyId, batch_time: Timestamp, size: u16, root: [u8; 32]) -> Self {
        Self { proof_version: PROOF_VERSION, suite: SUITE, realm, key, batch_time, size, root }
    }
}

/// A proof-of-payment or denial-of-payment: everything a merchant needs besides the pinned key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// What is stated.
    pub statement: Statement,
    /// What is said of it.
    pub outcome: Outcome,
    /// The revealed opening: it is the TPS's word for the outcome.
    pub opening: [u8; 32],
    /// Commitment to the opening that was not revealed.
    pub other_commitment: [u8; 32],
    /// Place of the leaf among the sorted leaves.
    pub index: u16,
    /// Leaves of the batch.
    pub size: u16,
    /// Names the proof-signing key.
    pub key: KeyId,
    /// Signature over the batch header.
    pub signature: [u8; 64],
    /// Sibling hashes from the leaf up.
    pub path: Vec<[u8; 32]>,
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct ProofHead {
    statement: Statement,
    outcome: Outcome,
    opening: [u8; 32],
    other_commitment: [u8; 32],
    index: u16,
    size: u16,
    key: KeyId,
    signature: [u8; 64],
}

fixed!(ProofHead, "proof", |head| {
    let statement = &head.statement;
    crate::codec::check_version("proof", statement.proof_version, PROOF_VERSION, statement.suite)?;
    let field = |field| Err(DecodeError::Field { what: "proof", field });
    if !statement.amount.is_valid() {
        return field("amount");
    }
    if !statement.asset.is_valid() {
        return field("asset");
    }
    if head.size == 0 || usize::from(head.size) > BATCH_REQUESTS_MAX {
        return field("size");
    }
    if head.index >= head.size {
        return field("index");
    }
    Ok(())
});

/// Bytes of a proof before its path.
pub const PROOF_HEAD_BYTES: usize = <ProofHead as Fixed>::BYTES;
/// Longest proof, in bytes.
pub const PROOF_BYTES_MAX: usize = PROOF_HEAD_BYTES + 32 * crate::limits::PROOF_PATH_NODES_MAX;

impl Proof {
    /// The bytes: fixed head, then the path, whose length follows from index and size.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PROOF_HEAD_BYTES + 32 * self.path.len());
        self.append_to(&mut bytes);
        bytes
    }

    /// Appends the bytes to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + PROOF_HEAD_BYTES, 0);
        self.head().encode_into(&mut out[start..]);
        out.extend_from_slice(self.path.as_flattened());
    }

    fn head(&self) -> ProofHead {
        ProofHead {
            statement: self.statement,
            outcome: self.outcome,
            opening: self.opening,
            other_commitment: self.other_commitment,
            index: self.index,
            size: self.size,
            key: self.key,
            signature: self.signature,
        }
    }

    /// The batch header that this proof leads to if everything in it is true.
    pub fn header(&self) -> BatchHeader {
        let mut statement = [0; STATEMENT_BYTES];
        self.statement.encode_into(&mut statement);
        let received = ReceivedProof { head: self.head(), statement: &statement, path: &self.path };
        received.header(received.root(received.leaf()))
    }

    /// Reads a proof. Says nothing about its truth: see [`verify::Verifier`].
    ///
    /// # Errors
    /// [`DecodeError`] for another length than index and size demand, and for any field out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ReceivedProof { head, path, .. } = ReceivedProof::read(bytes)?;
        Ok(Self {
            statement: head.statement,
            outcome: head.outcome,
            opening: head.opening,
            other_commitment: head.other_commitment,
            index: head.index,
            size: head.size,
            key: head.key,
            signature: head.signature,
            path: path.to_vec(),
        })
    }
}

/// A proof in the bytes it was received in: what is only hashed stays there.
struct ReceivedProof<'a> {
    head: ProofHead,
    /// The encoded statement.
    statement: &'a [u8; STATEMENT_BYTES],
    path: &'a [[u8; 32]],
}

impl<'a> ReceivedProof<'a> {
    /// See [`Proof::decode`].
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let wrong_length = |expected| DecodeError::Length { what: "proof", expected, actual: bytes.len() };
        let (start, path) = bytes.split_at_checked(PROOF_HEAD_BYTES).ok_or(wrong_length(PROOF_HEAD_BYTES))?;
        let head = ProofHead::decode(start)?;
        let nodes = tree::path_length(usize::from(head.index), usize::from(head.size));
        if path.len() != nodes * 32 {
            return Err(wrong_length(PROOF_HEAD_BYTES + nodes * 32));
        }
        let statement = start.first_chunk().ok_or(wrong_length(PROOF_HEAD_BYTES))?;
        Ok(Self { head, statement, path: path.as_chunks().0 })
    }

    /// The leaf of which the path begins.
    fn leaf(&self) -> [u8; 32] {
        let head = &self.head;
        let revealed = commitment(head.outcome, &head.opening);
        let (paid, unpaid) = match head.outcome {
            Outcome::Paid => (&revealed, &head.other_commitment),
            Outcome::NotPaid => (&head.other_commitment, &revealed),
        };
        leaf_of_encoded(self.statement, paid, unpaid)
    }

    /// The header of a batch with this root.
    fn header(&self, root: [u8; 32]) -> BatchHeader {
        let head = &self.head;
        BatchHeader::new(head.statement.realm, head.key, head.statement.batch_time, head.size, root)
    }

    /// The root that the path leads to.
    fn root(&self, leaf: [u8; 32]) -> [u8; 32] {
        tree::root_of_path(leaf, usize::from(self.head.index), usize::from(self.head.size), self.path)
    }
}

#[cfg(test)]
pub(crate) mod tests;
