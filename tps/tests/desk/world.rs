//! A TPS with a desk, a reviewed merchant, and customers who pay it.

use std::sync::Arc;

use protocol::certificate::CertificateRequest;
use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskAnswer, DeskBatch, DeskErrorCode, EntryResult, RefundedTotal};
use protocol::ids::*;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::response::{Reason, open};
use protocol::session::AgreementSecret;
use protocol::signature::{MerchantRole, SigningKey};
use tps::book::orders::Order;
use tps::data_directory::{DataDirectory, Realm};
use tps::desk::clerk::{Clerk, admit};
use tps::desk::{NoSettlements, Renewals};
use tps::operator::Registrar;
use tps::operator::installation::{InstallOptions, fill};
use tps::pipeline::clock::wall_clock;
use tps::pipeline::open::SessionKey;
use tps::pipeline::{Engine, EngineConfig, EngineKeys};
use tps::store::{Genesis, Store};

use crate::common::*;

pub(crate) const SHOP: MerchantId = MerchantId([0x4d; 16]);

/// Keys and identity of a TPS: what stays over restarts besides the store.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    pub(crate) realm: Realm,
}

impl Place {
    pub(crate) fn new(shards: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let realm = fill(directory.path(), &InstallOptions { shards, ..Default::default() }, wall_clock()).unwrap();
        Self { directory, realm }
    }

    pub(crate) fn data(&self) -> DataDirectory {
        DataDirectory::at(self.directory.path())
    }

    pub(crate) fn genesis(&self) -> Genesis {
        Genesis { realm: self.realm.realm }
    }

    pub(crate) fn start(&self, store: Box<dyn Store>, renewals: Renewals) -> World {
        let keys = EngineKeys { session: vec![SessionKey::new(SESSION_KEY, session_secret())], signer: signer() };
        let config = EngineConfig { workers: 1, shards: self.realm.shards, ..EngineConfig::default() };
        let engine = Arc::new(Engine::start(store, keys, config).unwrap());
        let registrar = Arc::new(Registrar::new(Arc::clone(&engine), self.data(), self.realm.clone()));
        let clerk = Clerk::new(Arc::clone(&engine), Arc::clone(&registrar), renewals, Box::new(NoSettlements));
        World { engine, registrar, clerk, realm: self.realm.realm }
    }
}

/// A running TPS.
pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) clerk: Clerk,
    pub(crate) realm: RealmId,
}

pub(crate) fn shop_key() -> SigningKey<MerchantRole> {
    SigningKey::from_seed([0x4d; 32])
}

pub(crate) fn request(name: &str, session: u8, key: &SigningKey<MerchantRole>) -> Vec<u8> {
    let session = AgreementSecret::from_random([session; 32]).public();
    CertificateRequest::new(name.to_owned(), session, key).unwrap().encode()
}

pub(crate) fn refund(order: u8, number: TransactionNumber) -> BatchEntry {
    BatchEntry::Refund { order: RefundOrderId([order; 16]), number }
}

pub(crate) fn refunded(units: u64) -> EntryResult {
    EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units: units.into() }])
}

impl World {
    /// A TPS in memory with the certified merchant [`SHOP`].
    pub(crate) fn new(place: &Place) -> Self {
        let world = place.start(Box::new(tps::store::memory::MemoryStore::new(place.genesis())), Renewals::Automatic);
        world.register(SHOP, "Shop", &shop_key());
        world
    }

    pub(crate) fn register(&self, id: MerchantId, name: &str, key: &SigningKey<MerchantRole>) {
        let bytes = request(name, id.0[0], key);
        let session_public = CertificateRequest::decode(&bytes).unwrap().session;
        self.engine
            .order(0, Order::RegisterMerchant { id, name: name.into(), request: bytes, session_public })
            .unwrap();
        self.registrar.certify(&self.merchant(id), 30).unwrap();
    }

    pub(crate) fn merchant(&self, id: MerchantId) -> tps::store::records::MerchantRecord {
        self.engine.with_book(0, move |book, _| Ok(book.merchant(id).cloned())).unwrap().unwrap()
    }

    /// Pays [`SHOP`]; the payment must go through.
    pub(crate) fn pay(&self, customer: &mut Customer, number: TransactionNumber, units: u64) {
        let content = protocol::request::Content { number, ..customer.content(units) };
        let request = customer.request(&content);
        let opened = open(&submit(&self.engine, &request.bytes), &request.hash, &request.session).unwrap();
        assert_eq!(opened.answer.reason, Reason::Paid);
        customer.take(&content, &opened.answer);
    }

    /// Customers with an account each, spread over all shards.
    pub(crate) fn customers(&self, units: u64, count: usize) -> Vec<Customer> {
        (0..count).map(|_| customers(&self.engine, units, 1).remove(0)).collect()
    }

    pub(crate) fn balance(&self, customer: &Customer) -> i128 {
        let account = customer.account;
        let found = self.engine.read(move |book| book.account(account).map(|account| account.balance));
        found.into_iter().flatten().next().unwrap()
    }

    /// Parts of what the shop is owed, by shard.
    pub(crate) fn parts(&self) -> Vec<i128> {
        self.engine.read(|book| book.balance(Party::Merchant(SHOP), Asset::USD6))
    }

    pub(crate) fn accrued(&self) -> i128 {
        self.parts().into_iter().sum()
    }

    pub(crate) fn batch(&self, id: u8, entries: Vec<BatchEntry>) -> DeskBatch {
        DeskBatch::new(self.realm, SHOP, DeskBatchId([id; 16]), wall_clock(), entries, &shop_key()).unwrap()
    }

    /// Hands bytes in as a merchant does.
    pub(crate) fn hand_in(&mut self, bytes: &[u8]) -> Result<Vec<u8>, DeskErrorCode> {
        let admitted = admit(&self.engine, self.realm, bytes)?;
        self.clerk.answer(&admitted)
    }

    /// Hands a batch in and checks the answer as a merchant does.
    pub(crate) fn results(&mut self, batch: &DeskBatch) -> Vec<EntryResult> {
        let answer = DeskAnswer::decode(&self.hand_in(&batch.encode()).unwrap()).unwrap();
        answer.verify(batch, &self.registrar.pinned().unwrap()).unwrap();
        answer.results().to_vec()
    }

    /// That all money is there, and that the log adds up to the books.
    pub(crate) fn check(&self, place: &Place) {
        assert_eq!(total(&self.engine), 0, "money was lost or invented");
        assert!(self.accrued() >= 0, "a merchant owes");
        let report = tps::audit::audit(&self.engine, &place.data(), &place.realm, false).unwrap();
        assert_eq!(report.differences, Vec::<String>::new());
    }
}
