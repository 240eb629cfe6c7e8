//! The messages between CTS and MTS (paper sections 2 and 3), in the order of a purchase:
//!
//! | Step | Message | From |
//! |---|---|---|
//! | 1 | [`QuoteRequest`] | CTS |
//! | 2 | [`QuoteOffer`] | MTS |
//! | 3 | [`Confirmation`] | CTS |
//! | 4 | [`AuthenticatedQuote`] | MTS |
//! | 7 | the bytes of a [`crate::proof::Proof`], alone and in clear | CTS |
//! | 8 | [`ShippingAdvice`] | MTS |
//! | 9 | [`SendGoods`] | CTS |
//! | 10 | sealed goods: [`crate::goods`] | MTS |
//! | later | [`Renegotiation`] | CTS |
//! | later | [`RenegotiationAcknowledgment`] | MTS |
//! | any | [`MerchantError`] | MTS |
//!
//! All but proof and goods are canonical borsh and begin with version, suite and message type. Nothing in clear says who the
//! customer is, nothing is signed by the customer (K-36), and no field is the same in two purchases of one customer. What the
//! customer chooses to tell the merchant alone is sealed: [`OrderData`].

mod confirmation;
mod delivery;
mod offer;
mod order_data;
mod refusal;
mod renegotiation;
#[cfg(test)]
mod tests;

pub use confirmation::{AuthenticatedQuote, ConfirmError, Confirmation, OpenedConfirmation, SentConfirmation, confirm};
pub use delivery::{AdviceStatus, DELIVERY_PATH_BYTES_MAX, DigitalGoods, GOODS_FORMAT, SendGoods, ShippingAdvice};
pub use offer::{OfferError, QuoteOffer, QuoteRequest, VerifiedOffer};
pub use order_data::{Address, LoyaltyId, LoyaltyIdError, OrderData};
pub use refusal::{MerchantError, MerchantErrorCode};
pub use renegotiation::{
    Acknowledged, OpenedRenegotiation, RefundStatus, Renegotiation, RenegotiationAcknowledgment, RenegotiationPurpose,
};

use crate::codec::{DecodeError, check_version};
use crate::limits::{PROTOCOL_VERSION, SUITE};

/// What a message between CTS and MTS is: its third byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum MerchantMessageType {
    /// [`QuoteRequest`].
    QuoteRequest = 0x20,
    /// [`QuoteOffer`].
    QuoteOffer = 0x21,
    /// [`Confirmation`].
    Confirmation = 0x22,
    /// [`AuthenticatedQuote`].
    AuthenticatedQuote = 0x23,
    /// [`ShippingAdvice`].
    ShippingAdvice = 0x24,
    /// [`SendGoods`].
    SendGoods = 0x25,
    /// [`Renegotiation`].
    Renegotiation = 0x26,
    /// [`RenegotiationAcknowledgment`].
    RenegotiationAcknowledgment = 0x27,
    /// [`MerchantError`].
    Error = 0x28,
}

impl MerchantMessageType {
    /// All types.
    pub const ALL: [Self; 9] = [
        Self::QuoteRequest,
        Self::QuoteOffer,
        Self::Confirmation,
        Self::AuthenticatedQuote,
        Self::ShippingAdvice,
        Self::SendGoods,
        Self::Renegotiation,
        Self::RenegotiationAcknowledgment,
        Self::Error,
    ];

    /// The first bytes of every message of this type: version, suite, type.
    pub const fn prefix(self) -> [u8; 3] {
        [PROTOCOL_VERSION, SUITE, self as u8]
    }

    /// The type of `message`.
    ///
    /// # Errors
    /// [`DecodeError`] for another version, another suite, an unknown type, or too few bytes.
    pub fn of(message: &[u8]) -> Result<Self, DecodeError> {
        let [version, suite, kind, ..] = message else {
            return Err(DecodeError::Length { what: "message", expected: 3, actual: message.len() });
        };
        check_version("message", *version, PROTOCOL_VERSION, *suite)?;
        let known = Self::ALL.into_iter().find(|known| *known as u8 == *kind);
        known.ok_or(DecodeError::Field { what: "message", field: "type" })
    }

    fn check(self, what: &'static str, prefix: [u8; 3]) -> Result<(), DecodeError> {
        check_version(what, prefix[0], PROTOCOL_VERSION, prefix[1])?;
        if prefix[2] == self as u8 { Ok(()) } else { Err(DecodeError::Field { what, field: "message type" }) }
    }
}

/// What an authenticator at the end of a message covers: everything before it.
fn before_authenticator<T: crate::codec::Canonical>(message: &T, authenticator_bytes: usize) -> Vec<u8> {
    let mut bytes = message.encode();
    bytes.truncate(bytes.len() - authenticator_bytes);
    bytes
}
