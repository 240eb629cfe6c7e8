//! How a customer fetches the newest key set from the TPS, over the frames of [`crate::frame`].
//!
//! A frame is smaller than a key set may be, so a set travels in parts. Nothing in a request says who asks or which set is
//! pinned: all customers ask for the same bytes. Nothing is believed of an answer but what [`super::SignedKeySet::verify`]
//! finds in the whole.

use crate::codec::{Canonical, DecodeError};
use crate::frame::MessageType;
use crate::limits::KEY_SET_BYTES_MAX;

/// Bytes of a key set in one part; the last part holds what is left.
pub const KEY_SET_PART_BYTES: usize = 2_000;
/// Most parts of a key set.
pub const KEY_SET_PARTS_MAX: usize = KEY_SET_BYTES_MAX.div_ceil(KEY_SET_PART_BYTES);

/// CTS to TPS: asks for one part of the newest key set for customers. Fields: prefix (3 bytes, type 0x20), part (u8, from 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct KeySetRequest {
    prefix: [u8; 3],
    /// Which part, counted from 0.
    pub part: u8,
}

impl KeySetRequest {
    /// Asks for part `part`.
    pub fn new(part: u8) -> Self {
        Self { prefix: MessageType::KeySetRequest.prefix(), part }
    }
}

impl Canonical for KeySetRequest {
    const NAME: &'static str = "key set request";
    const BYTES_MAX: usize = 4;

    fn check(&self) -> Result<(), DecodeError> {
        check_type(Self::NAME, self.prefix, MessageType::KeySetRequest)?;
        if usize::from(self.part) < KEY_SET_PARTS_MAX {
            Ok(())
        } else {
            Err(DecodeError::Field { what: Self::NAME, field: "part" })
        }
    }
}

fn check_type(what: &'static str, prefix: [u8; 3], expected: MessageType) -> Result<(), DecodeError> {
    if MessageType::of(&prefix)? == expected { Ok(()) } else { Err(DecodeError::Field { what, field: "message type" }) }
}

/// TPS to CTS: one part of the signed key set. Fields: prefix (3 bytes, type 0x21), part (u8, from 0), number of parts (u8),
/// bytes (length as u32, and that many).
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct KeySetPart {
    prefix: [u8; 3],
    /// Which part, counted from 0.
    pub part: u8,
    /// How many parts the set has.
    pub parts: u8,
    /// This part's bytes: [`KEY_SET_PART_BYTES`], or what is left in the last part.
    pub bytes: Vec<u8>,
}

impl KeySetPart {
    /// Part `part` of an encoded set; `None` where the set has no such part or is no set at all by its length.
    pub fn of(set: &[u8], part: u8) -> Option<Self> {
        let parts = u8::try_from(set.len().div_ceil(KEY_SET_PART_BYTES)).ok()?;
        let bytes = set.chunks(KEY_SET_PART_BYTES).nth(usize::from(part))?.to_vec();
        let cut = Self { prefix: MessageType::KeySetPart.prefix(), part, parts, bytes };
        cut.check().is_ok().then_some(cut)
    }
}

impl Canonical for KeySetPart {
    const NAME: &'static str = "key set part";
    const BYTES_MAX: usize = 3 + 1 + 1 + 4 + KEY_SET_PART_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        let field = |field| Err(DecodeError::Field { what: Self::NAME, field });
        check_type(Self::NAME, self.prefix, MessageType::KeySetPart)?;
        if self.part >= self.parts || usize::from(self.parts) > KEY_SET_PARTS_MAX {
            return field("part");
        }
        let last = self.part + 1 == self.parts;
        let fits = if last { 1..=KEY_SET_PART_BYTES } else { KEY_SET_PART_BYTES..=KEY_SET_PART_BYTES }
            .contains(&self.bytes.len());
        if fits { Ok(()) } else { field("length") }
    }
}

/// Puts the parts of a set together again, on the customer's side.
#[derive(Clone, Debug, Default)]
pub struct KeySetParts {
    bytes: Vec<u8>,
    taken: u8,
    parts: Option<u8>,
}

impl KeySetParts {
    /// What to ask for next.
    pub fn next(&self) -> KeySetRequest {
        KeySetRequest::new(self.taken)
    }

    /// Takes the answer to [`Self::next`]; the encoded set once it is whole.
    ///
    /// # Errors
    /// [`DecodeError::Field`] for a part that was not asked for, or of another set than the parts before it.
    pub fn take(&mut self, part: KeySetPart) -> Result<Option<Vec<u8>>, DecodeError> {
        if part.part != self.taken || self.parts.is_some_and(|parts| parts != part.parts) {
            return Err(DecodeError::Field { what: KeySetPart::NAME, field: "part" });
        }
        self.parts = Some(part.parts);
        self.taken += 1;
        self.bytes.extend_from_slice(&part.bytes);
        Ok((self.taken == part.parts).then(|| std::mem::take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_MESSAGE_BYTES_MAX;

    #[test]
    fn sets_of_every_length_travel_in_parts_that_fit_a_frame() {
        for length in [1, KEY_SET_PART_BYTES - 1, KEY_SET_PART_BYTES, KEY_SET_PART_BYTES + 1, KEY_SET_BYTES_MAX] {
            let set: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let mut parts = KeySetParts::default();
            let whole = loop {
                let asked = KeySetRequest::decode(&parts.next().encode()).unwrap();
                let answer = KeySetPart::of(&set, asked.part).unwrap().encode();
                assert!(answer.len() <= FRAME_MESSAGE_BYTES_MAX);
                if let Some(whole) = parts.take(KeySetPart::decode(&answer).unwrap()).unwrap() {
                    break whole;
                }
            };
            assert_eq!(whole, set);
            assert_eq!(KeySetPart::of(&set, length.div_ceil(KEY_SET_PART_BYTES) as u8), None);
        }
        assert_eq!(KeySetPart::of(&[], 0), None);
        assert_eq!(KeySetPart::of(&vec![0; KEY_SET_BYTES_MAX + KEY_SET_PART_BYTES], 0), None);
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused() {
        let (long, short) = (vec![1; 3 * KEY_SET_PART_BYTES], vec![2; 2 * KEY_SET_PART_BYTES]);
        let mut parts = KeySetParts::default();
        assert!(parts.take(KeySetPart::of(&long, 1).unwrap()).is_err(), "not asked for");
        assert_eq!(parts.take(KeySetPart::of(&long, 0).unwrap()), Ok(None));
        assert!(parts.take(KeySetPart::of(&short, 1).unwrap()).is_err(), "of another set");
        for wrong in [
            KeySetPart { parts: 0, ..KeySetPart::of(&short, 0).unwrap() },
            KeySetPart { parts: KEY_SET_PARTS_MAX as u8 + 1, ..KeySetPart::of(&short, 0).unwrap() },
            KeySetPart { part: 2, ..KeySetPart::of(&short, 1).unwrap() },
            KeySetPart { bytes: vec![1], ..KeySetPart::of(&short, 0).unwrap() },
            KeySetPart { bytes: vec![], ..KeySetPart::of(&short, 1).unwrap() },
            KeySetPart { prefix: MessageType::KeySetRequest.prefix(), ..KeySetPart::of(&short, 0).unwrap() },
        ] {
            assert!(KeySetPart::decode(&wrong.encode()).is_err(), "{wrong:?}");
        }
        assert!(KeySetRequest::decode(&KeySetRequest::new(KEY_SET_PARTS_MAX as u8).encode()).is_err());
    }
}
