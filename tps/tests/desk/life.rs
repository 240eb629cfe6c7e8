//! The whole life of accounts against a reference ledger: enrol, set a PIN, pay, be denied, be locked, reset, hold, release, fund,
//! refund, settle, rotate keys, crash and recover, in any order. After every step everybody has what the reference says,
//! and all balances sum to zero.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use protocol::desk::{BatchEntry, EntryRefusal, EntryResult, RefundedTotal};
use protocol::ids::*;
use protocol::ledger::instrument::Limits;
use protocol::ledger::posting::Party;
use protocol::money::{Amount, Asset};
use protocol::pin::{ModifiedPin, Pin};
use protocol::proof::Outcome;
use protocol::proof::verify::{ProofKey, Verifier};
use protocol::request::{InstrumentKeys, ProcessorKey, seal};
use protocol::response::{Reason, open};
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use protocol::time::Timestamp;
use tps::book::orders::Order;
use tps::desk::Renewals;
use tps::desk::clerk::Clerk;
use tps::operator::Registrar;
use tps::pipeline::open::SessionKey;
use tps::pipeline::prove::ProofSigner;
use tps::pipeline::{Engine, EngineConfig, EngineKeys};
use tps::settlement::close::{Closing, last_cycle};
use tps::settlement::fees::FeeSchedule;
use tps::settlement::pages::PageDirectory;
use tps::settlement::{Schedule, Settings};
use tps::store::Store;
use tps::store::crash::CrashDisk;
use tps::store::holds::Holder;
use zeroize::Zeroizing;

use super::world::*;
use crate::common::*;

const FEES: FeeSchedule = FeeSchedule { share_ppm: 20_000, per_payment: 1, payout_unit: 100 };
const LOCKED_AFTER: u8 = 5;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A new account with an instrument, or another instrument of an account.
    Enrol {
        shared: bool,
    },
    NewPin(usize),
    Fund(usize, u64),
    Pay {
        who: usize,
        units: u64,
        number: u8,
    },
    /// With a PIN that is not right.
    Mistype(usize),
    Hold(usize, bool),
    Revoke(usize),
    Suspend(bool),
    Refund {
        number: u8,
        order: u8,
    },
    /// The last batch of refunds once more.
    Replay,
    Settle,
    /// New session and proof keys; the old session key is accepted for one more generation.
    Rotate,
    /// The power fails between two commits.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..4usize;
    let step = prop_oneof![
        2 => any::<bool>().prop_map(|shared| Step::Enrol { shared }),
        2 => who.clone().prop_map(Step::NewPin),
        2 => (who.clone(), 1..2_000u64).prop_map(|(who, units)| Step::Fund(who, units)),
        10 => (who.clone(), 1..600u64, 0..4u8).prop_map(|(who, units, number)| Step::Pay { who, units, number }),
        3 => who.clone().prop_map(Step::Mistype),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, held)| Step::Hold(who, held)),
        1 => who.prop_map(Step::Revoke),
        1 => any::<bool>().prop_map(Step::Suspend),
        4 => (0..4u8, 0..6u8).prop_map(|(number, order)| Step::Refund { number, order }),
        1 => Just(Step::Replay),
        2 => Just(Step::Settle),
        1 => Just(Step::Rotate),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 5..45)
}

/// A customer with what the reference knows of the instrument.
struct Owner {
    customer: Customer,
    has_pin: bool,
    failures: u8,
    held: bool,
    revoked: bool,
}

/// What everybody must have.
#[derive(Default)]
struct Reference {
    accounts: BTreeMap<AccountId, i128>,
    shop: i128,
    fees: i128,
    /// Outside: what came in less what went out.
    outside: i128,
    /// Payments of each number that were not refunded.
    paid: BTreeMap<u8, Vec<(AccountId, u64)>>,
    ever_paid: [bool; 4],
    /// What became of refund orders.
    orders: BTreeMap<u8, (u8, EntryResult)>,
    suspended: bool,
    carried: i128,
    cycle: (u64, i128, i128),
}

struct Life {
    place: Place,
    disk: CrashDisk,
    world: Option<World>,
    generation: u8,
    owners: Vec<Owner>,
    reference: Reference,
    batches: u8,
    last_batch: Option<(protocol::desk::DeskBatch, Vec<u8>)>,
}

fn session_key(generation: u8) -> SessionKey {
    SessionKey::new(KeyId([generation; 8]), AgreementSecret::from_random([generation + 1; 32]))
}

fn proof_signer(realm: RealmId, generation: u8) -> ProofSigner {
    ProofSigner { realm, key_id: KeyId([generation; 8]), key: SigningKey::from_seed([generation + 101; 32]) }
}

impl Life {
    fn new() -> Self {
        let place = Place::new(2);
        let (disk, store) = CrashDisk::new(place.genesis());
        let mut life = Self {
            place,
            disk,
            world: None,
            generation: 0,
            owners: Vec::new(),
            reference: Reference::default(),
            batches: 0,
            last_batch: None,
        };
        life.start(Box::new(store));
        life.world().register(SHOP, "Shop", &shop_key());
        life
    }

    fn start(&mut self, store: Box<dyn Store>) {
        let realm = self.place.realm.realm;
        let session = [self.generation, self.generation.saturating_sub(1)].map(session_key);
        let keys = EngineKeys { session: session.into(), signer: proof_signer(realm, self.generation) };
        let config = EngineConfig { workers: 1, shards: 2, ..EngineConfig::default() };
        let engine = Arc::new(Engine::start(store, keys, config).unwrap());
        let registrar = Arc::new(Registrar::new(Arc::clone(&engine), self.place.data(), self.place.realm.clone()));
        let settlements = Box::new(tps::desk::NoSettlements);
        let clerk = Clerk::new(Arc::clone(&engine), Arc::clone(&registrar), Renewals::Automatic, settlements);
        self.world = Some(World { engine, registrar, clerk, realm });
    }

    fn world(&self) -> &World {
        self.world.as_ref().expect("it runs")
    }

    fn order(&self, id: InstrumentId, order: Order) {
        self.world().engine.order(id.shard_key(), order).unwrap();
    }

    fn owner(&self, who: usize) -> Option<usize> {
        (!self.owners.is_empty()).then(|| who % self.owners.len())
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Enrol { shared } => self.enrol(shared),
            Step::NewPin(who) => {
                let Some(who) = self.owner(who).filter(|who| !self.owners[*who].revoked) else { return };
                let id = self.owners[who].customer.instrument;
                let pin = Pin::from_random(6, 7_919 * (1 + self.batches as u64 + who as u64)).unwrap();
                self.order(id, Order::SetPin { id, pin: pin.clone() });
                let owner = &mut self.owners[who];
                (owner.has_pin, owner.failures) = (true, 0);
                (owner.customer.pin, owner.customer.modifier) = (pin, protocol::pin::Modifier(0));
            }
            Step::Fund(who, units) => {
                let Some(who) = self.owner(who) else { return };
                let account = self.owners[who].customer.account;
                let order = Order::Fund { account, amount: Amount::new(units).unwrap(), deposit: None };
                self.world().engine.order(account.shard_key(), order).unwrap();
                *self.reference.accounts.entry(account).or_default() += i128::from(units);
                self.reference.outside -= i128::from(units);
            }
            Step::Pay { who, units, number } => self.pay(who, units, number, None),
            Step::Mistype(who) => self.pay(who, 1, 0, Some(ModifiedPin(u64::MAX))),
            Step::Hold(who, held) => {
                let Some(who) = self.owner(who).filter(|who| !self.owners[*who].revoked) else { return };
                let id = self.owners[who].customer.instrument;
                self.order(id, Order::HoldInstrument { id, held, by: Holder::Customer });
                self.owners[who].held = held;
            }
            Step::Revoke(who) => {
                let Some(who) = self.owner(who).filter(|who| !self.owners[*who].revoked) else { return };
                let id = self.owners[who].customer.instrument;
                self.order(id, Order::Revoke { id });
                self.owners[who].revoked = true;
            }
            Step::Suspend(suspended) => {
                let record = self.world().merchant(SHOP);
                let order = if suspended {
                    Order::SuspendMerchant { id: SHOP }
                } else {
                    Order::CertifyMerchant { id: SHOP, certificate: record.certificate }
                };
                self.world().engine.order(0, order).unwrap();
                self.reference.suspended = suspended;
            }
            Step::Refund { number, order } => self.refund(number, order),
            Step::Replay => {
                let Some((batch, answer)) = self.last_batch.clone() else { return };
                let world = self.world.as_mut().expect("it runs");
                let admitted =
                    tps::desk::clerk::admit(&world.engine, world.realm, &protocol::codec::Canonical::encode(&batch));
                assert_eq!(world.clerk.answer(&admitted.unwrap()).unwrap(), answer);
            }
            Step::Settle => self.settle(),
            Step::Rotate => {
                self.generation += 1;
                self.restart(false);
            }
            Step::Crash => self.restart(true),
        }
    }

    fn restart(&mut self, crash: bool) {
        if crash {
            self.disk.crash();
        }
        self.world = None;
        let store = self.disk.recover();
        self.start(Box::new(store));
    }

    fn enrol(&mut self, shared: bool) {
        if self.owners.len() >= 4 {
            return;
        }
        let engine = &self.world().engine;
        let account = match self.owners.first().filter(|_| shared) {
            Some(owner) => owner.customer.account,
            None => {
                let id = AccountId(random());
                let order = Order::OpenAccount { id, asset: Asset::USD6, reference: String::new() };
                engine.order(id.shard_key(), order).unwrap();
                id
            }
        };
        let customer = Customer::new(account);
        let (id, code) = (customer.instrument, protocol::enrolment::ActivationCode::from_random(random()));
        let (label, expires_at) = (String::new(), Timestamp(u64::MAX));
        let signing_public = customer.signing_public();
        self.order(
            id,
            Order::Enrol { id, account, label, limits: Limits::default(), code_hash: code.hash(), expires_at },
        );
        self.order(id, Order::Activate { id, code, signing_public, device_key: customer.device });
        self.reference.accounts.entry(account).or_default();
        self.owners.push(Owner { customer, has_pin: false, failures: 0, held: false, revoked: false });
    }

    /// What the reference expects for a request.
    fn expected(&self, owner: &Owner, units: u64, right_pin: bool) -> Reason {
        if owner.revoked {
            return Reason::AuthenticationFailed;
        }
        if owner.failures >= LOCKED_AFTER {
            return Reason::PinLocked;
        }
        // Without a PIN every one is wrong.
        if !right_pin || !owner.has_pin {
            return Reason::AuthenticationFailed;
        }
        if owner.held {
            return Reason::Held;
        }
        if self.reference.suspended {
            return Reason::MerchantSuspended;
        }
        let balance = self.reference.accounts[&owner.customer.account];
        if balance < i128::from(units) { Reason::InsufficientFunds } else { Reason::Paid }
    }

    fn pay(&mut self, who: usize, units: u64, number: u8, pin: Option<ModifiedPin>) {
        let Some(who) = self.owner(who) else { return };
        let expected = self.expected(&self.owners[who], units, pin.is_none());
        let realm = self.place.realm.realm;
        let owner = &self.owners[who];
        let mut content = owner.customer.content(units);
        content.merchant = SHOP;
        content.number = TransactionNumber([number; 16]);
        let key = session_key(self.generation);
        let processor = ProcessorKey { id: key.id(), public: key.public(), route: 0 };
        let keys = InstrumentKeys {
            instrument: owner.customer.instrument,
            signing: Some(SigningKey::from_seed(owner.customer.seed)),
            device: Zeroizing::new(owner.customer.device),
        };
        let pin = pin.unwrap_or_else(|| owner.customer.modified_pin());
        let ephemeral = AgreementSecret::from_random(random());
        let request = seal(&content, owner.customer.count, &keys, pin, &processor, ephemeral).unwrap();
        let opened = open(&submit(&self.world().engine, &request.bytes), &request.hash, &request.session).unwrap();
        assert_eq!(opened.answer.reason, expected);
        let signer = proof_signer(realm, self.generation);
        let proof_key = ProofKey {
            id: signer.key_id,
            public: signer.key.public(),
            valid_from: Timestamp(0),
            valid_until: Timestamp(u64::MAX),
        };
        let proof = Verifier::new(realm, [proof_key], 4).verify(&opened.proof_bytes).unwrap();
        assert_eq!(proof.outcome() == Outcome::Paid, expected == Reason::Paid);

        let owner = &mut self.owners[who];
        owner.customer.take(&content, &opened.answer);
        if expected.consumes_count() {
            owner.failures = 0;
        } else if expected == Reason::AuthenticationFailed && !owner.revoked {
            owner.failures += 1;
        }
        if expected == Reason::Paid {
            let (account, moved) = (owner.customer.account, i128::from(units));
            *self.reference.accounts.get_mut(&account).unwrap() -= moved;
            self.reference.shop += moved;
            self.reference.paid.entry(number).or_default().push((account, units));
            self.reference.ever_paid[usize::from(number)] = true;
            self.reference.cycle.0 += 1;
            self.reference.cycle.1 += moved;
        }
    }

    /// What the reference expects for a refund order, and what it changes.
    fn expected_refund(&mut self, number: u8, order: u8) -> EntryResult {
        let reference = &mut self.reference;
        if let Some((before, result)) = reference.orders.get(&order) {
            return if *before == number { result.clone() } else { EntryResult::Refused(EntryRefusal::OtherNumber) };
        }
        if reference.suspended {
            return EntryResult::Refused(EntryRefusal::MerchantSuspended);
        }
        if !reference.ever_paid[usize::from(number)] {
            return EntryResult::Refused(EntryRefusal::NothingPaid);
        }
        let payments = reference.paid.get(&number).cloned().unwrap_or_default();
        let sum: u64 = payments.iter().map(|(_, units)| units).sum();
        if payments.is_empty() {
            return EntryResult::Refused(EntryRefusal::NothingLeft);
        }
        if reference.shop < i128::from(sum) {
            return EntryResult::Refused(EntryRefusal::TooLittleAccrued);
        }
        for (account, units) in &payments {
            *reference.accounts.get_mut(account).unwrap() += i128::from(*units);
        }
        reference.shop -= i128::from(sum);
        reference.cycle.2 += i128::from(sum);
        reference.paid.remove(&number);
        let result = EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units: sum.into() }]);
        reference.orders.insert(order, (number, result.clone()));
        result
    }

    fn refund(&mut self, number: u8, order: u8) {
        let expected = self.expected_refund(number, order);
        self.batches += 1;
        let entry = BatchEntry::Refund { order: RefundOrderId([order; 16]), number: TransactionNumber([number; 16]) };
        let batch = self.world().batch(self.batches, vec![entry]);
        let world = self.world.as_mut().expect("it runs");
        let bytes = protocol::codec::Canonical::encode(&batch);
        let admitted = tps::desk::clerk::admit(&world.engine, world.realm, &bytes).unwrap();
        let answer = world.clerk.answer(&admitted).unwrap();
        let told: protocol::desk::DeskAnswer = protocol::codec::Canonical::decode(&answer).unwrap();
        assert_eq!(told.results(), [expected]);
        self.last_batch = Some((batch, answer));
    }

    fn settle(&mut self) {
        let engine = Arc::clone(&self.world().engine);
        let settings =
            Settings { schedule: Schedule::new(24, 0).unwrap(), fees: BTreeMap::from([(Asset::USD6, FEES)]) };
        let data = self.place.data();
        let pages = PageDirectory::new(&data.settlements(), self.place.realm.realm);
        let key = SigningKey::from_seed([0x44; 32]);
        let closing = Closing { engine: &engine, settings: &settings, pages: &pages, key: &key };
        let started_at = Timestamp(1);
        // What was paid and refunded so far lies before the cut-off.
        let reached = engine.now();
        let until = loop {
            let now = engine.now();
            let last = last_cycle(engine.reader().as_ref()).unwrap().map_or(started_at, |last| last.until);
            if now > reached && now > last {
                break now;
            }
        };
        closing.close(started_at, until).unwrap().expect("nothing is under way");

        let reference = &mut self.reference;
        let (payments, credited, refunded) = std::mem::take(&mut reference.cycle);
        let gained = reference.carried + credited - refunded;
        let there = gained.min(reference.shop).max(0);
        let fees = (credited * 20_000 / 1_000_000 + i128::from(payments)).min(there);
        let payout = if reference.suspended { 0 } else { (there - fees) / 100 * 100 };
        reference.carried = gained - fees - payout;
        reference.shop -= fees + payout;
        reference.fees += fees;
        reference.outside += payout;
    }

    fn check(&self) {
        let world = self.world();
        let reference = &self.reference;
        assert_eq!(total(&world.engine), 0, "money was lost or invented");
        let accounts = world.engine.read(|book| book.accounts().collect::<Vec<_>>()).concat();
        let found: BTreeMap<AccountId, i128> = accounts.iter().map(|account| (account.id, account.balance)).collect();
        assert_eq!(found, reference.accounts);
        let sum = |party: Party| world.engine.read(move |book| book.balance(party, Asset::USD6)).iter().sum::<i128>();
        assert_eq!(
            (world.accrued(), sum(Party::Fees), sum(Party::Funding)),
            (reference.shop, reference.fees, reference.outside)
        );
        for owner in &self.owners {
            let id = owner.customer.instrument;
            let instrument = world.engine.read(move |book| book.instrument(id)).into_iter().flatten().next().unwrap();
            assert_eq!(instrument.state.last_count + 1, owner.customer.count);
            assert_eq!((instrument.held, instrument.revoked), (owner.held, owner.revoked));
            assert_eq!(instrument.state.pin_failures, owner.failures);
            let pin = owner.has_pin.then(|| owner.customer.modified_pin());
            assert_eq!(instrument.state.current, pin);
        }
    }
}

// spec: K-58, K-98, K-99, K-100, K-115, K-116, K-120, K-125
#[test]
fn every_life_follows_the_reference_ledger() {
    let cases = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(steps in steps())| {
        let mut life = Life::new();
        for step in steps {
            life.take(step);
            life.check();
        }
    });
}
