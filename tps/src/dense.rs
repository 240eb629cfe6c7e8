//! Records found by a random 16-byte name, stored one after another.
//!
//! A hash map keeps up to half of its places free, and every place is as long as a record. Here a free place costs five
//! bytes, which is what lets a server hold tens of millions of instruments (see `docs/performance.md`).

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// A record that knows its own name.
pub(crate) trait Named {
    /// The name, unique among the records.
    fn name(&self) -> &[u8; 16];
}

/// Where a record stands; stays the same for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u32);

/// Records by name. They are never removed.
pub(crate) struct Dense<R> {
    slots: HashTable<u32>,
    records: Vec<R>,
    hasher: DefaultHashBuilder,
}

impl<R: Named> Dense<R> {
    pub(crate) fn new() -> Self {
        Self { slots: HashTable::new(), records: Vec::new(), hasher: DefaultHashBuilder::default() }
    }

    /// Where the record `name` stands.
    pub(crate) fn slot(&self, name: &[u8; 16]) -> Option<Slot> {
        let found = self.slots.find(self.hasher.hash_one(name), |slot| self.records[*slot as usize].name() == name);
        found.copied().map(Slot)
    }

    /// The record `name`.
    pub(crate) fn get(&self, name: &[u8; 16]) -> Option<&R> {
        self.slot(name).map(|slot| &self[slot])
    }

    /// Sets memory aside for `additional` more records. What is set aside and not used takes an entry of the table each,
    /// and nothing for the record.
    pub(crate) fn reserve(&mut self, additional: usize) {
        let Self { slots, records, hasher } = self;
        slots.reserve(additional, |slot| hasher.hash_one(records[*slot as usize].name()));
        records.reserve(additional);
    }

    /// Adds a record whose name is new.
    pub(crate) fn insert(&mut self, record: R) -> Slot {
        let slot = u32::try_from(self.records.len()).expect("a shard holds fewer than four thousand million records");
        let Self { slots, records, hasher } = self;
        records.push(record);
        let hash = |slot: &u32| hasher.hash_one(records[*slot as usize].name());
        slots.insert_unique(hash(&slot), slot, hash);
        Slot(slot)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, R> {
        self.records.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }
}

impl<R> std::ops::Index<Slot> for Dense<R> {
    type Output = R;

    fn index(&self, slot: Slot) -> &R {
        &self.records[slot.0 as usize]
    }
}

impl<R> std::ops::IndexMut<Slot> for Dense<R> {
    fn index_mut(&mut self, slot: Slot) -> &mut R {
        &mut self.records[slot.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for [u8; 16] {
        fn name(&self) -> &[u8; 16] {
            self
        }
    }

    #[test]
    fn records_are_found_by_name_and_keep_their_slots() {
        let mut records = Dense::new();
        let name = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk::<16>().expect("16 of 32");
        for number in 0..10_000 {
            assert_eq!(records.slot(&name(number)), None);
            assert_eq!(records.insert(name(number)), Slot(number));
        }
        assert_eq!(records.len(), 10_000);
        for number in 0..10_000 {
            assert_eq!(records.slot(&name(number)), Some(Slot(number)));
            assert_eq!(records[Slot(number)], name(number));
        }
        assert!(records.get(&name(10_000)).is_none());
    }
}
