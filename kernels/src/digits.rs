//! Scalars in signed hexadecimal digits.

/// Places of a scalar below 2^255.
pub(crate) const PLACES: usize = 64;
/// Places of a scalar below 2^128: the last is 0 or 1.
pub(crate) const SHORT_PLACES: usize = 33;

/// scalar = sum of digit_i 16^i with -8 <= digit_i < 8, but for the last, which is at most 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits(pub(crate) [i8; PLACES]);

impl Digits {
    /// Of a scalar below 2^255, little endian.
    pub(crate) fn new(scalar: &[u8; 32]) -> Self {
        debug_assert!(scalar[31] < 0x80);
        let mut digits = [0; PLACES];
        let mut carry = 0;
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(scalar) {
            for (digit, nibble) in pair.iter_mut().zip([byte & 15, byte >> 4]) {
                let sum = nibble.cast_signed() + carry;
                carry = (sum + 8) >> 4;
                *digit = sum - (carry << 4);
            }
        }
        // The last nibble was at most 7, so that 8 is the most the carry made of it: it stays.
        digits[PLACES - 1] += carry << 4;
        Self(digits)
    }
}
