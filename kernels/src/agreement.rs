//! X25519: one secret with many public keys.

use zeroize::Zeroize;

use crate::Backend;
use crate::backend::on_lanes;

/// The shared secret of `secret` with each of `publics` (RFC 7748): X25519(`secret`, `publics[i]`) in `shared[i]`. A
/// public key of small order gives zeros, which the caller must refuse, without a difference in time where that matters.
///
/// The time does not depend on the secret, but for the number of keys on nothing else either; keys are worked on in
/// groups of [`Backend::lanes`], so a group that is not full takes as long as one that is. What was calculated on the
/// way is overwritten; the caller overwrites `shared`.
///
/// # Panics
/// If the lengths of `publics` and `shared` differ.
pub fn x25519(backend: Backend, secret: &[u8; 32], publics: &[[u8; 32]], shared: &mut [[u8; 32]]) {
    assert_eq!(publics.len(), shared.len(), "a place for every shared secret");
    on_lanes!(backend.kind(), montgomery::x25519(secret, publics, shared), else {
        let key = x25519_dalek::StaticSecret::from(*secret);
        for (public, shared) in publics.iter().zip(shared) {
            let mut agreed = key.diffie_hellman(&x25519_dalek::PublicKey::from(*public)).to_bytes();
            shared.copy_from_slice(&agreed);
            agreed.zeroize();
        }
    });
}
