//! Numbers in 32 bytes, little endian.

use super::super::field::*;

const LIMB_MASK: u64 = (1 << 51) - 1;

lanes! {
    /// The numbers of the lower 255 bits; they may be p or above.
    pub(crate) fn from_bytes(encodings: &[[u8; 32]; LANES]) -> Carried {
        let mut limbs = [[0; LANES]; 5];
        for (lane, encoding) in encodings.iter().enumerate() {
            let (words, _) = encoding.as_chunks::<8>();
            let word = |i: usize| u64::from_le_bytes(words[i]);
            limbs[0][lane] = word(0) & LIMB_MASK;
            limbs[1][lane] = (word(0) >> 51 | word(1) << 13) & LIMB_MASK;
            limbs[2][lane] = (word(1) >> 38 | word(2) << 26) & LIMB_MASK;
            limbs[3][lane] = (word(2) >> 25 | word(3) << 39) & LIMB_MASK;
            limbs[4][lane] = (word(3) >> 12) & LIMB_MASK;
        }
        from_limbs(&limbs)
    }

    /// The forms below p.
    pub(crate) fn to_bytes(a: &Carried) -> [[u8; 32]; LANES] {
        let limbs = to_limbs(a);
        let mut encodings = [[0; 32]; LANES];
        for (lane, encoding) in encodings.iter_mut().enumerate() {
            let limb = |k: usize| limbs[k][lane];
            let (words, _) = encoding.as_chunks_mut::<8>();
            words[0] = (limb(0) | limb(1) << 51).to_le_bytes();
            words[1] = (limb(1) >> 13 | limb(2) << 38).to_le_bytes();
            words[2] = (limb(2) >> 26 | limb(3) << 25).to_le_bytes();
            words[3] = (limb(3) >> 39 | limb(4) << 12).to_le_bytes();
        }
        encodings
    }
}
