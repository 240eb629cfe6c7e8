//! `tps settlement`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::output::{NewFile, table};
use super::{Context, backend};
use crate::admin::settlement::{SettlementAnswer, SettlementCommand as Asked};
use crate::admin::{AdminError, AdminRequest, AdminResponse};
use crate::data_directory::DataError;

#[derive(Debug, Subcommand)]
pub(super) enum SettlementCommand {
    /// End the present cycle now and settle every merchant; cycles end by themselves at the cut-off, too
    Close,
    /// List all cycles
    Cycles,
    /// List what merchants were settled
    List {
        /// Only this merchant
        #[arg(long, value_name = "ID")]
        merchant: Option<String>,
        /// Only this cycle
        #[arg(long, value_name = "NUMBER")]
        cycle: Option<u64>,
    },
    /// Write a merchant's signed report of a cycle and its pages into a new directory, for `mts reconcile`
    Export {
        /// Its id
        merchant: String,
        /// The cycle
        cycle: u64,
        /// The new directory
        directory: PathBuf,
    },
    /// List all payouts and how far they are
    Payouts,
}

impl SettlementCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let asked = match self {
            Self::Close => Asked::Close,
            Self::Cycles => Asked::Cycles,
            Self::List { merchant, cycle } => Asked::List { merchant, cycle },
            Self::Payouts => Asked::Payouts,
            Self::Export { merchant, cycle, directory } => return export(context, merchant, cycle, &directory),
        };
        let response = backend::call(context, AdminRequest::Settlement(asked))?;
        match &response {
            AdminResponse::Settlement(answer) if !context.output.json => {
                context.output.told(&json!(null), &describe(answer));
            }
            response => context.output.response(response),
        }
        Ok(())
    }
}

fn describe(answer: &SettlementAnswer) -> String {
    let header = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut rows = Vec::new();
    match answer {
        SettlementAnswer::Cycles { cycles } => {
            rows.push(header(&["CYCLE", "FROM", "UNTIL", "STATE"]));
            rows.extend(cycles.iter().map(|cycle| {
                let state = if cycle.closed { "closed" } else { "being closed" };
                vec![cycle.cycle.to_string(), cycle.from_ms.to_string(), cycle.until_ms.to_string(), state.to_owned()]
            }));
        }
        SettlementAnswer::Settlements { settlements } => {
            rows.push(header(&[
                "CYCLE", "MERCHANT", "PAYMENTS", "CARRIED", "CREDITED", "RETURNED", "REFUNDED", "FEES", "PAYOUT",
                "LEFT", "ASSET",
            ]));
            rows.extend(settlements.iter().map(|view| {
                let mut row = vec![view.cycle.to_string(), view.merchant.to_string(), view.payments.to_string()];
                let sums = [
                    &view.carried_before,
                    &view.credited,
                    &view.returned,
                    &view.refunded,
                    &view.fees,
                    &view.payout,
                    &view.carried_after,
                ];
                row.extend(sums.map(|money| money.decimal.clone()));
                row.push(view.payout.asset.to_string());
                row
            }));
        }
        SettlementAnswer::Payouts { payouts } => {
            rows.push(header(&["PAYOUT", "CYCLE", "MERCHANT", "AMOUNT", "STATE"]));
            rows.extend(payouts.iter().map(|payout| {
                let state = serde_json::to_value(payout.state).ok().and_then(|state| Some(state.as_str()?.to_owned()));
                vec![
                    payout.payout.clone(),
                    payout.cycle.to_string(),
                    payout.merchant.to_string(),
                    payout.amount.to_string(),
                    state.unwrap_or_default(),
                ]
            }));
        }
        SettlementAnswer::Report { pages, .. } => rows.push(vec![format!("a report of {} pages", pages.len())]),
    }
    table(&rows)
}

fn export(context: &Context, merchant: String, cycle: u64, directory: &std::path::Path) -> Result<(), AdminError> {
    let response = backend::call(context, AdminRequest::Settlement(Asked::Report { merchant, cycle }))?;
    let AdminResponse::Settlement(SettlementAnswer::Report { report, pages }) = response else {
        return Err(AdminError::bad_input(
            "the server answered something else than asked: use the `tps` it was started with",
        ));
    };
    let bytes = hex::decode(&report).map_err(|error| AdminError::bad_input(error.to_string()))?;
    std::fs::create_dir(directory).map_err(DataError::system("make the new directory", directory))?;
    for (number, path) in pages.iter().enumerate() {
        let page = std::fs::read(path).map_err(DataError::system("read", path))?;
        NewFile::create(&directory.join(format!("{number:05}.page")))?.keep(&page)?;
    }
    // Last, so that a report whose pages are missing is never left.
    NewFile::create(&directory.join("report"))?.keep(&bytes)?;
    let told = json!({ "result": "exported", "directory": directory, "pages": pages.len() });
    let text = format!("report  {} with {} pages\n", directory.display(), pages.len());
    context.output.told(&told, &text);
    Ok(())
}
