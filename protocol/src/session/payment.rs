//! The session of one request-for-payment: CTS and TPS, randomised on the customer's end only (paper section 4; K-45).

use std::sync::LazyLock;

use aes_gcm::aead::{AeadInOut, KeyInit};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{AgreementPublic, AgreementSecret, NoSharedSecret};
use crate::hash::{Derivation, Purpose};

static SESSION_KEYS: LazyLock<Derivation> = LazyLock::new(|| Derivation::new(Purpose::PAYMENT_SESSION));

/// Length of an authentication tag of AES-256-GCM and AES-256-GCM-SIV, in bytes.
pub const SEAL_TAG_BYTES: usize = 16;

/// Sealed bytes were altered, or made under other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed part does not open: it was altered or sealed for another key")]
pub struct DoesNotOpen;

/// The three keys of one request: they seal the customer's half, authenticate the PIN, and seal the answer.
///
/// One request, one session: every key here is used for one plaintext, so nonces are constant.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PaymentSession {
    request_seal: [u8; 32],
    pin_authenticator: [u8; 32],
    response_seal: [u8; 32],
}

impl PaymentSession {
    /// The customer's side: agrees with the TPS's pinned session key. The ephemeral key is used up.
    ///
    /// # Errors
    /// [`NoSharedSecret`] where the TPS's key is of small order.
    pub fn for_customer(ephemeral: AgreementSecret, processor: &AgreementPublic) -> Result<Self, NoSharedSecret> {
        let shared = ephemeral.agree(processor)?;
        Ok(Self::from_shared(&shared, &ephemeral.public(), processor))
    }

    /// The TPS's side: regenerates the session from the received public part (K-66).
    ///
    /// # Errors
    /// [`NoSharedSecret`] where the customer's key is of small order.
    pub fn for_processor(
        secret: &AgreementSecret,
        public: &AgreementPublic,
        ephemeral: &AgreementPublic,
    ) -> Result<Self, NoSharedSecret> {
        let shared = secret.agree(ephemeral)?;
        Ok(Self::from_shared(&shared, ephemeral, public))
    }

    /// [`PaymentSession::for_processor`] for many requests at once: a session for each ephemeral key, in order, or what is
    /// wrong with it. On a processor with vector instructions it takes a fifth of the time.
    pub fn for_processor_batch(
        secret: &AgreementSecret,
        public: &AgreementPublic,
        ephemerals: &[AgreementPublic],
    ) -> Vec<Result<Self, NoSharedSecret>> {
        let shared = secret.agree_with_each(ephemerals);
        let sessions = ephemerals.iter().zip(shared.iter()).map(|(ephemeral, shared)| {
            if bool::from(shared.ct_eq(&[0; 32])) {
                return Err(NoSharedSecret);
            }
            Ok(Self::from_shared(shared, ephemeral, public))
        });
        sessions.collect()
    }

    /// The session out of a shared secret that was computed elsewhere, for example for many requests at once.
    pub fn from_shared(shared: &[u8; 32], ephemeral: &AgreementPublic, processor: &AgreementPublic) -> Self {
        let mut keys = zeroize::Zeroizing::new([0; 96]);
        SESSION_KEYS.fill(&[shared, &ephemeral.0, &processor.0], &mut keys[..]);
        let part = |index: usize| {
            let mut key = [0; 32];
            key.copy_from_slice(&keys[index * 32..(index + 1) * 32]);
            key
        };
        Self { request_seal: part(0), pin_authenticator: part(1), response_seal: part(2) }
    }

    /// Seals the customer's half in place and appends nothing: the tag is returned.
    pub(crate) fn seal_request(&self, associated: &[u8], half: &mut [u8]) -> [u8; SEAL_TAG_BYTES] {
        let cipher = aes_gcm::Aes256Gcm::new(&self.request_seal.into());
        let tag = cipher.encrypt_inout_detached(&[0; 12].into(), associated, half.into());
        tag.expect("a request is far below the limit of the cipher").into()
    }

    /// Opens the customer's half in place.
    pub(crate) fn open_request(
        &self,
        associated: &[u8],
        half: &mut [u8],
        tag: &[u8; SEAL_TAG_BYTES],
    ) -> Result<(), DoesNotOpen> {
        let cipher = aes_gcm::Aes256Gcm::new(&self.request_seal.into());
        cipher.decrypt_inout_detached(&[0; 12].into(), associated, half.into(), tag.into()).map_err(|_| DoesNotOpen)
    }

    /// Authenticates `data` in the name of whoever knows the PIN behind it.
    pub(crate) fn authenticate_pin(&self, data: &[u8]) -> [u8; 32] {
        crate::hash::mac(&self.pin_authenticator, data)
    }

    /// Seals an answer in place. Synthetic IV: equal answers give equal bytes, different ones leak nothing.
    pub(crate) fn seal_response(&self, associated: &[u8], answer: &mut [u8]) -> [u8; SEAL_TAG_BYTES] {
        let cipher = aes_gcm_siv::Aes256GcmSiv::new(&self.response_seal.into());
        let tag = cipher.encrypt_inout_detached(&[0; 12].into(), associated, answer.into());
        tag.expect("an answer is far below the limit of the cipher").into()
    }

    /// Opens an answer in place.
    pub(crate) fn open_response(
        &self,
        associated: &[u8],
        answer: &mut [u8],
        tag: &[u8; SEAL_TAG_BYTES],
    ) -> Result<(), DoesNotOpen> {
        let cipher = aes_gcm_siv::Aes256GcmSiv::new(&self.response_seal.into());
        cipher.decrypt_inout_detached(&[0; 12].into(), associated, answer.into(), tag.into()).map_err(|_| DoesNotOpen)
    }
}

impl std::fmt::Debug for PaymentSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PaymentSession(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_made_at_once_are_those_made_one_by_one() {
        let secret = AgreementSecret::from_random([3; 32]);
        let public = secret.public();
        for count in [0, 1, 3, 4, 5, 9, 70] {
            let mut ephemerals: Vec<_> =
                (0..count).map(|i| AgreementSecret::from_random([i as u8 + 7; 32]).public()).collect();
            if count > 2 {
                // Small order, and a second form of it: p + 1.
                ephemerals[1] = AgreementPublic([0; 32]);
                ephemerals[2].0 = [0xff; 32];
                (ephemerals[2].0[0], ephemerals[2].0[31]) = (0xee, 0x7f);
            }
            let sessions = PaymentSession::for_processor_batch(&secret, &public, &ephemerals);
            assert_eq!(sessions.len(), count);
            for (ephemeral, session) in ephemerals.iter().zip(sessions) {
                let keys =
                    |session: &PaymentSession| (session.request_seal, session.pin_authenticator, session.response_seal);
                let alone = PaymentSession::for_processor(&secret, &public, ephemeral);
                assert_eq!(session.as_ref().map(keys), alone.as_ref().map(keys));
            }
            if count > 2 {
                let sessions = PaymentSession::for_processor_batch(&secret, &public, &ephemerals);
                assert_eq!(sessions.iter().filter(|session| session.is_err()).count(), 2);
            }
        }
    }
}
