//! `tps instrument import`: reads the issuer's file and sends it in chunks.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use csv::{ByteRecord, ReaderBuilder, Trim};
use protocol::money::{Asset, parse};
use zeroize::Zeroize;

use super::{Context, backend};
use crate::admin::views::{ImportedView, Money};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};
use crate::book::import::{IMPORT_ROWS_MAX, ImportRow};
use crate::data_directory::{Realm, check_private};
use crate::operator::import::import_request;

/// Shown below `--help`.
pub(super) const HELP: &str = "\
The file is CSV with a header that names these columns, in any order:

  instrument       id, 32 hexadecimal digits
  account          id, 32 hexadecimal digits; opened where it does not exist. The first two bytes of both ids agree
  asset            code of the registry; empty means its first one
  opening_balance  decimal, credited to the account when this row opens it; empty for an account that is open already
  public_key       Ed25519 public key of the instrument, 64 hexadecimal digits
  device_key       device key of the instrument, 64 hexadecimal digits
  pin              4 to 12 decimal digits
  label            your name for it, at most 64 bytes

Rows travel in chunks of 10,000, each applied as a whole or not at all. What is there already is left as it is, so an
interrupted import is simply repeated. PIN and opening balance count once: they are not compared later.";

/// Names of the columns, in the order in which [`read_row`] wants them.
const COLUMNS: [&str; 8] =
    ["instrument", "account", "asset", "opening_balance", "public_key", "device_key", "pin", "label"];

/// Overwrites the buffer that it is asked to fill once there is nothing more to read: that buffer held secrets.
struct WipingReader<R>(R);

impl<R: Read> Read for WipingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        if read == 0 {
            buffer.zeroize();
        }
        Ok(read)
    }
}

/// Rows of one shard that wait for their chunk to be full.
type Waiting = HashMap<u16, Vec<ImportRow>>;

/// Imports the file at `path`.
pub(super) fn import(context: &Context, path: &Path) -> Result<(), AdminError> {
    check_private(path)?;
    let realm = context.data()?.realm()?;
    let cannot = |error: io::Error| AdminError::bad_input(format!("cannot read {}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut done = Sum::default();
    let result = backend::call_many(context, |call| {
        let mut waiting = Waiting::new();
        read_rows(file, &realm, |shard, row| {
            let rows = waiting.entry(shard).or_default();
            rows.push(row);
            if rows.len() == IMPORT_ROWS_MAX { send(call, &std::mem::take(rows), &mut done) } else { Ok(()) }
        })?;
        waiting.values().filter(|rows| !rows.is_empty()).try_for_each(|rows| send(call, rows, &mut done))
    });
    match result {
        Ok(()) => {
            context.output.response(&AdminResponse::Imported(done.view(&realm)));
            Ok(())
        }
        Err(error) if done.view(&realm) == ImportedView::default() => Err(error),
        Err(AdminError { code, message }) => {
            let kept = done.instruments + done.already_there;
            Err(AdminError::new(
                code,
                format!("{message} ({kept} rows of other chunks are there; repeat it when the file is right)"),
            ))
        }
    }
}

/// What all chunks did together.
#[derive(Default)]
struct Sum {
    instruments: u64,
    already_there: u64,
    accounts: u64,
    credited: BTreeMap<Asset, i128>,
}

impl Sum {
    fn add(&mut self, view: &ImportedView) {
        self.instruments += view.instruments;
        self.already_there += view.already_there;
        self.accounts += view.accounts;
        for money in &view.credited {
            *self.credited.entry(money.asset).or_insert(0) += money.units.parse::<i128>().unwrap_or(0);
        }
    }

    fn view(&self, realm: &Realm) -> ImportedView {
        let money = |(asset, units): (&Asset, &i128)| Money::new(*units, *asset, realm.exponent(*asset).unwrap_or(0));
        ImportedView {
            instruments: self.instruments,
            already_there: self.already_there,
            accounts: self.accounts,
            credited: self.credited.iter().map(money).collect(),
        }
    }
}

fn send(
    call: &mut dyn FnMut(AdminRequest) -> Result<AdminResponse, AdminError>,
    rows: &[ImportRow],
    done: &mut Sum,
) -> Result<(), AdminError> {
    match call(import_request(rows)?)? {
        AdminResponse::Imported(view) => {
            done.add(&view);
            Ok(())
        }
        _ => Err(AdminError::new(
            AdminErrorCode::Unavailable,
            "the server answered something else than asked: use the `tps` it was started with",
        )),
    }
}

/// Reads every row and passes it on with its shard.
fn read_rows(
    input: impl Read,
    realm: &Realm,
    mut each: impl FnMut(u16, ImportRow) -> Result<(), AdminError>,
) -> Result<(), AdminError> {
    let wrong = |error: csv::Error| AdminError::bad_input(format!("the file is not CSV as it should be: {error}"));
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(WipingReader(input));
    let headers = reader.byte_headers().map_err(wrong)?;
    let mut places = [0; COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        *place = headers.iter().position(|name| name == column.as_bytes()).ok_or_else(|| {
            AdminError::bad_input(format!("the header lacks the column `{column}`: see `tps instrument import --help`"))
        })?;
    }
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(wrong)? {
        let line = record.position().map_or(0, csv::Position::line);
        let row = read_row(&record, &places, line, realm);
        wipe(&mut record);
        let row = row.map_err(|message| AdminError::bad_input(format!("line {line}: {message}")))?;
        each(row.instrument.shard_key() % realm.shards, row)?;
    }
    Ok(())
}

/// Overwrites what a record held, in its own buffer.
fn wipe(record: &mut ByteRecord) {
    let bytes = record.as_slice().len();
    record.clear();
    record.push_field(&vec![0; bytes]);
}

fn read_row(
    record: &ByteRecord,
    places: &[usize; COLUMNS.len()],
    line: u64,
    realm: &Realm,
) -> Result<ImportRow, String> {
    let text = |column: usize| -> Result<&str, String> {
        let field = record.get(places[column]).unwrap_or_default();
        std::str::from_utf8(field).map_err(|_| format!("`{}` is not UTF-8", COLUMNS[column]))
    };
    let asset = match (text(2)?, realm.assets.first()) {
        ("", Some(first)) => first.code,
        (code, _) => code.parse().map_err(|error: protocol::money::MoneyError| error.to_string())?,
    };
    let exponent = realm.exponent(asset).ok_or_else(|| format!("asset {asset} is not in this TPS's registry"))?;
    let opening = text(3)?;
    let nothing = opening.is_empty() || opening.bytes().all(|byte| byte == b'0' || byte == b'.');
    let opening_units =
        if nothing { 0 } else { parse(opening, asset, exponent).map_err(|error| error.to_string())?.units() };
    Ok(ImportRow {
        line,
        instrument: id(text(0)?)?,
        account: id(text(1)?)?,
        asset,
        opening_units,
        signing_public: key("public_key", text(4)?)?,
        device_key: key("device_key", text(5)?)?,
        pin: text(6)?.to_owned(),
        label: text(7)?.to_owned(),
    })
}

fn id<T: FromStr<Err = protocol::ids::ParseIdError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: protocol::ids::ParseIdError| error.to_string())
}

/// A key; the message about a wrong one does not repeat it.
fn key(column: &str, text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| format!("`{column}` is not a key of 64 hexadecimal digits"))?;
    Ok(bytes)
}
