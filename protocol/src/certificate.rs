//! Merchant certificates: the TPS binds a merchant's identity to its public keys (paper section 3; K-22 to K-24).
//!
//! A merchant makes its keys itself and sends a [`CertificateRequest`]; after review the TPS issues a
//! [`MerchantCertificate`]. The CTS verifies it before it shows a quote.

use crate::codec::{Canonical, DecodeError, check_text, check_version};
use crate::hash::{Purpose, tagged};
use crate::ids::{Digest, KeyId, MerchantId, RealmId};
use crate::key_set::{KeyRole, KeySetError, PinnedKeySet, key_id};
use crate::limits::{
    CERTIFICATE_BYTES_MAX, MERCHANT_KEY_LIFETIME_MAX_MS, MERCHANT_NAME_BYTES_MAX, PROTOCOL_VERSION, SUITE,
};
use crate::session::AgreementPublic;
use crate::signature::{CertificateRole, Domain, MerchantRole, Signed, SigningKey};
use crate::time::Timestamp;

/// Why a certificate or a request for one is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a well-formed certificate.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The issuing key is unknown, revoked, or was not valid when the certificate began.
    #[error("the merchant certificate's issuer is not trusted: {0}")]
    Issuer(#[from] KeySetError),
    /// Another installation.
    #[error("the merchant certificate belongs to realm {actual}, expected {expected}")]
    WrongRealm {
        /// The pinned realm.
        expected: RealmId,
        /// The certificate's realm.
        actual: RealmId,
    },
    /// The signature does not hold.
    #[error("the merchant certificate is forged or altered: its signature does not hold")]
    BadSignature,
    /// Not valid yet.
    #[error("the merchant certificate is valid only from {0}: check this machine's clock")]
    NotYetValid(Timestamp),
    /// No longer valid.
    #[error("the merchant certificate expired at {0}: the merchant must renew it")]
    Expired(Timestamp),
    /// A request whose signature does not hold.
    #[error(
        "the certificate request was altered, or its maker does not hold the desk key: its signature does not hold"
    )]
    NoPossession,
}

fn check_name(what: &'static str, name: &str) -> Result<(), DecodeError> {
    check_text(what, "name", name, MERCHANT_NAME_BYTES_MAX)?;
    if name.trim().is_empty() { Err(DecodeError::Field { what, field: "name" }) } else { Ok(()) }
}

/// A merchant asks to be certified. Encoding: borsh, fields in this order; the signature covers all before it.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct CertificateRequest {
    version: u8,
    suite: u8,
    /// The name that customers will see, at most 128 bytes.
    pub name: String,
    /// The X25519 key of the merchant's sessions.
    pub session: AgreementPublic,
    /// The Ed25519 key that will sign the merchant's batches at the desk.
    pub desk: [u8; 32],
    signature: [u8; 64],
}

impl CertificateRequest {
    /// A request signed by the desk key: proof of possession.
    ///
    /// # Errors
    /// [`DecodeError`] for an unusable name.
    pub fn new(name: String, session: AgreementPublic, desk: &SigningKey<MerchantRole>) -> Result<Self, DecodeError> {
        let version = PROTOCOL_VERSION;
        Self { version, suite: SUITE, name, session, desk: desk.public(), signature: [0; 64] }.signed(desk)
    }

    /// Checks that whoever made the request holds the desk key.
    ///
    /// # Errors
    /// [`CertificateError::NoPossession`].
    pub fn verify(&self) -> Result<(), CertificateError> {
        self.verify_signature(&self.desk).map_err(|_| CertificateError::NoPossession)
    }

    /// Short text for people to compare over another channel before approval: half of the hash of the request.
    pub fn fingerprint(&self) -> String {
        hex::encode(&tagged(Purpose::CERTIFICATE, &self.encode())[..16])
    }
}

impl Signed for CertificateRequest {
    type Signer = MerchantRole;
    const DOMAIN: Domain<MerchantRole> = Domain::CERTIFICATE_REQUEST;

    fn signature_mut(&mut self) -> &mut [u8; 64] {
        &mut self.signature
    }
}

impl Canonical for CertificateRequest {
    const NAME: &'static str = "certificate request";
    const BYTES_MAX: usize = CERTIFICATE_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        check_name(Self::NAME, &self.name)
    }
}

/// A merchant's identity and keys, signed by the TPS. Encoding: borsh, fields in this order; the signature covers all
/// before it.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct MerchantCertificate {
    version: u8,
    suite: u8,
    realm: RealmId,
    serial: u64,
    merchant: MerchantId,
    name: String,
    session: AgreementPublic,
    desk: [u8; 32],
    valid_from: Timestamp,
    valid_until: Timestamp,
    issuer: KeyId,
    signature: [u8; 64],
}

/// What the TPS decides about a certificate; name and keys come from the request.
#[derive(Clone, Copy, Debug)]
pub struct CertificateTerms {
    /// The installation.
    pub realm: RealmId,
    /// Unique per issuer; grows.
    pub serial: u64,
    /// The merchant.
    pub merchant: MerchantId,
    /// From when it is valid.
    pub valid_from: Timestamp,
    /// Until when: at most 90 days later.
    pub valid_until: Timestamp,
}

impl MerchantCertificate {
    /// Issues the certificate for a request whose signature holds and whose maker was reviewed (K-24).
    ///
    /// # Errors
    /// [`CertificateError::NoPossession`] for a request with a bad signature, [`CertificateError::Malformed`] for a
    /// validity that is empty or longer than 90 days.
    pub fn issue(
        request: &CertificateRequest,
        terms: &CertificateTerms,
        issuer: &SigningKey<CertificateRole>,
    ) -> Result<Self, CertificateError> {
        request.verify()?;
        let certificate = Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm: terms.realm,
            serial: terms.serial,
            merchant: terms.merchant,
            name: request.name.clone(),
            session: request.session,
            desk: request.desk,
            valid_from: terms.valid_from,
            valid_until: terms.valid_until,
            issuer: key_id(KeyRole::Certificate, &issuer.public()),
            signature: [0; 64],
        };
        Ok(certificate.signed(issuer)?)
    }

    /// The tagged hash of the whole encoding; part of every session derived with this certificate.
    pub fn digest(&self) -> Digest {
        Digest(tagged(Purpose::CERTIFICATE, &self.encode()))
    }

    /// The session key that the certificate names, before verification: to find the files that belong to it.
    pub fn claimed_session(&self) -> AgreementPublic {
        self.session
    }

    /// Checks issuer, realm, signature and validity.
    ///
    /// # Errors
    /// [`CertificateError`], in that order. An issuing key may since have left its validity, but not the pinned set.
    pub fn verify(&self, keys: &PinnedKeySet, now: Timestamp) -> Result<VerifiedCertificate, CertificateError> {
        keys.check_age(now)?;
        let issuer = keys.key(KeyRole::Certificate, self.issuer, self.valid_from)?;
        if self.realm != keys.realm() {
            return Err(CertificateError::WrongRealm { expected: keys.realm(), actual: self.realm });
        }
        self.verify_signature(&issuer.public).map_err(|_| CertificateError::BadSignature)?;
        let verified = VerifiedCertificate { digest: self.digest(), certificate: self.clone() };
        verified.check_validity(now)?;
        Ok(verified)
    }
}

impl Signed for MerchantCertificate {
    type Signer = CertificateRole;
    const DOMAIN: Domain<CertificateRole> = Domain::MERCHANT_CERTIFICATE;

    fn signature_mut(&mut self) -> &mut [u8; 64] {
        &mut self.signature
    }
}

impl Canonical for MerchantCertificate {
    const NAME: &'static str = "merchant certificate";
    const BYTES_MAX: usize = CERTIFICATE_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        check_name(Self::NAME, &self.name)?;
        let ordered = self.valid_from < self.valid_until;
        if !ordered || self.valid_until.since(self.valid_from) > MERCHANT_KEY_LIFETIME_MAX_MS {
            return Err(DecodeError::Field { what: Self::NAME, field: "validity: it must be 90 days at most" });
        }
        Ok(())
    }
}

/// A certificate whose signature holds and whose validity was checked. Only [`MerchantCertificate::verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedCertificate {
    certificate: MerchantCertificate,
    digest: Digest,
}

impl VerifiedCertificate {
    /// Whether it is valid at `now`; ask again when it is used after a while.
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`], [`CertificateError::Expired`].
    pub fn check_validity(&self, now: Timestamp) -> Result<(), CertificateError> {
        if now < self.certificate.valid_from {
            return Err(CertificateError::NotYetValid(self.certificate.valid_from));
        }
        if now > self.certificate.valid_until {
            return Err(CertificateError::Expired(self.certificate.valid_until));
        }
        Ok(())
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &MerchantCertificate {
        &self.certificate
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The installation.
    pub fn realm(&self) -> RealmId {
        self.certificate.realm
    }

    /// Number of the certificate.
    pub fn serial(&self) -> u64 {
        self.certificate.serial
    }

    /// The merchant.
    pub fn merchant(&self) -> MerchantId {
        self.certificate.merchant
    }

    /// The merchant's name.
    pub fn name(&self) -> &str {
        &self.certificate.name
    }

    /// The key to agree a session with.
    pub fn session(&self) -> &AgreementPublic {
        &self.certificate.session
    }

    /// The key that signs the merchant's desk batches.
    pub fn desk(&self) -> &[u8; 32] {
        &self.certificate.desk
    }

    /// The first moment of its validity.
    pub fn valid_from(&self) -> Timestamp {
        self.certificate.valid_from
    }

    /// The last moment of its validity.
    pub fn valid_until(&self) -> Timestamp {
        self.certificate.valid_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_set::{AssetEntry, Audience, KeyEntry, KeySet};
    use crate::money::Asset;
    use crate::session::AgreementSecret;
    use crate::signature::RootRole;
    use crate::time::DAY_MS;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const REALM: RealmId = RealmId([7; 16]);

    fn issuer() -> SigningKey<CertificateRole> {
        SigningKey::from_seed([2; 32])
    }

    fn request() -> CertificateRequest {
        let session = AgreementSecret::from_random([4; 32]).public();
        CertificateRequest::new("Elm Music".into(), session, &SigningKey::from_seed([3; 32])).unwrap()
    }

    fn terms() -> CertificateTerms {
        let valid_until = NOW.plus(30 * DAY_MS);
        CertificateTerms { realm: REALM, serial: 1, merchant: MerchantId([5; 16]), valid_from: NOW, valid_until }
    }

    fn certificate() -> MerchantCertificate {
        MerchantCertificate::issue(&request(), &terms(), &issuer()).unwrap()
    }

    fn pinned(realm: RealmId, revoked: bool) -> PinnedKeySet {
        let root = SigningKey::<RootRole>::from_seed([1; 32]);
        let mut set = KeySet::new(realm, Audience::Customer, 1, NOW, 400 * DAY_MS);
        let mut key = KeyEntry::new(KeyRole::Certificate, issuer().public(), NOW, NOW.plus(5 * DAY_MS));
        key.revoked = revoked;
        set.keys = vec![key];
        set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
        set.sign(&root).unwrap().verify(&root.public(), None, Audience::Customer, NOW, 0).unwrap()
    }

    #[test]
    fn requests_prove_possession_and_are_frozen() {
        let request = request();
        request.verify().unwrap();
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../vectors/certificate.json")).unwrap();
        assert_eq!(vectors["request"], hex::encode(request.encode()));
        assert_eq!(vectors["certificate"], hex::encode(certificate().encode()));
        assert_eq!(vectors["digest"], certificate().digest().to_string());
        let mut other = request.clone();
        other.session = AgreementPublic([9; 32]);
        assert_eq!(other.verify(), Err(CertificateError::NoPossession));
        assert!(MerchantCertificate::issue(&other, &terms(), &issuer()).is_err());
        assert!(CertificateRequest::new(" ".into(), request.session, &SigningKey::from_seed([3; 32])).is_err());
    }

    // spec: K-22
    #[test]
    fn only_valid_certificates_verify() {
        let keys = pinned(REALM, false);
        let verified = certificate().verify(&keys, NOW).unwrap();
        assert_eq!((verified.name(), verified.merchant()), ("Elm Music", MerchantId([5; 16])));
        // The issuing key has left its validity, the certificate has not.
        assert!(certificate().verify(&keys, NOW.plus(20 * DAY_MS)).is_ok());
        let until = terms().valid_until;
        assert_eq!(certificate().verify(&keys, until.plus(1)), Err(CertificateError::Expired(until)));
        assert_eq!(verified.check_validity(Timestamp(NOW.0 - 1)), Err(CertificateError::NotYetValid(NOW)));
        let revoked = certificate().verify(&pinned(REALM, true), NOW);
        assert!(matches!(revoked, Err(CertificateError::Issuer(KeySetError::Revoked(_)))));
        let realm = certificate().verify(&pinned(RealmId([8; 16]), false), NOW);
        assert!(matches!(realm, Err(CertificateError::WrongRealm { .. })));
        let stranger = SigningKey::from_seed([6; 32]);
        let forged = MerchantCertificate::issue(&request(), &terms(), &stranger).unwrap().verify(&keys, NOW);
        assert!(matches!(forged, Err(CertificateError::Issuer(KeySetError::UnknownKey(_)))));
    }

    // spec: K-22, K-23
    #[test]
    fn no_altered_certificate_verifies() {
        let keys = pinned(REALM, false);
        let bytes = certificate().encode();
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            let Ok(decoded) = MerchantCertificate::decode(&altered) else { continue };
            assert!(decoded.verify(&keys, NOW).is_err(), "byte {index}");
        }
    }

    #[test]
    fn long_validity_is_refused() {
        let long = CertificateTerms { valid_until: NOW.plus(90 * DAY_MS + 1), ..terms() };
        assert!(MerchantCertificate::issue(&request(), &long, &issuer()).is_err());
        let empty = CertificateTerms { valid_until: NOW, ..terms() };
        assert!(MerchantCertificate::issue(&request(), &empty, &issuer()).is_err());
    }
}
