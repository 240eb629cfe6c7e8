//! X25519 (RFC 7748): one secret, a public key per lane.

use super::super::field::*;
use super::ONE;
use super::bytes::{from_bytes, to_bytes};
use super::power::invert;
use crate::erase::erase;

/// Groups of lanes that share an inversion. More would save less than half a percent.
const GROUPS_MAX: usize = 16;

lanes! {
    /// One step of the ladder. `state` is x2, z2, x3, z3. With `swap`, the pair that is doubled is the other one, so
    /// that pairs need not be exchanged.
    fn step(x1: &Carried, state: &mut [Uncarried; 4], swap: Mask) {
        let a = sum(&state[0], &state[1]);
        let b = difference(&state[0], &state[1]);
        let c = sum(&state[2], &state[3]);
        let d = difference(&state[2], &state[3]);
        let da = multiply_uncarried(&d, &a);
        let cb = multiply_uncarried(&c, &b);
        let aa = square_uncarried(&select(swap, &a, &c));
        let bb = square_uncarried(&select(swap, &b, &d));
        let (aa_carried, bb_carried) = (carry(&aa), carry(&bb));
        let e = factor_difference(&aa_carried, &bb_carried);
        let f = plus_121665_times(&aa, &e);
        state[0] = multiply_uncarried(&aa_carried, &bb_carried);
        state[1] = multiply_factor(&e, &f);
        state[2] = square_uncarried(&sum(&da, &cb));
        state[3] = multiply_uncarried(x1, &square(&difference(&da, &cb)));
    }

    /// The shared secrets as fractions: numerator and denominator. `scalar` is clamped.
    fn ladder(scalar: &[u8; 32], publics: &[[u8; 32]; LANES]) -> (Carried, Carried) {
        let x1 = from_bytes(publics);
        let (one, nothing) = (uncarry(&constant(&ONE)), uncarry(&zero()));
        let mut state = [one, nothing, uncarry(&x1), one];
        let mut previous = 0;
        for position in (0..255).rev() {
            let bit = scalar[position >> 3] >> (position & 7) & 1;
            step(&x1, &mut state, mask_of_bit(bit ^ previous));
            previous = bit;
        }
        // The lowest bits of a clamped scalar are 0: the result is in the first pair.
        let fraction = (carry(&state[0]), carry(&state[1]));
        erase(&mut state);
        fraction
    }

    /// Up to `LANES * GROUPS_MAX` shared secrets. Where the result is 0 / 0 it is 0.
    fn agree_chunk(scalar: &[u8; 32], publics: &[[u8; 32]], shared: &mut [[u8; 32]]) {
        let one = constant(&ONE);
        let mut fractions = [(zero(), zero()); GROUPS_MAX];
        let mut products = [one; GROUPS_MAX];
        let mut product = one;
        let groups = publics.len().div_ceil(LANES);
        for (group, keys) in publics.chunks(LANES).enumerate() {
            let mut padded = [[0; 32]; LANES];
            padded[..keys.len()].copy_from_slice(keys);
            let (numerator, denominator) = ladder(scalar, &padded);
            // A denominator of 0 would make the product of its lane 0 in all groups.
            let low_order = is_zero(&denominator);
            let denominator = select(low_order, &denominator, &one);
            fractions[group] = (select(low_order, &numerator, &zero()), denominator);
            products[group] = product;
            product = multiply(&product, &denominator);
        }
        let mut inverse = invert(&product);
        for group in (0..groups).rev() {
            let (numerator, denominator) = &fractions[group];
            let quotient = multiply(numerator, &multiply(&inverse, &products[group]));
            let mut encodings = to_bytes(&quotient);
            let rest = &mut shared[group * LANES..];
            let count = rest.len().min(LANES);
            rest[..count].copy_from_slice(&encodings[..count]);
            erase(&mut encodings);
            inverse = multiply(&inverse, denominator);
        }
        erase(&mut fractions);
        erase(&mut products);
        erase(core::slice::from_mut(&mut product));
        erase(core::slice::from_mut(&mut inverse));
    }

    /// X25519 of one secret with each public key. The caller has checked that the lengths are equal.
    pub(crate) fn x25519(secret: &[u8; 32], publics: &[[u8; 32]], shared: &mut [[u8; 32]]) {
        let mut scalar = *secret;
        scalar[0] &= 248;
        scalar[31] = scalar[31] & 127 | 64;
        for (publics, shared) in
            publics.chunks(LANES * GROUPS_MAX).zip(shared.chunks_mut(LANES * GROUPS_MAX))
        {
            agree_chunk(&scalar, publics, shared);
        }
        erase(&mut scalar);
    }
}
