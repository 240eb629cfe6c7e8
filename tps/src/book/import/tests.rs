use protocol::pin::Modifier;

use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{Genesis, Store};

const NOW: Timestamp = Timestamp(1_000);

fn book() -> Book {
    let reader = MemoryStore::new(Genesis { realm: protocol::ids::RealmId([1; 16]) }).reader();
    Book::load(&reader, &reader.registry().unwrap(), 1, |_| {}).unwrap().remove(0)
}

fn row(number: u8) -> ImportRow {
    ImportRow {
        line: u64::from(number) + 1,
        instrument: InstrumentId([number; 16]),
        account: AccountId([number; 16]),
        asset: Asset::USD6,
        opening_units: 500,
        signing_public: [number; 32],
        device_key: [number.wrapping_add(1); 32],
        pin: format!("{number:06}"),
        label: format!("agent {number}"),
    }
}

fn altered(number: u8, change: impl FnOnce(&mut ImportRow)) -> ImportRow {
    let mut row = row(number);
    change(&mut row);
    row
}

fn refused(book: &mut Book, rows: &[ImportRow]) -> ImportProblem {
    let error = book.import(rows, 1, NOW).unwrap_err();
    assert_eq!(error.line, rows.last().unwrap().line, "the message names the row that is wrong");
    assert_eq!(book.take_changes().0, crate::store::records::Changes::default(), "nothing of the chunk was applied");
    error.problem
}

#[test]
fn a_chunk_opens_accounts_credits_them_and_enrols_instruments_with_their_pins() {
    let mut book = book();
    let second = altered(2, |row| {
        row.account = AccountId([1; 16]);
        row.opening_units = 0;
    });
    let imported = book.import(&[row(1), second, row(3)], 1, NOW).unwrap();
    assert_eq!((imported.instruments.len(), imported.accounts, imported.already_there), (3, 2, 0));
    assert_eq!(imported.credited, BTreeMap::from([(Asset::USD6, 1_000)]));
    assert_eq!(book.account(AccountId([1; 16])).unwrap().balance, 500);
    assert_eq!(book.balance(Party::Funding, Asset::USD6), -1_000);
    let state = book.instrument(InstrumentId([2; 16])).unwrap().state;
    assert_eq!(state.current, Some(Pin::parse("000002").unwrap().modified(Modifier(0))));
    let (changes, _) = book.take_changes();
    assert_eq!((changes.instruments.len(), changes.enrolments.len(), changes.accounts.len()), (3, 3, 2));
    assert_eq!(changes.journal.len(), 1, "one order, one entry");
    assert_eq!(protocol::ledger::posting::balanced(&changes.journal[0].postings), Ok(true));
}

#[test]
fn the_same_rows_again_change_nothing() {
    let mut book = book();
    book.import(&[row(1), row(2)], 1, NOW).unwrap();
    book.take_changes();
    let again = book.import(&[row(1), row(2), row(2)], 1, NOW).unwrap();
    assert_eq!((again.instruments.len(), again.accounts, again.already_there), (0, 0, 3));
    assert!(again.credited.is_empty() && book.take_changes().0.is_empty());
    let more = book.import(&[row(2), row(3)], 1, NOW).unwrap();
    assert_eq!((more.instruments, more.already_there), (vec![InstrumentId([3; 16])], 1));
    assert_eq!(book.account(AccountId([2; 16])).unwrap().balance, 500);
}

#[test]
fn a_row_that_contradicts_what_exists_refuses_its_whole_chunk() {
    let mut book = book();
    book.import(&[row(1)], 1, NOW).unwrap();
    book.take_changes();
    let contradictions: [(&str, ImportRow); 4] = [
        ("account", altered(1, |row| row.account = AccountId([9; 16]))),
        ("public key", altered(1, |row| row.signing_public = [9; 32])),
        ("device key", altered(1, |row| row.device_key = [9; 32])),
        ("label", altered(1, |row| row.label = "other".into())),
    ];
    for (field, wrong) in contradictions {
        let expected = ImportProblem::Contradicts { instrument: wrong.instrument, field };
        assert_eq!(refused(&mut book, &[row(2), wrong]), expected);
    }
    let account = AccountId([1; 16]);
    let other_asset = altered(3, |row| {
        row.account = account;
        row.asset = Asset(*b"EUR2\0\0\0\0");
        row.opening_units = 0;
    });
    assert_eq!(refused(&mut book, &[row(2), other_asset]), ImportProblem::OtherAsset(account, Asset::USD6));
    let twice_opened = altered(3, |row| row.account = account);
    assert_eq!(refused(&mut book, &[row(2), twice_opened]), ImportProblem::AlreadyOpen(account));
    let within = altered(2, |row| row.pin = "999999".into());
    let expected = ImportProblem::Contradicts { instrument: within.instrument, field: "PIN" };
    assert_eq!(refused(&mut book, &[row(2), within]), expected);
    assert!(matches!(refused(&mut book, &[row(2), altered(3, |row| row.pin = "12".into())]), ImportProblem::Pin(_)));
    let too_much = altered(3, |row| row.opening_units = u64::MAX);
    assert!(matches!(refused(&mut book, &[row(2), too_much]), ImportProblem::Balance(_)));
    assert!(book.account(AccountId([2; 16])).is_none());
}

#[test]
fn instrument_and_account_share_a_shard() {
    let mut book = book();
    let apart = altered(1, |row| row.account = AccountId([2; 16]));
    assert!(matches!(book.import(&[apart], 7, NOW).unwrap_err().problem, ImportProblem::Apart(..)));
    assert!(matches!(book.import(&[row(1)], 7, NOW).unwrap_err().problem, ImportProblem::OtherShard(_)));
    assert!(book.take_changes().0.is_empty());
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?}", altered(200, |row| row.pin = "473829".into()));
    assert!(!text.contains("473829") && !text.contains("c9c9"), "{text}");
}
