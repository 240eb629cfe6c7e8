use super::*;
use crate::codec::{Canonical, DecodeError};
use crate::ids::{DeskBatchId, MerchantId, RealmId, RefundOrderId, TransactionNumber};
use crate::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet, KeySetError, PinnedKeySet};
use crate::limits::DESK_BATCH_ENTRIES_MAX;
use crate::money::Asset;
use crate::signature::{DeskRole, MerchantRole, RootRole, SigningKey, StrictError};
use crate::time::{DAY_MS, Timestamp};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const REALM: RealmId = RealmId([7; 16]);

fn merchant_key() -> SigningKey<MerchantRole> {
    SigningKey::from_seed([3; 32])
}

fn desk_key() -> SigningKey<DeskRole> {
    SigningKey::from_seed([4; 32])
}

fn refund(order: u8) -> BatchEntry {
    BatchEntry::Refund { order: RefundOrderId([order; 16]), number: TransactionNumber([9; 16]) }
}

fn batch_of(entries: Vec<BatchEntry>) -> Result<DeskBatch, DecodeError> {
    DeskBatch::new(REALM, MerchantId([5; 16]), DeskBatchId([6; 16]), NOW, entries, &merchant_key())
}

fn batch() -> DeskBatch {
    let request = vec![1, 2, 3];
    let fetches = [BatchEntry::FetchKeySet { held: 2 }, BatchEntry::FetchCertificate];
    let settlement = BatchEntry::FetchSettlement { cycle: 1 };
    let entries = vec![refund(1), refund(2), BatchEntry::RenewCertificate { request }];
    batch_of(entries.into_iter().chain(fetches).chain([settlement]).collect()).unwrap()
}

fn results() -> Vec<EntryResult> {
    vec![
        EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units: 50_000 }]),
        EntryResult::Refused(EntryRefusal::NothingLeft),
        EntryResult::Certificate(vec![1]),
        EntryResult::KeySetHeld,
        EntryResult::Refused(EntryRefusal::AwaitingApproval),
        EntryResult::Settlement(SettlementAnswer { cycles: vec![1, 2], report: vec![7] }),
    ]
}

fn pinned(revoked: bool) -> PinnedKeySet {
    let root = SigningKey::<RootRole>::from_seed([1; 32]);
    let mut set = KeySet::new(REALM, Audience::Merchant, 1, NOW, 400 * DAY_MS);
    let mut key = KeyEntry::new(KeyRole::Desk, desk_key().public(), NOW, NOW.plus(5 * DAY_MS));
    key.revoked = revoked;
    set.keys = vec![key];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    set.sign(&root).unwrap().verify(&root.public(), None, Audience::Merchant, NOW, 0).unwrap()
}

// spec: K-102
#[test]
fn a_batch_with_any_byte_altered_is_no_batch_of_the_merchant() {
    let batch = batch();
    batch.verify(&merchant_key().public()).unwrap();
    assert_eq!(batch.verify(&desk_key().public()), Err(StrictError::Signature), "another key");
    let bytes = batch.encode();
    assert_eq!(DeskBatch::decode(&bytes), Ok(batch));
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let taken = DeskBatch::decode(&altered).is_ok_and(|altered| altered.verify(&merchant_key().public()).is_ok());
        assert!(!taken, "byte {index}");
    }
}

#[test]
fn batches_are_bounded() {
    assert!(batch_of(Vec::new()).is_err());
    assert!(batch_of(vec![refund(1); DESK_BATCH_ENTRIES_MAX]).is_ok());
    assert!(batch_of(vec![refund(1); DESK_BATCH_ENTRIES_MAX + 1]).is_err());
    assert!(batch_of(vec![BatchEntry::FetchCertificate; 2]).is_err());
    assert!(batch_of(vec![BatchEntry::RenewCertificate { request: vec![0; 1_025] }]).is_err());
    let full = batch_of(vec![refund(1); DESK_BATCH_ENTRIES_MAX]).unwrap().encode();
    assert!(full.len() <= DeskBatch::BYTES_MAX, "{}", full.len());
}

#[test]
fn an_answer_is_believed_for_its_own_batch_only() {
    let (batch, keys) = (batch(), pinned(false));
    let answer = DeskAnswer::new(&batch, results(), NOW.plus(1), &desk_key()).unwrap();
    answer.verify(&batch, &keys).unwrap();
    let other = batch_of(vec![refund(1); 6]).unwrap();
    assert_eq!(answer.verify(&other, &keys), Err(AnswerError::OtherBatch));
    let revoked = answer.verify(&batch, &pinned(true));
    assert!(matches!(revoked, Err(AnswerError::Key(KeySetError::Revoked(_)))));
    let stranger = DeskAnswer::new(&batch, results(), NOW, &SigningKey::from_seed([8; 32])).unwrap();
    assert!(matches!(stranger.verify(&batch, &keys), Err(AnswerError::Key(KeySetError::UnknownKey(_)))));
    let bytes = answer.encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let believed = DeskAnswer::decode(&altered).is_ok_and(|altered| altered.verify(&batch, &keys).is_ok());
        assert!(!believed, "byte {index}");
    }
}

#[test]
fn results_fit_their_entries() {
    let batch = batch();
    let mut turned = results();
    turned.reverse();
    assert!(DeskAnswer::new(&batch, turned, NOW, &desk_key()).is_err());
    assert!(DeskAnswer::new(&batch, results()[..5].to_vec(), NOW, &desk_key()).is_err());
    let mut empty = results();
    empty[0] = EntryResult::Refunded(Vec::new());
    assert!(DeskAnswer::new(&batch, empty, NOW, &desk_key()).is_err());
}

// spec: K-101
#[test]
fn refund_results_depend_on_amounts_alone() {
    // One payer of 50,000 or five payers of 10,000: the same total, the same bytes.
    let batch = batch_of(vec![refund(1)]).unwrap();
    let total = |units| EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units }]);
    let one = DeskAnswer::new(&batch, vec![total(50_000)], NOW, &desk_key()).unwrap().encode();
    let five = DeskAnswer::new(&batch, vec![total((0..5).map(|_| 10_000).sum())], NOW, &desk_key()).unwrap().encode();
    assert_eq!(one, five);
    // Result number and length, then asset and units: no room for anything else.
    assert_eq!(borsh::to_vec(&total(1)).unwrap().len(), 1 + 4 + 8 + 16);
}

#[test]
fn a_description_is_believed_when_the_pinned_desk_key_signed_it() {
    let keys = pinned(false);
    let made = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        DeskDescription::new(REALM, addresses, vec![0x30], NOW, &desk_key())
    };
    let description = made(&["desk.example:4433"]).unwrap();
    description.verify(&keys).unwrap();
    assert!(made(&[]).is_err() && made(&["desk.example"]).is_err() && made(&["desk.example:0"]).is_err());
    let bytes = description.encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let believed = DeskDescription::decode(&altered).is_ok_and(|altered| altered.verify(&keys).is_ok());
        assert!(!believed, "byte {index}");
    }
}

#[test]
fn errors_travel() {
    for code in DeskErrorCode::ALL {
        let bytes = DeskError::new(*code, 250).encode();
        assert_eq!(bytes.len(), DeskError::BYTES_MAX);
        assert_eq!(DeskError::decode(&bytes).unwrap().code(), Ok(*code));
    }
}
