//! A TPS in which everybody is enrolled already: accounts with money, activated instruments with PINs, certified merchants.

use protocol::ids::{AccountId, Digest};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Limits};
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::proof::batch::BatchSeed;
use protocol::session::AgreementPublic;
use protocol::signature::ProofRole;
use protocol::signature::SigningKey;
use protocol::time::Timestamp;
use tps::book::Book;
use tps::pipeline::directory::Directory;
use tps::pipeline::open::SessionKey;
use tps::pipeline::prove::ProofSigner;
use tps::store::memory::MemoryStore;
use tps::store::records::{ActivationState, BalanceKey, Changes, EnrolmentRecord, MerchantRecord, MerchantStatus};
use tps::store::{Genesis, Store};

use crate::fixtures::{
    MERCHANTS, PROOF_KEY, REALM, bytes32, instrument_keys, merchant, pin, processor, processor_secret, proof_key,
};

/// What every account holds at first, in smallest units.
pub const BALANCE_UNITS: i128 = 1_000_000_000;

/// What a new store is told about itself.
pub const GENESIS: Genesis = Genesis { realm: REALM };

/// The account of instrument `number`: every instrument has its own.
pub fn account(number: usize) -> AccountId {
    let mut account = AccountId([0x57; 16]);
    account.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
    account
}

/// Enrols `instruments` customers and all merchants in a new store, at `now`.
pub fn enrol(store: &mut dyn Store, instruments: usize, now: Timestamp) {
    let mut state = InstrumentState::new();
    state.set_pin(&pin());
    let mut changes = Changes { clock: now, ..Changes::default() };
    for number in 0..instruments {
        let keys = instrument_keys(number);
        let signing = keys.signing.as_ref().expect("instruments of benches sign");
        let activation = ActivationState::Active {
            code_hash: Digest::ZERO,
            signing_public: signing.public(),
            device_key: *keys.device,
        };
        changes.accounts.push(Account { balance: BALANCE_UNITS, ..Account::new(account(number), Asset::USD6) });
        changes.instruments.push((keys.instrument, state));
        changes.enrolments.push(EnrolmentRecord {
            id: keys.instrument,
            account: account(number),
            label: String::new(),
            activation,
            holds: tps::store::holds::Holds::NONE,
            revoked: false,
            limits: Limits::default(),
            enrolled_at: now,
        });
    }
    let funding = BalanceKey { party: Party::Funding, asset: Asset::USD6, shard: 0 };
    changes.balances.push((funding, -BALANCE_UNITS * instruments as i128));
    changes.merchants.extend((0..MERCHANTS).map(|number| MerchantRecord {
        id: merchant(number),
        name: "Shop".to_owned(),
        request: vec![1],
        session_public: AgreementPublic(bytes32(9, number)),
        status: MerchantStatus::Certified,
        certificate: vec![2],
    }));
    store.commit(&changes).expect("a new store takes a commit");
}

/// The session key of the TPS.
pub fn session_key() -> SessionKey {
    SessionKey::new(processor().id, processor_secret())
}

/// What signs the proofs of the TPS.
pub fn proof_signer() -> ProofSigner {
    ProofSigner { realm: REALM, key_id: PROOF_KEY, key: proof_key() }
}

/// 32 fresh bytes from the operating system.
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A processor's state without threads: what a payment reads and writes.
pub struct Processor {
    /// Accounts and instruments.
    pub book: Book,
    /// Public and device keys.
    pub directory: Directory,
    /// Where commits become durable.
    pub store: Box<dyn Store>,
    /// Signs proofs.
    pub proof_key: SigningKey<ProofRole>,
    /// Number of the next batch.
    pub next_batch: u64,
    /// Latest batch time.
    pub clock: Timestamp,
}

impl Processor {
    /// What a process finds when it starts.
    pub fn load(store: Box<dyn Store>) -> Self {
        let (reader, directory) = (store.reader(), Directory::for_about(0));
        let registry = reader.registry().expect("a readable store");
        let books = Book::load(&reader, &registry, 1, |record| directory.update(record));
        let book = books.expect("a readable store").remove(0);
        let (next_batch, clock) = (registry.next_batch, registry.clock);
        Self { book, directory, store, proof_key: proof_key(), next_batch, clock }
    }

    /// The same over a new store in memory with `instruments` customers.
    pub fn in_memory(instruments: usize, now: Timestamp) -> Self {
        let mut store = MemoryStore::new(GENESIS);
        enrol(&mut store, instruments, now);
        Self::load(Box::new(store))
    }

    /// Number and seed of the next batch.
    pub fn draw_batch(&mut self) -> (u64, BatchSeed) {
        let number = self.next_batch;
        self.next_batch += 1;
        (number, BatchSeed::from_random(random()))
    }
}

/// All balances, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balances {
    customers: Vec<(AccountId, i128)>,
    others: Vec<(Party, Asset, i128)>,
}

impl Balances {
    /// The balances of a book.
    pub fn of(book: &Book) -> Self {
        let mut customers: Vec<_> = book.accounts().map(|account| (account.id, account.balance)).collect();
        let mut others: Vec<_> = book.balances().collect();
        customers.sort_unstable();
        others.sort_unstable();
        Self { customers, others }
    }

    /// The sum of everything: zero, or money was lost or invented.
    pub fn sum(&self) -> i128 {
        let customers = self.customers.iter().map(|(_, balance)| balance);
        customers.chain(self.others.iter().map(|(_, _, balance)| balance)).sum()
    }
}
