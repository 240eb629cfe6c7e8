//! The one exchange that activates an instrument: CTS and TPS, over the frames of [`crate::frame`].

use aes_gcm::aead::{Aead, AeadInOut, KeyInit, Payload};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::ActivationCode;
use crate::codec::{Canonical, DecodeError};
use crate::frame::MessageType;
use crate::hash::{Purpose, tagged};
use crate::ids::{Digest, InstrumentId, KeyId, RealmId};
use crate::request::ProcessorKey;
use crate::session::payment::{DoesNotOpen, SEAL_TAG_BYTES};
use crate::session::{AgreementPublic, AgreementSecret, NoSharedSecret};
use crate::signature::{CustomerKey, CustomerRole, Domain, KeyError, Signature, SigningKey, verify};

/// Instrument, code, public key, signature, device key.
const SECRETS_BYTES: usize = 16 + 32 + 32 + 64 + 32;
/// Count and policy.
const ANSWER_BYTES: usize = 8 + 1;

/// Whether requests of an instrument must be signed.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SignaturePolicy {
    /// Requests may be unsigned.
    Optional = 0,
    /// Unsigned requests are denied.
    Required = 1,
}

/// Why an activation is refused. To the CTS the TPS answers one and the same error for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// Altered, or sealed for another key.
    #[error("the activation does not open: it was altered or sealed for another key of the TPS")]
    DoesNotOpen,
    /// The customer's key is not acceptable.
    #[error("the customer's public key is not acceptable: {0}")]
    Key(#[from] KeyError),
    /// The sender does not hold the key.
    #[error("the sender does not hold the customer key: its signature does not hold")]
    NoPossession,
}

/// Keys of one activation: one for each direction, each used once.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ActivationSession {
    request_seal: [u8; 32],
    answer_seal: [u8; 32],
}

impl ActivationSession {
    /// 64 bytes of `derive("enrolment session", shared || ephemeral || TPS key)` in extended output.
    fn from_shared(shared: &[u8; 32], ephemeral: &AgreementPublic, processor: &AgreementPublic) -> Self {
        let mut keys = Zeroizing::new([0; 64]);
        let mut hasher = blake3::Hasher::new_derive_key(Purpose::ENROLMENT_SESSION.text());
        hasher.update(shared).update(&ephemeral.0).update(&processor.0);
        hasher.finalize_xof().fill(&mut keys[..]);
        hasher.zeroize();
        let mut session = Self { request_seal: [0; 32], answer_seal: [0; 32] };
        session.request_seal.copy_from_slice(&keys[..32]);
        session.answer_seal.copy_from_slice(&keys[32..]);
        session
    }
}

impl std::fmt::Debug for ActivationSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActivationSession(hidden)")
    }
}

/// CTS to TPS. Fields: prefix (3 bytes, type 0x10), TPS session key id (8), ephemeral public key (32), sealed (192):
/// AES-256-GCM, nonce zero, everything before it as associated data, over instrument (16), activation code (32), customer
/// public key (32), signature of possession (64), device key (32).
///
/// The signature, in the enrolment domain, covers realm (16), instrument (16), public key (32) and the tagged hash of the
/// device key (32).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Activation {
    prefix: [u8; 3],
    /// Which session key of the TPS it is sealed for.
    pub key: KeyId,
    ephemeral: AgreementPublic,
    sealed: [u8; SECRETS_BYTES + SEAL_TAG_BYTES],
}

fn possession(realm: RealmId, instrument: InstrumentId, public: &[u8; 32], device_key: &[u8; 32]) -> [u8; 96] {
    let mut bytes = [0; 96];
    bytes[..16].copy_from_slice(&realm.0);
    bytes[16..32].copy_from_slice(&instrument.0);
    bytes[32..64].copy_from_slice(public);
    bytes[64..].copy_from_slice(&tagged(Purpose::DEVICE_KEY, device_key));
    bytes
}

/// Makes the activation of `instrument` with the customer's own keys. The ephemeral key is used up; to ask again, call this
/// again with the same keys and a fresh ephemeral key.
///
/// # Errors
/// [`NoSharedSecret`] where the pinned key of the TPS is unusable.
pub fn activate(
    realm: RealmId,
    instrument: InstrumentId,
    code: &ActivationCode,
    signing: &SigningKey<CustomerRole>,
    device_key: &[u8; 32],
    processor: &ProcessorKey,
    ephemeral: AgreementSecret,
) -> Result<(Activation, ActivationSession), NoSharedSecret> {
    let shared = ephemeral.agree(&processor.public)?;
    let session = ActivationSession::from_shared(&shared, &ephemeral.public(), &processor.public);
    let public = signing.public();
    let signature = signing.sign(Domain::ENROLMENT, &possession(realm, instrument, &public, device_key));

    let mut plain = Zeroizing::new(Vec::with_capacity(SECRETS_BYTES));
    for part in [&instrument.0[..], code.expose(), &public, &signature.0, device_key] {
        plain.extend_from_slice(part);
    }
    let mut message = Activation {
        prefix: MessageType::Activation.prefix(),
        key: processor.id,
        ephemeral: ephemeral.public(),
        sealed: [0; SECRETS_BYTES + SEAL_TAG_BYTES],
    };
    let cipher = aes_gcm::Aes256Gcm::new(&session.request_seal.into());
    let associated = message.associated();
    let sealed = cipher.encrypt(&[0; 12].into(), Payload { msg: &plain, aad: &associated });
    message.sealed.copy_from_slice(&sealed.expect("an activation is far below the limit of the cipher"));
    Ok((message, session))
}

/// What an activation says, opened and with possession proven. Whether the code is right, and whether the instrument is
/// still to be activated or was by these very keys, is for the TPS's store to say.
pub struct ActivationOpened {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// To be compared with the stored hash.
    pub code: ActivationCode,
    /// The customer's key: canonical, torsion-free, held by the sender.
    pub customer: CustomerKey,
    /// Key of the device tags.
    pub device_key: Zeroizing<[u8; 32]>,
    /// Seals the answer.
    pub session: ActivationSession,
}

impl std::fmt::Debug for ActivationOpened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActivationOpened(hidden)")
    }
}

impl Activation {
    fn associated(&self) -> Vec<u8> {
        borsh::to_vec(&(self.prefix, self.key, self.ephemeral)).expect("encoding into memory does not fail")
    }

    fn digest(&self) -> Digest {
        Digest(tagged(Purpose::ENROLMENT_REQUEST, &self.encode()))
    }

    /// Opens the message on the TPS's side with the secret of session key [`Self::key`], and checks possession.
    ///
    /// # Errors
    /// [`EnrolmentError`]; answer [`crate::error::ErrorCode::ActivationRefused`] for every one of them, as for a wrong code.
    pub fn open(&self, realm: RealmId, secret: &AgreementSecret) -> Result<ActivationOpened, EnrolmentError> {
        let shared = secret.agree(&self.ephemeral).map_err(|_| EnrolmentError::DoesNotOpen)?;
        let session = ActivationSession::from_shared(&shared, &self.ephemeral, &secret.public());
        let cipher = aes_gcm::Aes256Gcm::new(&session.request_seal.into());
        let associated = self.associated();
        let plain = cipher.decrypt(&[0; 12].into(), Payload { msg: &self.sealed, aad: &associated });
        let plain = Zeroizing::new(plain.map_err(|_| EnrolmentError::DoesNotOpen)?);

        let mut rest = &plain[..];
        let instrument = InstrumentId(take(&mut rest)?);
        let code = ActivationCode::from_random(take(&mut rest)?);
        let public = take::<32>(&mut rest)?;
        let signature = Signature(take(&mut rest)?);
        let device_key = Zeroizing::new(take::<32>(&mut rest)?);
        let customer = CustomerKey::parse(&public)?;
        let signed = possession(realm, instrument, &public, &device_key);
        verify(&customer, Domain::ENROLMENT, &signed, &signature).map_err(|_| EnrolmentError::NoPossession)?;
        Ok(ActivationOpened { instrument, code, customer, device_key, session })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], EnrolmentError> {
    let (part, after) = rest.split_first_chunk::<N>().ok_or(EnrolmentError::DoesNotOpen)?;
    *rest = after;
    Ok(*part)
}

impl Canonical for Activation {
    const NAME: &'static str = "activation";
    const BYTES_MAX: usize = 3 + 8 + 32 + SECRETS_BYTES + SEAL_TAG_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        check_type(Self::NAME, self.prefix, MessageType::Activation)
    }
}

fn check_type(what: &'static str, prefix: [u8; 3], expected: MessageType) -> Result<(), DecodeError> {
    if MessageType::of(&prefix)? == expected { Ok(()) } else { Err(DecodeError::Field { what, field: "message type" }) }
}

/// TPS to CTS: the instrument is active. Fields: prefix (3 bytes, type 0x11), sealed (25): AES-256-GCM-SIV under the
/// session's other key, nonce zero, prefix and digest of the activation message as associated data, over the last consumed
/// count (u64) and the signature policy (1 byte).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct ActivationAnswer {
    prefix: [u8; 3],
    sealed: [u8; ANSWER_BYTES + SEAL_TAG_BYTES],
}

impl ActivationAnswer {
    /// The TPS's answer to `activation`, after the activation is durable.
    pub fn new(activation: &Activation, session: &ActivationSession, count: u64, policy: SignaturePolicy) -> Self {
        let prefix = MessageType::ActivationAnswer.prefix();
        let mut sealed = [0; ANSWER_BYTES + SEAL_TAG_BYTES];
        let (plain, seal_tag) = sealed.split_at_mut(ANSWER_BYTES);
        plain[..8].copy_from_slice(&count.to_le_bytes());
        plain[8] = policy as u8;
        let cipher = aes_gcm_siv::Aes256GcmSiv::new(&session.answer_seal.into());
        let tag = cipher.encrypt_inout_detached(&[0; 12].into(), &associated(prefix, activation), plain.into());
        seal_tag.copy_from_slice(&tag.expect("an answer is far below the limit of the cipher"));
        Self { prefix, sealed }
    }

    /// The CTS's side: the last consumed count, and whether requests must be signed.
    ///
    /// # Errors
    /// [`DoesNotOpen`] where it was altered or answers another activation.
    pub fn open(
        &self,
        activation: &Activation,
        session: &ActivationSession,
    ) -> Result<(u64, SignaturePolicy), DoesNotOpen> {
        let cipher = aes_gcm_siv::Aes256GcmSiv::new(&session.answer_seal.into());
        let associated = associated(self.prefix, activation);
        let plain = cipher.decrypt(&[0; 12].into(), Payload { msg: &self.sealed, aad: &associated });
        let plain = plain.map_err(|_| DoesNotOpen)?;
        let (count, policy) = plain.split_first_chunk::<8>().ok_or(DoesNotOpen)?;
        let policy = match policy {
            [0] => SignaturePolicy::Optional,
            [1] => SignaturePolicy::Required,
            _ => return Err(DoesNotOpen),
        };
        Ok((u64::from_le_bytes(*count), policy))
    }
}

fn associated(prefix: [u8; 3], activation: &Activation) -> [u8; 35] {
    let mut bytes = [0; 35];
    bytes[..3].copy_from_slice(&prefix);
    bytes[3..].copy_from_slice(&activation.digest().0);
    bytes
}

impl Canonical for ActivationAnswer {
    const NAME: &'static str = "activation answer";
    const BYTES_MAX: usize = 3 + ANSWER_BYTES + SEAL_TAG_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        check_type(Self::NAME, self.prefix, MessageType::ActivationAnswer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bundle::tests::{NOW, bundle, processor_secret};
    use super::*;

    fn customer() -> SigningKey<CustomerRole> {
        SigningKey::from_seed([3; 32])
    }

    fn made(ephemeral: u8) -> (Activation, ActivationSession) {
        let bundle = bundle();
        let processor = bundle.open(NOW).unwrap().session_key(NOW).unwrap();
        let ephemeral = AgreementSecret::from_random([ephemeral; 32]);
        activate(bundle.realm, bundle.instrument, &bundle.activation_code, &customer(), &[4; 32], &processor, ephemeral)
            .unwrap()
    }

    #[test]
    fn an_activation_opens_and_is_answered() {
        let (message, customer_session) = made(9);
        let decoded = Activation::decode(&message.encode()).unwrap();
        let opened = decoded.open(bundle().realm, &processor_secret()).unwrap();
        assert_eq!(opened.instrument, bundle().instrument);
        assert_eq!(*opened.customer.as_bytes(), customer().public());
        assert_eq!(*opened.device_key, [4; 32]);
        assert!(opened.code.is_that_of(&bundle().activation_code.hash()));
        assert!(!opened.code.is_that_of(&Digest::ZERO));

        let answer = ActivationAnswer::new(&decoded, &opened.session, 41, SignaturePolicy::Required);
        let answer = ActivationAnswer::decode(&answer.encode()).unwrap();
        assert_eq!(answer.open(&message, &customer_session), Ok((41, SignaturePolicy::Required)));
        assert_eq!(answer.open(&made(10).0, &customer_session), Err(DoesNotOpen));

        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../vectors/enrolment.json")).unwrap();
        assert_eq!(vectors["activation"], hex::encode(message.encode()));
        assert_eq!(vectors["activation_answer"], hex::encode(answer.encode()));
    }

    #[test]
    fn altered_activations_do_not_open() {
        let bytes = made(9).0.encode();
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            let Ok(decoded) = Activation::decode(&altered) else { continue };
            assert!(decoded.open(bundle().realm, &processor_secret()).is_err(), "byte {index}");
        }
        let message = made(9).0;
        assert_eq!(message.open(RealmId([1; 16]), &processor_secret()).err(), Some(EnrolmentError::NoPossession));
        let other = AgreementSecret::from_random([1; 32]);
        assert_eq!(message.open(bundle().realm, &other).err(), Some(EnrolmentError::DoesNotOpen));
    }

    #[test]
    fn nothing_secret_travels_in_clear() {
        let (message, session) = made(9);
        let bytes = message.encode();
        for secret in [&[5u8; 8][..], &[6; 8], &[4; 8], &customer().public()[..8]] {
            assert!(!bytes.windows(8).any(|window| window == secret));
        }
        assert_eq!(format!("{session:?}"), "ActivationSession(hidden)");
    }
}
