//! What commands print: tables for people, JSON for programs, errors to standard error.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use protocol::time::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use crate::admin::views::{AccountView, ImportedView, InstrumentView, LimitsView, MerchantView, StatusView};
use crate::admin::{AdminError, AdminErrorCode, AdminResponse};
use crate::audit::AuditReport;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

fn print(text: &str) {
    // Whoever closes our output early has seen enough.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

impl Output {
    /// Prints `json` or `text`.
    pub(super) fn told(&self, json: &serde_json::Value, text: &str) {
        if self.json { print(&format!("{json:#}\n")) } else { print(text) }
    }

    /// Prints a line that is shown this once.
    pub(super) fn secret_line(&self, text: &str) {
        let line = Zeroizing::new(format!("{text}\n"));
        print(&line);
    }

    /// Prints an answer.
    pub(super) fn response(&self, response: &AdminResponse) {
        if self.json {
            let text = Zeroizing::new(serde_json::to_string_pretty(response).unwrap_or_default());
            self.secret_line(&text);
        } else {
            print(&Zeroizing::new(describe(response)));
        }
    }

    /// Prints an error.
    pub(super) fn error(&self, error: &AdminError) {
        let line = if self.json { json!({ "error": error }).to_string() } else { format!("tps: {error}") };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// A table with columns as wide as their widest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Two columns: names and values.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    table(&facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect::<Vec<_>>())
}

pub(super) fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn yes(value: bool) -> String {
    if value { "held".to_owned() } else { "-".to_owned() }
}

fn held_by(instrument: &InstrumentView) -> String {
    let names: Vec<String> = instrument.held_by.iter().map(name_of).collect();
    if names.is_empty() { yes(instrument.held) } else { format!("held by {}", names.join(", ")) }
}

/// The kebab-case name that JSON has for a value, too.
pub(super) fn name_of(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

fn describe(response: &AdminResponse) -> String {
    match response {
        AdminResponse::Account(account) => describe_account(account),
        AdminResponse::Accounts { accounts } => {
            let mut rows = vec![header(&["ACCOUNT", "BALANCE", "HOLD", "REFERENCE"])];
            rows.extend(accounts.iter().map(|account| {
                vec![
                    account.account.to_string(),
                    account.balance.to_string(),
                    yes(account.held),
                    account.reference.clone(),
                ]
            }));
            table(&rows)
        }
        AdminResponse::Funded { account, amount, balance, already_applied } => {
            let what = if *already_applied { "was credited before; nothing changed" } else { "credited" };
            facts(&[
                ("account", account.to_string()),
                ("deposit", format!("{amount} {what}")),
                ("balance", balance.to_string()),
            ])
        }
        AdminResponse::Enrolled { instrument, .. } => facts(&[("instrument", instrument.to_string())]),
        AdminResponse::Imported(imported) => describe_import(imported),
        AdminResponse::Instrument(instrument) => describe_instrument(instrument),
        AdminResponse::Instruments { instruments } => instrument_table(instruments),
        AdminResponse::Pin { instrument, pin } => format!(
            "PIN of instrument {instrument}: {}\nIt is shown this once. Tell it over another channel than the bundle's.\n",
            pin.expose()
        ),
        AdminResponse::Mailer { mailer, .. } => mailer.expose().to_owned(),
        AdminResponse::VruAccess(access) => super::vru::describe(access),
        AdminResponse::Report(report) => super::report::describe(report),
        AdminResponse::Reports { reports } => super::report::list(reports),
        // Printed by their own commands.
        AdminResponse::Settlement(_)
        | AdminResponse::Statement(_)
        | AdminResponse::Notary(_)
        | AdminResponse::Archive { .. } => String::new(),
        AdminResponse::Merchant(merchant) => describe_merchant(merchant),
        AdminResponse::Merchants { merchants } => {
            let mut rows = vec![header(&["MERCHANT", "STATUS", "NAME", "OWED"])];
            rows.extend(merchants.iter().map(|merchant| {
                vec![merchant.merchant.to_string(), name_of(merchant.status), printable(&merchant.name), owed(merchant)]
            }));
            table(&rows)
        }
        AdminResponse::Certificate { merchant, valid_until_ms, .. } => {
            facts(&[("merchant", merchant.to_string()), ("certified", format!("until {valid_until_ms}"))])
        }
        AdminResponse::DeskAnswer { answer } => facts(&[("answer", answer.clone())]),
        AdminResponse::Status(status) => describe_status(status),
        AdminResponse::Counters(counted) => {
            facts(&counted.counters.iter().map(|(name, count)| (name.as_str(), count.to_string())).collect::<Vec<_>>())
        }
        AdminResponse::Audit(report) => describe_audit(report),
        AdminResponse::Checkpoint { commit, .. } => facts(&[("checkpoint", format!("commit {commit}"))]),
        AdminResponse::Done => "Done.\n".to_owned(),
    }
}

fn describe_import(imported: &ImportedView) -> String {
    let credited: Vec<String> = imported.credited.iter().map(ToString::to_string).collect();
    facts(&[
        ("imported", format!("{} instruments", imported.instruments)),
        ("already there", format!("{}; nothing changed for them", imported.already_there)),
        ("opened", format!("{} accounts", imported.accounts)),
        ("credited", if credited.is_empty() { "nothing".to_owned() } else { credited.join(", ") }),
    ])
}

fn describe_account(account: &AccountView) -> String {
    let mut text = facts(&[
        ("account", account.account.to_string()),
        ("balance", account.balance.to_string()),
        ("hold", yes(account.held)),
        ("reference", account.reference.clone()),
    ]);
    if !account.instruments.is_empty() {
        text.push('\n');
        text.push_str(&instrument_table(&account.instruments));
    }
    text
}

fn instrument_table(instruments: &[InstrumentView]) -> String {
    let mut rows = vec![header(&["INSTRUMENT", "STAGE", "PIN", "HOLD", "COUNT", "LIMITS", "LABEL"])];
    rows.extend(instruments.iter().map(|instrument| {
        vec![
            instrument.instrument.to_string(),
            name_of(instrument.stage),
            name_of(instrument.pin),
            yes(instrument.held),
            instrument.last_count.to_string(),
            if instrument.limits == LimitsView::default() { "-".to_owned() } else { "yes".to_owned() },
            printable(&instrument.label),
        ]
    }));
    table(&rows)
}

fn describe_instrument(instrument: &InstrumentView) -> String {
    let mut list = vec![
        ("instrument", instrument.instrument.to_string()),
        ("account", instrument.account.to_string()),
        ("label", printable(&instrument.label)),
        ("stage", name_of(instrument.stage)),
        ("hold", held_by(instrument)),
        ("PIN", format!("{} ({} wrong in a row)", name_of(instrument.pin), instrument.pin_failures)),
        ("last count", instrument.last_count.to_string()),
        ("enrolled", instrument.enrolled_at_ms.to_string()),
    ];
    let limits = &instrument.limits;
    if let Some(amount) = &limits.per_payment {
        list.push(("per payment", format!("at most {amount}")));
    }
    if let (Some(amount), Some(period_ms), Some(spent)) =
        (&limits.per_period, limits.period_ms, &limits.spent_in_period)
    {
        list.push(("per period", format!("at most {amount} in {} s, of which spent {spent}", period_ms / 1_000)));
    }
    if !limits.permitted_merchants.is_empty() {
        let merchants: Vec<String> = limits.permitted_merchants.iter().map(ToString::to_string).collect();
        list.push(("merchants", merchants.join(", ")));
    }
    if let Some(expires) = limits.expires_at_ms {
        list.push(("expires", expires.to_string()));
    }
    facts(&list)
}

/// A text from outside, without anything that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn owed(merchant: &MerchantView) -> String {
    let sums: Vec<String> = merchant.accrued.iter().map(ToString::to_string).collect();
    if sums.is_empty() { "-".to_owned() } else { sums.join(", ") }
}

fn describe_merchant(merchant: &MerchantView) -> String {
    let mut list = vec![
        ("merchant", merchant.merchant.to_string()),
        ("name", printable(&merchant.name)),
        ("status", name_of(merchant.status)),
        ("fingerprint", merchant.fingerprint.clone()),
        ("owed", owed(merchant)),
    ];
    if let Some(until) = merchant.certificate_valid_until_ms {
        list.push(("certificate", format!("until {until}")));
    }
    let mut text = facts(&list);
    if merchant.certificate_digest.is_none() {
        text.push_str(&format!(
            "\nNext: review the merchant's documents, compare the fingerprint over another channel, then\n\
             `tps merchant approve {} --certificate-out FILE`.\n",
            merchant.merchant
        ));
    }
    text
}

fn describe_status(status: &StatusView) -> String {
    let listen = match status.listen {
        Some(listen) => format!("serving on {listen}, intake {}", status.intake),
        None => "no server runs; the database was read directly".to_owned(),
    };
    let mut list = vec![("server", listen)];
    if !status.listeners.is_empty() {
        let listeners = status.listeners.iter();
        let places: Vec<String> =
            listeners.map(|place| format!("{} on {} {}", place.name, place.transport, place.address)).collect();
        list.push(("listeners", places.join(", ")));
    }
    list.extend([
        ("version", status.version.clone()),
        ("realm", status.realm.to_string()),
        ("clock", Timestamp::to_string(&status.clock_ms)),
        ("uptime", format!("{}.{:03} s", status.uptime_ms / 1_000, status.uptime_ms % 1_000)),
        ("last commit", status.last_commit.to_string()),
        (
            "disk free",
            status.disk_free_bytes.map_or_else(|| "in memory".to_owned(), |free| format!("{} MiB", free >> 20)),
        ),
        (
            "holds",
            format!("{} accounts, {} instruments, {} merchants", status.accounts, status.instruments, status.merchants),
        ),
        ("key sets", format!("number {}", status.key_set_number)),
    ]);
    let counted: Vec<String> = status.counters.iter().map(|(name, count)| format!("{name} {count}")).collect();
    list.push(("counted", counted.join(", ")));
    let mut rows = vec![header(&["ASSET", "CUSTOMERS", "MERCHANTS", "FEES", "FUNDING", "SUM"])];
    rows.extend(status.sums.iter().map(|sum| {
        let parts = [&sum.customers, &sum.merchants, &sum.fees, &sum.funding, &sum.total];
        let decimals = parts.into_iter().map(|money| money.decimal.clone());
        std::iter::once(sum.asset.to_string()).chain(decimals).collect()
    }));
    let mut text = format!("{}\n{}", facts(&list), table(&rows));
    for warning in &status.warnings {
        text.push_str(&format!("\nattention: {}\n", warning.message));
    }
    text
}

fn describe_audit(report: &AuditReport) -> String {
    let mut text = format!(
        "replayed {} transactions and {} journal entries; compared {} accounts and {} instruments; verified {} proofs\n",
        report.payments, report.journal, report.accounts, report.instruments, report.proofs
    );
    for difference in &report.differences {
        text.push_str(&format!("  {difference}\n"));
    }
    match report.differences_found {
        0 => text.push_str("everything adds up\n"),
        found => text.push_str(&format!("{found} DIFFERENCES: stop the server and find out why before it pays on\n")),
    }
    text
}

/// A file that must not exist yet, mode 600; gone again unless it is kept.
pub(super) struct NewFile {
    path: PathBuf,
    file: std::fs::File,
    kept: bool,
}

impl NewFile {
    /// Makes the empty file.
    pub(super) fn create(path: &Path) -> Result<Self, AdminError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = made.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                AdminError::bad_input(format!("{} exists already; nothing was done: name a new file", path.display()))
            }
            _ => AdminError::new(AdminErrorCode::BadInput, format!("cannot make the file {}: {error}", path.display())),
        })?;
        Ok(Self { path: path.to_owned(), file, kept: false })
    }

    /// Writes and keeps it.
    pub(super) fn keep(mut self, bytes: &[u8]) -> Result<(), AdminError> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        written.map_err(|error| {
            AdminError::new(AdminErrorCode::Store, format!("cannot write {}: {error}", self.path.display()))
        })?;
        self.kept = true;
        Ok(())
    }

    /// The same; where it fails, `remedy` says what became of what the file was for, and what to do.
    pub(super) fn keep_or(self, bytes: &[u8], remedy: &str) -> Result<(), AdminError> {
        self.keep(bytes).map_err(|error| AdminError { message: format!("{}; {remedy}", error.message), ..error })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
