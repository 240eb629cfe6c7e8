//! The session of one purchase: CTS and MTS (paper sections 2 and 3; K-27 to K-31).
//!
//! The CTS draws an ephemeral key, the MTS's key stands in its certificate. The derivation hashes the shared secret, both
//! public keys, the digest of the certificate and the digest of the quote, so that an altered quote gives other keys.
//! Every use has a key of its own: disclosing one tells nothing about another.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::payment::{DoesNotOpen, SEAL_TAG_BYTES};
use super::{AgreementPublic, AgreementSecret, NoSharedSecret};
use crate::hash::{Purpose, derive, mac};
use crate::ids::{Digest, QuoteDigest};

/// An authenticator does not belong to this session and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message was altered, or authenticated under another session")]
pub struct NotAuthentic;

macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key out of stored bytes.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes, for a private store.
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    };
}

secret_key!(
    /// The TOKEN: refers back to the original transaction for retransmission or refund (K-30). Outlives the goods key.
    Token
);
secret_key!(
    /// Seals goods: [`crate::goods`]. The MTS destroys it after a while (K-89).
    GoodsKey
);
secret_key!(
    /// Authenticates the shipping advice, MTS to CTS.
    AdviceKey
);
secret_key!(
    /// Authenticates the send-goods message, CTS to MTS.
    SendGoodsKey
);

impl Token {
    /// Whether both are the same, in constant time.
    pub fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

macro_rules! authenticates {
    ($name:ident) => {
        impl $name {
            /// The authenticator of `data`.
            pub fn authenticate(&self, data: &[u8]) -> [u8; 32] {
                mac(&self.0, data)
            }

            /// Checks an authenticator, in constant time.
            ///
            /// # Errors
            /// [`NotAuthentic`].
            pub fn verify(&self, data: &[u8], authenticator: &[u8; 32]) -> Result<(), NotAuthentic> {
                if self.authenticate(data).ct_eq(authenticator).into() { Ok(()) } else { Err(NotAuthentic) }
            }
        }
    };
}

authenticates!(AdviceKey);
authenticates!(SendGoodsKey);
authenticates!(QuoteKey);
authenticates!(AcknowledgmentKey);
authenticates!(RefundKey);

secret_key!(
    /// Authenticates quote and order data, MTS to CTS.
    QuoteKey
);
secret_key!(
    /// Authenticates the acknowledgment of a renegotiation for retransmission, MTS to CTS.
    AcknowledgmentKey
);
secret_key!(
    /// Authenticates the acknowledgment of a renegotiation for a refund, MTS to CTS.
    RefundKey
);
secret_key!(
    /// Seals the TOKEN of the original session, CTS to MTS.
    TokenSealKey
);

/// Seals the order data, CTS to MTS. Seals once: one key, one nonce, one confirmation.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct OrderDataKey([u8; 32]);

impl OrderDataKey {
    /// Seals `plaintext` (AES-256-GCM, nonce zero) and is used up. Ciphertext, then the 16-byte tag.
    pub fn seal(self, associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let cipher = aes_gcm::Aes256Gcm::new(&self.0.into());
        let sealed = cipher.encrypt(&[0; 12].into(), Payload { msg: plaintext, aad: associated });
        sealed.expect("order data are far below the limit of the cipher")
    }

    /// Opens what the other side sealed.
    ///
    /// # Errors
    /// [`DoesNotOpen`] where anything was altered.
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let cipher = aes_gcm::Aes256Gcm::new(&self.0.into());
        let plain = cipher.decrypt(&[0; 12].into(), Payload { msg: sealed, aad: associated });
        plain.map(Zeroizing::new).map_err(|_| DoesNotOpen)
    }
}

impl std::fmt::Debug for OrderDataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OrderDataKey(hidden)")
    }
}

/// Bytes of a sealed TOKEN.
pub const SEALED_TOKEN_BYTES: usize = 32 + SEAL_TAG_BYTES;

impl TokenSealKey {
    /// Seals the TOKEN of an original session (AES-256-GCM-SIV, nonce zero) together with what it asks for.
    pub fn seal(&self, associated: &[u8], token: &Token) -> [u8; SEALED_TOKEN_BYTES] {
        let cipher = aes_gcm_siv::Aes256GcmSiv::new(&self.0.into());
        let sealed = cipher.encrypt(&[0; 12].into(), Payload { msg: &token.0, aad: associated });
        let sealed = sealed.expect("a token is far below the limit of the cipher");
        let mut bytes = [0; SEALED_TOKEN_BYTES];
        bytes.copy_from_slice(&sealed);
        bytes
    }

    /// Opens a sealed TOKEN.
    ///
    /// # Errors
    /// [`DoesNotOpen`] where anything was altered.
    pub fn open(&self, associated: &[u8], sealed: &[u8; SEALED_TOKEN_BYTES]) -> Result<Token, DoesNotOpen> {
        let cipher = aes_gcm_siv::Aes256GcmSiv::new(&self.0.into());
        let plain = cipher.decrypt(&[0; 12].into(), Payload { msg: sealed, aad: associated });
        let plain = Zeroizing::new(plain.map_err(|_| DoesNotOpen)?);
        let bytes = <[u8; 32]>::try_from(&plain[..]).map_err(|_| DoesNotOpen)?;
        Ok(Token(bytes))
    }
}

/// What both sides hash into a session besides the shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTerms {
    /// The certificate that the CTS verified.
    pub certificate: Digest,
    /// The quote: the CTS's as displayed, the MTS's as recorded.
    pub quote: QuoteDigest,
}

/// The keys of one session, one per use; all but the [`OrderDataKey`], which is used once and kept nowhere.
#[derive(Clone, Debug)]
pub struct MerchantSession {
    /// MTS to CTS: quote and order data.
    pub quote: QuoteKey,
    /// MTS to CTS: shipping advice.
    pub advice: AdviceKey,
    /// CTS to MTS: send-goods.
    pub send_goods: SendGoodsKey,
    /// MTS to CTS: goods.
    pub goods: GoodsKey,
    /// Refers to this session later.
    pub token: Token,
    /// CTS to MTS: the TOKEN of an original session.
    pub token_seal: TokenSealKey,
    /// MTS to CTS: acknowledgment of a retransmission.
    pub acknowledgment: AcknowledgmentKey,
    /// MTS to CTS: acknowledgment of a refund request.
    pub refund: RefundKey,
}

/// Bytes of an exposed session.
pub const SESSION_BYTES: usize = 8 * 32;

impl MerchantSession {
    /// The CTS's side. The ephemeral key is used up: every session has a fresh one.
    ///
    /// # Errors
    /// [`NoSharedSecret`] where the certified key is of small order.
    pub fn for_customer(
        ephemeral: AgreementSecret,
        merchant: &AgreementPublic,
        terms: &SessionTerms,
    ) -> Result<(Self, OrderDataKey), NoSharedSecret> {
        let shared = ephemeral.agree(merchant)?;
        Ok(Self::from_shared(&shared, &ephemeral.public(), merchant, terms))
    }

    /// The MTS's side, out of the ephemeral key received.
    ///
    /// # Errors
    /// [`NoSharedSecret`] where the ephemeral key is of small order.
    pub fn for_merchant(
        secret: &AgreementSecret,
        ephemeral: &AgreementPublic,
        terms: &SessionTerms,
    ) -> Result<(Self, OrderDataKey), NoSharedSecret> {
        let shared = secret.agree(ephemeral)?;
        Ok(Self::from_shared(&shared, ephemeral, &secret.public(), terms))
    }

    /// `derive("merchant session", shared || ephemeral || merchant || certificate digest || quote digest)` is the master
    /// secret; each key is `derive(<its purpose>, master secret)`.
    fn from_shared(
        shared: &[u8; 32],
        ephemeral: &AgreementPublic,
        merchant: &AgreementPublic,
        terms: &SessionTerms,
    ) -> (Self, OrderDataKey) {
        let mut material = Zeroizing::new([0; 160]);
        for (part, bytes) in
            [shared, &ephemeral.0, &merchant.0, &terms.certificate.0, &terms.quote.0].into_iter().enumerate()
        {
            material[part * 32..(part + 1) * 32].copy_from_slice(bytes);
        }
        let master = derive(Purpose::MERCHANT_SESSION, &material[..]);
        let key = |purpose| *derive(purpose, &master[..]);
        let session = Self {
            quote: QuoteKey(key(Purpose::MERCHANT_QUOTE)),
            advice: AdviceKey(key(Purpose::MERCHANT_ADVICE)),
            send_goods: SendGoodsKey(key(Purpose::MERCHANT_SEND_GOODS)),
            goods: GoodsKey(key(Purpose::MERCHANT_GOODS)),
            token: Token(key(Purpose::MERCHANT_TOKEN)),
            token_seal: TokenSealKey(key(Purpose::MERCHANT_TOKEN_SEAL)),
            acknowledgment: AcknowledgmentKey(key(Purpose::MERCHANT_ACKNOWLEDGMENT)),
            refund: RefundKey(key(Purpose::MERCHANT_REFUND)),
        };
        (session, OrderDataKey(key(Purpose::MERCHANT_ADDRESS)))
    }

    /// All keys in the order of the fields, for a private store.
    pub fn expose(&self) -> Zeroizing<[u8; SESSION_BYTES]> {
        let mut bytes = Zeroizing::new([0; SESSION_BYTES]);
        let keys = [
            &self.quote.0,
            &self.advice.0,
            &self.send_goods.0,
            &self.goods.0,
            &self.token.0,
            &self.token_seal.0,
            &self.acknowledgment.0,
            &self.refund.0,
        ];
        for (index, key) in keys.into_iter().enumerate() {
            bytes[index * 32..(index + 1) * 32].copy_from_slice(key);
        }
        bytes
    }

    /// The session out of what [`Self::expose`] gave.
    pub fn from_exposed(bytes: &[u8; SESSION_BYTES]) -> Self {
        let key = |index: usize| {
            let mut key = [0; 32];
            key.copy_from_slice(&bytes[index * 32..(index + 1) * 32]);
            key
        };
        Self {
            quote: QuoteKey(key(0)),
            advice: AdviceKey(key(1)),
            send_goods: SendGoodsKey(key(2)),
            goods: GoodsKey(key(3)),
            token: Token(key(4)),
            token_seal: TokenSealKey(key(5)),
            acknowledgment: AcknowledgmentKey(key(6)),
            refund: RefundKey(key(7)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> SessionTerms {
        SessionTerms { certificate: Digest([3; 32]), quote: QuoteDigest([4; 32]) }
    }

    fn both() -> ((MerchantSession, OrderDataKey), (MerchantSession, OrderDataKey)) {
        let (ephemeral, secret) = (AgreementSecret::from_random([1; 32]), AgreementSecret::from_random([2; 32]));
        let merchant = MerchantSession::for_merchant(&secret, &ephemeral.public(), &terms()).unwrap();
        (MerchantSession::for_customer(ephemeral, &secret.public(), &terms()).unwrap(), merchant)
    }

    // spec: K-27, K-29
    #[test]
    fn both_sides_derive_the_same_keys() {
        let ((customer, seal), (merchant, open)) = both();
        assert_eq!(*customer.expose(), *merchant.expose());
        let sealed = seal.seal(b"message", b"12 Elm Street");
        assert_eq!(&open.open(b"message", &sealed).unwrap()[..], b"12 Elm Street");
        assert_eq!(open.open(b"other", &sealed).err(), Some(DoesNotOpen));
        assert_eq!(*MerchantSession::from_exposed(&customer.expose()).expose(), *customer.expose());
    }

    // spec: K-31
    #[test]
    fn keys_follow_their_vectors_and_differ_from_each_other() {
        let ((session, address), _) = both();
        let exposed = session.expose();
        let mut keys: Vec<String> = exposed.chunks(32).map(hex::encode).collect();
        keys.push(hex::encode(address.0));
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/merchant_session.json")).unwrap();
        let names =
            ["quote", "advice", "send_goods", "goods", "token", "token_seal", "acknowledgment", "refund", "address"];
        for (name, key) in names.iter().zip(&keys) {
            assert_eq!(vectors["keys"][name], **key, "{name}");
        }
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    // spec: K-31
    #[test]
    fn every_input_changes_every_key() {
        let (ephemeral, secret) = (AgreementSecret::from_random([1; 32]), AgreementSecret::from_random([2; 32]));
        let ((base, _), _) = both();
        let other_terms = [
            SessionTerms { certificate: Digest([9; 32]), ..terms() },
            SessionTerms { quote: QuoteDigest([9; 32]), ..terms() },
        ];
        let mut others: Vec<_> = other_terms
            .iter()
            .map(|terms| MerchantSession::for_merchant(&secret, &ephemeral.public(), terms).unwrap().0)
            .collect();
        let fresh = AgreementSecret::from_random([7; 32]);
        others.push(MerchantSession::for_merchant(&secret, &fresh.public(), &terms()).unwrap().0);
        others.push(MerchantSession::for_merchant(&fresh, &ephemeral.public(), &terms()).unwrap().0);
        for other in others {
            for (left, right) in base.expose().chunks(32).zip(other.expose().chunks(32)) {
                assert_ne!(left, right);
            }
        }
    }

    // spec: K-90
    #[test]
    fn the_token_is_sealed_differently_under_every_new_session() {
        let ((original, _), _) = both();
        let sealed: Vec<_> = [11u8, 12]
            .map(|byte| {
                let secret = AgreementSecret::from_random([2; 32]);
                let fresh = AgreementSecret::from_random([byte; 32]);
                let (session, _) = MerchantSession::for_customer(fresh, &secret.public(), &terms()).unwrap();
                let sealed = session.token_seal.seal(b"", &original.token);
                assert!(session.token_seal.open(b"", &sealed).unwrap().equals(&original.token));
                assert_eq!(session.token_seal.open(b"x", &sealed).err(), Some(DoesNotOpen));
                sealed
            })
            .into();
        assert_ne!(sealed[0], sealed[1]);
        assert!(!sealed[0].windows(8).any(|part| original.token.expose().windows(8).any(|token| token == part)));
    }

    #[test]
    fn nothing_secret_is_printed_and_small_order_keys_are_refused() {
        let ((session, address), _) = both();
        let text = format!("{session:?} {address:?}");
        assert!(text.matches("hidden").count() == 9 && !text.contains(&hex::encode(&session.expose()[..4])));
        let secret = AgreementSecret::from_random([2; 32]);
        let result = MerchantSession::for_merchant(&secret, &AgreementPublic([0; 32]), &terms());
        assert_eq!(result.err(), Some(NoSharedSecret));
    }
}
