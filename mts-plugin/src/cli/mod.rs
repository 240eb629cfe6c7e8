//! Arguments of `mts` and what each command does.

mod desk;
mod orders;
mod reconcile;
mod refunds;
mod serve;
mod setup;
mod verify;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mts_plugin::HomeError;
use mts_plugin::home::RootKey;
use protocol::ids::TransactionNumber;

/// Quittance's Merchant Transaction Subsystem.
#[derive(Debug, Parser)]
#[command(name = "mts", version, after_help = "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 refused or invalid.")]
pub(crate) struct Arguments {
    /// The merchant's private directory.
    #[arg(long, short = 'd', global = true, env = "MTS_DIRECTORY", default_value = "merchant")]
    directory: PathBuf,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make keys and a certificate request in a new directory.
    Init(InitArguments),
    /// Ask for a certificate, or keep the one that came.
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Pin the TPS's key set for merchants.
    #[command(subcommand)]
    KeySet(KeySetCommand),
    /// Sell what a folder's catalogue.toml lists.
    Serve(ServeArguments),
    /// Verify a proof of payment, offline.
    Verify(VerifyArguments),
    /// Look at orders and note what became of them.
    Orders(OrdersArguments),
    /// Decide about refunds; the desk carries them to the TPS.
    #[command(subcommand)]
    Refunds(RefundsCommand),
    /// Hand in what waits for the TPS: refunds, renewals of the certificate; get key sets and certificates.
    #[command(subcommand)]
    Desk(DeskCommand),
    /// Compare settlement reports with orders, proofs and refunds, and list every difference.
    Reconcile {
        /// Only this cycle [default: all that `mts desk sync` fetched].
        #[arg(long)]
        cycle: Option<u64>,
        /// A report from the operator instead: the directory of `tps settlement export`.
        #[arg(long, value_name = "DIR", conflicts_with = "cycle")]
        report: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct InitArguments {
    /// The name that customers will see, at most 128 bytes.
    #[arg(long)]
    name: String,
    /// Public key of the TPS's offline root, 64 hexadecimal digits, as the TPS's operator publishes it.
    #[arg(long)]
    root: RootKey,
    /// The signed key set for merchants; can also be imported later.
    #[arg(long)]
    key_set: Option<PathBuf>,
    /// Where `mts serve` will listen.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
enum CertificateCommand {
    /// Keep the certificate that the TPS's operator issued.
    Import {
        /// The certificate file.
        file: PathBuf,
    },
    /// Make a fresh session key and a request for its certificate: to renew.
    Request,
    /// Show the certificates in use.
    Show,
}

#[derive(Debug, Subcommand)]
enum KeySetCommand {
    /// Pin a newer key set.
    Import {
        /// The key set file.
        file: PathBuf,
    },
    /// Show the pinned key set.
    Show,
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// The folder with catalogue.toml and the files it names.
    #[arg(long)]
    catalogue: PathBuf,
    /// Where to listen, instead of what merchant.toml says; port 0 takes any free one.
    #[arg(long, env = "MTS_LISTEN")]
    listen: Option<SocketAddr>,
    /// Print every message between customer and merchant, decoded, to standard error.
    #[arg(long)]
    frames: bool,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The proof: a file, or `-` for standard input; binary or hexadecimal.
    proof: PathBuf,
    /// Judge it against this quote (a file, binary or hexadecimal) instead of the order on record.
    #[arg(long)]
    quote: Option<PathBuf>,
    /// Only check that the TPS signed it: for proofs of other merchants and of denials.
    #[arg(long, conflicts_with = "quote")]
    signature_only: bool,
}

#[derive(Debug, Args)]
struct OrdersArguments {
    #[command(subcommand)]
    command: Option<OrdersCommand>,
    /// Only orders in this state, for example `delivered`.
    #[arg(long)]
    state: Option<String>,
    /// At most this many, newest first.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

#[derive(Debug, Subcommand)]
enum OrdersCommand {
    /// Everything about one order, with the address to ship to.
    Show {
        /// Its transaction number.
        number: TransactionNumber,
    },
    /// Record that hard goods were handed to the carrier.
    Dispatched {
        /// Its transaction number.
        number: TransactionNumber,
    },
    /// List payments beyond the first of their orders: they are to be refunded.
    Surplus,
}

#[derive(Debug, Subcommand)]
enum RefundsCommand {
    /// List what was requested, what was paid more than once, and what became of refunds.
    List,
    /// Give back every payment of an order: nothing is delivered any more.
    Accept {
        /// Its transaction number.
        number: TransactionNumber,
        /// Ask the TPS although nothing seems to have been paid, or since the last refund: for payments whose proofs were never
        /// presented, which `mts reconcile` lists.
        #[arg(long)]
        again: bool,
    },
    /// Refuse what a customer requested.
    Refuse {
        /// Its transaction number.
        number: TransactionNumber,
    },
}

#[derive(Debug, Subcommand)]
enum DeskCommand {
    /// Keep how the desk is reached, from the file of `tps desk export`.
    Use {
        /// The description.
        file: PathBuf,
    },
    /// Hand in everything that waits, and take what comes back.
    Sync,
    /// Write what waits into a file instead, for `tps desk submit`.
    Batch {
        /// The file.
        file: PathBuf,
    },
    /// Take the answer that came as a file.
    Answer {
        /// The file.
        file: PathBuf,
    },
    /// Forget the batch that waits for its answer; what it holds goes with the next one.
    Discard,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something was judged and found wanting.
    Refused(String),
    /// Something broke or is missing.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let refused = matches!(
            error.downcast_ref::<HomeError>(),
            Some(
                HomeError::KeySet(_)
                    | HomeError::Certificate(_)
                    | HomeError::Malformed { .. }
                    | HomeError::OtherKeys(_)
            )
        );
        if refused { Self::Refused(format!("{error:#}")) } else { Self::Failed(error) }
    }
}

/// Runs a command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { directory, json, command } = arguments;
    match command {
        Command::Init(init) => setup::init(&directory, init, json),
        Command::Certificate(command) => setup::certificate(&directory, command, json),
        Command::KeySet(command) => setup::key_set(&directory, command, json),
        Command::Serve(serve) => serve::serve(&directory, &serve, json),
        Command::Verify(verify) => verify::verify(&directory, &verify, json),
        Command::Orders(orders) => orders::orders(&directory, orders, json),
        Command::Refunds(command) => refunds::refunds(&directory, command, json),
        Command::Desk(command) => desk::desk(&directory, command, json),
        Command::Reconcile { cycle, report } => reconcile::reconcile(&directory, cycle, report, json),
    }
}

/// Prints `value` as JSON or `text` for people.
fn print(json: bool, value: &serde_json::Value, text: &str) {
    if json {
        println!("{value}");
    } else {
        println!("{text}");
    }
}
