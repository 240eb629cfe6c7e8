//! The merchant's side: verification offline, against pinned keys, asking nobody (DESIGN section 5; K-75, K-81).
//!
//! Hash the opening, rebuild leaf and root, check one signature. Headers already checked are remembered, so that the
//! further proofs of a batch cost hashes only.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{BatchHeader, Outcome, Proof, Statement};
use crate::codec::{DecodeError, Fixed};
use crate::ids::{KeyId, RealmId};
use crate::signature::{Domain, Signature, strict_verify};
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

/// Verifies proofs against pinned keys.
#[derive(Debug)]
pub struct Verifier {
    realm: RealmId,
    keys: HashMap<KeyId, ProofKey>,
    checked: HashSet<CheckedHeader>,
    oldest_first: VecDeque<CheckedHeader>,
    capacity: usize,
}

/// The whole signed header and its signature: nothing less identifies what was checked.
type CheckedHeader = (BatchHeader, [u8; 64]);

impl Verifier {
    /// A verifier for the proofs of `realm` that remembers up to `capacity` checked headers.
    pub fn new(realm: RealmId, keys: impl IntoIterator<Item = ProofKey>, capacity: usize) -> Self {
        let keys = keys.into_iter().map(|key| (key.id, key)).collect();
        Self { realm, keys, checked: HashSet::new(), oldest_first: VecDeque::new(), capacity }
    }

    /// Replaces the pinned keys, for example after a revocation: everything remembered is forgotten.
    pub fn replace_keys(&mut self, keys: impl IntoIterator<Item = ProofKey>) {
        self.keys = keys.into_iter().map(|key| (key.id, key)).collect();
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
        let proof = Proof::decode(bytes)?;
        let statement = proof.statement;
        if statement.realm != self.realm {
            return Err(ProofError::OtherRealm(statement.realm));
        }
        let key = self.keys.get(&proof.key).ok_or(ProofError::UnknownKey(proof.key))?;
        let batch_time = statement.batch_time;
        if batch_time < key.valid_from || batch_time > key.valid_until {
            return Err(ProofError::OutsideValidity { key: key.id, batch_time });
        }
        let checked = (proof.header(), proof.signature);
        if !self.checked.contains(&checked) {
            strict_verify(&key.public, Domain::BATCH_ROOT, &[&checked.0.encode()], &Signature(checked.1))
                .map_err(|_| ProofError::BadSignature)?;
            self.remember(checked);
        }
        Ok(VerifiedProof { statement, outcome: proof.outcome })
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
