//! A genuine proof, altered: no verifier accepts it, whether it knows the batch or not, and all give the same reason.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use protocol::ids::{KeyId, MerchantId, QuoteDigest, RealmId, TermsDigest, TransactionNumber};
use protocol::money::{Amount, Asset};
use protocol::proof::batch::{BatchSeed, prepare};
use protocol::proof::verify::{ProofKey, Verifier};
use protocol::proof::{Claim, Outcome};
use protocol::request::PaymentKind;
use protocol::signature::{ProofRole, SigningKey};
use protocol::time::Timestamp;

const REALM: RealmId = RealmId([1; 16]);
const KEY: KeyId = KeyId([2; 8]);
const TIME: Timestamp = Timestamp(1_800_000_000_000);

struct World {
    /// One proof of each batch. The openings of all others were never released.
    genuine: Vec<Vec<u8>>,
    /// Knows all batches.
    warm: Verifier,
    /// Checks every signature, since long ago: its key is prepared.
    forgetful: Verifier,
    keys: [ProofKey; 1],
}

impl World {
    fn new() -> Self {
        let signing = SigningKey::<ProofRole>::from_seed([5; 32]);
        let keys =
            [ProofKey { id: KEY, public: signing.public(), valid_from: Timestamp(0), valid_until: TIME.plus(9) }];
        let genuine: Vec<Vec<u8>> = [(1, 0), (2, 1), (5, 4), (64, 17), (1000, 999)]
            .into_iter()
            .map(|(size, chosen)| {
                let claims: Vec<Claim> = (0..size).map(claim).collect();
                let seed = BatchSeed::from_random([size as u8; 32]);
                let (batch, mut places) = prepare(&claims, REALM, TIME, seed, &signing, KEY);
                let outcome = if size % 2 == 0 { Outcome::NotPaid } else { Outcome::Paid };
                batch.proof(&places.swap_remove(chosen).release(outcome)).encode()
            })
            .collect();
        let (mut warm, mut forgetful) = (Verifier::new(REALM, keys, 8), Verifier::new(REALM, keys, 0));
        for _ in 0..100 {
            for proof in &genuine {
                assert!(warm.verify(proof).is_ok() && forgetful.verify(proof).is_ok());
            }
        }
        Self { genuine, warm, forgetful, keys }
    }
}

fn claim(number: usize) -> Claim {
    Claim {
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        merchant: MerchantId([7; 16]),
        number: TransactionNumber([number as u8; 16]),
        amount: Amount::new(1_000 + number as u64).expect("a small amount"),
        asset: Asset::USD6,
        quote_digest: QuoteDigest([number as u8; 32]),
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// Does what the input says: exchanges bytes, copies pieces of another proof, cuts off, appends.
fn alter(proof: &mut Vec<u8>, other: &[u8], edits: &[u8]) {
    for [what, high, low, with] in edits.as_chunks::<4>().0.iter().take(64) {
        let place = usize::from(u16::from_be_bytes([*high, *low]));
        match what % 8 {
            0..=2 if !proof.is_empty() => {
                let place = place % proof.len();
                proof[place] ^= with;
            }
            3 if !proof.is_empty() => {
                let place = place % proof.len();
                proof[place] = *with;
            }
            4 => {
                let (start, length) = (place % other.len(), usize::from(*with));
                let end = other.len().min(proof.len()).min(start + length);
                if start < end {
                    proof[start..end].copy_from_slice(&other[start..end]);
                }
            }
            5 => proof.truncate(place),
            6 => proof.extend(std::iter::repeat_n(*with, place % 64)),
            7 if proof.len() >= 64 => {
                let (start, chunks) = (proof.len() - 64, usize::from(*with) % 64);
                proof[start..].rotate_left(chunks);
            }
            _ => {}
        }
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (which, other, edits) = input;
    WORLD.with_borrow_mut(|World { genuine, warm, forgetful, keys }| {
        let mut proof = genuine[usize::from(which) % genuine.len()].clone();
        alter(&mut proof, &genuine[usize::from(other) % genuine.len()], edits);
        let known = warm.verify(&proof);
        assert_eq!(known.is_ok(), genuine.contains(&proof), "what is accepted is genuine, and the reverse");
        assert_eq!(known, forgetful.verify(&proof));
        assert_eq!(known, Verifier::new(REALM, *keys, 1).verify(&proof));
        assert_eq!(warm.remembered(), genuine.len());
    });
});
