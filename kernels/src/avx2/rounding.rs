//! The constants of `field.rs`, where they are explained: those that round, and what is added before limbs are carried.

/// The upper rounding constant.
pub(crate) const H: f64 = 1.5 * (1_u128 << 103) as f64;
/// The lower one.
pub(crate) const L: f64 = 1.5 * (1_u64 << 52) as f64;
pub(crate) const LIMB_MASK: u64 = (1 << 51) - 1;
/// 2^50: limbs are cut such that they are centred around 0.
pub(crate) const CENTRE: u64 = 1 << 50;
/// 1024 p: its limbs are above 2^61 - 2^15, so added to sums of limbs below 2^60 they make them positive.
pub(crate) const BIAS: [u64; 5] = multiple_of_p(1024);

pub(crate) const fn multiple_of_p(times: u64) -> [u64; 5] {
    let limb = times * LIMB_MASK;
    [times * (LIMB_MASK - 18), limb, limb, limb, limb]
}

/// What H and L contribute to each limb of a product to whose column k so many lower halves are added, and to the next as
/// many upper halves.
pub(crate) const fn contributions(counts: [u64; 9]) -> [u64; 5] {
    let mut columns = [0_u64; 10];
    let mut k = 0;
    while k < 9 {
        columns[k] = columns[k].wrapping_add(counts[k].wrapping_mul(L.to_bits()));
        columns[k + 1] = columns[k + 1].wrapping_add(counts[k].wrapping_mul(H.to_bits()));
        k += 1;
    }
    let mut limbs = [0; 5];
    let mut k = 0;
    while k < 5 {
        limbs[k] = columns[k].wrapping_add(columns[k + 5].wrapping_mul(19));
        k += 1;
    }
    limbs
}

/// What turns limbs to which [`OFFSET`] was added so many times into limbs plus bias and centre.
const fn biased(offsets: u64) -> [u64; 5] {
    let mut sum = [0; 5];
    let mut k = 0;
    while k < 5 {
        sum[k] = BIAS[k].wrapping_add(CENTRE).wrapping_sub(OFFSET[k].wrapping_mul(offsets));
        k += 1;
    }
    sum
}

/// The same for products, summed up in pairs, and for squares, so that sums and differences need not tell them apart.
pub(crate) const OFFSET: [u64; 5] = contributions([1, 1, 2, 2, 3, 2, 2, 1, 1]);
pub(crate) const FACTOR_OFFSET: [u64; 5] = contributions([1, 2, 3, 4, 5, 4, 3, 2, 1]);
pub(crate) const NOTHING_BIASED: [u64; 5] = biased(0);
pub(crate) const ONE_BIASED: [u64; 5] = biased(1);
pub(crate) const TWO_BIASED: [u64; 5] = biased(2);
