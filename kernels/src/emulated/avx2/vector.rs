//! The functions of `avx2/vector.rs`, with the conditions that the field's arithmetic relies on checked.

/// Four 64-bit integers.
#[derive(Clone, Copy)]
pub(crate) struct Integer([u64; 4]);

/// Four doubles.
#[derive(Clone, Copy)]
pub(crate) struct Float([f64; 4]);

fn each(a: Integer, b: Integer, operation: impl Fn(u64, u64) -> u64) -> Integer {
    Integer(core::array::from_fn(|i| operation(a.0[i], b.0[i])))
}

pub(crate) fn splat(value: u64) -> Integer {
    Integer([value; 4])
}

pub(crate) fn splat_float(value: f64) -> Float {
    Float([value; 4])
}

pub(crate) fn add(a: Integer, b: Integer) -> Integer {
    each(a, b, u64::wrapping_add)
}

pub(crate) fn wrapping_add(a: Integer, b: Integer) -> Integer {
    each(a, b, u64::wrapping_add)
}

pub(crate) fn subtract(a: Integer, b: Integer) -> Integer {
    each(a, b, u64::wrapping_sub)
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

pub(crate) fn shift_right<const BITS: i32>(a: Integer) -> Integer {
    // By 51 bits, numbers are shifted: they must not be negative. Other shifts are those of SHA-512, of bits.
    Integer(a.0.map(|a| {
        assert!(BITS != 51 || a < 1 << 63, "a carry of a negative limb");
        a >> BITS
    }))
}

pub(crate) fn shift_left<const BITS: i32>(a: Integer) -> Integer {
    Integer(a.0.map(|a| a << BITS))
}

pub(crate) fn rotate<const RIGHT: i32, const LEFT: i32>(a: Integer) -> Integer {
    const { assert!(RIGHT + LEFT == 64) };
    Integer(a.0.map(|a| a.rotate_right(RIGHT.cast_unsigned())))
}

pub(crate) fn multiply_halves(a: Integer, b: Integer) -> Integer {
    each(a, b, |a, b| {
        assert!(a >> 32 == 0 && b >> 32 == 0, "a factor has more than 32 bits");
        a * b
    })
}

/// The integer that a double is.
fn integer(a: f64) -> i128 {
    assert!(a.fract() == 0.0 && a.abs() < (1_u128 << 105) as f64, "no integer within bounds: {a:e}");
    a as i128
}

/// Doubles are 2^51 apart in the first range and 1 apart in the second: the spacing that the arithmetic relies on.
fn is_spaced_as_expected(a: f64) -> bool {
    let (high, low) = ((1_u128 << 103) as f64, (1_u64 << 52) as f64);
    (high..2.0 * high).contains(&a) || (low..2.0 * low).contains(&a)
}

pub(crate) fn fused(a: Float, b: Float, c: Float) -> Float {
    Float(core::array::from_fn(|i| {
        let (a, b, c) = (a.0[i], b.0[i], c.0[i]);
        let result = a.mul_add(b, c);
        assert!(is_spaced_as_expected(result), "a product out of bounds: {a:e} {b:e} {c:e}");
        let error = integer(a) * integer(b) + integer(c) - integer(result);
        let spacing = if result > (1_u64 << 60) as f64 { 1_i128 << 51 } else { 0 };
        assert!(2 * error.abs() <= spacing, "a lower half is not exact: {a:e} {b:e} {c:e}");
        result
    }))
}

pub(crate) fn fused_exactly(a: Float, b: Float, c: Float) -> Float {
    Float(core::array::from_fn(|i| {
        let exact = integer(a.0[i]) * integer(b.0[i]) + integer(c.0[i]);
        assert!(exact.abs() <= 1 << 51, "a lower half out of bounds: {exact}");
        let result = a.0[i].mul_add(b.0[i], c.0[i]);
        assert_eq!(integer(result), exact, "a lower half is not exact");
        result
    }))
}

pub(crate) fn plus(a: Float, b: Float) -> Float {
    Float(core::array::from_fn(|i| {
        let sum = a.0[i] + b.0[i];
        assert_eq!(integer(a.0[i]) + integer(b.0[i]), integer(sum), "a sum is not exact");
        sum
    }))
}

pub(crate) fn minus(a: Float, b: Float) -> Float {
    Float(core::array::from_fn(|i| {
        let difference = a.0[i] - b.0[i];
        assert_eq!(integer(a.0[i]) - integer(b.0[i]), integer(difference), "a difference is not exact");
        difference
    }))
}

pub(crate) fn bits(a: Float) -> Integer {
    Integer(a.0.map(f64::to_bits))
}

/// The upper ends are included: their bits still follow on those of the number below.
pub(crate) fn spaced_bits(a: Float) -> Integer {
    assert!(a.0.iter().all(|a| is_spaced_as_expected(*a) || *a == (1_u64 << 53) as f64), "bits of {:?}", a.0);
    bits(a)
}

pub(crate) fn float(a: Integer) -> Float {
    Float(a.0.map(f64::from_bits))
}

pub(crate) fn equal(a: Integer, b: Integer) -> Integer {
    each(a, b, |a, b| u64::from(a == b).wrapping_neg())
}

pub(crate) fn blend(mask: Integer, if_clear: Float, if_set: Float) -> Float {
    assert!(mask.0.iter().all(|mask| *mask == 0 || *mask == u64::MAX), "a mask of some bits of a lane");
    Float(core::array::from_fn(|i| if mask.0[i] == 0 { if_clear.0[i] } else { if_set.0[i] }))
}

pub(crate) fn highest_bits(a: Integer) -> u8 {
    a.0.iter().enumerate().map(|(i, a)| ((a >> 63) as u8) << i).sum()
}

pub(crate) fn opaque(a: Integer) -> Integer {
    a
}

pub(crate) fn in_order(first: Integer, then: Float) -> (Integer, Float) {
    (first, then)
}

pub(crate) fn transpose(rows: [Integer; 4]) -> [Integer; 4] {
    core::array::from_fn(|i| Integer(rows.map(|row| row.0[i])))
}

pub(crate) fn load(lanes: &[u64; 4]) -> Integer {
    Integer(*lanes)
}

pub(crate) fn store(a: Integer, lanes: &mut [u64; 4]) {
    *lanes = a.0;
}
