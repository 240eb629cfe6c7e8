//! PIN, modifier and modified PIN (paper sections 1 and 4; K-114 to K-122).
//!
//! The PIN is random and conveyed by the second channel. After every authenticated transaction a modifier grows by one
//! random part from each side; what authenticates the next transaction is PIN + modifier (mod 2^64).

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits::{PIN_DIGITS_MAX, PIN_DIGITS_MIN};

/// Why a text is not a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a PIN has {PIN_DIGITS_MIN} to {PIN_DIGITS_MAX} decimal digits and nothing else")]
pub struct NotAPin;

/// A personal identification number: decimal digits. Overwritten when dropped, never printed, never stored by the CTS.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pin {
    value: u64,
    digits: u8,
}

impl Pin {
    /// Reads a PIN as typed; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`NotAPin`] for anything but 4 to 12 decimal digits.
    pub fn parse(text: &str) -> Result<Self, NotAPin> {
        let text = text.trim();
        let valid =
            (PIN_DIGITS_MIN..=PIN_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !valid {
            return Err(NotAPin);
        }
        let value = text.bytes().fold(0u64, |value, byte| value * 10 + u64::from(byte - b'0'));
        Ok(Self { value, digits: text.len() as u8 })
    }

    /// A uniformly random PIN of `digits` digits out of `random`, or `None` where `random` falls into the part that would
    /// favour some PINs (draw again; K-114).
    pub fn from_random(digits: usize, random: u64) -> Option<Self> {
        if !(PIN_DIGITS_MIN..=PIN_DIGITS_MAX).contains(&digits) {
            return None;
        }
        let count = 10u64.pow(digits as u32);
        let fair = u64::MAX - u64::MAX % count;
        (random < fair).then(|| Self { value: random % count, digits: digits as u8 })
    }

    /// The digits, to be conveyed once and then forgotten.
    pub fn expose(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(format!("{:0width$}", self.value, width = usize::from(self.digits)))
    }

    /// PIN + modifier: what authenticates the next transaction. The number of digits counts too: 0012 is not 12.
    pub fn modified(&self, modifier: Modifier) -> ModifiedPin {
        // Leading zeros matter: the offset gives every length of PIN its own range of values.
        let base = self.value + u64::from(self.digits) * 1_000_000_000_000;
        ModifiedPin(base.wrapping_add(modifier.0))
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(hidden)")
    }
}

/// The sum of all modifier parts since the PIN was set. Held on the customer's disk; zero after a new PIN (K-120).
#[derive(Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Modifier(pub u64);

impl Modifier {
    /// The modifier after a transaction with these two parts (mod 2^64).
    #[must_use]
    pub fn advanced(self, customer_part: ModifierPart, processor_part: ModifierPart) -> Self {
        Self(self.0.wrapping_add(customer_part.0).wrapping_add(processor_part.0))
    }
}

impl std::fmt::Debug for Modifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Modifier(hidden)")
    }
}

/// One side's random part of the modifier in one transaction (K-117).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct ModifierPart(pub u64);

impl std::fmt::Debug for ModifierPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModifierPart(hidden)")
    }
}

/// PIN + modifier as the TPS keeps it: it never learns which PIN, nor needs to.
#[derive(Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, Zeroize)]
pub struct ModifiedPin(pub u64);

impl ModifiedPin {
    /// The modified PIN after a transaction with these two parts.
    #[must_use]
    pub fn advanced(self, customer_part: ModifierPart, processor_part: ModifierPart) -> Self {
        Self(self.0.wrapping_add(customer_part.0).wrapping_add(processor_part.0))
    }
}

impl std::fmt::Debug for ModifiedPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModifiedPin(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_pin() {
        for right in ["0000", "123456", "999999999999", " 0042\n"] {
            assert!(Pin::parse(right).is_ok(), "{right}");
        }
        for wrong in ["", "123", "1234567890123", "12a4", "-1234", "１２３４"] {
            assert!(Pin::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(*Pin::parse("0042").unwrap().expose(), "0042");
    }

    #[test]
    fn leading_zeros_count() {
        let modified = |text| Pin::parse(text).unwrap().modified(Modifier(5));
        assert_ne!(modified("0042"), modified("00042"));
    }

    // spec: K-114
    #[test]
    fn random_pins_are_uniform() {
        assert!(Pin::from_random(4, u64::MAX).is_none(), "the uneven rest is refused");
        assert!(Pin::from_random(3, 1).is_none());
        let mut counts = [0u32; 10];
        for draw in 0..100_000u64 {
            let random = u64::from_le_bytes(
                crate::hash::tagged(crate::hash::Purpose::REQUEST, &draw.to_le_bytes())[..8].try_into().unwrap(),
            );
            let digits = Pin::from_random(6, random).unwrap().expose();
            counts[usize::from(digits.as_bytes()[0] - b'0')] += 1;
        }
        // Ten classes of expectation 10,000 and standard deviation 95: eight deviations never happen by chance.
        assert!(counts.iter().all(|count| (9_240..10_760).contains(count)), "{counts:?}");
    }

    // spec: K-115, K-117
    #[test]
    fn both_sides_compute_the_same_modified_pin() {
        let pin = Pin::parse("123456").unwrap();
        let (mut modifier, mut kept) = (Modifier::default(), pin.modified(Modifier::default()));
        for round in 1..200u64 {
            let (customer, processor) =
                (ModifierPart(round.wrapping_mul(0x9e37_79b9_7f4a_7c15)), ModifierPart(!round << 7));
            let before = kept;
            modifier = modifier.advanced(customer, processor);
            kept = kept.advanced(customer, processor);
            assert_eq!(pin.modified(modifier), kept);
            assert_ne!(before, kept);
            assert_ne!(before.advanced(customer, ModifierPart(1)), before.advanced(customer, ModifierPart(2)));
            assert_ne!(before.advanced(ModifierPart(1), processor), before.advanced(ModifierPart(2), processor));
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let pin = Pin::parse("123456").unwrap();
        let text = format!("{pin:?} {:?} {:?} {:?}", Modifier(77), ModifierPart(77), pin.modified(Modifier(77)));
        assert!(!text.contains("123456") && !text.contains("77"));
    }
}
