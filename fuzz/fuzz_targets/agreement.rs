//! X25519 of one secret with many keys, and of many secrets with one key, with every backend: what `x25519-dalek` says.

#![no_main]

use curve25519_dalek::montgomery::MontgomeryPoint;
use kernels::FixedPoint;
use libfuzzer_sys::fuzz_target;
use quittance_fuzz::{backend, items_max};

fuzz_target!(|input: (u8, [u8; 32], &[u8])| {
    let (choice, secret, rest) = input;
    let backend = backend(choice);
    let publics = &rest.as_chunks::<32>().0;
    let publics = &publics[..publics.len().min(items_max(backend, 20))];
    let mut shared = vec![[0; 32]; publics.len()];
    kernels::x25519(backend, &secret, publics, &mut shared);
    for (public, shared) in publics.iter().zip(shared) {
        assert_eq!(shared, x25519_dalek::x25519(secret, *public), "{}, {public:x?}", backend.name());
    }
    // One public key with many secrets; half of all keys lie on the twist, where there is no such table.
    if let Some((first, secrets)) = publics.split_first()
        && let Some(point) = MontgomeryPoint(*first).to_edwards(choice & 1)
    {
        let mut shared = vec![[0; 32]; secrets.len()];
        FixedPoint::new(backend, &point).agree(secrets, &mut shared);
        for (secret, shared) in secrets.iter().zip(shared) {
            assert_eq!(shared, x25519_dalek::x25519(*secret, *first), "{}, {first:x?}", backend.name());
        }
    }
});
