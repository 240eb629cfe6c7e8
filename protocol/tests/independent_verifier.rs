//! A verifier of proofs written from `docs/protocol.md` alone, sections 2, 3, 4 and 9: as somebody else would write it in
//! another language. It calls BLAKE3 and Ed25519 and nothing of this project; the comparison with the project's own
//! verifier stands apart, at the end.

#![allow(clippy::unwrap_used, reason = "vectors that cannot be read are failing tests")]

/// What is pinned: the realm, and the proof keys that are not revoked.
struct Pinned {
    realm: [u8; 16],
    keys: Vec<PinnedKey>,
}

struct PinnedKey {
    id: [u8; 8],
    public: [u8; 32],
    valid_from: u64,
    valid_until: u64,
}

/// Why a proof is refused: by the steps of section 9.2.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Refusal {
    /// Steps 1 to 3.
    Malformed,
    /// Step 4.
    OtherRealm,
    /// Step 5.
    UnknownKey,
    /// Step 5.
    OutsideValidity,
    /// Step 10.
    BadSignature,
}

/// The values of the steps, for the comparison with the vectors.
#[derive(Debug)]
struct Steps {
    paid: bool,
    commitment_paid: [u8; 32],
    commitment_unpaid: [u8; 32],
    leaf: [u8; 32],
    root: [u8; 32],
    header: Vec<u8>,
}

/// `H(p, data)` of section 3.
fn tagged_hash(purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let context = format!("quittance v1 {purpose}");
    let key = blake3::hash(context.as_bytes());
    *blake3::keyed_hash(key.as_bytes(), &parts.concat()).as_bytes()
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().unwrap())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

/// Section 2: 1 to 8 of A-Z and 0-9, then zero bytes.
fn is_asset(bytes: &[u8]) -> bool {
    let code = bytes.iter().take_while(|byte| **byte != 0).count();
    code > 0
        && bytes[..code].iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && bytes[code..].iter().all(|byte| *byte == 0)
}

/// Section 9.2, step 3.
fn path_length(index: u16, size: u16) -> usize {
    let (mut place, mut last, mut length) = (index, size - 1, 0);
    while last > 0 {
        if place % 2 == 1 || place < last {
            length += 1;
        }
        place >>= 1;
        last >>= 1;
    }
    length
}

/// Section 4.1: the strict equation, and a canonical public key.
fn strictly_signed(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    // y below 2^255 - 19: not all of its upper bits one with a low byte of 0xed or more.
    let mut y = *public;
    y[31] &= 0x7f;
    let y_not_below_p = y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff) && y[0] >= 0xed;
    // x = 0 with sign bit 1 is of small order too, which the strict verification refuses.
    if y_not_below_p {
        return false;
    }
    let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(public) else { return false };
    let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
    key.verify_strict(message, &signature).is_ok()
}

/// Section 9.2, step by step.
fn verify(bytes: &[u8], pinned: &Pinned) -> Result<Steps, Refusal> {
    // Step 1.
    if bytes.len() < 296 || bytes[0] != 1 || bytes[1] != 1 {
        return Err(Refusal::Malformed);
    }
    let amount = u64_at(bytes, 99);
    if !(1..=1_000_000_000_000_000).contains(&amount) || !is_asset(&bytes[107..115]) || bytes[155] > 1 {
        return Err(Refusal::Malformed);
    }
    // Step 2.
    let (index, size) = (u16_at(bytes, 220), u16_at(bytes, 222));
    if !(1..=1024).contains(&size) || index >= size {
        return Err(Refusal::Malformed);
    }
    // Step 3.
    if bytes.len() != 296 + 32 * path_length(index, size) {
        return Err(Refusal::Malformed);
    }
    // Step 4.
    if bytes[2..18] != pinned.realm {
        return Err(Refusal::OtherRealm);
    }
    // Step 5.
    let batch_time = u64_at(bytes, 147);
    let key = pinned.keys.iter().find(|key| key.id == bytes[224..232]).ok_or(Refusal::UnknownKey)?;
    if batch_time < key.valid_from || batch_time > key.valid_until {
        return Err(Refusal::OutsideValidity);
    }
    // Step 6.
    let paid = bytes[155] == 1;
    let (opening, other): (&[u8], [u8; 32]) = (&bytes[156..188], bytes[188..220].try_into().unwrap());
    let (commitment_paid, commitment_unpaid) = if paid {
        (tagged_hash("commitment paid", &[opening]), other)
    } else {
        (other, tagged_hash("commitment unpaid", &[opening]))
    };
    // Step 7.
    let leaf = tagged_hash("proof leaf", &[&bytes[..155], &commitment_paid, &commitment_unpaid]);
    // Step 8.
    let mut path = bytes[296..].chunks(32);
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    while last > 0 {
        if place % 2 == 1 {
            hash = tagged_hash("proof node", &[path.next().unwrap(), &hash]);
        } else if place < last {
            hash = tagged_hash("proof node", &[&hash, path.next().unwrap()]);
        }
        place >>= 1;
        last >>= 1;
    }
    // Step 9.
    let header = [&[1, 1], &bytes[2..18], &bytes[224..232], &bytes[147..155], &bytes[222..224], &hash].concat();
    // Step 10.
    let message = [b"quittance/v1/batch-root\0", &header[..]].concat();
    if !strictly_signed(&key.public, &message, &bytes[232..296]) {
        return Err(Refusal::BadSignature);
    }
    Ok(Steps { paid, commitment_paid, commitment_unpaid, leaf, root: hash, header })
}

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../vectors/proof.json")).unwrap()
}

fn bytes_of(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &serde_json::Value) -> [u8; N] {
    bytes_of(value).try_into().unwrap()
}

fn pinned(vectors: &serde_json::Value) -> Pinned {
    let key = |key: &serde_json::Value| PinnedKey {
        id: array(&key["id"]),
        public: array(&key["public"]),
        valid_from: key["valid_from"].as_u64().unwrap(),
        valid_until: key["valid_until"].as_u64().unwrap(),
    };
    Pinned { realm: array(&vectors["realm"]), keys: vectors["keys"].as_array().unwrap().iter().map(key).collect() }
}

/// Every proof of the vectors.
fn proofs(vectors: &serde_json::Value) -> Vec<Vec<u8>> {
    let batches = vectors["batches"].as_array().unwrap().iter();
    batches.flat_map(|batch| batch["proofs"].as_array().unwrap()).map(|proof| bytes_of(&proof["proof"])).collect()
}

#[test]
fn the_document_alone_verifies_every_vector_and_every_step_of_it() {
    let vectors = vectors();
    let pinned = pinned(&vectors);
    let mut verified = 0;
    for batch in vectors["batches"].as_array().unwrap() {
        for proof in batch["proofs"].as_array().unwrap() {
            let steps = verify(&bytes_of(&proof["proof"]), &pinned).unwrap();
            assert_eq!(u64::from(steps.paid), proof["outcome"].as_u64().unwrap());
            assert_eq!(steps.commitment_paid, array(&proof["commitment_paid"]));
            assert_eq!(steps.commitment_unpaid, array(&proof["commitment_unpaid"]));
            assert_eq!(steps.leaf, array(&proof["leaf"]));
            assert_eq!(steps.root, array(&proof["root"]));
            assert_eq!(steps.header, bytes_of(&batch["header"]));
            verified += 1;
        }
    }
    assert!(verified >= 30, "{verified}");
}

// spec: K-75, K-81
#[test]
fn what_the_vectors_refuse_is_refused_for_the_same_reason() {
    let vectors = vectors();
    let pinned = pinned(&vectors);
    let refused = vectors["refused"].as_array().unwrap();
    for case in refused {
        let refusal = verify(&bytes_of(&case["proof"]), &pinned).unwrap_err();
        assert_eq!(format!("{refusal:?}"), case["error"].as_str().unwrap(), "{}", case["name"]);
    }
    assert!(refused.len() >= 30);
}

/// The comparison: here, and only here, the project's own verifier is called.
mod agreement {
    use protocol::ids::{KeyId, RealmId};
    use protocol::proof::Outcome;
    use protocol::proof::verify::{ProofError, ProofKey, Verifier};
    use protocol::time::Timestamp;

    use super::{Pinned, Refusal, pinned, proofs, vectors, verify};

    fn own(pinned: &Pinned, remembered: usize) -> Verifier {
        let keys = pinned.keys.iter().map(|key| ProofKey {
            id: KeyId(key.id),
            public: key.public,
            valid_from: Timestamp(key.valid_from),
            valid_until: Timestamp(key.valid_until),
        });
        Verifier::new(RealmId(pinned.realm), keys, remembered)
    }

    /// Both verdicts, in the same words: paid or not, or why refused.
    fn both(bytes: &[u8], pinned: &Pinned, own: &mut Verifier) -> [Result<bool, Refusal>; 2] {
        let own = own.verify(bytes).map(|verified| verified.outcome() == Outcome::Paid).map_err(|error| match error {
            ProofError::Malformed(_) => Refusal::Malformed,
            ProofError::OtherRealm(_) => Refusal::OtherRealm,
            ProofError::UnknownKey(_) => Refusal::UnknownKey,
            ProofError::OutsideValidity { .. } => Refusal::OutsideValidity,
            ProofError::BadSignature => Refusal::BadSignature,
        });
        [verify(bytes, pinned).map(|steps| steps.paid), own]
    }

    // spec: K-75, K-81
    #[test]
    fn both_verifiers_agree_on_every_mutation() {
        let vectors = vectors();
        let pinned = pinned(&vectors);
        // One verifier that checks every signature, and one that remembers the headers of the genuine proofs.
        let (mut cold, mut warm) = (own(&pinned, 0), own(&pinned, 64));
        let mut compared = 0;
        let mut compare = |bytes: &[u8], genuine: bool| {
            let [document, program] = both(bytes, &pinned, &mut cold);
            assert_eq!(document, program);
            assert_eq!(both(bytes, &pinned, &mut warm)[1], program);
            assert_eq!(document.is_ok(), genuine);
            compared += 1;
        };
        let proofs = proofs(&vectors);
        for proof in &proofs {
            compare(proof, true);
        }
        // One bit of every byte of some, every truncation in steps, and a node too many.
        for proof in proofs.iter().step_by(7) {
            for place in 0..proof.len() {
                let mut altered = proof.clone();
                altered[place] ^= 1 << (place % 8);
                compare(&altered, false);
            }
            for length in (0..proof.len()).step_by(13) {
                compare(&proof[..length], false);
            }
            compare(&[&proof[..], &[0; 32]].concat(), false);
        }
        // Every index and size: only the true ones lead to the signed root.
        let proof = &proofs[proofs.len() - 1];
        for number in 0..2_048u16 {
            for offset in [220, 222] {
                let mut altered = proof.clone();
                altered[offset..offset + 2].copy_from_slice(&number.to_le_bytes());
                if altered != *proof {
                    compare(&altered, false);
                }
            }
        }
        assert!(compared > 5_000, "{compared}");
    }
}
