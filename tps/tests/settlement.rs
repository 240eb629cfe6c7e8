//! Settlement and the funding boundary over a running pipeline.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::*;
use protocol::codec::Canonical;
use protocol::ids::AccountId;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::response::{Reason, open};
use protocol::settlement::{SettlementPage, SettlementReport};
use protocol::signature::{DeskRole, FundingRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};
use tps::data_directory::{FORMAT, Realm, RealmAsset};
use tps::funding::instruction::Instruction;
use tps::funding::{Folder, FundingJob, Outcome, apply};
use tps::jobs::Job;
use tps::pipeline::{Engine, EngineConfig};
use tps::settlement::close::Closing;
use tps::settlement::fees::FeeSchedule;
use tps::settlement::pages::PageDirectory;
use tps::settlement::records::{Payout, PayoutState, Settlement, SettlementCycle};
use tps::settlement::{Schedule, Settings};
use tps::store::desk::DeskRecord;

fn realm() -> Realm {
    Realm {
        format: FORMAT,
        realm: REALM,
        root: "00".repeat(32),
        shards: 1,
        session_key_days: 7,
        session_key_overlap_days: 7,
        key_set_days: 30,
        created_at_ms: Timestamp(1),
        assets: vec![RealmAsset { code: Asset::USD6, exponent: 6 }],
    }
}

fn settings(fees: FeeSchedule) -> Settings {
    Settings { schedule: Schedule::new(24, 0).unwrap(), fees: BTreeMap::from([(Asset::USD6, fees)]) }
}

struct Office {
    engine: Engine,
    settings: Settings,
    pages: PageDirectory,
    key: SigningKey<DeskRole>,
    directory: tempfile::TempDir,
}

impl Office {
    fn new(shards: u16, fees: FeeSchedule) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            engine: engine(EngineConfig { shards, ..EngineConfig::default() }),
            settings: settings(fees),
            pages: PageDirectory::new(directory.path(), REALM),
            key: SigningKey::from_seed([0x44; 32]),
            directory,
        }
    }

    fn close(&self) -> SettlementCycle {
        let closing = Closing { engine: &self.engine, settings: &self.settings, pages: &self.pages, key: &self.key };
        // What was paid so far lies before the cut-off.
        let reached = self.engine.now();
        let until = loop {
            let now = self.engine.now();
            if now > reached {
                break now;
            }
        };
        closing.close(Timestamp(1), until).unwrap().expect("nothing is under way")
    }

    fn report(&self, cycle: u64) -> (SettlementReport, Vec<SettlementPage>) {
        let key = Settlement::key_of(MERCHANT, cycle);
        let settlement = Settlement::read(self.engine.reader().as_ref(), &key).unwrap().unwrap();
        let report = SettlementReport::decode(&settlement.report).unwrap();
        let pages = (0..report.pages.len() as u32).map(|page| self.pages.read(cycle, MERCHANT, page).unwrap());
        let pages: Vec<_> = pages.collect();
        report.check_pages(&pages).unwrap();
        (report, pages)
    }

    fn sum(&self, party: Party) -> i128 {
        self.engine.read(move |book| book.balance(party, Asset::USD6)).iter().sum()
    }

    fn pay(&self, customer: &mut Customer, units: u64) -> protocol::ids::PaymentId {
        let content = customer.content(units);
        let request = customer.request(&content);
        let opened = open(&submit(&self.engine, &request.bytes), &request.hash, &request.session).unwrap();
        assert_eq!(opened.answer.reason, Reason::Paid);
        customer.take(&content, &opened.answer);
        verifier().verify(&opened.proof_bytes).unwrap().statement().payment
    }
}

// spec: K-105
#[test]
fn a_payment_whose_proof_was_never_presented_stands_in_the_report() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    let payments: Vec<_> = (1..=5).map(|units| office.pay(&mut customer, units)).collect();
    let cycle = office.close();
    let (report, pages) = office.report(cycle.number);
    let listed: Vec<_> = pages.iter().flat_map(|page| &page.payments).map(|line| line.payment).collect();
    assert_eq!(listed, payments, "every payment, presented or not");
    let totals = report.totals[0];
    assert_eq!((totals.payments, totals.credited, totals.payout), (5, 15, 15));
    assert!(report.until <= office.engine.now() && report.from < report.until);
    // Nothing of the payer is in it: neither account nor instrument.
    let mut bytes = report.encode();
    pages.iter().for_each(|page| bytes.extend(page.encode()));
    for secret in [customer.account.0, customer.instrument.0] {
        assert!(!bytes.windows(16).any(|window| window == secret));
    }
    office.engine.drain();
}

#[test]
fn cycles_are_charged_paid_out_and_carried_over_and_money_is_conserved() {
    for shards in [1, 3] {
        let fees = FeeSchedule { share_ppm: 10_000, per_payment: 3, payout_unit: 1_000 };
        let office = Office::new(shards, fees);
        let mut group: Vec<Customer> = (0..4).map(|_| customers(&office.engine, 1_000_000, 1).remove(0)).collect();
        for customer in &mut group {
            office.pay(customer, 1_250);
        }
        let first = office.close();
        let (report, _) = office.report(first.number);
        // 4 x 1,250 credited; a hundredth and 3 each charged; whole thousands paid out.
        let totals = report.totals[0];
        assert_eq!((totals.credited, totals.fees, totals.payout, totals.carried_after), (5_000, 62, 4_000, 938));
        assert_eq!((office.sum(Party::Merchant(MERCHANT)), office.sum(Party::Fees)), (938, 62));
        assert_eq!(total(&office.engine), 0);

        office.pay(&mut group[0], 100);
        let second = office.close();
        let totals = office.report(second.number).0.totals[0];
        assert_eq!((totals.carried_before, totals.fees, totals.payout, totals.carried_after), (938, 4, 1_000, 34));
        assert_eq!((second.from, second.number), (first.until, 2));
        assert_eq!((office.sum(Party::Merchant(MERCHANT)), total(&office.engine)), (34, 0));
        office.engine.drain();
    }
}

#[test]
fn a_closing_that_was_interrupted_goes_on_with_the_same_payments() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    office.pay(&mut customer, 7);
    let closed = office.close();
    // As a crash would leave it: begun, the merchant settled, not closed; then more was paid.
    let reader = office.engine.reader();
    let mut open = closed.clone();
    open.closed = false;
    office.engine.record(vec![open.entry()]).unwrap();
    office.pay(&mut customer, 9);
    let before = office.sum(Party::Funding);
    let again = office.close();
    assert_eq!(again, closed);
    assert_eq!(office.sum(Party::Funding), before, "nobody is paid twice");
    assert_eq!(Settlement::all(reader.as_ref(), &[]).unwrap().len(), 1);
    let next = office.close();
    assert_eq!(office.report(next.number).0.totals[0].credited, 9);
    office.engine.drain();
}

fn deposit(id: &str, account: AccountId, amount: &str) -> Instruction {
    Instruction::Deposit { id: id.into(), account: account.to_string(), asset: Asset::USD6, amount: amount.into() }
}

fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn instructions_of_the_agency_are_applied_once_and_refusals_say_why() {
    let office = Office::new(1, FeeSchedule::default());
    let customer = customers(&office.engine, 1, 1).remove(0);
    let agency = SigningKey::<FundingRole>::from_seed([9; 32]);
    let folder = office.directory.path().join("funding");
    let mut job = FundingJob { adapter: Folder::new(&folder, agency.public()), realm: realm() };
    job.step(&office.engine).unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.join("in").join(name), text).unwrap();
    put("1.json", &deposit("a", customer.account, "2").sign(&agency));
    put("2.json", &deposit("a", customer.account, "2").sign(&agency));
    put("3.json", &deposit("a", customer.account, "3").sign(&agency));
    put("4.json", &deposit("b", customer.account, "1.5").sign(&SigningKey::from_seed([8; 32])));
    put("5.json", &deposit("c", AccountId([7; 16]), "1").sign(&agency));
    put("6.json", &deposit("d", customer.account, "0.0000001").sign(&agency));
    put("7.unfinished", "half");
    job.step(&office.engine).unwrap();
    let account = customer.account;
    let balance = office.engine.read(move |book| book.account(account).unwrap().balance).remove(0);
    assert_eq!(balance, 2_000_001);
    assert_eq!(files(&folder.join("in")), ["7.unfinished"]);
    assert_eq!(files(&folder.join("done")), ["1.json", "2.json"]);
    let refused = files(&folder.join("refused"));
    assert_eq!(refused.len(), 8);
    let reason = |name: &str| std::fs::read_to_string(folder.join("refused").join(name)).unwrap();
    assert!(reason("3.json.reason").contains("another content"));
    assert!(reason("4.json.reason").contains("signature"));
    assert!(reason("5.json.reason").contains("no account"));
    assert!(reason("6.json.reason").contains("decimal"), "{}", reason("6.json.reason"));
    // A file that comes back, after a restore of the folder, does nothing.
    put("1.json", &deposit("a", customer.account, "2").sign(&agency));
    job.step(&office.engine).unwrap();
    assert_eq!(office.engine.read(move |book| book.account(account).unwrap().balance).remove(0), balance);
    assert_eq!(total(&office.engine), 0);
    office.engine.drain();
}

#[test]
fn payouts_go_out_once_and_come_back_to_the_merchant() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    office.pay(&mut customer, 1_234);
    let agency = SigningKey::<FundingRole>::from_seed([9; 32]);
    let folder = office.directory.path().join("funding");
    let mut job = FundingJob { adapter: Folder::new(&folder, agency.public()), realm: realm() };
    let cycle = office.close();
    job.step(&office.engine).unwrap();
    let list = std::fs::read_to_string(folder.join("out").join(format!("payouts-{:08}.csv", cycle.number))).unwrap();
    let payout = Payout::all(office.engine.reader().as_ref(), &[]).unwrap().remove(0);
    assert_eq!(payout.state, PayoutState::Sent);
    let id = hex::encode(payout.id());
    assert!(list.contains(&format!("{id},1,{MERCHANT},USD6,0.001234,")), "{list}");
    assert_eq!(office.sum(Party::Merchant(MERCHANT)), 0);

    let returned = Instruction::PayoutReturned { id: "r1".into(), payout: id.clone() };
    assert_eq!(apply(&office.engine, &realm(), &returned).unwrap(), Outcome::Applied);
    assert_eq!(apply(&office.engine, &realm(), &returned).unwrap(), Outcome::AlreadyApplied);
    let again = Instruction::PayoutReturned { id: "r2".into(), payout: id };
    assert!(apply(&office.engine, &realm(), &again).unwrap_err().message.contains("returned before"));
    assert_eq!((office.sum(Party::Merchant(MERCHANT)), total(&office.engine)), (1_234, 0));
    let next = office.close();
    let totals = office.report(next.number).0.totals[0];
    assert_eq!((totals.returned, totals.payout, totals.carried_after), (1_234, 1_234, 0), "it is paid out again");
    let third = office.close();
    let key = Settlement::key_of(MERCHANT, third.number);
    assert!(Settlement::read(office.engine.reader().as_ref(), &key).unwrap().is_none(), "nothing more to settle");
    assert_eq!(total(&office.engine), 0);
    office.engine.drain();
}

/// The adapter cannot work at all; payments do.
#[test]
fn payments_go_on_with_the_adapter_stopped() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    let blocked = office.directory.path().join("file");
    std::fs::write(&blocked, "in the way").unwrap();
    let mut job = FundingJob { adapter: Folder::new(&blocked, [1; 32]), realm: realm() };
    assert!(job.step(&office.engine).is_err());
    office.pay(&mut customer, 1);
    office.engine.drain();
}

#[test]
fn a_cycle_cannot_end_before_it_began_or_in_the_future() {
    let office = Office::new(1, FeeSchedule::default());
    let closing =
        Closing { engine: &office.engine, settings: &office.settings, pages: &office.pages, key: &office.key };
    let future = office.engine.now().plus(DAY_MS);
    assert!(closing.close(Timestamp(1), future).is_err());
    let closed = office.close();
    assert!(closing.close(Timestamp(1), closed.until).is_err());
    office.engine.drain();
}
