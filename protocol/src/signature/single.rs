//! One signature, fast.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};

use super::{Clause, CustomerKey, CustomerRole, Domain, Signature, Verdict, encoding};
use crate::operations::{Operation, count};

/// Applies the rule to one signature. `message` is the canonical bytes without the domain. The key has satisfied
/// clauses 1 to 3, so the verdict is about clauses 4 to 8.
///
/// Takes a time that depends on the input, all of which is public.
pub fn verify(key: &CustomerKey, domain: Domain<CustomerRole>, message: &[u8], signature: &Signature) -> Verdict {
    verify_prefixed(key, domain.prefix(), message, signature)
}

pub(super) fn verify_prefixed(key: &CustomerKey, prefix: &[u8], message: &[u8], signature: &Signature) -> Verdict {
    count(Operation::SignatureChecked, 1);
    Equation::new(key, prefix, message, signature)?.check(key)
}

/// A signature that satisfies clauses 1 to 7, reduced to the numbers of its equation.
struct Equation {
    r: EdwardsPoint,
    s: Scalar,
    h: Scalar,
}

impl Equation {
    /// Clauses 4 to 7, in order, then the hash.
    fn new(key: &CustomerKey, prefix: &[u8], message: &[u8], signature: &Signature) -> Result<Self, Clause> {
        let s = Option::from(Scalar::from_canonical_bytes(*signature.s_bytes())).ok_or(Clause::SNotReduced)?;
        let r_bytes = signature.r_bytes();
        if !encoding::is_canonical(r_bytes) {
            return Err(Clause::RNotCanonical);
        }
        let r = CompressedEdwardsY(*r_bytes).decompress().ok_or(Clause::RNotOnCurve)?;
        if encoding::is_small_order(r_bytes) {
            return Err(Clause::RSmallOrder);
        }
        let hash = Sha512::new().chain_update(r_bytes).chain_update(key.as_bytes());
        let h = Scalar::from_hash(hash.chain_update(prefix).chain_update(message));
        Ok(Self { r, s, h })
    }

    /// Clause 8.
    fn check(&self, key: &CustomerKey) -> Verdict {
        check_equation(key.point(), &self.r, &self.s, &self.h)
    }
}

/// Clause 8 for a key, R, S and h that satisfy the others.
pub(super) fn check_equation(key: &EdwardsPoint, r: &EdwardsPoint, s: &Scalar, h: &Scalar) -> Verdict {
    let s_b_minus_h_a = EdwardsPoint::vartime_double_scalar_mul_basepoint(h, &-key, s);
    if vanishes(&(s_b_minus_h_a - r)) { Ok(()) } else { Err(Clause::Equation) }
}

/// True when \[8\] `point` is the identity, so that `point` has no component in the prime subgroup.
pub(super) fn vanishes(point: &EdwardsPoint) -> bool {
    point.mul_by_cofactor().is_identity()
}
