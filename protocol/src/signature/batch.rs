//! Many signatures in one equation.
//!
//! If every signature of a batch satisfies \[8\](S B - h A - R) = 0, then so does every linear combination of these
//! equations. If one does not, a combination with random 128-bit coefficients z vanishes with a probability of at most
//! 2^-128. So the batch is valid when
//!
//! \[8\]( sum z R + sum (z h) A - (sum z S) B ) = 0
//!
//! which is ONE multi-scalar multiplication. The factor 8 is applied to the sum, at the end, and wipes out components of
//! small order for whatever z, as it does in the equation of a single signature.
//!
//! # Finding offenders
//!
//! A range whose sum does not vanish is halved: the left half is computed, the right half is the difference, and halves
//! that vanish are accepted. Ranges of at most `SINGLES_ITEMS_MAX` are checked one by one. The same coefficients serve
//! all ranges, since the halves are fixed before the coefficients are drawn: with at most 2 n ranges the probability
//! that any wrong signature is accepted stays below 2 n / 2^128, at most 2^-119.
//!
//! # What bad signatures can cost
//!
//! One offender in a batch of n needs less than n further items in multiplications. With two or more, halving on is no
//! cheaper than checking one by one (a multiplication costs about half a single verification per item), so n is the
//! budget: when it is spent, the ranges still open are checked one by one. Whatever is in a batch of n, it costs at most
//!
//! * 2 n items in multi-scalar multiplications: the batch, and the same once more; and
//! * n single verifications, each without the hash, which is done once.
//!
//! [`BatchReport::work`] tells what was spent. It is for the caller to take instruments with bad signatures out of later batches.

use core::ops::Range;
use std::collections::VecDeque;

use curve25519_dalek::constants::ED25519_BASEPOINT_TABLE;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use kernels::{Addends, Backend, Points, sha512, sum_of_multiples};

use super::single::{check_equation, vanishes};
use super::{Clause, CustomerRole, Domain, EnrolledKey, Signature, Verdict, encoding};
use crate::operations::{Operation, count};

/// Largest number of signatures in one equation. Longer batches are cut: beyond it the cost per signature hardly falls.
pub const BATCH_CHUNK_ITEMS_MAX: usize = 256;

/// Smaller equations are calculated without vectors: a sum in lanes costs some 100 microseconds before the first item,
/// which pays from here on.
const VECTOR_ITEMS_MIN: usize = 4;

/// In a search, ranges up to this length are checked one by one: halving on costs about as much.
const SINGLES_ITEMS_MAX: usize = 4;

/// One signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Who is said to have signed. Clauses 1 to 3 are checked again, in the batch.
    pub key: &'a EnrolledKey,
    /// The canonical bytes of the message, without the domain.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a Signature,
}

/// The result of [`verify_batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReport {
    /// One verdict per item, in the order of the items; the same that [`super::verify`] and [`super::judge`] give.
    pub verdicts: Vec<Verdict>,
    /// What it took.
    pub work: BatchWork,
}

impl BatchReport {
    /// True when every signature is valid (also when there is none).
    pub fn all_valid(&self) -> bool {
        self.verdicts.iter().all(Result::is_ok)
    }
}

/// Work done by a batch verification, in items. See the bounds in the source of this module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchWork {
    /// Items in multi-scalar multiplications, each counted as often as it was in one. At most 2 n.
    pub multiplied: usize,
    /// Items whose equation was checked alone. At most n.
    pub singles: usize,
}

/// Applies the rule to any number of signatures of one domain and gives each its own verdict.
///
/// `seed` makes the coefficients. It must be 32 fresh secret bytes of a cryptographic random source, not known to any
/// customer before the signatures are fixed. As a second line, the coefficients also depend on the whole batch (keyed
/// BLAKE3 over keys, signatures and hashes), so a seed used twice, or even known, still leaves an attacker no better way
/// than trying 2^119 batches.
///
/// Takes a time that depends on the input, all of which is public. Memory is bounded by [`BATCH_CHUNK_ITEMS_MAX`] but
/// for the verdicts.
pub fn verify_batch(domain: Domain<CustomerRole>, items: &[Item<'_>], seed: [u8; 32]) -> BatchReport {
    verify_batch_with(Backend::best(), domain, items, seed)
}

/// [`verify_batch`] with a certain backend, for tests and benches. Verdicts and work are the same with any.
pub fn verify_batch_with(
    backend: Backend,
    domain: Domain<CustomerRole>,
    items: &[Item<'_>],
    seed: [u8; 32],
) -> BatchReport {
    verify_batch_prefixed(backend, domain.prefix(), items, &seed)
}

pub(super) fn verify_batch_prefixed(
    backend: Backend,
    prefix: &[u8],
    items: &[Item<'_>],
    seed: &[u8; 32],
) -> BatchReport {
    count(Operation::SignatureChecked, items.len());
    let mut report = BatchReport { verdicts: Vec::with_capacity(items.len()), work: BatchWork::default() };
    // Chunks of like length, so that none is left with a few items that cost as much as many.
    let chunks = items.len().div_ceil(BATCH_CHUNK_ITEMS_MAX).max(1);
    for chunk in items.chunks(items.len().div_ceil(chunks).max(1)) {
        let backend = if chunk.len() < VECTOR_ITEMS_MIN { Backend::PORTABLE } else { backend };
        verify_chunk(backend, prefix, chunk, seed, &mut report);
    }
    report
}

/// Clauses 1 to 7 item by item, then clause 8 for all that are left.
fn verify_chunk(backend: Backend, prefix: &[u8], items: &[Item<'_>], seed: &[u8; 32], report: &mut BatchReport) {
    let first = report.verdicts.len();
    let keys: Vec<_> = items.iter().map(|item| *item.key.as_bytes()).collect();
    let nonces: Vec<_> = items.iter().map(|item| *item.signature.r_bytes()).collect();
    let (keys, nonces) = (Points::decompress(backend, &keys), Points::decompress(backend, &nonces));
    let mut signatures = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let s = check_encodings(item, keys.is_on_curve(position), nonces.is_on_curve(position));
        report.verdicts.push(s.map(|s| signatures.push(Reduced { position, s })));
    }
    let positions: Vec<usize> = signatures.iter().map(|signature| signature.position).collect();
    let hashed: Vec<_> = positions.iter().map(|&position| hashed_parts(&items[position], prefix)).collect();
    let hashes = sha512(backend, &hashed).iter().map(Scalar::from_bytes_mod_order_wide).collect();
    let terms = Terms::new(items, signatures, hashes, seed);
    let mut search = Search {
        items,
        terms: &terms,
        keys: keys.addends(&positions),
        nonces: nonces.addends(&positions),
        verdicts: &mut report.verdicts[first..],
        work: &mut report.work,
    };
    search.run();
}

/// Clauses 1 to 7, in order; S if they hold.
fn check_encodings(item: &Item<'_>, key_is_on_curve: bool, r_is_on_curve: bool) -> Result<Scalar, Clause> {
    let (key, r) = (item.key.as_bytes(), item.signature.r_bytes());
    let require = |holds: bool, clause: Clause| if holds { Ok(()) } else { Err(clause) };
    require(encoding::is_canonical(key), Clause::KeyNotCanonical)?;
    require(key_is_on_curve, Clause::KeyNotOnCurve)?;
    require(!encoding::is_small_order(key), Clause::KeySmallOrder)?;
    let s = Option::from(Scalar::from_canonical_bytes(*item.signature.s_bytes())).ok_or(Clause::SNotReduced)?;
    require(encoding::is_canonical(r), Clause::RNotCanonical)?;
    require(r_is_on_curve, Clause::RNotOnCurve)?;
    require(!encoding::is_small_order(r), Clause::RSmallOrder)?;
    Ok(s)
}

/// What h is the hash of.
fn hashed_parts<'a>(item: &Item<'a>, prefix: &'a [u8]) -> [&'a [u8]; 4] {
    [item.signature.r_bytes(), item.key.as_bytes(), prefix, item.message]
}

/// A signature that satisfies clauses 1 to 7.
struct Reduced {
    /// Where the item is in the chunk.
    position: usize,
    s: Scalar,
}

/// The signatures in the combined equation, each with what it is multiplied with. Of equal lengths.
struct Terms {
    signatures: Vec<Reduced>,
    hashes: Vec<Scalar>,
    z: Vec<u128>,
    z_h: Vec<Scalar>,
    z_s: Vec<Scalar>,
}

impl Terms {
    /// z = next 128 bits of keyed BLAKE3(seed; context, number of terms, every A, R, S, h).
    fn new(items: &[Item<'_>], signatures: Vec<Reduced>, hashes: Vec<Scalar>, seed: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(seed);
        hasher.update(b"quittance v1 signature batch coefficients\0");
        hasher.update(&(signatures.len() as u64).to_le_bytes());
        for (signature, h) in signatures.iter().zip(&hashes) {
            let item = &items[signature.position];
            hasher.update(item.key.as_bytes()).update(&item.signature.0).update(h.as_bytes());
        }
        let mut stream = hasher.finalize_xof();
        let count = signatures.len();
        let (mut z, mut z_h, mut z_s) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for (signature, h) in signatures.iter().zip(&hashes) {
            let mut bytes = [0; 16];
            stream.fill(&mut bytes);
            let coefficient = u128::from_le_bytes(bytes);
            z.push(coefficient);
            z_h.push(Scalar::from(coefficient) * h);
            z_s.push(Scalar::from(coefficient) * signature.s);
        }
        Self { signatures, hashes, z, z_h, z_s }
    }
}

/// The search for the signatures that break the equation.
struct Search<'a> {
    items: &'a [Item<'a>],
    terms: &'a Terms,
    /// A of every term.
    keys: Addends,
    /// R of every term.
    nonces: Addends,
    /// `Ok` for every term until the search finds otherwise.
    verdicts: &'a mut [Verdict],
    work: &'a mut BatchWork,
}

/// A range of terms and its sum, which does not vanish: at least one of them is bad.
struct Failed {
    range: Range<usize>,
    sum: EdwardsPoint,
}

impl Search<'_> {
    fn run(&mut self) {
        let all = 0..self.terms.signatures.len();
        if all.len() <= 1 {
            return self.check_singly(all);
        }
        let mut budget = all.len();
        let mut open = VecDeque::new();
        let sum = self.sum(all.clone());
        push_failed(&mut open, all, sum);
        // Level by level, so that the budget goes to the largest ranges first.
        while let Some(Failed { range, sum }) = open.pop_front() {
            let middle = range.start + range.len() / 2;
            let (left, right) = (range.start..middle, middle..range.end);
            if range.len() <= SINGLES_ITEMS_MAX || left.len() > budget {
                self.check_singly(range);
                continue;
            }
            budget -= left.len();
            let left_sum = self.sum(left.clone());
            push_failed(&mut open, left, left_sum);
            push_failed(&mut open, right, sum - left_sum);
        }
    }

    fn check_singly(&mut self, range: Range<usize>) {
        self.work.singles += range.len();
        for index in range {
            let Reduced { position, s } = &self.terms.signatures[index];
            let item = &self.items[*position];
            let point = |encoding: &[u8; 32]| CompressedEdwardsY(*encoding).decompress();
            let key = point(item.key.as_bytes()).expect("a term's key is on the curve");
            let r = point(item.signature.r_bytes()).expect("a term's R is on the curve");
            self.verdicts[*position] = check_equation(&key, &r, s, &self.terms.hashes[index]);
        }
    }

    /// sum z R + sum (z h) A - (sum z S) B over a range.
    fn sum(&mut self, range: Range<usize>) -> EdwardsPoint {
        self.work.multiplied += range.len();
        let z_s: Scalar = self.terms.z_s[range.clone()].iter().sum();
        sum_of_multiples(&self.keys, &self.terms.z_h, &self.nonces, &self.terms.z, range)
            - ED25519_BASEPOINT_TABLE * &z_s
    }
}

fn push_failed(open: &mut VecDeque<Failed>, range: Range<usize>, sum: EdwardsPoint) {
    if !vanishes(&sum) {
        open.push_back(Failed { range, sum });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CustomerKey, SigningKey};
    use super::*;

    /// The coefficients for two signatures by the holders of two seeds over two messages.
    fn coefficients(seed: u8, signers: [u8; 2], messages: [&[u8]; 2], change_s: bool) -> Vec<u128> {
        let keys = signers.map(|signer| SigningKey::<CustomerRole>::from_seed([signer; 32]));
        let publics = keys.each_ref().map(|key| CustomerKey::parse(&key.public()).unwrap());
        let mut signatures = [0, 1].map(|i| keys[i].sign(Domain::REQUEST_FOR_PAYMENT, messages[i]));
        signatures[1].0[32] ^= u8::from(change_s);
        let items =
            [0, 1].map(|i| Item { key: publics[i].enrolled(), message: messages[i], signature: &signatures[i] });
        let signatures =
            (0..2).map(|position| Reduced { position, s: check_encodings(&items[position], true, true).unwrap() });
        let hashes = sha512(Backend::PORTABLE, &items.each_ref().map(|item| hashed_parts(item, b"")));
        let hashes = hashes.iter().map(Scalar::from_bytes_mod_order_wide).collect();
        let terms = Terms::new(&items, signatures.collect(), hashes, &[seed; 32]);
        for (i, z) in terms.z.iter().enumerate() {
            assert_eq!(terms.z_h[i], Scalar::from(*z) * terms.hashes[i]);
            assert_eq!(terms.z_s[i], Scalar::from(*z) * terms.signatures[i].s);
        }
        terms.z
    }

    #[test]
    fn every_coefficient_depends_on_the_seed_and_on_the_whole_batch() {
        let base = || coefficients(1, [2, 3], [b"one", b"two"], false);
        assert_eq!(base(), base());
        let others = [
            base(),
            coefficients(9, [2, 3], [b"one", b"two"], false),
            coefficients(1, [2, 4], [b"one", b"two"], false),
            coefficients(1, [2, 3], [b"one", b"too"], false),
            coefficients(1, [2, 3], [b"one", b"two"], true),
            coefficients(1, [3, 2], [b"two", b"one"], false),
        ];
        let all: Vec<_> = others.concat();
        for (i, z) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(z));
            assert_ne!(*z, 0);
        }
    }
}
