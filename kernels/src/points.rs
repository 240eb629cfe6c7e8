//! Many points of the curve edwards25519: decompression, and sums of their multiples. For public data only: the time
//! depends on it.

use core::ops::Range;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;

use crate::Backend;
use crate::backend::{Kind, on_lanes};
use crate::digits::{Digits, PLACES, SHORT_PLACES};
use crate::entry::{Affine, Entry};
use crate::table::{MULTIPLES, PointTable};

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

    /// Prepares points, by their positions, for [`sum_of_multiples`]. Takes 1,280 bytes for each.
    ///
    /// # Panics
    /// If there was no encoding at a position, or it was not that of a point.
    pub fn tables(&self, positions: &[usize]) -> Tables {
        assert!(positions.iter().all(|&position| self.on_curve[position]), "only points have multiples");
        let multiples = match &self.coordinates {
            Coordinates::Portable(points) => Multiples::Portable(positions.iter().map(|&i| points[i]).collect()),
            Coordinates::Lanes(points) => {
                let chosen: Vec<&Affine> = positions.iter().map(|&i| &points[i]).collect();
                let mut entries = Vec::with_capacity(1 + chosen.len() * MULTIPLES);
                entries.push(on_lanes!(self.backend.kind(), edwards::identity_entry(), else Entry([0; 20])));
                on_lanes!(self.backend.kind(), straus::append_multiples(&chosen, &mut entries), else ());
                Multiples::Lanes(PointTable { entries })
            }
        };
        Tables { backend: self.backend, len: positions.len(), multiples }
    }
}

/// Points that are prepared for [`sum_of_multiples`].
pub struct Tables {
    backend: Backend,
    len: usize,
    multiples: Multiples,
}

enum Multiples {
    Lanes(PointTable),
    Portable(Vec<EdwardsPoint>),
}

impl Tables {
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
/// of `range`. The same tables serve any number of ranges.
///
/// # Panics
/// If the range reaches beyond one of the four, or the tables are of different backends.
pub fn sum_of_multiples(
    points: &Tables,
    scalars: &[Scalar],
    short_points: &Tables,
    short_scalars: &[u128],
    range: Range<usize>,
) -> EdwardsPoint {
    assert!(points.backend == short_points.backend, "tables of different backends");
    assert!(range.end <= points.len && range.end <= short_points.len, "no points for the end of the range");
    let (scalars, short_scalars) = (&scalars[range.clone()], &short_scalars[range.clone()]);
    match (&points.multiples, &short_points.multiples) {
        (Multiples::Lanes(table), Multiples::Lanes(short_table)) => {
            let digits: Vec<_> = scalars.iter().map(|scalar| Digits::new(scalar.as_bytes())).collect();
            let short = short_scalars.iter().map(|scalar| Digits::new(Scalar::from(*scalar).as_bytes()));
            let short_digits: Vec<_> = short.collect();
            let terms = [
                (table, range.start, digits.as_slice(), PLACES),
                (short_table, range.start, short_digits.as_slice(), SHORT_PLACES),
            ];
            let encoding = on_lanes!(points.backend.kind(), straus::sum_of_multiples(&terms), else [0; 32]);
            CompressedEdwardsY(encoding).decompress().expect("a sum of points is a point")
        }
        (Multiples::Portable(points), Multiples::Portable(short_points)) => {
            let short_scalars = short_scalars.iter().map(|scalar| Scalar::from(*scalar));
            let all = points[range.clone()].iter().chain(&short_points[range]);
            EdwardsPoint::vartime_multiscalar_mul(scalars.iter().copied().chain(short_scalars), all)
        }
        _ => unreachable!("tables of one backend are of one kind"),
    }
}
