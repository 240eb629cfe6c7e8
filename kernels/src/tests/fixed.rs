//! Multiples of points that are known beforehand.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::Scalar;

use super::{emulations, extreme_encodings, instructions, random};
use crate::{Backend, FixedPoint, fixed_sum};

fn check(backend: Backend, point: &EdwardsPoint, secrets: &[[u8; 32]]) {
    let fixed = FixedPoint::new(backend, point);
    let scalars: Vec<Scalar> = secrets.iter().map(|secret| Scalar::from_bytes_mod_order(*secret)).collect();
    let mut encodings = vec![[0x5a; 32]; secrets.len()];
    fixed.multiples(&scalars, &mut encodings);
    let expected: Vec<[u8; 32]> = scalars.iter().map(|scalar| (point * scalar).compress().to_bytes()).collect();
    assert_eq!(encodings, expected, "multiples, {}", backend.name());

    let mut shared = vec![[0x5a; 32]; secrets.len()];
    fixed.agree(secrets, &mut shared);
    let public = point.to_montgomery().to_bytes();
    let expected: Vec<[u8; 32]> = secrets.iter().map(|secret| x25519_dalek::x25519(*secret, public)).collect();
    assert_eq!(shared, expected, "X25519, {}", backend.name());
}

/// The base point, one that looks random, and points with a part of small order or nothing else.
fn points() -> Vec<EdwardsPoint> {
    let other = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(random("point", 1)[0]);
    let mut points = vec![ED25519_BASEPOINT_POINT, other];
    points.extend(EIGHT_TORSION);
    points.extend(EIGHT_TORSION.map(|torsion| other + torsion));
    points
}

#[test]
fn multiples_are_those_of_dalek() {
    for point in points() {
        let secrets = random("scalars", 70);
        for backend in instructions() {
            check(backend, &point, &secrets);
        }
        for backend in emulations() {
            check(backend, &point, &secrets[..9]);
        }
    }
}

#[test]
fn extreme_scalars() {
    let secrets = extreme_encodings();
    for backend in instructions() {
        check(backend, &ED25519_BASEPOINT_POINT, &secrets);
    }
    let few: Vec<_> = secrets.into_iter().step_by(23).collect();
    for backend in emulations() {
        check(backend, &ED25519_BASEPOINT_POINT, &few);
    }
}

#[test]
fn any_number_of_scalars() {
    let secrets = random("many", 150);
    for backend in instructions() {
        for count in [0, 1, 2, 3, 4, 5, 8, 31, 63, 64, 65, 127, 128, 129, 150] {
            check(backend, &ED25519_BASEPOINT_POINT, &secrets[..count]);
        }
    }
}

#[test]
fn all_coordinates_of_the_curve() {
    for encoding in extreme_encodings() {
        let Some(point) = MontgomeryPoint(encoding).to_edwards(0) else { continue };
        let secrets = random("secret", 3);
        let mut shared = [[0; 32]; 3];
        for backend in instructions() {
            FixedPoint::new(backend, &point).agree(&secrets, &mut shared);
            for (shared, secret) in shared.iter().zip(&secrets) {
                assert_eq!(*shared, x25519_dalek::x25519(*secret, encoding), "{encoding:?}");
            }
        }
    }
}

#[test]
fn fixed_sums_agree_with_dalek_for_points_of_all_orders() {
    let base_point = ED25519_BASEPOINT_POINT;
    let extreme = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(8_u8), Scalar::from(0x8888_8888_u32)];
    let check = |backend: Backend, random_scalars: usize, torsion_points: &[EdwardsPoint]| {
        let drawn = random("fixed", random_scalars).into_iter().map(Scalar::from_bytes_mod_order);
        let scalars: Vec<_> = extreme.into_iter().chain(drawn).collect();
        let base = FixedPoint::new(backend, &base_point);
        for torsion in torsion_points {
            // With and without a part in the prime subgroup; the last is the negative of the base.
            for point in [*torsion, Scalar::from(0x5eed_u64) * base_point + torsion, torsion - base_point] {
                let fixed = FixedPoint::new(backend, &point);
                for (first, second) in
                    scalars.iter().flat_map(|first| scalars.iter().map(move |second| (first, second)))
                {
                    let expected = (first * base_point + second * point).compress().to_bytes();
                    assert_eq!(fixed_sum((first, &base), (second, &fixed)), expected, "{}", backend.name());
                }
            }
        }
    };
    for backend in instructions() {
        check(backend, 12, &EIGHT_TORSION);
    }
    for backend in emulations() {
        check(backend, 0, &EIGHT_TORSION[..2]);
    }
}

#[test]
#[should_panic(expected = "a place for every multiple")]
fn every_scalar_needs_a_place() {
    FixedPoint::new(Backend::PORTABLE, &ED25519_BASEPOINT_POINT).multiples(&[Scalar::ONE; 2], &mut [[0; 32]]);
}
