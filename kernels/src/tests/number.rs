//! Numbers modulo p, slowly and obviously.

use core::ops::{Add, Mul, Sub};

/// A number below p = 2^255 - 19, in 32-bit digits, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number([u32; 8]);

const P: [u32; 8] = [0xffff_ffed, !0, !0, !0, !0, !0, !0, 0x7fff_ffff];

impl Number {
    pub(crate) const ZERO: Self = Self([0; 8]);
    pub(crate) const ONE: Self = Self([1, 0, 0, 0, 0, 0, 0, 0]);

    /// Of digits that stand for a number below 2^257.
    fn reduced(mut digits: [u32; 9]) -> Self {
        loop {
            let below = digits[8] == 0 && digits[..8].iter().rev().lt(P.iter().rev());
            if below {
                return Self(digits[..8].try_into().unwrap());
            }
            let mut borrow = 0;
            for (digit, p) in digits.iter_mut().zip(P.into_iter().chain([0])) {
                let difference = i64::from(*digit) - i64::from(p) - borrow;
                *digit = difference as u32;
                borrow = i64::from(difference < 0);
            }
        }
    }

    /// Of limbs of 51 bits, with signs.
    pub(crate) fn from_limbs(limbs: &[i64; 5]) -> Self {
        let mut number = Self::ZERO;
        for limb in limbs.iter().rev() {
            for _ in 0..51 {
                number = number + number;
            }
            let magnitude = limb.unsigned_abs();
            let magnitude = Self([magnitude as u32, (magnitude >> 32) as u32, 0, 0, 0, 0, 0, 0]);
            number = if *limb < 0 { number - magnitude } else { number + magnitude };
        }
        number
    }

    /// Of any number below 2^256, little endian.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut digits = [0; 9];
        for (digit, bytes) in digits.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *digit = u32::from_le_bytes(*bytes);
        }
        Self::reduced(digits)
    }

    pub(crate) fn to_bytes(self) -> [u8; 32] {
        self.0.map(u32::to_le_bytes).as_flattened().try_into().unwrap()
    }
}

impl Add for Number {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let mut digits = [0; 9];
        let mut carry = 0;
        for (i, digit) in digits.iter_mut().take(8).enumerate() {
            let sum = u64::from(self.0[i]) + u64::from(other.0[i]) + carry;
            *digit = sum as u32;
            carry = sum >> 32;
        }
        digits[8] = carry as u32;
        Self::reduced(digits)
    }
}

impl Sub for Number {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let mut negative = [0; 9];
        let mut borrow = 0;
        for (i, digit) in negative.iter_mut().take(8).enumerate() {
            let difference = i64::from(P[i]) - i64::from(other.0[i]) - borrow;
            *digit = difference as u32;
            borrow = i64::from(difference < 0);
        }
        self + Self::reduced(negative)
    }
}

impl Mul for Number {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        // Digit by digit of the other, from the highest: 2^32 times what there is, plus the digit times self.
        let mut product = Self::ZERO;
        for digit in other.0.into_iter().rev() {
            let mut wide = [0_u32; 10];
            let mut carry = 0_u128;
            for (i, place) in wide.iter_mut().enumerate() {
                let shifted = if (1..9).contains(&i) { product.0[i - 1] } else { 0 };
                let own = if i < 8 { u64::from(self.0[i]) * u64::from(digit) } else { 0 };
                let sum = u128::from(shifted) + u128::from(own) + carry;
                *place = sum as u32;
                carry = sum >> 32;
            }
            // 2^256 = 38.
            let high = (u64::from(wide[8]) | u64::from(wide[9]) << 32) * 38;
            let low = Self::reduced([wide[0], wide[1], wide[2], wide[3], wide[4], wide[5], wide[6], wide[7], 0]);
            product = low + Self([high as u32, (high >> 32) as u32, 0, 0, 0, 0, 0, 0]);
        }
        product
    }
}

#[test]
fn numbers_follow_the_rules() {
    let minus_one = Number::ZERO - Number::ONE;
    assert_eq!(minus_one * minus_one, Number::ONE);
    assert_eq!(minus_one + Number::ONE, Number::ZERO);
    assert_eq!(minus_one.to_bytes()[0], 0xec);
    let mut two_to_255 = [0; 32];
    two_to_255[31] = 0x80;
    let nineteen = Number([19, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Number::from_bytes(&two_to_255), nineteen);
    // 2^255 - 1 = 18, in limbs.
    assert_eq!(Number::from_limbs(&[(1 << 51) - 1; 5]) + Number::ONE, nineteen);
    assert_eq!(Number::from_limbs(&[-19, 0, 0, 0, 0]) + nineteen, Number::ZERO);
    let three = Number([3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Number::from_limbs(&[0, 1 << 50, 0, 0, 0]) * three, Number::from_limbs(&[0, 3 << 50, 0, 0, 0]));
}
