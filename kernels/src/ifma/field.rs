//! Eight numbers modulo p = 2^255 - 19, one per lane: five limbs of 51 bits in words of 64.
//!
//! The instructions multiply 52 bits by 52 bits and add the lower or the upper 52 bits of the product to a sum. As limbs
//! have 51 bits, upper halves weigh 2^52 / 2^51 = 2 units of the next limb.
//!
//! # Bounds
//!
//! `Carried`: limb < 2^51 + 2^15, so that operands are below 2^52. `Uncarried`: limb < 2^59, from the products: a
//! lower half is below 2^52, an upper one below 2^50 + 2^15 and counted twice. Limb 0 has the most: 1 + 19 * 4 lower halves
//! and 19 * 5 upper ones, below 77 * 2^52 + 190 * (2^50 + 2^15) < 2^59. The bias of a difference, 512 p, has limbs of at
//! least 2^60 - 2^14; with a number, or twice one, it stays below 2^61.

use super::vector::*;
use crate::entry::Entry;

/// Numbers worked on at once.
pub(crate) const LANES: usize = 8;

const LIMB_MASK: u64 = (1 << 51) - 1;
/// Makes differences with an uncarried number positive.
const BIAS: [u64; 5] = multiple_of_p(512);
/// Makes differences with a carried number positive.
const SMALL_BIAS: [u64; 5] = multiple_of_p(2);

const fn multiple_of_p(times: u64) -> [u64; 5] {
    let limb = times * LIMB_MASK;
    [times * (LIMB_MASK - 18), limb, limb, limb, limb]
}

/// Numbers ready for multiplication: limbs below 2^51 + 2^15.
#[derive(Clone, Copy)]
pub(crate) struct Carried([Integer; 5]);

/// Products: limbs below 2^59, twice that after [`twice`].
#[derive(Clone, Copy)]
pub(crate) struct Uncarried([Integer; 5]);

/// Differences of two numbers, to be multiplied with [`Carried`] ones and for nothing else.
pub(crate) type Factor = Carried;

/// A bit per lane.
#[derive(Clone, Copy)]
pub(crate) struct Mask(u8);

/// Limbs of numbers as they are in registers, lane by lane.
pub(crate) type Words = [[u64; LANES]; 5];

macro_rules! high {
    ($sums:ident, $($a:expr, $b:expr => $k:literal),* $(,)?) => { $( $sums[$k] = add_high($sums[$k], $a, $b); )* };
}

macro_rules! low {
    ($sums:ident, $($a:expr, $b:expr => $k:literal),* $(,)?) => { $( $sums[$k] = add_low($sums[$k], $a, $b); )* };
}

lanes! {
    fn doubled(sums: &mut [Integer; 10]) {
        for sum in sums {
            *sum = add(*sum, *sum);
        }
    }

    /// sums_k + 19 sums_(k + 5), since 2^255 = 19.
    fn fold(sums: &[Integer; 10]) -> Uncarried {
        let mut limbs = [splat(0); 5];
        for k in 0..5 {
            let high = sums[k + 5];
            let three = add(add(high, high), high);
            limbs[k] = add(add(sums[k], three), shift_left::<4>(high));
        }
        Uncarried(limbs)
    }

    /// a b, for a sum or difference that is carried afterwards.
    pub(crate) fn multiply_uncarried(a: &Carried, b: &Carried) -> Uncarried {
        let (a, b) = (&a.0, &b.0);
        let mut t = [splat(0); 10];
        high!(t,
            a[0], b[0] => 1,
            a[0], b[1] => 2, a[0], b[2] => 3, a[0], b[3] => 4, a[0], b[4] => 5,
            a[1], b[0] => 2, a[1], b[1] => 3, a[1], b[2] => 4, a[1], b[3] => 5, a[1], b[4] => 6,
            a[2], b[0] => 3, a[2], b[1] => 4, a[2], b[2] => 5, a[2], b[3] => 6, a[2], b[4] => 7,
            a[3], b[0] => 4, a[3], b[1] => 5, a[3], b[2] => 6, a[3], b[3] => 7, a[3], b[4] => 8,
            a[4], b[0] => 5, a[4], b[1] => 6, a[4], b[2] => 7, a[4], b[3] => 8, a[4], b[4] => 9,
        );
        doubled(&mut t);
        low!(t,
            a[0], b[0] => 0, a[0], b[1] => 1, a[0], b[2] => 2, a[0], b[3] => 3, a[0], b[4] => 4,
            a[1], b[0] => 1, a[1], b[1] => 2, a[1], b[2] => 3, a[1], b[3] => 4, a[1], b[4] => 5,
            a[2], b[0] => 2, a[2], b[1] => 3, a[2], b[2] => 4, a[2], b[3] => 5, a[2], b[4] => 6,
            a[3], b[0] => 3, a[3], b[1] => 4, a[3], b[2] => 5, a[3], b[3] => 6, a[3], b[4] => 7,
            a[4], b[0] => 4, a[4], b[1] => 5, a[4], b[2] => 6, a[4], b[3] => 7, a[4], b[4] => 8,
        );
        fold(&t)
    }

    /// a b, as `multiply_uncarried`.
    pub(crate) fn multiply_factor(a: &Factor, b: &Carried) -> Uncarried {
        multiply_uncarried(a, b)
    }

    /// a^2, as `multiply_uncarried`.
    pub(crate) fn square_uncarried(a: &Carried) -> Uncarried {
        let a = &a.0;
        let mut t = [splat(0); 10];
        high!(t,
            a[0], a[1] => 2, a[0], a[2] => 3, a[0], a[3] => 4, a[0], a[4] => 5,
            a[1], a[2] => 4, a[1], a[3] => 5, a[1], a[4] => 6,
            a[2], a[3] => 6, a[2], a[4] => 7, a[3], a[4] => 8,
        );
        doubled(&mut t);
        high!(t, a[0], a[0] => 1, a[1], a[1] => 3, a[2], a[2] => 5, a[3], a[3] => 7, a[4], a[4] => 9);
        low!(t,
            a[0], a[1] => 1, a[0], a[2] => 2, a[0], a[3] => 3, a[0], a[4] => 4,
            a[1], a[2] => 3, a[1], a[3] => 4, a[1], a[4] => 5,
            a[2], a[3] => 5, a[2], a[4] => 6, a[3], a[4] => 7,
        );
        doubled(&mut t);
        low!(t, a[0], a[0] => 0, a[1], a[1] => 2, a[2], a[2] => 4, a[3], a[3] => 6, a[4], a[4] => 8);
        fold(&t)
    }

    /// The same numbers with small limbs. For limbs below 2^61 (all sums and differences), carries are at most 2^10 and
    /// what limb 0 gets is below 2^15.
    pub(crate) fn carry(a: &Uncarried) -> Carried {
        let mut limbs = [splat(0); 5];
        for k in 0..5 {
            let kept = and(a.0[k], splat(LIMB_MASK));
            limbs[k] = if k == 0 {
                add_low(kept, shift_right::<51>(a.0[4]), splat(19))
            } else {
                add(kept, shift_right::<51>(a.0[k - 1]))
            };
        }
        Carried(limbs)
    }

    /// The same numbers, for sums with uncarried ones.
    pub(crate) fn uncarry(a: &Carried) -> Uncarried {
        Uncarried(a.0)
    }

    /// a b.
    pub(crate) fn multiply(a: &Carried, b: &Carried) -> Carried {
        carry(&multiply_uncarried(a, b))
    }

    /// a^2.
    pub(crate) fn square(a: &Carried) -> Carried {
        carry(&square_uncarried(a))
    }

    /// 2 a, for a sum or the left side of a difference.
    pub(crate) fn twice(a: &Uncarried) -> Uncarried {
        let mut limbs = a.0;
        for limb in &mut limbs {
            *limb = add(*limb, *limb);
        }
        Uncarried(limbs)
    }

    /// a + b.
    pub(crate) fn sum(a: &Uncarried, b: &Uncarried) -> Carried {
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = add(limbs[k], b.0[k]);
        }
        carry(&Uncarried(limbs))
    }

    /// a - b.
    pub(crate) fn difference(a: &Uncarried, b: &Uncarried) -> Carried {
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = subtract(add(limbs[k], splat(BIAS[k])), b.0[k]);
        }
        carry(&Uncarried(limbs))
    }

    /// a - b.
    pub(crate) fn factor_difference(a: &Carried, b: &Carried) -> Factor {
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = subtract(add(limbs[k], splat(SMALL_BIAS[k])), b.0[k]);
        }
        carry(&Uncarried(limbs))
    }

    /// -a.
    pub(crate) fn negate(a: &Carried) -> Carried {
        factor_difference(&zero(), a)
    }

    /// a + 121665 e.
    pub(crate) fn plus_121665_times(a: &Uncarried, e: &Factor) -> Carried {
        let factor = splat(121665);
        let mut limbs = a.0;
        for k in 0..5 {
            limbs[k] = add_low(limbs[k], e.0[k], factor);
        }
        for k in 0..5 {
            let high = add_high(splat(0), e.0[k], factor);
            if k < 4 {
                limbs[k + 1] = add(limbs[k + 1], add(high, high));
            } else {
                limbs[0] = add_low(limbs[0], high, splat(38));
            }
        }
        carry(&Uncarried(limbs))
    }

    /// 0.
    pub(crate) fn zero() -> Carried {
        Carried([splat(0); 5])
    }

    /// The same number in all lanes, from limbs below 2^51.
    pub(crate) fn constant(limbs: &[u64; 5]) -> Carried {
        let mut vectors = [splat(0); 5];
        for k in 0..5 {
            vectors[k] = splat(limbs[k]);
        }
        Carried(vectors)
    }

    /// One number per lane, from limbs below 2^51.
    pub(crate) fn from_limbs(limbs: &[[u64; LANES]; 5]) -> Carried {
        from_words(limbs)
    }

    /// Limbs of the number below p.
    fn canonical(a: &Carried) -> [Integer; 5] {
        let mut r = a.0;
        // Twice, for a carry into limb 0 that ripples through.
        for _ in 0..2 {
            for k in 0..4 {
                r[k + 1] = add(r[k + 1], shift_right::<51>(r[k]));
                r[k] = and(r[k], splat(LIMB_MASK));
            }
            r[0] = add_low(r[0], shift_right::<51>(r[4]), splat(19));
            r[4] = and(r[4], splat(LIMB_MASK));
        }
        // Now below 2^255 + 2^51, at most once too large: it is if adding 19 carries out of the last limb.
        let mut carry = shift_right::<51>(add(r[0], splat(19)));
        for limb in &r[1..] {
            carry = shift_right::<51>(add(*limb, carry));
        }
        r[0] = add_low(r[0], carry, splat(19));
        for k in 0..4 {
            r[k + 1] = add(r[k + 1], shift_right::<51>(r[k]));
            r[k] = and(r[k], splat(LIMB_MASK));
        }
        r[4] = and(r[4], splat(LIMB_MASK));
        r
    }

    /// The limbs of each number, in the form below p.
    pub(crate) fn to_limbs(a: &Carried) -> [[u64; LANES]; 5] {
        to_words(&Carried(canonical(a)))
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
        Mask(bit.wrapping_neg())
    }

    /// The lanes whose bits are set.
    pub(crate) fn mask_of_lanes(lanes: u8) -> Mask {
        Mask(lanes)
    }

    /// A bit per lane.
    pub(crate) fn lanes_of_mask(mask: Mask) -> u8 {
        mask.0
    }

    /// `if_set` in the lanes of the mask, `if_clear` in the others. Without branches.
    pub(crate) fn select(mask: Mask, if_clear: &Carried, if_set: &Carried) -> Carried {
        let mut limbs = if_clear.0;
        for k in 0..5 {
            limbs[k] = blend(mask.0, if_clear.0[k], if_set.0[k]);
        }
        Carried(limbs)
    }

    /// The limbs as they are in the registers, to be read back by [`from_words`].
    pub(crate) fn to_words(a: &Carried) -> Words {
        let mut words = [[0; LANES]; 5];
        for k in 0..5 {
            store(a.0[k], &mut words[k]);
        }
        words
    }

    /// What [`to_words`] wrote, possibly in other lanes.
    pub(crate) fn from_words(words: &Words) -> Carried {
        let mut limbs = [splat(0); 5];
        for k in 0..5 {
            limbs[k] = load(&words[k]);
        }
        Carried(limbs)
    }

    /// The same number in all lanes, from words of one lane.
    pub(crate) fn broadcast(words: &[u64; 5]) -> Carried {
        constant(words)
    }

    /// Loads one entry per lane: X, Y, Z, and T.
    pub(crate) fn load_entries(entries: &[&Entry; LANES]) -> ([Uncarried; 3], Carried) {
        let mut coordinates = [[splat(0); 5]; 4];
        for c in 0..4 {
            for k in 0..5 {
                coordinates[c][k] = word_of_each(entries, Entry::position(c, k));
            }
        }
        let [x, y, z, t] = coordinates;
        ([Uncarried(x), Uncarried(y), Uncarried(z)], Carried(t))
    }

    /// Writes one entry per lane.
    pub(crate) fn store_entries(coordinates: &([Uncarried; 3], Carried), entries: [&mut Entry; LANES]) {
        let ([x, y, z], t) = coordinates;
        for (c, limbs) in [x.0, y.0, z.0, t.0].into_iter().enumerate() {
            let words = to_words(&Carried(limbs));
            for k in 0..5 {
                for lane in 0..LANES {
                    entries[lane].0[Entry::position(c, k)] = words[k][lane];
                }
            }
        }
    }
}
