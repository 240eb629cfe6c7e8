//! Offline verification: pinned keys, nobody asked (K-14, K-75, K-81).

use std::sync::Mutex;

use protocol::key_set::{KeySetError, PinnedKeySet};
use protocol::proof::verify::{ProofError, VerifiedProof, Verifier};
use protocol::time::Timestamp;

/// Batch headers remembered: proofs of one batch arrive close together.
const CHECKED_HEADERS_MAX: usize = 4_096;

/// Why a proof was not accepted as genuine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// The pinned keys are too old to judge anything.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Verifies proofs against a pinned key set. Safe to share between threads; needs no network and no TPS.
#[derive(Debug)]
pub struct ProofChecker(Mutex<Checked>);

#[derive(Debug)]
struct Checked {
    keys: PinnedKeySet,
    verifier: Verifier,
}

impl ProofChecker {
    /// A checker for the proofs of the set's realm.
    pub fn new(keys: PinnedKeySet) -> Self {
        let verifier = Verifier::new(keys.realm(), keys.proof_keys(), CHECKED_HEADERS_MAX);
        Self(Mutex::new(Checked { keys, verifier }))
    }

    /// Replaces the pinned set. What was remembered is forgotten, so that a revocation counts at once.
    pub fn replace(&self, keys: PinnedKeySet) {
        let mut checked = self.0.lock().expect("no holder panics");
        if checked.keys != keys {
            checked.verifier.replace_keys(keys.proof_keys());
            checked.keys = keys;
        }
    }

    /// Verifies the bytes of a proof or denial.
    ///
    /// # Errors
    /// [`VerificationError`].
    pub fn verify(&self, bytes: &[u8], now: Timestamp) -> Result<VerifiedProof, VerificationError> {
        let mut checked = self.0.lock().expect("no holder panics");
        checked.keys.check_age(now)?;
        Ok(checked.verifier.verify(bytes)?)
    }
}
