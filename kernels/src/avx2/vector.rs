//! The instructions used, one function each, on vectors of four lanes. `emulated/avx2/vector.rs` has the same functions
//! for any processor, with checks of the operands.

use core::arch::x86_64::*;

/// Four 64-bit integers.
pub(crate) type Integer = __m256i;
/// Four doubles.
pub(crate) type Float = __m256d;

lanes! {
    pub(crate) fn splat(value: u64) -> Integer {
        _mm256_set1_epi64x(value.cast_signed())
    }

    pub(crate) fn splat_float(value: f64) -> Float {
        _mm256_set1_pd(value)
    }

    /// Wraps around.
    pub(crate) fn add(a: Integer, b: Integer) -> Integer {
        _mm256_add_epi64(a, b)
    }

    /// Wraps around, and is meant to.
    pub(crate) fn wrapping_add(a: Integer, b: Integer) -> Integer {
        _mm256_add_epi64(a, b)
    }

    /// Rotates by RIGHT to the right, which is by LEFT = 64 - RIGHT to the left.
    pub(crate) fn rotate<const RIGHT: i32, const LEFT: i32>(a: Integer) -> Integer {
        const { assert!(RIGHT + LEFT == 64) };
        _mm256_or_si256(_mm256_srli_epi64::<RIGHT>(a), _mm256_slli_epi64::<LEFT>(a))
    }

    /// Wraps around.
    pub(crate) fn subtract(a: Integer, b: Integer) -> Integer {
        _mm256_sub_epi64(a, b)
    }

    pub(crate) fn and(a: Integer, b: Integer) -> Integer {
        _mm256_and_si256(a, b)
    }

    pub(crate) fn or(a: Integer, b: Integer) -> Integer {
        _mm256_or_si256(a, b)
    }

    pub(crate) fn xor(a: Integer, b: Integer) -> Integer {
        _mm256_xor_si256(a, b)
    }

    /// Fills with zeros: for numbers that are not negative, and for bits.
    pub(crate) fn shift_right<const BITS: i32>(a: Integer) -> Integer {
        _mm256_srli_epi64::<BITS>(a)
    }

    pub(crate) fn shift_left<const BITS: i32>(a: Integer) -> Integer {
        _mm256_slli_epi64::<BITS>(a)
    }

    /// The product of the lower halves.
    pub(crate) fn multiply_halves(a: Integer, b: Integer) -> Integer {
        _mm256_mul_epu32(a, b)
    }

    /// a b + c, rounded once.
    pub(crate) fn fused(a: Float, b: Float, c: Float) -> Float {
        _mm256_fmadd_pd(a, b, c)
    }

    /// a b + c, where that is an integer of at most 2^51 in magnitude.
    pub(crate) fn fused_exactly(a: Float, b: Float, c: Float) -> Float {
        _mm256_fmadd_pd(a, b, c)
    }

    pub(crate) fn plus(a: Float, b: Float) -> Float {
        _mm256_add_pd(a, b)
    }

    pub(crate) fn minus(a: Float, b: Float) -> Float {
        _mm256_sub_pd(a, b)
    }

    /// The bits of a double, unchanged.
    pub(crate) fn bits(a: Float) -> Integer {
        _mm256_castpd_si256(a)
    }

    /// The same, of a double whose neighbours are as far away as those of the constants for rounding.
    pub(crate) fn spaced_bits(a: Float) -> Integer {
        _mm256_castpd_si256(a)
    }

    /// The double of these bits.
    pub(crate) fn float(a: Integer) -> Float {
        _mm256_castsi256_pd(a)
    }

    /// Per lane: all bits set where a = b, none where not.
    pub(crate) fn equal(a: Integer, b: Integer) -> Integer {
        _mm256_cmpeq_epi64(a, b)
    }

    /// `if_set` in lanes of which `mask` has all bits, `if_clear` in those of which it has none.
    pub(crate) fn blend(mask: Integer, if_clear: Float, if_set: Float) -> Float {
        _mm256_blendv_pd(if_clear, if_set, _mm256_castsi256_pd(mask))
    }

    /// Bit i is the highest bit of lane i.
    pub(crate) fn highest_bits(a: Integer) -> u8 {
        _mm256_movemask_pd(_mm256_castsi256_pd(a)).to_le_bytes()[0]
    }

    /// Returns the operand, of which the compiler then knows nothing.
    pub(crate) fn opaque(a: Integer) -> Integer {
        let mut a = a;
        // SAFETY: consists of a comment; the operand stays as it is.
        unsafe {
            core::arch::asm!("/* {0} */", inout(ymm_reg) a, options(pure, nomem, nostack, preserves_flags));
        }
        a
    }

    /// Returns both as they are, but makes the compiler finish `first` before it starts what uses the new `then`.
    pub(crate) fn in_order(first: Integer, then: Float) -> (Integer, Float) {
        let (mut first, mut then) = (first, then);
        // SAFETY: consists of a comment; the operands stay as they are.
        unsafe {
            core::arch::asm!(
                "/* {0} {1} */", inout(ymm_reg) first, inout(ymm_reg) then,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        (first, then)
    }

    /// Row i, column j becomes row j, column i.
    pub(crate) fn transpose(rows: [Integer; 4]) -> [Integer; 4] {
        let low_left = _mm256_unpacklo_epi64(rows[0], rows[1]);
        let high_left = _mm256_unpackhi_epi64(rows[0], rows[1]);
        let low_right = _mm256_unpacklo_epi64(rows[2], rows[3]);
        let high_right = _mm256_unpackhi_epi64(rows[2], rows[3]);
        [
            _mm256_permute2x128_si256::<0x20>(low_left, low_right),
            _mm256_permute2x128_si256::<0x20>(high_left, high_right),
            _mm256_permute2x128_si256::<0x31>(low_left, low_right),
            _mm256_permute2x128_si256::<0x31>(high_left, high_right),
        ]
    }

    pub(crate) fn load(lanes: &[u64; 4]) -> Integer {
        // SAFETY: reads the 32 bytes of the array, at any alignment.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    }

    pub(crate) fn store(a: Integer, lanes: &mut [u64; 4]) {
        // SAFETY: writes the 32 bytes of the array, at any alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), a) }
    }
}
