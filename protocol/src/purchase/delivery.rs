//! Steps 8 and 9: the shipping advice, and the message that asks for the goods.

use super::{MerchantMessageType, before_authenticator};
use crate::codec::{Canonical, DecodeError, check_text};
use crate::ids::{Digest, TransactionNumber};
use crate::limits::{DELIVERY_TEXT_BYTES_MAX, GOODS_BYTES_MAX};
use crate::session::merchant::{AdviceKey, NotAuthentic, SendGoodsKey};

/// Bytes of the path in a shipping advice.
pub const DELIVERY_PATH_BYTES_MAX: usize = 256;
/// The one format of sealed goods: [`crate::goods`], asked for with [`SendGoods`].
pub const GOODS_FORMAT: u8 = 1;

/// How to ask for digital goods, and how to recognise them. Fields: digest (32 bytes), length (u64), path (length u32 and
/// bytes), format (1 byte).
#[derive(
    Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize, serde::Deserialize,
)]
pub struct DigitalGoods {
    /// Digest of the goods in clear; always present, so that other goods are noticed (K-88).
    pub digest: Digest,
    /// Length of the goods in clear, in bytes.
    pub length_bytes: u64,
    /// Where to send [`SendGoods`]: a path below the merchant's payment address, of letters, digits, `-`, `_` and single `/`.
    pub path: String,
    /// Format of [`SendGoods`] and of the sealed goods: [`GOODS_FORMAT`].
    pub format: u8,
}

impl DigitalGoods {
    pub(super) fn check(&self, what: &'static str) -> Result<(), DecodeError> {
        let field = |field| Err(DecodeError::Field { what, field });
        let letters = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if self.path.len() > DELIVERY_PATH_BYTES_MAX || !self.path.split('/').all(letters) {
            return field("path");
        }
        if self.length_bytes > GOODS_BYTES_MAX {
            return field("length of the goods");
        }
        if self.format != GOODS_FORMAT { field("format of the goods") } else { Ok(()) }
    }
}

/// What the MTS made of a proof.
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
pub enum AdviceStatus {
    /// The order is paid and will be delivered.
    Paid = 0,
    /// The order was paid before by another payment: this one is recorded as refundable and buys nothing (K-82).
    Surplus = 1,
}

/// Step 8, MTS to CTS. Fields: prefix (3 bytes), transaction number (16), status (1), digital goods (1 byte 0 or 1, then
/// [`DigitalGoods`]), delivery text (length u32 and bytes, may be empty), authenticator (32): keyed BLAKE3 under the advice
/// key over everything before it. Authenticated, not encrypted (K-85).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct ShippingAdvice {
    prefix: [u8; 3],
    /// Which order.
    pub number: TransactionNumber,
    /// What became of the payment.
    pub status: AdviceStatus,
    /// For digital goods.
    pub goods: Option<DigitalGoods>,
    /// For hard goods: when and how they come, for people, at most 1,024 bytes.
    pub delivery_text: String,
    authenticator: [u8; 32],
}

impl ShippingAdvice {
    /// Authenticates an advice for the initiator of the order.
    ///
    /// # Errors
    /// [`DecodeError`] for an unusable text or path.
    pub fn new(
        key: &AdviceKey,
        number: TransactionNumber,
        status: AdviceStatus,
        goods: Option<DigitalGoods>,
        delivery_text: String,
    ) -> Result<Self, DecodeError> {
        let prefix = MerchantMessageType::ShippingAdvice.prefix();
        let mut advice = Self { prefix, number, status, goods, delivery_text, authenticator: [0; 32] };
        advice.check()?;
        advice.authenticator = key.authenticate(&before_authenticator(&advice, 32));
        Ok(advice)
    }

    /// The CTS's check.
    ///
    /// # Errors
    /// [`NotAuthentic`]: the goods must not be asked for then.
    pub fn verify(&self, key: &AdviceKey, number: TransactionNumber) -> Result<(), NotAuthentic> {
        key.verify(&before_authenticator(self, 32), &self.authenticator)?;
        if self.number == number { Ok(()) } else { Err(NotAuthentic) }
    }
}

impl Canonical for ShippingAdvice {
    const NAME: &'static str = "shipping advice";
    const BYTES_MAX: usize = 2 * 1_024;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::ShippingAdvice.check(Self::NAME, self.prefix)?;
        check_text(Self::NAME, "delivery text", &self.delivery_text, DELIVERY_TEXT_BYTES_MAX)?;
        self.goods.as_ref().map_or(Ok(()), |goods| goods.check(Self::NAME))
    }
}

/// Step 9, CTS to MTS. Fields: prefix (3 bytes), transaction number (16), first chunk wanted (u64), authenticator (32):
/// keyed BLAKE3 under the send-goods key over everything before it.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct SendGoods {
    prefix: [u8; 3],
    /// Which order.
    pub number: TransactionNumber,
    /// 0, or where an interrupted download resumes.
    pub first_chunk: u64,
    authenticator: [u8; 32],
}

impl SendGoods {
    /// Asks for the goods from `first_chunk` on.
    pub fn new(key: &SendGoodsKey, number: TransactionNumber, first_chunk: u64) -> Self {
        let prefix = MerchantMessageType::SendGoods.prefix();
        let mut message = Self { prefix, number, first_chunk, authenticator: [0; 32] };
        message.authenticator = key.authenticate(&before_authenticator(&message, 32));
        message
    }

    /// The MTS's check: only the initiator of the order gets its goods.
    ///
    /// # Errors
    /// [`NotAuthentic`].
    pub fn verify(&self, key: &SendGoodsKey) -> Result<(), NotAuthentic> {
        key.verify(&before_authenticator(self, 32), &self.authenticator)
    }
}

impl Canonical for SendGoods {
    const NAME: &'static str = "send-goods message";
    const BYTES_MAX: usize = 3 + 16 + 8 + 32;

    fn check(&self) -> Result<(), DecodeError> {
        MerchantMessageType::SendGoods.check(Self::NAME, self.prefix)
    }
}
