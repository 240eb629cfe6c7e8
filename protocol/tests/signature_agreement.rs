//! Batch, single and arbiter give one verdict for every input: honest, constructed (`vectors/signature/rule.json`) and
//! mutated signatures, mixed in batches of many sizes.

#![allow(clippy::unwrap_used, reason = "vectors that do not parse are failing tests")]

use kernels::{Backend, Name};
use proptest::prelude::*;
use proptest::sample::Index;
use protocol::signature::{
    BATCH_CHUNK_ITEMS_MAX, BatchReport, Clause, CustomerKey, CustomerRole, Domain, EnrolledKey, Item, Signature,
    SigningKey, judge, verify, verify_batch, verify_batch_with,
};
use serde::Deserialize;

const DOMAIN: Domain<CustomerRole> = Domain::REQUEST_FOR_PAYMENT;

/// A signature with everything it needs.
#[derive(Clone, Debug)]
struct Signed {
    key: CustomerKey,
    message: Vec<u8>,
    signature: Signature,
}

impl Signed {
    fn honest(number: u64) -> Self {
        let mut seed = [0x21; 32];
        seed[..8].copy_from_slice(&(number % 16).to_le_bytes());
        let key = SigningKey::from_seed(seed);
        let message = number.to_le_bytes().to_vec();
        let signature = key.sign(DOMAIN, &message);
        Self { key: CustomerKey::parse(&key.public()).unwrap(), message, signature }
    }

    fn item(&self) -> Item<'_> {
        Item { key: self.key.enrolled(), message: &self.message, signature: &self.signature }
    }
}

/// The report that all backends with instructions of this processor share.
fn batch(signed: &[Signed], seed: [u8; 32]) -> BatchReport {
    let items: Vec<_> = signed.iter().map(Signed::item).collect();
    let report = verify_batch(DOMAIN, &items, seed);
    for name in [Name::Ifma, Name::Avx2, Name::Portable] {
        if let Some(backend) = Backend::forced(name) {
            assert_eq!(verify_batch_with(backend, DOMAIN, &items, seed), report, "{name}");
        }
    }
    report
}

/// Checks every item on every path, and the documented bound on the work.
fn assert_agreement(signed: &[Signed], seed: [u8; 32]) {
    let report = batch(signed, seed);
    assert_eq!(report.verdicts.len(), signed.len());
    for (i, (one, verdict)) in signed.iter().zip(&report.verdicts).enumerate() {
        assert_eq!(*verdict, verify(&one.key, DOMAIN, &one.message, &one.signature), "item {i}, single: {one:?}");
        let judged = judge(DOMAIN, one.key.as_bytes(), &one.message, &one.signature);
        assert_eq!(*verdict, judged, "item {i}, arbiter: {one:?}");
    }
    assert_eq!(report.all_valid(), report.verdicts.iter().all(Result::is_ok));
    assert!(report.work.multiplied <= 2 * signed.len() && report.work.singles <= signed.len(), "{:?}", report.work);
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// The frozen cases whose key can be held at all.
fn constructed() -> Vec<Signed> {
    #[derive(Deserialize)]
    struct Case {
        public: String,
        message: String,
        signature: String,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("../vectors/signature/rule.json")).unwrap();
    let signed = cases.into_iter().filter_map(|case| {
        let key = CustomerKey::from_enrolled(bytes(&case.public)).ok()?;
        let message = hex::decode(case.message).unwrap().strip_prefix(DOMAIN.prefix()).unwrap().to_vec();
        Some(Signed { key, message, signature: Signature(bytes(&case.signature)) })
    });
    signed.collect()
}

#[derive(Clone, Debug)]
enum Mutation {
    None,
    SignatureBit(Index),
    SignatureByte(Index, u8),
    MessageBit(Index),
    MessageLength(bool),
    KeyOf(Index),
    KeyBit(Index),
    Random([u8; 32], [u8; 32]),
    Constructed(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        12 => Just(Mutation::None),
        2 => any::<Index>().prop_map(Mutation::SignatureBit),
        1 => any::<(Index, u8)>().prop_map(|(at, value)| Mutation::SignatureByte(at, value)),
        1 => any::<Index>().prop_map(Mutation::MessageBit),
        1 => any::<bool>().prop_map(Mutation::MessageLength),
        1 => any::<Index>().prop_map(Mutation::KeyOf),
        1 => any::<Index>().prop_map(Mutation::KeyBit),
        1 => any::<([u8; 32], [u8; 32])>().prop_map(|(r, s)| Mutation::Random(r, s)),
        4 => any::<Index>().prop_map(Mutation::Constructed),
    ]
}

fn flip(bytes: &mut [u8], at: &Index) {
    let bit = at.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn mutate(one: &mut Signed, mutation: &Mutation, constructed: &[Signed]) {
    match mutation {
        Mutation::None => {}
        Mutation::SignatureBit(at) => flip(&mut one.signature.0, at),
        Mutation::SignatureByte(at, value) => one.signature.0[at.index(64)] = *value,
        Mutation::MessageBit(at) => flip(&mut one.message, at),
        Mutation::MessageLength(true) => one.message.push(0),
        Mutation::MessageLength(false) => drop(one.message.pop()),
        Mutation::KeyOf(other) => one.key = other.get(constructed).key.clone(),
        Mutation::KeyBit(at) => {
            let mut bytes = *one.key.as_bytes();
            flip(&mut bytes, at);
            match CustomerKey::from_enrolled(bytes) {
                Ok(key) => one.key = key,
                Err(error) => {
                    let judged = judge(DOMAIN, &bytes, &one.message, &one.signature);
                    assert_eq!(judged.err(), error.clause());
                }
            }
        }
        Mutation::Random(r, s) => {
            one.signature.0[..32].copy_from_slice(r);
            one.signature.0[32..].copy_from_slice(s);
            // Often below l, so that R is looked at.
            one.signature.0[63] &= 0x1f;
        }
        Mutation::Constructed(other) => *one = other.get(constructed).clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    // spec: K-54
    #[test]
    fn mutated_batches_agree(
        size in prop::sample::select(vec![0_usize, 1, 2, 3, 8, 64, 257]),
        mutations in prop::collection::vec(mutation(), 257),
        seed in any::<[u8; 32]>(),
    ) {
        let constructed = constructed();
        let mut signed: Vec<_> = (0..size as u64).map(Signed::honest).collect();
        for (one, mutation) in signed.iter_mut().zip(&mutations) {
            mutate(one, mutation, &constructed);
        }
        assert_agreement(&signed, seed);
    }

    #[test]
    fn no_bytes_panic(public: [u8; 32], signature in prop::array::uniform32(any::<u16>()), message: Vec<u8>) {
        let mut bytes = [0; 64];
        for (pair, value) in bytes.chunks_exact_mut(2).zip(signature) {
            pair.copy_from_slice(&value.to_le_bytes());
        }
        let signature = Signature(bytes);
        let judged = judge(DOMAIN, &public, &message, &signature);
        match CustomerKey::from_enrolled(public) {
            Ok(key) => assert_eq!(judged, verify(&key, DOMAIN, &message, &signature)),
            Err(error) => assert_eq!(judged.err(), error.clause()),
        }
        let _ = CustomerKey::parse(&public);
    }
}

#[test]
fn one_offender_is_found_at_every_position() {
    for size in [1, 2, 3, 8, 64, 257] {
        let honest: Vec<_> = (0..size as u64).map(Signed::honest).collect();
        for position in 0..size {
            let mut signed = honest.clone();
            signed[position].message[0] ^= 1;
            let report = batch(&signed, [position as u8; 32]);
            for (i, verdict) in report.verdicts.iter().enumerate() {
                assert_eq!(verdict.is_err(), i == position, "size {size}, position {position}, item {i}");
            }
            assert_eq!(report.verdicts[position], Err(Clause::Equation));
            assert!(report.work.multiplied <= 2 * size && report.work.singles <= 4, "{:?}", report.work);
        }
    }
}

#[test]
fn good_batches_take_one_equation_and_no_single_check() {
    for size in [2, 3, 8, 64, 257] {
        let signed: Vec<_> = (0..size as u64).map(Signed::honest).collect();
        let report = batch(&signed, [4; 32]);
        assert!(report.all_valid());
        assert_eq!((report.work.multiplied, report.work.singles), (size, 0));
    }
    assert!(batch(&[], [4; 32]).all_valid());
}

#[test]
fn work_is_bounded_when_everything_is_wrong() {
    for size in [1, 2, 5, 64, 257, 1024] {
        let mut signed: Vec<_> = (0..size as u64).map(Signed::honest).collect();
        signed.iter_mut().for_each(|one| one.message[0] ^= 1);
        let report = batch(&signed, [5; 32]);
        assert!(report.verdicts.iter().all(|verdict| *verdict == Err(Clause::Equation)));
        assert!(report.work.multiplied <= 2 * size && report.work.singles == size, "{:?}", report.work);
    }
}

/// Two wrongs that cancel in a plain sum: S + 1 in one signature, S - 1 in another, and the same under one key.
#[test]
fn opposite_errors_do_not_cancel() {
    use curve25519_dalek::scalar::Scalar;
    let mut signed: Vec<_> = (0..20).map(Signed::honest).collect();
    for (position, error) in [(0, Scalar::ONE), (16, -Scalar::ONE)] {
        let s_bytes = &mut signed[position].signature.0[32..];
        let s = Scalar::from_canonical_bytes((&*s_bytes).try_into().unwrap()).unwrap();
        s_bytes.copy_from_slice((s + error).as_bytes());
    }
    let report = batch(&signed, [0; 32]);
    let wrong: Vec<_> = (0..20).filter(|&i| report.verdicts[i].is_err()).collect();
    assert_eq!(wrong, [0, 16]);
}

#[test]
fn batches_longer_than_a_chunk_keep_their_order() {
    let mut signed: Vec<_> = (0..BATCH_CHUNK_ITEMS_MAX as u64 + 3).map(Signed::honest).collect();
    for position in [0, BATCH_CHUNK_ITEMS_MAX - 1, BATCH_CHUNK_ITEMS_MAX, BATCH_CHUNK_ITEMS_MAX + 2] {
        signed[position].message[0] ^= 1;
    }
    signed[7].signature.0[63] = 0xff;
    assert_agreement(&signed, [6; 32]);
}

/// All frozen cases at once, then each between honest ones, on the emulations of backends this processor may lack.
#[test]
fn emulated_backends_agree() {
    let mut signed = constructed();
    signed.extend((0..40).map(Signed::honest));
    let items: Vec<_> = signed.iter().map(Signed::item).collect();
    let expected = verify_batch_with(Backend::PORTABLE, DOMAIN, &items, [3; 32]);
    assert!(expected.verdicts.iter().any(Result::is_ok) && !expected.all_valid());
    for backend in [Name::EmulatedIfma, Name::EmulatedAvx2].map(|name| Backend::forced(name).unwrap()) {
        assert_eq!(verify_batch_with(backend, DOMAIN, &items, [3; 32]), expected, "{}", backend.name());
        for (item, verdict) in items.iter().zip(&expected.verdicts).take(items.len() - 40).step_by(4) {
            let mut batch = items[items.len() - 8..].to_vec();
            batch[5] = *item;
            let report = verify_batch_with(backend, DOMAIN, &batch, [4; 32]);
            assert_eq!(report.verdicts[5], *verdict, "{}", backend.name());
            assert!((0..8).all(|i| i == 5 || report.verdicts[i].is_ok()), "{}", backend.name());
        }
    }
}

/// The bytes of a damaged store: the batch applies clauses 1 to 3 too.
#[test]
fn keys_that_are_none_break_the_clause_that_the_arbiter_names() {
    let honest: Vec<_> = (0..9).map(Signed::honest).collect();
    let mut clauses = Vec::new();
    for low in 0..=0xff_u8 {
        for rest in [0, 0xff, 0x7f] {
            let mut bytes = [rest; 32];
            (bytes[0], bytes[31]) = (low, rest & 0x7f | low & 0x80);
            let key = EnrolledKey::from_store(bytes);
            let mut items: Vec<_> = honest.iter().map(Signed::item).collect();
            items[4].key = &key;
            let judged = judge(DOMAIN, &bytes, &honest[4].message, &honest[4].signature);
            let report = verify_batch(DOMAIN, &items, [8; 32]);
            for (i, verdict) in report.verdicts.into_iter().enumerate() {
                assert_eq!(verdict, if i == 4 { judged } else { Ok(()) }, "{bytes:x?}");
            }
            clauses.extend(judged.err());
        }
    }
    for clause in [Clause::KeyNotCanonical, Clause::KeyNotOnCurve, Clause::KeySmallOrder, Clause::Equation] {
        assert!(clauses.contains(&clause), "no case for {clause:?}");
    }
}
