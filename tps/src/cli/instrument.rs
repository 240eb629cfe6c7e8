//! `tps instrument`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::limits::PIN_DIGITS;
use serde_json::json;
use zeroize::Zeroizing;

use super::output::NewFile;
use super::values::{DurationMs, When};
use super::{Context, backend};
use crate::admin::{AdminError, AdminRequest, AdminResponse, LimitsText};
use crate::pipeline::clock::wall_clock;

/// What an instrument may pay.
#[derive(Debug, Args)]
pub(super) struct LimitFlags {
    /// Most per payment
    #[arg(long, value_name = "AMOUNT")]
    per_payment: Option<String>,
    /// Most per period; needs --period
    #[arg(long, value_name = "AMOUNT", requires = "period")]
    per_period: Option<String>,
    /// Length of the period, for example 1d
    #[arg(long, value_name = "TIME", requires = "per_period")]
    period: Option<DurationMs>,
    /// A merchant it may pay; repeat for more, leave out for all
    #[arg(long = "merchant", value_name = "ID")]
    merchants: Vec<String>,
    /// Last moment it may pay: from now (90d) or a date (2030-12-31, UTC)
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
}

impl LimitFlags {
    fn is_empty(&self) -> bool {
        self.per_payment.is_none() && self.per_period.is_none() && self.merchants.is_empty() && self.expires.is_none()
    }

    fn text(self) -> LimitsText {
        LimitsText {
            per_payment: self.per_payment,
            per_period: self.per_period,
            period_ms: self.period.map(|period| period.0),
            merchants: self.merchants,
            expires_at_ms: self.expires.map(|when| when.from(wall_clock())),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum InstrumentCommand {
    /// Enrol an instrument and write the bundle for `cts init`
    Enrol {
        /// The account it pays from
        account: String,
        /// Your name for it: "laptop", "agent 3"
        #[arg(long)]
        label: String,
        #[command(flatten)]
        limits: LimitFlags,
        /// The new file for the bundle; it activates the instrument once, so convey it safely
        #[arg(long, value_name = "FILE")]
        bundle: PathBuf,
        /// For how long the bundle can be used, 30d at most
        #[arg(long, value_name = "TIME", default_value = "7d")]
        valid: DurationMs,
        /// host:port of this TPS in the bundle; repeat for more [default: `public_addresses` in tps.toml]
        #[arg(long = "address", value_name = "HOST:PORT")]
        addresses: Vec<String>,
        /// The new file for the sealed mailer, a sheet with access to the VRU: print it, convey it apart from the bundle
        #[arg(long, value_name = "FILE")]
        mailer: Option<PathBuf>,
    },
    /// Import instruments that you personalised yourself, from a CSV file
    #[command(after_help = super::import::HELP)]
    Import {
        /// The file; it holds secrets, so its mode must be 600
        file: PathBuf,
    },
    /// List instruments
    List {
        /// Only those of this account
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
    /// Show an instrument
    Show {
        /// Its id
        instrument: String,
    },
    /// Replace all limits of an instrument by those given here
    Limit {
        /// Its id
        instrument: String,
        #[command(flatten)]
        limits: LimitFlags,
        /// Remove all limits
        #[arg(long)]
        none: bool,
    },
    /// Stop payments of an instrument
    Hold {
        /// Its id
        instrument: String,
    },
    /// Let payments go on
    Release {
        /// Its id
        instrument: String,
    },
    /// End an instrument for ever
    Revoke {
        /// Its id
        instrument: String,
    },
    /// Draw a new PIN and print it, this once
    NewPin {
        /// Its id
        instrument: String,
        /// Digits of the PIN, 4 to 12
        #[arg(long, default_value_t = PIN_DIGITS)]
        digits: usize,
        /// Print the digits alone
        #[arg(long, conflicts_with = "json")]
        quiet: bool,
    },
}

impl InstrumentCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let request = match self {
            Self::Enrol { account, label, limits, bundle, valid, addresses, mailer } => {
                let (limits, valid_ms, sheet) = (limits.text(), valid.0, mailer.is_some());
                let request = AdminRequest::Enrol { account, label, limits, valid_ms, addresses, mailer: sheet };
                return enrol(context, request, bundle, mailer);
            }
            Self::Import { file } => return super::import::import(context, &file),
            Self::NewPin { instrument, digits, quiet } => {
                let response = backend::call(context, AdminRequest::NewPin { instrument, digits })?;
                match &response {
                    AdminResponse::Pin { pin, .. } if quiet => context.output.secret_line(pin.expose()),
                    response => context.output.response(response),
                }
                return Ok(());
            }
            Self::Limit { limits, none, .. } if limits.is_empty() != none => {
                return Err(AdminError::bad_input(
                    "name the limits that the instrument shall have from now on, or --none to remove them all",
                ));
            }
            Self::List { account } => AdminRequest::ListInstruments { account },
            Self::Show { instrument } => AdminRequest::ShowInstrument { instrument },
            Self::Limit { instrument, limits, .. } => AdminRequest::Limit { instrument, limits: limits.text() },
            Self::Hold { instrument } => AdminRequest::HoldInstrument { instrument, held: true },
            Self::Release { instrument } => AdminRequest::HoldInstrument { instrument, held: false },
            Self::Revoke { instrument } => AdminRequest::Revoke { instrument },
        };
        context.output.response(&backend::call(context, request)?);
        Ok(())
    }
}

fn enrol(context: &Context, request: AdminRequest, path: PathBuf, sheet: Option<PathBuf>) -> Result<(), AdminError> {
    // The file first: no instrument is enrolled whose bundle cannot be kept.
    let file = NewFile::create(&path)?;
    let sheet_file = sheet.as_deref().map(NewFile::create).transpose()?;
    let AdminResponse::Enrolled { instrument, account, bundle, expires_at_ms, mailer } =
        backend::call(context, request)?
    else {
        return Err(AdminError::bad_input(
            "the server answered something else than asked: use the `tps` it was started with",
        ));
    };
    let bytes = Zeroizing::new(hex::decode(bundle.expose()).map_err(|error| AdminError::bad_input(error.to_string()))?);
    let remedy =
        format!("{instrument} is enrolled, but cannot be activated: revoke it, and enrol another where there is room");
    file.keep_or(&bytes, &remedy)?;
    if let (Some(sheet_file), Some(mailer)) = (sheet_file, &mailer) {
        let remedy = format!("the instrument is enrolled: write its mailer with `tps vru mailer {instrument} FILE`");
        sheet_file.keep_or(mailer.expose().as_bytes(), &remedy)?;
    }
    let told = json!({
        "result": "enrolled", "instrument": instrument, "account": account, "bundle": path, "expires_at_ms": expires_at_ms,
        "mailer": sheet,
    });
    let next = match &sheet {
        Some(sheet) => format!(
            "Next: convey the bundle and run `cts init` with it there; convey the printed mailer\n\
             {} another way, and remove the file. The customer gets the PIN from the VRU.\n",
            sheet.display()
        ),
        None => format!(
            "Next: convey the bundle and run `cts init` with it there; then `tps instrument new-pin {instrument}`,\n\
             and tell the PIN over another channel.\n"
        ),
    };
    let text = format!(
        "instrument  {instrument}\naccount     {account}\nbundle      {} (until {expires_at_ms})\n\n{next}",
        path.display(),
    );
    context.output.told(&told, &text);
    Ok(())
}
