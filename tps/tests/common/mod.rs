//! A TPS without threads or sockets: the same stages as the server's, driven one after the other, over a disk that can
//! lose what was not synced. And a customer that speaks the protocol.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part; a test may fail here"
)]

pub mod quic;

use std::sync::{Arc, Mutex};

use protocol::enrolment::SignaturePolicy;
use protocol::ids::*;
use protocol::ledger::instrument::Limits;
use protocol::ledger::posting::Party;
use protocol::money::{Amount, Asset};
use protocol::pin::{ModifiedPin, Modifier, ModifierPart, Pin};
use protocol::proof::batch::BatchSeed;
use protocol::proof::verify::{ProofKey, Verifier};
use protocol::request::{Content, InstrumentKeys, PaymentKind, ProcessorKey, SealedRequest, seal};
use protocol::response::{Answer, OpenedResponse, ResponseSealer, open};
use protocol::session::{AgreementPublic, AgreementSecret};
use protocol::signature::SigningKey;
use protocol::time::Timestamp;
use tps::book::Book;
use tps::book::orders::{Done, Order, OrderError};
use tps::pipeline::clock::BatchClock;
use tps::pipeline::directory::Directory;
use tps::pipeline::open::{SessionKey, open_batch};
use tps::pipeline::prove::{ProofSigner, prove_batch};
use tps::pipeline::reveal::reveal;
use tps::pipeline::sequence::sequence_batch;
use tps::pipeline::verify::{SignatureCheck, SignatureRule, verify_batch};
use tps::pipeline::{AnswerSink, Outbox, ReplyTo, Sealed};
use tps::store::{Genesis, Store, StoreError};
use zeroize::Zeroizing;

pub const REALM: RealmId = RealmId([0x52; 16]);
pub const MERCHANT: MerchantId = MerchantId([0x4d; 16]);
pub const SESSION_KEY: KeyId = KeyId([0x53; 8]);
pub const PROOF_KEY: KeyId = KeyId([0x50; 8]);

pub fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub fn session_secret() -> AgreementSecret {
    AgreementSecret::from_random([0x31; 32])
}

pub fn processor() -> ProcessorKey {
    ProcessorKey { id: SESSION_KEY, public: session_secret().public(), route: 0 }
}

pub fn signer() -> ProofSigner {
    ProofSigner { realm: REALM, key_id: PROOF_KEY, key: SigningKey::from_seed([0x33; 32]) }
}

pub fn verifier() -> Verifier {
    let key = ProofKey {
        id: PROOF_KEY,
        public: signer().key.public(),
        valid_from: Timestamp(0),
        valid_until: Timestamp(u64::MAX),
    };
    Verifier::new(REALM, [key], 1024)
}

/// Where a process may end: between two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashAt {
    Nowhere,
    Received,
    Proved,
    Sequenced,
    Committed,
    Revealed,
}

pub const CRASHES: [CrashAt; 5] =
    [CrashAt::Received, CrashAt::Proved, CrashAt::Sequenced, CrashAt::Committed, CrashAt::Revealed];

#[derive(Default)]
pub struct Answers(pub Mutex<Vec<(u32, Vec<u8>)>>);

impl AnswerSink for Answers {
    fn put(&self, request_id: u32, message: &[u8]) -> bool {
        self.0.lock().unwrap().push((request_id, message.to_vec()));
        false
    }

    fn send(&self) {}
}

/// The server's state; a crash forgets all of it but the store.
pub struct Server {
    pub book: Book,
    pub store: Box<dyn Store>,
    pub directory: Directory,
    pub clock: BatchClock,
    pub policy: SignaturePolicy,
    keys: Vec<SessionKey>,
}

impl Server {
    pub fn genesis() -> Genesis {
        Genesis { realm: REALM }
    }

    /// What a process finds when it starts.
    pub fn start(store: Box<dyn Store>) -> Self {
        let (reader, directory) = (store.reader(), Directory::for_about(0));
        let registry = reader.registry().unwrap();
        let mut books = Book::load(&reader, &registry, 1, |record| directory.update(record)).unwrap();
        Self {
            book: books.remove(0),
            directory,
            clock: BatchClock::new(registry.next_batch, registry.clock),
            policy: SignaturePolicy::Required,
            keys: vec![SessionKey::new(SESSION_KEY, session_secret())],
            store,
        }
    }

    pub fn memory() -> Self {
        Self::start(Box::new(tps::store::memory::MemoryStore::new(Self::genesis())))
    }

    pub fn order(&mut self, order: &Order) -> Result<Done, OrderError> {
        let done = self.book.order(order, self.clock.now())?;
        let (changes, _) = self.book.take_changes();
        self.store.commit(&changes).unwrap();
        for record in &changes.enrolments {
            self.directory.update(record);
        }
        Ok(done)
    }

    /// Takes a batch of messages through all stages; answers by position. A crash answers nothing more.
    pub fn process(&mut self, messages: &[&[u8]], crash: CrashAt) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let answers = Arc::new(Answers::default());
        let result = self.run(messages, crash, &answers);
        let mut by_position = vec![None; messages.len()];
        for (position, message) in answers.0.lock().unwrap().drain(..) {
            by_position[position as usize] = (!message.is_empty()).then_some(message);
        }
        result.map(|()| by_position)
    }

    fn run(&mut self, messages: &[&[u8]], crash: CrashAt, answers: &Arc<Answers>) -> Result<(), StoreError> {
        let sealed: Vec<Sealed> = messages
            .iter()
            .enumerate()
            .filter_map(|(position, message)| {
                let reply = ReplyTo::new(Arc::clone(answers) as Arc<dyn AnswerSink>, position as u32);
                Sealed::parse(message, &self.keys, reply)
            })
            .collect();
        if crash == CrashAt::Received {
            return Ok(());
        }
        let opened = open_batch(sealed, &self.keys);
        if opened.is_empty() {
            return Ok(());
        }
        let rule = SignatureRule { policy: self.policy, check: SignatureCheck::Live };
        let (verified, _) = verify_batch(opened, &self.directory, rule, random());
        let ticket = self.clock.draw();
        let mut parts = prove_batch(verified, ticket, &signer(), BatchSeed::from_random(random()), 1);
        if crash == CrashAt::Proved {
            return Ok(());
        }
        let sequenced = sequence_batch(&mut self.book, parts.remove(0));
        if crash == CrashAt::Sequenced {
            return Ok(());
        }
        let receipt = self.store.commit(&self.book.take_changes().0)?;
        if crash == CrashAt::Committed {
            return Ok(());
        }
        let reader = self.store.reader();
        let (mut sealer, mut outbox) = (ResponseSealer::default(), Outbox::default());
        for payment in sequenced {
            let payment = payment.committed(&receipt);
            if crash == CrashAt::Revealed {
                return Ok(());
            }
            reveal(payment, &*reader, &mut sealer, &mut outbox)?;
        }
        Ok(())
    }

    pub fn one(&mut self, message: &[u8]) -> Vec<u8> {
        self.process(&[message], CrashAt::Nowhere).unwrap().remove(0).expect("answered")
    }

    pub fn register_merchant(&mut self, id: MerchantId, certified: bool) {
        let session_public = AgreementPublic(random());
        self.order(&Order::RegisterMerchant { id, name: "Shop".into(), request: vec![1], session_public }).unwrap();
        if certified {
            self.order(&Order::CertifyMerchant { id, certificate: vec![2] }).unwrap();
        }
    }

    /// Opens an account and funds it.
    pub fn account(&mut self, units: u64) -> AccountId {
        let id = AccountId(random());
        self.order(&Order::OpenAccount { id, asset: Asset::USD6, reference: "ref".into() }).unwrap();
        if units > 0 {
            let amount = Amount::new(units).unwrap();
            self.order(&Order::Fund { account: id, amount, deposit: None }).unwrap();
        }
        id
    }

    /// Enrols and activates an instrument with a PIN.
    pub fn customer(&mut self, account: AccountId, limits: Limits) -> Customer {
        let customer = Customer::new(account);
        let code = protocol::enrolment::ActivationCode::from_random(random());
        self.order(&Order::Enrol {
            id: customer.instrument,
            account,
            label: "test".into(),
            limits,
            code_hash: code.hash(),
            expires_at: Timestamp(u64::MAX),
        })
        .unwrap();
        self.order(&Order::Activate {
            id: customer.instrument,
            code,
            signing_public: customer.signing_public(),
            device_key: customer.device,
        })
        .unwrap();
        self.order(&Order::SetPin { id: customer.instrument, pin: customer.pin.clone() }).unwrap();
        customer
    }

    pub fn balance(&self, account: AccountId) -> i128 {
        self.book.account(account).unwrap().balance
    }

    /// What everybody has, and that it sums to zero.
    pub fn check_conservation(&self) {
        let customers: i128 = self.book.accounts().map(|account| account.balance).sum();
        let others: i128 = self.book.balances().map(|(_, _, balance)| balance).sum();
        assert_eq!(customers + others, 0, "money was lost or invented");
        assert!(self.book.accounts().all(|account| account.balance >= 0));
    }

    pub fn merchant_balance(&self, merchant: MerchantId) -> i128 {
        self.book.balance(Party::Merchant(merchant), Asset::USD6)
    }
}

/// A customer's side, as simple as it can be: what it keeps is count, modifier and keys.
#[derive(Clone)]
pub struct Customer {
    pub account: AccountId,
    pub instrument: InstrumentId,
    pub pin: Pin,
    pub count: u64,
    pub modifier: Modifier,
    pub seed: [u8; 32],
    pub device: [u8; 32],
    pub signs: bool,
}

impl Customer {
    pub fn new(account: AccountId) -> Self {
        Self {
            account,
            instrument: InstrumentId::for_account(account, random()),
            pin: Pin::parse("314159").unwrap(),
            count: 1,
            modifier: Modifier(0),
            seed: random(),
            device: random(),
            signs: true,
        }
    }

    pub fn signing_public(&self) -> [u8; 32] {
        SigningKey::<protocol::signature::CustomerRole>::from_seed(self.seed).public()
    }

    pub fn content(&self, units: u64) -> Content {
        Content {
            merchant: MERCHANT,
            number: TransactionNumber(random()),
            amount: Amount::new(units).unwrap(),
            asset: Asset::USD6,
            quote_digest: QuoteDigest(random()),
            valid_until: tps::pipeline::clock::wall_clock().plus(60_000),
            kind: PaymentKind::PLAIN,
            terms: TermsDigest::ZERO,
            customer_part: ModifierPart(u64::from_le_bytes(random())),
        }
    }

    pub fn modified_pin(&self) -> ModifiedPin {
        self.pin.modified(self.modifier)
    }

    /// A request under the customer's own count and PIN.
    pub fn request(&self, content: &Content) -> SealedRequest {
        self.request_with(content, self.count, self.modified_pin())
    }

    pub fn request_with(&self, content: &Content, count: u64, pin: ModifiedPin) -> SealedRequest {
        let keys = InstrumentKeys {
            instrument: self.instrument,
            signing: self.signs.then(|| SigningKey::from_seed(self.seed)),
            device: Zeroizing::new(self.device),
        };
        seal(content, count, &keys, pin, &processor(), AgreementSecret::from_random(random())).unwrap()
    }

    /// Takes an answer as the CTS would: count and modifier move on if the transaction was consumed.
    pub fn take(&mut self, content: &Content, answer: &Answer) {
        if answer.reason.consumes_count() {
            let told = answer.authenticated.expect("consumed means authenticated");
            if answer.count == self.count {
                self.count += 1;
                if told.modifier_in_force {
                    self.modifier = self.modifier.advanced(content.customer_part, told.processor_part);
                }
            }
        }
    }

    /// Pays once, start to end.
    pub fn pay(&mut self, server: &mut Server, units: u64) -> OpenedResponse {
        let content = self.content(units);
        self.pay_content(server, &content)
    }

    pub fn pay_content(&mut self, server: &mut Server, content: &Content) -> OpenedResponse {
        let request = self.request(content);
        let response = server.one(&request.bytes);
        let opened = open(&response, &request.hash, &request.session).expect("a sealed answer");
        self.take(content, &opened.answer);
        opened
    }
}

/// Sends a request and opens the answer.
pub fn ask(server: &mut Server, request: &SealedRequest) -> OpenedResponse {
    let response = server.one(&request.bytes);
    open(&response, &request.hash, &request.session).expect("a sealed answer")
}

/// A running pipeline over a memory store, with a certified merchant.
pub fn engine(config: tps::pipeline::EngineConfig) -> tps::pipeline::Engine {
    let store = Box::new(tps::store::memory::MemoryStore::new(Server::genesis()));
    let keys =
        tps::pipeline::EngineKeys { session: vec![SessionKey::new(SESSION_KEY, session_secret())], signer: signer() };
    let engine = tps::pipeline::Engine::start(store, keys, config).unwrap();
    register(&engine);
    engine
}

/// Registers and certifies the merchant of all payments.
pub fn register(engine: &tps::pipeline::Engine) {
    let session_public = AgreementPublic(random());
    engine
        .order(0, Order::RegisterMerchant { id: MERCHANT, name: "Shop".into(), request: vec![1], session_public })
        .unwrap();
    engine.order(0, Order::CertifyMerchant { id: MERCHANT, certificate: vec![2] }).unwrap();
}

/// Opens an account with `units` and enrols `count` instruments with PINs.
pub fn customers(engine: &tps::pipeline::Engine, units: u64, count: usize) -> Vec<Customer> {
    let account = AccountId(random());
    let order = |order: Order| engine.order(account.shard_key(), order).unwrap();
    order(Order::OpenAccount { id: account, asset: Asset::USD6, reference: String::new() });
    order(Order::Fund { account, amount: Amount::new(units).unwrap(), deposit: None });
    let enrol = |_| {
        let customer = Customer::new(account);
        let id = customer.instrument;
        let code = protocol::enrolment::ActivationCode::from_random(random());
        let (label, expires_at) = (String::new(), Timestamp(u64::MAX));
        order(Order::Enrol { id, account, label, limits: Limits::default(), code_hash: code.hash(), expires_at });
        order(Order::Activate { id, code, signing_public: customer.signing_public(), device_key: customer.device });
        order(Order::SetPin { id, pin: customer.pin.clone() });
        customer
    };
    (0..count).map(enrol).collect()
}

/// Sends a message to a pipeline and waits for the answer.
pub fn submit(engine: &tps::pipeline::Engine, message: &[u8]) -> Vec<u8> {
    let (answer_out, answer) = crossbeam_channel::bounded(1);
    let reply = ReplyTo::new(Arc::new(ChannelSink(answer_out)), 0);
    if let Some(sealed) = Sealed::parse(message, engine.session_keys(), reply) {
        engine.submit(sealed);
    }
    answer.recv_timeout(std::time::Duration::from_secs(20)).expect("an answer")
}

pub struct ChannelSink(pub crossbeam_channel::Sender<Vec<u8>>);

impl AnswerSink for ChannelSink {
    fn put(&self, _request_id: u32, message: &[u8]) -> bool {
        let _ = self.0.send(message.to_vec());
        false
    }

    fn send(&self) {}
}

/// Everything that all shards hold, summed: zero, or money was lost or invented.
pub fn total(engine: &tps::pipeline::Engine) -> i128 {
    let sums = engine.read(|book| {
        let customers: i128 = book.accounts().map(|account| account.balance).sum();
        customers + book.balances().map(|(_, _, balance)| balance).sum::<i128>()
    });
    sums.iter().sum()
}
