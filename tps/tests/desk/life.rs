//! The whole life of accounts against a reference ledger: enrol, set a PIN, pay, ask again, be denied, be locked, reset, hold, release,
//! fund, refund, settle, rotate keys, crash, back up, restore, in any order. After every step everybody has what the reference
//! says, the log holds what the reference made, and all balances sum to zero.

mod check;
mod disk;
mod reference;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskAnswer, DeskBatch};
use protocol::ids::*;
use protocol::key_set::KeyRole;
use protocol::ledger::instrument::Limits;
use protocol::money::{Amount, Asset};
use protocol::pin::{ModifiedPin, Pin};
use protocol::proof::Outcome;
use protocol::proof::verify::{ProofKey, Verifier};
use protocol::request::{Content, InstrumentKeys, ProcessorKey, seal};
use protocol::response::{Reason, open};
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use protocol::time::{MINUTE_MS, Timestamp};
use tps::book::orders::Order;
use tps::desk::Renewals;
use tps::desk::clerk::{Clerk, admit};
use tps::keys::{KeyRing, RotationStart, load_root, rotate};
use tps::operator::Registrar;
use tps::pipeline::clock::wall_clock;
use tps::pipeline::{Engine, EngineConfig};
use tps::settlement::close::{Closing, last_cycle};
use tps::settlement::fees::FeeSchedule;
use tps::settlement::pages::PageDirectory;
use tps::settlement::{Schedule, Settings};
use tps::store::Store;
use tps::store::holds::Holder;
use zeroize::Zeroizing;

use self::disk::Disk;
use self::reference::{FEE_PER_PAYMENT, FEE_PPM, Instrument, PAYOUT_UNIT, Reference};
use self::steps::{How, Step, steps};
use super::world::*;
use crate::common::*;

/// A customer's side: what it knows, and what it sent last.
struct Owner {
    customer: Customer,
    last: Option<(u64, Content, ModifiedPin)>,
}

/// What a backup holds, as the reference has it.
struct Kept {
    reference: Reference,
    last_batch: Option<(DeskBatch, Vec<u8>)>,
}

struct Life {
    place: Place,
    disk: Disk,
    world: Option<World>,
    owners: Vec<Owner>,
    reference: Reference,
    batches: u8,
    last_batch: Option<(DeskBatch, Vec<u8>)>,
    kept: Option<Kept>,
}

impl Life {
    fn new(make: fn(&Place) -> (Disk, Box<dyn Store>)) -> Self {
        let place = Place::new(2);
        let (disk, store) = make(&place);
        let (owners, reference) = (Vec::new(), Reference::default());
        let mut life = Self { place, disk, world: None, owners, reference, batches: 0, last_batch: None, kept: None };
        life.start(store);
        life.world().register(SHOP, "Shop", &shop_key());
        life
    }

    fn start(&mut self, store: Box<dyn Store>) {
        let (realm, data) = (self.place.realm.realm, self.place.data());
        let keys = KeyRing::load(&data).unwrap().engine_keys(realm, wall_clock()).unwrap();
        let config = EngineConfig { workers: 1, shards: 2, ..EngineConfig::default() };
        let engine = Arc::new(Engine::start(store, keys, config).unwrap());
        let registrar = Arc::new(Registrar::new(Arc::clone(&engine), data, self.place.realm.clone()));
        let settlements = Box::new(tps::desk::NoSettlements);
        let clerk = Clerk::new(Arc::clone(&engine), Arc::clone(&registrar), Renewals::Automatic, settlements);
        self.world = Some(World { engine, registrar, clerk, realm });
    }

    fn world(&self) -> &World {
        self.world.as_ref().expect("it runs")
    }

    fn order(&self, shard_key: u16, order: Order) {
        self.world().engine.order(shard_key, order).unwrap();
    }

    fn owner(&self, who: usize) -> Option<usize> {
        (!self.owners.is_empty()).then(|| who % self.owners.len())
    }

    /// Somebody whose instrument was not revoked, with its id.
    fn active(&self, who: usize) -> Option<(usize, InstrumentId)> {
        let who = self.owner(who)?;
        let id = self.owners[who].customer.instrument;
        (!self.reference.instruments[&id].revoked).then_some((who, id))
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Enrol { shared } => self.enrol(shared),
            Step::NewPin(who) => {
                let Some((who, id)) = self.active(who) else { return };
                let pin = Pin::from_random(6, u64::from_le_bytes(random())).unwrap();
                self.order(id.shard_key(), Order::SetPin { id, pin: pin.clone() });
                self.reference.instruments.get_mut(&id).unwrap().set_pin(pin.clone());
                let customer = &mut self.owners[who].customer;
                (customer.pin, customer.modifier) = (pin, protocol::pin::Modifier(0));
            }
            Step::Fund(who, units) => {
                let Some(who) = self.owner(who) else { return };
                let account = self.owners[who].customer.account;
                let order = Order::Fund { account, amount: Amount::new(units).unwrap(), deposit: None };
                self.order(account.shard_key(), order);
                self.reference.fund(account, units);
            }
            Step::Pay { who, units, number, how } => self.pay(who, units, number, how),
            Step::Hold(who, held) => {
                let Some((_, id)) = self.active(who) else { return };
                self.order(id.shard_key(), Order::HoldInstrument { id, held, by: Holder::Customer });
                self.reference.instruments.get_mut(&id).unwrap().held = held;
            }
            Step::HoldAccount(who, held) => {
                let Some(who) = self.owner(who) else { return };
                let account = self.owners[who].customer.account;
                self.order(account.shard_key(), Order::HoldAccount { account, held });
                let accounts = &mut self.reference.held_accounts;
                let _ = if held { accounts.insert(account) } else { accounts.remove(&account) };
            }
            Step::Revoke(who) => {
                let Some((_, id)) = self.active(who) else { return };
                self.order(id.shard_key(), Order::Revoke { id });
                self.reference.instruments.get_mut(&id).unwrap().revoked = true;
            }
            Step::Suspend(suspended) => {
                let certificate = self.world().merchant(SHOP).certificate;
                let certify = Order::CertifyMerchant { id: SHOP, certificate };
                self.order(0, if suspended { Order::SuspendMerchant { id: SHOP } } else { certify });
                self.reference.suspended = suspended;
            }
            Step::Refund { number, order } => self.refund(number, order),
            Step::Replay => {
                let Some((batch, answer)) = self.last_batch.clone() else { return };
                assert_eq!(self.hand_in(&batch), answer);
            }
            Step::Settle => self.settle(),
            Step::Rotate => self.rotate(),
            Step::Crash => {
                self.disk.crash();
                self.stop();
                let store = self.disk.recover(&self.place);
                self.start(store);
            }
            Step::Backup => {
                let engine = Arc::clone(&self.world().engine);
                if self.disk.back_up(&self.place, &engine) {
                    let (reference, last_batch) = (self.reference.clone(), self.last_batch.clone());
                    self.kept = Some(Kept { reference, last_batch });
                }
            }
            Step::Restore => self.restore(),
        }
    }

    fn stop(&mut self) {
        self.world = None;
    }

    fn rotate(&mut self) {
        let (data, realm) = (self.place.data(), self.place.realm.clone());
        let mut root = [0; 32];
        hex::decode_to_slice(&realm.root, &mut root).unwrap();
        let root = load_root(&data, None, &root).unwrap();
        for role in [KeyRole::Session, KeyRole::Proof, KeyRole::Desk] {
            rotate(&data, &realm, role, RotationStart::AtOnce, &root, wall_clock()).unwrap();
        }
        let before = self.world().engine.session_keys()[0].id();
        self.stop();
        let store = self.disk.recover(&self.place);
        self.start(store);
        let keys: Vec<KeyId> = self.world().engine.session_keys().iter().map(|key| key.id()).collect();
        assert!(keys[0] != before && keys.contains(&before), "a new one, and the old one still");
    }

    fn restore(&mut self) {
        let reached = self.world().engine.reader().last_commit().unwrap();
        self.stop();
        let restored = self.disk.restore(&self.place, reached);
        let store = self.disk.recover(&self.place);
        self.start(store);
        if !restored {
            return;
        }
        // Customers keep what they know of payments that the ledger has lost.
        let kept = self.kept.as_ref().expect("there is a backup");
        (self.reference, self.last_batch) = (kept.reference.clone(), kept.last_batch.clone());
        let known = &self.reference.instruments;
        self.owners.retain(|owner| known.contains_key(&owner.customer.instrument));
    }

    fn enrol(&mut self, shared: bool) {
        if self.owners.len() >= 4 {
            return;
        }
        let account = match self.owners.first().filter(|_| shared) {
            Some(owner) => owner.customer.account,
            None => {
                let id = AccountId(random());
                self.order(id.shard_key(), Order::OpenAccount { id, asset: Asset::USD6, reference: String::new() });
                id
            }
        };
        let customer = Customer::new(account);
        let (id, code) = (customer.instrument, protocol::enrolment::ActivationCode::from_random(random()));
        let (label, limits, expires_at) = (String::new(), Limits::default(), Timestamp(u64::MAX));
        let (signing_public, device_key) = (customer.signing_public(), customer.device);
        let order = Order::Enrol { id, account, label, limits, code_hash: code.hash(), expires_at };
        self.order(id.shard_key(), order);
        self.order(id.shard_key(), Order::Activate { id, code, signing_public, device_key });
        self.reference.accounts.entry(account).or_default();
        self.reference.instruments.insert(id, Instrument::new(account));
        self.owners.push(Owner { customer, last: None });
    }

    fn pay(&mut self, who: usize, units: u64, number: u8, how: How) {
        let Some(who) = self.owner(who) else { return };
        let engine = Arc::clone(&self.world().engine);
        let owner = &self.owners[who];
        let (id, pin) = (owner.customer.instrument, owner.customer.modified_pin());
        let (mut content, mut count) = (owner.customer.content(units), owner.customer.count);
        (content.merchant, content.number) = (SHOP, TransactionNumber([number; 16]));
        content.valid_until = engine.now().plus(MINUTE_MS);
        let (count, content, pin) = match (how, owner.last) {
            (How::Mistyped, _) => (count, content, ModifiedPin(u64::MAX)),
            (How::Ahead, _) => (count + 2, content, pin),
            (How::Again, Some(last)) => last,
            (How::Copied, Some((last, _, pin))) => (last, content, pin),
            _ => {
                count = count.max(1);
                (count, content, pin)
            }
        };
        let key = match how {
            How::OldKey => engine.session_keys().last(),
            _ => engine.session_keys().first(),
        };
        let key = key.unwrap();
        let processor = ProcessorKey { id: key.id(), public: key.public(), route: 0 };
        let signing = Some(SigningKey::from_seed(owner.customer.seed));
        let keys = InstrumentKeys { instrument: id, signing, device: Zeroizing::new(owner.customer.device) };
        let ephemeral = AgreementSecret::from_random(random());
        let request = seal(&content, count, &keys, pin, &processor, ephemeral).unwrap();
        let opened = open(&submit(&engine, &request.bytes), &request.hash, &request.session).unwrap();

        let before = self.reference.instruments[&id].last_count;
        let expected = self.reference.request(id, count, &content, pin);
        assert_eq!(opened.answer.reason, expected, "{how:?}");
        let proof = self.verifier().verify(&opened.proof_bytes).unwrap();
        assert_eq!(proof.outcome() == Outcome::Paid, expected == Reason::Paid);

        let known = self.reference.instruments.get_mut(&id).unwrap();
        let customer = &mut self.owners[who].customer;
        if known.last_count > before {
            let told = opened.answer.authenticated.expect("consumed means authenticated");
            known.advance(content.customer_part, told.processor_part);
            assert_eq!(told.balance, self.reference.accounts[&customer.account]);
            self.owners[who].last = Some((count, content, pin));
        }
        let customer = &mut self.owners[who].customer;
        if expected == Reason::CountMismatch {
            assert_eq!(opened.answer.count, before + 1, "the count that is right");
            customer.count = opened.answer.count;
        }
        customer.take(&content, &opened.answer);
    }

    fn verifier(&self) -> Verifier {
        let ring = KeyRing::load(&self.place.data()).unwrap();
        let keys = ring.keys().iter().filter(|key| key.role == KeyRole::Proof).map(|key| ProofKey {
            id: key.id(),
            public: key.public,
            valid_from: key.valid_from,
            valid_until: key.valid_until,
        });
        Verifier::new(self.place.realm.realm, keys, 4)
    }

    fn hand_in(&mut self, batch: &DeskBatch) -> Vec<u8> {
        let world = self.world.as_mut().expect("it runs");
        let admitted = admit(&world.engine, world.realm, &batch.encode()).unwrap();
        world.clerk.answer(&admitted).unwrap()
    }

    fn refund(&mut self, number: u8, order: u8) {
        let expected = self.reference.refund(number, order);
        self.batches += 1;
        let entry = BatchEntry::Refund { order: RefundOrderId([order; 16]), number: TransactionNumber([number; 16]) };
        let batch = self.world().batch(self.batches, vec![entry]);
        let answer = self.hand_in(&batch);
        assert_eq!(DeskAnswer::decode(&answer).unwrap().results(), [expected]);
        self.last_batch = Some((batch, answer));
    }

    fn settle(&mut self) {
        let engine = Arc::clone(&self.world().engine);
        let fees = FeeSchedule {
            share_ppm: FEE_PPM.try_into().unwrap(),
            per_payment: FEE_PER_PAYMENT,
            payout_unit: PAYOUT_UNIT,
        };
        let settings =
            Settings { schedule: Schedule::new(24, 0).unwrap(), fees: BTreeMap::from([(Asset::USD6, fees)]) };
        let pages = PageDirectory::new(&self.place.data().settlements(), self.place.realm.realm);
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
        self.reference.settle();
    }
}

fn live(make: fn(&Place) -> (Disk, Box<dyn Store>), steps: Vec<Step>) {
    let mut life = Life::new(make);
    for step in steps {
        life.take(step);
        life.check();
    }
    life.world().check(&life.place);
}

// spec: K-58, K-61, K-98, K-99, K-100, K-115, K-116, K-120, K-124, K-125
#[test]
fn every_life_follows_the_reference_ledger() {
    let cases = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(steps in steps(45))| live(Disk::simulated, steps));
}

/// The same over a real database, whose backups take its place.
// spec: K-58, K-98, K-100
#[cfg(feature = "rocksdb")]
#[test]
fn every_life_follows_the_reference_ledger_through_backups() {
    let cases = ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(steps in steps(30))| live(Disk::real, steps));
}
