//! Settlement and the funding boundary over a running pipeline.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

#[path = "../common/mod.rs"]
mod common;
mod funding;

use std::collections::BTreeMap;

use common::*;
use protocol::codec::Canonical;
use protocol::ledger::instrument::Place;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::response::{Reason, open};
use protocol::settlement::{SettlementPage, SettlementReport};
use protocol::signature::{DeskRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};
use tps::desk::records::OpenRefund;
use tps::pipeline::{Engine, EngineConfig};
use tps::settlement::close::Closing;
use tps::settlement::fees::FeeSchedule;
use tps::settlement::pages::PageDirectory;
use tps::settlement::records::{Settlement, SettlementCycle};
use tps::settlement::{Schedule, Settings};
use tps::store::desk::DeskRecord;

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

    fn last_batch_time(&self) -> Timestamp {
        let mut last = 0;
        let reader = self.engine.reader();
        reader.for_each_payment(&mut |place, _| last = place.batch).unwrap();
        reader.batch(last).unwrap().unwrap().header.batch_time
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

#[test]
fn a_payment_at_the_cut_off_belongs_to_the_next_cycle() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    office.pay(&mut customer, 5);
    while office.engine.now() == office.last_batch_time() {
        std::hint::spin_loop();
    }
    office.pay(&mut customer, 7);
    let until = office.last_batch_time();
    let closing =
        Closing { engine: &office.engine, settings: &office.settings, pages: &office.pages, key: &office.key };
    let cycle = closing.close(Timestamp(1), until).unwrap().unwrap();
    let credited = |cycle: u64| office.report(cycle).0.totals[0].credited;
    assert_eq!((cycle.until, credited(1)), (until, 5));
    office.close();
    assert_eq!(credited(2), 7);
    office.engine.drain();
}

/// Two crashes: one in a closing, one in a refund that was accepted after it.
#[test]
fn no_cycle_is_closed_while_a_refund_is_open_not_even_one_that_was_begun() {
    let office = Office::new(1, FeeSchedule::default());
    let mut customer = customers(&office.engine, 1_000_000, 1).remove(0);
    office.pay(&mut customer, 7);
    let closed = office.close();
    office.pay(&mut customer, 9);
    let mut begun = SettlementCycle::new(
        2,
        (closed.until, office.engine.now()),
        closed.last(),
        Place { batch: u64::MAX, index: 0 },
    );
    begun.closed = false;
    let refund = OpenRefund { merchant: MERCHANT, order: protocol::ids::RefundOrderId([1; 16]) };
    office.engine.record(vec![begun.entry(), refund.entry()]).unwrap();
    let closing =
        Closing { engine: &office.engine, settings: &office.settings, pages: &office.pages, key: &office.key };
    assert_eq!(closing.close(Timestamp(1), office.engine.now()).unwrap(), None, "its money would be paid out");
    assert_eq!(office.sum(Party::Merchant(MERCHANT)), 9);
    office.engine.record(vec![OpenRefund::removal(&refund.key())]).unwrap();
    assert!(closing.close(Timestamp(1), office.engine.now()).unwrap().is_some());
    assert_eq!(office.sum(Party::Merchant(MERCHANT)), 0);
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
