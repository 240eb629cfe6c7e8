//! What the desk does not take, and that nobody but a merchant can ask for a refund.

use protocol::certificate::CertificateRequest;
use protocol::codec::{Canonical, Fixed};
use protocol::desk::{DeskBatch, DeskErrorCode};
use protocol::error::ErrorMessage;
use protocol::frame::MessageType;
use protocol::ids::*;
use protocol::signature::SigningKey;
use tps::book::orders::Order;
use tps::pipeline::clock::wall_clock;

use crate::common::submit;
use crate::world::*;

const NUMBER: TransactionNumber = TransactionNumber([7; 16]);

// spec: K-97
#[test]
fn a_refund_needs_the_signature_of_the_merchant_that_was_paid() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 1);
    world.pay(&mut customers[0], NUMBER, 100);
    let (other, other_key) = (MerchantId([0x4e; 16]), SigningKey::from_seed([0x4e; 32]));
    world.register(other, "Other", &other_key);
    let realm = world.realm;
    let made = |realm, merchant, key: &SigningKey<_>| {
        let entries = vec![refund(1, NUMBER)];
        DeskBatch::new(realm, merchant, DeskBatchId([1; 16]), wall_clock(), entries, key).unwrap().encode()
    };
    // Another merchant in the shop's name; nobody's key; unsigned; a merchant nobody knows; another TPS.
    assert_eq!(world.hand_in(&made(realm, SHOP, &other_key)), Err(DeskErrorCode::BadSignature));
    assert_eq!(world.hand_in(&made(realm, SHOP, &SigningKey::from_seed([1; 32]))), Err(DeskErrorCode::BadSignature));
    let mut unsigned = made(realm, SHOP, &shop_key());
    let signature = unsigned.len() - 64;
    unsigned[signature..].fill(0);
    assert_eq!(world.hand_in(&unsigned), Err(DeskErrorCode::BadSignature));
    assert_eq!(world.hand_in(&made(realm, MerchantId([9; 16]), &shop_key())), Err(DeskErrorCode::UnknownMerchant));
    assert_eq!(world.hand_in(&made(RealmId([9; 16]), SHOP, &shop_key())), Err(DeskErrorCode::OtherRealm));
    // Another merchant in its own name reaches its own pair only.
    let own = DeskBatch::decode(&made(realm, other, &other_key)).unwrap();
    let nothing = protocol::desk::EntryResult::Refused(protocol::desk::EntryRefusal::NothingPaid);
    assert_eq!(world.results(&own), [nothing]);
    assert_eq!((world.balance(&customers[0]), world.accrued()), (900, 100));
}

#[test]
fn a_merchant_that_was_never_reviewed_is_refused() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let (id, key) = (MerchantId([0x4e; 16]), SigningKey::from_seed([0x4e; 32]));
    let bytes = request("New", 0x4e, &key);
    let session_public = CertificateRequest::decode(&bytes).unwrap().session;
    let order = Order::RegisterMerchant { id, name: "New".into(), request: bytes, session_public };
    world.engine.order(0, order).unwrap();
    let batch = DeskBatch::new(world.realm, id, DeskBatchId([1; 16]), wall_clock(), vec![refund(1, NUMBER)], &key);
    assert_eq!(world.hand_in(&batch.unwrap().encode()), Err(DeskErrorCode::NotCertified));
}

// spec: K-97, K-108
#[test]
fn customers_have_no_message_that_asks_for_money_back() {
    // All that the customers' listener knows: requests-for-payment, activations, and what answers them.
    let known: Vec<String> = MessageType::ALL.iter().map(|kind| format!("{kind:?}")).collect();
    assert_eq!(
        known,
        ["RequestForPayment", "Response", "Error", "Activation", "ActivationAnswer", "KeySetRequest", "KeySetPart"]
    );
    // A merchant's batch, genuine as it is, is nothing there; and no claim about goods stands in any entry of a batch.
    let place = Place::new(1);
    let world = World::new(&place);
    let mut customers = world.customers(1_000, 1);
    world.pay(&mut customers[0], NUMBER, 100);
    let batch = world.batch(1, vec![refund(1, NUMBER)]).encode();
    assert!(ErrorMessage::decode(&submit(&world.engine, &batch)).is_ok());
    assert_eq!((world.balance(&customers[0]), world.accrued()), (900, 100));
}

// spec: K-102
#[test]
fn a_batch_with_one_byte_of_an_entry_corrupted_does_nothing_and_can_be_sent_again() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 1);
    let numbers = [NUMBER, TransactionNumber([8; 16]), TransactionNumber([9; 16])];
    for number in numbers {
        world.pay(&mut customers[0], number, 100);
    }
    let batch = world.batch(1, numbers.iter().zip(1..).map(|(number, order)| refund(order, *number)).collect());
    let bytes = batch.encode();
    // Within the last entry's transaction number.
    let mut corrupted = bytes.clone();
    let at = bytes.len() - 64 - 8;
    corrupted[at] ^= 1;
    assert_eq!(world.hand_in(&corrupted), Err(DeskErrorCode::BadSignature));
    assert_eq!((world.balance(&customers[0]), world.accrued()), (700, 300), "no entry was applied");
    assert_eq!(world.results(&batch), [refunded(100), refunded(100), refunded(100)]);
    assert_eq!((world.balance(&customers[0]), world.accrued()), (1_000, 0));
    // Another batch under the same id is refused.
    let other = world.batch(1, vec![refund(9, NUMBER)]).encode();
    assert_eq!(world.hand_in(&other), Err(DeskErrorCode::OtherBatch));
    world.check(&place);
}

// spec: K-100
#[test]
fn a_refused_batch_replayed_after_a_payment_gives_nothing_back() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let mut customers = world.customers(1_000, 1);
    let batch = world.batch(1, vec![refund(1, NUMBER)]).encode();
    let answer = world.hand_in(&batch).unwrap();
    world.pay(&mut customers[0], NUMBER, 100);
    assert_eq!(world.hand_in(&batch).unwrap(), answer, "byte for byte");
    assert_eq!((world.balance(&customers[0]), world.accrued()), (900, 100));
}

#[test]
fn a_merchant_cannot_fill_the_disk_with_batches() {
    let place = Place::new(1);
    let mut world = World::new(&place);
    let bytes = |world: &World| {
        let mut bytes = 0;
        let kind = [tps::store::desk::DeskKind::MerchantBatch as u8];
        let visited = world.engine.reader().visit_desk(&kind, None, &mut |_, value| {
            bytes += value.len();
            std::ops::ControlFlow::Continue(())
        });
        visited.unwrap();
        bytes
    };
    let entries: Vec<_> = (0..255).map(|order| refund(order, TransactionNumber([order; 16]))).collect();
    let first = world.batch(0, entries.clone());
    world.results(&first);
    let length = first.encode().len();
    assert!(bytes(&world) < length / 5, "of what changed nothing the refusals are kept: {} of {length}", bytes(&world));
    let refused = (1..=255).find(|id| {
        let batch = world.batch(*id, entries.clone()).encode();
        world.hand_in(&batch) == Err(DeskErrorCode::Overloaded)
    });
    assert_eq!(refused, Some(128), "as many at once as a large merchant needs");
    // What was answered before is answered again, and questions are, too.
    world.results(&first);
    let question = world.batch(254, vec![protocol::desk::BatchEntry::FetchKeySet { held: 0 }]);
    world.results(&question);
}
