//! What tests need to know of the limbs.

use super::field::{LANES, Words};

/// The documented bounds of a carried limb.
pub(crate) const LIMB_MAX: i64 = (1 << 50) + (1 << 17);
pub(crate) const LIMB_MIN: i64 = -LIMB_MAX;

pub(crate) fn words(limbs: &[[i64; LANES]; 5]) -> Words {
    limbs.map(|limb| limb.map(|value| (value as f64).to_bits()))
}

pub(crate) fn limbs(words: &Words) -> [[i64; LANES]; 5] {
    words.map(|limb| limb.map(|bits| f64::from_bits(bits) as i64))
}
