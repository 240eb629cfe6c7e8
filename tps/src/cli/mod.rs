//! The command line `tps`.
//!
//! Commands that look at or change the ledger go through the socket of a running server; where none runs, they open the
//! database themselves. Either way they do the same.

mod account;
mod archive;
mod backend;
#[cfg(feature = "rocksdb")]
mod backup;
mod config;
mod desk;
mod funding;
mod import;
mod instrument;
mod key;
mod merchant;
mod notary;
mod output;
mod phone;
mod report;
mod secret;
mod server;
mod settlement;
mod statement;
mod top;
mod values;
mod vru;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::admin::AdminError;
use crate::data_directory::DataDirectory;
use output::Output;

/// Data directory where neither `--data` nor `TPS_DATA` names one.
const DATA_DEFAULT: &str = "tps-data";

/// The Transaction Processing Subsystem of Quittance: holds accounts, decides, signs.
#[derive(Debug, Parser)]
#[command(
    name = "tps",
    version,
    about,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done; 1 not done, or `audit` found differences (the reason is on standard error); 2 the command \
                  line is wrong.\nIds may be shortened to a beginning that is unique (at least 4 digits)."
)]
pub struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The TPS's directory [default: $TPS_DATA, or tps-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON, errors too
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new TPS in a new directory
    Init(server::Init),
    /// Serve until SIGTERM or `tps drain`
    Serve(server::Serve),
    /// Serve a throw-away TPS in memory, to try things out
    Dev(server::Dev),
    /// Customers' accounts
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// What pays from accounts
    #[command(subcommand)]
    Instrument(instrument::InstrumentCommand),
    /// Customers' access to the VRU, their second channel
    #[command(subcommand)]
    Vru(vru::VruCommand),
    /// Call a VRU from this terminal; needs no data directory
    VruPhone(phone::VruPhone),
    /// Problems that were reported
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Merchants and their certificates
    #[command(subcommand)]
    Merchant(merchant::MerchantCommand),
    /// The desk, where merchants hand in refunds and renewals
    #[command(subcommand)]
    Desk(desk::DeskCommand),
    /// Keys and signed key sets
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Settlement of merchants: cycles, reports, payouts
    #[command(subcommand)]
    Settlement(settlement::SettlementCommand),
    /// Statements of accounts and merchants over a period
    #[command(subcommand)]
    Statement(statement::StatementCommand),
    /// Attest digests, verify receipts: the notary
    #[command(subcommand)]
    Notary(notary::NotaryCommand),
    /// The funding agency's side: its key and its instructions
    #[command(subcommand)]
    Funding(funding::FundingCommand),
    /// Copies of everything, encrypted: make, check, restore
    #[cfg(feature = "rocksdb")]
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// What the server does, sums of money, and what needs attention
    Status,
    /// Watch the running server: rates, queues and latencies, every second
    Top(top::Top),
    /// Replay the log and compare it with every balance
    Audit {
        /// Rebuild every proof and verify its signature, too
        #[arg(long)]
        proofs: bool,
    },
    /// Old transactions that left the ledger for signed files
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// The configuration: what is in force, and whether it has mistakes
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Have the running server take keys and configuration anew
    Reload,
    /// Have the running server answer what is open and end
    Drain,
    /// Go on with a database whose high-water mark is lost or ahead of it
    AcceptHistory {
        /// You know that payments after this database's last one are lost, and answer for them
        #[arg(long, required = true)]
        payments_may_be_lost: bool,
    },
}

/// What a command needs to run.
struct Context {
    data: Option<PathBuf>,
    output: Output,
}

impl Context {
    fn data_path(&self) -> PathBuf {
        let named = self
            .data
            .clone()
            .or_else(|| std::env::var_os("TPS_DATA").filter(|text| !text.is_empty()).map(PathBuf::from));
        named.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
    }

    fn data(&self) -> Result<DataDirectory, AdminError> {
        Ok(DataDirectory::open(&self.data_path())?)
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    let context = Context { data: global.data, output: Output { json: global.json } };
    match carry_out(&context, command) {
        Ok(code) => code,
        Err(error) => {
            context.output.error(&error);
            ExitCode::from(1)
        }
    }
}

fn carry_out(context: &Context, command: Command) -> Result<ExitCode, AdminError> {
    use crate::admin::{AdminRequest, AdminResponse};
    match command {
        Command::Init(init) => init.run(context)?,
        Command::Serve(serve) => serve.run(context)?,
        Command::Dev(dev) => dev.run(context)?,
        Command::Account(command) => command.run(context)?,
        Command::Instrument(command) => command.run(context)?,
        Command::Vru(command) => command.run(context)?,
        Command::VruPhone(phone) => phone.run()?,
        Command::Report(command) => command.run(context)?,
        Command::Merchant(command) => command.run(context)?,
        Command::Desk(command) => command.run(context)?,
        Command::Key(command) => command.run(context)?,
        Command::Settlement(command) => command.run(context)?,
        Command::Statement(command) => command.run(context)?,
        Command::Notary(command) => command.run(context)?,
        Command::Funding(command) => command.run(context)?,
        #[cfg(feature = "rocksdb")]
        Command::Backup(command) => return command.run(context),
        Command::Status => context.output.response(&backend::call(context, AdminRequest::Status)?),
        Command::Audit { proofs } => {
            let response = backend::call(context, AdminRequest::Audit { proofs })?;
            context.output.response(&response);
            if matches!(&response, AdminResponse::Audit(report) if report.differences_found > 0) {
                return Ok(ExitCode::from(1));
            }
        }
        Command::Archive(command) => return command.run(context),
        Command::Top(top) => top.run(context)?,
        Command::Config(command) => command.run(context)?,
        Command::Reload => server::signal(context, AdminRequest::Reload)?,
        Command::Drain => server::signal(context, AdminRequest::Drain)?,
        Command::AcceptHistory { .. } => server::accept_history(context)?,
    }
    Ok(ExitCode::SUCCESS)
}
