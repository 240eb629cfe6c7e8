//! Many signatures of many keys at once, in the lanes of vector registers.

use curve25519_dalek::scalar::{Scalar, clamp_integer};
use kernels::{Backend, FixedPoint, sha512};
use zeroize::{Zeroize, Zeroizing};

use super::{Domain, Role, Signature};
use crate::operations::{self, Operation};

/// The scalar of a hash of 64 bytes.
fn reduced(hash: &[u8; 64]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(hash)
}

/// Signs each message with the key of its own seed: what [`super::SigningKey::sign`] makes of them one by one, bit for
/// bit. Public keys are computed from the seeds: a caller cannot name a wrong one, which would give the secret away.
///
/// # Panics
/// If the numbers of seeds and messages differ.
pub fn sign_each<R: Role>(seeds: &[&[u8; 32]], domain: Domain<R>, messages: &[&[u8]]) -> Vec<Signature> {
    assert_eq!(seeds.len(), messages.len(), "a message for every seed");
    let (backend, count) = (Backend::best(), seeds.len());
    operations::count(Operation::SignatureMade, count);
    let parts: Vec<[&[u8]; 1]> = seeds.iter().map(|seed| [seed.as_slice()]).collect();
    let expanded = Zeroizing::new(sha512(backend, &parts));
    let halves = |hash: &[u8; 64]| {
        let (halves, _) = hash.as_chunks::<32>();
        (halves[0], halves[1])
    };
    let secrets: Zeroizing<Vec<Scalar>> = Zeroizing::new(
        expanded.iter().map(|hash| Scalar::from_bytes_mod_order(clamp_integer(halves(hash).0))).collect(),
    );
    let parts: Vec<[&[u8]; 3]> =
        expanded.iter().zip(messages).map(|(hash, message)| [&hash[32..], domain.prefix(), message]).collect();
    let hashes = Zeroizing::new(sha512(backend, &parts));
    // The public keys, and the points of the signatures: one group, so that it is full sooner.
    let mut scalars = Zeroizing::new(Vec::with_capacity(2 * count));
    scalars.extend_from_slice(&secrets);
    scalars.extend(hashes.iter().map(reduced));
    let mut points = vec![[0; 32]; 2 * count];
    FixedPoint::base().multiples(&scalars, &mut points);
    let (publics, commitments) = points.split_at(count);
    let parts: Vec<[&[u8]; 4]> = commitments
        .iter()
        .zip(publics)
        .zip(messages)
        .map(|((commitment, public), message)| [commitment.as_slice(), public, domain.prefix(), message])
        .collect();
    let challenges = sha512(backend, &parts);
    let signatures = (0..count).map(|index| {
        let mut response = scalars[count + index] + reduced(&challenges[index]) * secrets[index];
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&commitments[index]);
        signature[32..].copy_from_slice(response.as_bytes());
        response.zeroize();
        Signature(signature)
    });
    signatures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{CustomerRole, SigningKey};

    #[test]
    fn many_signatures_are_those_made_one_by_one() {
        for count in [0, 1, 3, 4, 9, 70] {
            let seeds: Vec<[u8; 32]> =
                (0..count).map(|number| crate::hash::mac(&[7; 32], &[number as u8])).chain([[0xff; 32]]).collect();
            let texts: Vec<Vec<u8>> = (0..seeds.len()).map(|number| vec![number as u8; number * 5]).collect();
            let (seeds_each, messages): (Vec<&[u8; 32]>, Vec<&[u8]>) =
                seeds.iter().zip(&texts).map(|(seed, text)| (seed, text.as_slice())).unzip();
            let signatures = sign_each::<CustomerRole>(&seeds_each, Domain::REQUEST_FOR_PAYMENT, &messages);
            for ((seed, message), signature) in seeds.iter().zip(messages).zip(signatures) {
                let key = SigningKey::<CustomerRole>::from_seed(*seed);
                assert_eq!(signature, key.sign(Domain::REQUEST_FOR_PAYMENT, message));
            }
        }
    }
}
