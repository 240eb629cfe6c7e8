//! Curve arithmetic over a field of lanes, written once and compiled for every backend: `super::field` is the backend's
//! arithmetic, `lanes!` its macro that names the processor features.

pub(crate) mod buckets;
pub(crate) mod bytes;
#[cfg(test)]
pub(crate) mod checks;
pub(crate) mod edwards;
pub(crate) mod fixed;
pub(crate) mod montgomery;
pub(crate) mod power;
pub(crate) mod sha512;

/// Limbs of 1.
pub(crate) const ONE: [u64; 5] = [1, 0, 0, 0, 0];

lanes! {
    /// Numbers worked on at once.
    pub(crate) fn lanes() -> usize {
        super::field::LANES
    }
}
