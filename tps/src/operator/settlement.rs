//! Settlement: close a cycle, look at cycles, reports and payouts.

use protocol::codec::Canonical;
use protocol::settlement::SettlementReport;

use super::Operator;
use crate::admin::settlement::{CycleView, PayoutView, SettlementAnswer, SettlementCommand, SettlementView};
use crate::admin::{AdminError, AdminErrorCode, AdminResponse};
use crate::settlement::SettlementJob;
use crate::settlement::pages::PageDirectory;
use crate::settlement::records::{Payout, Settlement, SettlementCycle};
use crate::store::Reader;
use crate::store::desk::DeskRecord;

impl Operator {
    pub(super) fn settlement(&self, command: &SettlementCommand) -> Result<AdminResponse, AdminError> {
        let reader = self.engine.reader().as_ref();
        let answer = match command {
            SettlementCommand::Close => SettlementAnswer::Cycles { cycles: vec![self.close_cycle()?] },
            SettlementCommand::Cycles => {
                SettlementAnswer::Cycles { cycles: SettlementCycle::all(reader, &[])?.iter().map(cycle_view).collect() }
            }
            SettlementCommand::List { merchant, cycle } => {
                SettlementAnswer::Settlements { settlements: self.settlements(reader, merchant.as_deref(), *cycle)? }
            }
            SettlementCommand::Report { merchant, cycle } => self.report(reader, merchant, *cycle)?,
            SettlementCommand::Payouts => SettlementAnswer::Payouts {
                payouts: Payout::all(reader, &[])?.iter().map(|payout| self.payout_view(payout)).collect(),
            },
        };
        Ok(AdminResponse::Settlement(answer))
    }

    fn close_cycle(&self) -> Result<CycleView, AdminError> {
        let settings = self.settlement_config.settings(&self.realm)?;
        let job = SettlementJob { settings, data: self.data.clone(), realm: self.realm.clone() };
        Ok(cycle_view(&job.close_now(&self.engine)?))
    }

    fn settlements(
        &self,
        reader: &dyn Reader,
        merchant: Option<&str>,
        cycle: Option<u64>,
    ) -> Result<Vec<SettlementView>, AdminError> {
        let of_merchant = match merchant {
            Some(text) => self.merchant(text)?.id.0.to_vec(),
            None => Vec::new(),
        };
        let mut views = Vec::new();
        for settlement in Settlement::all(reader, &of_merchant)? {
            if cycle.is_some_and(|cycle| cycle != settlement.cycle) {
                continue;
            }
            let report = SettlementReport::decode(&settlement.report)?;
            views.extend(report.totals.iter().map(|totals| {
                let money = |units| self.money(units, totals.asset);
                SettlementView {
                    cycle: settlement.cycle,
                    merchant: settlement.merchant,
                    payments: totals.payments,
                    carried_before: money(totals.carried_before),
                    credited: money(totals.credited),
                    returned: money(totals.returned),
                    refunded: money(totals.refunded),
                    fees: money(totals.fees),
                    payout: money(totals.payout),
                    carried_after: money(totals.carried_after),
                }
            }));
        }
        views.sort_by_key(|view| (view.cycle, view.merchant));
        Ok(views)
    }

    fn report(&self, reader: &dyn Reader, merchant: &str, cycle: u64) -> Result<SettlementAnswer, AdminError> {
        let merchant = self.merchant(merchant)?.id;
        let settlement = Settlement::read(reader, &Settlement::key_of(merchant, cycle))?.ok_or_else(|| {
            let message = format!("merchant {merchant} was not settled in cycle {cycle}: see `tps settlement list`");
            AdminError::new(AdminErrorCode::NotFound, message)
        })?;
        let pages = SettlementReport::decode(&settlement.report)?.pages.len() as u32;
        let directory = PageDirectory::new(&self.data.settlements(), self.realm.realm);
        Ok(SettlementAnswer::Report {
            report: hex::encode(&settlement.report),
            pages: (0..pages).map(|page| directory.page(cycle, merchant, page)).collect(),
        })
    }

    fn payout_view(&self, payout: &Payout) -> PayoutView {
        PayoutView {
            payout: hex::encode(payout.id()),
            cycle: payout.cycle,
            merchant: payout.merchant,
            amount: self.money(payout.units, payout.asset),
            state: payout.state,
            created_at_ms: payout.created_at,
        }
    }
}

fn cycle_view(cycle: &SettlementCycle) -> CycleView {
    CycleView { cycle: cycle.number, from_ms: cycle.from, until_ms: cycle.until, closed: cycle.closed }
}
