//! Every backend this processor has, and the emulated ones, against standards and the portable backend.

mod agreement;
mod fixed;
mod hash;
pub(crate) mod number;
mod points;

use curve25519_dalek::constants::EIGHT_TORSION;
use sha2::{Digest, Sha512};

use crate::backend::on_lanes;
use crate::{Backend, Name, Obstacle};

/// Numbers that look random, reproducibly.
pub(crate) fn random(seed: &str, count: usize) -> Vec<[u8; 32]> {
    (0..count).map(|i| Sha512::digest(format!("{seed} {i}"))[..32].try_into().unwrap()).collect()
}

/// Encodings at which implementations differ: around 0, p, 2^255 and 2^256, and the points of small order.
pub(crate) fn extreme_encodings() -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for sign in [0, 0x80] {
        for low in 0..=0xff_u8 {
            for rest in [0, 0xff] {
                let mut encoding = [rest; 32];
                (encoding[0], encoding[31]) = (low, rest & 0x7f | sign);
                all.push(encoding);
            }
        }
        for torsion in EIGHT_TORSION {
            let mut encoding = torsion.compress().to_bytes();
            encoding[31] ^= sign;
            all.push(encoding);
        }
    }
    // Limbs of ones beside limbs of zeros.
    for k in 0..32 {
        let mut encoding = [0; 32];
        encoding[k] = 0xff;
        all.push(encoding);
        all.push(encoding.map(|byte| !byte));
    }
    all
}

/// Backends with instructions of their own.
fn instructions() -> Vec<Backend> {
    Backend::available().into_iter().filter(|backend| !emulations().contains(backend)).collect()
}

fn emulations() -> [Backend; 2] {
    [Name::EmulatedIfma, Name::EmulatedAvx2].map(|name| Backend::forced(name).unwrap())
}

#[test]
fn fields_calculate_right_at_their_limits() {
    for backend in Backend::available() {
        on_lanes!(backend.kind(), checks::check_at_limits(), else ());
    }
}

#[test]
fn every_backend_passes_its_self_test() {
    for backend in Backend::available() {
        assert_eq!(crate::self_test::run(backend), Ok(()), "{}", backend.name());
        assert_eq!(Backend::forced(backend.name()), Some(backend));
    }
}

#[test]
fn the_fastest_backend_is_chosen_and_reasons_are_given() {
    let choice = Backend::choice();
    assert_eq!(choice.backend, Backend::best());
    assert_eq!(choice.backend, instructions()[0]);
    for (name, obstacle) in &choice.passed_over {
        assert_eq!(*obstacle, Obstacle::NotSupported);
        assert_eq!(Backend::forced(*name), None);
    }
    assert!(Obstacle::Wrong("X25519").to_string().contains("FAILED"));
}
