//! The funding boundary: money comes in and goes out once, whatever the agency and its adapter do.

use std::path::Path;

use protocol::ids::AccountId;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::signature::{FundingRole, SigningKey};
use protocol::time::Timestamp;
use tps::admin::{AdminError, AdminErrorCode};
use tps::data_directory::{FORMAT, Realm, RealmAsset};
use tps::funding::instruction::Instruction;
use tps::funding::{Folder, FundingAdapter, FundingJob, Outcome, Received, apply};
use tps::jobs::Job;
use tps::settlement::fees::FeeSchedule;
use tps::settlement::records::{Payout, PayoutState, Settlement};
use tps::store::desk::DeskRecord;

use crate::Office;
use crate::common::*;

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
    let mut job = FundingJob::new(Folder::new(&folder, agency.public()), realm());
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
    let mut job = FundingJob::new(Folder::new(&folder, agency.public()), realm());
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

// An agency that keeps what it is handed in memory, and takes nothing where it is `deaf`.
#[derive(Default)]
struct Agency {
    instructions: Vec<Instruction>,
    lists: Vec<String>,
    done: usize,
    deaf: bool,
}

impl FundingAdapter for &mut Agency {
    fn receive(&mut self) -> Result<Vec<Received>, AdminError> {
        let received = |instruction| Received { name: String::new(), instruction: Ok(instruction) };
        Ok(self.instructions.drain(..).map(received).collect())
    }

    fn done(&mut self, _: &str) -> Result<(), AdminError> {
        self.done += 1;
        Ok(())
    }

    fn refuse(&mut self, _: &str, reason: &str) -> Result<(), AdminError> {
        panic!("{reason}")
    }

    fn pay_out(&mut self, name: &str, list: &str) -> Result<(), AdminError> {
        if self.deaf {
            return Err(AdminError::new(AdminErrorCode::Store, "the agency takes nothing"));
        }
        self.lists.push(format!("{name}\n{list}"));
        Ok(())
    }
}

#[test]
fn a_list_goes_out_once_and_a_payout_that_did_not_go_out_cannot_come_back() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    office.pay(&mut customer, 1_234);
    office.close();
    let payout = Payout::all(office.engine.reader().as_ref(), &[]).unwrap().remove(0);
    let returned = |id: &str| Instruction::PayoutReturned { id: id.into(), payout: hex::encode(payout.id()) };
    // The merchant would have the money, and the list would still tell the agency to pay it.
    let early = apply(&office.engine, &realm(), &returned("r1")).unwrap_err().message;
    assert!(early.contains("not handed"), "{early}");
    assert_eq!(office.sum(Party::Merchant(MERCHANT)), 0);

    // An agency that takes no lists keeps no deposit waiting.
    let mut agency = Agency { deaf: true, ..Agency::default() };
    agency.instructions.push(deposit("a", customer.account, "1"));
    assert!(FundingJob::new(&mut agency, realm()).step(&office.engine).is_err());
    assert_eq!((agency.done, agency.lists.len()), (1, 0));
    agency.deaf = false;
    for _ in 0..2 {
        // Another process each time.
        let mut job = FundingJob::new(&mut agency, realm());
        job.step(&office.engine).unwrap();
        job.step(&office.engine).unwrap();
    }
    assert_eq!(agency.lists.len(), 1, "{:?}", agency.lists);
    // The list went out and the process ended before it knew: the agency's answer may come first, and counts all the same.
    let pending = Payout { state: PayoutState::Pending, ..payout.clone() };
    office.engine.record(vec![pending.entry()]).unwrap();
    agency.instructions.push(returned("r1"));
    FundingJob::new(&mut agency, realm()).step(&office.engine).unwrap();
    assert_eq!((agency.lists.len(), &agency.lists[0]), (2, &agency.lists[1]), "the same list again");
    assert_eq!((office.sum(Party::Merchant(MERCHANT)), total(&office.engine)), (1_234, 0));
    office.engine.drain();
}

/// A crash after the first merchant was settled: the others' payouts are still to come.
#[test]
fn no_list_goes_out_before_every_merchant_is_settled() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    office.pay(&mut customer, 5);
    let closed = office.close();
    let mut begun = closed.clone();
    begun.closed = false;
    office.engine.record(vec![begun.entry()]).unwrap();
    let mut agency = Agency::default();
    FundingJob::new(&mut agency, realm()).step(&office.engine).unwrap();
    assert!(agency.lists.is_empty(), "{:?}", agency.lists);
    office.engine.record(vec![closed.entry()]).unwrap();
    FundingJob::new(&mut agency, realm()).step(&office.engine).unwrap();
    assert_eq!(agency.lists.len(), 1);
    office.engine.drain();
}

/// The adapter cannot work at all; payments do.
#[test]
fn payments_go_on_with_the_adapter_stopped() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    let blocked = office.directory.path().join("file");
    std::fs::write(&blocked, "in the way").unwrap();
    let mut job = FundingJob::new(Folder::new(&blocked, [1; 32]), realm());
    assert!(job.step(&office.engine).is_err());
    office.pay(&mut customer, 1);
    office.engine.drain();
}
