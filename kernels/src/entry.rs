//! How points are kept in tables: the same for all backends, though the words mean different things.

/// A multiple of a point, as (Y + X, Y - X, 2 Z, 2 d T), each of five limbs. The words are the first four limbs of each
/// coordinate, then the last limbs of all four: four lanes are loaded as squares of four by four and transposed, and
/// the negative of a point is loaded by exchanging the first two rows.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Entry(pub(crate) [u64; 20]);

impl Entry {
    /// Where a limb of a coordinate is.
    pub(crate) const fn position(coordinate: usize, limb: usize) -> usize {
        if limb < 4 { coordinate * 4 + limb } else { 16 + coordinate }
    }
}

/// x and y of a point in limbs of a backend.
#[derive(Clone, Copy)]
pub(crate) struct Affine(pub(crate) [[u64; 5]; 2]);
