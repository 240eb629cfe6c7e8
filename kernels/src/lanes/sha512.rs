//! SHA-512 of one message per lane.

use super::super::field::LANES;
use super::super::vector::*;
use crate::constants::{SHA512_INITIAL, SHA512_ROUND};
use crate::hash::LANES_MAX;

lanes! {
    /// One block per lane. `words` holds its 16 big-endian words.
    fn compress(state: &[Integer; 8], mut words: [Integer; 16]) -> [Integer; 8] {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for chunk in 0..5 {
            for i in 0..16 {
                if chunk > 0 {
                    let (w1, w14) = (words[(i + 1) & 15], words[(i + 14) & 15]);
                    let s0 = xor(xor(rotate::<1, 63>(w1), rotate::<8, 56>(w1)), shift_right::<7>(w1));
                    let s1 = xor(xor(rotate::<19, 45>(w14), rotate::<61, 3>(w14)), shift_right::<6>(w14));
                    words[i] = wrapping_add(wrapping_add(words[i], s0), wrapping_add(words[(i + 9) & 15], s1));
                }
                let s1 = xor(xor(rotate::<14, 50>(e), rotate::<18, 46>(e)), rotate::<41, 23>(e));
                let choice = xor(g, and(e, xor(f, g)));
                let round = wrapping_add(splat(SHA512_ROUND[chunk * 16 + i]), words[i]);
                let t1 = wrapping_add(wrapping_add(h, round), wrapping_add(s1, choice));
                let s0 = xor(xor(rotate::<28, 36>(a), rotate::<34, 30>(a)), rotate::<39, 25>(a));
                let majority = xor(b, and(xor(a, b), xor(b, c)));
                h = g;
                g = f;
                f = e;
                e = wrapping_add(d, t1);
                d = c;
                c = b;
                b = a;
                a = wrapping_add(t1, wrapping_add(s0, majority));
            }
        }
        let mut next = [a, b, c, d, e, f, g, h];
        for (new, old) in next.iter_mut().zip(state) {
            *new = wrapping_add(*new, *old);
        }
        next
    }

    /// The digests of the first `LANES` messages, which are padded to whole blocks and may differ in length.
    pub(crate) fn digest_padded(padded: &[Vec<u8>; LANES_MAX], digests: &mut [[u8; 64]; LANES_MAX]) {
        let mut state = [splat(0); 8];
        for (vector, initial) in state.iter_mut().zip(SHA512_INITIAL) {
            *vector = splat(initial);
        }
        let mut blocks = [[].as_slice(); LANES];
        for (blocks, message) in blocks.iter_mut().zip(padded) {
            *blocks = message.as_chunks::<128>().0;
        }
        let longest = blocks.iter().map(|blocks| blocks.len()).max().unwrap_or(0);
        for position in 0..longest {
            let mut words = [splat(0); 16];
            let mut running = 0_u8;
            let mut lanes = [[0; LANES]; 16];
            for (lane, blocks) in blocks.iter().enumerate() {
                if let Some(block) = blocks.get(position) {
                    running |= 1 << lane;
                    for (word, bytes) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                        word[lane] = u64::from_be_bytes(*bytes);
                    }
                }
            }
            for (word, lanes) in words.iter_mut().zip(&lanes) {
                *word = load(lanes);
            }
            let next = compress(&state, words);
            let mut mask = [0; LANES];
            for (lane, bits) in mask.iter_mut().enumerate() {
                *bits = u64::from(running >> lane & 1).wrapping_neg();
            }
            let mask = load(&mask);
            for (old, new) in state.iter_mut().zip(next) {
                *old = xor(*old, and(mask, xor(*old, new)));
            }
        }
        for (i, vector) in state.into_iter().enumerate() {
            let mut words = [0; LANES];
            store(vector, &mut words);
            for (digest, word) in digests.iter_mut().zip(words) {
                digest.as_chunks_mut::<8>().0[i] = word.to_be_bytes();
            }
        }
    }
}
