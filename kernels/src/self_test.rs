//! What a backend has to get right before it is used: results known from standards, and agreement with the portable one on
//! ordinary and extreme inputs.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;

use crate::{Backend, FixedPoint, Points, fixed_sum, sha512, sum_of_multiples, x25519};

/// Inputs: enough for three groups of lanes, the last of them not full.
const COUNT: usize = 19;

/// Compares a backend with the portable one. The error names what came out differently.
pub(crate) fn run(backend: Backend) -> Result<(), &'static str> {
    agreement(backend)?;
    hashes(backend)?;
    points(backend)?;
    fixed_point(backend)?;
    fixed_sums(backend)
}

/// Numbers that look random, and extreme ones: 0, 1, p - 1, p, p + 1 and all ones.
fn inputs(first: u8) -> [[u8; 32]; COUNT] {
    let mut inputs = [[0; 32]; COUNT];
    let messages: [[u8; 1]; COUNT] = core::array::from_fn(|i| [first.wrapping_add(i as u8)]);
    let messages = messages.each_ref().map(|message| [message.as_slice()]);
    for (input, digest) in inputs.iter_mut().zip(sha512(Backend::PORTABLE, &messages)) {
        input.copy_from_slice(&digest[..32]);
    }
    inputs[1] = [0; 32];
    inputs[2] = [0; 32];
    inputs[2][0] = 1;
    for (input, low) in inputs[3..6].iter_mut().zip([0xec, 0xed, 0xee]) {
        *input = [0xff; 32];
        (input[0], input[31]) = (low, 0x7f);
    }
    inputs[6] = [0xff; 32];
    for (input, torsion) in inputs[8..16].iter_mut().zip(EIGHT_TORSION) {
        *input = torsion.compress().to_bytes();
    }
    inputs
}

/// The keys of RFC 7748, section 6.1.
fn agreement(backend: Backend) -> Result<(), &'static str> {
    let secret = [
        0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c,
        0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
    ];
    let public = [
        0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf,
        0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a,
    ];
    let mut nine = [0; 32];
    nine[0] = 9;
    let mut publics = inputs(0);
    publics[0] = nine;
    for secret in [secret, [0; 32], [0xff; 32]] {
        let (mut shared, mut expected) = ([[0; 32]; COUNT], [[1; 32]; COUNT]);
        x25519(backend, &secret, &publics, &mut shared);
        x25519(Backend::PORTABLE, &secret, &publics, &mut expected);
        if shared != expected {
            return Err("X25519");
        }
    }
    let mut shared = [[0; 32]];
    x25519(backend, &secret, &[nine], &mut shared);
    if shared == [public] { Ok(()) } else { Err("X25519 of RFC 7748") }
}

fn hashes(backend: Backend) -> Result<(), &'static str> {
    let text = [0xa5; 300];
    // Around the lengths at which a block is added, and a mixture in one group.
    let lengths = [0, 1, 111, 112, 113, 127, 128, 129, 239, 240, 241, 255, 256, 300, 3, 4, 5];
    let messages = lengths.map(|length| [&text[..length / 3], &text[length / 3..length]]);
    if sha512(backend, &messages) == sha512(Backend::PORTABLE, &messages) { Ok(()) } else { Err("SHA-512") }
}

fn points(backend: Backend) -> Result<(), &'static str> {
    let encodings: Vec<[u8; 32]> = (0..4).flat_map(|i| inputs(i * 32)).collect();
    let all = [backend, Backend::PORTABLE].map(|backend| Points::decompress(backend, &encodings));
    let on_curve = |points: &Points| -> Vec<usize> {
        (0..encodings.len()).filter(|&position| points.is_on_curve(position)).collect()
    };
    let positions = on_curve(&all[1]);
    if on_curve(&all[0]) != positions {
        return Err("decompression");
    }
    let extreme = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(8_u8)];
    let scalars = inputs(200).map(Scalar::from_bytes_mod_order);
    let scalars: Vec<_> = extreme.into_iter().chain(scalars).cycle().take(positions.len()).collect();
    let short = [0, 1, u128::MAX, 0x8888_8888_8888_8888_8888_8888_8888_8888];
    let short: Vec<_> =
        short.into_iter().chain((0..15).map(|i| u128::MAX / 15 * i)).cycle().take(positions.len()).collect();
    let addends = all.each_ref().map(|points| points.addends(&positions));
    for range in [0..positions.len(), 1..2, 3..positions.len() - 2] {
        let [ours, expected] = addends
            .each_ref()
            .map(|points| sum_of_multiples(points, &scalars, points, &short, range.clone()).compress());
        if ours != expected {
            return Err("sums of multiples");
        }
    }
    Ok(())
}

fn fixed_point(backend: Backend) -> Result<(), &'static str> {
    let secrets = inputs(100);
    let scalars = secrets.map(Scalar::from_bytes_mod_order);
    let results = [backend, Backend::PORTABLE].map(|backend| {
        let base = FixedPoint::new(backend, &ED25519_BASEPOINT_POINT);
        let (mut encodings, mut shared) = ([[0; 32]; COUNT], [[0; 32]; COUNT]);
        base.multiples(&scalars, &mut encodings);
        base.agree(&secrets, &mut shared);
        (encodings, shared)
    });
    if results[0] == results[1] { Ok(()) } else { Err("multiples of one point") }
}

fn fixed_sums(backend: Backend) -> Result<(), &'static str> {
    let points = [ED25519_BASEPOINT_POINT, EIGHT_TORSION[1] - ED25519_BASEPOINT_POINT];
    let all = [backend, Backend::PORTABLE].map(|backend| points.map(|point| FixedPoint::new(backend, &point)));
    let extreme = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(8_u8)];
    let scalars = inputs(150).map(Scalar::from_bytes_mod_order);
    let scalars: Vec<_> = extreme.into_iter().chain(scalars).collect();
    for (first, second) in scalars.iter().zip(scalars.iter().rev()) {
        let [ours, expected] = all.each_ref().map(|[base, other]| fixed_sum((first, base), (second, other)));
        if ours != expected {
            return Err("sums of multiples of known points");
        }
    }
    Ok(())
}
