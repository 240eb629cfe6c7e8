//! X25519 with one fixed key on the other side, many secrets at once: a table of that key's multiples, and the lanes of
//! vector registers.
//!
//! A u-coordinate of Curve25519 belongs to two points of the birationally equivalent Edwards curve, or, for half of all
//! coordinates, to none: they lie on the twist. Which of the two points is taken makes no difference, because a
//! u-coordinate comes back. No honest key lies on the twist; one that does is agreed with in the ordinary way.

use curve25519_dalek::montgomery::MontgomeryPoint;
use kernels::{Backend, FixedPoint};
use protocol::session::{AgreementPublic, AgreementSecret, NoSharedSecret};
use zeroize::Zeroizing;

/// Agrees with one key, many times.
pub struct FixedAgreement {
    other: AgreementPublic,
    /// None where the key lies on the twist.
    multiples: Option<FixedPoint>,
}

/// Fresh keys and what they agree on, in the order of the secrets.
pub struct Agreed {
    /// The fresh public keys.
    pub publics: Vec<AgreementPublic>,
    /// The shared secrets.
    pub shared: Zeroizing<Vec<[u8; 32]>>,
}

impl FixedAgreement {
    /// Prepares agreements with `other`.
    ///
    /// # Errors
    /// [`NoSharedSecret`] where the key is of small order.
    pub fn with(other: &AgreementPublic) -> Result<Self, NoSharedSecret> {
        // A key of small order gives zeros with every secret, because all of them are multiples of 8.
        AgreementSecret::from_random([1; 32]).agree(other)?;
        let point = MontgomeryPoint(other.0).to_edwards(0);
        Ok(Self { other: *other, multiples: point.map(|point| FixedPoint::new(Backend::best(), &point)) })
    }

    /// Agrees under the secret key of each of these random bytes.
    pub fn agree_each(&self, secrets: &[[u8; 32]]) -> Agreed {
        let mut publics = vec![[0; 32]; secrets.len()];
        FixedPoint::base().agree(secrets, &mut publics);
        let mut shared = Zeroizing::new(vec![[0; 32]; secrets.len()]);
        match &self.multiples {
            Some(multiples) => multiples.agree(secrets, &mut shared),
            None => {
                for (secret, shared) in secrets.iter().zip(shared.iter_mut()) {
                    let agreed = AgreementSecret::from_random(*secret).agree(&self.other);
                    *shared = *agreed.expect("a key that is not of small order agrees with every secret");
                }
            }
        }
        Agreed { publics: publics.into_iter().map(AgreementPublic).collect(), shared }
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn compare(other: &AgreementPublic, secrets: &[[u8; 32]]) {
        let ordinary = |secret: &[u8; 32]| AgreementSecret::from_random(*secret).agree(other);
        match FixedAgreement::with(other) {
            Ok(fixed) => {
                let agreed = fixed.agree_each(secrets);
                for (index, secret) in secrets.iter().enumerate() {
                    assert_eq!(agreed.publics[index], AgreementSecret::from_random(*secret).public());
                    assert_eq!(Ok(agreed.shared[index]), ordinary(secret).map(|shared| *shared), "{other:?}");
                }
            }
            Err(error) => secrets.iter().for_each(|secret| assert_eq!(ordinary(secret), Err(error), "{other:?}")),
        }
    }

    fn secrets(random: &mut StdRng) -> Vec<[u8; 32]> {
        let mut secrets: Vec<[u8; 32]> = (0..9).map(|_| random.random()).collect();
        secrets.extend([[0; 32], [0xff; 32], [0x55; 32]]);
        secrets
    }

    #[test]
    fn the_table_agrees_as_x25519_does() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..50 {
            let secrets = secrets(&mut random);
            compare(&AgreementSecret::from_random(random.random()).public(), &secrets);
        }
    }

    #[test]
    fn any_bytes_that_may_be_a_key_agree_as_x25519_does() {
        let mut random = StdRng::seed_from_u64(2);
        // Half of all coordinates lie on the twist.
        let mut keys: Vec<[u8; 32]> = (0..40).map(|_| random.random()).collect();
        for low in 0..=255 {
            for rest in [0, 0xff] {
                for high in [rest, rest ^ 0x80] {
                    let mut key = [rest; 32];
                    (key[0], key[31]) = (low, high);
                    keys.push(key);
                }
            }
        }
        let honest = MontgomeryPoint::mul_base_clamped([3; 32]).to_edwards(0).unwrap();
        keys.extend(EIGHT_TORSION.iter().map(|torsion| torsion.to_montgomery().0));
        keys.extend(EIGHT_TORSION.iter().map(|torsion| (honest + torsion).to_montgomery().0));
        let found = |wanted: fn(&FixedAgreement) -> bool| {
            keys.iter().filter_map(|key| FixedAgreement::with(&AgreementPublic(*key)).ok()).filter(wanted).count()
        };
        assert!(found(|fixed| fixed.multiples.is_some()) > 50 && found(|fixed| fixed.multiples.is_none()) > 50);
        let secrets = secrets(&mut random);
        for key in &keys {
            compare(&AgreementPublic(*key), &secrets);
        }
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        for torsion in EIGHT_TORSION {
            let key = AgreementPublic(torsion.to_montgomery().0);
            assert_eq!(FixedAgreement::with(&key).err(), Some(NoSharedSecret));
        }
    }
}
