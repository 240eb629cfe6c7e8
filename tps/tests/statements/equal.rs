//! Statements of any period against a reference ledger, whatever moved.

use proptest::prelude::*;
use protocol::ids::{AccountId, InstrumentId, MerchantId};
use protocol::ledger::posting::{Party, Posting, transfer};
use protocol::money::{Amount, Asset};
use protocol::session::AgreementPublic;
use protocol::time::Timestamp;
use tps::book::import::ImportRow;
use tps::book::orders::Order as LedgerOrder;
use tps::pipeline::{Engine, EngineConfig};
use tps::statement::movement::Kind;
use tps::statement::walk::Scope;

use crate::common::*;
use crate::{OTHER_MERCHANT, Told, book_balance, make, moment, order, path_of, pay, read, told};

/// Something that moves money.
#[derive(Debug, Clone, Copy)]
enum Step {
    Deposit { customer: usize, units: u64 },
    Pay { customer: usize, other: bool, units: u64 },
    Refund { customer: usize, other: bool, units: u64 },
    Settle { other: bool, fee: u64, payout: u64 },
    Return { other: bool, units: u64 },
    Moment,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..3, 1u64..1_000).prop_map(|(customer, units)| Step::Deposit { customer, units }),
        (0usize..3, any::<bool>(), 1u64..1_000).prop_map(|(customer, other, units)| Step::Pay {
            customer,
            other,
            units
        }),
        (0usize..3, any::<bool>(), 1u64..1_000).prop_map(|(customer, other, units)| Step::Refund {
            customer,
            other,
            units
        }),
        (any::<bool>(), 1u64..50, 1u64..1_000).prop_map(|(other, fee, payout)| Step::Settle { other, fee, payout }),
        (any::<bool>(), 1u64..1_000).prop_map(|(other, units)| Step::Return { other, units }),
        Just(Step::Moment),
    ];
    prop::collection::vec(step, 1..40)
}

/// The ledger that statements are compared with: kept by the test, from what it ordered.
#[derive(Default)]
pub(crate) struct Reference {
    /// (number of moments before it, party, kind, change)
    entries: Vec<(usize, Party, Kind, i128)>,
    pub(crate) moments: Vec<Timestamp>,
}

impl Reference {
    fn enter(&mut self, party: Party, kind: Kind, change: i128) {
        self.entries.push((self.moments.len(), party, kind, change));
    }

    /// What the statement of a period between two moments has to say.
    fn expected(&self, party: Party, from: usize, until: usize) -> Told {
        let mut told = Told::default();
        for (at, _, kind, change) in self.entries.iter().filter(|(_, of, ..)| *of == party) {
            if *at <= from {
                told.opening += change;
            } else if *at <= until {
                let sum = told.sums.entry(kind.name().to_owned()).or_default();
                *sum = (sum.0 + 1, sum.1 + change);
            }
        }
        told.closing = told.opening + told.sums.values().map(|(_, sum)| sum).sum::<i128>();
        told
    }
}

fn merchant(other: bool) -> MerchantId {
    if other { OTHER_MERCHANT } else { MERCHANT }
}

pub(crate) fn post(engine: &Engine, shard_key: u16, postings: Vec<Posting>) {
    engine.with_book(shard_key, move |book, now| book.transfer("moved".into(), &postings, Vec::new(), now)).unwrap();
}

fn carry_out(engine: &Engine, group: &mut [Customer], step: Step, reference: &mut Reference) {
    let amount = |units| Amount::new(units).unwrap();
    let signed = i128::from;
    match step {
        Step::Moment => reference.moments.push(moment(engine)),
        Step::Deposit { customer, units } => {
            let account = group[customer].account;
            let order = LedgerOrder::Fund { account, amount: amount(units), deposit: None };
            engine.order(account.shard_key(), order).unwrap();
            reference.enter(Party::Customer(account), Kind::Deposit, signed(units));
        }
        Step::Pay { customer, other, units } => {
            pay(engine, &mut group[customer], merchant(other), units);
            reference.enter(Party::Customer(group[customer].account), Kind::Payment, -signed(units));
            reference.enter(Party::Merchant(merchant(other)), Kind::Payment, signed(units));
        }
        // As a desk for refunds posts them: statements know no desk.
        Step::Refund { customer, other, units } => {
            let (account, merchant) = (group[customer].account, Party::Merchant(merchant(other)));
            let postings = transfer(merchant, Party::Customer(account), Asset::USD6, amount(units));
            post(engine, account.shard_key(), postings.to_vec());
            reference.enter(Party::Customer(account), Kind::Refund, signed(units));
            reference.enter(merchant, Kind::Refund, -signed(units));
        }
        Step::Settle { other, fee, payout } => {
            let merchant = Party::Merchant(merchant(other));
            let fees = transfer(merchant, Party::Fees, Asset::USD6, amount(fee));
            let paid_out = transfer(merchant, Party::Funding, Asset::USD6, amount(payout));
            post(engine, 0, [fees, paid_out].concat());
            reference.enter(merchant, Kind::Fee, -signed(fee));
            reference.enter(merchant, Kind::Payout, -signed(payout));
        }
        Step::Return { other, units } => {
            let merchant = Party::Merchant(merchant(other));
            post(engine, 0, transfer(Party::Funding, merchant, Asset::USD6, amount(units)).to_vec());
            reference.enter(merchant, Kind::PayoutReturned, signed(units));
        }
    }
}
pub(crate) fn world(shards: u16) -> (Engine, Vec<Customer>, Reference) {
    let engine = engine(EngineConfig { shards, workers: 2, ..EngineConfig::default() });
    let session_public = AgreementPublic(random());
    let order =
        LedgerOrder::RegisterMerchant { id: OTHER_MERCHANT, name: "Other".into(), request: vec![1], session_public };
    engine.order(0, order).unwrap();
    engine.order(0, LedgerOrder::CertifyMerchant { id: OTHER_MERCHANT, certificate: vec![2] }).unwrap();
    let group: Vec<Customer> = (0..3).map(|_| customers(&engine, 100_000, 1).remove(0)).collect();
    let mut reference = Reference::default();
    for customer in &group {
        reference.enter(Party::Customer(customer.account), Kind::Deposit, 100_000);
    }
    reference.moments.push(moment(&engine));
    (engine, group, reference)
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]

    // spec: K-106
    #[test]
    fn statements_of_every_period_equal_the_ledger(steps in steps(), shards in prop::sample::select(vec![1u16, 3])) {
        let (engine, mut group, mut reference) = world(shards);
        for step in steps {
            carry_out(&engine, &mut group, step, &mut reference);
        }
        reference.moments.push(moment(&engine));
        let last = reference.moments.len() - 1;
        let parties: Vec<Party> = group
            .iter()
            .map(|customer| Party::Customer(customer.account))
            .chain([Party::Merchant(MERCHANT), Party::Merchant(OTHER_MERCHANT)])
            .collect();
        let directory = tempfile::tempdir().unwrap();
        for from in 0..last {
            let path = directory.path().join(from.to_string());
            // To the next moment, and from the first on to the end.
            let (from, until) = if from == 0 { (0, last) } else { (from, from + 1) };
            make(&engine, order(Scope::All, (reference.moments[from], reference.moments[until]), &path));
            for party in &parties {
                let statement = read(&path_of(&path, *party));
                prop_assert_eq!(told(&statement), reference.expected(*party, from, until));
                if until == last {
                    prop_assert_eq!(told(&statement).closing, book_balance(&engine, *party), "it is the book's");
                }
            }
            let summary = read(&path.join("summary.json"));
            prop_assert_eq!(&summary["statements"], 5);
            prop_assert!(!path.join("unsorted").exists());
        }
        // One party's statement alone is the same, byte for byte.
        for party in &parties {
            let scope = match party {
                Party::Customer(id) => Scope::Account(*id),
                Party::Merchant(id) => Scope::Merchant(*id),
                other => panic!("{other:?} has no statement"),
            };
            let path = directory.path().join(format!("{scope:?}"));
            make(&engine, order(scope, (reference.moments[0], reference.moments[last]), &path));
            let all = std::fs::read(path_of(&directory.path().join("0"), *party)).unwrap();
            prop_assert_eq!(std::fs::read(path_of(&path, *party)).unwrap(), all);
        }
        prop_assert_eq!(total(&engine), 0);
        engine.drain();
    }
}

/// Issuers choose ids as they like; only the shard is the account's.
// spec: K-106
#[test]
fn payments_of_imported_instruments_are_in_the_statement_of_their_account() {
    for shards in [1, 3] {
        let (engine, ..) = world(shards);
        let account = AccountId([6; 16]);
        let mut customer = Customer::new(account);
        // Of the same shard in either ledger, as 0x0606 is a multiple of 3.
        customer.instrument = InstrumentId([9; 16]);
        let row = ImportRow {
            line: 1,
            instrument: customer.instrument,
            account,
            asset: Asset::USD6,
            opening_units: 500,
            signing_public: customer.signing_public(),
            device_key: customer.device,
            pin: "314159".to_owned(),
            label: String::new(),
        };
        engine.import(vec![row]).unwrap().unwrap();
        pay(&engine, &mut customer, crate::common::MERCHANT, 70);
        let directory = tempfile::tempdir().unwrap();
        let (path, until) = (directory.path().join("one"), moment(&engine));
        make(&engine, order(Scope::Account(account), (Timestamp(0), until), &path));
        let told = told(&read(&path_of(&path, Party::Customer(account))));
        assert_eq!((told.sums["deposit"], told.sums["payment"], told.closing), ((1, 500), (1, -70), 430));
        assert_eq!(told.closing, book_balance(&engine, Party::Customer(account)));
        engine.drain();
    }
}
