//! The bytes of keys and values. They are frozen: `tps/vectors/store/records.txt` holds an example of each, and a change of
//! any of them needs another [`FORMAT_VERSION`].
//!
//! Keys are big endian, so that their order is the order of what they name. Values of fixed size are rkyv without padding,
//! little endian, unaligned; of variable size borsh. One value has one encoding: whatever is read is encoded again
//! and compared.

mod keys;
mod values;

pub(super) use keys::Key;
pub(super) use values::Value;

use protocol::codec::DecodeError;

pub(super) use crate::store::records::JournalPlace;

/// Version of all bytes in this directory. A database of another version is not opened.
pub(super) const FORMAT_VERSION: u16 = 2;

/// The records of the column family `meta`, by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetaKey {
    /// [`FORMAT_VERSION`], 2 bytes; never changes its own encoding.
    Format,
    /// The realm, 16 bytes.
    Realm,
    /// Latest batch time, 8 bytes.
    Clock,
    /// Number of the last commit and the chain after it, 8 and 32 bytes.
    Head,
}

/// Bytes of a value of the column family `meta`; what they mean depends on the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetaValue(pub(super) Vec<u8>);

/// Kind and key of a desk's record; what it means is known to [`super::super::desk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeskKey(pub(super) Vec<u8>);

/// Bytes of a desk's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeskValue(pub(super) Vec<u8>);

fn length(what: &'static str, expected: usize, actual: usize) -> DecodeError {
    DecodeError::Length { what, expected, actual }
}

/// The bytes as an array, or an error that names `what`.
pub(super) fn exactly<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    <[u8; N]>::try_from(bytes).map_err(|_| length(what, N, bytes.len()))
}

#[cfg(test)]
mod tests;
