//! Sums of many multiples of points (Straus): every lane keeps its own sum, so lanes never wait for each other.
//!
//! A scalar is written in signed hexadecimal digits, -8 to 7. For each of the 64 places the running sum is multiplied by
//! 16 once, for all points together, and each point's multiple by its digit is added from a table of 8 multiples.

use super::super::field::LANES;
use super::super::field::{load_entries, store_entries};
use super::super::vector::prefetch;
use super::edwards::{
    Cached, Extended, add_cached, compress, double, gather_affine, identity, sum_of_lanes, to_cached,
};
use crate::digits::{Digits, PLACES};
use crate::entry::{Affine, Entry};
use crate::table::{MULTIPLES, PointTable};

/// How far ahead entries are fetched: tables of many points are not in the nearest cache, which entry is next looks
/// random, and an addition takes about as long as a fetch from the third-level cache.
const GROUPS_AHEAD: usize = 2;

lanes! {
    /// Appends the multiples 1 to 8 of each point.
    pub(crate) fn append_multiples(points: &[&Affine], entries: &mut Vec<Entry>) {
        for group in points.chunks(LANES) {
            let mut padded = [group[0]; LANES];
            padded[..group.len()].copy_from_slice(group);
            let start = entries.len();
            entries.resize(start + group.len() * MULTIPLES, Entry([0; 20]));
            let mut write = |multiple: usize, cached: &Cached| {
                let mut rows = [Entry([0; 20]); LANES];
                store_entries(cached, &mut rows);
                for lane in 0..group.len() {
                    entries[start + lane * MULTIPLES + multiple - 1] = rows[lane];
                }
            };
            let first = gather_affine(&padded);
            let cached = to_cached(&first);
            write(1, &cached);
            // 2 m and 2 m + 1 from m.
            let mut known = [first; MULTIPLES / 2 + 1];
            for m in 1..=MULTIPLES / 2 {
                let even = double::<true>(&known[m]);
                write(2 * m, &to_cached(&even));
                if 2 * m <= MULTIPLES / 2 {
                    known[2 * m] = even;
                }
                if m < MULTIPLES / 2 {
                    let odd = add_cached(&even, &cached);
                    write(2 * m + 1, &to_cached(&odd));
                    if 2 * m < MULTIPLES / 2 {
                        known[2 * m + 1] = odd;
                    }
                }
            }
        }
    }

    /// The table entries for one place of a group of digits, and which of them count negatively.
    fn entries_for<'a>(table: &'a PointTable, first: usize, group: &[Digits], place: usize) -> ([&'a Entry; LANES], u8) {
        let mut entries = [table.identity(); LANES];
        let mut negative = 0;
        for (lane, digits) in group.iter().enumerate() {
            let digit = digits.0[place];
            entries[lane] = table.multiple(first + lane, digit.unsigned_abs());
            negative |= u8::from(digit < 0) << lane;
        }
        (entries, negative)
    }

    /// Adds to each lane's sum the multiples for the digits at one place, of the points from `first` on.
    fn add_place(total: &mut Extended, table: &PointTable, first: usize, digits: &[Digits], place: usize) {
        let groups = digits.len().div_ceil(LANES);
        let mut waiting = [([table.identity(); LANES], 0); GROUPS_AHEAD];
        for ahead in 0..groups + GROUPS_AHEAD {
            let slot = &mut waiting[ahead % GROUPS_AHEAD];
            if ahead >= GROUPS_AHEAD {
                *total = add_cached(total, &load_entries(&slot.0, slot.1));
            }
            if ahead < groups {
                let start = ahead * LANES;
                let group = &digits[start..digits.len().min(start + LANES)];
                *slot = entries_for(table, first + start, group, place);
                for entry in slot.0 {
                    prefetch(entry);
                }
            }
        }
    }

    /// The encoded sum of all multiples: for each pair of a table and digits, the digits are those of the points from
    /// the given one on, and have no more than so many places.
    pub(crate) fn sum_of_multiples(terms: &[(&PointTable, usize, &[Digits], usize)]) -> [u8; 32] {
        let mut total = identity();
        for place in (0..PLACES).rev() {
            if place != PLACES - 1 {
                for _ in 0..3 {
                    total = double::<false>(&total);
                }
                total = double::<true>(&total);
            }
            for (table, first, digits, places) in terms {
                if place < *places {
                    add_place(&mut total, table, *first, digits, place);
                }
            }
        }
        compress(&sum_of_lanes(&total))[0]
    }
}
