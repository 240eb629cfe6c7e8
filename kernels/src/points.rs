//! Many points of the curve edwards25519: decompression, and sums of their multiples. For public data only: the time
//! depends on it.

use core::ops::Range;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;

use crate::Backend;
use crate::backend::{Kind, on_lanes};
use crate::digits::{SCALAR_BITS, SHORT_SCALAR_BITS};
use crate::entry::{Addend, Affine, Terms};

/// The points of many encodings.
pub struct Points {
    backend: Backend,
    on_curve: Vec<bool>,
    coordinates: Coordinates,
}

enum Coordinates {
    Lanes(Vec<Affine>),
    Portable(Vec<EdwardsPoint>),
}

impl Points {
    /// Decompresses each encoding (RFC 8032, section 5.1.3) as `curve25519_dalek` does: leniently. A y of p or above
    /// is taken modulo p, and x = 0 with any sign. Whether an encoding is canonical shows in its bytes.
    pub fn decompress(backend: Backend, encodings: &[[u8; 32]]) -> Self {
        let mut on_curve = Vec::with_capacity(encodings.len());
        let coordinates = if backend.kind() == Kind::Portable {
            let points = encodings.iter().map(|encoding| {
                let point = CompressedEdwardsY(*encoding).decompress();
                on_curve.push(point.is_some());
                point.unwrap_or_default()
            });
            Coordinates::Portable(points.collect())
        } else {
            let mut points = Vec::with_capacity(encodings.len());
            on_lanes!(backend.kind(), edwards::decompress_all(encodings, &mut points, &mut on_curve), else ());
            Coordinates::Lanes(points)
        };
        Self { backend, on_curve, coordinates }
    }

    /// Whether the encoding at this position is that of a point.
    ///
    /// # Panics
    /// If there was no encoding at this position.
    pub fn is_on_curve(&self, position: usize) -> bool {
        self.on_curve[position]
    }

    /// Prepares points, by their positions, for [`sum_of_multiples`]. Takes 120 bytes for each.
    ///
    /// # Panics
    /// If there was no encoding at a position, or it was not that of a point.
    pub fn addends(&self, positions: &[usize]) -> Addends {
        assert!(positions.iter().all(|&position| self.on_curve[position]), "only points have multiples");
        let points = match &self.coordinates {
            Coordinates::Portable(points) => Prepared::Portable(positions.iter().map(|&i| points[i]).collect()),
            Coordinates::Lanes(points) => {
                let chosen: Vec<&Affine> = positions.iter().map(|&i| &points[i]).collect();
                let mut addends = Vec::with_capacity(chosen.len());
                on_lanes!(self.backend.kind(), buckets::append_addends(&chosen, &mut addends), else ());
                Prepared::Lanes(addends)
            }
        };
        Addends { backend: self.backend, len: positions.len(), points }
    }
}

/// Points that are prepared for [`sum_of_multiples`].
pub struct Addends {
    backend: Backend,
    len: usize,
    points: Prepared,
}

enum Prepared {
    Lanes(Vec<Addend>),
    Portable(Vec<EdwardsPoint>),
}

impl Addends {
    /// Number of points.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The sum of `scalars[i]` times point i of `points` and `short_scalars[i]` times point i of `short_points`, over all i
/// of `range`. The same addends serve any number of ranges.
///
/// # Panics
/// If the range reaches beyond one of the four, or the points are prepared for different backends.
pub fn sum_of_multiples(
    points: &Addends,
    scalars: &[Scalar],
    short_points: &Addends,
    short_scalars: &[u128],
    range: Range<usize>,
) -> EdwardsPoint {
    assert!(points.backend == short_points.backend, "points prepared for different backends");
    assert!(range.end <= points.len && range.end <= short_points.len, "no points for the end of the range");
    let (scalars, short_scalars) = (&scalars[range.clone()], &short_scalars[range.clone()]);
    match (&points.points, &short_points.points) {
        (Prepared::Lanes(points_in_lanes), Prepared::Lanes(short_points)) => {
            let long: Vec<[u8; 32]> = scalars.iter().map(Scalar::to_bytes).collect();
            let short: Vec<[u8; 32]> = short_scalars.iter().map(|scalar| Scalar::from(*scalar).to_bytes()).collect();
            let terms = [
                Terms { points: &points_in_lanes[range.clone()], scalars: &long, bits: SCALAR_BITS },
                Terms { points: &short_points[range], scalars: &short, bits: SHORT_SCALAR_BITS },
            ];
            let encoding = on_lanes!(points.backend.kind(), buckets::sum_of_multiples(&terms), else [0; 32]);
            CompressedEdwardsY(encoding).decompress().expect("a sum of points is a point")
        }
        (Prepared::Portable(points), Prepared::Portable(short_points)) => {
            let short_scalars = short_scalars.iter().map(|scalar| Scalar::from(*scalar));
            let all = points[range.clone()].iter().chain(&short_points[range]);
            EdwardsPoint::vartime_multiscalar_mul(scalars.iter().copied().chain(short_scalars), all)
        }
        _ => unreachable!("addends of one backend are of one kind"),
    }
}
