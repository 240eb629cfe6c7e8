//! Proofs from preparation to verification.

use super::batch::{BatchSeed, PreparedPlace, SignedBatch, prepare, rebuild};
use super::verify::{ProofError, ProofKey, Verifier};
use super::*;
use crate::signature::{ProofRole, SigningKey};

const REALM: RealmId = RealmId([1; 16]);
const KEY: KeyId = KeyId([2; 8]);
const TIME: Timestamp = Timestamp(1_800_000_000_000);

fn signing_key() -> SigningKey<ProofRole> {
    SigningKey::from_seed([5; 32])
}

fn claim(number: u8) -> Claim {
    Claim {
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        merchant: MerchantId([7; 16]),
        number: TransactionNumber([number; 16]),
        amount: Amount::new(1_000 + u64::from(number)).unwrap(),
        asset: Asset::USD6,
        quote_digest: QuoteDigest([number; 32]),
    }
}

fn batch(size: usize) -> (SignedBatch, Vec<PreparedPlace>) {
    let claims: Vec<Claim> = (0..size).map(|index| claim(index as u8)).collect();
    prepare(&claims, REALM, TIME, BatchSeed::from_random([9; 32]), &signing_key(), KEY)
}

fn verifier() -> Verifier {
    let key = ProofKey {
        id: KEY,
        public: signing_key().public(),
        valid_from: Timestamp(0),
        valid_until: Timestamp(u64::MAX),
    };
    Verifier::new(REALM, [key], 8)
}

/// A valid proof for tests elsewhere.
pub(crate) fn example_proof(outcome: Outcome) -> Vec<u8> {
    let (batch, mut places) = batch(5);
    let released = places.swap_remove(2).release(outcome);
    batch.proof(&released).encode()
}

// spec: K-67, K-68
#[test]
fn both_outcomes_are_prepared_and_one_is_released() {
    for size in [1, 2, 3, 5, 64, 1000, 1024] {
        let (batch, places) = batch(size);
        let mut verifier = verifier();
        for (position, place) in places.into_iter().enumerate() {
            let outcome = if position % 3 == 0 { Outcome::NotPaid } else { Outcome::Paid };
            let released = place.release(outcome);
            let proof = batch.proof(&released);
            let bytes = proof.encode();
            assert!(bytes.len() <= PROOF_BYTES_MAX);
            let verified = verifier.verify(&bytes).unwrap();
            assert_eq!(verified.outcome(), outcome);
            assert_eq!(verified.statement().number, TransactionNumber([position as u8; 16]));
            // The opposite cannot be said with what was released.
            let mut opposite = proof.clone();
            opposite.outcome = if outcome == Outcome::Paid { Outcome::NotPaid } else { Outcome::Paid };
            assert_eq!(verifier.verify(&opposite.encode()), Err(ProofError::BadSignature));
        }
        assert_eq!(verifier.remembered(), 1, "one signature for the batch");
    }
}

// spec: K-75, K-81
#[test]
fn any_altered_byte_is_refused_cached_or_not() {
    let bytes = example_proof(Outcome::Paid);
    let mut warm = verifier();
    warm.verify(&bytes).unwrap();
    for index in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut altered = bytes.clone();
            altered[index] ^= bit;
            assert!(warm.verify(&altered).is_err(), "byte {index}");
            assert!(verifier().verify(&altered).is_err(), "byte {index}");
        }
    }
    assert!(warm.verify(&bytes[..bytes.len() - 1]).is_err());
    assert!(warm.verify(&[&bytes[..], &[0]].concat()).is_err());
    assert_eq!(warm.remembered(), 1, "failures are not remembered");
}

#[test]
fn realm_key_and_time_must_fit() {
    let bytes = example_proof(Outcome::Paid);
    let key = |id, valid_from, valid_until| ProofKey { id, public: signing_key().public(), valid_from, valid_until };
    let late = key(KEY, TIME.plus(1), TIME.plus(2));
    let early = key(KEY, Timestamp(0), Timestamp(TIME.0 - 1));
    for outside in [late, early] {
        let error = Verifier::new(REALM, [outside], 8).verify(&bytes);
        assert_eq!(error, Err(ProofError::OutsideValidity { key: KEY, batch_time: TIME }));
    }
    let exact = key(KEY, TIME, TIME);
    assert!(Verifier::new(REALM, [exact], 8).verify(&bytes).is_ok());
    assert_eq!(
        Verifier::new(REALM, [key(KeyId([3; 8]), TIME, TIME)], 8).verify(&bytes),
        Err(ProofError::UnknownKey(KEY))
    );
    assert_eq!(Verifier::new(RealmId([8; 16]), [exact], 8).verify(&bytes), Err(ProofError::OtherRealm(REALM)));
}

// spec: K-75, K-81
#[test]
fn verdicts_stay_the_same_once_the_key_is_prepared() {
    let bytes = example_proof(Outcome::Paid);
    let mut altered = bytes.clone();
    altered[PROOF_HEAD_BYTES - 1] ^= 1;
    let key = ProofKey {
        id: KEY,
        public: signing_key().public(),
        valid_from: Timestamp(0),
        valid_until: Timestamp(u64::MAX),
    };
    let small_order = ProofKey { public: [0; 32], ..key };
    let (mut forgetful, mut hopeless) = (Verifier::new(REALM, [key], 0), Verifier::new(REALM, [small_order], 0));
    for _ in 0..100 {
        assert_eq!(forgetful.verify(&altered), Err(ProofError::BadSignature));
        assert_eq!(forgetful.verify(&bytes).map(|proof| proof.outcome()), Ok(Outcome::Paid));
        assert_eq!(hopeless.verify(&bytes), Err(ProofError::BadSignature));
    }
}

#[test]
fn what_is_remembered_is_bounded_and_purged_with_the_keys() {
    let mut verifier = verifier();
    for round in 0..20u8 {
        let seed = BatchSeed::from_random([round; 32]);
        let (batch, mut places) = prepare(&[claim(round)], REALM, TIME, seed, &signing_key(), KEY);
        let released = places.remove(0).release(Outcome::Paid);
        verifier.verify(&batch.proof(&released).encode()).unwrap();
        assert!(verifier.remembered() <= 8);
    }
    verifier.replace_keys([]);
    assert_eq!(verifier.remembered(), 0);
    assert_eq!(verifier.verify(&example_proof(Outcome::Paid)), Err(ProofError::UnknownKey(KEY)));
}

// spec: K-61
#[test]
fn a_stored_proof_is_rebuilt_to_the_same_bytes() {
    let (batch, places) = batch(100);
    for place in places {
        let released = place.release(Outcome::Paid);
        let stored = rebuild(&released, batch.header(), batch.signature(), batch.leaves().to_vec());
        assert_eq!(stored.encode(), batch.proof(&released).encode());
    }
}

// spec: K-42, K-71, K-77
#[test]
fn proofs_depend_on_the_open_half_alone() {
    // Preparation takes claims only; a proof is statement, outcome, opening, commitment, place, key, signature, path.
    let Statement {
        proof_version: _,
        suite: _,
        realm: _,
        kind: _,
        terms: _,
        payment: _,
        merchant: _,
        number: _,
        amount: _,
        asset: _,
        quote_digest: _,
        batch_time: _,
    } = Statement::new(&claim(1), REALM, PaymentId([0; 16]), TIME);
    let denial = || {
        let (batch, mut places) = batch(4);
        batch.proof(&places.swap_remove(2).release(Outcome::NotPaid)).encode()
    };
    assert_eq!(denial(), denial());
}

#[test]
fn leaves_are_sorted_by_payment_id() {
    let (_, places) = batch(50);
    let mut names: Vec<(u16, PaymentId)> =
        places.iter().map(|place| (place.index(), place.statement().payment)).collect();
    names.sort();
    assert!(names.is_sorted_by_key(|(_, payment)| *payment));
}
