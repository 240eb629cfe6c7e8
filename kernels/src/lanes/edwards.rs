//! Points of the curve -x^2 + y^2 = 1 + d x^2 y^2, one per lane.

use super::super::field::*;
use super::ONE;
use super::bytes::{from_bytes, to_bytes};
use super::power::{invert, power_p58};
use crate::entry::{Addend, Affine};

/// d, 2 d and a square root of -1, in limbs of 51 bits.
const D: [u64; 5] = [929955233495203, 466365720129213, 1662059464998953, 2033849074728123, 1442794654840575];
const TWICE_D: [u64; 5] = [1859910466990425, 932731440258426, 1072319116312658, 1815898335770999, 633789495995903];
const ROOT_OF_MINUS_1: [u64; 5] =
    [1718705420411056, 234908883556509, 2233514472574048, 2117202627021982, 765476049583133];

/// Extended coordinates: x = X / Z, y = Y / Z, x y = T / Z.
#[derive(Clone, Copy)]
pub(crate) struct Extended {
    pub(crate) x: Uncarried,
    pub(crate) y: Uncarried,
    pub(crate) z: Uncarried,
    pub(crate) t: Carried,
}

impl From<([Uncarried; 3], Carried)> for Extended {
    fn from(([x, y, z], t): ([Uncarried; 3], Carried)) -> Self {
        Self { x, y, z, t }
    }
}

impl From<Extended> for ([Uncarried; 3], Carried) {
    fn from(p: Extended) -> Self {
        ([p.x, p.y, p.z], p.t)
    }
}

/// What is added to a point: Y + X, Y - X, 2 Z, 2 d T.
pub(crate) type Cached = [Carried; 4];

/// What is added to a point for one with Z = 1: y + x, y - x, 2 d x y.
pub(crate) type CachedAffine = [Carried; 3];

lanes! {
    /// The identity in all lanes.
    pub(crate) fn identity() -> Extended {
        let one = constant(&ONE);
        Extended { x: uncarry(&zero()), y: uncarry(&one), z: uncarry(&one), t: zero() }
    }

    /// The point with these affine coordinates.
    pub(crate) fn from_affine(x: &Carried, y: &Carried) -> Extended {
        Extended { x: uncarry(x), y: uncarry(y), z: uncarry(&constant(&ONE)), t: multiply(x, y) }
    }

    pub(crate) fn to_cached(p: &Extended) -> Cached {
        let [plus, minus, t] = to_addend(p);
        [plus, minus, sum(&p.z, &p.z), t]
    }

    /// Of a point with Z = 1.
    pub(crate) fn to_addend(p: &Extended) -> CachedAffine {
        [sum(&p.y, &p.x), difference(&p.y, &p.x), multiply(&p.t, &constant(&TWICE_D))]
    }

    /// The same point in all lanes, but its negative in those of `negative`.
    pub(crate) fn load_addend(point: &Addend, negative: u8) -> CachedAffine {
        let [plus, minus, t] = [broadcast(&point.0[0]), broadcast(&point.0[1]), broadcast(&point.0[2])];
        let mask = mask_of_lanes(negative);
        [select(mask, &plus, &minus), select(mask, &minus, &plus), select(mask, &t, &negate(&t))]
    }

    /// p + q for any points (the formulas are complete).
    pub(crate) fn add_cached(p: &Extended, q: &Cached) -> Extended {
        let plus = multiply_uncarried(&sum(&p.y, &p.x), &q[0]);
        let minus = multiply_uncarried(&difference(&p.y, &p.x), &q[1]);
        let zz = multiply_uncarried(&carry(&p.z), &q[2]);
        let tt = multiply_uncarried(&p.t, &q[3]);
        let (e, h) = (difference(&plus, &minus), sum(&plus, &minus));
        let (g, f) = (sum(&zz, &tt), difference(&zz, &tt));
        let t = multiply(&e, &h);
        Extended { x: multiply_uncarried(&e, &f), y: multiply_uncarried(&g, &h), z: multiply_uncarried(&f, &g), t }
    }

    /// p + q for any points, as `add_cached`.
    pub(crate) fn add_addend(p: &Extended, q: &CachedAffine) -> Extended {
        let plus = multiply_uncarried(&sum(&p.y, &p.x), &q[0]);
        let minus = multiply_uncarried(&difference(&p.y, &p.x), &q[1]);
        let tt = multiply_uncarried(&p.t, &q[2]);
        let zz = twice(&p.z);
        let (e, h) = (difference(&plus, &minus), sum(&plus, &minus));
        let (g, f) = (sum(&zz, &tt), difference(&zz, &tt));
        let t = multiply(&e, &h);
        Extended { x: multiply_uncarried(&e, &f), y: multiply_uncarried(&g, &h), z: multiply_uncarried(&f, &g), t }
    }

    /// 2 p. Without `WITH_T` the result has no valid T and may only be doubled.
    pub(crate) fn double<const WITH_T: bool>(p: &Extended) -> Extended {
        let xx = square_uncarried(&carry(&p.x));
        let yy = square_uncarried(&carry(&p.y));
        let zz = square_uncarried(&carry(&p.z));
        let both = square_uncarried(&sum(&p.x, &p.y));
        let (h, g) = (sum(&yy, &xx), difference(&yy, &xx));
        let e = difference(&both, &uncarry(&h));
        let f = difference(&twice(&zz), &uncarry(&g));
        let t = if WITH_T { multiply(&e, &h) } else { p.t };
        Extended { x: multiply_uncarried(&e, &f), y: multiply_uncarried(&g, &h), z: multiply_uncarried(&f, &g), t }
    }

    /// The points of encodings, and a bit per lane that is set where there is one. Takes y modulo p and any sign of
    /// x = 0, as `curve25519_dalek` does: whether an encoding is canonical shows in its bytes.
    pub(crate) fn decompress(encodings: &[[u8; 32]; LANES]) -> (Carried, Carried, u8) {
        let y = from_bytes(encodings);
        let one = constant(&ONE);
        let mut signs = 0;
        for (lane, encoding) in encodings.iter().enumerate() {
            signs |= (encoding[31] >> 7) << lane;
        }
        // x^2 = u / v
        let yy = square_uncarried(&y);
        let u = difference(&yy, &uncarry(&one));
        let v = sum(&multiply_uncarried(&carry(&yy), &constant(&D)), &uncarry(&one));
        let v_cubed = multiply(&square(&v), &v);
        let v_to_7 = multiply(&square(&v_cubed), &v);
        let x = multiply(&multiply(&u, &v_cubed), &power_p58(&multiply(&u, &v_to_7)));
        let check = multiply_uncarried(&v, &square(&x));
        let is_root = is_zero(&difference(&check, &uncarry(&u)));
        let is_root_of_negative = is_zero(&sum(&check, &uncarry(&u)));
        let x = select(is_root_of_negative, &x, &multiply(&x, &constant(&ROOT_OF_MINUS_1)));
        let wrong_sign = mask_of_lanes(lanes_of_mask(is_odd(&x)) ^ signs);
        let x = select(wrong_sign, &x, &negate(&x));
        (x, y, lanes_of_mask(is_root) | lanes_of_mask(is_root_of_negative))
    }

    /// The encodings.
    pub(crate) fn compress(p: &Extended) -> [[u8; 32]; LANES] {
        let inverse = invert(&carry(&p.z));
        let signs = lanes_of_mask(is_odd(&multiply(&carry(&p.x), &inverse)));
        let mut encodings = to_bytes(&multiply(&carry(&p.y), &inverse));
        for (lane, encoding) in encodings.iter_mut().enumerate() {
            encoding[31] |= (signs >> lane & 1) << 7;
        }
        encodings
    }

    /// Decompresses any number of encodings: coordinates and whether there is a point. Coordinates without a point are
    /// meaningless.
    pub(crate) fn decompress_all(encodings: &[[u8; 32]], points: &mut Vec<Affine>, on_curve: &mut Vec<bool>) {
        for group in encodings.chunks(LANES) {
            let mut padded = [[0; 32]; LANES];
            padded[..group.len()].copy_from_slice(group);
            let (x, y, found) = decompress(&padded);
            let (x, y) = (to_words(&x), to_words(&y));
            for lane in 0..group.len() {
                let mut affine = [[0; 5]; 2];
                for k in 0..5 {
                    affine[0][k] = x[k][lane];
                    affine[1][k] = y[k][lane];
                }
                points.push(Affine(affine));
                on_curve.push(found >> lane & 1 != 0);
            }
        }
    }

    /// The coordinates of points, one per lane.
    pub(crate) fn gather_affine(points: &[&Affine; LANES]) -> (Carried, Carried) {
        let (mut x, mut y) = ([[0; LANES]; 5], [[0; LANES]; 5]);
        for (lane, point) in points.iter().enumerate() {
            for k in 0..5 {
                x[k][lane] = point.0[0][k];
                y[k][lane] = point.0[1][k];
            }
        }
        (from_words(&x), from_words(&y))
    }

    /// In each lane what was so many lanes further on.
    pub(crate) fn rotate_lanes(p: &Cached, distance: usize) -> Cached {
        let mut rotated = *p;
        for coordinate in &mut rotated {
            let mut words = to_words(coordinate);
            for word in &mut words {
                word.rotate_left(distance);
            }
            *coordinate = from_words(&words);
        }
        rotated
    }
}
