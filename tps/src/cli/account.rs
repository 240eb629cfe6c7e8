//! `tps account`.

use clap::Subcommand;
use protocol::money::Asset;

use super::{Context, backend};
use crate::admin::{AdminError, AdminRequest};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Open an empty account
    Open {
        /// What it holds [default: the registry's first asset]
        #[arg(long)]
        asset: Option<Asset>,
        /// What the funding agency calls it: a token, never a name, an address or a card
        #[arg(long, default_value = "")]
        reference: String,
    },
    /// List all accounts
    List,
    /// Show an account and its instruments
    Show {
        /// Its id
        account: String,
    },
    /// Credit money that came in
    Fund {
        /// Its id
        account: String,
        /// Decimal, for example 12.50
        amount: String,
        /// Name of the deposit: the same name is credited once, however often this is repeated
        #[arg(long, value_name = "NAME")]
        deposit: Option<String>,
    },
    /// Stop all payments from an account
    Hold {
        /// Its id
        account: String,
    },
    /// Let payments go on
    Release {
        /// Its id
        account: String,
    },
}

impl AccountCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let request = match self {
            Self::Open { asset, reference } => AdminRequest::OpenAccount { asset, reference },
            Self::List => AdminRequest::ListAccounts,
            Self::Show { account } => AdminRequest::ShowAccount { account },
            Self::Fund { account, amount, deposit } => AdminRequest::Fund { account, amount, deposit },
            Self::Hold { account } => AdminRequest::HoldAccount { account, held: true },
            Self::Release { account } => AdminRequest::HoldAccount { account, held: false },
        };
        context.output.response(&backend::call(context, request)?);
        Ok(())
    }
}
