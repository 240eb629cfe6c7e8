//! Importing instruments: what costs time is done on several threads here, what must be in order on the shard's thread.

use borsh::BorshDeserialize;
use protocol::signature::CustomerKey;
use zeroize::Zeroizing;

use super::Operator;
use super::instruments::check_label;
use crate::admin::views::ImportedView;
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse, Secret};
use crate::book::import::{IMPORT_ROWS_MAX, ImportRow};

/// The request that imports `rows`; all must belong to one shard.
///
/// # Errors
/// [`AdminError`] for more than [`IMPORT_ROWS_MAX`] rows.
pub fn import_request(rows: &[ImportRow]) -> Result<AdminRequest, AdminError> {
    check_number(rows.len())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(rows.len() * 256));
    borsh::to_writer(&mut *bytes, rows).map_err(|error| AdminError::bad_input(error.to_string()))?;
    Ok(AdminRequest::ImportInstruments { rows: Secret::new(hex::encode(&*bytes)) })
}

fn check_number(rows: usize) -> Result<(), AdminError> {
    if (1..=IMPORT_ROWS_MAX).contains(&rows) {
        return Ok(());
    }
    Err(AdminError::bad_input(format!("a chunk of an import has 1 to {IMPORT_ROWS_MAX} rows, not {rows}")))
}

fn decode(rows: &Secret) -> Result<Vec<ImportRow>, AdminError> {
    let unreadable = || AdminError::bad_input("the rows of an import are not understood: use the `tps` of the server");
    let bytes = Zeroizing::new(hex::decode(rows.expose()).map_err(|_| unreadable())?);
    let rows = Vec::<ImportRow>::try_from_slice(&bytes).map_err(|_| unreadable())?;
    check_number(rows.len())?;
    Ok(rows)
}

impl Operator {
    pub(super) fn import(&self, rows: &Secret) -> Result<AdminResponse, AdminError> {
        let rows = decode(rows)?;
        // Reading a key well takes about 50 us, mostly to show that it has no part of small order.
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let part = rows.len().div_ceil(threads);
        let wrong = std::thread::scope(|scope| {
            let parts: Vec<_> = rows.chunks(part).map(|part| scope.spawn(|| self.first_wrong(part))).collect();
            let found = parts.into_iter().map(|part| part.join());
            found.filter_map(|found| found.expect("checking a row does not panic")).next()
        });
        if let Some((line, error)) = wrong {
            let message = format!("line {line}: {error}; nothing of its chunk was applied");
            return Err(AdminError::bad_input(message));
        }
        let stopping =
            || AdminError::new(AdminErrorCode::Unavailable, "the server is about to stop: try again when it runs");
        let imported = self.engine.import(rows).ok_or_else(stopping)??;
        Ok(AdminResponse::Imported(ImportedView {
            instruments: imported.instruments.len() as u64,
            already_there: imported.already_there,
            accounts: imported.accounts,
            credited: imported.credited.iter().map(|(asset, units)| self.money(*units, *asset)).collect(),
        }))
    }

    fn first_wrong(&self, rows: &[ImportRow]) -> Option<(u64, String)> {
        rows.iter().find_map(|row| self.check_row(row).err().map(|error| (row.line, error)))
    }

    fn check_row(&self, row: &ImportRow) -> Result<(), String> {
        self.exponent(row.asset).map_err(|error| error.message)?;
        check_label(&row.label).map_err(|error| error.message)?;
        CustomerKey::parse(&row.signing_public).map(drop).map_err(|error| format!("the public key is {error}"))
    }
}
