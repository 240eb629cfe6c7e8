//! The rule once more, for a dispute: written to be read aloud, clause by clause, not to be fast.
//!
//! Nothing here is shared with the fast paths but the library's curve and scalar arithmetic: encodings are compared as
//! numbers, points of small order are found by doubling, and the two sides of the equation are computed apart, by other
//! routines of the library.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use sha2::{Digest, Sha512};

use super::{Clause, CustomerRole, Domain, Signature, Verdict};

/// p = 2^255 - 19, little endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// l = 2^252 + 27742317777372353535851937790883648493, little endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Decides whether the holder of `public` signed `message` (canonical bytes, without the domain): `Ok`, or the first
/// clause of the rule that fails. Takes any bytes and gives the same verdict as the other paths. Takes about twice as long
/// as [`super::verify`].
pub fn judge(domain: Domain<CustomerRole>, public: &[u8; 32], message: &[u8], signature: &Signature) -> Verdict {
    judge_prefixed(domain.prefix(), public, message, signature)
}

pub(super) fn judge_prefixed(prefix: &[u8], public: &[u8; 32], message: &[u8], signature: &Signature) -> Verdict {
    // Clauses 1 to 3: the key.
    let a = decode(public).map_err(|fault| match fault {
        Fault::NotCanonical => Clause::KeyNotCanonical,
        Fault::NotOnCurve => Clause::KeyNotOnCurve,
    })?;
    if times_eight(a) == EdwardsPoint::identity() {
        return Err(Clause::KeySmallOrder);
    }

    // Clause 4: S.
    let s_bytes = *signature.s_bytes();
    if !is_less(&s_bytes, &L) {
        return Err(Clause::SNotReduced);
    }
    let s = Scalar::from_bytes_mod_order(s_bytes);

    // Clauses 5 to 7: R.
    let r = decode(signature.r_bytes()).map_err(|fault| match fault {
        Fault::NotCanonical => Clause::RNotCanonical,
        Fault::NotOnCurve => Clause::RNotOnCurve,
    })?;
    if times_eight(r) == EdwardsPoint::identity() {
        return Err(Clause::RSmallOrder);
    }

    // Clause 8: the equation, as [8](S B) = [8]R + [8](h A).
    let hashed = [signature.r_bytes(), public.as_slice(), prefix, message].concat();
    let h = Scalar::from_bytes_mod_order_wide(&Sha512::digest(&hashed).into());
    let left = times_eight(EdwardsPoint::mul_base(&s));
    let right = times_eight(r) + times_eight(a * h);
    if left == right { Ok(()) } else { Err(Clause::Equation) }
}

enum Fault {
    NotCanonical,
    NotOnCurve,
}

/// The point of a canonical encoding.
fn decode(encoding: &[u8; 32]) -> Result<EdwardsPoint, Fault> {
    let mut y = *encoding;
    y[31] &= 0x7f;
    if !is_less(&y, &P) {
        return Err(Fault::NotCanonical);
    }
    let point = CompressedEdwardsY(*encoding).decompress().ok_or(Fault::NotOnCurve)?;
    // With y below p only one encoding is left that does not come back as it was: x = 0 with sign bit 1.
    if point.compress().to_bytes() != *encoding {
        return Err(Fault::NotCanonical);
    }
    Ok(point)
}

/// Compares two numbers, little endian.
fn is_less(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn times_eight(point: EdwardsPoint) -> EdwardsPoint {
    let two = point + point;
    let four = two + two;
    four + four
}
