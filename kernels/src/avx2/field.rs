//! Four numbers modulo p = 2^255 - 19, one per lane: five limbs of 51 bits, which are doubles when they are multiplied.
//!
//! # Why doubles
//!
//! AVX2 multiplies integers of 32 bits only, so a product takes ten limbs: 100 multiplications and as many additions. A
//! fused multiplication of doubles gives 53 bits. The upper and the lower half of an exact product of two 51-bit limbs
//! are two such instructions and a subtraction, and five limbs make 25 products:
//!
//! * high = a b + H with H = 1.5 * 2^103. While |a b| <= 2^102, the result is within \[2^103, 2^104\], where doubles are
//!   2^51 apart: it is H + x 2^51, where x is a b / 2^51 rounded. Its BITS, taken as an integer, are those of H plus x.
//! * low = a b + (H + L - high) with L = 1.5 * 2^52. The bracket is L - x 2^51, which is exact. As |a b - x 2^51| <= 2^50
//!   (2^51 in other rounding modes), the result is within \[2^52, 2^53\], where every integer is a double: it is exact,
//!   and its bits are those of L plus the lower half.
//!
//! So halves are summed up as integers, modulo 2^64, and what H and L contribute to a sum is a constant, taken off once.
//!
//! # Pairs
//!
//! Two products a b and c d share one upper half, which saves an addition of integers: high' = c d + high is within
//! \[2^103, 2^104\] while |a b| + |c d| <= 2^102, and c d + (high - high') is the second lower half, exact and at most 2^50
//! in magnitude. Both lower halves together are at most 2^51, so their sum with L is within \[2^52, 2^53\] still. This needs
//! the rounding mode to be the default, to the nearest; Rust allows no other.
//!
//! Additions count: a fused multiplication keeps two of the four vector pipes of AMD's Zen 3 from other work, so beside
//! multiplications it starts three instructions per cycle, not four.
//!
//! # Secrets
//!
//! No operand or result is subnormal, infinite or no number: the cases in which the time of these instructions depends on
//! the data. Zero is not such a case.
//!
//! # Bounds
//!
//! `Carried`: |limb| <= 2^50 + 2^17. `Uncarried`: |limb| < 2^59. Two products of carried numbers are a pair:
//! 2 (2^50 + 2^17)^2 < 2^102. Products with a `Factor`, the difference of two carried numbers, and with a doubled limb of a
//! square are allowed alone: (2^50 + 2^17)(2^51 + 2^18) < 2^102. The emulation checks this for every instruction.

use super::products::{folded, products, products_of_factor, squares};
use super::rounding::*;
use super::vector::*;
use crate::entry::Entry;

/// Numbers worked on at once.
pub(crate) const LANES: usize = 4;

/// Numbers ready for multiplication: doubles with integer values, |limb| <= 2^50 + 2^17.
#[derive(Clone, Copy)]
pub(crate) struct Carried([Float; 5]);

/// Differences of two numbers, to be multiplied with [`Carried`] ones and for nothing else: |limb| <= 2^51 + 2^18.
#[derive(Clone, Copy)]
pub(crate) struct Factor([Float; 5]);

/// Products: integers in two's complement, |limb| < 2^59, to each of which [`OFFSET`] is added.
#[derive(Clone, Copy)]
pub(crate) struct Uncarried([Integer; 5]);

/// Per lane all bits or none.
#[derive(Clone, Copy)]
pub(crate) struct Mask(Integer);

lanes! {
    /// Carries limbs to which bias and centre were added: they are positive.
    fn carry_biased(limbs: &[Integer; 5]) -> Carried {
        let mut carried = [splat_float(0.0); 5];
        let mut carry = multiply_halves(shift_right::<51>(limbs[4]), splat(19));
        for k in 0..5 {
            let cut = add(and(limbs[k], splat(LIMB_MASK)), carry);
            carry = shift_right::<51>(limbs[k]);
            // 0 <= cut < 2^51 + 19 * 2^12: with the exponent of 2^52 in front it is the double 2^52 + cut.
            let float = float(or(cut, splat(((1_u64 << 52) as f64).to_bits())));
            carried[k] = minus(float, splat_float(((1_u64 << 52) + CENTRE) as f64));
        }
        Carried(carried)
    }

    /// Carries limbs to which these constants are still to be added.
    fn carry_with(limbs: &[Integer; 5], constants: &[u64; 5]) -> Carried {
        let mut biased = *limbs;
        for k in 0..5 {
            biased[k] = add(biased[k], splat(constants[k]));
        }
        carry_biased(&biased)
    }

    /// a b.
    pub(crate) fn multiply(a: &Carried, b: &Carried) -> Carried {
        carry(&multiply_uncarried(a, b))
    }

    /// a b, for a sum or difference that is carried afterwards. A limb is at most 2^50 (10 + 19 * 9) < 2^58.
    pub(crate) fn multiply_uncarried(a: &Carried, b: &Carried) -> Uncarried {
        Uncarried(products(&a.0, &b.0))
    }

    /// a b, as `multiply_uncarried`. A limb is at most 2^51 (10 + 19 * 9) < 2^59.
    pub(crate) fn multiply_factor(a: &Factor, b: &Carried) -> Uncarried {
        Uncarried(products_of_factor(&a.0, &b.0))
    }

    /// a^2.
    pub(crate) fn square(a: &Carried) -> Carried {
        carry(&square_uncarried(a))
    }

    /// a^2, as `multiply_uncarried`.
    pub(crate) fn square_uncarried(a: &Carried) -> Uncarried {
        Uncarried(squares(&a.0))
    }

    /// The same numbers with small limbs.
    pub(crate) fn carry(a: &Uncarried) -> Carried {
        carry_with(&a.0, &ONE_BIASED)
    }

    /// The same numbers, for sums with uncarried ones.
    pub(crate) fn uncarry(a: &Carried) -> Uncarried {
        let mut limbs = [splat(0); 5];
        for k in 0..5 {
            limbs[k] = add(spaced_bits(plus(a.0[k], splat_float(L))), splat(OFFSET[k].wrapping_sub(L.to_bits())));
        }
        Uncarried(limbs)
    }

    /// 2 a, for a sum or the left side of a difference.
    pub(crate) fn twice(a: &Uncarried) -> Uncarried {
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = add(add(limbs[k], limbs[k]), splat(OFFSET[k].wrapping_neg()));
        }
        Uncarried(limbs)
    }

    /// a + b.
    pub(crate) fn sum(a: &Uncarried, b: &Uncarried) -> Carried {
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = add(limbs[k], b.0[k]);
        }
        carry_with(&limbs, &TWO_BIASED)
    }

    /// a - b.
    pub(crate) fn difference(a: &Uncarried, b: &Uncarried) -> Carried {
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = subtract(limbs[k], b.0[k]);
        }
        carry_with(&limbs, &NOTHING_BIASED)
    }

    /// a - b.
    pub(crate) fn factor_difference(a: &Carried, b: &Carried) -> Factor {
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = minus(limbs[k], b.0[k]);
        }
        Factor(limbs)
    }

    /// -a.
    pub(crate) fn negate(a: &Carried) -> Carried {
        Carried(factor_difference(&zero(), a).0)
    }

    /// a + 121665 e.
    pub(crate) fn plus_121665_times(a: &Uncarried, e: &Factor) -> Carried {
        let factor = splat_float(121665.0);
        let mut limbs = a.0;
        let mut high = splat(H.to_bits());
        for k in 0..5 {
            // The constants of the upper half below (or none) and of this lower half, taken off with the bias added.
            let constant = ONE_BIASED[k].wrapping_sub(H.to_bits()).wrapping_sub(L.to_bits());
            limbs[k] = add(add(limbs[k], high), splat(constant));
            let upper = fused(e.0[k], factor, splat_float(H));
            let lower = fused(e.0[k], factor, minus(splat_float(H + L), upper));
            high = spaced_bits(upper);
            limbs[k] = add(limbs[k], spaced_bits(lower));
        }
        // The last upper half is below 2^18 in magnitude.
        limbs[0] = add(limbs[0], folded(subtract(high, splat(H.to_bits()))));
        carry_biased(&limbs)
    }

    /// 0.
    pub(crate) fn zero() -> Carried {
        Carried([splat_float(0.0); 5])
    }

    /// The same number in all lanes, from limbs below 2^51.
    pub(crate) fn constant(limbs: &[u64; 5]) -> Carried {
        let mut vectors = [splat(0); 5];
        for k in 0..5 {
            vectors[k] = splat(limbs[k]);
        }
        carry_with(&vectors, &NOTHING_BIASED)
    }

    /// One number per lane, from limbs below 2^51.
    pub(crate) fn from_limbs(limbs: &[[u64; LANES]; 5]) -> Carried {
        let mut vectors = [splat(0); 5];
        for k in 0..5 {
            vectors[k] = load(&limbs[k]);
        }
        carry_with(&vectors, &NOTHING_BIASED)
    }

    /// Limbs of the number below p.
    fn canonical(a: &Carried) -> [Integer; 5] {
        let mut r = uncarry(a).0;
        for k in 0..5 {
            r[k] = add(r[k], splat(multiple_of_p(4)[k].wrapping_sub(OFFSET[k])));
        }
        // Twice, for a carry into limb 0 that ripples through.
        for _ in 0..2 {
            for k in 0..4 {
                r[k + 1] = add(r[k + 1], shift_right::<51>(r[k]));
                r[k] = and(r[k], splat(LIMB_MASK));
            }
            r[0] = add(r[0], multiply_halves(shift_right::<51>(r[4]), splat(19)));
            r[4] = and(r[4], splat(LIMB_MASK));
        }
        // Now below 2^255 + 2^51, at most once too large: it is if adding 19 carries out of the last limb.
        let mut carry = shift_right::<51>(add(r[0], splat(19)));
        for limb in &r[1..] {
            carry = shift_right::<51>(add(*limb, carry));
        }
        r[0] = add(r[0], multiply_halves(carry, splat(19)));
        for k in 0..4 {
            r[k + 1] = add(r[k + 1], shift_right::<51>(r[k]));
            r[k] = and(r[k], splat(LIMB_MASK));
        }
        r[4] = and(r[4], splat(LIMB_MASK));
        r
    }

    /// The limbs of each number, in the form below p.
    pub(crate) fn to_limbs(a: &Carried) -> [[u64; LANES]; 5] {
        let vectors = canonical(a);
        let mut limbs = [[0; LANES]; 5];
        for k in 0..5 {
            store(vectors[k], &mut limbs[k]);
        }
        limbs
    }

    /// Where a = 0.
    pub(crate) fn is_zero(a: &Carried) -> Mask {
        let limbs = canonical(a);
        let mut any = limbs[0];
        for limb in &limbs[1..] {
            any = or(any, *limb);
        }
        Mask(equal(any, splat(0)))
    }

    /// Where the form of a below p is odd, which the standard calls negative.
    pub(crate) fn is_odd(a: &Carried) -> Mask {
        Mask(equal(and(canonical(a)[0], splat(1)), splat(1)))
    }

    /// All lanes, where `bit` is 1, or none, where it is 0. Without branches.
    pub(crate) fn mask_of_bit(bit: u8) -> Mask {
        Mask(splat(u64::from(bit).wrapping_neg()))
    }

    /// The lanes whose bits are set.
    pub(crate) fn mask_of_lanes(lanes: u8) -> Mask {
        let one_each = load(&[1, 2, 4, 8]);
        Mask(equal(and(splat(u64::from(lanes)), one_each), one_each))
    }

    /// A bit per lane.
    pub(crate) fn lanes_of_mask(mask: Mask) -> u8 {
        highest_bits(mask.0)
    }

    /// `if_set` in the lanes of the mask, `if_clear` in the others. Without branches.
    pub(crate) fn select(mask: Mask, if_clear: &Carried, if_set: &Carried) -> Carried {
        let mut limbs = if_clear.0;
        for k in 0..5 {
            limbs[k] = blend(mask.0, if_clear.0[k], if_set.0[k]);
        }
        Carried(limbs)
    }
}

/// Limbs of numbers as they are in registers, lane by lane.
pub(crate) type Words = [[u64; LANES]; 5];

lanes! {
    /// The limbs as they are in the registers, to be read back by [`from_words`].
    pub(crate) fn to_words(a: &Carried) -> Words {
        let mut words = [[0; LANES]; 5];
        for k in 0..5 {
            store(bits(a.0[k]), &mut words[k]);
        }
        words
    }

    /// What [`to_words`] wrote, possibly in other lanes.
    pub(crate) fn from_words(words: &Words) -> Carried {
        let mut limbs = [splat_float(0.0); 5];
        for k in 0..5 {
            limbs[k] = float(load(&words[k]));
        }
        Carried(limbs)
    }

    /// The same number in all lanes, from words of one lane.
    pub(crate) fn broadcast(words: &[u64; 5]) -> Carried {
        let mut limbs = [splat_float(0.0); 5];
        for k in 0..5 {
            limbs[k] = float(splat(words[k]));
        }
        Carried(limbs)
    }

    /// Loads one entry per lane: X, Y, Z, and T.
    pub(crate) fn load_entries(entries: &[&Entry; LANES]) -> ([Uncarried; 3], Carried) {
        let rows = |block: usize| {
            let mut rows = [splat(0); 4];
            for (lane, row) in rows.iter_mut().enumerate() {
                *row = load(&entries[lane].0.as_chunks::<4>().0[block]);
            }
            transpose(rows)
        };
        let last = rows(4);
        let limbs = |c: usize| {
            let first = rows(c);
            [first[0], first[1], first[2], first[3], last[c]]
        };
        let mut t = zero();
        for (limb, bits) in t.0.iter_mut().zip(limbs(3)) {
            *limb = float(bits);
        }
        ([Uncarried(limbs(0)), Uncarried(limbs(1)), Uncarried(limbs(2))], t)
    }

    /// Writes one entry per lane.
    pub(crate) fn store_entries(coordinates: &([Uncarried; 3], Carried), entries: [&mut Entry; LANES]) {
        let ([x, y, z], t) = coordinates;
        let mut t_bits = [splat(0); 5];
        for k in 0..5 {
            t_bits[k] = bits(t.0[k]);
        }
        let limbs = [x.0, y.0, z.0, t_bits];
        for block in 0..5 {
            let mut rows = [splat(0); 4];
            for k in 0..4 {
                rows[k] = if block < 4 { limbs[block][k] } else { limbs[k][4] };
            }
            let rows = transpose(rows);
            for lane in 0..LANES {
                store(rows[lane], &mut entries[lane].0.as_chunks_mut::<4>().0[block]);
            }
        }
    }
}
