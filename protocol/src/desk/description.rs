//! Where the desk is and how it shows itself: a file from the operator, signed by the desk key.

use crate::codec::{Canonical, DecodeError, check_text, check_version};
use crate::ids::{KeyId, RealmId};
use crate::key_set::{KeyRole, KeySetError, PinnedKeySet, key_id};
use crate::limits::{PROTOCOL_VERSION, SUITE};
use crate::signature::{DeskRole, Domain, Signed, SigningKey};
use crate::time::Timestamp;

/// Addresses of the desk in one description.
const ADDRESSES_MAX: usize = 16;
/// Bytes of one address: a host name and a port.
const ADDRESS_BYTES_MAX: usize = 262;
/// Bytes of a TLS certificate.
const TLS_CERTIFICATE_BYTES_MAX: usize = 4 * 1_024;

/// Why a description is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// Not a description.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The signing key.
    #[error("the desk description's signing key is not trusted: {0}; import the newest key set first")]
    Key(#[from] KeySetError),
    /// The signature does not hold.
    #[error("the desk description is forged or altered: its signature does not hold; get it from the operator again")]
    BadSignature,
    /// Another installation.
    #[error("the desk description belongs to another TPS (realm {0}): get that of your own")]
    OtherRealm(RealmId),
}

/// How merchants reach the desk. Encoding: borsh, fields in this order; the signature covers all before it.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct DeskDescription {
    version: u8,
    suite: u8,
    realm: RealmId,
    /// `host:port` of the desk, 1 to 16, best first.
    pub addresses: Vec<String>,
    /// The TLS certificate (DER) that the desk shows; no other is accepted.
    pub server_certificate: Vec<u8>,
    /// When it was signed.
    pub signed_at: Timestamp,
    key: KeyId,
    signature: [u8; 64],
}

impl DeskDescription {
    /// A description signed by the desk key.
    ///
    /// # Errors
    /// [`DecodeError`] for no or too many addresses, one without a port, or a certificate that is too long.
    pub fn new(
        realm: RealmId,
        addresses: Vec<String>,
        server_certificate: Vec<u8>,
        signed_at: Timestamp,
        key: &SigningKey<DeskRole>,
    ) -> Result<Self, DecodeError> {
        let description = Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm,
            addresses,
            server_certificate,
            signed_at,
            key: key_id(KeyRole::Desk, &key.public()),
            signature: [0; 64],
        };
        description.signed(key)
    }

    /// Checks that the TPS of the pinned key set signed it.
    ///
    /// # Errors
    /// [`DescriptionError`].
    pub fn verify(&self, keys: &PinnedKeySet) -> Result<(), DescriptionError> {
        if self.realm != keys.realm() {
            return Err(DescriptionError::OtherRealm(self.realm));
        }
        let key = keys.key(KeyRole::Desk, self.key, self.signed_at)?;
        self.verify_signature(&key.public).map_err(|_| DescriptionError::BadSignature)
    }
}

impl Signed for DeskDescription {
    type Signer = DeskRole;
    const DOMAIN: Domain<DeskRole> = Domain::DESK_DESCRIPTION;

    fn signature_mut(&mut self) -> &mut [u8; 64] {
        &mut self.signature
    }
}

impl Canonical for DeskDescription {
    const NAME: &'static str = "desk description";
    const BYTES_MAX: usize =
        2 + 16 + 4 + ADDRESSES_MAX * (4 + ADDRESS_BYTES_MAX) + 4 + TLS_CERTIFICATE_BYTES_MAX + 8 + 8 + 64;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        let wrong = |field| Err(DecodeError::Field { what: Self::NAME, field });
        if self.addresses.is_empty() || self.addresses.len() > ADDRESSES_MAX {
            return wrong("number of addresses");
        }
        for address in &self.addresses {
            check_text(Self::NAME, "address", address, ADDRESS_BYTES_MAX)?;
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0)) {
                return wrong("address: it must be host:port");
            }
        }
        if self.server_certificate.is_empty() || self.server_certificate.len() > TLS_CERTIFICATE_BYTES_MAX {
            return wrong("TLS certificate");
        }
        Ok(())
    }
}
