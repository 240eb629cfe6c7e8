//! The one rule for Ed25519 signatures, and every path that applies it.
//!
//! A customer's signature is what stands between an honest customer and a repudiated payment (Kravitz, "Highly Scalable
//! On-line Payments Via Task Decoupling", section 4). It is checked in a batch when the payment is made or later, alone
//! when a batch has failed, and once more by an arbiter when there is a dispute. If those checks differed for a single
//! input, a customer could make signatures that buy goods and are void in court. So there is ONE rule
//! (DESIGN section 4):
//!
//! | # | Clause | [`Clause`] when it fails |
//! |---|---|---|
//! | 1 | the public key A is the canonical encoding ... | [`Clause::KeyNotCanonical`] |
//! | 2 | ... of a point of the curve ... | [`Clause::KeyNotOnCurve`] |
//! | 3 | ... whose order does not divide 8 | [`Clause::KeySmallOrder`] |
//! | 4 | S < l, the order of the prime subgroup | [`Clause::SNotReduced`] |
//! | 5 | R is the canonical encoding ... | [`Clause::RNotCanonical`] |
//! | 6 | ... of a point of the curve ... | [`Clause::RNotOnCurve`] |
//! | 7 | ... whose order does not divide 8 | [`Clause::RSmallOrder`] |
//! | 8 | \[8\](S B - h A - R) = 0 with h = SHA-512(R, A, M) mod l | [`Clause::Equation`] |
//!
//! The clauses are tried in this order and the first that fails is the verdict, so the paths agree on the reason too.
//! A point encoding is canonical when its y is below p = 2^255 - 19 and x = 0 comes with sign bit 0.
//!
//! The equation is cofactored because only that form can be batched: with a factor of 8 in front the components of
//! small order vanish whatever the random coefficients are. `ed25519_dalek::verify_batch` leaves it out and accepts some
//! signatures half the time.
//!
//! | Path | For | Where |
//! |---|---|---|
//! | [`verify_batch`] | many at once, one multi-scalar multiplication | `batch.rs` |
//! | [`verify`] | one, fast | `single.rs` |
//! | [`judge`] | one, in a dispute; written on its own, shares no check with the other two | `arbiter.rs` |
//!
//! Two neighbours are stricter than the rule, and neither can be played off against it. A key enters the system through
//! [`CustomerKey::parse`], which wants it torsion-free besides clauses 1 to 3. And the TPS's own signatures, which one
//! party checks alone, go through [`strict_verify`], or [`PreparedKey`], which gives the same verdicts faster.
//!
//! M is never the message alone: it is the [`Domain`] of the message, then the message. Vectors for verifiers in other
//! languages are in `vectors/signature/`.

mod arbiter;
mod batch;
mod clause;
mod customer_key;
mod domain;
mod encoding;
mod sign_each;
mod signed;
mod signing_key;
mod single;
mod strict;
#[cfg(test)]
mod tests;

pub use arbiter::judge;
pub use batch::{BATCH_CHUNK_ITEMS_MAX, BatchReport, BatchWork, Item, verify_batch, verify_batch_with};
pub use clause::{Clause, Verdict};
pub use customer_key::{CustomerKey, EnrolledKey, KeyError};
pub use domain::{
    CertificateRole, CustomerRole, DeskRole, Domain, FundingRole, MerchantRole, NotaryRole, ProofRole, Role, RootRole,
};
pub use sign_each::sign_each;
pub(crate) use signed::Signed;
pub use signing_key::SigningKey;
pub use single::verify;
pub use strict::{PreparedKey, StrictError, strict_verify};

/// An Ed25519 signature as it travels: R (32 bytes), then S (32 bytes, little endian). Any 64 bytes are a value of this
/// type; whether they are valid is a [`Verdict`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// The first half, an encoded point.
    pub(super) fn r_bytes(&self) -> &[u8; 32] {
        self.halves().0
    }

    /// The second half, an encoded scalar.
    pub(super) fn s_bytes(&self) -> &[u8; 32] {
        self.halves().1
    }

    fn halves(&self) -> (&[u8; 32], &[u8; 32]) {
        let (halves, _) = self.0.as_chunks::<32>();
        (&halves[0], &halves[1])
    }
}

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Signature({})", hex::encode(self.0))
    }
}
