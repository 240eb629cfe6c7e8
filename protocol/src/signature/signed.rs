//! Messages that end in their signature: signed and verified here, the same way for all of them.

use super::{Domain, Role, Signature, SigningKey, StrictError, strict_verify};
use crate::codec::{Canonical, DecodeError};

/// A message whose encoding ends in a signature over all bytes before it.
pub(crate) trait Signed: Canonical {
    /// Whose keys sign it.
    type Signer: Role;
    /// What its signatures are over.
    const DOMAIN: Domain<Self::Signer>;

    /// The last field.
    fn signature_mut(&mut self) -> &mut [u8; 64];

    /// The message with its signature, if it is within its bounds.
    fn signed(mut self, key: &SigningKey<Self::Signer>) -> Result<Self, DecodeError> {
        self.check()?;
        let bytes = self.encode();
        let (message, _) = bytes.split_at(bytes.len() - self.signature_mut().len());
        *self.signature_mut() = key.sign(Self::DOMAIN, message).0;
        Ok(self)
    }

    /// Checks that the key `public` signed every byte before the signature.
    fn verify_signature(&self, public: &[u8; 32]) -> Result<(), StrictError> {
        let bytes = self.encode();
        let (message, signature) = bytes.split_last_chunk().ok_or(StrictError::Signature)?;
        strict_verify(public, Self::DOMAIN, &[message], &Signature(*signature))
    }
}
