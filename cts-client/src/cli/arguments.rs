//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use protocol::ids::TransactionNumber;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed; nothing was paid by this command
  2  wrong usage
  3  the TPS denied the payment; nothing was paid
  4  the outcome is not known yet: ask again with `cts resume`
  5  a copy of this instrument may be in use: nothing is paid until new-pin and resync
  6  the PIN is missing, wrong or locked; the payment, if begun, stays open
  7  paid, but not delivered: `cts recover ORDER`
  8  declined, or above --max-amount; nothing was confirmed or paid";

/// Pay merchants of Quittance.
#[derive(Debug, Parser)]
#[command(name = "cts", version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// The instrument's directory.
    #[arg(long, env = "CTS_DIR", global = true, default_value_os_t = default_directory())]
    pub(super) dir: PathBuf,
    /// One JSON object on standard output, for agents.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Show every message, without secrets, on standard error.
    #[arg(long, global = true)]
    pub(super) frames: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

fn default_directory() -> PathBuf {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = home("XDG_DATA_HOME").or_else(|| home("HOME").map(|home| home.join(".local/share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("quittance-cts")
}

/// Where the PIN comes from.
#[derive(Debug, Args)]
pub(super) struct PinArguments {
    /// Read the PIN from this open file descriptor instead of the terminal.
    #[arg(long, value_name = "N")]
    pub(super) pin_fd: Option<i32>,
}

/// What goods need.
#[derive(Debug, Args)]
pub(super) struct DeliveryArguments {
    /// Where digital goods go; the item's code unless given.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) pin: PinArguments,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Activate an instrument from the bundle that the operator gave.
    Init {
        /// The bundle's file.
        bundle: PathBuf,
    },
    /// Ask a merchant for a quote, check and show it.
    Quote {
        /// The merchant's payment address.
        url: String,
        /// Codes of items, as CODE or CODE=QUANTITY.
        #[arg(required = true, value_parser = item)]
        items: Vec<(String, u32)>,
        /// Keep the offer in a file, for `cts pay`.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Ask for a quote, confirm, pay, and fetch the goods.
    Buy {
        /// The merchant's payment address.
        url: String,
        /// Codes of items, as CODE or CODE=QUANTITY.
        #[arg(required = true, value_parser = item)]
        items: Vec<(String, u32)>,
        /// Refuse a total above this, for example 0.05.
        #[arg(long, value_name = "AMOUNT")]
        max_amount: Option<String>,
        /// Do not ask before confirming.
        #[arg(long)]
        yes: bool,
        /// File with the address that hard goods are shipped to.
        #[arg(long, value_name = "FILE")]
        address: Option<PathBuf>,
        /// Tell this merchant, in this purchase alone, who you are to it: a card number, a nickname. Nobody else reads it;
        /// without it you stay anonymous.
        #[arg(long, value_name = "TEXT")]
        loyalty_id: Option<String>,
        #[command(flatten)]
        delivery: DeliveryArguments,
    },
    /// Pay a quote from a file, whoever asked for it, and keep the proof.
    Pay {
        /// The offer, as `cts quote --out` wrote it.
        quote: PathBuf,
        /// Where the proof goes.
        #[arg(long, value_name = "FILE")]
        proof_out: PathBuf,
        /// Refuse a total above this, for example 0.05.
        #[arg(long, value_name = "AMOUNT")]
        max_amount: Option<String>,
        /// Do not ask before paying.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        pin: PinArguments,
    },
    /// How the instrument stands.
    Status,
    /// Payments and purchases.
    History,
    /// Write the proof or denial of an earlier payment to a file.
    Proof {
        /// The merchant's number of the quote that was paid; the latest payment of it counts.
        number: TransactionNumber,
        /// Where it goes.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Ask for the outcome of the payment that is open, and go on with every interrupted purchase.
    Resume {
        #[command(flatten)]
        pin: PinArguments,
    },
    /// Go on with an order at whatever step it was interrupted; ask again for goods that were delivered.
    Recover {
        /// The order's number.
        order: TransactionNumber,
        #[command(flatten)]
        delivery: DeliveryArguments,
    },
    /// Ask the merchant for the money back, or how an earlier request stands.
    Refund {
        /// The order's number.
        order: TransactionNumber,
    },
    /// Give up the payment that is open, after the TPS has said that nothing was paid.
    Abandon,
    /// Enter a new PIN that was set through the second channel.
    NewPin {
        #[command(flatten)]
        pin: PinArguments,
    },
    /// Enter the count of the last transaction, as the second channel tells it.
    Resync {
        /// The count of the last transaction.
        #[arg(long, value_name = "N")]
        count: u64,
    },
    /// Pin a newer key set from the operator.
    KeySet {
        /// The key set's file.
        file: PathBuf,
    },
    /// The pinned keys of the TPS.
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// What to do with the pinned keys.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum KeysCommand {
    /// Show the pinned key set.
    Show,
    /// Fetch the newest key set from the TPS; payments do so by themselves when it is due.
    Refresh,
}

fn item(text: &str) -> Result<(String, u32), String> {
    match text.rsplit_once('=') {
        None => Ok((text.to_owned(), 1)),
        Some((code, quantity)) => match quantity.parse() {
            Ok(quantity) if quantity > 0 => Ok((code.to_owned(), quantity)),
            _ => Err(format!("`{quantity}` is not a quantity: write CODE or CODE=QUANTITY, for example mug=2")),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        assert_eq!(item("mug=2"), Ok(("mug".into(), 2)));
        assert_eq!(item("mug"), Ok(("mug".into(), 1)));
        assert!(item("mug=0").is_err() && item("mug=x").is_err());
    }
}
