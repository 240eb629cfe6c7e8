//! What the operator hands to a customer.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::codec::{Canonical, DecodeError, check_text, check_version};
use crate::hash::{Purpose, tagged};
use crate::ids::{Digest, InstrumentId, RealmId};
use crate::key_set::{Audience, KeySetError, PinnedKeySet, SignedKeySet};
use crate::limits::{KEY_SET_BYTES_MAX, PROTOCOL_VERSION, SUITE};
use crate::money::Asset;
use crate::time::Timestamp;

/// Addresses of the TPS in one bundle.
pub const PROCESSOR_ADDRESSES_MAX: usize = 16;
/// Bytes of one address: a host name and a port.
const ADDRESS_BYTES_MAX: usize = 262;
/// Bytes of a TLS certificate.
const TLS_CERTIFICATE_BYTES_MAX: usize = 4 * 1_024;

/// Thirty-two random bytes that activate an instrument once. Overwritten when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct ActivationCode([u8; 32]);

impl ActivationCode {
    /// A code out of random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What the TPS stores in place of the code.
    pub fn hash(&self) -> Digest {
        Digest(tagged(Purpose::ACTIVATION_CODE, &self.0))
    }

    /// Whether this is the code of the stored hash, in constant time. For an unknown instrument compare with any hash, so
    /// that the time taken tells nothing.
    pub fn is_that_of(&self, stored: &Digest) -> bool {
        self.hash().0.ct_eq(&stored.0).into()
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for ActivationCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ActivationCode {}

impl std::fmt::Debug for ActivationCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActivationCode(hidden)")
    }
}

/// Everything a CTS needs to begin. Encoding: borsh, fields in this order. A file of it is as secret as the code in it, until
/// the instrument is activated. It holds no PIN and no credential of the second channel (K-112).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct EnrolmentBundle {
    version: u8,
    suite: u8,
    /// The installation.
    pub realm: RealmId,
    /// `host:port` of the TPS, 1 to 16, best first.
    pub processors: Vec<String>,
    /// The TLS certificate (DER) that the TPS shows; no other is accepted.
    pub server_certificate: Vec<u8>,
    /// The offline root that signs key sets.
    pub root: [u8; 32],
    /// A [`SignedKeySet`] for customers.
    pub key_set: Vec<u8>,
    /// Used once.
    pub activation_code: ActivationCode,
    /// The instrument.
    pub instrument: InstrumentId,
    /// The instrument's last consumed count: 0 for a new one.
    pub count: u64,
    /// What the account is kept in.
    pub asset: Asset,
    /// Until when the code can be used.
    pub expires_at: Timestamp,
}

/// Why a bundle is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not a bundle.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Its key set is not to be relied upon.
    #[error("the bundle's key set is not usable: {0}")]
    KeySet(#[from] KeySetError),
    /// Too late.
    #[error("the enrolment bundle expired at {0}: ask the TPS's operator for a new one")]
    Expired(Timestamp),
}

impl EnrolmentBundle {
    /// A bundle.
    ///
    /// # Errors
    /// [`DecodeError`] for no or too many addresses, an address without a port, and anything that is too long.
    #[expect(clippy::too_many_arguments, reason = "the bundle's fields, each once, where it is written")]
    pub fn new(
        realm: RealmId,
        processors: Vec<String>,
        server_certificate: Vec<u8>,
        root: [u8; 32],
        key_set: &SignedKeySet,
        activation_code: ActivationCode,
        instrument: InstrumentId,
        count: u64,
        asset: Asset,
        expires_at: Timestamp,
    ) -> Result<Self, DecodeError> {
        let bundle = Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm,
            processors,
            server_certificate,
            root,
            key_set: key_set.encode(),
            activation_code,
            instrument,
            count,
            asset,
            expires_at,
        };
        bundle.check()?;
        Ok(bundle)
    }

    /// Checks time and key set; the customer trusts the root because it came with the bundle.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn open(&self, now: Timestamp) -> Result<PinnedKeySet, BundleError> {
        if now > self.expires_at {
            return Err(BundleError::Expired(self.expires_at));
        }
        let set = SignedKeySet::decode(&self.key_set)?;
        Ok(set.verify(&self.root, Some(self.realm), Audience::Customer, now, 0)?)
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0) && !host.contains(char::is_whitespace)
    })
}

impl Canonical for EnrolmentBundle {
    const NAME: &'static str = "enrolment bundle";
    const BYTES_MAX: usize =
        KEY_SET_BYTES_MAX + TLS_CERTIFICATE_BYTES_MAX + PROCESSOR_ADDRESSES_MAX * ADDRESS_BYTES_MAX + 1_024;

    fn check(&self) -> Result<(), DecodeError> {
        let field = |field| Err(DecodeError::Field { what: Self::NAME, field });
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        if self.processors.is_empty() || self.processors.len() > PROCESSOR_ADDRESSES_MAX {
            return field("number of addresses");
        }
        for address in &self.processors {
            check_text(Self::NAME, "address", address, ADDRESS_BYTES_MAX)?;
            if !is_address(address) {
                return field("address: write host:port");
            }
        }
        if self.server_certificate.is_empty() || self.server_certificate.len() > TLS_CERTIFICATE_BYTES_MAX {
            return field("TLS certificate");
        }
        if self.key_set.len() > KEY_SET_BYTES_MAX {
            return field("key set");
        }
        if !self.asset.is_valid() { field("asset") } else { Ok(()) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::key_set::{AssetEntry, KeyEntry, KeyRole, KeySet};
    use crate::session::AgreementSecret;
    use crate::signature::{RootRole, SigningKey};

    pub(in super::super) const NOW: Timestamp = Timestamp(1_800_000_000_000);

    pub(in super::super) fn processor_secret() -> AgreementSecret {
        AgreementSecret::from_random([8; 32])
    }

    pub(in super::super) fn bundle() -> EnrolmentBundle {
        let root = SigningKey::<RootRole>::from_seed([1; 32]);
        let mut set = KeySet::new(RealmId([7; 16]), Audience::Customer, 1, NOW, 1_000_000);
        set.keys = vec![KeyEntry::new(KeyRole::Session, processor_secret().public().0, NOW, NOW.plus(1_000_000))];
        set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
        EnrolmentBundle::new(
            RealmId([7; 16]),
            vec!["tps.example:4433".into(), "[::1]:4433".into()],
            vec![0x30, 0x82],
            root.public(),
            &set.sign(&root).unwrap(),
            ActivationCode::from_random([5; 32]),
            InstrumentId([6; 16]),
            0,
            Asset::USD6,
            NOW.plus(1_000),
        )
        .unwrap()
    }

    #[test]
    fn bundles_round_trip_and_expire() {
        let bundle = bundle();
        let decoded = EnrolmentBundle::decode(&bundle.encode()).unwrap();
        assert_eq!(decoded, bundle);
        assert!(decoded.open(NOW).is_ok());
        assert_eq!(decoded.open(NOW.plus(1_001)), Err(BundleError::Expired(NOW.plus(1_000))));
        let mut other_root = bundle.clone();
        other_root.root = [3; 32];
        assert!(matches!(other_root.open(NOW), Err(BundleError::KeySet(KeySetError::WrongRoot))));
        assert!(!format!("{bundle:?}").contains("5, 5"));
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../vectors/enrolment.json")).unwrap();
        assert_eq!(vectors["bundle"], hex::encode(bundle.encode()));
        assert_eq!(vectors["activation_code_hash"], bundle.activation_code.hash().to_string());
    }

    #[test]
    fn malformed_bundles_are_refused() {
        type Change = fn(&mut EnrolmentBundle);
        let cases: [Change; 8] = [
            |bundle| bundle.processors.clear(),
            |bundle| bundle.processors = vec!["a:1".into(); 17],
            |bundle| bundle.processors[0] = "no-port".into(),
            |bundle| bundle.processors[0] = "host:0".into(),
            |bundle| bundle.processors[0] = "ho st:1".into(),
            |bundle| bundle.server_certificate.clear(),
            |bundle| bundle.asset = Asset([0; 8]),
            |bundle| bundle.suite = 2,
        ];
        for (index, change) in cases.into_iter().enumerate() {
            let mut wrong = bundle();
            change(&mut wrong);
            assert!(EnrolmentBundle::decode(&wrong.encode()).is_err(), "case {index}");
        }
    }
}
