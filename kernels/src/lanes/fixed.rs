//! Multiples of a point that is known long before the scalars: of every place of a scalar the multiples 1 to 8 are in a
//! table, so that nothing is doubled.

use super::super::field::*;
use super::ONE;
use super::bytes::to_bytes;
use super::edwards::{
    CachedAffine, Extended, add_addend, add_cached, compress, from_affine, gather_affine, identity, load_addend,
    rotate_lanes, to_addend, to_cached,
};
use super::power::invert;
use crate::entry::{Addend, Affine};
use crate::erase::erase;
use crate::fixed::{MULTIPLES, PLACES, Places};

/// Groups of lanes that share the loading of a table and an inversion.
const GROUPS_MAX: usize = 16;

/// For each multiple from 1 on the lanes whose digit asks for it, and the lanes with a negative digit. The same work
/// whatever the digits are.
fn wanted(group: &[Places], place: usize) -> ([u8; MULTIPLES], u8) {
    let (mut chosen, mut negative) = (0, 0);
    for (lane, digits) in group.iter().enumerate() {
        let digit = digits[place];
        // Byte m - 1 stands for multiple m; a digit of 0 is shifted out.
        chosen |= ((1_u128 << (8 * u32::from(digit.unsigned_abs()) + lane as u32)) >> 8) as u64;
        negative |= (digit.cast_unsigned() >> 7) << lane;
    }
    (chosen.to_le_bytes(), negative)
}

lanes! {
    /// Appends what is added for the multiples 1 to 8 of each point.
    pub(crate) fn append_multiples(points: &[Affine], addends: &mut Vec<Addend>) {
        for group in points.chunks(LANES) {
            let mut padded = [&group[0]; LANES];
            padded.iter_mut().zip(group).for_each(|(place, point)| *place = point);
            let (x, y) = gather_affine(&padded);
            let first = from_affine(&x, &y);
            let step = to_addend(&first);
            let mut multiples = [first; MULTIPLES];
            for m in 1..MULTIPLES {
                multiples[m] = add_addend(&multiples[m - 1], &step);
            }
            let mut inverses = multiples.map(|point| carry(&point.z));
            invert_each(&mut inverses);
            let mut words = [[[[0; LANES]; 5]; 3]; MULTIPLES];
            for m in 0..MULTIPLES {
                let x = multiply(&carry(&multiples[m].x), &inverses[m]);
                let y = multiply(&carry(&multiples[m].y), &inverses[m]);
                words[m] = to_addend(&from_affine(&x, &y)).map(|coordinate| to_words(&coordinate));
            }
            for lane in 0..group.len() {
                addends.extend(words.map(|coordinates| Addend(coordinates.map(|limbs| limbs.map(|limb| limb[lane])))));
            }
        }
    }

    /// What is added for the identity.
    pub(crate) fn append_identity(addends: &mut Vec<Addend>) {
        let coordinates = to_addend(&identity()).map(|coordinate| to_words(&coordinate));
        addends.push(Addend(coordinates.map(|limbs| limbs.map(|limb| limb[0]))));
    }

    /// The multiple that each lane wants.
    fn choose(entries: &[CachedAffine; MULTIPLES], nothing: &CachedAffine, group: &[Places], place: usize) -> CachedAffine {
        let (wanted, negative) = wanted(group, place);
        let [mut plus, mut minus, mut t] = *nothing;
        for (entry, lanes) in entries.iter().zip(wanted) {
            let mask = mask_of_lanes(lanes);
            plus = select(mask, &plus, &entry[0]);
            minus = select(mask, &minus, &entry[1]);
            t = select(mask, &t, &entry[2]);
        }
        let mask = mask_of_lanes(negative);
        [select(mask, &plus, &minus), select(mask, &minus, &plus), select(mask, &t, &negate(&t))]
    }

    /// Up to `LANES * GROUPS_MAX` multiples, in constant time: all lanes want one of the same eight entries at a place, so
    /// all eight are looked at.
    fn multiples_of_chunk(table: &[Addend], digits: &[Places]) -> [Extended; GROUPS_MAX] {
        let mut sums = [identity(); GROUPS_MAX];
        let nothing = to_addend(&identity());
        for (place, row) in table.as_chunks::<MULTIPLES>().0.iter().enumerate() {
            let mut entries = [nothing; MULTIPLES];
            for (entry, addend) in entries.iter_mut().zip(row) {
                *entry = load_addend(addend, 0);
            }
            for (sum, group) in sums.iter_mut().zip(digits.chunks(LANES)) {
                *sum = add_addend(sum, &choose(&entries, &nothing, group, place));
            }
        }
        sums
    }

    /// The inverse of each number, and 0 of 0, for one inversion.
    fn invert_each(numbers: &mut [Carried]) {
        let one = constant(&ONE);
        let mut before = [one; GROUPS_MAX];
        let mut product = one;
        for (number, before) in numbers.iter().zip(&mut before) {
            *before = product;
            // A 0 would make the product of its lane 0 in all groups.
            product = multiply(&product, &select(is_zero(number), number, &one));
        }
        let mut inverse = invert(&product);
        for (number, before) in numbers.iter_mut().zip(&before).rev() {
            let is_nothing = is_zero(number);
            let quotient = multiply(&inverse, before);
            inverse = multiply(&inverse, &select(is_nothing, number, &one));
            *number = select(is_nothing, &quotient, &zero());
        }
        erase(&mut before);
        erase(&mut [product, inverse]);
    }

    /// The encodings of the multiples (RFC 8032). There are as many scalars as encodings.
    pub(crate) fn encoded_multiples(table: &[Addend], scalars: &[Places], encodings: &mut [[u8; 32]]) {
        const CHUNK: usize = LANES * GROUPS_MAX;
        for (digits, encodings) in scalars.chunks(CHUNK).zip(encodings.chunks_mut(CHUNK)) {
            let mut points = multiples_of_chunk(table, digits);
            let mut inverses = points.map(|point| carry(&point.z));
            invert_each(&mut inverses);
            for ((point, inverse), encodings) in points.iter().zip(&inverses).zip(encodings.chunks_mut(LANES)) {
                let signs = lanes_of_mask(is_odd(&multiply(&carry(&point.x), inverse)));
                let bytes = to_bytes(&multiply(&carry(&point.y), inverse));
                encodings.copy_from_slice(&bytes[..encodings.len()]);
                for (lane, encoding) in encodings.iter_mut().enumerate() {
                    encoding[31] |= (signs >> lane & 1) << 7;
                }
            }
            erase(&mut points);
            erase(&mut inverses);
        }
    }

    /// The u-coordinates of the multiples on the Montgomery curve (RFC 7748): (Z + Y) / (Z - Y), and 0 for the identity.
    /// There are as many scalars as coordinates.
    pub(crate) fn u_of_multiples(table: &[Addend], scalars: &[Places], coordinates: &mut [[u8; 32]]) {
        const CHUNK: usize = LANES * GROUPS_MAX;
        for (digits, coordinates) in scalars.chunks(CHUNK).zip(coordinates.chunks_mut(CHUNK)) {
            let mut points = multiples_of_chunk(table, digits);
            let mut inverses = [zero(); GROUPS_MAX];
            for (inverse, point) in inverses.iter_mut().zip(&points) {
                *inverse = difference(&point.z, &point.y);
            }
            invert_each(&mut inverses);
            for ((point, inverse), coordinates) in points.iter().zip(&inverses).zip(coordinates.chunks_mut(LANES)) {
                let mut bytes = to_bytes(&multiply(&sum(&point.z, &point.y), inverse));
                coordinates.copy_from_slice(&bytes[..coordinates.len()]);
                erase(&mut bytes);
            }
            erase(&mut points);
            erase(&mut inverses);
        }
    }

    /// The encoded sum of the multiples of several points by public scalars: neighbouring places are in neighbouring lanes.
    /// What is added for the identity follows each table.
    pub(crate) fn sum_of_multiples(terms: &[(&[Addend], &Places)]) -> [u8; 32] {
        let mut total = identity();
        for (table, digits) in terms {
            for first in (0..PLACES).step_by(LANES) {
                let (mut chosen, mut negative) = ([&table[PLACES * MULTIPLES]; LANES], 0);
                for lane in 0..LANES {
                    let digit = digits[first + lane];
                    if digit != 0 {
                        chosen[lane] = &table[(first + lane) * MULTIPLES + usize::from(digit.unsigned_abs()) - 1];
                    }
                    negative |= u8::from(digit < 0) << lane;
                }
                total = add_addend(&total, &gather_addends(&chosen, negative));
            }
        }
        let mut sum = total;
        for distance in 1..LANES {
            sum = add_cached(&sum, &rotate_lanes(&to_cached(&total), distance));
        }
        compress(&sum)[0]
    }

    /// An addend per lane; the negatives in the lanes of `negative`.
    fn gather_addends(addends: &[&Addend; LANES], negative: u8) -> CachedAffine {
        let mut words = [[[0; LANES]; 5]; 3];
        for (lane, addend) in addends.iter().enumerate() {
            for c in 0..3 {
                for k in 0..5 {
                    words[c][k][lane] = addend.0[c][k];
                }
            }
        }
        let [plus, minus, t] = words.map(|coordinate| from_words(&coordinate));
        let mask = mask_of_lanes(negative);
        [select(mask, &plus, &minus), select(mask, &minus, &plus), select(mask, &t, &negate(&t))]
    }
}
