//! Goods sealed in chunks (paper section 2, step 10; K-86 to K-88). Pure state machines: bytes in, bytes out.
//!
//! Chunk `n` holds 65,536 bytes of goods, the last one 1 to 65,536 (or none, for empty goods). It is sealed with
//! AES-256-GCM-SIV under the goods key of the session; the nonce is `n` (u64, little endian), a byte that is 1 for the
//! last chunk and 0 otherwise, and three zero bytes; no associated data. Chunks follow each other without separators:
//! ciphertext, then the 16-byte tag. Truncated, reordered, repeated or continued goods do not open.
//!
//! The synthetic IV matters because chunks are sent again when a download is resumed: should a file on the merchant's disk
//! change in between, a repeated nonce must not betray its content.

use aes_gcm_siv::Aes256GcmSiv;
use aes_gcm_siv::aead::{Aead, AeadInOut, KeyInit};

use crate::hash::{Purpose, Tagged};
use crate::ids::Digest;
use crate::limits::{GOODS_BYTES_MAX, GOODS_CHUNK_BYTES};
use crate::session::merchant::GoodsKey;
use crate::session::payment::SEAL_TAG_BYTES;

/// Bytes of a full sealed chunk.
pub const SEALED_CHUNK_BYTES: usize = GOODS_CHUNK_BYTES + SEAL_TAG_BYTES;

/// Why goods do not open or cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GoodsError {
    /// A chunk was altered, moved, or sealed under another key.
    #[error(
        "chunk {chunk} of the goods does not open: it was altered or sealed under another key; ask for the goods again"
    )]
    DoesNotOpen {
        /// Which chunk.
        chunk: u64,
    },
    /// The bytes end before the last chunk.
    #[error("the goods end before their last chunk: resume the download")]
    Truncated,
    /// Bytes follow the last chunk.
    #[error("bytes follow the last chunk of the goods")]
    TrailingBytes,
    /// A start beyond the last chunk.
    #[error("there is no chunk {0} in these goods")]
    NoSuchChunk(u64),
    /// Larger than goods may be.
    #[error("goods of {0} bytes are larger than the {GOODS_BYTES_MAX} permitted")]
    TooLarge(u64),
    /// The bytes to seal are not those of the announced length.
    #[error("chunk {chunk} has {actual} bytes, expected {expected}: the goods changed while being sent")]
    WrongChunkLength {
        /// Which chunk.
        chunk: u64,
        /// Bytes the chunk must have.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
}

/// How goods of some length fall into chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkPlan {
    length_bytes: u64,
}

impl ChunkPlan {
    /// The plan for goods of `length_bytes`.
    ///
    /// # Errors
    /// [`GoodsError::TooLarge`].
    pub fn new(length_bytes: u64) -> Result<Self, GoodsError> {
        if length_bytes > GOODS_BYTES_MAX { Err(GoodsError::TooLarge(length_bytes)) } else { Ok(Self { length_bytes }) }
    }

    /// Number of chunks; at least one.
    pub fn chunks(&self) -> u64 {
        self.length_bytes.div_ceil(GOODS_CHUNK_BYTES as u64).max(1)
    }

    /// Bytes of goods in chunk `chunk`, or `None` beyond the last.
    pub fn chunk_bytes(&self, chunk: u64) -> Option<usize> {
        let before = chunk.checked_mul(GOODS_CHUNK_BYTES as u64)?;
        (chunk < self.chunks()).then(|| (self.length_bytes - before).min(GOODS_CHUNK_BYTES as u64) as usize)
    }

    /// Whether `chunk` is the last.
    pub fn is_last(&self, chunk: u64) -> bool {
        chunk + 1 == self.chunks()
    }

    /// Sealed bytes from chunk `first` to the end.
    pub fn sealed_bytes_from(&self, first: u64) -> Option<u64> {
        let before = first.checked_mul(GOODS_CHUNK_BYTES as u64)?;
        let chunks = self.chunks().checked_sub(first).filter(|chunks| *chunks > 0)?;
        Some(self.length_bytes - before + chunks * SEAL_TAG_BYTES as u64)
    }
}

fn nonce(chunk: u64, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&chunk.to_le_bytes());
    nonce[8] = u8::from(last);
    nonce
}

/// Seals goods chunk by chunk, from any chunk on.
pub struct GoodsSealer {
    cipher: Aes256GcmSiv,
    plan: ChunkPlan,
    next: u64,
}

impl GoodsSealer {
    /// A sealer that begins with chunk `first`.
    ///
    /// # Errors
    /// [`GoodsError::NoSuchChunk`].
    pub fn new(key: &GoodsKey, plan: ChunkPlan, first: u64) -> Result<Self, GoodsError> {
        if first >= plan.chunks() {
            return Err(GoodsError::NoSuchChunk(first));
        }
        Ok(Self { cipher: Aes256GcmSiv::new(key.expose().into()), plan, next: first })
    }

    /// Bytes of goods that the next chunk takes; `None` after the last.
    pub fn wants_bytes(&self) -> Option<usize> {
        self.plan.chunk_bytes(self.next)
    }

    /// Seals the next chunk in place: `chunk` is goods before and ciphertext with tag after.
    ///
    /// # Errors
    /// [`GoodsError::WrongChunkLength`], [`GoodsError::NoSuchChunk`] after the last.
    pub fn seal(&mut self, chunk: &mut Vec<u8>) -> Result<(), GoodsError> {
        let expected = self.wants_bytes().ok_or(GoodsError::NoSuchChunk(self.next))?;
        if chunk.len() != expected {
            return Err(GoodsError::WrongChunkLength { chunk: self.next, expected, actual: chunk.len() });
        }
        let nonce = nonce(self.next, self.plan.is_last(self.next));
        self.cipher.encrypt_in_place(&nonce.into(), b"", chunk).expect("a chunk is far below the limit of the cipher");
        self.next += 1;
        Ok(())
    }
}

impl std::fmt::Debug for GoodsSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GoodsSealer(next {}, {:?})", self.next, self.plan)
    }
}

/// Opens goods as their bytes arrive, in pieces of any size.
pub struct GoodsOpener {
    cipher: Aes256GcmSiv,
    plan: ChunkPlan,
    next: u64,
    pending: Vec<u8>,
}

impl GoodsOpener {
    /// An opener whose first byte is that of chunk `first`.
    ///
    /// # Errors
    /// [`GoodsError::NoSuchChunk`].
    pub fn new(key: &GoodsKey, plan: ChunkPlan, first: u64) -> Result<Self, GoodsError> {
        if first >= plan.chunks() {
            return Err(GoodsError::NoSuchChunk(first));
        }
        let pending = Vec::with_capacity(SEALED_CHUNK_BYTES);
        Ok(Self { cipher: Aes256GcmSiv::new(key.expose().into()), plan, next: first, pending })
    }

    /// Takes bytes as they arrived and hands each opened chunk to `chunk`, in order.
    ///
    /// # Errors
    /// [`GoodsError::DoesNotOpen`], [`GoodsError::TrailingBytes`], or what `chunk` returns; the opener is of no further
    /// use then, and the download is resumed from [`Self::next_chunk`].
    pub fn push<E: From<GoodsError>>(
        &mut self,
        mut bytes: &[u8],
        mut chunk: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let Some(expected) = self.plan.chunk_bytes(self.next) else { return Err(GoodsError::TrailingBytes.into()) };
            let missing = expected + SEAL_TAG_BYTES - self.pending.len();
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.pending.extend_from_slice(taken);
            bytes = rest;
            if self.pending.len() == expected + SEAL_TAG_BYTES {
                let nonce = nonce(self.next, self.plan.is_last(self.next));
                let opened = self.cipher.decrypt(&nonce.into(), &self.pending[..]);
                chunk(&opened.map_err(|_| GoodsError::DoesNotOpen { chunk: self.next })?)?;
                self.pending.clear();
                self.next += 1;
            }
        }
        Ok(())
    }

    /// The chunk that is opened next: where an interrupted download resumes.
    pub fn next_chunk(&self) -> u64 {
        self.next
    }

    /// Whether the last chunk was opened.
    pub fn is_complete(&self) -> bool {
        self.next == self.plan.chunks() && self.pending.is_empty()
    }

    /// Says that no bytes follow.
    ///
    /// # Errors
    /// [`GoodsError::Truncated`] before the last chunk was opened.
    pub fn finish(self) -> Result<(), GoodsError> {
        if self.is_complete() { Ok(()) } else { Err(GoodsError::Truncated) }
    }
}

impl std::fmt::Debug for GoodsOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GoodsOpener(next {}, {:?})", self.next, self.plan)
    }
}

/// Computes the digest of goods in clear: the tagged hash of all their bytes.
#[derive(Clone, Debug)]
pub struct GoodsHasher {
    hasher: blake3::Hasher,
    length_bytes: u64,
}

impl Default for GoodsHasher {
    fn default() -> Self {
        Self { hasher: Tagged::new(Purpose::GOODS).hasher(), length_bytes: 0 }
    }
}

impl GoodsHasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length_bytes += bytes.len() as u64;
    }

    /// Bytes added so far.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// The digest of everything added.
    pub fn finish(&self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }
}

/// The digest of goods that are in memory.
pub fn digest(goods: &[u8]) -> Digest {
    let mut hasher = GoodsHasher::default();
    hasher.update(goods);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> GoodsKey {
        GoodsKey::from_bytes([byte; 32])
    }

    fn goods(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    fn seal(goods: &[u8], key_byte: u8, first: u64) -> Vec<Vec<u8>> {
        let plan = ChunkPlan::new(goods.len() as u64).unwrap();
        let mut sealer = GoodsSealer::new(&key(key_byte), plan, first).unwrap();
        let mut rest = &goods[first as usize * GOODS_CHUNK_BYTES..];
        let mut sealed = Vec::new();
        while let Some(bytes) = sealer.wants_bytes() {
            let (chunk, after) = rest.split_at(bytes);
            let mut chunk = chunk.to_vec();
            sealer.seal(&mut chunk).unwrap();
            sealed.push(chunk);
            rest = after;
        }
        sealed
    }

    fn open(length: usize, key_byte: u8, first: u64, bytes: &[u8], piece: usize) -> Result<Vec<u8>, GoodsError> {
        let plan = ChunkPlan::new(length as u64).unwrap();
        let mut opener = GoodsOpener::new(&key(key_byte), plan, first)?;
        let mut opened = Vec::new();
        for part in bytes.chunks(piece) {
            opener.push::<GoodsError>(part, |chunk| {
                opened.extend_from_slice(chunk);
                Ok(())
            })?;
        }
        opener.finish().map(|()| opened)
    }

    // spec: K-87, K-88
    #[test]
    fn goods_of_every_size_round_trip_however_they_arrive() {
        for length in [0, 1, GOODS_CHUNK_BYTES - 1, GOODS_CHUNK_BYTES, GOODS_CHUNK_BYTES + 1, 3 * GOODS_CHUNK_BYTES] {
            let goods = goods(length);
            let sealed = seal(&goods, 1, 0).concat();
            let plan = ChunkPlan::new(length as u64).unwrap();
            assert_eq!(plan.sealed_bytes_from(0), Some(sealed.len() as u64));
            for piece in [1_000, 65_552, 1 << 20] {
                assert_eq!(open(length, 1, 0, &sealed, piece).as_ref(), Ok(&goods), "{length} in pieces of {piece}");
            }
            assert!(matches!(open(length, 2, 0, &sealed, 4096), Err(GoodsError::DoesNotOpen { chunk: 0 })));
        }
    }

    #[test]
    fn truncated_reordered_repeated_and_extended_goods_are_noticed() {
        let length = 2 * GOODS_CHUNK_BYTES + 10;
        let sealed = seal(&goods(length), 1, 0);
        let open = |parts: &[&[u8]]| open(length, 1, 0, &parts.concat(), 4096);
        let (a, b, c) = (&sealed[0][..], &sealed[1][..], &sealed[2][..]);
        assert!(open(&[a, b, c]).is_ok());
        assert_eq!(open(&[a, b]), Err(GoodsError::Truncated));
        assert_eq!(open(&[a, b, &c[..c.len() - 1]]), Err(GoodsError::Truncated));
        assert_eq!(open(&[b, a, c]), Err(GoodsError::DoesNotOpen { chunk: 0 }));
        assert_eq!(open(&[a, a, c]), Err(GoodsError::DoesNotOpen { chunk: 1 }));
        assert_eq!(open(&[a, b, c, &[0]]), Err(GoodsError::TrailingBytes));
        // Whoever is told a shorter length does not take the middle for the end.
        let shorter = super::tests::open(2 * GOODS_CHUNK_BYTES, 1, 0, &[a, b].concat(), 4096);
        assert_eq!(shorter, Err(GoodsError::DoesNotOpen { chunk: 1 }));
    }

    #[test]
    fn downloads_resume_from_any_chunk() {
        let length = 2 * GOODS_CHUNK_BYTES + 10;
        let goods = goods(length);
        for first in 0..3 {
            let opened = open(length, 1, first, &seal(&goods, 1, first).concat(), 4096).unwrap();
            assert_eq!(opened, goods[first as usize * GOODS_CHUNK_BYTES..]);
        }
        let plan = ChunkPlan::new(length as u64).unwrap();
        assert_eq!(GoodsSealer::new(&key(1), plan, 3).err(), Some(GoodsError::NoSuchChunk(3)));
        assert_eq!((plan.sealed_bytes_from(2), plan.sealed_bytes_from(3)), (Some(26), None));
        assert!(ChunkPlan::new(GOODS_BYTES_MAX + 1).is_err());
        assert_eq!(ChunkPlan::new(7).unwrap().chunk_bytes(u64::MAX), None);
    }

    // spec: K-93
    #[test]
    fn another_key_gives_other_ciphertext() {
        let goods = goods(100);
        assert_ne!(seal(&goods, 1, 0), seal(&goods, 2, 0));
    }

    #[test]
    fn bytes_are_frozen() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../vectors/goods.json")).unwrap();
        assert_eq!(vectors["digest"], digest(b"a song").to_string());
        assert_eq!(vectors["sealed"], hex::encode(seal(b"a song", 1, 0).concat()));
        let second = &seal(&goods(GOODS_CHUNK_BYTES + 6), 1, 0)[1];
        assert_eq!(vectors["sealed_second_chunk"], hex::encode(second));
    }

    #[test]
    fn a_sealer_takes_exactly_the_announced_bytes() {
        let plan = ChunkPlan::new(10).unwrap();
        let mut sealer = GoodsSealer::new(&key(1), plan, 0).unwrap();
        assert!(matches!(
            sealer.seal(&mut vec![0; 9]),
            Err(GoodsError::WrongChunkLength { expected: 10, actual: 9, .. })
        ));
        assert!(sealer.seal(&mut vec![0; 10]).is_ok());
        assert_eq!(sealer.seal(&mut vec![0; 10]), Err(GoodsError::NoSuchChunk(1)));
    }
}
