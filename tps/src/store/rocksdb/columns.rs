//! Column families with the types of their keys and values: nobody above writes bytes or names a family by text.

use std::ops::ControlFlow;

use ::rocksdb::{ColumnFamily, IteratorMode, ReadOptions, Snapshot, WriteBatch};
use protocol::codec::DecodeError;
use protocol::hash::{Purpose, Tagged};
use protocol::ids::{AccountId, InstrumentId, MerchantId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};

use super::super::StoreError;
use super::super::high_water::Point;
use super::super::records::{BalanceKey, BatchRecord, EnrolmentRecord, JournalRecord, MerchantRecord, PaymentRecord};
use super::disk::Disk;
use super::format::{DeskKey, DeskValue, JournalPlace, Key, MetaKey, MetaValue, Value};

/// A column family.
pub(super) trait Column {
    /// Its name in the database.
    const NAME: &'static str;
    /// Its number in a commit image, and its place in [`NAMES`].
    const NUMBER: u8;
    /// What its records are found by.
    type Key: Key;
    /// What they hold.
    type Value: Value;
}

macro_rules! columns {
    ($($(#[$doc:meta])* $column:ident = $number:literal, $name:literal, $key:ty => $value:ty;)*) => {
        $(
            $(#[$doc])*
            pub(super) enum $column {}

            impl Column for $column {
                const NAME: &'static str = $name;
                const NUMBER: u8 = $number;
                type Key = $key;
                type Value = $value;
            }
        )*

        /// Names of all column families, by number.
        pub(super) const NAMES: &[&str] = &[$($name),*];
        const _: () = {
            let numbers: &[u8] = &[$($number),*];
            let mut place = 0;
            while place < numbers.len() {
                assert!(numbers[place] as usize == place, "numbers are places");
                place += 1;
            }
        };
    };
}

columns! {
    /// About the database itself.
    Meta = 0, "meta", MetaKey => MetaValue;
    /// Accounts and their balances.
    Accounts = 1, "accounts", AccountId => Account;
    /// What the funding agency calls an account.
    References = 2, "references", AccountId => String;
    /// Instruments as enrolled.
    Enrolments = 3, "enrolments", InstrumentId => EnrolmentRecord;
    /// What payments change of an instrument.
    Instruments = 4, "instruments", InstrumentId => InstrumentState;
    /// Merchants as registered.
    Merchants = 5, "merchants", MerchantId => MerchantRecord;
    /// Balances of merchants and of the system's own accounts.
    Balances = 6, "balances", BalanceKey => i128;
    /// Signed batches.
    Batches = 7, "batches", u64 => BatchRecord;
    /// Consumed transactions.
    Payments = 8, "payments", Place => PaymentRecord;
    /// What the operator did.
    Journal = 9, "journal", JournalPlace => JournalRecord;
    /// The latest values of the hash chain over commits, by commit.
    Chain = 10, "chain", u64 => [u8; 32];
    /// Records of the desks.
    Desk = 11, "desk", DeskKey => DeskValue;
}

/// Handles of all column families, fetched once per commit or view.
pub(super) struct Handles<'a> {
    by_number: Vec<&'a ColumnFamily>,
}

impl<'a> Handles<'a> {
    /// The handles of an open database.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if one is missing.
    pub(super) fn of(disk: &'a Disk) -> Result<Self, StoreError> {
        let by_number: Result<Vec<_>, _> = NAMES
            .iter()
            .map(|name| {
                disk.db.cf_handle(name).ok_or_else(|| disk.unreadable(&format!("column family {name} is missing")))
            })
            .collect();
        Ok(Self { by_number: by_number? })
    }

    fn of_column<C: Column>(&self) -> &'a ColumnFamily {
        self.by_number[usize::from(C::NUMBER)]
    }
}

/// Everything that one commit writes, collected.
///
/// The *image* is the commit in bytes that depend on nothing but the commit: for each record its column's number (1 byte),
/// the lengths of key (1 byte) and value (4 bytes, little endian), key and value. A removal has the length 2^32 - 1 and no value.
/// The hash chain runs over it.
pub(super) struct CommitWriter<'a> {
    handles: Handles<'a>,
    image: &'a mut Vec<u8>,
    batch: WriteBatch,
}

/// Bytes of an image record before its key.
pub(super) const RECORD_HEAD_BYTES: usize = 6;
/// Stands for the length of a value where a record is removed.
const REMOVED: u32 = u32::MAX;

impl<'a> CommitWriter<'a> {
    /// Begins a commit; `image` is a buffer to be reused.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if a column family is missing.
    pub(super) fn new(disk: &'a Disk, image: &'a mut Vec<u8>) -> Result<Self, StoreError> {
        // The commit before was about as large.
        let batch = WriteBatch::with_capacity_bytes(image.len());
        image.clear();
        Ok(Self { handles: Handles::of(disk)?, image, batch })
    }

    /// Writes a record in the place of an earlier one of the same key.
    pub(super) fn put<C: Column>(&mut self, key: &C::Key, value: &C::Value) {
        let head = self.image.len();
        self.image.extend_from_slice(&[C::NUMBER, 0, 0, 0, 0, 0]);
        let key_start = head + RECORD_HEAD_BYTES;
        key.write(self.image);
        let value_start = self.image.len();
        value.write(self.image);
        let value_bytes = (self.image.len() - value_start) as u32;
        self.image[head + 1] = (value_start - key_start) as u8;
        self.image[head + 2..key_start].copy_from_slice(&value_bytes.to_le_bytes());
        let (key, value) = (&self.image[key_start..value_start], &self.image[value_start..]);
        self.batch.put_cf(self.handles.of_column::<C>(), key, value);
    }

    /// Removes a record.
    pub(super) fn remove<C: Column>(&mut self, key: &C::Key) {
        let head = self.image.len();
        self.image.extend_from_slice(&[C::NUMBER, 0, 0, 0, 0, 0]);
        let key_start = head + RECORD_HEAD_BYTES;
        key.write(self.image);
        self.image[head + 1] = (self.image.len() - key_start) as u8;
        self.image[head + 2..key_start].copy_from_slice(&REMOVED.to_le_bytes());
        self.batch.delete_cf(self.handles.of_column::<C>(), &self.image[key_start..]);
    }

    /// The point of history that this commit leads to from `before`.
    pub(super) fn point_after(&self, before: &Point) -> Point {
        let number = before.number + 1;
        let mut hasher = Tagged::new(Purpose::COMMIT_CHAIN).hasher();
        hasher.update(&before.chain);
        hasher.update(&number.to_le_bytes());
        hasher.update(self.image);
        Point { number, chain: *hasher.finalize().as_bytes() }
    }

    /// Ends the collection: stores `point` as head, its chain value, and removes the value `forgotten`.
    pub(super) fn finish(mut self, point: &Point, forgotten: Option<u64>) -> WriteBatch {
        let mut head = point.number.to_le_bytes().to_vec();
        head.extend_from_slice(&point.chain);
        self.put::<Meta>(&MetaKey::Head, &MetaValue(head));
        self.put::<Chain>(&point.number, &point.chain);
        if let Some(number) = forgotten {
            self.batch.delete_cf(self.handles.of_column::<Chain>(), number.to_be_bytes());
        }
        self.batch
    }
}

/// Reads of one consistent state.
pub(super) struct View<'a> {
    disk: &'a Disk,
    handles: Handles<'a>,
    snapshot: Snapshot<'a>,
}

/// Bytes read ahead when a whole column family is visited.
const READAHEAD_BYTES: usize = 2 * 1_024 * 1_024;

impl<'a> View<'a> {
    /// A view of what is committed now.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if a column family is missing.
    pub(super) fn new(disk: &'a Disk) -> Result<Self, StoreError> {
        Ok(Self { disk, handles: Handles::of(disk)?, snapshot: disk.db.snapshot() })
    }

    fn wrong<C: Column>(&self, key: &[u8], error: &DecodeError) -> StoreError {
        self.disk.unreadable(&format!("record {} of {}: {error}", hex::encode(key), C::NAME))
    }

    /// The record of `key`.
    ///
    /// # Errors
    /// [`StoreError::ReadFailed`], [`StoreError::Unreadable`].
    pub(super) fn get<C: Column>(&self, key: &C::Key) -> Result<Option<C::Value>, StoreError> {
        let mut key_bytes = Vec::with_capacity(32);
        key.write(&mut key_bytes);
        let handle = self.handles.of_column::<C>();
        let found = self.snapshot.get_pinned_cf(handle, &key_bytes).map_err(|error| self.disk.read_failed(&error))?;
        found.map(|bytes| C::Value::read(&bytes)).transpose().map_err(|error| self.wrong::<C>(&key_bytes, &error))
    }

    /// The last key.
    ///
    /// # Errors
    /// [`StoreError::ReadFailed`], [`StoreError::Unreadable`].
    pub(super) fn last_key<C: Column>(&self) -> Result<Option<C::Key>, StoreError> {
        let mut records = self.snapshot.iterator_cf(self.handles.of_column::<C>(), IteratorMode::End);
        let Some(record) = records.next() else { return Ok(None) };
        let (key, _) = record.map_err(|error| self.disk.read_failed(&error))?;
        C::Key::read(&key).map(Some).map_err(|error| self.wrong::<C>(&key, &error))
    }

    /// Calls `visit` for every record in the order of keys.
    ///
    /// # Errors
    /// [`StoreError::ReadFailed`], [`StoreError::Unreadable`].
    pub(super) fn for_each<C: Column>(&self, mut visit: impl FnMut(C::Key, C::Value)) -> Result<(), StoreError> {
        self.visit_from::<C>(None, |key, value| {
            visit(key, value);
            ControlFlow::Continue(())
        })
    }

    /// Calls `visit` for records in the order of keys, from `start` on, until it breaks.
    ///
    /// # Errors
    /// [`StoreError::ReadFailed`], [`StoreError::Unreadable`].
    pub(super) fn visit_from<C: Column>(
        &self,
        start: Option<&C::Key>,
        mut visit: impl FnMut(C::Key, C::Value) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_readahead_size(READAHEAD_BYTES);
        options.fill_cache(false);
        // The iterator of keys and values as boxes would allocate twice per record.
        let mut records = self.snapshot.raw_iterator_cf_opt(self.handles.of_column::<C>(), options);
        match start {
            None => records.seek_to_first(),
            Some(start) => {
                let mut bytes = Vec::with_capacity(32);
                start.write(&mut bytes);
                records.seek(&bytes);
            }
        }
        while let Some((key, value)) = records.item() {
            let decoded = C::Key::read(key).and_then(|decoded| Ok((decoded, C::Value::read(value)?)));
            let (decoded_key, decoded_value) = decoded.map_err(|error| self.wrong::<C>(key, &error))?;
            if visit(decoded_key, decoded_value).is_break() {
                return Ok(());
            }
            records.next();
        }
        records.status().map_err(|error| self.disk.read_failed(&error))?;
        Ok(())
    }

    /// Bytes of the files that the records lie in.
    ///
    /// # Errors
    /// [`StoreError::ReadFailed`].
    pub(super) fn file_bytes<C: Column>(&self) -> Result<usize, StoreError> {
        let files = self.disk.db.live_files().map_err(|error| self.disk.read_failed(&error))?;
        Ok(files.iter().filter(|file| file.column_family_name == C::NAME).map(|file| file.size).sum())
    }

    /// Reads every record and counts them.
    ///
    /// # Errors
    /// [`StoreError::ReadFailed`], [`StoreError::Unreadable`].
    pub(super) fn count<C: Column>(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        self.for_each::<C>(|_, _| count += 1)?;
        Ok(count)
    }
}
