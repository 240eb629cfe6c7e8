//! Public keys of customers.

use core::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use thiserror::Error;

use super::{Clause, encoding};

/// A customer's public key that satisfies clauses 1 to 3 of the rule, with its point at hand (192 bytes). Only the two
/// constructors make one.
#[derive(Clone)]
pub struct CustomerKey {
    enrolled: EnrolledKey,
    point: EdwardsPoint,
}

/// The 32 bytes of a key that was checked at enrolment, without its point: what a directory of many keys holds. A batch
/// decompresses keys many at once, for a fifth of what it costs one by one.
///
/// The type says where the bytes come from, not what they are. [`super::verify_batch`] applies the whole rule to them, so
/// that bytes which were damaged in store lead to a refusal with the clause they break.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnrolledKey([u8; 32]);

impl EnrolledKey {
    /// For bytes that passed [`CustomerKey::parse`] and come back from our own store. Nothing is checked.
    pub fn from_store(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The encoding, as it is stored and as it enters the hash of a signature.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EnrolledKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolledKey({})", hex::encode(self.0))
    }
}

/// Why bytes are not accepted as a customer's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum KeyError {
    /// Clause 1 of the rule.
    #[error("not a canonical encoding of a point: y is not below 2^255 - 19, or x is 0 with sign bit 1")]
    NotCanonical,
    /// Clause 2 of the rule.
    #[error("not a point of the curve")]
    NotOnCurve,
    /// Clause 3 of the rule.
    #[error("a point of small order, which is nobody's key")]
    SmallOrder,
    /// Enrolment only: the point is the sum of an honest key and a point of small order.
    #[error("a point with a component of small order, which no honest key generation makes")]
    Torsion,
}

impl KeyError {
    /// The clause of the rule that a signature under such a key breaks. `None` for [`KeyError::Torsion`], which bars a
    /// key from enrolment while the rule itself, being cofactored, gives one verdict on every path.
    pub fn clause(self) -> Option<Clause> {
        match self {
            Self::NotCanonical => Some(Clause::KeyNotCanonical),
            Self::NotOnCurve => Some(Clause::KeyNotOnCurve),
            Self::SmallOrder => Some(Clause::KeySmallOrder),
            Self::Torsion => None,
        }
    }
}

impl CustomerKey {
    /// The enrolment check: canonical, on the curve, not of small order, torsion-free. The caller also asks for a proof
    /// of possession, a signature in [`super::Domain::ENROLMENT`]. Costs a scalar multiplication.
    pub fn parse(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Self::from_enrolled(*bytes)?;
        if key.point.is_torsion_free() { Ok(key) } else { Err(KeyError::Torsion) }
    }

    /// For bytes that passed [`CustomerKey::parse`] before and come back from our own store. Leaves out the costly part
    /// (torsion) only; an error means that the store is damaged. Costs a decompression.
    pub fn from_enrolled(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if !encoding::is_canonical(&bytes) {
            return Err(KeyError::NotCanonical);
        }
        let point = CompressedEdwardsY(bytes).decompress().ok_or(KeyError::NotOnCurve)?;
        if encoding::is_small_order(&bytes) {
            return Err(KeyError::SmallOrder);
        }
        Ok(Self { enrolled: EnrolledKey(bytes), point })
    }

    /// The encoding, as it is stored and as it enters the hash of a signature.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.enrolled.as_bytes()
    }

    /// The key without its point.
    pub fn enrolled(&self) -> &EnrolledKey {
        &self.enrolled
    }

    pub(super) fn point(&self) -> &EdwardsPoint {
        &self.point
    }
}

impl PartialEq for CustomerKey {
    fn eq(&self, other: &Self) -> bool {
        self.enrolled == other.enrolled
    }
}

impl Eq for CustomerKey {}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerKey({})", hex::encode(self.as_bytes()))
    }
}
