//! Signatures of the TPS and of merchants, which the rule for customers is not for.

use thiserror::Error;

use super::{Domain, Role, Signature, encoding};

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
