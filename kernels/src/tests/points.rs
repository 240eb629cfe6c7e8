//! Decompression and sums of multiples.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;

use super::{emulations, extreme_encodings, instructions, random};
use crate::digits::{SCALAR_BITS, SHORT_SCALAR_BITS, WIDTH_MAX, append_digits, places};
use crate::{Backend, Points, sum_of_multiples};

fn scalars(seed: &str, count: usize) -> Vec<Scalar> {
    random(seed, count).into_iter().map(Scalar::from_bytes_mod_order).collect()
}

fn short_scalars(seed: &str, count: usize) -> Vec<u128> {
    random(seed, count).iter().map(|bytes| u128::from_le_bytes(bytes[..16].try_into().unwrap())).collect()
}

/// The sum as the definition has it.
fn plain_sum(
    points: &[EdwardsPoint],
    scalars: &[Scalar],
    short_points: &[EdwardsPoint],
    short: &[u128],
) -> EdwardsPoint {
    let long: EdwardsPoint = points.iter().zip(scalars).map(|(point, scalar)| point * scalar).sum();
    let short: EdwardsPoint = short_points.iter().zip(short).map(|(point, scalar)| point * Scalar::from(*scalar)).sum();
    long + short
}

fn encode(points: &[EdwardsPoint]) -> Vec<[u8; 32]> {
    points.iter().map(|point| point.compress().to_bytes()).collect()
}

/// Decompresses each encoding, compares with dalek, and returns how many are points.
fn check_decompression(backend: Backend, encodings: &[[u8; 32]]) -> usize {
    let points = Points::decompress(backend, encodings);
    let expected: Vec<_> = encodings.iter().map(|encoding| CompressedEdwardsY(*encoding).decompress()).collect();
    let mut count = 0;
    for (i, expected) in expected.iter().enumerate() {
        assert_eq!(points.is_on_curve(i), expected.is_some(), "{:x?}, {}", encodings[i], backend.name());
        if let Some(expected) = expected {
            // One point at a time shows its coordinates.
            let addends = points.addends(&[i]);
            let sum = sum_of_multiples(&addends, &[Scalar::ONE], &addends, &[0], 0..1);
            assert_eq!(sum.compress(), expected.compress(), "{:x?}, {}", encodings[i], backend.name());
            count += 1;
        }
    }
    count
}

#[test]
fn decompression_agrees_with_dalek() {
    let extreme = extreme_encodings();
    for backend in instructions() {
        let count = check_decompression(backend, &extreme) + check_decompression(backend, &random("points", 100));
        assert!(count > 300 && count < extreme.len(), "{count}");
    }
    let few: Vec<_> = extreme.into_iter().step_by(31).collect();
    for backend in emulations() {
        check_decompression(backend, &few);
    }
}

#[test]
fn sums_agree_with_dalek_for_any_number_and_range() {
    let count = 41;
    // Points of all orders.
    let points: Vec<_> = scalars("a", count).iter().zip(EIGHT_TORSION.iter().cycle()).map(|(a, t)| a * B + t).collect();
    let others: Vec<_> = points.iter().rev().copied().collect();
    let (long, short) = (scalars("long", count), short_scalars("short", count));
    let all: Vec<usize> = (0..count).collect();
    let check = |backend: Backend, ranges: &[core::ops::Range<usize>]| {
        let addends = Points::decompress(backend, &encode(&points)).addends(&all);
        let other = Points::decompress(backend, &encode(&others)).addends(&all);
        assert_eq!(addends.len(), count);
        for range in ranges {
            let [a, b] = [&points, &others].map(|points| &points[range.clone()]);
            let expected = plain_sum(a, &long[range.clone()], b, &short[range.clone()]);
            assert_eq!(sum_of_multiples(&addends, &long, &other, &short, range.clone()), expected, "{range:?}");
        }
    };
    let ranges: Vec<_> = (0..=count).flat_map(|end| [0..end, end / 2..end, end..count]).collect();
    for backend in instructions() {
        check(backend, &ranges);
    }
    for backend in emulations() {
        check(backend, &[0..count, 3..8, 40..41, 7..7]);
    }
}

#[test]
fn sums_at_extreme_scalars() {
    let long = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(8_u8), Scalar::from(0x8888_8888_u32)];
    let short = [0, 1, u128::MAX, 1 << 127, 0x7777_7777_7777_7777_7777_7777_7777_7777];
    for backend in Backend::available() {
        for torsion in EIGHT_TORSION {
            let points = [B + torsion, -B + torsion, torsion, EdwardsPoint::default(), B];
            let addends = Points::decompress(backend, &encode(&points)).addends(&[0, 1, 2, 3, 4]);
            let expected = plain_sum(&points, &long, &points, &short);
            assert_eq!(sum_of_multiples(&addends, &long, &addends, &short, 0..5), expected, "{}", backend.name());
        }
    }
}

/// The same point in all lanes, and its negative: where incomplete formulas would fail.
#[test]
fn equal_and_opposite_points_add_up() {
    for backend in Backend::available() {
        for point in [B, EIGHT_TORSION[1], EIGHT_TORSION[4], EdwardsPoint::default()] {
            let points = [point, point, -point, point, -point, -point, point, -point, point, point];
            let addends = Points::decompress(backend, &encode(&points)).addends(&(0..10).collect::<Vec<_>>());
            for scalar in [Scalar::ONE, Scalar::from(7_u8), -Scalar::from(3_u8)] {
                let expected = plain_sum(&points, &[scalar; 10], &points, &[5; 10]);
                assert_eq!(sum_of_multiples(&addends, &[scalar; 10], &addends, &[5; 10], 0..10), expected);
            }
        }
    }
}

#[test]
fn many_points() {
    let count = 1024;
    let points: Vec<_> = scalars("many", count).iter().map(EdwardsPoint::mul_base).collect();
    let (long, short) = (scalars("long", count), short_scalars("short", count));
    let expected = plain_sum(&points, &long, &points, &short);
    let chosen: Vec<usize> = (0..count).collect();
    for backend in instructions() {
        let addends = Points::decompress(backend, &encode(&points)).addends(&chosen);
        assert_eq!(sum_of_multiples(&addends, &long, &addends, &short, 0..count), expected, "{}", backend.name());
    }
}

#[test]
fn addends_are_those_of_the_chosen_points_in_order() {
    let points: Vec<_> = scalars("chosen", 9).iter().map(EdwardsPoint::mul_base).collect();
    for backend in Backend::available() {
        let addends = Points::decompress(backend, &encode(&points)).addends(&[7, 2, 2, 8, 0]);
        for (i, position) in [7, 2, 2, 8, 0].into_iter().enumerate() {
            let sum = sum_of_multiples(&addends, &[Scalar::ONE; 5], &addends, &[1; 5], i..i + 1);
            assert_eq!(sum, points[position] + points[position], "{}", backend.name());
        }
        assert!(Points::decompress(backend, &[]).addends(&[]).is_empty());
    }
}

#[test]
#[should_panic(expected = "only points have multiples")]
fn what_is_no_point_has_no_addend() {
    let mut two = [0; 32];
    two[0] = 2;
    let _ = Points::decompress(Backend::best(), &[two]).addends(&[0]);
}

/// Digits for the given places and one more, which stays 0.
fn check_digits(scalar: &Scalar, bits: usize, width: usize) {
    let (count, half) = (places(bits, width), 1 << (width - 1));
    let mut digits = Vec::new();
    append_digits(scalar.as_bytes(), width, count + 1, &mut digits);
    assert!(digits.iter().all(|&digit| -half < i32::from(digit) && i32::from(digit) <= half), "{digits:?}");
    assert_eq!(digits[count..], [0]);
    let value = digits.iter().rev().fold(Scalar::ZERO, |sum, digit| {
        let magnitude = Scalar::from(digit.unsigned_abs());
        sum * Scalar::from(1_u64 << width) + if *digit < 0 { -magnitude } else { magnitude }
    });
    assert_eq!(value, *scalar);
}

#[test]
fn extreme_scalars_have_digits() {
    for width in 2..=WIDTH_MAX {
        for scalar in [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(2_u8)] {
            check_digits(&scalar, SCALAR_BITS, width);
        }
        for short in [0, 1, u128::MAX, 1 << 127, 0x8888_8888_8888_8888_8888_8888_8888_8888] {
            check_digits(&Scalar::from(short), SHORT_SCALAR_BITS, width);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decompress_as_dalek_does(encodings in prop::collection::vec(any::<[u8; 32]>(), 0..9)) {
        for backend in instructions() {
            check_decompression(backend, &encodings);
        }
    }

    #[test]
    fn digits_make_up_the_scalar(bytes: [u8; 32], short: u128, width in 2..=WIDTH_MAX) {
        let scalar = Scalar::from_bytes_mod_order(bytes);
        check_digits(&scalar, SCALAR_BITS, width);
        check_digits(&Scalar::from(short), SHORT_SCALAR_BITS, width);
    }
}
