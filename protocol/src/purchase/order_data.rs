//! What the customer tells the merchant and nobody else: where to ship, and, if it likes, who it is.
//!
//! Both travel sealed in the confirmation, in one structure whose length depends on the address alone: nobody on the way
//! sees whether there is a loyalty id.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codec::{DecodeError, check_text};
use crate::limits::{ADDRESS_BYTES_MAX, LOYALTY_ID_BYTES_MAX};

/// Order data are padded to a multiple of this, so that the length says little of the address.
pub(super) const ORDER_DATA_BLOCK_BYTES: usize = 256;
/// The longest order data in clear: two lengths, address, loyalty id, padding.
pub(super) const ORDER_DATA_BYTES_MAX: usize = padded_bytes(ADDRESS_BYTES_MAX);

/// The room for a loyalty id is there whether one is given or not.
const fn padded_bytes(address_bytes: usize) -> usize {
    (2 + address_bytes + 1 + LOYALTY_ID_BYTES_MAX).next_multiple_of(ORDER_DATA_BLOCK_BYTES)
}

/// A shipping address: text for people, lines separated by `\n`, 1 to 2,048 bytes. Overwritten when dropped, never printed by
/// `Debug`: it says who the customer is, and only hard goods need it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Address(String);

impl Address {
    /// An address.
    ///
    /// # Errors
    /// [`DecodeError`] for an empty one, one that is too long, and control characters.
    pub fn new(text: String) -> Result<Self, DecodeError> {
        let address = Self(text);
        for line in address.0.split('\n') {
            check_text("shipping address", "line", line, ADDRESS_BYTES_MAX)?;
        }
        if address.0.trim().is_empty() || address.0.len() > ADDRESS_BYTES_MAX {
            return Err(DecodeError::Field { what: "shipping address", field: "length" });
        }
        Ok(address)
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(hidden)")
    }
}

/// Why a text is no loyalty id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoyaltyIdError {
    /// Nothing in it.
    #[error("the loyalty id is blank: give none to stay anonymous")]
    Blank,
    /// Longer than [`LOYALTY_ID_BYTES_MAX`].
    #[error("the loyalty id is {bytes} bytes long: at most {LOYALTY_ID_BYTES_MAX} bytes are permitted, shorten it")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More than a line of plain text.
    #[error("the loyalty id holds control characters: give one line of plain text")]
    ControlCharacters,
}

/// How a customer calls itself towards one merchant in one purchase, because it wants to be known there: a card number that
/// the merchant issued, a nickname. One line of 1 to 64 bytes of text. Nothing vouches for it, whoever knows it can give it.
/// Overwritten when dropped, never printed by `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LoyaltyId(String);

impl LoyaltyId {
    /// A loyalty id, to the byte as the customer gives it.
    ///
    /// # Errors
    /// [`LoyaltyIdError`].
    pub fn new(text: String) -> Result<Self, LoyaltyIdError> {
        let id = Self(text);
        let bytes = id.0.len();
        if id.0.trim().is_empty() {
            return Err(LoyaltyIdError::Blank);
        }
        if bytes > LOYALTY_ID_BYTES_MAX {
            return Err(LoyaltyIdError::TooLong { bytes });
        }
        match check_text("loyalty id", "text", &id.0, LOYALTY_ID_BYTES_MAX) {
            Ok(()) => Ok(id),
            Err(_) => Err(LoyaltyIdError::ControlCharacters),
        }
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for LoyaltyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoyaltyId(hidden)")
    }
}

/// What only the merchant may read of a purchase. The default tells nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderData {
    /// Where to ship hard goods; `None` for digital goods.
    pub address: Option<Address>,
    /// Who the customer says it is; `None` for a customer that stays anonymous, as it does unless it chooses otherwise (K-43).
    pub loyalty_id: Option<LoyaltyId>,
}

impl OrderData {
    /// Length of the address (u16, little endian), address, length of the loyalty id (u8), loyalty id, zero bytes. Lengths are
    /// zero for what is not given.
    pub(super) fn padded(&self) -> Zeroizing<Vec<u8>> {
        let address = self.address.as_ref().map_or("", Address::expose);
        let loyalty_id = self.loyalty_id.as_ref().map_or("", LoyaltyId::expose);
        let bytes = padded_bytes(address.len());
        let mut plain = Zeroizing::new(Vec::with_capacity(bytes));
        plain.extend_from_slice(&(address.len() as u16).to_le_bytes());
        plain.extend_from_slice(address.as_bytes());
        plain.push(loyalty_id.len() as u8);
        plain.extend_from_slice(loyalty_id.as_bytes());
        plain.resize(bytes, 0);
        plain
    }

    pub(super) fn from_padded(plain: &[u8]) -> Result<Self, DecodeError> {
        let field = DecodeError::Field { what: "order data", field: "length or padding" };
        let (address_bytes, rest) = plain.split_first_chunk().ok_or(field.clone())?;
        let address_bytes = usize::from(u16::from_le_bytes(*address_bytes));
        let (address, rest) = rest.split_at_checked(address_bytes).ok_or(field.clone())?;
        let (loyalty_id_bytes, rest) = rest.split_first().ok_or(field.clone())?;
        let loyalty_id = rest.get(..usize::from(*loyalty_id_bytes)).ok_or(field.clone())?;
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok("") => Ok(None),
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(DecodeError::Field { what: "order data", field: "text" }),
        };
        let address = text(address)?.map(Address::new).transpose()?;
        let loyalty_id = text(loyalty_id)?.map(LoyaltyId::new).transpose();
        let loyalty_id = loyalty_id.map_err(|_| DecodeError::Field { what: "order data", field: "loyalty id" })?;
        let data = Self { address, loyalty_id };
        if data.padded()[..] == *plain { Ok(data) } else { Err(field) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(address: Option<&str>, loyalty_id: Option<&str>) -> OrderData {
        OrderData {
            address: address.map(|text| Address::new(text.into()).unwrap()),
            loyalty_id: loyalty_id.map(|text| LoyaltyId::new(text.into()).unwrap()),
        }
    }

    // spec: K-43
    #[test]
    fn a_loyalty_id_has_bounds_and_mistakes_are_named() {
        for good in ["7", "card 4711-0815", "Zoë", &"x".repeat(64), &"é".repeat(32)] {
            assert_eq!(LoyaltyId::new(good.into()).unwrap().expose(), good);
        }
        let error = |text: &str| LoyaltyId::new(text.into()).unwrap_err();
        assert_eq!(error(&"x".repeat(65)), LoyaltyIdError::TooLong { bytes: 65 });
        assert_eq!(error(&"é".repeat(33)), LoyaltyIdError::TooLong { bytes: 66 });
        assert!(error(&"x".repeat(65)).to_string().contains("at most 64 bytes"));
        for blank in ["", " ", "\t\n", "\u{a0}"] {
            assert_eq!(error(blank), LoyaltyIdError::Blank, "{blank:?}");
        }
        for control in ["a\nb", "a\tb", "\u{1b}[31m", "a\0", "a\u{202e}b", "a\u{7f}"] {
            assert_eq!(error(control), LoyaltyIdError::ControlCharacters, "{control:?}");
        }
        assert!(!format!("{:?}", data(Some("12 Elm Street"), Some("card-4711"))).contains(['E', '4']));
    }

    // spec: K-43
    #[test]
    fn the_length_depends_on_the_address_alone() {
        for address_bytes in [0, 1, 188, 189, 190, 253, 254, 255, 445, 446, 2_047, 2_048] {
            let address = "x".repeat(address_bytes);
            let address = (address_bytes > 0).then_some(&*address);
            let bytes = [None, Some("7"), Some(&*"y".repeat(64))].map(|id| data(address, id).padded().len());
            assert!(bytes.iter().all(|one| *one == bytes[0] && one.is_multiple_of(256)), "{address_bytes}: {bytes:?}");
            assert!(bytes[0] <= ORDER_DATA_BYTES_MAX && bytes[0] >= address_bytes + 67);
        }
        assert_eq!(ORDER_DATA_BYTES_MAX, 2_304);
    }

    // spec: K-43
    #[test]
    fn one_value_has_one_encoding() {
        for (address, id) in
            [(None, None), (Some("12 Elm\nX"), None), (None, Some("card")), (Some("12 Elm"), Some("card"))]
        {
            let data = data(address, id);
            let plain = data.padded();
            assert_eq!(OrderData::from_padded(&plain).unwrap(), data);
            for index in 0..plain.len() {
                let mut altered = plain.to_vec();
                altered[index] ^= 0x80;
                assert!(OrderData::from_padded(&altered).is_err(), "byte {index}");
            }
            assert!(OrderData::from_padded(&[&plain[..], &[0; 256]].concat()).is_err(), "more padding than needed");
            assert!(OrderData::from_padded(&plain[..plain.len() - 1]).is_err());
        }
        for wrong in [&[][..], &[0], &[0, 0], &[0; 255], &[0, 0, 65], &[0xff; 256]] {
            assert!(OrderData::from_padded(wrong).is_err(), "{wrong:?}");
        }
        let too_long = [&[0, 0, 65][..], &[b'x'; 65], &[0; 188]].concat();
        assert!(OrderData::from_padded(&too_long).is_err(), "a longer id than the customer's own side permits");
    }
}
