//! Certificates and key sets at the desk.

use protocol::certificate::MerchantCertificate;
use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, EntryRefusal, EntryResult};
use protocol::ids::MerchantId;
use protocol::key_set::SignedKeySet;
use protocol::signature::SigningKey;
use tps::book::orders::Order;
use tps::desk::Renewals;

use crate::world::*;

fn renew(session: u8) -> BatchEntry {
    BatchEntry::RenewCertificate { request: request("Shop", session, &shop_key()) }
}

fn refused(refusal: EntryRefusal) -> EntryResult {
    EntryResult::Refused(refusal)
}

// spec: K-16
#[test]
fn an_unchanged_merchant_is_certified_at_once_and_a_repeat_changes_nothing() {
    let place = Place::new(3);
    let mut world = World::new(&place);
    let batch = world.batch(1, vec![renew(1), BatchEntry::FetchCertificate, BatchEntry::FetchKeySet { held: 1 }]);
    let results = world.results(&batch);
    let EntryResult::Certificate(bytes) = &results[0] else { panic!("{results:?}") };
    assert_eq!((&results[1], &results[2]), (&results[0], &EntryResult::KeySetHeld));
    let certificate = MerchantCertificate::decode(bytes).unwrap();
    let session = protocol::session::AgreementSecret::from_random([1; 32]).public();
    assert_eq!(certificate.claimed_session(), session);
    let again = world.batch(2, vec![renew(1), BatchEntry::FetchKeySet { held: 0 }]);
    let results = world.results(&again);
    assert_eq!(results[0], EntryResult::Certificate(bytes.clone()), "the same request, the same certificate");
    let EntryResult::KeySet(set) = &results[1] else { panic!("{results:?}") };
    assert!(SignedKeySet::decode(set).is_ok());
}

#[test]
fn a_suspended_merchant_gets_no_further_certificate() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    world.engine.order(0, Order::SuspendMerchant { id: SHOP }).unwrap();
    let own = world.merchant(SHOP).request;
    let batch = world.batch(1, vec![renew(1)]);
    assert_eq!(world.results(&batch), [refused(EntryRefusal::MerchantSuspended)]);
    assert_eq!(world.merchant(SHOP).request, own, "nothing was put on record");
}

#[test]
fn what_the_operator_did_not_review_is_refused() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let (name, key) = (request("Shop Ltd", 1, &shop_key()), request("Shop", 1, &SigningKey::from_seed([1; 32])));
    let own = world.merchant(SHOP).request;
    let mut damaged = request("Shop", 1, &shop_key());
    damaged[20] ^= 1;
    // Another merchant's session key.
    world.register(MerchantId([0x4e; 16]), "Other", &SigningKey::from_seed([2; 32]));
    let taken = request("Shop", 0x4e, &shop_key());
    let refusals = [
        (name, EntryRefusal::OtherIdentity),
        (key, EntryRefusal::OtherIdentity),
        (damaged, EntryRefusal::BadRequest),
        (vec![1, 2, 3], EntryRefusal::BadRequest),
        (taken, EntryRefusal::SessionKeyTaken),
    ];
    for (id, (request, refusal)) in (1..).zip(refusals) {
        let batch = world.batch(id, vec![BatchEntry::RenewCertificate { request }]);
        assert_eq!(world.results(&batch), [refused(refusal)]);
    }
    assert_eq!(world.merchant(SHOP).request, own, "nothing was put on record");
}

// spec: K-24
#[test]
fn under_review_a_renewal_waits_for_the_operator() {
    let place = Place::new(1);
    let store = Box::new(tps::store::memory::MemoryStore::new(place.genesis()));
    let mut world = place.start(store, Renewals::Review);
    world.register(SHOP, "Shop", &shop_key());
    let batch = world.batch(1, vec![renew(1), BatchEntry::FetchCertificate]);
    assert_eq!(world.results(&batch), vec![refused(EntryRefusal::AwaitingApproval); 2]);
    let (certificate, _) = world.registrar.certify(&world.merchant(SHOP), 30).unwrap();
    let later = world.batch(2, vec![renew(1), BatchEntry::FetchCertificate]);
    assert_eq!(world.results(&later), vec![EntryResult::Certificate(certificate); 2]);
}
