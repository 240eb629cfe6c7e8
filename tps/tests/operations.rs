//! How many public-key operations a purchase takes, step by step, and that there are none but those that the paper allows.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::sync::Arc;

use common::*;
use mts_plugin::fixtures::{self, Realm};
use mts_plugin::{FolderShop, Merchant, Settings, clock};
use protocol::codec::Canonical;
use protocol::customer::payment::Resolution;
use protocol::customer::purchase::{Purchase, PurchaseState};
use protocol::goods::{ChunkPlan, GoodsError, GoodsOpener, digest};
use protocol::key_set::{KeyRole, key_id};
use protocol::operations::Operations;
use protocol::pin::ModifierPart;
use protocol::purchase::{OrderData, QuoteOffer, QuoteRequest};
use protocol::request::{InstrumentKeys, seal};
use protocol::response::{Answer, Reason, open};
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use tps::book::orders::Order;
use tps::pipeline::open::SessionKey;
use tps::pipeline::prove::ProofSigner;
use tps::pipeline::{Engine, EngineConfig, EngineKeys};
use zeroize::Zeroizing;

const SONG: &[u8] = b"not very long";

/// A shop that sells one song.
fn merchant(directory: &std::path::Path, realm: &Realm) -> Merchant {
    let goods = directory.join("goods");
    std::fs::create_dir_all(&goods).unwrap();
    std::fs::write(goods.join("song.flac"), SONG).unwrap();
    let catalogue = "[[item]]\ncode='song'\ndescription='A song'\nprice='0.05'\nfile='song.flac'\n";
    std::fs::write(goods.join("catalogue.toml"), catalogue).unwrap();
    let home = realm.merchant(&directory.join("merchant")).unwrap();
    Merchant::open_quietly(home, Arc::new(FolderShop::open(&goods).unwrap()), Settings::default()).unwrap()
}

/// A pipeline whose proofs the merchants of the fixtures' realm verify.
fn engine_of_the_realm() -> Engine {
    let key = SigningKey::from_seed(fixtures::PROOF_SEED);
    let signer = ProofSigner { realm: fixtures::REALM, key_id: key_id(KeyRole::Proof, &key.public()), key };
    let keys = EngineKeys { session: vec![SessionKey::new(SESSION_KEY, session_secret())], signer };
    let store = Box::new(tps::store::memory::MemoryStore::new(Server::genesis()));
    let engine = Engine::start(store, keys, EngineConfig::default()).unwrap();
    let (id, session_public) = (fixtures::MERCHANT, session_secret().public());
    engine.order(0, Order::RegisterMerchant { id, name: "Shop".into(), request: vec![1], session_public }).unwrap();
    engine.order(0, Order::CertifyMerchant { id, certificate: vec![2] }).unwrap();
    engine
}

/// What a step takes, in the order of [`Operations`]: public keys, agreements, signatures made, signatures checked.
fn takes(public_keys: u64, agreements: u64, signatures_made: u64, signatures_checked: u64) -> Operations {
    Operations { public_keys, agreements, signatures_made, signatures_checked }
}

// spec: K-18, K-25, K-36, K-128
#[test]
fn a_purchase_takes_these_public_key_operations_and_no_others() {
    let (directory, realm) = (tempfile::tempdir().unwrap(), Realm::default());
    let merchant = merchant(directory.path(), &realm);
    let engine = engine_of_the_realm();
    let customer = customers(&engine, 1_000_000, 1).remove(0);
    let customer_keys = realm.customer_keys();
    let nothing = takes(0, 0, 0, 0);

    let asked = QuoteRequest::new(vec![("song".into(), 1)]).unwrap().encode();
    let (offer, done) = Operations::during(|| merchant.quote(&asked).unwrap());
    assert_eq!(done, nothing, "step 2, merchant: a quote is not signed");
    let check = || QuoteOffer::decode(&offer).unwrap().verify(&customer_keys, clock::now()).unwrap();
    let (offer, done) = Operations::during(check);
    assert_eq!(done, takes(0, 0, 0, 1), "step 2, customer: the certificate is checked");

    let mut purchase = Purchase::new(&offer);
    let ephemeral = AgreementSecret::from_random(random());
    let ((), done) =
        Operations::during(|| purchase.confirm(&offer, ephemeral, &OrderData::default(), clock::now()).unwrap());
    assert_eq!(done, takes(1, 1, 0, 0), "step 3, customer: a session with the certified key");
    let confirmation = purchase.confirmation_bytes().unwrap().to_vec();
    let (answer, done) = Operations::during(|| merchant.confirm(&confirmation).unwrap());
    assert_eq!(done, takes(0, 1, 0, 0), "step 4, merchant: the same session");
    let ((), done) = Operations::during(|| purchase.authenticated(&answer).unwrap());
    assert_eq!(done, nothing, "step 4, customer: the quote is authenticated by a MAC");

    let content = purchase.begin_payment(ModifierPart(u64::from_le_bytes(random())), clock::now()).unwrap();
    let (instrument, signing) = (customer.instrument, Some(SigningKey::from_seed(customer.seed)));
    let keys = InstrumentKeys { instrument, signing, device: Zeroizing::new(customer.device) };
    let (processor, ephemeral) = (processor(), AgreementSecret::from_random(random()));
    let pay = || seal(&content, customer.count, &keys, customer.modified_pin(), &processor, ephemeral).unwrap();
    let (request, done) = Operations::during(pay);
    assert_eq!(done, takes(1, 1, 1, 0), "step 5, customer: a session with the TPS, and the one signature");
    let (response, done) = Operations::during(|| submit(&engine, &request.bytes));
    assert_eq!(done, takes(0, 1, 1, 1), "step 6, TPS: the session regenerated, one signature for both outcomes");
    let (opened, done) = Operations::during(|| open(&response, &request.hash, &request.session).unwrap());
    assert_eq!(done, nothing, "step 6, customer: proofs are the merchant's business");
    assert_eq!(opened.answer.reason, Reason::Paid);

    let Answer { reason, count, authenticated } = opened.answer;
    let resolution = Resolution { count, content, reason, balance: authenticated.unwrap().balance };
    purchase.resolved(&resolution, &opened.proof_bytes).unwrap();
    let (advice, done) = Operations::during(|| merchant.present_proof(&opened.proof_bytes).unwrap());
    assert_eq!(done, takes(0, 0, 0, 1), "step 8, merchant: the proof is verified");
    let deliver = || {
        purchase.advised_by(&advice).unwrap();
        let goods = purchase.advised().unwrap().goods.clone().unwrap();
        let mut transfer = merchant.send_goods(&purchase.send_goods(0).unwrap()).unwrap();
        let plan = ChunkPlan::new(goods.length_bytes).unwrap();
        let mut opener = GoodsOpener::new(&purchase.goods_key().unwrap(), plan, 0).unwrap();
        let mut received = Vec::new();
        while let Some(sealed) = merchant.next_chunk(&mut transfer).unwrap() {
            let mut keep = |chunk: &[u8]| {
                received.extend_from_slice(chunk);
                Ok::<_, GoodsError>(())
            };
            opener.push(&sealed, &mut keep).unwrap();
        }
        opener.finish().unwrap();
        purchase.received(digest(&received)).unwrap();
        received
    };
    let (received, done) = Operations::during(deliver);
    assert_eq!(done, nothing, "steps 8 to 10: goods are asked for, sealed and opened under the session");
    assert_eq!((received.as_slice(), purchase.state()), (SONG, PurchaseState::Received));
    engine.drain();
}
