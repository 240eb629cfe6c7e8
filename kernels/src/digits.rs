//! Scalars in signed digits.

/// Every scalar is below the order of the group, which is below 2^253.
pub(crate) const SCALAR_BITS: usize = 253;
/// The length of the shorter scalars.
pub(crate) const SHORT_SCALAR_BITS: usize = 128;

/// Largest number of bits in a digit, so that it fits into a byte with its sign. Batches are too small for wider ones.
pub(crate) const WIDTH_MAX: usize = 7;

/// Digits of `width` bits that a scalar of so many bits has. They reach one bit further than the scalar, so that the
/// highest digit is never so large that it would have to carry.
pub(crate) const fn places(bits: usize, width: usize) -> usize {
    bits / width + 1
}

/// Appends digits such that the scalar (little endian) is the sum of digit_i 2^(width i), the lowest first, where
/// -2^(width - 1) < digit_i <= 2^(width - 1). There are `count` of them; if those are more than the scalar has places,
/// the rest are 0.
pub(crate) fn append_digits(scalar: &[u8; 32], width: usize, count: usize, digits: &mut Vec<i8>) {
    debug_assert!((1..=WIDTH_MAX).contains(&width));
    let words = scalar.as_chunks::<8>().0;
    let word = |i: usize| words.get(i).map_or(0, |bytes| u128::from(u64::from_le_bytes(*bytes)));
    let half = 1_i8 << (width - 1);
    let mut carry = 0;
    for place in 0..count {
        let (first, shift) = (place * width / 64, place * width % 64);
        let bits = (word(first) | word(first + 1) << 64) >> shift & ((1 << width) - 1);
        let sum = bits as i16 + carry;
        // The sign of the difference: no branch, since scalars may be secret.
        carry = (i16::from(half) - sum) >> 15 & 1;
        digits.push((sum - (carry << width)) as i8);
    }
    debug_assert!(carry == 0, "digits for all places");
}
