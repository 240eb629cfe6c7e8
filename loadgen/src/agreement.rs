//! X25519 with one fixed key on the other side: a table of that key's multiples makes each agreement a third as costly.
//!
//! Every u-coordinate of Curve25519 belongs to a point of the birationally equivalent Edwards curve, on which dalek has
//! precomputed tables; the sign that is lost on the way does not matter, because a u-coordinate comes back.

use curve25519_dalek::edwards::EdwardsBasepointTable;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::traits::BasepointTable;
use protocol::session::AgreementPublic;
use zeroize::Zeroizing;

/// Agrees with one key, many times.
pub struct FixedAgreement {
    table: Box<EdwardsBasepointTable>,
}

/// The key lies on the twist of the curve: nobody who made it honestly has such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session key of the TPS is no honest X25519 key: prepare against another server")]
pub struct NotOnCurve;

/// A fresh key and what it agrees on.
pub struct Agreed {
    /// The fresh public key.
    pub public: AgreementPublic,
    /// The shared secret.
    pub shared: Zeroizing<[u8; 32]>,
}

impl FixedAgreement {
    /// The table for `other`.
    ///
    /// # Errors
    /// [`NotOnCurve`].
    pub fn with(other: &AgreementPublic) -> Result<Self, NotOnCurve> {
        let point = MontgomeryPoint(other.0).to_edwards(0).ok_or(NotOnCurve)?;
        Ok(Self { table: Box::new(EdwardsBasepointTable::create(&point)) })
    }

    /// Agrees under the secret key of these random bytes.
    pub fn agree(&self, secret: [u8; 32]) -> Agreed {
        let public = AgreementPublic(MontgomeryPoint::mul_base_clamped(secret).0);
        let shared = Zeroizing::new(self.table.mul_base_clamped(secret).to_montgomery().0);
        Agreed { public, shared }
    }
}

#[cfg(test)]
mod tests {
    use protocol::session::AgreementSecret;

    use super::*;

    #[test]
    fn the_table_agrees_as_x25519_does() {
        for number in 1..60u8 {
            let processor = AgreementSecret::from_random([number.wrapping_mul(83); 32]);
            let fixed = FixedAgreement::with(&processor.public()).unwrap();
            for secret in [[number; 32], [!number; 32]] {
                let agreed = fixed.agree(secret);
                let ephemeral = AgreementSecret::from_random(secret);
                assert_eq!(agreed.public, ephemeral.public());
                assert_eq!(agreed.shared, ephemeral.agree(&processor.public()).unwrap());
            }
        }
    }

    #[test]
    fn keys_of_the_twist_are_refused() {
        // u = 2 has no point on the curve.
        let mut twist = [0; 32];
        twist[0] = 2;
        assert_eq!(FixedAgreement::with(&AgreementPublic(twist)).err(), Some(NotOnCurve));
    }
}
