//! How points are kept in memory: the same for all backends, though the words mean different things.

/// A sum of points that is added to: X, Y, Z and T, each of five limbs. The words are the first four limbs of each
/// coordinate, then the last limbs of all four: four lanes are loaded as squares of four by four and transposed.
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

/// What is added for a point, in limbs of a backend: y + x, y - x, 2 d x y.
#[derive(Clone, Copy)]
pub(crate) struct Addend(pub(crate) [[u64; 5]; 3]);

/// Points and what they are multiplied with. Of equal lengths.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) points: &'a [Addend],
    pub(crate) scalars: &'a [[u8; 32]],
    /// Length of the scalars.
    pub(crate) bits: usize,
}
