//! `mts desk`.

use std::path::Path;

use anyhow::Context;
use mts_plugin::desk::{DeskClerk, DeskFailure, DeskReport, SendError};
use mts_plugin::store::Store;
use mts_plugin::{Home, clock};
use protocol::codec::Canonical;
use protocol::limits::DESK_ANSWER_BYTES_MAX;
use serde_json::json;

use super::{DeskCommand, Failure, print};

pub(super) fn desk(directory: &Path, command: DeskCommand, as_json: bool) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    let store = Store::open(&home.orders_path())?;
    let clerk = DeskClerk::new(&home, &store);
    match command {
        DeskCommand::Use { file } => {
            let description = clerk.use_description(&file, clock::now()).map_err(failure)?;
            let addresses = description.addresses.join(", ");
            print(as_json, &json!({ "desk": description.addresses }), &format!("The desk is at {addresses}."));
        }
        DeskCommand::Sync => {
            let report = synchronise(&clerk).map_err(failure)?;
            show(&report, as_json)?;
        }
        DeskCommand::Batch { file } => {
            let (batch, new) = clerk.batch(clock::now()).map_err(failure)?;
            std::fs::write(&file, batch.encode()).with_context(|| format!("cannot write {}", file.display()))?;
            let value = json!({ "batch": batch.id, "file": file, "entries": batch.entries().len(), "new": new });
            let text = format!(
                "Batch {} with {} entries: {}\n\nNext: `tps desk submit` at the TPS's operator, then `mts desk answer FILE`.",
                batch.id,
                batch.entries().len(),
                file.display()
            );
            print(as_json, &value, &text);
        }
        DeskCommand::Answer { file } => {
            let length = std::fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
            if length > DESK_ANSWER_BYTES_MAX as u64 {
                return Err(Failure::Refused(format!("{} is too long to be an answer of the desk", file.display())));
            }
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let report = clerk.answered(&bytes, clock::now()).map_err(failure)?;
            show(&report, as_json)?;
        }
        DeskCommand::Discard => {
            let discarded = store.discard_open_batch()?;
            let text = if discarded {
                "The batch is forgotten; its refunds go with the next one, under the same names."
            } else {
                "No batch waits for an answer."
            };
            print(as_json, &json!({ "discarded": discarded }), text);
        }
    }
    Ok(())
}

/// Hands in everything that waits. Blocks.
#[cfg(feature = "desk-client")]
pub(super) fn synchronise(clerk: &DeskClerk<'_>) -> Result<DeskReport, DeskFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| SendError::Unreachable(error.to_string()))?;
    clerk.synchronise(|description, batch| runtime.block_on(mts_plugin::desk::client::send(description, batch)))
}

/// This build sends nothing.
#[cfg(not(feature = "desk-client"))]
pub(super) fn synchronise(_: &DeskClerk<'_>) -> Result<DeskReport, DeskFailure> {
    let built = "this `mts` was built without `desk-client`: use `mts desk batch` and `mts desk answer`";
    Err(SendError::Unreachable(built.to_owned()).into())
}

fn show(report: &DeskReport, as_json: bool) -> Result<(), Failure> {
    let mut text = format!(
        "Refunds: {} put through, {} waiting, {} not put through",
        report.put_through, report.waiting, report.not_put_through
    );
    if let Some(number) = report.key_set {
        text += &format!("\nKey set {number} is pinned.");
    }
    if let Some(serial) = report.certificate {
        text += &format!("\nCertificate {serial} is in use.");
    }
    if !report.settlements.is_empty() {
        let cycles: Vec<String> = report.settlements.iter().map(u64::to_string).collect();
        text += &format!("\nSettlement reports: cycle {}; `mts reconcile` compares them.", cycles.join(", "));
    }
    for remark in report.waits.iter().chain(&report.remarks) {
        text += &format!("\n{remark}");
    }
    print(as_json, &serde_json::to_value(report)?, &text);
    Ok(())
}

fn failure(failure: DeskFailure) -> Failure {
    match failure {
        DeskFailure::Home(error) => error.into(),
        DeskFailure::Answer(_)
        | DeskFailure::Description(_)
        | DeskFailure::NothingOpen
        | DeskFailure::NotCertified
        | DeskFailure::Send(SendError::Refused(_)) => Failure::Refused(failure.to_string()),
        failure => Failure::Failed(failure.into()),
    }
}
