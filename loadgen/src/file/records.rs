//! Records of fixed size: how an instrument stands, and a prepared request. Numbers are little endian.

use protocol::request::REQUEST_BYTES;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::mix::Kind;

/// Bytes of one [`Standing`].
pub const STANDING_BYTES: usize = 32;
/// Bytes of one prepared request with its [`Meta`].
pub const REQUEST_RECORD_BYTES: usize = REQUEST_BYTES + META_BYTES;
const META_BYTES: usize = 32 + 4 + 1 + 5;

/// How an instrument stands: what its next request depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its last consumed count.
    pub last_count: u64,
    /// Sum of all modifier parts.
    pub modifier: u64,
    /// Spent so far, in smallest units.
    pub spent_units: u64,
    /// Wrong PINs in a row.
    pub pin_failures: u8,
    /// A request of it was never answered, or wrongly: what it depends on is unknown, so it is not used again.
    pub lost: bool,
}

impl Standing {
    /// The bytes in a file.
    pub fn to_bytes(self) -> [u8; STANDING_BYTES] {
        let mut bytes = [0; STANDING_BYTES];
        bytes[..8].copy_from_slice(&self.last_count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.modifier.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.spent_units.to_le_bytes());
        bytes[24] = self.pin_failures;
        bytes[25] = u8::from(self.lost);
        bytes
    }

    /// Reads the bytes of a file.
    pub fn from_bytes(bytes: &[u8; STANDING_BYTES]) -> Self {
        let number = |from: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(number)
        };
        Self {
            last_count: number(0),
            modifier: number(8),
            spent_units: number(16),
            pin_failures: bytes[24],
            lost: bytes[25] != 0,
        }
    }
}

/// What belongs to a prepared request besides its bytes.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Meta {
    /// The secret agreed with the TPS: with it and the bytes, the session is made again.
    pub shared: [u8; 32],
    /// Number of the instrument in the file.
    pub instrument: u32,
    /// What it must bring about.
    #[zeroize(skip)]
    pub kind: Kind,
}

/// Prepared requests: their bytes one after the other, as they go out, and what belongs to each.
#[derive(Default)]
pub struct Batch {
    /// [`REQUEST_BYTES`] of each.
    pub bytes: Vec<u8>,
    /// One per request.
    pub metas: Vec<Meta>,
}

impl Batch {
    /// Room for so many.
    pub fn with_capacity(requests: usize) -> Self {
        Self { bytes: Vec::with_capacity(requests * REQUEST_BYTES), metas: Vec::with_capacity(requests) }
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.metas.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// The bytes of one request.
    pub fn request(&self, index: usize) -> &[u8] {
        &self.bytes[index * REQUEST_BYTES..(index + 1) * REQUEST_BYTES]
    }

    /// Adds a request.
    pub fn push(&mut self, bytes: &[u8], meta: Meta) {
        debug_assert_eq!(bytes.len(), REQUEST_BYTES);
        self.bytes.extend_from_slice(bytes);
        self.metas.push(meta);
    }

    /// Adds all requests of another batch.
    pub fn append(&mut self, mut other: Self) {
        self.bytes.append(&mut other.bytes);
        self.metas.append(&mut other.metas);
    }

    /// Adds the records of a file; `None` where one is damaged.
    pub fn push_records(&mut self, records: &[u8]) -> Option<()> {
        for record in records.chunks_exact(REQUEST_RECORD_BYTES) {
            let (request, rest) = record.split_at(REQUEST_BYTES);
            let mut shared = [0; 32];
            shared.copy_from_slice(&rest[..32]);
            let instrument = u32::from_le_bytes([rest[32], rest[33], rest[34], rest[35]]);
            self.push(request, Meta { shared, instrument, kind: Kind::from_number(rest[36])? });
        }
        Some(())
    }

    /// The records as they stand in a file.
    pub fn to_records(&self) -> Vec<u8> {
        let mut records = Vec::with_capacity(self.len() * REQUEST_RECORD_BYTES);
        for (index, meta) in self.metas.iter().enumerate() {
            records.extend_from_slice(self.request(index));
            records.extend_from_slice(&meta.shared);
            records.extend_from_slice(&meta.instrument.to_le_bytes());
            records.extend_from_slice(&[meta.kind as u8, 0, 0, 0, 0, 0]);
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip() {
        let standing =
            Standing { last_count: 7, modifier: u64::MAX - 3, spent_units: 1 << 40, pin_failures: 3, lost: true };
        assert_eq!(Standing::from_bytes(&standing.to_bytes()), standing);
        assert_eq!(Standing::from_bytes(&[0; STANDING_BYTES]), Standing::default());

        let mut batch = Batch::default();
        for number in 0..3u8 {
            let meta =
                Meta { shared: [number; 32], instrument: 1 << (number * 8), kind: Kind::ALL[usize::from(number)] };
            batch.push(&[number + 1; REQUEST_BYTES], meta);
        }
        let records = batch.to_records();
        assert_eq!(records.len(), 3 * REQUEST_RECORD_BYTES);
        let mut again = Batch::default();
        again.push_records(&records).unwrap();
        assert!(again.bytes == batch.bytes && again.metas == batch.metas);
        let mut damaged = records;
        damaged[REQUEST_BYTES + 36] = 99;
        assert!(Batch::default().push_records(&damaged).is_none());
    }
}
