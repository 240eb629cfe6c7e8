//! What tests need to know of the limbs.

use super::field::{LANES, Words};

/// The documented bounds of a carried limb.
pub(crate) const LIMB_MAX: i64 = (1 << 51) + (1 << 15) - 1;
pub(crate) const LIMB_MIN: i64 = 0;

pub(crate) fn words(limbs: &[[i64; LANES]; 5]) -> Words {
    limbs.map(|limb| limb.map(i64::cast_unsigned))
}

pub(crate) fn limbs(words: &Words) -> [[i64; LANES]; 5] {
    words.map(|limb| limb.map(u64::cast_signed))
}
