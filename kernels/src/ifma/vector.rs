//! The instructions used, one function each, on vectors of eight lanes. `emulated/ifma/vector.rs` has the same functions
//! for any processor, with checks of the operands.

use core::arch::x86_64::*;

use crate::entry::Entry;

/// Eight 64-bit integers.
pub(crate) type Integer = __m512i;

lanes! {
    pub(crate) fn splat(value: u64) -> Integer {
        _mm512_set1_epi64(value.cast_signed())
    }

    /// Must not wrap around.
    pub(crate) fn add(a: Integer, b: Integer) -> Integer {
        _mm512_add_epi64(a, b)
    }

    /// Wraps around, and is meant to.
    pub(crate) fn wrapping_add(a: Integer, b: Integer) -> Integer {
        _mm512_add_epi64(a, b)
    }

    /// Must not wrap around.
    pub(crate) fn subtract(a: Integer, b: Integer) -> Integer {
        _mm512_sub_epi64(a, b)
    }

    pub(crate) fn and(a: Integer, b: Integer) -> Integer {
        _mm512_and_si512(a, b)
    }

    pub(crate) fn or(a: Integer, b: Integer) -> Integer {
        _mm512_or_si512(a, b)
    }

    pub(crate) fn xor(a: Integer, b: Integer) -> Integer {
        _mm512_xor_si512(a, b)
    }

    pub(crate) fn shift_right<const BITS: u32>(a: Integer) -> Integer {
        _mm512_srli_epi64::<BITS>(a)
    }

    /// Must not lose bits.
    pub(crate) fn shift_left<const BITS: u32>(a: Integer) -> Integer {
        _mm512_slli_epi64::<BITS>(a)
    }

    /// Rotates by RIGHT to the right, which is by LEFT = 64 - RIGHT to the left.
    pub(crate) fn rotate<const RIGHT: i32, const LEFT: i32>(a: Integer) -> Integer {
        const { assert!(RIGHT + LEFT == 64) };
        _mm512_ror_epi64::<RIGHT>(a)
    }

    /// sum + the lower 52 bits of a b, for a and b below 2^52.
    pub(crate) fn add_low(sum: Integer, a: Integer, b: Integer) -> Integer {
        _mm512_madd52lo_epu64(sum, a, b)
    }

    /// sum + a b / 2^52, for a and b below 2^52.
    pub(crate) fn add_high(sum: Integer, a: Integer, b: Integer) -> Integer {
        _mm512_madd52hi_epu64(sum, a, b)
    }

    /// A bit per lane, set where a = b.
    pub(crate) fn equal(a: Integer, b: Integer) -> u8 {
        _mm512_cmpeq_epi64_mask(a, b)
    }

    /// `if_set` in the lanes whose bits are set, `if_clear` in the others.
    pub(crate) fn blend(lanes: u8, if_clear: Integer, if_set: Integer) -> Integer {
        _mm512_mask_blend_epi64(lanes, if_clear, if_set)
    }

    pub(crate) fn load(lanes: &[u64; 8]) -> Integer {
        // SAFETY: reads the 64 bytes of the array, at any alignment.
        unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
    }

    pub(crate) fn store(a: Integer, lanes: &mut [u64; 8]) {
        // SAFETY: writes the 64 bytes of the array, at any alignment.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), a) }
    }

    /// The same word of each entry.
    pub(crate) fn word_of_each(entries: &[&Entry; 8], position: usize) -> Integer {
        assert!(position < 20);
        let [a, b, c, d, e, f, g, h] = entries.map(|entry| core::ptr::from_ref(entry).addr().cast_signed() as i64);
        let addresses = _mm512_set_epi64(h, g, f, e, d, c, b, a);
        let word = core::ptr::without_provenance::<u8>(position * 8);
        // SAFETY: each address is that of a valid entry of 20 words, and the position is below 20. The entries are
        // behind references, so nobody writes to them.
        unsafe { _mm512_i64gather_epi64::<1>(addresses, word.cast()) }
    }
}
