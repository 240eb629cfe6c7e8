//! Values.

use borsh::BorshDeserialize;
use protocol::codec::{DecodeError, Fixed};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::InstrumentState;
use protocol::money::Amount;
use protocol::proof::BatchHeader;

use super::super::super::records::{BatchRecord, EnrolmentRecord, JournalRecord, MerchantRecord, PaymentRecord};
use super::{DeskValue, MetaValue, exactly, length};

/// What is a value of a column family.
pub(in crate::store::rocksdb) trait Value: Sized {
    /// Appends the bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the bytes, every field checked.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::write`] does not write.
    fn read(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// A value of fixed size: rkyv, checked by `check`.
macro_rules! fixed_value {
    ($type:ty, $name:literal, $check:expr) => {
        impl Value for $type {
            fn write(&self, out: &mut Vec<u8>) {
                const BYTES: usize = core::mem::size_of::<rkyv::Archived<$type>>();
                let start = out.len();
                out.resize(start + BYTES, 0);
                write_fixed(self, &mut out[start..]);
            }

            fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
                const BYTES: usize = core::mem::size_of::<rkyv::Archived<$type>>();
                let bytes: [u8; BYTES] = exactly($name, bytes)?;
                let value: Self = rkyv::api::low::from_bytes::<$type, rkyv::rancor::Failure>(&bytes)
                    .map_err(|_| DecodeError::Field { what: $name, field: "value" })?;
                let mut again = [0; BYTES];
                write_fixed(&value, &mut again);
                if again != bytes {
                    return Err(DecodeError::NotCanonical { what: $name });
                }
                let check: fn(&Self) -> Option<&'static str> = $check;
                match check(&value) {
                    Some(field) => Err(DecodeError::Field { what: $name, field }),
                    None => Ok(value),
                }
            }
        }

        const _: () = assert!(core::mem::align_of::<rkyv::Archived<$type>>() == 1, "fixed records have no padding");
    };
}

/// Writes the rkyv bytes of a value into `out`, which has exactly their length.
fn write_fixed<T>(value: &T, out: &mut [u8])
where
    T: for<'a> rkyv::Serialize<rkyv::rancor::Strategy<rkyv::ser::writer::Buffer<'a>, rkyv::rancor::Panic>>,
{
    let mut buffer = rkyv::ser::writer::Buffer::from(out);
    let written = rkyv::api::serialize_using::<_, rkyv::rancor::Panic>(value, &mut buffer);
    written.expect("a fixed record fits its size");
}

fixed_value!(Account, "account", |account| {
    if account.balance < 0 {
        return Some("balance");
    }
    (!account.asset.is_valid()).then_some("asset")
});

fixed_value!(InstrumentState, "instrument state", |_| None);

fixed_value!(PaymentRecord, "payment", |payment| {
    if !payment.reason.consumes_count() {
        return Some("reason");
    }
    if Amount::new(payment.amount.units()).is_err() {
        return Some("amount");
    }
    (!payment.asset.is_valid()).then_some("asset")
});

/// Header, signature, leaves; their number stands in the header.
impl Value for BatchRecord {
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + BatchHeader::BYTES, 0);
        self.header.encode_into(&mut out[start..]);
        out.extend_from_slice(&self.signature);
        for leaf in &self.leaves {
            out.extend_from_slice(leaf);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "batch";
        let least = BatchHeader::BYTES + 64;
        let Some((header, rest)) = bytes.split_at_checked(BatchHeader::BYTES) else {
            return Err(length(what, least, bytes.len()));
        };
        let Some((signature, leaves)) = rest.split_at_checked(64) else { return Err(length(what, least, bytes.len())) };
        let header = BatchHeader::decode(header)?;
        let (leaves, odd) = leaves.as_chunks::<32>();
        if leaves.len() != usize::from(header.size) || !odd.is_empty() {
            return Err(length(what, least + 32 * usize::from(header.size), bytes.len()));
        }
        Ok(Self { header, signature: exactly(what, signature)?, leaves: leaves.to_vec() })
    }
}

/// A value of variable size: borsh, one encoding per value.
macro_rules! borsh_value {
    ($type:ty, $name:literal) => {
        impl Value for $type {
            fn write(&self, out: &mut Vec<u8>) {
                borsh::to_writer(out, self).expect("writing into memory does not fail");
            }

            fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
                let value =
                    Self::try_from_slice(bytes).map_err(|_| DecodeError::Field { what: $name, field: "encoding" })?;
                let mut again = Vec::with_capacity(bytes.len());
                value.write(&mut again);
                if again != bytes {
                    return Err(DecodeError::NotCanonical { what: $name });
                }
                Ok(value)
            }
        }
    };
}

borsh_value!(EnrolmentRecord, "enrolment");
borsh_value!(MerchantRecord, "merchant");
borsh_value!(JournalRecord, "journal record");

/// Balances, in smallest units.
impl Value for i128 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::from_le_bytes(exactly("balance", bytes)?))
    }
}

/// References of the funding agency: UTF-8.
impl Value for String {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Field { what: "reference", field: "text" })?;
        Ok(text.to_owned())
    }
}

/// Values of the hash chain.
impl Value for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        exactly("chain value", bytes)
    }
}

impl Value for DeskValue {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }
}

impl Value for MetaValue {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }
}
