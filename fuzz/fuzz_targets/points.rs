//! Decompression and sums of multiples, with every backend: what `curve25519-dalek` says.

#![no_main]

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use kernels::{FixedPoint, Points, fixed_sum, sum_of_multiples};
use libfuzzer_sys::fuzz_target;
use quittance_fuzz::{backend, items_max};

fuzz_target!(|input: (u8, [u8; 32], [u8; 32], u128, &[u8])| {
    let (choice, first, second, short, rest) = input;
    let backend = backend(choice);
    let encodings = &rest.as_chunks::<32>().0;
    let encodings = &encodings[..encodings.len().min(items_max(backend, 20))];
    let points = Points::decompress(backend, encodings);
    let expected: Vec<Option<EdwardsPoint>> =
        encodings.iter().map(|encoding| CompressedEdwardsY(*encoding).decompress()).collect();
    let on_curve: Vec<usize> = (0..encodings.len()).filter(|&position| points.is_on_curve(position)).collect();
    let expected_on_curve: Vec<usize> = (0..encodings.len()).filter(|&position| expected[position].is_some()).collect();
    assert_eq!(on_curve, expected_on_curve, "{}", backend.name());

    let count = on_curve.len();
    let (first, second) = (Scalar::from_bytes_mod_order(first), Scalar::from_bytes_mod_order(second));
    // The scalars differ from point to point, and begin with those that the input says.
    let scalars: Vec<Scalar> = (0..count).map(|i| first + Scalar::from(i as u64) * second).collect();
    let shorts: Vec<u128> = (0..count).map(|i| short.rotate_left(i as u32)).collect();
    let addends = points.addends(&on_curve);
    let sum = sum_of_multiples(&addends, &scalars, &addends, &shorts, 0..count);
    let known: Vec<EdwardsPoint> = expected.into_iter().flatten().collect();
    let long: EdwardsPoint = known.iter().zip(&scalars).map(|(point, scalar)| point * scalar).sum();
    let short: EdwardsPoint = known.iter().zip(&shorts).map(|(point, short)| point * Scalar::from(*short)).sum();
    assert_eq!(sum, long + short, "{}", backend.name());

    if let (Some(one), Some(other)) = (known.first(), known.last()) {
        let fixed = [one, other].map(|point| FixedPoint::new(backend, point));
        let encoded = fixed_sum((&first, &fixed[0]), (&second, &fixed[1]));
        assert_eq!(encoded, (one * first + other * second).compress().to_bytes(), "{}", backend.name());
        let scalars = &scalars[..count.min(4)];
        let mut multiples = vec![[0; 32]; scalars.len()];
        fixed[0].multiples(scalars, &mut multiples);
        for (scalar, multiple) in scalars.iter().zip(multiples) {
            assert_eq!(multiple, (one * scalar).compress().to_bytes(), "{}", backend.name());
        }
    }
});
