//! Products of the numbers in `field.rs`, whose comment explains the halves, and the bounds.

use super::rounding::*;
use super::vector::*;

/// Adds the lower halves of products to one sum and the upper halves to the next. Two products in brackets are summed up
/// as doubles first.
macro_rules! column {
    ($order:ident, $low:ident, $high:ident, $([$($factor:expr),*])*) => {
        // Starts when the column before is done. Left alone, the compiler calculates all products first, and keeps them
        // in memory until it adds them up: half as fast.
        ($high, $order) = in_order($high, $order);
        $(
            let (high, low) = halves!($order, $($factor),*);
            $high = add($high, spaced_bits(high));
            $low = add($low, spaced_bits(low));
        )*
    };
}

macro_rules! halves {
    ($order:ident, $a:expr, $b:expr) => {{
        let high = fused($a, $b, $order);
        (high, fused($a, $b, minus(splat_float(H + L), high)))
    }};
    ($order:ident, $a:expr, $b:expr, $c:expr, $d:expr) => {{
        let first = fused($a, $b, $order);
        let high = fused($c, $d, first);
        let low = fused($a, $b, minus(splat_float(H + L), first));
        (high, plus(low, fused_exactly($c, $d, minus(first, high))))
    }};
}

lanes! {
    /// 19 a, since 2^255 = 19.
    pub(crate) fn folded(a: Integer) -> Integer {
        // The compiler would make a multiplication of it, which takes longer.
        let three = opaque(add(add(a, a), a));
        add(three, shift_left::<4>(a))
    }

    /// Limbs of a b plus [`OFFSET`], from the highest column to the lowest.
    pub(crate) fn products(a: &[Float; 5], b: &[Float; 5]) -> [Integer; 5] {
        let mut order = splat_float(H);
        let (mut t5, mut t6, mut t7, mut t8, mut t9) = (splat(0), splat(0), splat(0), splat(0), splat(0));
        column!(order, t8, t9, [a[4], b[4]]);
        let mut t4 = folded(t9);
        column!(order, t7, t8, [a[4], b[3], a[3], b[4]]);
        let mut t3 = folded(t8);
        column!(order, t6, t7, [a[4], b[2], a[3], b[3]] [a[2], b[4]]);
        let mut t2 = folded(t7);
        column!(order, t5, t6, [a[4], b[1], a[3], b[2]] [a[2], b[3], a[1], b[4]]);
        let mut t1 = folded(t6);
        column!(order, t4, t5, [a[4], b[0], a[3], b[1]] [a[2], b[2], a[1], b[3]] [a[0], b[4]]);
        let mut t0 = folded(t5);
        column!(order, t3, t4, [a[3], b[0], a[2], b[1]] [a[1], b[2], a[0], b[3]]);
        column!(order, t2, t3, [a[2], b[0], a[1], b[1]] [a[0], b[2]]);
        column!(order, t1, t2, [a[1], b[0], a[0], b[1]]);
        column!(order, t0, t1, [a[0], b[0]]);
        [t0, t1, t2, t3, t4]
    }

    /// The same where limbs of one number are twice as large: no two products are summed up as doubles.
    pub(crate) fn products_of_factor(a: &[Float; 5], b: &[Float; 5]) -> [Integer; 5] {
        let mut order = splat_float(H);
        let (mut t5, mut t6, mut t7, mut t8, mut t9) = (splat(0), splat(0), splat(0), splat(0), splat(0));
        column!(order, t8, t9, [a[4], b[4]]);
        let mut t4 = folded(t9);
        column!(order, t7, t8, [a[4], b[3]] [a[3], b[4]]);
        let mut t3 = folded(t8);
        column!(order, t6, t7, [a[4], b[2]] [a[3], b[3]] [a[2], b[4]]);
        let mut t2 = folded(t7);
        column!(order, t5, t6, [a[4], b[1]] [a[3], b[2]] [a[2], b[3]] [a[1], b[4]]);
        let mut t1 = folded(t6);
        column!(order, t4, t5, [a[4], b[0]] [a[3], b[1]] [a[2], b[2]] [a[1], b[3]] [a[0], b[4]]);
        let mut t0 = folded(t5);
        column!(order, t3, t4, [a[3], b[0]] [a[2], b[1]] [a[1], b[2]] [a[0], b[3]]);
        column!(order, t2, t3, [a[2], b[0]] [a[1], b[1]] [a[0], b[2]]);
        column!(order, t1, t2, [a[1], b[0]] [a[0], b[1]]);
        column!(order, t0, t1, [a[0], b[0]]);
        let mut limbs = [t0, t1, t2, t3, t4];
        for k in 0..5 {
            limbs[k] = add(limbs[k], splat(OFFSET[k].wrapping_sub(FACTOR_OFFSET[k])));
        }
        limbs
    }

    /// Limbs of a^2 plus [`OFFSET`].
    pub(crate) fn squares(a: &[Float; 5]) -> [Integer; 5] {
        let double = [plus(a[0], a[0]), plus(a[1], a[1]), plus(a[2], a[2]), plus(a[3], a[3])];
        let mut order = splat_float(H);
        let (mut t5, mut t6, mut t7, mut t8, mut t9) = (splat(0), splat(0), splat(0), splat(0), splat(0));
        column!(order, t8, t9, [a[4], a[4]]);
        let mut t4 = folded(t9);
        column!(order, t7, t8, [a[4], double[3]]);
        let mut t3 = folded(t8);
        column!(order, t6, t7, [a[4], double[2]] [a[3], a[3]]);
        let mut t2 = folded(t7);
        column!(order, t5, t6, [a[4], double[1]] [a[3], double[2]]);
        let mut t1 = folded(t6);
        column!(order, t4, t5, [a[4], double[0]] [a[3], double[1]] [a[2], a[2]]);
        let mut t0 = folded(t5);
        column!(order, t3, t4, [a[3], double[0]] [a[2], double[1]]);
        column!(order, t2, t3, [a[2], double[0]] [a[1], a[1]]);
        column!(order, t1, t2, [a[1], double[0]]);
        column!(order, t0, t1, [a[0], a[0]]);
        [t0, t1, t2, t3, t4]
    }
}
