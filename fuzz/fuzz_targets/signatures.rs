//! Batches of signatures, altered or not: with every backend each gets the verdict that the single verification and the
//! arbiter give. And a prepared key gives the strict verdict.

#![no_main]

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;
use libfuzzer_sys::fuzz_target;
use protocol::signature::{
    CustomerKey, Domain, EnrolledKey, Item, PreparedKey, Signature, judge, strict_verify, verify, verify_batch_with,
};
use quittance_fuzz::{backend, items_max};
use sha2::{Digest, Sha512};

/// What the input says of one signature.
const RECIPE_BYTES: usize = 8;

/// A signature, made honestly or with components of small order, then altered as the recipe says.
fn make(recipe: &[u8; RECIPE_BYTES], replacement: &[u8; 32]) -> ([u8; 32], Vec<u8>, [u8; 64]) {
    let [secret, nonce, torsion, what, place, with, length, _] = *recipe;
    let (secret, nonce) = (Scalar::from(secret) + Scalar::ONE, Scalar::from(nonce) + Scalar::ONE);
    let [key_torsion, nonce_torsion] = [torsion & 7, torsion >> 4 & 7].map(|index| EIGHT_TORSION[usize::from(index)]);
    let mut public = (secret * ED25519_BASEPOINT_POINT + key_torsion).compress().to_bytes();
    let mut r = (nonce * ED25519_BASEPOINT_POINT + nonce_torsion).compress().to_bytes();
    // Replaced before signing: key or R of small order, or anything.
    match what & 7 {
        1 => public = *replacement,
        2 => r = *replacement,
        3 => public = key_torsion.compress().to_bytes(),
        4 => r = nonce_torsion.compress().to_bytes(),
        _ => {}
    }
    let mut message = vec![with; usize::from(length)];
    let hash = Sha512::new().chain_update(r).chain_update(public);
    let hash = hash.chain_update(Domain::REQUEST_FOR_PAYMENT.prefix()).chain_update(&message);
    let nonce = if what & 7 == 4 { Scalar::ZERO } else { nonce };
    let secret = if what & 7 == 3 { Scalar::ZERO } else { secret };
    let s = nonce + Scalar::from_hash(hash) * secret;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(s.as_bytes());
    match what >> 3 {
        1 => signature[usize::from(place) % 64] ^= with,
        2 => public[usize::from(place) % 32] ^= with,
        3 => message.push(with),
        4 => signature[32..].copy_from_slice(replacement),
        _ => {}
    }
    (public, message, signature)
}

fuzz_target!(|input: (u8, [u8; 32], [u8; 32], &[u8])| {
    let (choice, seed, replacement, recipes) = input;
    let backend = backend(choice);
    let recipes = recipes.as_chunks::<RECIPE_BYTES>().0.iter().take(items_max(backend, 24));
    let made: Vec<_> = recipes.map(|recipe| make(recipe, &replacement)).collect();
    let domain = Domain::REQUEST_FOR_PAYMENT;
    let signed: Vec<_> = made
        .iter()
        .map(|(public, message, signature)| (EnrolledKey::from_store(*public), message, Signature(*signature)))
        .collect();
    let items: Vec<Item<'_>> =
        signed.iter().map(|(key, message, signature)| Item { key, message, signature }).collect();
    let report = verify_batch_with(backend, domain, &items, seed);
    assert_eq!(report.verdicts.len(), items.len());
    for ((public, message, signature), verdict) in made.iter().zip(report.verdicts) {
        let signature = Signature(*signature);
        assert_eq!(verdict, judge(domain, public, message, &signature), "{}", backend.name());
        match CustomerKey::from_enrolled(*public) {
            Ok(key) => assert_eq!(verdict, verify(&key, domain, message, &signature)),
            Err(error) => assert_eq!(verdict.err(), error.clause()),
        }
        let strict = strict_verify(public, domain, &[message], &signature);
        let prepared = PreparedKey::new(public).and_then(|key| key.verify(domain, &[message], &signature));
        assert_eq!(strict, prepared);
        assert!(strict.is_err() || verdict.is_ok(), "strict accepts a subset");
    }
});
