//! SHA-512 of many messages.

use sha2::{Digest, Sha512};

use crate::Backend;
use crate::backend::{Kind, on_lanes};
use crate::erase::erase;

/// SHA-512 (FIPS 180-4) of each message, which is the concatenation of its parts. Messages may differ in length; it is
/// fastest if they do not. The time depends on the lengths alone. Copies of the messages are overwritten.
pub fn sha512<const PARTS: usize>(backend: Backend, messages: &[[&[u8]; PARTS]]) -> Vec<[u8; 64]> {
    let mut digests = vec![[0; 64]; messages.len()];
    if backend.kind() == Kind::Portable {
        for (message, digest) in messages.iter().zip(&mut digests) {
            let mut hasher = Sha512::new();
            message.iter().for_each(|part| hasher.update(part));
            *digest = hasher.finalize().into();
        }
        return digests;
    }
    // Lanes wait for the longest of their group, so messages of like lengths go together.
    let length = |message: &[&[u8]; PARTS]| message.iter().map(|part| part.len()).sum::<usize>();
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(|&i| length(&messages[i]));
    // Never moved while it grows: that would leave a copy behind.
    let room = order.last().map_or(0, |&longest| length(&messages[longest]) + PADDING_MAX);
    let mut padded: [Vec<u8>; LANES_MAX] = core::array::from_fn(|_| Vec::with_capacity(room));
    for group in order.chunks(backend.lanes()) {
        for (lane, &i) in padded.iter_mut().zip(group) {
            pad(&messages[i], lane);
        }
        padded.iter_mut().skip(group.len()).for_each(Vec::clear);
        let mut hashed = [[0; 64]; LANES_MAX];
        on_lanes!(backend.kind(), sha512::digest_padded(&padded, &mut hashed), else ());
        for (&i, digest) in group.iter().zip(hashed) {
            digests[i] = digest;
        }
    }
    for lane in &mut padded {
        lane.resize(room, 0);
        erase(lane);
    }
    digests
}

/// More than padding ever takes: a bit, zeros up to a whole block, and the length.
const PADDING_MAX: usize = 1 + 127 + 16;

/// The most lanes a backend has.
pub(crate) const LANES_MAX: usize = 8;

/// The message with its padding: a bit 1, zeros, and its length in bits in 128 bits.
fn pad(parts: &[&[u8]], padded: &mut Vec<u8>) {
    padded.clear();
    parts.iter().for_each(|part| padded.extend_from_slice(part));
    let bits = padded.len() as u128 * 8;
    padded.push(0x80);
    let whole = (padded.len() + 16).next_multiple_of(128);
    padded.resize(whole - 16, 0);
    padded.extend_from_slice(&bits.to_be_bytes());
}
