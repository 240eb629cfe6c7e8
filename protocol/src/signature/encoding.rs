//! Encoded points, judged by their bytes alone: cheaper than arithmetic, and done before it.
//!
//! An encoding is y in little endian (255 bits), then the sign of x (1 bit). Used by the fast paths; the arbiter has
//! code of its own.

/// The y of the eight points whose order divides 8. Each stands for two encodings, but for the first two, where x = 0.
/// A test derives them from the curve.
pub(super) const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    // 1: the identity.
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    // -1: order 2.
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    // 0: order 4.
    [0; 32],
    // Order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    // Order 8, the negative of the last.
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// True when y < p and x = 0 comes with sign bit 0. Says nothing about whether the point is on the curve.
pub(super) fn is_canonical(encoding: &[u8; 32]) -> bool {
    let (y, negative) = split(encoding);
    let y_below_p = y[0] < 0xed || y[1..31].iter().any(|&byte| byte != 0xff) || y[31] != 0x7f;
    let x_is_zero = y == SMALL_ORDER_Y[0] || y == SMALL_ORDER_Y[1];
    y_below_p && !(x_is_zero && negative)
}

/// True when a canonical encoding is that of a point whose order divides 8.
pub(super) fn is_small_order(encoding: &[u8; 32]) -> bool {
    SMALL_ORDER_Y.contains(&split(encoding).0)
}

/// y, and the sign of x.
fn split(encoding: &[u8; 32]) -> ([u8; 32], bool) {
    let mut y = *encoding;
    y[31] &= 0x7f;
    (y, encoding[31] & 0x80 != 0)
}
