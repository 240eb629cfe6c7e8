//! Signatures of the TPS and of merchants, which the rule for customers is not for.

use core::fmt;
use core::marker::PhantomData;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use kernels::{Backend, FixedPoint, fixed_sum};
use sha2::{Digest, Sha512};
use thiserror::Error;

use super::{Domain, Role, Signature, encoding};
use crate::operations::{Operation, count};

/// Why a strict verification failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum StrictError {
    /// The pinned or certified public key is at fault, whatever the signature.
    #[error("the public key is not the canonical encoding of a point of the curve")]
    PublicKey,
    /// The signature is at fault; under a public key of small order every signature is.
    #[error("the signature is not one of this key over this message")]
    Signature,
}

/// Verifies a signature with the strict equation S B - h A = R, without cofactor: for keys of the TPS and of merchants,
/// pinned or certified, where every verifier is alone and nothing is ever batched (DESIGN section 4). Accepts a
/// subset of what the rule for customers accepts. The message is the concatenation of `message_parts`.
pub fn strict_verify<R: Role>(
    public: &[u8; 32],
    domain: Domain<R>,
    message_parts: &[&[u8]],
    signature: &Signature,
) -> Result<(), StrictError> {
    strict_verify_prefixed(public, domain.prefix(), message_parts, signature)
}

pub(super) fn strict_verify_prefixed(
    public: &[u8; 32],
    prefix: &[u8],
    message_parts: &[&[u8]],
    signature: &Signature,
) -> Result<(), StrictError> {
    count(Operation::SignatureChecked, 1);
    if !encoding::is_canonical(public) {
        return Err(StrictError::PublicKey);
    }
    let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| StrictError::PublicKey)?;
    let mut message = prefix.to_vec();
    for part in message_parts {
        message.extend_from_slice(part);
    }
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(&message, &signature).map_err(|_| StrictError::Signature)
}

/// A public key under which many signatures will be verified: [`strict_verify`] several times faster, with the same
/// verdicts. Takes 61 KB, and as long to make as some five verifications; the first in a process some milliseconds more.
pub struct PreparedKey<R: Role> {
    public: [u8; 32],
    minus_key: FixedPoint,
    role: PhantomData<fn() -> R>,
}

impl<R: Role> PreparedKey<R> {
    /// Prepares a pinned or certified key.
    ///
    /// # Errors
    /// What [`strict_verify`] says of every signature under a key that is not canonical, not on the curve, or of small
    /// order.
    pub fn new(public: &[u8; 32]) -> Result<Self, StrictError> {
        if !encoding::is_canonical(public) {
            return Err(StrictError::PublicKey);
        }
        let point = CompressedEdwardsY(*public).decompress().ok_or(StrictError::PublicKey)?;
        if encoding::is_small_order(public) {
            return Err(StrictError::Signature);
        }
        Ok(Self { public: *public, minus_key: FixedPoint::new(Backend::best(), &-point), role: PhantomData })
    }

    /// Gives the verdict of [`strict_verify`] for this key. The message is the concatenation of `message_parts`.
    ///
    /// # Errors
    /// [`StrictError::Signature`].
    pub fn verify(&self, domain: Domain<R>, message_parts: &[&[u8]], signature: &Signature) -> Result<(), StrictError> {
        self.verify_prefixed(domain.prefix(), message_parts, signature)
    }

    pub(super) fn verify_prefixed(
        &self,
        prefix: &[u8],
        message_parts: &[&[u8]],
        signature: &Signature,
    ) -> Result<(), StrictError> {
        count(Operation::SignatureChecked, 1);
        let s = Option::from(Scalar::from_canonical_bytes(*signature.s_bytes())).ok_or(StrictError::Signature)?;
        let mut hash = Sha512::new().chain_update(signature.r_bytes()).chain_update(self.public).chain_update(prefix);
        for part in message_parts {
            hash.update(part);
        }
        let h = Scalar::from_hash(hash);
        // R is never decompressed: what equals the encoding of a point is canonical and on the curve.
        let r = fixed_sum((&s, FixedPoint::base()), (&h, &self.minus_key));
        if r == *signature.r_bytes() && !encoding::is_small_order(&r) { Ok(()) } else { Err(StrictError::Signature) }
    }
}

impl<R: Role> fmt::Debug for PreparedKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedKey({})", hex::encode(self.public))
    }
}
