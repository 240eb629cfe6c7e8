//! `tps archive`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::output::table;
use super::{Context, backend};
use crate::admin::views::SegmentView;
use crate::admin::{AdminError, AdminRequest, AdminResponse};

#[derive(Debug, Subcommand)]
pub(super) enum ArchiveCommand {
    /// List the archive's segments
    List,
    /// Read every segment to its last byte and say which are missing or altered
    Verify,
}

impl ArchiveCommand {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, AdminError> {
        let verify = matches!(self, Self::Verify);
        let response = backend::call(context, AdminRequest::Archive { verify })?;
        let AdminResponse::Archive { segments, .. } = &response else {
            return Err(AdminError::bad_input(
                "the server answered something else than asked: use the `tps` it was started with",
            ));
        };
        if context.output.json {
            context.output.response(&response);
        } else {
            context.output.told(&json!(null), &describe(segments, verify));
        }
        let sound = segments.iter().all(|segment| segment.problem.is_none());
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn describe(segments: &[SegmentView], verified: bool) -> String {
    if segments.is_empty() {
        return "nothing was archived yet: `retention_days` in tps.toml says what is to be\n".to_owned();
    }
    let header = ["SEGMENT", "FROM", "UNTIL", "PAYMENTS", "KIB", "OF"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(segments.iter().map(|segment| {
        vec![
            segment.segment.to_string(),
            segment.from_ms.to_string(),
            segment.until_ms.to_string(),
            segment.payments.to_string(),
            (segment.file_bytes >> 10).to_string(),
            (segment.record_bytes >> 10).to_string(),
        ]
    }));
    let mut text = table(&rows);
    let problems: Vec<&String> = segments.iter().filter_map(|segment| segment.problem.as_ref()).collect();
    for problem in &problems {
        text.push_str(&format!("  {problem}\n"));
    }
    if verified && problems.is_empty() {
        text.push_str("every segment is whole\n");
    }
    text
}
