//! `tps report`.

use clap::Subcommand;

use super::output::{facts, header, name_of, printable, table};
use super::{Context, backend};
use crate::admin::views::ReportView;
use crate::admin::{AdminError, AdminRequest, VruRequest};

#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// List open reports
    List {
        /// Closed ones, too
        #[arg(long)]
        all: bool,
    },
    /// Show a report
    Show {
        /// Its number
        number: u64,
    },
    /// Close a report
    Close {
        /// Its number
        number: u64,
        /// What was done about it
        #[arg(long, default_value = "")]
        note: String,
    },
}

impl ReportCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let request = match self {
            Self::List { all } => VruRequest::ListReports { all },
            Self::Show { number } => VruRequest::ShowReport { number },
            Self::Close { number, note } => VruRequest::CloseReport { number, note },
        };
        context.output.response(&backend::call(context, AdminRequest::Vru(request))?);
        Ok(())
    }
}

fn about(report: &ReportView) -> String {
    report.instrument.map_or_else(|| "-".to_owned(), |instrument| instrument.to_string())
}

pub(super) fn describe(report: &ReportView) -> String {
    let mut list = vec![
        ("report", report.number.to_string()),
        ("reason", name_of(report.reason)),
        ("instrument", about(report)),
        ("filed", report.filed_at_ms.to_string()),
    ];
    if !report.text.is_empty() {
        list.push(("found", printable(&report.text)));
    }
    if let Some(closed) = report.closed_at_ms {
        list.push(("closed", closed.to_string()));
        list.push(("note", printable(report.note.as_deref().unwrap_or_default())));
    }
    facts(&list)
}

pub(super) fn list(reports: &[ReportView]) -> String {
    let mut rows = vec![header(&["REPORT", "REASON", "INSTRUMENT", "FILED", "CLOSED"])];
    rows.extend(reports.iter().map(|report| {
        vec![
            report.number.to_string(),
            name_of(report.reason),
            about(report),
            report.filed_at_ms.to_string(),
            report.closed_at_ms.map_or_else(|| "-".to_owned(), |closed| closed.to_string()),
        ]
    }));
    table(&rows)
}
