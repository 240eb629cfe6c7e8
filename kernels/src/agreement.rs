//! X25519: one secret with many public keys.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};

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
    on_lanes!(backend.kind(), montgomery::x25519(secret, publics, shared), else one_by_one(secret, publics, shared));
}

/// With AWS-LC, which takes half the time of `x25519-dalek`.
fn one_by_one(secret: &[u8; 32], publics: &[[u8; 32]], shared: &mut [[u8; 32]]) {
    let key = PrivateKey::from_private_key(&X25519, secret).expect("any 32 bytes are a secret key of X25519");
    for (public, shared) in publics.iter().zip(shared) {
        // It refuses public keys of small order, for which the definition has zeros.
        *shared = [0; 32];
        let _ = agree(&key, UnparsedPublicKey::new(&X25519, public), (), |agreed| {
            shared.copy_from_slice(agreed);
            Ok(())
        });
    }
}
