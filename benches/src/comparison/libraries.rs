//! The libraries of the ways that use none of our batches, each behind the same three calls.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey as SignatureKey};
use ed25519_dalek::ed25519::signature::{Signer, Verifier};

use crate::fixtures::{bytes32, processor_secret};
use crate::installation::random;

/// One agreement, one verification, one signature: whatever a payment needs of a library.
pub(super) trait Library {
    /// The X25519 secret that the processor shares with the holder of `other`.
    fn agree(&self, other: [u8; 32]) -> [u8; 32];
    /// Whether an Ed25519 signature of the holder of `key` over `message` holds.
    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
    /// The Ed25519 signature of the processor over `message`.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Seed of the key that signs proofs, as [`crate::fixtures::proof_key`] has it.
fn proof_seed() -> [u8; 32] {
    bytes32(6, 0)
}

/// x25519-dalek and ed25519-dalek.
pub(super) struct Dalek {
    secret: x25519_dalek::StaticSecret,
    signing: ed25519_dalek::SigningKey,
}

impl Dalek {
    pub(super) fn new() -> Self {
        Self {
            secret: x25519_dalek::StaticSecret::from(*processor_secret().expose()),
            signing: ed25519_dalek::SigningKey::from_bytes(&proof_seed()),
        }
    }
}

fn verify_with_dalek(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    ed25519_dalek::VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify(message, &signature).is_ok())
}

fn verify_with_aws_lc(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    SignatureKey::new(&ED25519, key).verify(message, signature).is_ok()
}

impl Library for Dalek {
    fn agree(&self, other: [u8; 32]) -> [u8; 32] {
        self.secret.diffie_hellman(&x25519_dalek::PublicKey::from(other)).to_bytes()
    }

    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        verify_with_dalek(key, message, signature)
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

/// aws-lc-rs, and for verification whichever of it and ed25519-dalek is faster on this machine.
pub(super) struct Best {
    secret: PrivateKey,
    signing: Ed25519KeyPair,
    dalek_verifies: bool,
}

impl Best {
    pub(super) fn new() -> Self {
        let secret = PrivateKey::from_private_key(&agreement::X25519, processor_secret().expose());
        let signing = Ed25519KeyPair::from_seed_unchecked(&proof_seed()).expect("any seed makes a key");
        Self { secret: secret.expect("any 32 bytes make a key"), signing, dalek_verifies: dalek_verifies_faster() }
    }

    /// Which library verifies.
    pub(super) fn verifier(&self) -> &'static str {
        if self.dalek_verifies { "ed25519-dalek" } else { "aws-lc-rs" }
    }
}

/// Tries both in turn and compares the quickest of several runs.
fn dalek_verifies_faster() -> bool {
    const TRIES: usize = 20;
    const SIGNATURES: usize = 32;
    let signing = ed25519_dalek::SigningKey::from_bytes(&random());
    let (key, message) = (signing.verifying_key().to_bytes(), [0x5a; 200]);
    let signature = signing.sign(&message).to_bytes();
    let quickest = |verify: fn(&[u8; 32], &[u8], &[u8; 64]) -> bool| {
        let times = (0..TRIES).map(|_| {
            let start = std::time::Instant::now();
            assert!((0..SIGNATURES).all(|_| verify(std::hint::black_box(&key), &message, &signature)));
            start.elapsed()
        });
        times.min()
    };
    quickest(verify_with_dalek) < quickest(verify_with_aws_lc)
}

impl Library for Best {
    fn agree(&self, other: [u8; 32]) -> [u8; 32] {
        let other = UnparsedPublicKey::new(&agreement::X25519, other);
        let agreed = agreement::agree(&self.secret, other, (), |shared| <[u8; 32]>::try_from(shared).map_err(|_| ()));
        agreed.expect("the ephemeral keys of benches are usable")
    }

    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        if self.dalek_verifies {
            verify_with_dalek(key, message, signature)
        } else {
            verify_with_aws_lc(key, message, signature)
        }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.signing.sign(message).as_ref());
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{processor, proof_key};
    use protocol::session::AgreementSecret;

    #[test]
    fn all_libraries_agree_with_the_protocol() {
        let (customer, processor) = (AgreementSecret::from_random(bytes32(5, 1)), processor().public);
        let expected = *customer.agree(&processor).expect("usable");
        let (dalek, best) = (Dalek::new(), Best::new());
        let message = b"two libraries, one signature";
        let signature = dalek.sign(message);
        assert_eq!(best.sign(message), signature);
        for library in [&dalek as &dyn Library, &best] {
            assert_eq!(library.agree(customer.public().0), expected);
            assert!(library.verify(&proof_key().public(), message, &signature));
            assert!(!library.verify(&proof_key().public(), b"another message", &signature));
        }
        for verify in [verify_with_dalek, verify_with_aws_lc] {
            assert!(verify(&proof_key().public(), message, &signature));
            assert!(!verify(&proof_key().public(), b"another message", &signature));
        }
    }
}
