//! Keys: their order is the order of what they name.

use protocol::codec::DecodeError;
use protocol::ids::{AccountId, InstrumentId, MerchantId};
use protocol::ledger::instrument::Place;
use protocol::ledger::posting::Party;
use protocol::money::Asset;

use super::super::super::records::BalanceKey;
use super::{DeskKey, JournalPlace, MetaKey, exactly, length};

/// What is a key of a column family. Keys are at most 255 bytes.
pub(in crate::store::rocksdb) trait Key: Sized {
    /// Appends the bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::write`] does not write.
    fn read(bytes: &[u8]) -> Result<Self, DecodeError>;
}

macro_rules! id_key {
    ($($id:ident),*) => {
        $(impl Key for $id {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }

            fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
                Ok(Self(exactly(stringify!($id), bytes)?))
            }
        })*
    };
}
id_key!(AccountId, InstrumentId, MerchantId);

/// Numbers of batches and commits.
impl Key for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::from_be_bytes(exactly("number", bytes)?))
    }
}

impl Key for Place {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.batch.to_be_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((batch, index)) = bytes.split_at_checked(8) else { return Err(length("place", 10, bytes.len())) };
        Ok(Self {
            batch: u64::from_be_bytes(exactly("place", batch)?),
            index: u16::from_be_bytes(exactly("place", index)?),
        })
    }
}

impl Key for JournalPlace {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.commit.to_be_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "journal place";
        let Some((commit, index)) = bytes.split_at_checked(8) else { return Err(length(what, 12, bytes.len())) };
        Ok(Self {
            commit: u64::from_be_bytes(exactly(what, commit)?),
            index: u32::from_be_bytes(exactly(what, index)?),
        })
    }
}

impl Key for DeskKey {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() || bytes.len() > 255 {
            return Err(DecodeError::Field { what: "desk record", field: "key" });
        }
        Ok(Self(bytes.to_vec()))
    }
}

impl MetaKey {
    const ALL: [Self; 4] = [Self::Format, Self::Realm, Self::Clock, Self::Head];

    fn text(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Realm => "realm",
            Self::Clock => "clock",
            Self::Head => "head",
        }
    }
}

impl Key for MetaKey {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text().as_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let known = Self::ALL.into_iter().find(|key| key.text().as_bytes() == bytes);
        known.ok_or(DecodeError::Field { what: "meta record", field: "key" })
    }
}

const PARTY_CUSTOMER: u8 = 0;
const PARTY_MERCHANT: u8 = 1;
const PARTY_FEES: u8 = 2;
const PARTY_FUNDING: u8 = 3;

/// Party (tag, and 16 bytes of id where it has one), asset, shard.
impl Key for BalanceKey {
    fn write(&self, out: &mut Vec<u8>) {
        match self.party {
            Party::Customer(account) => {
                out.push(PARTY_CUSTOMER);
                out.extend_from_slice(&account.0);
            }
            Party::Merchant(merchant) => {
                out.push(PARTY_MERCHANT);
                out.extend_from_slice(&merchant.0);
            }
            Party::Fees => out.push(PARTY_FEES),
            Party::Funding => out.push(PARTY_FUNDING),
        }
        out.extend_from_slice(&self.asset.0);
        out.extend_from_slice(&self.shard.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "balance key";
        let wrong = |field| DecodeError::Field { what, field };
        let Some((tag, rest)) = bytes.split_first() else { return Err(length(what, 11, 0)) };
        let id_bytes = if matches!(*tag, PARTY_CUSTOMER | PARTY_MERCHANT) { 16 } else { 0 };
        let Some((id, rest)) = rest.split_at_checked(id_bytes) else { return Err(length(what, 27, bytes.len())) };
        let party = match *tag {
            PARTY_CUSTOMER => Party::Customer(AccountId(exactly(what, id)?)),
            PARTY_MERCHANT => Party::Merchant(MerchantId(exactly(what, id)?)),
            PARTY_FEES => Party::Fees,
            PARTY_FUNDING => Party::Funding,
            _ => return Err(wrong("party")),
        };
        let Some((asset, shard)) = rest.split_at_checked(8) else { return Err(length(what, 11, bytes.len())) };
        let asset = Asset(exactly(what, asset)?);
        if !asset.is_valid() {
            return Err(wrong("asset"));
        }
        Ok(Self { party, asset, shard: u16::from_be_bytes(exactly(what, shard)?) })
    }
}
