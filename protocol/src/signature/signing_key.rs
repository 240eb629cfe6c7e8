//! Secret keys, each bound to one role.

use core::fmt;
use core::marker::PhantomData;

use ed25519_dalek::ed25519::signature::MultipartSigner;
use zeroize::Zeroize;

use super::{Domain, Role, Signature};
use crate::operations::{Operation, count};

/// An Ed25519 signing key of role `R` (RFC 8032, deterministic). Erased from memory when dropped; it cannot be cloned,
/// compared or read back, and `Debug` shows the public key.
pub struct SigningKey<R: Role> {
    inner: ed25519_dalek::SigningKey,
    role: PhantomData<fn() -> R>,
}

impl<R: Role> SigningKey<R> {
    /// Makes the key from its 32 secret bytes, which must come from a cryptographic random source or a key file. Any
    /// 32 bytes make a key. This copy of the seed is erased; the caller erases its own.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let inner = ed25519_dalek::SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self { inner, role: PhantomData }
    }

    /// The public key; canonical, torsion-free and (but for a chance of 2^-252) not the identity.
    pub fn public(&self) -> [u8; 32] {
        self.inner.verifying_key().to_bytes()
    }

    /// Signs the canonical bytes of a message in a domain of this role.
    pub fn sign(&self, domain: Domain<R>, message: &[u8]) -> Signature {
        count(Operation::SignatureMade, 1);
        Signature(self.inner.multipart_sign(&[domain.prefix(), message]).to_bytes())
    }
}

impl<R: Role> fmt::Debug for SigningKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey<{}>(public {})", R::NAME, hex::encode(self.public()))
    }
}
