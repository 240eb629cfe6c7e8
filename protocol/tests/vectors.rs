//! The vectors of `docs/protocol.md`, made anew from the code and compared byte for byte with the files in
//! `protocol/vectors/`. `QUITTANCE_WRITE_VECTORS=1 cargo test --release -p quittance-protocol --test vectors` writes them;
//! a change of one is a change of the protocol.
//!
//! Every key is a constant, so that whoever implements the protocol elsewhere can compute every value again. What the
//! library does not show (session keys, plaintexts of sealed parts) is computed here from the document.

#![allow(clippy::unwrap_used, reason = "vectors that cannot be made are failing tests")]

#[path = "vectors/document.rs"]
mod document;
#[path = "vectors/inputs.rs"]
mod inputs;
#[path = "vectors/layouts.rs"]
mod layouts;
#[path = "vectors/settlement.rs"]
mod settlement;

use inputs::*;
use protocol::certificate::{CertificateRequest, CertificateTerms, MerchantCertificate};
use protocol::codec::{Canonical, Fixed};
use protocol::desk::{
    BatchEntry, DeskAnswer, DeskBatch, DeskDescription, DeskError, DeskErrorCode, EntryRefusal, EntryResult,
    RefundedTotal, SettlementAnswer,
};
use protocol::enrolment::{ActivationAnswer, SignaturePolicy};
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::frame_header;
use protocol::hash::{Purpose, derive, mac, tagged};
use protocol::ids::{
    DeskBatchId, Digest, KeyId, MerchantId, PaymentId, QuoteDigest, RealmId, RefundOrderId, TransactionNumber,
};
use protocol::key_set::refresh::{KeySetPart, KeySetParts};
use protocol::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet, key_id};
use protocol::money::{Amount, Asset};
use protocol::notary::{ChainEnd, NotaryReceipt};
use protocol::pin::{Modifier, Pin};
use protocol::proof::tree::root_of_path;
use protocol::proof::verify::{ProofError, Verifier};
use protocol::proof::{Outcome, Proof, commitment, leaf};
use protocol::quote::{GoodsKind, Quote, QuoteItem, QuoteTerms};
use protocol::request::ReceivedRequest;
use protocol::response::{Answer, Authenticated, Reason};
use protocol::session::AgreementSecret;
use protocol::session::merchant::{MerchantSession, SessionTerms};
use protocol::signature::{CertificateRole, NotaryRole, RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};
use serde_json::{Value, json};

/// Compares `value` with the file, or writes the file.
fn compare(name: &str, value: &Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("QUITTANCE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let frozen = std::fs::read_to_string(&path).unwrap();
    assert!(frozen == text, "{name} differs from what the code makes: the protocol has changed");
}

// spec: K-31
#[test]
fn hashes() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let inputs: [&[u8]; 3] = [b"", b"abc", &all_bytes];
    let purposes: Vec<Value> = Purpose::ALL
        .iter()
        .map(|purpose| {
            json!({
                "purpose": purpose.text().strip_prefix("quittance v1 ").unwrap(),
                "context": purpose.text(),
                "H": inputs.map(|input| hex(&tagged(*purpose, input))),
                "D": inputs.map(|input| hex(&derive(*purpose, input)[..])),
            })
        })
        .collect();
    let key = [0x4b; 32];
    compare(
        "hashes.json",
        &json!({
            "inputs": inputs.map(hex),
            "purposes": purposes,
            "M": { "key": hex(&key), "outputs": inputs.map(|input| hex(&mac(&key, input))) },
            "X": { "purpose": "payment session", "material": hex(b"abc"), "bytes": 96,
                   "output": hex(&extended::<96>(Purpose::PAYMENT_SESSION, b"abc")) },
        }),
    );
}

#[test]
fn session() {
    let keys = payment_keys(EPHEMERAL);
    compare(
        "session.json",
        &json!({
            "ephemeral_secret": hex(&EPHEMERAL),
            "ephemeral_public": hex(&AgreementSecret::from_random(EPHEMERAL).public().0),
            "processor_secret": hex(&PROCESSOR),
            "processor_public": hex(&processor().public.0),
            "shared": hex(&shared(EPHEMERAL)),
            "request_key": hex(&keys[0]),
            "pin_key": hex(&keys[1]),
            "response_key": hex(&keys[2]),
        }),
    );
}

fn request_vector(signed: bool) -> Value {
    let sealed = sealed_request(signed);
    let received = ReceivedRequest::parse(&sealed.bytes).unwrap();
    let half = received.open(&sealed.session).unwrap();
    let bytes = half.encode();
    // What the document says of the sealed half, without the library: it opens with the documented key and nonce.
    assert_eq!(open_gcm(&payment_keys(EPHEMERAL)[0], &sealed.bytes[..166], &sealed.bytes[166..]), bytes);
    let signed_bytes = received.signed_bytes(&half);
    let device_tag = mac(&DEVICE_KEY, &[&signed_bytes[..], &half.signature].concat());
    assert_eq!(bytes[96..112], device_tag[..16]);
    let pin = modified_pin().0.to_le_bytes();
    let authenticated = [&pin[..], &signed_bytes, &half.signature, &bytes[96..112]].concat();
    assert_eq!(bytes[112..], mac(&payment_keys(EPHEMERAL)[1], &authenticated));
    json!({
        "open_half": hex(&sealed.bytes[..134]),
        "signed_bytes": hex(&signed_bytes),
        "signature": hex(&half.signature),
        "device_tag": hex(&bytes[96..112]),
        "pin_authenticator": hex(&bytes[112..]),
        "customer_half": hex(&bytes),
        "request": hex(&sealed.bytes),
        "request_hash": sealed.hash.to_string(),
    })
}

#[test]
fn request() {
    let content = content();
    let open = sealed_request(true).bytes;
    let hashed = [&open[13..134], &content.customer_part.0.to_le_bytes()].concat();
    assert_eq!(content.hash().0, tagged(Purpose::REQUEST_CONTENT, &hashed));
    let modified = |text: &str, modifier: u64| {
        let modified = Pin::parse(text).unwrap().modified(Modifier(modifier));
        json!({ "pin": text, "modifier": hex(&modifier.to_le_bytes()), "modified_pin": hex(&modified.0.to_le_bytes()) })
    };
    compare(
        "request.json",
        &json!({
            "inputs": {
                "ephemeral_secret": hex(&EPHEMERAL), "processor_public": hex(&processor().public.0),
                "processor_key_id": processor().id, "route": 0,
                "merchant": content.merchant, "number": content.number, "amount": content.amount, "asset": content.asset,
                "quote_digest": content.quote_digest, "valid_until": content.valid_until, "kind": content.kind,
                "terms": content.terms, "customer_part": hex(&content.customer_part.0.to_le_bytes()),
                "instrument": INSTRUMENT, "count": COUNT, "signing_seed": hex(&SIGNING_SEED),
                "signing_public": hex(&customer_key().public()), "device_key": hex(&DEVICE_KEY),
                "pin": PIN, "modifier": hex(&MODIFIER.to_le_bytes()),
                "modified_pin": hex(&modified_pin().0.to_le_bytes()),
            },
            "content_hash": content.hash().to_string(),
            "signed": request_vector(true),
            "unsigned": request_vector(false),
            "modified_pins": [
                modified("0000", 0), modified("0042", 0), modified("00042", 0), modified("271828", 99),
                modified("999999999999", 0), modified("123456", u64::MAX),
            ],
        }),
    );
}

#[test]
fn response() {
    let sealed = sealed_request(true);
    let told = Authenticated { processor_part: PROCESSOR_PART, modifier_in_force: true, balance: 4_950_000 };
    let renewed = Authenticated { modifier_in_force: false, ..told };
    let negative = Authenticated { balance: -1, ..told };
    let cases = [
        ("paid", Answer { reason: Reason::Paid, count: COUNT, authenticated: Some(told) }),
        ("paid, a new PIN was set since", Answer { reason: Reason::Paid, count: COUNT, authenticated: Some(renewed) }),
        ("insufficient funds", Answer { reason: Reason::InsufficientFunds, count: COUNT, authenticated: Some(told) }),
        (
            "a negative balance, to show its encoding",
            Answer { reason: Reason::Held, count: COUNT, authenticated: Some(negative) },
        ),
        ("authentication failed", Answer::bare(Reason::AuthenticationFailed)),
        ("count mismatch", Answer { count: 5, ..Answer::bare(Reason::CountMismatch) }),
    ];
    let cases = cases.map(|(name, answer)| {
        let (batch, mut places) = batch(3);
        let proof = batch.proof(&places.swap_remove(0).release(answer.reason.outcome())).encode();
        let bytes = protocol::response::seal(answer, &proof, &sealed.hash, &sealed.session);
        let associated = [&[1, 1, 2][..], &sealed.hash.0, &proof].concat();
        let outcome = open_siv(&payment_keys(EPHEMERAL)[2], &associated, &bytes[3..54]);
        assert_eq!(protocol::response::open(&bytes, &sealed.hash, &sealed.session).unwrap().answer, answer);
        json!({ "name": name, "reason": answer.reason as u8, "sealed_outcome": hex(&outcome), "proof": hex(&proof), "response": hex(&bytes) })
    });
    compare(
        "response.json",
        &json!({ "request": hex(&sealed.bytes), "request_hash": sealed.hash.to_string(),
                 "response_key": hex(&payment_keys(EPHEMERAL)[2]), "cases": cases }),
    );
}

fn proof_steps(proof: &Proof) -> Value {
    let revealed = commitment(proof.outcome, &proof.opening);
    let (paid, unpaid) = match proof.outcome {
        Outcome::Paid => (revealed, proof.other_commitment),
        Outcome::NotPaid => (proof.other_commitment, revealed),
    };
    let leaf = leaf(&proof.statement, &paid, &unpaid);
    let root = root_of_path(leaf, usize::from(proof.index), usize::from(proof.size), &proof.path);
    json!({
        "proof": hex(&proof.encode()), "outcome": proof.outcome as u8, "index": proof.index,
        "path_length": proof.path.len(), "statement": hex(&proof.statement.encode()),
        "commitment_paid": hex(&paid), "commitment_unpaid": hex(&unpaid), "leaf": hex(&leaf), "root": hex(&root),
    })
}

/// Proofs to be refused, with the name of the error that says why.
fn refused() -> Vec<Value> {
    let genuine = proof_of(5, 2, Outcome::Paid);
    let changed = |change: fn(&mut Proof)| {
        let mut proof = genuine.clone();
        change(&mut proof);
        proof.encode()
    };
    let byte = |offset: usize, value: u8| {
        let mut bytes = genuine.encode();
        bytes[offset] = value;
        bytes
    };
    let signed_by = |id, seed, time| {
        let key = SigningKey::from_seed(seed);
        let (batch, mut places) = protocol::proof::batch::prepare(&[claim(0)], REALM, time, batch_seed(), &key, id);
        batch.proof(&places.remove(0).release(Outcome::Paid)).encode()
    };
    let whole = genuine.encode();
    let cases = [
        ("proof version 2", byte(0, 2)),
        ("suite 2", byte(1, 2)),
        ("kind changed", byte(18, 1)),
        ("merchant changed", byte(67, 0)),
        ("amount zero", {
            let mut bytes = whole.clone();
            bytes[99..107].fill(0);
            bytes
        }),
        ("amount above the largest", {
            let mut bytes = whole.clone();
            bytes[99..107].copy_from_slice(&1_000_000_000_000_001u64.to_le_bytes());
            bytes
        }),
        ("amount changed", changed(|proof| proof.statement.amount = Amount::new(1).unwrap())),
        ("asset in lower case", byte(107, b'u')),
        ("asset with a gap", byte(108, 0)),
        ("asset empty", {
            let mut bytes = whole.clone();
            bytes[107..115].fill(0);
            bytes
        }),
        ("outcome 2", byte(155, 2)),
        ("outcome turned round", byte(155, 0)),
        (
            "opening and commitment exchanged",
            changed(|proof| core::mem::swap(&mut proof.opening, &mut proof.other_commitment)),
        ),
        ("index not below size", changed(|proof| proof.index = 5)),
        ("size zero", changed(|proof| proof.size = 0)),
        ("size above the largest", changed(|proof| proof.size = 1025)),
        ("another index with the same path length", changed(|proof| proof.index = 3)),
        ("another size with the same path length", changed(|proof| proof.size = 6)),
        ("a node too few", whole[..whole.len() - 32].to_vec()),
        ("a node too many", [&whole[..], &[0; 32]].concat()),
        ("a byte too few", whole[..whole.len() - 1].to_vec()),
        ("a byte too many", [&whole[..], &[0]].concat()),
        ("a node changed", byte(whole.len() - 1, whole[whole.len() - 1] ^ 1)),
        ("two nodes exchanged", changed(|proof| proof.path.swap(0, 1))),
        ("empty", Vec::new()),
        ("295 bytes", whole[..295].to_vec()),
        ("another realm", byte(2, 0)),
        ("unknown key", changed(|proof| proof.key = KeyId([3; 8]))),
        (
            "S of the signature not reduced",
            changed(|proof| {
                // S + l, the same number modulo the order.
                let mut carry = 0u16;
                for (byte, order) in proof.signature[32..].iter_mut().zip(ORDER) {
                    carry += u16::from(*byte) + u16::from(order);
                    *byte = carry as u8;
                    carry >>= 8;
                }
            }),
        ),
        ("signature zero", changed(|proof| proof.signature = [0; 64])),
        ("batch time after the key's validity", signed_by(proof_key_id(), PROOF_SEED, VALID_UNTIL.plus(1))),
        ("batch time before the key's validity", signed_by(proof_key_id(), PROOF_SEED, Timestamp(TIME.0 - DAY_MS - 1))),
        ("signed by another key", signed_by(proof_key_id(), [0x77; 32], TIME)),
    ];
    cases
        .into_iter()
        .map(|(name, bytes)| {
            let error = match verifier().verify(&bytes) {
                Ok(_) => panic!("{name} was accepted"),
                Err(ProofError::Malformed(_)) => "Malformed",
                Err(ProofError::OtherRealm(_)) => "OtherRealm",
                Err(ProofError::UnknownKey(_)) => "UnknownKey",
                Err(ProofError::OutsideValidity { .. }) => "OutsideValidity",
                Err(ProofError::BadSignature) => "BadSignature",
            };
            json!({ "name": name, "proof": hex(&bytes), "error": error })
        })
        .collect()
}

#[test]
fn proof() {
    let batches: Vec<Value> = [1usize, 2, 3, 5, 1024]
        .into_iter()
        .map(|size| {
            let indexes: Vec<u16> = if size < 10 { (0..size as u16).collect() } else { vec![0, 1, 511, 700, 1023] };
            let proofs: Vec<Value> = indexes
                .iter()
                .flat_map(|index| {
                    [Outcome::Paid, Outcome::NotPaid].map(|outcome| proof_steps(&proof_of(size, *index, outcome)))
                })
                .collect();
            let (batch, _) = batch(size);
            let signature = hex(batch.signature());
            json!({ "size": size, "header": hex(&batch.header().encode()), "signature": signature, "proofs": proofs })
        })
        .collect();
    for proof in batches.iter().flat_map(|batch| batch["proofs"].as_array().unwrap()) {
        verifier().verify(&hex::decode(proof["proof"].as_str().unwrap()).unwrap()).unwrap();
    }
    compare(
        "proof.json",
        &json!({
            "realm": REALM,
            "keys": [{
                "id": proof_key_id(), "public": hex(&proof_key().public()), "seed": hex(&PROOF_SEED),
                "valid_from": proof_keys()[0].valid_from, "valid_until": proof_keys()[0].valid_until,
            }],
            "batches": batches,
            "refused": refused(),
        }),
    );
}

#[test]
fn certificate() {
    let session = AgreementSecret::from_random([4; 32]);
    let request =
        CertificateRequest::new("Elm Music".into(), session.public(), &SigningKey::from_seed([3; 32])).unwrap();
    let (realm, merchant) = (RealmId([7; 16]), MerchantId([5; 16]));
    let terms = CertificateTerms { realm, serial: 1, merchant, valid_from: TIME, valid_until: TIME.plus(30 * DAY_MS) };
    let issuer = SigningKey::<CertificateRole>::from_seed([2; 32]);
    let certificate = MerchantCertificate::issue(&request, &terms, &issuer).unwrap();
    compare(
        "certificate.json",
        &json!({
            "inputs": {
                "session_secret": hex(&[4; 32]), "desk_seed": hex(&[3; 32]), "issuer_seed": hex(&[2; 32]),
                "issuer_key_id": key_id(KeyRole::Certificate, &issuer.public()), "name": "Elm Music", "realm": realm,
                "serial": 1, "merchant": merchant, "valid_from": terms.valid_from, "valid_until": terms.valid_until,
            },
            "request": hex(&request.encode()),
            "fingerprint": request.fingerprint(),
            "certificate": hex(&certificate.encode()),
            "digest": certificate.digest().to_string(),
        }),
    );
}

#[test]
fn key_set() {
    let set = |audience| {
        let mut set = KeySet::new(RealmId([7; 16]), audience, 3, TIME, 1_000_000);
        let other = if audience == Audience::Merchant { KeyRole::Proof } else { KeyRole::Session };
        set.keys = vec![
            KeyEntry::new(KeyRole::Certificate, [2; 32], TIME, TIME.plus(500_000)),
            KeyEntry::new(other, [3; 32], TIME, TIME.plus(500_000)),
            KeyEntry::new(other, [4; 32], TIME.plus(10), TIME.plus(500_000)),
        ];
        set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
        hex(&Canonical::encode(&set.sign(&SigningKey::<RootRole>::from_seed([1; 32])).unwrap()))
    };
    let ids = [KeyRole::Proof, KeyRole::Certificate, KeyRole::Session, KeyRole::Root]
        .map(|role| json!({ "role": role as u8, "public": hex(&[5; 32]), "id": key_id(role, &[5; 32]) }));
    compare(
        "key_set.json",
        &json!({
            "root_seed": hex(&[1; 32]),
            "root_public": hex(&SigningKey::<RootRole>::from_seed([1; 32]).public()),
            "key_ids": ids,
            "proof_key_id_of_05": key_id(KeyRole::Proof, &[5; 32]),
            "signed_key_set": set(Audience::Merchant),
            "signed_key_set_for_customers": set(Audience::Customer),
        }),
    );
}

// spec: K-107
#[test]
fn notary() {
    let (seed, root) = ([0x60; 32], SigningKey::<RootRole>::from_seed([1; 32]));
    let key = SigningKey::<NotaryRole>::from_seed(seed);
    let mut set = KeySet::new(REALM, Audience::Customer, 5, TIME, 1_000_000);
    set.keys = vec![KeyEntry::new(KeyRole::Notary, key.public(), TIME, TIME.plus(500_000))];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    let signed = set.sign(&root).unwrap();
    let pinned = signed.verify(&root.public(), Some(REALM), Audience::Customer, TIME, 0).unwrap();
    let mut end = ChainEnd::default();
    let receipts: Vec<Value> = (0..3u8)
        .map(|at| {
            let digest = Digest([0x70 + at; 32]);
            let receipt = NotaryReceipt::sign(REALM, &end, TIME.plus(u64::from(at)), digest, &key).unwrap();
            assert_eq!((receipt.verify(&pinned), receipt.follows(&end)), (Ok(()), Ok(())));
            end = receipt.chain_end();
            json!({ "digest": digest, "time": receipt.time, "receipt": hex(&receipt.encode()), "hash": end.hash })
        })
        .collect();
    compare(
        "notary.json",
        &json!({
            "seed": hex(&seed),
            "root_public": hex(&root.public()),
            "key_id": key_id(KeyRole::Notary, &key.public()),
            "signed_key_set_for_customers": hex(&Canonical::encode(&signed)),
            "receipts": receipts,
        }),
    );
}

#[test]
fn key_set_refresh() {
    let mut set = KeySet::new(RealmId([7; 16]), Audience::Customer, 4, TIME, 1_000_000);
    set.keys = (0..64u8).map(|at| KeyEntry::new(KeyRole::Session, [at + 1; 32], TIME, TIME.plus(500_000))).collect();
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    let signed = Canonical::encode(&set.sign(&SigningKey::<RootRole>::from_seed([1; 32])).unwrap());
    let mut parts = KeySetParts::default();
    let mut exchanges = Vec::new();
    let whole = loop {
        let request = parts.next();
        let part = KeySetPart::of(&signed, request.part).unwrap();
        exchanges.push(json!({ "request": hex(&request.encode()), "answer": hex(&part.encode()) }));
        if let Some(whole) = parts.take(part).unwrap() {
            break whole;
        }
    };
    assert_eq!((whole == signed, exchanges.len()), (true, 2));
    compare("key_set_refresh.json", &json!({ "signed_key_set": hex(&signed), "exchanges": exchanges }));
}

#[test]
fn quote() {
    let item = |code: &str, units| QuoteItem {
        code: code.into(),
        description: "A song".into(),
        quantity: 1,
        amount: Amount::new(units).unwrap(),
    };
    let quote = Quote::new(QuoteTerms {
        realm: RealmId([1; 16]),
        merchant: MerchantId([2; 16]),
        number: TransactionNumber([3; 16]),
        items: vec![item("song-1", 20_000), item("song-2", 30_000)],
        asset: Asset::USD6,
        goods: GoodsKind::Digital,
        issued_at: TIME,
        lifetime_ms: 600_000,
        salt: [4; 32],
    })
    .unwrap();
    compare(
        "quote.json",
        &json!({ "quote": quote, "salt": hex(&[4; 32]), "bytes": hex(&quote.encode()), "digest": quote.digest() }),
    );
}

// spec: K-31
#[test]
fn merchant_session() {
    let (ephemeral, secret) = (AgreementSecret::from_random([1; 32]), AgreementSecret::from_random([2; 32]));
    let terms = SessionTerms { certificate: Digest([3; 32]), quote: QuoteDigest([4; 32]) };
    let (session, _) = MerchantSession::for_merchant(&secret, &ephemeral.public(), &terms).unwrap();
    let shared = secret.agree(&ephemeral.public()).unwrap();
    let parts = [&shared[..], &ephemeral.public().0, &secret.public().0, &terms.certificate.0, &terms.quote.0];
    let master = derive(Purpose::MERCHANT_SESSION, &parts.concat());
    let exposed = session.expose();
    let names = ["quote", "advice", "send_goods", "goods", "token", "token_seal", "acknowledgment", "refund"];
    let mut keys: serde_json::Map<String, Value> =
        names.iter().zip(exposed.chunks(32)).map(|(name, key)| ((*name).to_owned(), hex(key).into())).collect();
    keys.insert("address".into(), hex(&derive(Purpose::MERCHANT_ADDRESS, &master[..])[..]).into());
    // The documented derivation gives what the library gives.
    assert_eq!(keys["goods"], hex(&derive(Purpose::MERCHANT_GOODS, &master[..])[..]));
    compare(
        "merchant_session.json",
        &json!({
            "ephemeral_secret": hex(&[1; 32]), "ephemeral_public": hex(&ephemeral.public().0),
            "merchant_secret": hex(&[2; 32]), "merchant_public": hex(&secret.public().0),
            "certificate_digest": terms.certificate.to_string(), "quote_digest": terms.quote.to_string(),
            "shared": hex(&shared[..]), "master": hex(&master[..]), "keys": keys,
        }),
    );
}

#[test]
fn activation() {
    let (message, session) = made_activation();
    let bytes = message.encode();
    let plain = open_gcm(&activation_keys(EPHEMERAL)[0], &bytes[..43], &bytes[43..]);
    let answer = ActivationAnswer::new(&message, &session, 41, SignaturePolicy::Required).encode();
    let digest = tagged(Purpose::ENROLMENT_REQUEST, &bytes);
    let associated = [&[1, 1, 0x11][..], &digest].concat();
    let answer_plain = open_siv(&activation_keys(EPHEMERAL)[1], &associated, &answer[3..]);
    assert_eq!(answer_plain, [&41u64.to_le_bytes()[..], &[1]].concat());
    compare(
        "activation.json",
        &json!({
            "inputs": {
                "realm": REALM, "instrument": INSTRUMENT, "activation_code": hex(&ACTIVATION_CODE),
                "signing_seed": hex(&SIGNING_SEED), "device_key": hex(&DEVICE_KEY), "ephemeral_secret": hex(&EPHEMERAL),
                "processor_secret": hex(&PROCESSOR), "processor_key_id": processor().id,
            },
            "bundle": hex(&bundle().encode()),
            "request_key": hex(&activation_keys(EPHEMERAL)[0]),
            "answer_key": hex(&activation_keys(EPHEMERAL)[1]),
            "possession": hex(&possession()),
            "plaintext": hex(&plain),
            "activation": hex(&bytes),
            "answer_count": 41,
            "answer_signature_required": true,
            "answer": hex(&answer),
        }),
    );
}

#[test]
fn desk() {
    let (merchant_key, desk_key) = (SigningKey::from_seed([3; 32]), SigningKey::from_seed([4; 32]));
    let (realm, merchant) = (RealmId([7; 16]), MerchantId([5; 16]));
    let request = CertificateRequest::new(
        "Elm Music".into(),
        AgreementSecret::from_random([4; 32]).public(),
        &SigningKey::from_seed([3; 32]),
    );
    let entries = vec![
        BatchEntry::Refund { order: RefundOrderId([1; 16]), number: TransactionNumber([2; 16]) },
        BatchEntry::Refund { order: RefundOrderId([3; 16]), number: TransactionNumber([4; 16]) },
        BatchEntry::RenewCertificate { request: request.unwrap().encode() },
        BatchEntry::FetchKeySet { held: 3 },
        BatchEntry::FetchCertificate,
        BatchEntry::FetchSettlement { cycle: 9 },
    ];
    let batch = DeskBatch::new(realm, merchant, DeskBatchId([6; 16]), TIME, entries, &merchant_key).unwrap();
    assert_eq!(batch.digest().0, tagged(Purpose::DESK_BATCH, &batch.encode()));
    let results = vec![
        EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units: 1_234_567 }]),
        EntryResult::Refused(EntryRefusal::NothingLeft),
        EntryResult::Certificate(vec![0xce; 3]),
        EntryResult::KeySet(vec![0x5e; 3]),
        EntryResult::Refused(EntryRefusal::AwaitingApproval),
        EntryResult::Settlement(SettlementAnswer { cycles: vec![8, 9], report: vec![0x9e; 3] }),
    ];
    let answer = DeskAnswer::new(&batch, results, TIME.plus(1), &desk_key).unwrap();
    let addresses = vec!["tps.example:4433".into()];
    let description = DeskDescription::new(realm, addresses, vec![0x30, 0x82], TIME, &desk_key).unwrap();
    let errors: Vec<Value> = DeskErrorCode::ALL
        .iter()
        .map(|code| json!({ "code": *code as u16, "name": format!("{code:?}"), "retry_after_ms": 250, "message": hex(&DeskError::new(*code, 250).encode()) }))
        .collect();
    compare(
        "desk.json",
        &json!({
            "inputs": { "merchant_desk_seed": hex(&[3; 32]), "desk_seed": hex(&[4; 32]), "realm": realm, "merchant": merchant,
                        "desk_key_id": key_id(KeyRole::Desk, &desk_key.public()) },
            "batch": hex(&batch.encode()),
            "digest": batch.digest().to_string(),
            "answer": hex(&answer.encode()),
            "description": hex(&description.encode()),
            "errors": errors,
        }),
    );
}

#[test]
fn frames() {
    let messages: [(u32, Vec<u8>); 3] = [
        (0, sealed_request(true).bytes),
        (1, ErrorMessage::new(ErrorCode::Overloaded, 250).to_bytes()),
        (u32::MAX, vec![0xee; 2_048]),
    ];
    let mut stream = Vec::new();
    let frames: Vec<Value> = messages
        .iter()
        .map(|(id, message)| {
            stream.extend(frame_header(*id, message.len()));
            stream.extend(message);
            json!({ "request_id": id, "message": hex(message), "header": hex(&frame_header(*id, message.len())) })
        })
        .collect();
    let errors: Vec<Value> = ErrorCode::ALL
        .iter()
        .map(|code| json!({ "code": *code as u16, "name": format!("{code:?}"), "retry_after_ms": 250, "message": hex(&ErrorMessage::new(*code, 250).to_bytes()) }))
        .collect();
    compare("frames.json", &json!({ "frames": frames, "stream": hex(&stream), "errors": errors }));
}

/// The shortest and the longest paths are among the vectors, and leaves are sorted by payment id.
#[test]
fn the_vectors_cover_every_shape() {
    let mut lengths = std::collections::BTreeSet::new();
    for size in [1usize, 2, 3, 5, 1024] {
        for index in [0, (size - 1) as u16] {
            lengths.insert(proof_of(size, index, Outcome::Paid).path.len());
        }
    }
    assert!(lengths.contains(&0) && lengths.contains(&1) && lengths.contains(&10), "{lengths:?}");
    let ids: Vec<PaymentId> = (0..5).map(|index| proof_of(5, index, Outcome::Paid).statement.payment).collect();
    assert!(ids.is_sorted());
    assert!(Verifier::new(REALM, proof_keys(), 0).verify(&proof_of(5, 0, Outcome::Paid).encode()).is_ok());
}
