//! The pipeline with its threads: many customers at once, several shards, drain, overload.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::sync::Arc;

use common::*;
use protocol::codec::Fixed;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::response::{Reason, open};
use tps::pipeline::engine::Intake;
use tps::pipeline::{EngineConfig, ReplyTo, Sealed};

fn pay_concurrently(shards: u16, workers: usize, rounds: u64) {
    let engine = engine(EngineConfig { shards, workers, ..EngineConfig::default() });
    let mut groups: Vec<Vec<Customer>> = (0..8).map(|_| customers(&engine, 10_000_000, 3)).collect();
    std::thread::scope(|scope| {
        for customer in groups.iter_mut().flatten() {
            let engine = &engine;
            scope.spawn(move || {
                let mut verifier = verifier();
                for units in 1..=rounds {
                    let content = customer.content(units);
                    let request = customer.request(&content);
                    let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
                    assert_eq!(opened.answer.reason, Reason::Paid);
                    verifier.verify(&opened.proof_bytes).unwrap();
                    customer.take(&content, &opened.answer);
                }
            });
        }
    });
    assert_eq!(total(&engine), 0);
    let spent_each: i128 = 3 * (1..=i128::from(rounds)).sum::<i128>();
    for group in &groups {
        let account = group[0].account;
        let balances = engine.read(move |book| book.account(account).map(|account| account.balance));
        assert_eq!(balances.into_iter().flatten().collect::<Vec<_>>(), [10_000_000 - spent_each]);
    }
    assert_eq!(engine.counters().paid(), 8 * 3 * rounds);
    engine.drain();
}

// spec: K-15, K-69
#[test]
fn ten_thousand_payments_of_many_customers_need_no_second_channel() {
    pay_concurrently(1, 2, 420);
}

// spec: K-69
#[test]
fn many_customers_pay_at_once_on_several_shards() {
    pay_concurrently(3, 4, 20);
}

#[test]
fn accounts_of_a_shard_are_found_again_after_a_restart_with_the_same_shards() {
    let engine = engine(EngineConfig { shards: 4, ..EngineConfig::default() });
    let group = customers(&engine, 500, 1);
    let (reader, registry) = (engine.reader(), engine.reader().registry().unwrap());
    let books = tps::book::Book::load(reader, &registry, 4, |_| {}).unwrap();
    let found: usize = books.iter().map(|book| book.accounts().count()).sum();
    assert_eq!(found, 1);
    drop(group);
    engine.drain();
}

#[test]
fn merchants_are_known_to_every_shard() {
    let engine = engine(EngineConfig { shards: 4, ..EngineConfig::default() });
    let standings =
        engine.read(|book| book.standing(MERCHANT) == protocol::ledger::decision::MerchantStanding::Certified);
    assert_eq!(standings, [true; 4]);
    engine.order(0, tps::book::orders::Order::SuspendMerchant { id: MERCHANT }).unwrap();
    let standings =
        engine.read(|book| book.standing(MERCHANT) == protocol::ledger::decision::MerchantStanding::Suspended);
    assert_eq!(standings, [true; 4]);
    engine.drain();
}

#[test]
fn a_closed_intake_answers_with_its_reason() {
    let engine = engine(EngineConfig::default());
    let customer = customers(&engine, 500, 1).remove(0);
    let request = customer.request(&customer.content(1));
    let closed = [
        (Intake::Draining, ErrorCode::Draining),
        (Intake::DiskLow, ErrorCode::DiskLow),
        (Intake::NoProofKey, ErrorCode::NoProofKey),
    ];
    for (state, code) in closed {
        engine.set_intake(state);
        let error = ErrorMessage::decode(&submit(&engine, &request.bytes)).unwrap();
        assert_eq!(error.code(), code);
        assert!(error.retry_after_ms > 0);
    }
    engine.set_intake(Intake::Open);
    let opened = open(&submit(&engine, &request.bytes), &request.hash, &request.session).unwrap();
    assert_eq!(opened.answer.reason, Reason::Paid, "nothing was resolved by the refusals");
    engine.drain();
}

// spec: K-133
#[test]
fn garbage_and_overload_are_answered_early_and_payments_go_on() {
    let engine = engine(EngineConfig { queue_requests: 64, ..EngineConfig::default() });
    let mut customer = customers(&engine, 500, 1).remove(0);
    let mut garbage = customer.request(&customer.content(1)).bytes;
    let last = garbage.len() - 1;
    garbage[last] ^= 1;
    let (answers_out, answers) = crossbeam_channel::unbounded();
    let sink = Arc::new(ChannelSink(answers_out));
    for _ in 0..5_000 {
        let reply = ReplyTo::new(Arc::clone(&sink) as Arc<dyn tps::pipeline::AnswerSink>, 0);
        engine.submit(Sealed::parse(&garbage, engine.session_keys(), reply).unwrap());
    }
    let mut codes = std::collections::HashMap::new();
    for _ in 0..5_000 {
        let answer = answers.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        *codes.entry(ErrorMessage::decode(&answer).unwrap().code() as u16).or_insert(0u32) += 1;
    }
    assert!(codes[&(ErrorCode::DoesNotOpen as u16)] >= 64, "{codes:?}");
    assert!(codes[&(ErrorCode::Overloaded as u16)] > 0, "{codes:?}");
    assert_eq!(engine.counters().batches.get(), 0, "garbage costs no signature");
    let content = customer.content(1);
    let request = customer.request(&content);
    let opened = open(&submit(&engine, &request.bytes), &request.hash, &request.session).unwrap();
    customer.take(&content, &opened.answer);
    assert_eq!(opened.answer.reason, Reason::Paid);
    engine.drain();
}

#[test]
fn drain_answers_everything_that_was_taken_in() {
    let engine = engine(EngineConfig::default());
    let group = customers(&engine, 100_000, 200);
    let (answers_out, answers) = crossbeam_channel::unbounded();
    let sink = Arc::new(ChannelSink(answers_out));
    for customer in &group {
        let request = customer.request(&customer.content(1));
        let reply = ReplyTo::new(Arc::clone(&sink) as Arc<dyn tps::pipeline::AnswerSink>, 0);
        engine.submit(Sealed::parse(&request.bytes, engine.session_keys(), reply).unwrap());
    }
    engine.drain();
    assert_eq!(answers.try_iter().filter(|answer| answer.len() > 200).count(), 200);
}

#[test]
fn below_its_end_the_log_has_no_gaps_left_to_be_filled() {
    let engine = engine(EngineConfig { shards: 3, workers: 4, ..EngineConfig::default() });
    let mut groups: Vec<Vec<Customer>> = (0..6).map(|_| customers(&engine, 1_000_000, 2)).collect();
    let below = |number: u64| {
        let mut count = 0;
        engine.reader().for_each_payment(&mut |place, _| count += u64::from(place.batch < number)).unwrap();
        count
    };
    let seen = std::thread::scope(|scope| {
        let paying: Vec<_> = groups
            .iter_mut()
            .flatten()
            .map(|customer| {
                let engine = &engine;
                scope.spawn(move || {
                    for units in 1..=25 {
                        let content = customer.content(units);
                        let request = customer.request(&content);
                        let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
                        customer.take(&content, &opened.answer);
                    }
                })
            })
            .collect();
        let mut seen = Vec::new();
        while !paying.iter().all(|thread| thread.is_finished()) {
            let number = engine.log_end().unwrap();
            seen.push((number, below(number)));
        }
        seen
    });
    assert!(seen.len() > 3 && seen.is_sorted(), "{seen:?}");
    for (number, count) in seen {
        assert_eq!(below(number), count, "below batch {number} something was committed after that");
    }
    assert_eq!(below(engine.log_end().unwrap()), 12 * 25);
}
