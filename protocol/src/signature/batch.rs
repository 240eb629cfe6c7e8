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
//! that any wrong signature is accepted stays below 2 n / 2^128, at most 2^-117.
//!
//! # What bad signatures can cost
//!
//! One offender in a batch of n needs less than n further items in multiplications. With two or more, halving on is no
//! cheaper than checking one by one (a multiplication costs about half a single verification per item), so n is the
//! budget: when it is spent, the ranges still open are checked one by one. Whatever is in a batch of n, it costs at most
//!
//! * 2 n items in multi-scalar multiplications: the batch, and the same once more; and
//! * n single verifications, each without the decompression and the hash, which are done once.
//!
//! Measured, a batch with many offenders costs about four times a good one. [`BatchReport::work`] tells what was
//! spent. It is for the caller to take instruments with bad signatures out of later batches.

use core::ops::Range;
use std::collections::VecDeque;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;

use super::single::{Equation, vanishes};
use super::{CustomerKey, CustomerRole, Domain, Signature, Verdict};

/// Largest number of signatures in one equation. Longer batches are cut: beyond it the cost per signature hardly falls,
/// while tables outgrow the cache.
pub const BATCH_CHUNK_ITEMS_MAX: usize = 1024;

/// In a search, ranges up to this length are checked one by one: halving on costs about as much.
const SINGLES_ITEMS_MAX: usize = 4;

/// One signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Who is said to have signed.
    pub key: &'a CustomerKey,
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
/// than trying 2^117 batches.
///
/// Takes a time that depends on the input, all of which is public. Memory is bounded by [`BATCH_CHUNK_ITEMS_MAX`] but
/// for the verdicts.
pub fn verify_batch(domain: Domain<CustomerRole>, items: &[Item<'_>], seed: [u8; 32]) -> BatchReport {
    verify_batch_prefixed(domain.prefix(), items, &seed)
}

pub(super) fn verify_batch_prefixed(prefix: &[u8], items: &[Item<'_>], seed: &[u8; 32]) -> BatchReport {
    let mut report = BatchReport { verdicts: Vec::with_capacity(items.len()), work: BatchWork::default() };
    for chunk in items.chunks(BATCH_CHUNK_ITEMS_MAX) {
        verify_chunk(prefix, chunk, seed, &mut report);
    }
    report
}

/// Clauses 4 to 7 item by item, then clause 8 for all that are left.
fn verify_chunk(prefix: &[u8], items: &[Item<'_>], seed: &[u8; 32], report: &mut BatchReport) {
    let first = report.verdicts.len();
    let mut terms = Vec::with_capacity(items.len());
    for item in items {
        let verdict = Equation::new(item.key, prefix, item.message, item.signature).map(|equation| {
            terms.push(Term { position: report.verdicts.len() - first, equation, z: Scalar::ZERO, z_h: Scalar::ZERO });
        });
        report.verdicts.push(verdict);
    }
    draw_coefficients(&mut terms, items, seed);
    let mut search = Search { items, terms: &terms, verdicts: &mut report.verdicts[first..], work: &mut report.work };
    search.run();
}

/// A signature in the combined equation.
struct Term {
    /// Where the item is in the chunk.
    position: usize,
    equation: Equation,
    z: Scalar,
    z_h: Scalar,
}

/// z = next 128 bits of keyed BLAKE3(seed; context, number of terms, every A, R, S, h).
fn draw_coefficients(terms: &mut [Term], items: &[Item<'_>], seed: &[u8; 32]) {
    let mut hasher = blake3::Hasher::new_keyed(seed);
    hasher.update(b"quittance v1 signature batch coefficients\0");
    hasher.update(&(terms.len() as u64).to_le_bytes());
    for term in terms.iter() {
        let item = &items[term.position];
        hasher.update(item.key.as_bytes()).update(&item.signature.0).update(term.equation.h.as_bytes());
    }
    let mut stream = hasher.finalize_xof();
    for term in terms {
        let mut z = [0; 16];
        stream.fill(&mut z);
        term.z = Scalar::from(u128::from_le_bytes(z));
        term.z_h = term.z * term.equation.h;
    }
}

/// The search for the signatures that break the equation.
struct Search<'a> {
    items: &'a [Item<'a>],
    terms: &'a [Term],
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
        let all = 0..self.terms.len();
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
        for term in &self.terms[range] {
            self.verdicts[term.position] = term.equation.check(self.items[term.position].key);
        }
    }

    /// sum z R + sum (z h) A - (sum z S) B over a range.
    fn sum(&mut self, range: Range<usize>) -> EdwardsPoint {
        self.work.multiplied += range.len();
        let terms = &self.terms[range];
        let minus_z_s = -terms.iter().map(|term| term.z * term.equation.s).sum::<Scalar>();
        let scalars = core::iter::once(&minus_z_s)
            .chain(terms.iter().map(|term| &term.z))
            .chain(terms.iter().map(|term| &term.z_h));
        let points = core::iter::once(&ED25519_BASEPOINT_POINT)
            .chain(terms.iter().map(|term| &term.equation.r))
            .chain(terms.iter().map(|term| self.items[term.position].key.point()));
        EdwardsPoint::vartime_multiscalar_mul(scalars, points)
    }
}

fn push_failed(open: &mut VecDeque<Failed>, range: Range<usize>, sum: EdwardsPoint) {
    if !vanishes(&sum) {
        open.push_back(Failed { range, sum });
    }
}

#[cfg(test)]
mod tests {
    use super::super::SigningKey;
    use super::*;

    /// The coefficients for two signatures by the holders of two seeds over two messages.
    fn coefficients(seed: u8, signers: [u8; 2], messages: [&[u8]; 2], change_s: bool) -> Vec<Scalar> {
        let keys = signers.map(|signer| SigningKey::<CustomerRole>::from_seed([signer; 32]));
        let publics = keys.each_ref().map(|key| CustomerKey::parse(&key.public()).unwrap());
        let mut signatures = [0, 1].map(|i| keys[i].sign(Domain::REQUEST_FOR_PAYMENT, messages[i]));
        signatures[1].0[32] ^= u8::from(change_s);
        let items = [0, 1].map(|i| Item { key: &publics[i], message: messages[i], signature: &signatures[i] });
        let terms = items.iter().enumerate().map(|(position, item)| {
            let equation = Equation::new(item.key, b"", item.message, item.signature).unwrap();
            Term { position, equation, z: Scalar::ZERO, z_h: Scalar::ZERO }
        });
        let mut terms: Vec<_> = terms.collect();
        draw_coefficients(&mut terms, &items, &[seed; 32]);
        assert!(terms.iter().all(|term| term.z_h == term.z * term.equation.h));
        terms.iter().map(|term| term.z).collect()
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
            assert!(z.as_bytes()[16..].iter().all(|&byte| byte == 0) && *z != Scalar::ZERO);
        }
    }
}
