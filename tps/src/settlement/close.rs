//! Closing a cycle: its range is fixed first, then every merchant is settled in a commit of its own, then the cycle is closed.
//! After a crash at any point the same begins where it ended, and no merchant is settled twice.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use protocol::codec::Canonical;
use protocol::ids::MerchantId;
use protocol::ledger::instrument::Place;
use protocol::ledger::posting::{Party, Posting};
use protocol::money::{Asset, add};
use protocol::settlement::{SettledRefund, SettlementReport, SettlementTerms, SettlementTotals};
use protocol::signature::{DeskRole, SigningKey};
use protocol::time::Timestamp;

use super::Settings;
use super::fees::{Standing, Turnover};
use super::pages::{Lines, MerchantLines, PageDirectory, batch_time};
use super::records::{Payout, PayoutState, Settlement, SettlementCycle};
use crate::admin::{AdminError, AdminErrorCode};
use crate::desk::records::{OpenRefund, RefundOrderRecord};
use crate::pipeline::Engine;
use crate::store::Reader;
use crate::store::desk::{DeskEntry, DeskRecord};
use crate::store::records::MerchantStatus;

/// Everything that closing a cycle needs.
pub struct Closing<'a> {
    /// The pipeline.
    pub engine: &'a Engine,
    /// Schedule and fees.
    pub settings: &'a Settings,
    /// Where pages lie.
    pub pages: &'a PageDirectory,
    /// Signs reports.
    pub key: &'a SigningKey<DeskRole>,
}

/// The last cycle, closed or being closed; `None` before the first.
///
/// # Errors
/// [`AdminError`] where the store does not answer.
pub fn last_cycle(reader: &dyn Reader) -> Result<Option<SettlementCycle>, AdminError> {
    Ok(SettlementCycle::all(reader, &[])?.pop())
}

impl Closing<'_> {
    /// Closes the cycle that ends at `until`, or the one whose closing was begun before; gives it. `None` where nothing can be
    /// closed now: a refund is not through yet, or the server is about to stop.
    ///
    /// # Errors
    /// [`AdminError`]; what was done stands, and doing it again goes on.
    pub fn close(&self, started_at: Timestamp, until: Timestamp) -> Result<Option<SettlementCycle>, AdminError> {
        // Nobody else may take money from merchants between looking at what they have and taking it.
        let _debits = self.engine.merchant_debits();
        // A refund that was accepted and is not through yet would be counted, but not be gone.
        if !OpenRefund::all(self.engine.reader().as_ref(), &OpenRefund::BEGINNING)?.is_empty() {
            return Ok(None);
        }
        let cycle = match self.begun(started_at, until)? {
            Some(cycle) => cycle,
            None => return Ok(None),
        };
        let reader = self.engine.reader().as_ref();
        let mut lines = Lines::collect(reader, &cycle, self.pages)?;
        for (merchant, refund) in refunds(reader, &cycle)? {
            lines.add_refund(merchant, refund)?;
        }
        let mut lines = lines.finish()?;
        let (accrued, mut returned) = (self.accrued(), returned(reader)?);
        let merchants: BTreeSet<MerchantId> =
            lines.keys().copied().chain(accrued.keys().map(|(merchant, _)| *merchant)).collect();
        let status: BTreeMap<MerchantId, MerchantStatus> =
            reader.registry()?.merchants.iter().map(|record| (record.id, record.status)).collect();
        for merchant in merchants {
            let payable = status.get(&merchant) == Some(&MerchantStatus::Certified);
            let lines = lines.remove(&merchant).unwrap_or_default();
            let returned = returned.remove(&merchant).unwrap_or_default();
            self.settle(&cycle, merchant, (lines, returned), &accrued, payable)?;
        }
        let closed = cycle.clone().closed();
        self.engine.record(vec![closed.entry()])?;
        Ok(Some(closed))
    }

    /// The cycle to close, its range durable.
    fn begun(&self, started_at: Timestamp, until: Timestamp) -> Result<Option<SettlementCycle>, AdminError> {
        let reader = self.engine.reader().as_ref();
        let before = last_cycle(reader)?;
        if let Some(open) = before.as_ref().filter(|cycle| !cycle.closed) {
            return Ok(Some(open.clone()));
        }
        let (number, from, after) = match &before {
            Some(cycle) => (cycle.number + 1, cycle.until, cycle.last()),
            None => (1, started_at, Place::default()),
        };
        if until <= from || until > self.engine.now() {
            return Err(AdminError::refused(format!(
                "the cycle after {from} cannot end at {until}: it must end later, and not in the future"
            )));
        }
        // From here on every new batch has a later time; those before are waited for, a moment.
        if self.engine.log_end().is_none() {
            return Ok(None);
        }
        let last = last_before(reader, after, until)?;
        let cycle = SettlementCycle::new(number, (from, until), after, last);
        self.engine.record(vec![cycle.entry()])?;
        Ok(Some(cycle))
    }

    /// What the ledger owes to merchants, over all shards.
    fn accrued(&self) -> BTreeMap<(MerchantId, Asset), i128> {
        let shards = self.engine.read(|book| {
            let merchants = book.balances().filter_map(|(party, asset, balance)| match party {
                Party::Merchant(merchant) => Some(((merchant, asset), balance)),
                _ => None,
            });
            merchants.collect::<Vec<_>>()
        });
        let mut accrued = BTreeMap::new();
        for (key, balance) in shards.concat() {
            *accrued.entry(key).or_insert(0) += balance;
        }
        accrued
    }

    fn settle(
        &self,
        cycle: &SettlementCycle,
        merchant: MerchantId,
        (mut lines, returned): (MerchantLines, Vec<Payout>),
        accrued: &BTreeMap<(MerchantId, Asset), i128>,
        payable: bool,
    ) -> Result<(), AdminError> {
        let reader = self.engine.reader().as_ref();
        if Settlement::read(reader, &Settlement::key_of(merchant, cycle.number))?.is_some() {
            return Ok(());
        }
        let carried = carried(reader, merchant)?;
        for payout in &returned {
            let turnover = lines.turnovers.entry(payout.asset).or_default();
            turnover.returned = add(turnover.returned, payout.units)?;
        }
        let of_merchant = accrued.keys().filter(|(id, _)| *id == merchant).map(|(_, asset)| *asset);
        let assets: BTreeSet<Asset> =
            of_merchant.chain(lines.turnovers.keys().copied()).chain(carried.keys().copied()).collect();
        let mut totals = Vec::new();
        for asset in assets {
            let turnover = lines.turnovers.get(&asset).copied().unwrap_or_default();
            let carried = carried.get(&asset).copied().unwrap_or(0);
            if turnover == Turnover::default() && carried == 0 {
                continue;
            }
            let accrued = accrued.get(&(merchant, asset)).copied().unwrap_or(0);
            let fees = self.settings.fees.get(&asset).copied().unwrap_or_default();
            totals.push(fees.close(asset, &turnover, &Standing { carried, accrued, payable })?);
        }
        if totals.is_empty() {
            return Ok(());
        }
        let terms = SettlementTerms {
            realm: reader.realm()?,
            merchant,
            cycle: cycle.number,
            from: cycle.from,
            until: cycle.until,
            totals: totals.clone(),
            pages: lines.pages,
        };
        let report = SettlementReport::sign(terms, self.key)?.encode();
        let settlement = Settlement { merchant, cycle: cycle.number, report };
        let counted = returned.into_iter().map(|payout| Payout { state: PayoutState::Counted, ..payout }.entry());
        self.book(cycle, merchant, std::iter::once(settlement.entry()).chain(counted).collect(), &totals)
    }

    /// Moves the money and keeps report and payouts, in one commit.
    fn book(
        &self,
        cycle: &SettlementCycle,
        merchant: MerchantId,
        mut records: Vec<DeskEntry>,
        totals: &[SettlementTotals],
    ) -> Result<(), AdminError> {
        let mut postings = Vec::new();
        for line in totals {
            let asset = line.asset;
            let taken = [(Party::Fees, line.fees), (Party::Funding, line.payout)];
            for (party, units) in taken.into_iter().filter(|(_, units)| *units > 0) {
                postings.push(Posting { party: Party::Merchant(merchant), asset, change: -units });
                postings.push(Posting { party, asset, change: units });
            }
            if line.payout > 0 {
                let payout = Payout {
                    merchant,
                    cycle: cycle.number,
                    asset,
                    units: line.payout,
                    state: PayoutState::Pending,
                    created_at: self.engine.now(),
                };
                records.push(payout.entry());
            }
        }
        let what = format!("settled merchant {merchant} for cycle {}", cycle.number);
        Ok(self.engine.with_book(0, move |book, now| book.transfer(what, &postings, records, now))?)
    }
}

/// Payouts that came back and were not counted yet, by merchant.
fn returned(reader: &dyn Reader) -> Result<BTreeMap<MerchantId, Vec<Payout>>, AdminError> {
    let mut returned: BTreeMap<MerchantId, Vec<Payout>> = BTreeMap::new();
    for payout in Payout::all(reader, &[])?.into_iter().filter(|payout| payout.state == PayoutState::Returned) {
        returned.entry(payout.merchant).or_default().push(payout);
    }
    Ok(returned)
}

/// What the merchant's last settlement left over, per asset.
fn carried(reader: &dyn Reader, merchant: MerchantId) -> Result<BTreeMap<Asset, i128>, AdminError> {
    let Some(last) = Settlement::all(reader, &merchant.0)?.pop() else { return Ok(BTreeMap::new()) };
    let report = SettlementReport::decode(&last.report)?;
    Ok(report.totals.iter().map(|totals| (totals.asset, totals.carried_after)).collect())
}

/// The last place after `after` whose batch has a time before `until`; `after` where there is none.
fn last_before(reader: &dyn Reader, after: Place, until: Timestamp) -> Result<Place, AdminError> {
    let (mut last, mut batch, mut outcome) = (after, None, Ok(()));
    reader.visit_payments(Some(after), &mut |place, _| {
        if batch != Some(place.batch) {
            match batch_time(reader, place.batch) {
                Ok(time) if time < until => batch = Some(place.batch),
                Ok(_) => return ControlFlow::Break(()),
                Err(error) => {
                    outcome = Err(error);
                    return ControlFlow::Break(());
                }
            }
        }
        last = place;
        ControlFlow::Continue(())
    })?;
    outcome.map(|()| last)
}

/// Refunds put through in the cycle, with their merchants.
fn refunds(reader: &dyn Reader, cycle: &SettlementCycle) -> Result<Vec<(MerchantId, SettledRefund)>, AdminError> {
    let mut refunds = Vec::new();
    RefundOrderRecord::visit(reader, &RefundOrderRecord::BEGINNING, None, &mut |record| {
        if cycle.from <= record.accepted_at && record.accepted_at < cycle.until {
            refunds.extend(record.totals.iter().map(|total| {
                let line = SettledRefund {
                    order: record.order,
                    number: record.number,
                    units: total.units,
                    asset: total.asset,
                    refunded_at: record.accepted_at,
                };
                (record.merchant, line)
            }));
        }
        ControlFlow::Continue(())
    })?;
    Ok(refunds)
}

/// A cycle that exists.
///
/// # Errors
/// [`AdminErrorCode::NotFound`].
pub fn cycle(reader: &dyn Reader, number: u64) -> Result<SettlementCycle, AdminError> {
    SettlementCycle::read(reader, &number.to_be_bytes())?.ok_or_else(|| {
        AdminError::new(
            AdminErrorCode::NotFound,
            format!("there is no settlement cycle {number}: see `tps settlement list`"),
        )
    })
}
