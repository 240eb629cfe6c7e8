//! Checks of the field's arithmetic against plain numbers, at the limits of its limbs.

use super::super::field::*;
use super::super::limits::{self, LIMB_MAX, LIMB_MIN};
use super::bytes::{from_bytes, to_bytes};
use super::power::{invert, power_p58};
use crate::tests::number::Number;

type Limbs = [[i64; LANES]; 5];

/// The number each lane holds.
fn numbers(limbs: &Limbs) -> [Number; LANES] {
    core::array::from_fn(|lane| Number::from_limbs(&limbs.map(|limb| limb[lane])))
}

/// Every combination of extreme limbs, lane after lane.
fn extreme_limbs() -> Vec<Limbs> {
    let values = [LIMB_MIN, 0, LIMB_MAX];
    let count = 243_usize;
    let limb = |combination: usize, k: u32| values[combination / 3_usize.pow(k) % 3];
    let group =
        |first: usize| core::array::from_fn(|k| core::array::from_fn(|lane| limb((first + lane) % count, k as u32)));
    (0..count).step_by(LANES).map(group).collect()
}

lanes! {
    fn read(a: &Carried) -> [Number; LANES] {
        let limbs = limits::limbs(&to_words(a));
        for limb in limbs.iter().flatten() {
            assert!((LIMB_MIN..=LIMB_MAX).contains(limb), "limb {limb} out of bounds");
        }
        numbers(&limbs)
    }

    fn check(actual: &Carried, expected: impl Fn(usize) -> Number, what: &str) {
        let actual = read(actual);
        for (lane, actual) in actual.into_iter().enumerate() {
            assert_eq!(actual, expected(lane), "{what}, lane {lane}");
        }
    }

    fn check_pair(a: &Limbs, b: &Limbs) {
        let (x, y) = (numbers(a), numbers(b));
        let (a, b) = (from_words(&limits::words(a)), from_words(&limits::words(b)));
        let product = multiply_uncarried(&a, &b);
        let (aa, bb) = (square_uncarried(&a), square_uncarried(&b));
        check(&multiply(&a, &b), |i| x[i] * y[i], "a b");
        check(&carry(&product), |i| x[i] * y[i], "a b, carried");
        check(&sum(&product, &aa), |i| x[i] * y[i] + x[i] * x[i], "a b + a^2");
        check(&sum(&bb, &bb), |i| y[i] * y[i] + y[i] * y[i], "b^2 + b^2");
        check(&difference(&product, &bb), |i| x[i] * y[i] - y[i] * y[i], "a b - b^2");
        check(&difference(&aa, &product), |i| x[i] * x[i] - x[i] * y[i], "a^2 - a b");
        check(&difference(&uncarry(&zero()), &product), |i| Number::ZERO - x[i] * y[i], "0 - a b");
        check(&difference(&uncarry(&a), &uncarry(&b)), |i| x[i] - y[i], "a - b");
        check(&sum(&uncarry(&a), &uncarry(&b)), |i| x[i] + y[i], "a + b");
        check(&difference(&twice(&aa), &uncarry(&b)), |i| x[i] * x[i] + x[i] * x[i] - y[i], "2 a^2 - b");
        check(&difference(&twice(&aa), &bb), |i| x[i] * x[i] + x[i] * x[i] - y[i] * y[i], "2 a^2 - b^2");
        check(&sum(&twice(&aa), &product), |i| x[i] * x[i] + x[i] * x[i] + x[i] * y[i], "2 a^2 + a b");
        let factor = factor_difference(&a, &b);
        check(&carry(&multiply_factor(&factor, &a)), |i| (x[i] - y[i]) * x[i], "(a - b) a");
        check(&carry(&multiply_factor(&factor, &b)), |i| (x[i] - y[i]) * y[i], "(a - b) b");
        let constant = Number::from_limbs(&[121665, 0, 0, 0, 0]);
        check(&plus_121665_times(&bb, &factor), |i| y[i] * y[i] + constant * (x[i] - y[i]), "b^2 + 121665 (a - b)");
        check(&select(mask_of_lanes(0b0110_0101), &a, &b), |i| if 0b0110_0101 >> i & 1 == 1 { y[i] } else { x[i] }, "select");
    }

    fn check_one(a: &Limbs) {
        let x = numbers(a);
        let a = from_words(&limits::words(a));
        check(&square(&a), |i| x[i] * x[i], "a^2");
        check(&carry(&square_uncarried(&a)), |i| x[i] * x[i], "a^2, carried");
        check(&negate(&a), |i| Number::ZERO - x[i], "-a");
        let encodings = to_bytes(&a);
        for lane in 0..LANES {
            assert_eq!(encodings[lane], x[lane].to_bytes(), "encoding of a, lane {lane}");
            let odd = lanes_of_mask(is_odd(&a)) >> lane & 1;
            assert_eq!(odd, encodings[lane][0] & 1, "lane {lane}");
            assert_eq!(lanes_of_mask(is_zero(&a)) >> lane & 1 == 1, encodings[lane] == [0; 32], "lane {lane}");
        }
        check(&from_bytes(&encodings), |i| x[i], "decoding of a");
        // Powers prove themselves: a * 1 / a, and (a^((p - 5) / 8))^8 a^4 = a^(p - 1).
        let unit = |i: usize| if x[i] == Number::ZERO { Number::ZERO } else { Number::ONE };
        check(&multiply(&a, &invert(&a)), unit, "a / a");
        let power = power_p58(&a);
        let eighth = square(&square(&square(&power)));
        check(&multiply(&eighth, &square(&square(&a))), unit, "a^(p - 1)");
    }

    /// All operations at all combinations of extreme limbs.
    pub(crate) fn check_at_limits() {
        let all = extreme_limbs();
        for (i, a) in all.iter().enumerate() {
            check_one(a);
            for step in [0, 1, 3, 10, 27] {
                check_pair(a, &all[(i + step) % all.len()]);
            }
            // The largest and smallest of all, in every lane.
            for value in [LIMB_MIN, LIMB_MAX] {
                check_pair(a, &[[value; LANES]; 5]);
                check_pair(&[[value; LANES]; 5], a);
            }
        }
        for encoding in crate::tests::extreme_encodings() {
            let mut y = encoding;
            y[31] &= 0x7f;
            let expected = Number::from_bytes(&y);
            let decoded = from_bytes(&[encoding; LANES]);
            check(&decoded, |_| expected, "decoding");
            assert_eq!(to_bytes(&decoded), [expected.to_bytes(); LANES]);
        }
    }
}
