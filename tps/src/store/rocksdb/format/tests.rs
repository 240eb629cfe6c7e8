//! The bytes of every record, frozen: `vectors/store/records.txt`.

use std::fmt::Write as _;

use proptest::prelude::*;
use protocol::ids::{AccountId, InstrumentId, MerchantId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};
use protocol::ledger::posting::Party;
use protocol::money::Asset;

use super::super::super::records::{
    BalanceKey, BatchRecord, EnrolmentRecord, JournalRecord, MerchantRecord, PaymentRecord,
};
use super::super::super::tests::sample::Draw;
use super::super::columns::{
    Accounts, Balances, Batches, Chain, Column, Desk, Enrolments, Instruments, Journal, Merchants, Meta, Payments,
    References,
};
use super::*;

const FROZEN: &str = include_str!("../../../../vectors/store/records.txt");

fn key_bytes(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.write(&mut bytes);
    bytes
}

fn value_bytes(value: &impl Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.write(&mut bytes);
    bytes
}

/// One line per record: column family, number, key, value.
fn line<C: Column>(text: &mut String, key: &C::Key, value: &C::Value)
where
    C::Key: PartialEq + std::fmt::Debug,
    C::Value: PartialEq + std::fmt::Debug,
{
    let (key_bytes, value_bytes) = (key_bytes(key), value_bytes(value));
    assert_eq!(C::Key::read(&key_bytes).as_ref(), Ok(key));
    assert_eq!(C::Value::read(&value_bytes).as_ref(), Ok(value));
    writeln!(text, "{} {} {} {}", C::NAME, C::NUMBER, hex::encode(key_bytes), hex::encode(value_bytes)).unwrap();
}

fn all_records() -> String {
    let mut text = String::new();
    let out = &mut text;
    line::<Meta>(out, &MetaKey::Format, &MetaValue(FORMAT_VERSION.to_le_bytes().to_vec()));
    line::<Meta>(out, &MetaKey::Realm, &MetaValue(vec![0xab; 16]));
    line::<Meta>(out, &MetaKey::Clock, &MetaValue(7u64.to_le_bytes().to_vec()));
    line::<Meta>(out, &MetaKey::Head, &MetaValue(vec![0xcd; 40]));
    for seed in 0..3 {
        let mut draw = Draw::new(seed);
        line::<Accounts>(out, &AccountId(draw.bytes()), &draw.account());
        line::<References>(out, &AccountId(draw.bytes()), &"agency-4711 \u{e9}".to_owned());
        line::<Enrolments>(out, &InstrumentId(draw.bytes()), &draw.enrolment());
        line::<Instruments>(out, &InstrumentId(draw.bytes()), &draw.instrument());
        line::<Merchants>(out, &MerchantId(draw.bytes()), &draw.merchant());
        line::<Batches>(out, &0x0102_0304_0506_0708, &draw.batch(seed as u16 + 1));
        line::<Payments>(out, &Place { batch: 0x0102_0304_0506_0708, index: 0x0a0b }, &draw.payment());
        line::<Journal>(out, &JournalPlace { commit: 0x0102, index: 0x0a0b_0c0d }, &draw.journal());
        line::<Chain>(out, &draw.below(u64::MAX), &draw.bytes());
        line::<Desk>(out, &DeskKey(draw.bytes::<20>().to_vec()), &DeskValue(draw.bytes::<30>().to_vec()));
    }
    line::<Instruments>(out, &InstrumentId([1; 16]), &InstrumentState::new());
    let parties =
        [Party::Customer(AccountId([1; 16])), Party::Merchant(MerchantId([2; 16])), Party::Fees, Party::Funding];
    for (party, balance) in parties.into_iter().zip([0, 1, -1, i128::MIN]) {
        line::<Balances>(out, &BalanceKey { party, asset: Asset::USD6, shard: 0x0102 }, &balance);
    }
    text
}

/// A change here is a change of the format: databases of users have these bytes. With another [`FORMAT_VERSION`] the file
/// is replaced by what this test prints.
#[test]
fn the_bytes_of_every_record_are_frozen() {
    let now = all_records();
    for (frozen, now) in FROZEN.lines().zip(now.lines()) {
        assert_eq!(frozen, now, "the format changed");
    }
    assert!(FROZEN == now, "the format has other records now:\n{now}");
}

#[test]
fn sizes_are_as_documented() {
    let mut draw = Draw::new(0);
    assert_eq!(value_bytes(&draw.payment()).len(), 364);
    assert_eq!(value_bytes(&draw.account()).len(), 41);
    assert_eq!(value_bytes(&draw.instrument()).len(), 133);
    assert_eq!(value_bytes(&draw.batch(3)).len(), 68 + 64 + 3 * 32);
}

#[test]
fn keys_have_the_order_of_what_they_name() {
    let mut draw = Draw::new(0);
    let mut places: Vec<Place> = (0..200)
        .map(|_| Place { batch: draw.below(1 << 20) << draw.below(44), index: draw.below(1 << 16) as u16 })
        .collect();
    places.sort();
    assert!(places.is_sorted_by_key(key_bytes));
    let mut journal: Vec<JournalPlace> = places
        .iter()
        .map(|place| JournalPlace { commit: place.batch, index: u32::from(place.index) << draw.below(16) })
        .collect();
    journal.sort();
    assert!(journal.is_sorted_by_key(key_bytes));
    let mut balances: Vec<BalanceKey> = (0..200).map(|_| draw.balance_key()).collect();
    balances.sort();
    assert!(balances.is_sorted_by_key(key_bytes));
}

/// Whatever is accepted is the one encoding of its value; nothing panics.
fn judge<Content: Value>(bytes: &[u8]) {
    if let Ok(value) = Content::read(bytes) {
        assert_eq!(value_bytes(&value), bytes);
    }
}

fn judge_key<Name: Key>(bytes: &[u8]) {
    if let Ok(key) = Name::read(bytes) {
        assert_eq!(key_bytes(&key), bytes);
    }
}

fn judge_all(bytes: &[u8]) {
    judge::<Account>(bytes);
    judge::<InstrumentState>(bytes);
    judge::<PaymentRecord>(bytes);
    judge::<BatchRecord>(bytes);
    judge::<EnrolmentRecord>(bytes);
    judge::<MerchantRecord>(bytes);
    judge::<JournalRecord>(bytes);
    judge::<i128>(bytes);
    judge::<String>(bytes);
    judge::<[u8; 32]>(bytes);
    judge_key::<Place>(bytes);
    judge_key::<JournalPlace>(bytes);
    judge_key::<BalanceKey>(bytes);
    judge_key::<MetaKey>(bytes);
    judge_key::<u64>(bytes);
    judge_key::<AccountId>(bytes);
}

#[test]
fn every_altered_or_cut_record_is_refused_or_means_another_value() {
    for line in FROZEN.lines() {
        for column in line.split(' ').skip(2) {
            let bytes = hex::decode(column).unwrap();
            for index in 0..bytes.len() {
                judge_all(&bytes[..index]);
                for bit in 0..8 {
                    let mut altered = bytes.clone();
                    altered[index] ^= 1 << bit;
                    judge_all(&altered);
                }
            }
            judge_all(&[bytes.as_slice(), &[0]].concat());
        }
    }
}

#[test]
fn records_that_break_rules_are_refused() {
    let mut draw = Draw::new(0);
    let account = Account { balance: -1, ..draw.account() };
    assert!(Account::read(&value_bytes(&account)).is_err(), "customers owe nothing");
    let reason = protocol::response::Reason::AuthenticationFailed;
    let payment = PaymentRecord { reason, ..draw.payment() };
    assert!(PaymentRecord::read(&value_bytes(&payment)).is_err(), "not consumed, not stored");
    let mut batch = draw.batch(3);
    batch.leaves.pop();
    assert!(BatchRecord::read(&value_bytes(&batch)).is_err(), "a leaf is missing");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        judge_all(&bytes);
    }
}
