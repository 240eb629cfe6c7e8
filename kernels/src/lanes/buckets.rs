//! Sums of many multiples of points (Pippenger): every lane has its own places of all scalars, and a bucket for each
//! digit that may stand there.
//!
//! A scalar is written in signed digits of some bits each. At one place of all scalars, each point is added to the bucket of
//! its digit's magnitude, or subtracted; then bucket m is added up m times. The lanes work at neighbouring places, so the
//! point is the same in all, and only its sign and the bucket differ. Nothing is prepared for a point but its addend.

use super::super::field::*;
use super::edwards::{
    Extended, add_addend, add_cached, compress, double, from_affine, gather_affine, identity, load_addend,
    rotate_lanes, to_addend, to_cached,
};
use crate::digits::{SCALAR_BITS, SHORT_SCALAR_BITS, WIDTH_MAX, append_digits, places};
use crate::entry::{Addend, Affine, Entry, Terms};

/// Multiplications to add a point to a bucket, and to add up a bucket: what widths are compared by.
const POINT_COST: usize = 7;
const BUCKET_COST: usize = 18;

/// How many groups of neighbouring places scalars have, one place per lane.
const fn groups(bits: usize, width: usize) -> usize {
    places(bits, width).div_ceil(LANES)
}

/// The width of digits that takes the least work for so many long and as many short scalars: wide digits are few, but
/// have many buckets.
fn best_width(points: usize) -> usize {
    let cost = |width: &usize| {
        let (long, short) = (groups(SCALAR_BITS, *width), groups(SHORT_SCALAR_BITS, *width));
        (long + short) * points * POINT_COST + (long << (width - 1)) * BUCKET_COST
    };
    (2..=WIDTH_MAX).min_by_key(cost).unwrap_or(WIDTH_MAX)
}

lanes! {
    /// Appends what is added for each point.
    pub(crate) fn append_addends(points: &[&Affine], addends: &mut Vec<Addend>) {
        for group in points.chunks(LANES) {
            let mut padded = [group[0]; LANES];
            padded[..group.len()].copy_from_slice(group);
            let (x, y) = gather_affine(&padded);
            let coordinates = to_addend(&from_affine(&x, &y)).map(|coordinate| to_words(&coordinate));
            for lane in 0..group.len() {
                addends.push(Addend(coordinates.map(|limbs| limbs.map(|limb| limb[lane]))));
            }
        }
    }

    /// Adds each point to the buckets of its digits in one group of places, of so many. Bucket m of a lane is at
    /// m LANES + lane; what gets into bucket 0 does not count.
    fn fill(buckets: &mut [Entry], points: &[Addend], digits: &[i8], groups: usize, group: usize) {
        for (point, digits) in points.iter().zip(digits.as_chunks::<LANES>().0.chunks_exact(groups)) {
            let digits = digits[group];
            let mut positions = [0; LANES];
            let mut negative = 0;
            for lane in 0..LANES {
                positions[lane] = usize::from(digits[lane].unsigned_abs()) * LANES + lane;
                negative |= u8::from(digits[lane] < 0) << lane;
            }
            let chosen = buckets.get_disjoint_mut(positions).expect("every lane has buckets of its own");
            let sum = load_entries(&chosen.each_ref().map(|entry| &**entry));
            let sum = add_addend(&Extended::from(sum), &load_addend(point, negative));
            store_entries(&sum.into(), chosen);
        }
    }

    /// The sum of m times bucket m, in each lane.
    fn weighted_sum(buckets: &[Entry]) -> Extended {
        let bucket = |entries: &[Entry; LANES]| Extended::from(load_entries(&entries.each_ref()));
        let (highest, lower) = buckets.as_chunks::<LANES>().0[1..].split_last().expect("buckets for all digits");
        let mut running = bucket(highest);
        let mut total = running;
        for entries in lower.iter().rev() {
            running = add_cached(&running, &to_cached(&bucket(entries)));
            total = add_cached(&total, &to_cached(&running));
        }
        total
    }

    fn double_times(p: &Extended, times: usize) -> Extended {
        let mut doubled = *p;
        for _ in 1..times {
            doubled = double::<false>(&doubled);
        }
        double::<true>(&doubled)
    }

    /// The encoded sum of all multiples.
    pub(crate) fn sum_of_multiples(terms: &[Terms<'_>]) -> [u8; 32] {
        let width = best_width(terms.iter().map(|terms| terms.points.len()).max().unwrap_or(0));
        let digits = terms.iter().map(|terms| {
            let count = groups(terms.bits, width) * LANES;
            let mut digits = Vec::with_capacity(terms.scalars.len() * count);
            terms.scalars.iter().for_each(|scalar| append_digits(scalar, width, count, &mut digits));
            digits
        });
        let digits: Vec<Vec<i8>> = digits.collect();
        let nothing = identity_entry();
        let mut buckets = vec![nothing; ((1 << (width - 1)) + 1) * LANES];
        let all = terms.iter().map(|terms| groups(terms.bits, width)).max().unwrap_or(0);
        let mut total = identity();
        for group in (0..all).rev() {
            buckets.fill(nothing);
            for (terms, digits) in terms.iter().zip(&digits) {
                let groups = groups(terms.bits, width);
                if group < groups {
                    fill(&mut buckets, terms.points, digits, groups, group);
                }
            }
            if group + 1 < all {
                total = double_times(&total, width * LANES);
            }
            total = add_cached(&total, &to_cached(&weighted_sum(&buckets)));
        }
        // A lane counts 2^width times as much as the one before. The sum is in the first lane.
        let mut sum = rotate_lanes(&to_cached(&total), LANES - 1);
        let mut first = add_cached(&identity(), &sum);
        for lane in (0..LANES - 1).rev() {
            sum = rotate_lanes(&to_cached(&total), lane);
            first = add_cached(&double_times(&first, width), &sum);
        }
        compress(&first)[0]
    }

    /// The entry of the identity.
    fn identity_entry() -> Entry {
        let mut entries = [Entry([0; 20]); LANES];
        store_entries(&identity().into(), entries.each_mut());
        entries[0]
    }
}
