//! The functions of `ifma/vector.rs`, with their conditions checked.

use crate::entry::Entry;

/// Eight 64-bit integers.
#[derive(Clone, Copy)]
pub(crate) struct Integer([u64; 8]);

fn each(a: Integer, b: Integer, operation: impl Fn(u64, u64) -> u64) -> Integer {
    Integer(core::array::from_fn(|i| operation(a.0[i], b.0[i])))
}

pub(crate) fn splat(value: u64) -> Integer {
    Integer([value; 8])
}

pub(crate) fn add(a: Integer, b: Integer) -> Integer {
    each(a, b, |a, b| a.checked_add(b).expect("a sum wraps around"))
}

pub(crate) fn wrapping_add(a: Integer, b: Integer) -> Integer {
    each(a, b, u64::wrapping_add)
}

pub(crate) fn subtract(a: Integer, b: Integer) -> Integer {
    each(a, b, |a, b| a.checked_sub(b).expect("a difference wraps around"))
}

pub(crate) fn and(a: Integer, b: Integer) -> Integer {
    each(a, b, |a, b| a & b)
}

pub(crate) fn or(a: Integer, b: Integer) -> Integer {
    each(a, b, |a, b| a | b)
}

pub(crate) fn xor(a: Integer, b: Integer) -> Integer {
    each(a, b, |a, b| a ^ b)
}

pub(crate) fn shift_right<const BITS: u32>(a: Integer) -> Integer {
    Integer(a.0.map(|a| a >> BITS))
}

pub(crate) fn shift_left<const BITS: u32>(a: Integer) -> Integer {
    Integer(a.0.map(|a| {
        assert!(a.leading_zeros() >= BITS, "a shift loses bits");
        a << BITS
    }))
}

pub(crate) fn rotate<const RIGHT: i32, const LEFT: i32>(a: Integer) -> Integer {
    const { assert!(RIGHT + LEFT == 64) };
    Integer(a.0.map(|a| a.rotate_right(RIGHT.cast_unsigned())))
}

fn product(a: u64, b: u64) -> u128 {
    assert!(a < 1 << 52 && b < 1 << 52, "a factor has more than 52 bits");
    u128::from(a) * u128::from(b)
}

pub(crate) fn add_low(sum: Integer, a: Integer, b: Integer) -> Integer {
    add(sum, each(a, b, |a, b| (product(a, b) & ((1 << 52) - 1)) as u64))
}

pub(crate) fn add_high(sum: Integer, a: Integer, b: Integer) -> Integer {
    add(sum, each(a, b, |a, b| (product(a, b) >> 52) as u64))
}

fn lanes_where(condition: impl Fn(usize) -> bool) -> u8 {
    (0..8).map(|i| u8::from(condition(i)) << i).sum()
}

pub(crate) fn equal(a: Integer, b: Integer) -> u8 {
    lanes_where(|i| a.0[i] == b.0[i])
}

pub(crate) fn blend(lanes: u8, if_clear: Integer, if_set: Integer) -> Integer {
    Integer(core::array::from_fn(|i| if lanes >> i & 1 == 0 { if_clear.0[i] } else { if_set.0[i] }))
}

pub(crate) fn load(lanes: &[u64; 8]) -> Integer {
    Integer(*lanes)
}

pub(crate) fn store(a: Integer, lanes: &mut [u64; 8]) {
    *lanes = a.0;
}

pub(crate) fn word_of_each(entries: &[&Entry; 8], position: usize) -> Integer {
    Integer(entries.map(|entry| entry.0[position]))
}
