//! Money: amounts in the smallest unit of an asset, never wrapping and never saturating.

use std::fmt;
use std::str::FromStr;

use crate::limits::{AMOUNT_MAX, ASSET_EXPONENT_MAX};

/// Why something is not an amount or an asset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Zero or beyond the largest amount.
    #[error("an amount must be 1 to {AMOUNT_MAX} units, not {0}")]
    AmountOutOfRange(u128),
    /// Not a number, or more decimal places than the asset has.
    #[error(
        "`{text}` is not an amount of {asset}: write digits with at most {exponent} decimal places, for example 0.05"
    )]
    NotAnAmount {
        /// The text given.
        text: String,
        /// The asset it should be an amount of.
        asset: Asset,
        /// Decimal places of the asset.
        exponent: u8,
    },
    /// Not an asset code.
    #[error("`{0}` is not an asset code: 1 to 8 of A-Z and 0-9")]
    NotAnAsset(String),
    /// A sum left the range of balances: an error of our own, never of a peer.
    #[error("a balance would leave the range of money")]
    Overflow,
}

/// An amount of a payment: 1 to 10^15 smallest units of its asset (DESIGN section 1).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct Amount(u64);

impl Amount {
    /// An amount of `units` smallest units.
    ///
    /// # Errors
    /// [`MoneyError::AmountOutOfRange`] for zero or more than [`AMOUNT_MAX`].
    pub const fn new(units: u64) -> Result<Self, MoneyError> {
        if units == 0 || units > AMOUNT_MAX {
            return Err(MoneyError::AmountOutOfRange(units as u128));
        }
        Ok(Self(units))
    }

    /// Whole smallest units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// As an entry of a balance.
    pub const fn signed(self) -> i128 {
        self.0 as i128
    }

    /// Decoded bytes are not yet an amount; this says whether these are one.
    pub(crate) fn is_valid(self) -> bool {
        Self::new(self.0).is_ok()
    }
}

impl TryFrom<u64> for Amount {
    type Error = MoneyError;

    fn try_from(units: u64) -> Result<Self, MoneyError> {
        Self::new(units)
    }
}

impl From<Amount> for u64 {
    fn from(amount: Amount) -> u64 {
        amount.0
    }
}

/// What money is counted in: an eight-byte code, padded with zero bytes. Its exponent stands in the signed key set.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
)]
pub struct Asset(pub [u8; 8]);

impl Asset {
    /// Micro-dollars, the default: payments far below a cent are the point.
    pub const USD6: Self = Self(*b"USD6\0\0\0\0");
    /// Decimal places of [`Asset::USD6`].
    pub const USD6_EXPONENT: u8 = 6;

    fn code(&self) -> Option<&str> {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(8);
        let (code, padding) = self.0.split_at(length);
        let valid = !code.is_empty()
            && padding.iter().all(|byte| *byte == 0)
            && code.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if valid { std::str::from_utf8(code).ok() } else { None }
    }

    /// Whether the bytes are a well-formed code.
    pub fn is_valid(&self) -> bool {
        self.code().is_some()
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => f.write_str(code),
            None => write!(f, "0x{}", hex::encode(self.0)),
        }
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asset({self})")
    }
}

impl FromStr for Asset {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let mut code = [0; 8];
        if text.is_empty() || text.len() > 8 {
            return Err(MoneyError::NotAnAsset(text.chars().take(80).collect()));
        }
        code[..text.len()].copy_from_slice(text.as_bytes());
        let asset = Self(code);
        if asset.is_valid() { Ok(asset) } else { Err(MoneyError::NotAnAsset(text.to_owned())) }
    }
}

impl serde::Serialize for Asset {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Asset {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `balance + change`, or an error where that is no longer money.
///
/// # Errors
/// [`MoneyError::Overflow`]; balances are `i128`, so this means corrupted state.
pub fn add(balance: i128, change: i128) -> Result<i128, MoneyError> {
    balance.checked_add(change).ok_or(MoneyError::Overflow)
}

/// Units as a decimal number of the asset, with as many places as its `exponent`: `format(1_500_000, 6)` is `1.500000`.
pub fn format(units: i128, exponent: u8) -> String {
    let exponent = exponent.min(ASSET_EXPONENT_MAX);
    let sign = if units < 0 { "-" } else { "" };
    let magnitude = units.unsigned_abs();
    if exponent == 0 {
        return format!("{sign}{magnitude}");
    }
    let scale = 10u128.pow(u32::from(exponent));
    format!("{sign}{}.{:0width$}", magnitude / scale, magnitude % scale, width = usize::from(exponent))
}

/// Reads a decimal number such as `0.05` as an amount of `asset`.
///
/// # Errors
/// [`MoneyError::NotAnAmount`] for anything but digits with at most `exponent` places;
/// [`MoneyError::AmountOutOfRange`] for zero and too much.
pub fn parse(text: &str, asset: Asset, exponent: u8) -> Result<Amount, MoneyError> {
    let error = || MoneyError::NotAnAmount { text: text.chars().take(80).collect(), asset, exponent };
    let (whole, places) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && places.is_empty() || !digits(whole) || !digits(places) {
        return Err(error());
    }
    if exponent > ASSET_EXPONENT_MAX || places.len() > usize::from(exponent) || whole.len() > 20 {
        return Err(error());
    }
    let padded = format!("{whole}{places:0<width$}", width = usize::from(exponent));
    let units: u128 = padded.parse().map_err(|_| error())?;
    let units = u64::try_from(units).map_err(|_| MoneyError::AmountOutOfRange(units))?;
    Amount::new(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_bounds() {
        assert!(Amount::new(0).is_err());
        assert!(Amount::new(1).is_ok());
        assert!(Amount::new(AMOUNT_MAX).is_ok());
        assert!(Amount::new(AMOUNT_MAX + 1).is_err());
    }

    #[test]
    fn decimal_text_round_trips() {
        for (text, units) in
            [("0.05", 50_000), ("1", 1_000_000), ("1.", 1_000_000), (".000001", 1), ("12.345678", 12_345_678)]
        {
            let amount = parse(text, Asset::USD6, 6).unwrap();
            assert_eq!(amount.units(), units, "{text}");
            assert_eq!(parse(&format(amount.signed(), 6), Asset::USD6, 6).unwrap(), amount);
        }
        for wrong in ["", ".", "-1", "+1", "1e3", "0.0000001", "1,5", "0", "0.000000", "9999999999999999", "1 000", "٣"]
        {
            assert!(parse(wrong, Asset::USD6, 6).is_err(), "{wrong}");
        }
        assert_eq!(format(-1_500_000, 6), "-1.500000");
        assert_eq!(format(7, 0), "7");
    }

    #[test]
    fn asset_codes_are_checked() {
        assert_eq!("USD6".parse(), Ok(Asset::USD6));
        for wrong in ["", "usd", "TOOLONGCODE", "US D", "Ü"] {
            assert!(wrong.parse::<Asset>().is_err(), "{wrong}");
        }
        assert!(!Asset(*b"A\0B\0\0\0\0\0").is_valid());
    }

    #[test]
    fn balances_never_wrap() {
        assert_eq!(add(i128::MAX, 1), Err(MoneyError::Overflow));
        assert_eq!(add(5, -7), Ok(-2));
    }
}
