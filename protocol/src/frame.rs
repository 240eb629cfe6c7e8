//! Frames between CTS and TPS: long-lived streams carry many requests, answered in any order by their id.
//!
//! A frame is `length: u16` (of the message), `request id: u32`, message; both numbers little endian. Every message
//! begins with version, suite and message type.

use crate::codec::DecodeError;
use crate::limits::{FRAME_MESSAGE_BYTES_MAX, PROTOCOL_VERSION, SUITE};

/// Bytes before the message.
pub const FRAME_HEADER_BYTES: usize = 6;
/// Version, suite, message type.
pub const MESSAGE_PREFIX_BYTES: usize = 3;

/// What a message is: its third byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum MessageType {
    /// CTS to TPS: [`crate::request`].
    RequestForPayment = 0x01,
    /// TPS to CTS: [`crate::response`].
    Response = 0x02,
    /// TPS to CTS: [`crate::error`].
    Error = 0x03,
    /// CTS to TPS: [`crate::enrolment`].
    Activation = 0x10,
    /// TPS to CTS: [`crate::enrolment`].
    ActivationAnswer = 0x11,
    /// CTS to TPS: [`crate::key_set::refresh`].
    KeySetRequest = 0x20,
    /// TPS to CTS: [`crate::key_set::refresh`].
    KeySetPart = 0x21,
}

impl MessageType {
    /// All types.
    pub const ALL: [Self; 7] = [
        Self::RequestForPayment,
        Self::Response,
        Self::Error,
        Self::Activation,
        Self::ActivationAnswer,
        Self::KeySetRequest,
        Self::KeySetPart,
    ];

    /// The first bytes of every message of this type.
    pub const fn prefix(self) -> [u8; MESSAGE_PREFIX_BYTES] {
        [PROTOCOL_VERSION, SUITE, self as u8]
    }

    /// The type of `message`.
    ///
    /// # Errors
    /// [`DecodeError`] for another version, another suite, an unknown type, or too few bytes.
    pub fn of(message: &[u8]) -> Result<Self, DecodeError> {
        let [version, suite, kind, ..] = message else {
            return Err(DecodeError::Length { what: "message", expected: MESSAGE_PREFIX_BYTES, actual: message.len() });
        };
        crate::codec::check_version("message", *version, PROTOCOL_VERSION, *suite)?;
        Self::ALL
            .into_iter()
            .find(|known| *known as u8 == *kind)
            .ok_or(DecodeError::Field { what: "message", field: "type" })
    }
}

/// A frame announces more than any message may have: the stream cannot be trusted further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame announces {0} bytes, at most {FRAME_MESSAGE_BYTES_MAX} are permitted")]
pub struct FrameTooLong(pub usize);

/// One frame at the beginning of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Chosen by the CTS; the answer carries the same.
    pub request_id: u32,
    /// The message.
    pub message: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Bytes of the whole frame.
    pub fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.message.len()
    }

    /// The first frame of `buffer`, or `None` while it is incomplete.
    ///
    /// # Errors
    /// [`FrameTooLong`]; the caller closes the stream.
    pub fn first(buffer: &'a [u8]) -> Result<Option<Self>, FrameTooLong> {
        let Some((header, rest)) = buffer.split_first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
        let [l0, l1, i0, i1, i2, i3] = *header;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if length > FRAME_MESSAGE_BYTES_MAX {
            return Err(FrameTooLong(length));
        }
        Ok(rest.get(..length).map(|message| Self { request_id: u32::from_le_bytes([i0, i1, i2, i3]), message }))
    }
}

/// The bytes that go before a message of `length` bytes.
///
/// # Panics
/// If `length` is beyond [`FRAME_MESSAGE_BYTES_MAX`]: a mistake of our own code.
pub fn frame_header(request_id: u32, length: usize) -> [u8; FRAME_HEADER_BYTES] {
    assert!(length <= FRAME_MESSAGE_BYTES_MAX, "messages are bounded");
    let [l0, l1] = (length as u16).to_le_bytes();
    let [i0, i1, i2, i3] = request_id.to_le_bytes();
    [l0, l1, i0, i1, i2, i3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_however_they_arrive() {
        let mut bytes = Vec::new();
        for (id, message) in [(7u32, &b"abc"[..]), (8, b""), (u32::MAX, &[9; FRAME_MESSAGE_BYTES_MAX])] {
            bytes.extend(frame_header(id, message.len()));
            bytes.extend(message);
        }
        assert_eq!(Frame::first(&bytes[..FRAME_HEADER_BYTES + 2]), Ok(None));
        let mut rest = &bytes[..];
        let mut ids = Vec::new();
        while let Some(frame) = Frame::first(rest).unwrap() {
            ids.push(frame.request_id);
            rest = &rest[frame.bytes()..];
        }
        assert_eq!(ids, [7, 8, u32::MAX]);
        assert!(rest.is_empty());
        assert_eq!(Frame::first(&[0xff, 0xff, 0, 0, 0, 0]), Err(FrameTooLong(0xffff)));
    }

    #[test]
    fn message_types_are_told_and_strangers_refused() {
        for kind in MessageType::ALL {
            assert_eq!(MessageType::of(&kind.prefix()), Ok(kind));
        }
        for wrong in [&[][..], &[1, 1], &[2, 1, 1], &[1, 2, 1], &[1, 1, 0], &[1, 1, 0xff]] {
            assert!(MessageType::of(wrong).is_err(), "{wrong:?}");
        }
    }
}
