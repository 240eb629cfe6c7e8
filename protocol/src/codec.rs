//! Bytes to values and back, so that one value has exactly one encoding.
//!
//! Fixed-size messages are [`Fixed`]: rkyv, little endian, unaligned, no padding, offsets in `docs/protocol.md`.
//! Variable ones are [`Canonical`]: borsh with a length limit; decoding re-encodes and compares.

/// Bytes that are not a valid encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too short, too long, or followed by further bytes.
    #[error("{what} is {actual} bytes long, expected {expected}")]
    Length {
        /// What was decoded.
        what: &'static str,
        /// The length or the longest length permitted.
        expected: usize,
        /// The length received.
        actual: usize,
    },
    /// A field holds something that is no value of its type.
    #[error("{what} holds an invalid {field}")]
    Field {
        /// What was decoded.
        what: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// Made by another version of the protocol.
    #[error("{what} has version {version}, this program speaks version {expected}: update the older side")]
    Version {
        /// What was decoded.
        what: &'static str,
        /// The version received.
        version: u8,
        /// The version spoken here.
        expected: u8,
    },
    /// Made with another cryptographic suite.
    #[error("{what} uses cryptographic suite {suite}, this program knows suite {expected}: update the older side")]
    Suite {
        /// What was decoded.
        what: &'static str,
        /// The suite received.
        suite: u8,
        /// The suite known here.
        expected: u8,
    },
    /// A value in an encoding other than its one canonical encoding.
    #[error("{what} is not in canonical form")]
    NotCanonical {
        /// What was decoded.
        what: &'static str,
    },
}

impl DecodeError {
    /// What a peer is told of it: one reason for another version, one for another suite, one for all else.
    pub(crate) fn tell<T>(&self, malformed: T, version: T, suite: T) -> T {
        match self {
            Self::Version { .. } => version,
            Self::Suite { .. } => suite,
            Self::Length { .. } | Self::Field { .. } | Self::NotCanonical { .. } => malformed,
        }
    }
}

/// A message of fixed size: rkyv bytes without pointers or padding.
pub trait Fixed: Sized {
    /// The exact size in bytes.
    const BYTES: usize;
    /// Name in error messages.
    const NAME: &'static str;

    /// Writes the encoding into the first [`Self::BYTES`] bytes of `out`.
    ///
    /// # Panics
    /// If `out` is shorter: a mistake of our own code.
    fn encode_into(&self, out: &mut [u8]);

    /// The encoding.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::BYTES];
        self.encode_into(&mut bytes);
        bytes
    }

    /// Reads a value from exactly [`Self::BYTES`] bytes, every field checked.
    ///
    /// # Errors
    /// [`DecodeError`] for any other length and any field that is no value of its type.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// Implements [`Fixed`] for a struct that derives rkyv's traits; `check` judges the decoded value.
macro_rules! fixed {
    ($type:ty, $name:literal, $check:expr) => {
        impl $crate::codec::Fixed for $type {
            const BYTES: usize = core::mem::size_of::<rkyv::Archived<$type>>();
            const NAME: &'static str = $name;

            fn encode_into(&self, out: &mut [u8]) {
                let mut buffer = rkyv::ser::writer::Buffer::from(&mut out[..Self::BYTES]);
                rkyv::api::serialize_using::<_, rkyv::rancor::Panic>(self, &mut buffer)
                    .expect("a fixed message fits its size");
            }

            fn decode(bytes: &[u8]) -> Result<Self, $crate::codec::DecodeError> {
                if bytes.len() != Self::BYTES {
                    return Err($crate::codec::DecodeError::Length {
                        what: $name,
                        expected: Self::BYTES,
                        actual: bytes.len(),
                    });
                }
                let value: Self = rkyv::api::low::from_bytes::<$type, rkyv::rancor::Failure>(bytes)
                    .map_err(|_| $crate::codec::DecodeError::Field { what: $name, field: "value" })?;
                let check: fn(&Self) -> Result<(), $crate::codec::DecodeError> = $check;
                check(&value)?;
                Ok(value)
            }
        }

        const _: () = assert!(core::mem::align_of::<rkyv::Archived<$type>>() == 1, "fixed messages have no padding");
    };
}
pub(crate) use fixed;

/// A message of variable size: borsh within a limit, one encoding per value.
pub trait Canonical: borsh::BorshSerialize + borsh::BorshDeserialize + Sized {
    /// Name in error messages.
    const NAME: &'static str;
    /// Longest encoding accepted, in bytes.
    const BYTES_MAX: usize;

    /// Judges a decoded value: bounds, versions, texts.
    ///
    /// # Errors
    /// [`DecodeError`] naming the field.
    fn check(&self) -> Result<(), DecodeError>;

    /// The canonical encoding.
    fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("encoding into memory does not fail")
    }

    /// Reads a value: within the limit, no trailing bytes, canonical, every field checked.
    ///
    /// # Errors
    /// [`DecodeError`].
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(DecodeError::Length { what: Self::NAME, expected: Self::BYTES_MAX, actual: bytes.len() });
        }
        let value =
            Self::try_from_slice(bytes).map_err(|_| DecodeError::Field { what: Self::NAME, field: "encoding" })?;
        if value.encode() != bytes {
            return Err(DecodeError::NotCanonical { what: Self::NAME });
        }
        value.check()?;
        Ok(value)
    }
}

/// Refuses other versions and suites with an error that says which.
pub(crate) fn check_version(what: &'static str, version: u8, expected: u8, suite: u8) -> Result<(), DecodeError> {
    if version != expected {
        return Err(DecodeError::Version { what, version, expected });
    }
    if suite != crate::limits::SUITE {
        return Err(DecodeError::Suite { what, suite, expected: crate::limits::SUITE });
    }
    Ok(())
}

/// Refuses texts that are too long or hold control characters: they are shown to people in terminals.
pub(crate) fn check_text(
    what: &'static str,
    field: &'static str,
    text: &str,
    bytes_max: usize,
) -> Result<(), DecodeError> {
    let control = text.chars().any(|character| {
        character.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&character)
            || ('\u{2066}'..='\u{2069}').contains(&character)
    });
    if text.len() > bytes_max || control {
        return Err(DecodeError::Field { what, field });
    }
    Ok(())
}
