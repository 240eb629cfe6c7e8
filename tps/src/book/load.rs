//! Books out of what a store holds. A million instruments are three million records, and nobody is served until they are
//! read: a thread reads each kind, while this one puts them into their places.

use std::iter::Peekable;
use std::sync::Arc;
use std::thread::Scope;

use crossbeam_channel::{Receiver, bounded};
use protocol::ids::InstrumentId;

use super::Book;
use super::instruments::Entry;
use crate::store::records::{EnrolmentRecord, Registry};
use crate::store::{Reader, StoreError};

/// Records that are handed over at a time.
const RECORDS_AT_ONCE: usize = 1_024;
/// Parts that may wait, so that a thread which is ahead does not fill the memory.
const PARTS_WAITING_MAX: usize = 8;

impl Book {
    /// The books of all shards, out of what a store holds. `enrolled` is called for every instrument, by another thread.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(
        reader: &Arc<dyn Reader>,
        registry: &Registry,
        shards: u16,
        mut enrolled: impl FnMut(&EnrolmentRecord) + Send,
    ) -> Result<Vec<Self>, StoreError> {
        let mut books: Vec<Self> = (0..shards).map(|shard| Self::empty(registry, shard, Arc::clone(reader))).collect();
        let of = |key: u16| usize::from(key % shards);
        let instruments = reader.instruments_about()? / usize::from(shards);
        for book in &mut books {
            // Instruments seldom share an account.
            book.accounts.reserve(instruments);
            book.instruments.reserve(instruments);
        }
        std::thread::scope(|scope| {
            // What is not needed stays with the thread that read it: memory is given back where it was taken.
            let enrolments = Records::read(scope, |visit| {
                reader.for_each_enrolment(&mut |record| {
                    enrolled(&record);
                    visit((record.id, record.account, Entry::new(&record)));
                })
            });
            let states = Records::read(scope, |visit| reader.for_each_instrument(&mut |id, state| visit((id, state))));
            reader.for_each_account(&mut |account| {
                books[of(account.id.shard_key())].accounts.load(&account);
            })?;
            let mut states = InOrder(states.peekable());
            for enrolment in enrolments {
                let (id, account, mut entry) = enrolment?;
                let book = &mut books[of(id.shard_key())];
                let Some(account) = book.accounts.slot(account) else {
                    return Err(reader.inconsistent(&format!("instrument {id} has no account")));
                };
                if let Some((found, state)) = states.up_to(id)? {
                    if found != id {
                        return Err(reader.inconsistent(&format!("instrument {found} has no enrolment")));
                    }
                    entry.set_state(&state);
                }
                book.instruments.load(entry, account);
            }
            match states.0.next().transpose()? {
                Some((id, _)) => Err(reader.inconsistent(&format!("instrument {id} has no enrolment"))),
                None => Ok(()),
            }
        })?;
        Ok(books)
    }
}

/// Records that another thread reads.
struct Records<R> {
    parts: Receiver<Result<Vec<R>, StoreError>>,
    part: std::vec::IntoIter<R>,
}

impl<R: Send> Records<R> {
    fn read<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        read: impl FnOnce(&mut dyn FnMut(R)) -> Result<(), StoreError> + Send + 'scope,
    ) -> Self
    where
        R: 'scope,
    {
        let (out, parts) = bounded(PARTS_WAITING_MAX);
        scope.spawn(move || {
            let mut part = Vec::with_capacity(RECORDS_AT_ONCE);
            let read = read(&mut |record| {
                part.push(record);
                if part.len() == RECORDS_AT_ONCE {
                    let full = std::mem::replace(&mut part, Vec::with_capacity(RECORDS_AT_ONCE));
                    // Nobody takes it any more where something else was wrong.
                    let _ = out.send(Ok(full));
                }
            });
            let _ = out.send(read.map(|()| part));
        });
        Self { parts, part: Vec::new().into_iter() }
    }
}

impl<R> Iterator for Records<R> {
    type Item = Result<R, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.part.next() {
                return Some(Ok(record));
            }
            match self.parts.recv().ok()? {
                Ok(part) => self.part = part.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// States in the order of their instruments, as enrolments are: whose turn it is need not be searched for.
struct InOrder<I: Iterator>(Peekable<I>);

impl<S, I: Iterator<Item = Result<(InstrumentId, S), StoreError>>> InOrder<I> {
    /// The next state, unless it belongs to an instrument after `id`.
    fn up_to(&mut self, id: InstrumentId) -> Result<Option<(InstrumentId, S)>, StoreError> {
        self.0.next_if(|next| !matches!(next, Ok((later, _)) if *later > id)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{AccountId, RealmId};
    use protocol::ledger::instrument::InstrumentState;
    use protocol::money::Asset;
    use protocol::time::Timestamp;

    use super::*;
    use crate::book::import::ImportRow;
    use crate::store::memory::MemoryStore;
    use crate::store::records::Changes;
    use crate::store::{Genesis, Store};

    fn store() -> MemoryStore {
        MemoryStore::new(Genesis { realm: RealmId([1; 16]) })
    }

    fn load(store: &MemoryStore, shards: u16) -> Result<Vec<Book>, StoreError> {
        let reader = store.reader();
        Book::load(&reader, &reader.registry()?, shards, |_| {})
    }

    fn row(number: u32) -> ImportRow {
        let mut id = [0; 16];
        id[8..12].copy_from_slice(&number.to_be_bytes());
        ImportRow {
            line: u64::from(number),
            instrument: InstrumentId(id),
            account: AccountId(id),
            asset: Asset::USD6,
            opening_units: u64::from(number),
            signing_public: [3; 32],
            device_key: [4; 32],
            pin: format!("{number:06}"),
            label: String::new(),
        }
    }

    /// A store with so many instruments, and what was written there.
    fn written(count: u32) -> (MemoryStore, Book, Changes) {
        let mut store = store();
        let mut book = load(&store, 1).unwrap().remove(0);
        let rows: Vec<_> = (1..=count).map(row).collect();
        book.import(&rows, 1, Timestamp(1_000)).unwrap();
        let (changes, _) = book.take_changes();
        store.commit(&changes).unwrap();
        (store, book, changes)
    }

    #[test]
    fn books_of_many_parts_come_back_as_they_were() {
        let count = 2 * RECORDS_AT_ONCE as u32 + 7;
        let (store, book, _) = written(count);
        let loaded = load(&store, 1).unwrap().remove(0);
        assert_eq!((loaded.instrument_count(), loaded.account_count()), (count as usize, count as usize));
        for number in 1..=count {
            let ImportRow { instrument, account, .. } = row(number);
            assert_eq!(loaded.instrument(instrument), book.instrument(instrument));
            assert!(loaded.instrument(instrument).unwrap().state.current.is_some(), "its state was found");
            assert_eq!(loaded.account(account).unwrap().balance, i128::from(number));
        }
    }

    #[test]
    fn a_record_without_the_one_it_belongs_to_is_no_book() {
        let without_enrolment = |id: [u8; 16]| {
            let (mut store, _, _) = written(3);
            let instruments = vec![(InstrumentId(id), InstrumentState::default())];
            store.commit(&Changes { instruments, ..Changes::default() }).unwrap();
            load(&store, 1).err().map(|error| error.to_string()).unwrap_or_default()
        };
        // Before, between and after the others.
        let mut between = row(2).instrument.0;
        between[15] = 1;
        for id in [[0; 16], between, [0xff; 16]] {
            let error = without_enrolment(id);
            assert!(error.contains("no enrolment") && error.contains(&InstrumentId(id).to_string()), "{error}");
        }
        let (_, _, changes) = written(3);
        let mut store = store();
        store.commit(&Changes { accounts: Vec::new(), ..changes }).unwrap();
        let error = load(&store, 1).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("no account"), "{error}");
    }
}
