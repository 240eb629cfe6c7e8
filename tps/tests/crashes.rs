//! The power fails at every point of a payment, on a disk that loses what was not synced.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use common::*;
use proptest::prelude::*;
use protocol::ledger::instrument::Limits;
use protocol::money::Amount;
use protocol::proof::Outcome;
use protocol::response::{Reason, open};
use tps::store::crash::{CrashDisk, CrashPoint};

fn world(disk_and_store: (CrashDisk, tps::store::crash::CrashStore)) -> (CrashDisk, Server, Customer) {
    let (disk, store) = disk_and_store;
    let mut server = Server::start(Box::new(store));
    server.register_merchant(MERCHANT, true);
    let account = server.account(1_000);
    let customer = server.customer(account, Limits::default());
    (disk, server, customer)
}

fn restarted(disk: &CrashDisk) -> Server {
    disk.crash();
    Server::start(Box::new(disk.recover()))
}

// spec: K-61, K-62
#[test]
fn a_crash_between_any_two_stages_costs_nobody_anything() {
    for crash in CRASHES {
        for units in [100, 5_000] {
            let (disk, mut server, mut customer) = world(CrashDisk::new(Server::genesis()));
            customer.pay(&mut server, 1);
            let content = customer.content(units);
            let request = customer.request(&content);
            let answers = server.process(&[&request.bytes], crash).unwrap();
            assert_eq!(answers, [None], "{crash:?}: nothing was told");
            let mut server = restarted(&disk);
            server.check_conservation();
            // The customer asks again until answered, and then once more.
            let opened = ask(&mut server, &customer.request(&content));
            assert_eq!(ask(&mut server, &customer.request(&content)), opened, "{crash:?}");
            customer.take(&content, &opened.answer);
            let (reason, left) = if units == 100 { (Reason::Paid, 899) } else { (Reason::InsufficientFunds, 999) };
            assert_eq!(opened.answer.reason, reason, "{crash:?}");
            assert_eq!(server.balance(customer.account), left, "{crash:?}");
            assert_eq!(verifier().verify(&opened.proof_bytes).unwrap().outcome(), reason.outcome());
            assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid, "{crash:?}: count and modifier agree");
            server.check_conservation();
        }
    }
}

// spec: K-62
#[test]
fn a_crash_inside_the_write_is_all_or_nothing() {
    for point in CrashPoint::ALL {
        let (disk, mut server, mut customer) = world(CrashDisk::new(Server::genesis()));
        let content = customer.content(100);
        disk.arm(point, disk.durable_commit() + 1);
        let request = customer.request(&content);
        assert!(server.process(&[&request.bytes], CrashAt::Nowhere).is_err(), "{point:?}: the process ends");
        let mut server = Server::start(Box::new(disk.recover()));
        server.check_conservation();
        assert!([1_000, 900].contains(&server.balance(customer.account)));
        let opened = ask(&mut server, &customer.request(&content));
        customer.take(&content, &opened.answer);
        assert_eq!(opened.answer.reason, Reason::Paid);
        assert_eq!(server.balance(customer.account), 900, "{point:?}: debited once");
        assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
    }
}

// spec: K-62
#[test]
fn what_was_told_survives_the_loss_of_everything_unsynced() {
    let told_and_kept = |disk_and_store| {
        let (disk, mut server, mut customer) = world(disk_and_store);
        assert_eq!(customer.pay(&mut server, 100).answer.reason, Reason::Paid);
        disk.crash();
        let snapshot = tps::store::Store::reader(&disk.recover()).snapshot().unwrap();
        snapshot.accounts.iter().any(|account| account.id == customer.account && account.balance == 900)
    };
    assert!(told_and_kept(CrashDisk::new(Server::genesis())));
    assert!(!told_and_kept(CrashDisk::without_sync(Server::genesis())), "without the sync this test would notice");
}

// spec: K-62
#[test]
fn failures_of_the_pin_are_durable_before_the_answer() {
    let (disk, mut server, customer) = world(CrashDisk::new(Server::genesis()));
    let wrong = protocol::pin::Pin::parse("000000").unwrap().modified(customer.modifier);
    for failures in 1..=5 {
        ask(&mut server, &customer.request_with(&customer.content(1), 1, wrong));
        server = restarted(&disk);
        assert_eq!(server.book.instrument(customer.instrument).unwrap().state.pin_failures, failures);
    }
    assert_eq!(ask(&mut server, &customer.request(&customer.content(1))).answer.reason, Reason::PinLocked);
}

#[test]
fn batch_times_never_decrease_across_restarts() {
    let (disk, mut server, mut customer) = world(CrashDisk::new(Server::genesis()));
    let mut verifier = verifier();
    let mut last = protocol::time::Timestamp(0);
    for _ in 0..5 {
        let opened = customer.pay(&mut server, 1);
        let time = verifier.verify(&opened.proof_bytes).unwrap().statement().batch_time;
        assert!(time >= last);
        last = time;
        server = restarted(&disk);
        assert!(server.clock.now() >= last);
    }
}

// spec: K-68
#[test]
fn no_byte_of_the_opposite_outcome_leaves_the_process_or_reaches_the_disk() {
    let (_, mut server, mut customer) = world(CrashDisk::new(Server::genesis()));
    let mut verifier = verifier();
    for units in [100, 5_000, 200, 7_000] {
        let opened = customer.pay(&mut server, units);
        let proof = protocol::proof::Proof::decode(&opened.proof_bytes).unwrap();
        let place = server.book.instrument(customer.instrument).unwrap().state.last_place;
        let stored = server.store.reader().outcome(place).unwrap();
        assert_eq!(stored.payment.opening, proof.opening);
        // All 32-byte strings that the answer and the records hold, taken as the opposite opening, verify nothing.
        let mut candidates =
            vec![stored.payment.opening, stored.payment.other_commitment, *blake3::hash(&proof.opening).as_bytes()];
        candidates.extend(stored.batch.leaves.iter().copied());
        candidates.extend(opened.proof_bytes.windows(32).map(|window| <[u8; 32]>::try_from(window).unwrap()));
        for opening in candidates {
            let mut forged = proof.clone();
            forged.outcome = if proof.outcome == Outcome::Paid { Outcome::NotPaid } else { Outcome::Paid };
            forged.other_commitment = protocol::proof::commitment(proof.outcome, &proof.opening);
            forged.opening = opening;
            assert!(verifier.verify(&forged.encode()).is_err());
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Pay { who: usize, units: u64 },
    LoseAnswer { who: usize, units: u64 },
    WrongPin { who: usize },
    Crash(usize),
    Fund { units: u64 },
    NewPin { who: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3usize, 1..400u64).prop_map(|(who, units)| Step::Pay { who, units }),
        2 => (0..3usize, 1..400u64).prop_map(|(who, units)| Step::LoseAnswer { who, units }),
        1 => (0..3usize).prop_map(|who| Step::WrongPin { who }),
        2 => (0..CRASHES.len()).prop_map(Step::Crash),
        1 => (1..500u64).prop_map(|units| Step::Fund { units }),
        1 => (0..3usize).prop_map(|who| Step::NewPin { who }),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    // spec: K-58, K-62, K-115
    #[test]
    fn random_lives_agree_with_a_plain_sum(steps in steps()) {
        let (disk, store) = CrashDisk::new(Server::genesis());
        let mut server = Server::start(Box::new(store));
        server.register_merchant(MERCHANT, true);
        let account = server.account(1_000);
        let mut customers: Vec<Customer> = (0..3).map(|_| server.customer(account, Limits::default())).collect();
        let mut expected: i128 = 1_000;
        for step in steps {
            match step {
                Step::Pay { who, units } => {
                    let reason = customers[who].pay(&mut server, units).answer.reason;
                    let affordable = expected >= i128::from(units);
                    prop_assert_eq!(reason, if affordable { Reason::Paid } else { Reason::InsufficientFunds });
                    expected -= if affordable { i128::from(units) } else { 0 };
                }
                Step::LoseAnswer { who, units } => {
                    let content = customers[who].content(units);
                    let first = ask(&mut server, &customers[who].request(&content));
                    let again = ask(&mut server, &customers[who].request(&content));
                    prop_assert_eq!(&first, &again);
                    customers[who].take(&content, &again.answer);
                    expected -= if again.answer.reason == Reason::Paid { i128::from(units) } else { 0 };
                }
                Step::WrongPin { who } => {
                    let wrong = protocol::pin::Pin::parse("000000").unwrap().modified(customers[who].modifier);
                    ask(&mut server, &customers[who].request_with(&customers[who].content(1), customers[who].count, wrong));
                    // Never so many in a row that it locks.
                    customers[who].pay(&mut server, 1_000_000);
                }
                Step::Crash(at) => {
                    let content = customers[0].content(10);
                    let request = customers[0].request(&content);
                    let _ = server.process(&[&request.bytes], CRASHES[at]);
                    disk.crash();
                    server = Server::start(Box::new(disk.recover()));
                    let opened = ask(&mut server, &customers[0].request(&content));
                    customers[0].take(&content, &opened.answer);
                    expected -= if opened.answer.reason == Reason::Paid { 10 } else { 0 };
                }
                Step::Fund { units } => {
                    let amount = Amount::new(units).unwrap();
                    server.order(&tps::book::orders::Order::Fund { account, amount, deposit: None }).unwrap();
                    expected += i128::from(units);
                }
                Step::NewPin { who } => {
                    let pin = protocol::pin::Pin::parse("555555").unwrap();
                    let id = customers[who].instrument;
                    server.order(&tps::book::orders::Order::SetPin { id, pin: pin.clone() }).unwrap();
                    (customers[who].pin, customers[who].modifier) = (pin, protocol::pin::Modifier(0));
                }
            }
            prop_assert_eq!(server.balance(account), expected);
            server.check_conservation();
            for customer in &customers {
                let state = &server.book.instrument(customer.instrument).unwrap().state;
                prop_assert_eq!(state.current, Some(customer.modified_pin()));
                prop_assert_eq!(state.last_count + 1, customer.count);
            }
        }
    }
}

#[test]
fn batches_of_many_payers_crash_and_recover_as_one() {
    for crash in CRASHES {
        let (disk, mut server, _) = world(CrashDisk::new(Server::genesis()));
        let account = server.account(100_000);
        let mut customers: Vec<Customer> = (0..100).map(|_| server.customer(account, Limits::default())).collect();
        let contents: Vec<_> = customers.iter().map(|customer| customer.content(7)).collect();
        let requests: Vec<_> =
            customers.iter().zip(&contents).map(|(customer, content)| customer.request(content)).collect();
        let messages: Vec<&[u8]> = requests.iter().map(|request| &request.bytes[..]).collect();
        server.process(&messages, crash).unwrap();
        let mut server = restarted(&disk);
        let requests: Vec<_> =
            customers.iter().zip(&contents).map(|(customer, content)| customer.request(content)).collect();
        let messages: Vec<&[u8]> = requests.iter().map(|request| &request.bytes[..]).collect();
        let answers = server.process(&messages, CrashAt::Nowhere).unwrap();
        for ((answer, request), (customer, content)) in
            answers.iter().zip(&requests).zip(customers.iter_mut().zip(&contents))
        {
            let opened = open(answer.as_ref().unwrap(), &request.hash, &request.session).unwrap();
            assert_eq!(opened.answer.reason, Reason::Paid);
            customer.take(content, &opened.answer);
        }
        assert_eq!(server.balance(account), 100_000 - 700, "{crash:?}");
        server.check_conservation();
    }
}
