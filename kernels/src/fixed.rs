//! A point that is known long before its scalars: public keys, the points of signatures, agreements with one public key, and
//! signatures under one key. More tables, and no doublings.

use std::sync::LazyLock;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::BasepointTable;

use crate::Backend;
use crate::backend::{Kind, on_lanes};
use crate::digits::append_digits;
use crate::entry::Addend;
use crate::erase::erase;

/// Bits of a digit.
const WIDTH: usize = 4;
/// Places of a scalar of up to 255 bits.
pub(crate) const PLACES: usize = 64;
/// Multiples of a point that a digit may ask for.
pub(crate) const MULTIPLES: usize = 8;

/// A scalar in digits from -7 to 8.
pub(crate) type Places = [i8; PLACES];

/// A point of the curve edwards25519 with a table of its multiples, which takes 61 KB in lanes and 30 KB without.
pub struct FixedPoint {
    backend: Backend,
    table: Table,
}

enum Table {
    /// The multiples 1 to 8 of 16^i times the point, for every place i; then the identity.
    Lanes(Vec<Addend>),
    Portable(Box<EdwardsBasepointTable>),
}

/// Digits of secret scalars, overwritten in the end.
struct SecretPlaces(Vec<Places>);

impl Drop for SecretPlaces {
    fn drop(&mut self) {
        erase(&mut self.0);
    }
}

fn digits(scalar: &[u8; 32]) -> Places {
    let mut digits = Vec::with_capacity(PLACES);
    append_digits(scalar, WIDTH, PLACES, &mut digits);
    let mut places = [0; PLACES];
    places.copy_from_slice(&digits);
    erase(&mut digits);
    places
}

fn secret_places<'a>(scalars: impl ExactSizeIterator<Item = &'a [u8; 32]>) -> SecretPlaces {
    // Never moved while it grows: that would leave a copy behind.
    let mut places = SecretPlaces(Vec::with_capacity(scalars.len()));
    scalars.for_each(|scalar| places.0.push(digits(scalar)));
    places
}

static BASE: LazyLock<FixedPoint> = LazyLock::new(|| FixedPoint::new(Backend::best(), &ED25519_BASEPOINT_POINT));

impl FixedPoint {
    /// The base point of the curve, prepared for [`Backend::best`] when it is first asked for.
    pub fn base() -> &'static Self {
        &BASE
    }

    /// Prepares `point`, which may have a part of small order. Takes as long as some ten multiplications.
    pub fn new(backend: Backend, point: &EdwardsPoint) -> Self {
        if backend.kind() == Kind::Portable {
            return Self { backend, table: Table::Portable(Box::new(EdwardsBasepointTable::create(point))) };
        }
        let mut next = *point;
        let powers: [EdwardsPoint; PLACES] = core::array::from_fn(|_| {
            let power = next;
            (0..WIDTH).for_each(|_| next += next);
            power
        });
        let encodings = EdwardsPoint::compress_batch(&powers).map(|encoding| encoding.to_bytes());
        let (mut coordinates, mut on_curve) = (Vec::with_capacity(PLACES), Vec::with_capacity(PLACES));
        on_lanes!(backend.kind(), edwards::decompress_all(&encodings, &mut coordinates, &mut on_curve), else ());
        let mut addends = Vec::with_capacity(PLACES * MULTIPLES + 1);
        on_lanes!(backend.kind(), fixed::append_multiples(&coordinates, &mut addends), else ());
        on_lanes!(backend.kind(), fixed::append_identity(&mut addends), else ());
        Self { backend, table: Table::Lanes(addends) }
    }

    /// The encodings (RFC 8032) of the point times each of `scalars`, which may be secret: the time depends on their number
    /// alone, and what was calculated on the way is overwritten. They are worked on in groups of [`Backend::lanes`].
    ///
    /// # Panics
    /// If the lengths of `scalars` and `encodings` differ.
    pub fn multiples(&self, scalars: &[Scalar], encodings: &mut [[u8; 32]]) {
        assert_eq!(scalars.len(), encodings.len(), "a place for every multiple");
        match &self.table {
            Table::Lanes(table) => {
                let places = secret_places(scalars.iter().map(Scalar::as_bytes));
                let table = &table[..PLACES * MULTIPLES];
                on_lanes!(self.backend.kind(), fixed::encoded_multiples(table, &places.0, encodings), else ());
            }
            Table::Portable(table) => {
                let points: Vec<EdwardsPoint> = scalars.iter().map(|scalar| table.mul_base(scalar)).collect();
                for (encoding, compressed) in encodings.iter_mut().zip(EdwardsPoint::compress_batch_alloc(&points)) {
                    *encoding = compressed.to_bytes();
                }
            }
        }
    }

    /// X25519 (RFC 7748) of each of `secrets` with the u-coordinate of the point; its sign makes no difference, as
    /// coordinates have none. Zeros where the point is of small order. As [`Self::multiples`] for secrets.
    ///
    /// # Panics
    /// If the lengths of `secrets` and `shared` differ.
    pub fn agree(&self, secrets: &[[u8; 32]], shared: &mut [[u8; 32]]) {
        assert_eq!(secrets.len(), shared.len(), "a place for every shared secret");
        match &self.table {
            Table::Lanes(table) => {
                let mut clamped: Vec<[u8; 32]> = secrets.iter().map(|secret| clamp_integer(*secret)).collect();
                let places = secret_places(clamped.iter());
                erase(&mut clamped);
                let table = &table[..PLACES * MULTIPLES];
                on_lanes!(self.backend.kind(), fixed::u_of_multiples(table, &places.0, shared), else ());
            }
            Table::Portable(table) => {
                let points: Vec<EdwardsPoint> = secrets.iter().map(|secret| table.mul_base_clamped(*secret)).collect();
                for (shared, coordinate) in shared.iter_mut().zip(EdwardsPoint::to_montgomery_batch(&points)) {
                    *shared = coordinate.to_bytes();
                }
            }
        }
    }
}

/// The encoding of the sum of `first.0` times `first.1` and `second.0` times `second.1`. For public data only: the time
/// depends on it.
///
/// # Panics
/// If the points were prepared for different backends.
pub fn fixed_sum(first: (&Scalar, &FixedPoint), second: (&Scalar, &FixedPoint)) -> [u8; 32] {
    let backend = first.1.backend;
    assert!(backend == second.1.backend, "points of different backends");
    match (&first.1.table, &second.1.table) {
        (Table::Lanes(first_table), Table::Lanes(second_table)) => {
            let places = [first.0, second.0].map(|scalar| digits(scalar.as_bytes()));
            let terms = [(first_table.as_slice(), &places[0]), (second_table.as_slice(), &places[1])];
            on_lanes!(backend.kind(), fixed::sum_of_multiples(&terms), else [0; 32])
        }
        (Table::Portable(first_table), Table::Portable(second_table)) => {
            (first_table.mul_base(first.0) + second_table.mul_base(second.0)).compress().to_bytes()
        }
        _ => unreachable!("points of one backend are of one kind"),
    }
}
