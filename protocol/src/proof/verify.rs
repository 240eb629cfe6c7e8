//! The merchant's side: verification offline, against pinned keys, asking nobody (DESIGN section 5; K-75, K-81).
//!
//! Hash the opening, rebuild leaf and root, check one signature. Headers already checked are remembered, with the nodes
//! near the root that were met, so that the further proofs of a batch cost hashes only, and fewer of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::known::KnownNodes;
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
    fn check(&mut self, header: &BatchHeader, signature: &Signature) -> Result<(), ProofError> {
        let mut signed = [0; <BatchHeader as Fixed>::BYTES];
        header.encode_into(&mut signed);
        if self.checked == SIGNATURES_BEFORE_PREPARING && self.prepared.is_none() {
            // A key that cannot be prepared verifies nothing either way.
            self.prepared = PreparedKey::new(&self.key.public).ok();
        }
        let verdict = match &self.prepared {
            Some(prepared) => prepared.verify(Domain::BATCH_ROOT, &[&signed], signature),
            None => {
                self.checked = SIGNATURES_BEFORE_PREPARING.min(self.checked + 1);
                strict_verify(&self.key.public, Domain::BATCH_ROOT, &[&signed], signature)
            }
        };
        verdict.map_err(|_| ProofError::BadSignature)
    }
}

/// A batch whose signature was checked.
#[derive(Debug)]
struct CheckedBatch {
    header: BatchHeader,
    /// From the second proof of the batch on: most batches bring a merchant but one.
    known: Option<KnownNodes>,
}

impl CheckedBatch {
    /// Whether everything in the proof, but for its signature, leads to this batch.
    fn holds(&mut self, proof: &ReceivedProof<'_>, leaf: [u8; 32]) -> bool {
        let (index, size) = (usize::from(proof.head.index), usize::from(proof.head.size));
        let root = self.header.root;
        self.header == proof.header(root)
            && self.known.get_or_insert_with(|| KnownNodes::new(root, size)).lead_to_root(leaf, index, size, proof.path)
    }
}

/// The signature of a checked batch, by which it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct CheckedSignature(Signature);

impl Hash for CheckedSignature {
    /// A signature looks random as it is, and only genuine ones are remembered: nobody but the TPS could choose ones that
    /// collide.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (words, _) = self.0.0.as_chunks();
        state.write_u64(u64::from_le_bytes(words[0]));
    }
}

/// Takes the part of a signature that [`CheckedSignature`] gives it as it is.
#[derive(Default)]
struct PartOfSignature(u64);

impl Hasher for PartOfSignature {
    fn write_u64(&mut self, part: u64) {
        self.0 = part;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("signatures are given as numbers");
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
    checked: HashMap<CheckedSignature, CheckedBatch, BuildHasherDefault<PartOfSignature>>,
    oldest_first: VecDeque<CheckedSignature>,
    capacity: usize,
}

fn pin(keys: impl IntoIterator<Item = ProofKey>) -> BTreeMap<KeyId, PinnedKey> {
    keys.into_iter().map(|key| (key.id, PinnedKey::new(key))).collect()
}

impl Verifier {
    /// A verifier for the proofs of `realm` that remembers up to `capacity` checked headers. A header of which it has met
    /// a second proof takes up to 9 KB, a key with which it has checked many signatures 61 KB.
    pub fn new(realm: RealmId, keys: impl IntoIterator<Item = ProofKey>, capacity: usize) -> Self {
        Self { realm, keys: pin(keys), checked: HashMap::default(), oldest_first: VecDeque::new(), capacity }
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
        let verified = VerifiedProof { statement, outcome: proof.head.outcome };
        let (signature, leaf) = (CheckedSignature(Signature(proof.head.signature)), proof.leaf());
        if self.checked.get_mut(&signature).is_some_and(|batch| batch.holds(&proof, leaf)) {
            return Ok(verified);
        }
        let header = proof.header(proof.root(leaf));
        pinned.check(&header, &signature.0)?;
        self.remember(signature, header);
        Ok(verified)
    }

    fn remember(&mut self, signature: CheckedSignature, header: BatchHeader) {
        if self.capacity == 0 {
            return;
        }
        while self.oldest_first.len() >= self.capacity {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.checked.remove(&oldest);
            }
        }
        self.checked.insert(signature, CheckedBatch { header, known: None });
        self.oldest_first.push_back(signature);
    }
}
