//! The merchant's side: verification offline, against pinned keys, asking nobody (DESIGN section 5; K-75, K-81).
//!
//! Hash the opening, rebuild leaf and root, check one signature. Headers already checked are remembered, so that the
//! further proofs of a batch cost hashes only.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::{BatchHeader, Outcome, ReceivedProof, Statement};
use crate::codec::{DecodeError, Fixed};
use crate::ids::{KeyId, RealmId};
use crate::signature::{Domain, PreparedKey, ProofRole, Signature, strict_verify};
use crate::time::Timestamp;

/// A proof-signing key of the TPS, as pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProofKey {
    /// Names the key in proofs.
    pub id: KeyId,
    /// The Ed25519 public key.
    pub public: [u8; 32],
    /// First batch time it may sign.
    pub valid_from: Timestamp,
    /// Last batch time it may sign.
    pub valid_until: Timestamp,
}

/// Why a proof does not prove anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not a proof.
    #[error("this is not a proof: {0}")]
    Malformed(#[from] DecodeError),
    /// Made by another installation.
    #[error("the proof belongs to realm {0}, which is not the pinned one")]
    OtherRealm(RealmId),
    /// Signed by a key that is not pinned.
    #[error("the proof is signed with key {0}, which is not pinned: refresh the key set if the TPS rotated its keys")]
    UnknownKey(KeyId),
    /// The key was not valid at the batch time.
    #[error("the proof's time {batch_time} lies outside the validity of key {key}")]
    OutsideValidity {
        /// The key.
        key: KeyId,
        /// Time in the proof.
        batch_time: Timestamp,
    },
    /// Something in the proof was altered, or it was never signed.
    #[error("the signature does not hold: the proof was altered or forged")]
    BadSignature,
}

/// A proof whose signature was checked. Only [`Verifier::verify`] makes one; whether it fits an order is the
/// merchant's next question (K-81).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedProof {
    statement: Statement,
    outcome: Outcome,
}

impl VerifiedProof {
    /// What the TPS states.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Paid or not.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// After so many signatures under a key it is prepared. Preparing takes as long as these do, mostly because the kernels
/// test themselves first: whoever verifies a few proofs never pays for it, whoever verifies many pays twice at most.
const SIGNATURES_BEFORE_PREPARING: u32 = 64;

/// A pinned key and what makes its verifications fast.
#[derive(Debug)]
struct PinnedKey {
    key: ProofKey,
    /// Signatures checked before it was prepared.
    checked: u32,
    prepared: Option<PreparedKey<ProofRole>>,
}

impl PinnedKey {
    fn new(key: ProofKey) -> Self {
        Self { key, checked: 0, prepared: None }
    }

    /// Verifies the signature of a batch.
    fn check(&mut self, batch: &CheckedHeader) -> Result<(), ProofError> {
        let mut signed = [0; <BatchHeader as Fixed>::BYTES];
        batch.header.encode_into(&mut signed);
        let signature = Signature(batch.signature);
        if self.checked == SIGNATURES_BEFORE_PREPARING && self.prepared.is_none() {
            // A key that cannot be prepared verifies nothing either way.
            self.prepared = PreparedKey::new(&self.key.public).ok();
        }
        let verdict = match &self.prepared {
            Some(prepared) => prepared.verify(Domain::BATCH_ROOT, &[&signed], &signature),
            None => {
                self.checked = SIGNATURES_BEFORE_PREPARING.min(self.checked + 1);
                strict_verify(&self.key.public, Domain::BATCH_ROOT, &[&signed], &signature)
            }
        };
        verdict.map_err(|_| ProofError::BadSignature)
    }
}

/// The whole signed header and its signature: nothing less identifies what was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct CheckedHeader {
    header: BatchHeader,
    signature: [u8; 64],
}

impl Hash for CheckedHeader {
    /// A root is a hash already, and what is remembered is under a genuine signature: nobody but the TPS could choose
    /// roots that collide.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (words, _) = self.header.root.as_chunks();
        state.write_u64(u64::from_le_bytes(words[0]));
    }
}

/// Takes the part of a root that [`CheckedHeader`] gives it as it is.
#[derive(Default)]
struct PartOfRoot(u64);

impl Hasher for PartOfRoot {
    fn write_u64(&mut self, part: u64) {
        self.0 = part;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("roots are given as numbers");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Verifies proofs against pinned keys.
#[derive(Debug)]
pub struct Verifier {
    realm: RealmId,
    keys: BTreeMap<KeyId, PinnedKey>,
    checked: HashSet<CheckedHeader, BuildHasherDefault<PartOfRoot>>,
    oldest_first: VecDeque<CheckedHeader>,
    capacity: usize,
}

fn pin(keys: impl IntoIterator<Item = ProofKey>) -> BTreeMap<KeyId, PinnedKey> {
    keys.into_iter().map(|key| (key.id, PinnedKey::new(key))).collect()
}

impl Verifier {
    /// A verifier for the proofs of `realm` that remembers up to `capacity` checked headers. A key with which it checks
    /// many signatures takes 82 KB.
    pub fn new(realm: RealmId, keys: impl IntoIterator<Item = ProofKey>, capacity: usize) -> Self {
        Self { realm, keys: pin(keys), checked: HashSet::default(), oldest_first: VecDeque::new(), capacity }
    }

    /// Replaces the pinned keys, for example after a revocation: everything remembered is forgotten.
    pub fn replace_keys(&mut self, keys: impl IntoIterator<Item = ProofKey>) {
        self.keys = pin(keys);
        self.checked.clear();
        self.oldest_first.clear();
    }

    /// Headers remembered.
    pub fn remembered(&self) -> usize {
        self.checked.len()
    }

    /// Verifies `bytes` as a proof or denial.
    ///
    /// # Errors
    /// [`ProofError`]; nothing is remembered of a failure.
    pub fn verify(&mut self, bytes: &[u8]) -> Result<VerifiedProof, ProofError> {
        let proof = ReceivedProof::read(bytes)?;
        let statement = proof.head.statement;
        if statement.realm != self.realm {
            return Err(ProofError::OtherRealm(statement.realm));
        }
        let pinned = self.keys.get_mut(&proof.head.key).ok_or(ProofError::UnknownKey(proof.head.key))?;
        let (key, batch_time) = (&pinned.key, statement.batch_time);
        if batch_time < key.valid_from || batch_time > key.valid_until {
            return Err(ProofError::OutsideValidity { key: key.id, batch_time });
        }
        let batch = CheckedHeader { header: proof.header(), signature: proof.head.signature };
        if !self.checked.contains(&batch) {
            pinned.check(&batch)?;
            self.remember(batch);
        }
        Ok(VerifiedProof { statement, outcome: proof.head.outcome })
    }

    fn remember(&mut self, checked: CheckedHeader) {
        if self.capacity == 0 {
            return;
        }
        while self.oldest_first.len() >= self.capacity {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.checked.remove(&oldest);
            }
        }
        self.checked.insert(checked);
        self.oldest_first.push_back(checked);
    }
}
