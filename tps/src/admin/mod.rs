//! The operator's commands to a running server: a local socket, one line of JSON each way.
//!
//! `DATA/admin.sock` has mode 600 in a directory of mode 700: whoever can open it may do everything. A request is one
//! [`AdminRequest`], the answer one [`AdminReply`]; a connection may carry several, one after another.

pub mod client;
pub mod notary;
pub mod server;
pub mod settlement;
pub mod statement;
pub mod views;

use protocol::ids::{AccountId, InstrumentId, MerchantId, RealmId};
use protocol::money::Asset;
use protocol::time::Timestamp;
use zeroize::Zeroize;

use crate::audit::AuditReport;
use views::{
    AccountView, CountersView, ImportedView, InstrumentView, MerchantView, Money, ReportView, StatusView, VruAccessView,
};

/// Longest line in either direction, in bytes: a list of a hundred thousand accounts fits.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// What an instrument may pay, as the operator writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsText {
    /// Most per payment, decimal in the account's asset.
    pub per_payment: Option<String>,
    /// Most per period, decimal in the account's asset.
    pub per_period: Option<String>,
    /// Length of the period in milliseconds.
    pub period_ms: Option<u64>,
    /// The only merchants that may be paid: ids or unique beginnings of ids. Empty means all.
    pub merchants: Vec<String>,
    /// Last moment.
    pub expires_at_ms: Option<Timestamp>,
}

/// One command. Ids are texts: all 32 hexadecimal digits, or a beginning that is unique.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum AdminRequest {
    /// Opens an account.
    OpenAccount {
        /// What it holds; the first asset of the registry unless said.
        asset: Option<Asset>,
        /// What the funding agency calls it.
        reference: String,
    },
    /// All accounts.
    ListAccounts,
    /// One account.
    ShowAccount {
        /// Which.
        account: String,
    },
    /// Money came in.
    Fund {
        /// Whose.
        account: String,
        /// Decimal in the account's asset.
        amount: String,
        /// Name of the deposit: the same is applied once.
        deposit: Option<String>,
    },
    /// Stops or releases an account.
    HoldAccount {
        /// Which.
        account: String,
        /// Stop, or release.
        held: bool,
    },
    /// Enrols an instrument; the answer holds its bundle.
    Enrol {
        /// The account it pays from.
        account: String,
        /// The operator's label.
        label: String,
        /// What it may pay.
        limits: LimitsText,
        /// For how many milliseconds the activation code can be used.
        valid_ms: u64,
        /// `host:port` of this TPS in the bundle; empty means those of the configuration.
        addresses: Vec<String>,
        /// Give it access to the VRU, too; the answer holds the mailer.
        #[serde(default)]
        mailer: bool,
    },
    /// Imports instruments that an issuer personalised itself, all of one shard.
    ImportInstruments {
        /// Canonical bytes of a list of [`crate::book::import::ImportRow`], hexadecimal.
        rows: Secret,
    },
    /// All instruments, or those of one account.
    ListInstruments {
        /// Only of this account.
        account: Option<String>,
    },
    /// One instrument.
    ShowInstrument {
        /// Which.
        instrument: String,
    },
    /// Replaces what an instrument may pay.
    Limit {
        /// Which.
        instrument: String,
        /// What it may pay; empty means everything.
        limits: LimitsText,
    },
    /// Stops or releases an instrument.
    HoldInstrument {
        /// Which.
        instrument: String,
        /// Stop, or release.
        held: bool,
    },
    /// Ends an instrument for ever.
    Revoke {
        /// Which.
        instrument: String,
    },
    /// Draws and sets a new PIN.
    NewPin {
        /// Which.
        instrument: String,
        /// Digits.
        digits: usize,
    },
    /// Access to the VRU, and what was reported.
    Vru(VruRequest),
    /// Registers a merchant, to be reviewed.
    RegisterMerchant {
        /// The merchant's request for a certificate, hexadecimal.
        request: String,
    },
    /// Puts a merchant's request for its next certificate on record, to be approved.
    RenewMerchant {
        /// Which.
        merchant: String,
        /// The new request, hexadecimal.
        request: String,
    },
    /// All merchants.
    ListMerchants,
    /// One merchant.
    ShowMerchant {
        /// Which.
        merchant: String,
    },
    /// Certifies a merchant after review.
    Approve {
        /// Which.
        merchant: String,
        /// Validity of the certificate.
        valid_days: u64,
        /// The fingerprint that the merchant told over another channel; where given, it must be right.
        fingerprint: Option<String>,
    },
    /// Stops payments to a merchant.
    Suspend {
        /// Which.
        merchant: String,
    },
    /// Lets a suspended merchant be paid again.
    Reinstate {
        /// Which.
        merchant: String,
    },
    /// Carries out a merchant's batch that came as a file.
    DeskSubmit {
        /// The batch, hexadecimal.
        batch: String,
    },
    /// What the server does.
    Status,
    /// The counters of [`AdminRequest::Status`] alone: no book is read, so that asking every second disturbs no payment.
    Counters,
    /// Replays the log and compares it with the book.
    Audit {
        /// Rebuild every proof and verify its signature, too.
        proofs: bool,
    },
    /// Settlement of merchants.
    Settlement(settlement::SettlementCommand),
    /// Statements of accounts and merchants.
    Statement(statement::StatementCommand),
    /// The notary.
    Notary(notary::NotaryCommand),
    /// The archive: lists its segments.
    Archive {
        /// Read every segment to its last byte, too.
        verify: bool,
    },
    /// Makes a copy of the ledger at [`crate::data_directory::DataDirectory::checkpoint`], for a backup.
    Checkpoint,
    /// Takes keys and configuration anew.
    Reload,
    /// Answers what is open and ends.
    Drain,
}

/// One command about the VRU or about reports.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum VruRequest {
    /// New credentials for an instrument; earlier ones end.
    Mailer {
        /// Which.
        instrument: String,
    },
    /// How the access of an instrument stands.
    Show {
        /// Which.
        instrument: String,
    },
    /// Takes passcodes again after too many wrong ones.
    Unlock {
        /// Which.
        instrument: String,
    },
    /// Reports that are open, oldest first.
    ListReports {
        /// Closed ones, too.
        all: bool,
    },
    /// One report.
    ShowReport {
        /// Which.
        number: u64,
    },
    /// Closes a report.
    CloseReport {
        /// Which.
        number: u64,
        /// The operator's note.
        note: String,
    },
}

/// What a command did or found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum AdminResponse {
    /// One account.
    Account(AccountView),
    /// All accounts.
    Accounts {
        /// In the order of their ids.
        accounts: Vec<AccountView>,
    },
    /// A deposit.
    Funded {
        /// Whose.
        account: AccountId,
        /// How much.
        amount: Money,
        /// The balance afterwards.
        balance: Money,
        /// Whether this deposit had been applied before, so that nothing changed.
        already_applied: bool,
    },
    /// An instrument that waits for its activation.
    Enrolled {
        /// Names it.
        instrument: InstrumentId,
        /// The account it pays from.
        account: AccountId,
        /// The bundle in hexadecimal; as secret as the activation code in it.
        bundle: Secret,
        /// End of the activation code.
        expires_at_ms: Timestamp,
        /// The sheet for the customer with the credentials for the VRU, where it was asked for; told this once.
        #[serde(default)]
        mailer: Option<Secret>,
    },
    /// New credentials for the VRU.
    Mailer {
        /// For which instrument.
        instrument: InstrumentId,
        /// The sheet for the customer, told this once.
        mailer: Secret,
    },
    /// How an instrument's access to the VRU stands.
    VruAccess(VruAccessView),
    /// One report.
    Report(ReportView),
    /// Several reports.
    Reports {
        /// The oldest first.
        reports: Vec<ReportView>,
    },
    /// Instruments of an issuer.
    Imported(ImportedView),
    /// One instrument.
    Instrument(InstrumentView),
    /// Several instruments.
    Instruments {
        /// In the order of their ids.
        instruments: Vec<InstrumentView>,
    },
    /// A new PIN, told this once.
    Pin {
        /// Of which instrument.
        instrument: InstrumentId,
        /// The digits.
        pin: Secret,
    },
    /// One merchant.
    Merchant(MerchantView),
    /// All merchants.
    Merchants {
        /// In the order of their ids.
        merchants: Vec<MerchantView>,
    },
    /// A certificate.
    Certificate {
        /// Whose.
        merchant: MerchantId,
        /// Its canonical bytes in hexadecimal.
        certificate: String,
        /// Until when it is valid.
        valid_until_ms: Timestamp,
        /// Whether it had been issued before.
        already_applied: bool,
    },
    /// The answer to a merchant's batch.
    DeskAnswer {
        /// Its canonical bytes in hexadecimal.
        answer: String,
    },
    /// What the server does.
    Status(Box<StatusView>),
    /// What was counted.
    Counters(CountersView),
    /// Result of an audit.
    Audit(AuditReport),
    /// Of settlement.
    Settlement(settlement::SettlementAnswer),
    /// Of statements.
    Statement(statement::StatementAnswer),
    /// Receipts of the notary.
    Notary(notary::NotaryAnswer),
    /// The archive.
    Archive {
        /// Where it lies.
        directory: std::path::PathBuf,
        /// Its segments, in their order.
        segments: Vec<views::SegmentView>,
    },
    /// A copy of the ledger was made.
    Checkpoint {
        /// The installation.
        realm: RealmId,
        /// Number of its last commit.
        commit: u64,
        /// Value of the hash chain after that commit, hexadecimal.
        chain: String,
    },
    /// Done; nothing to tell.
    Done,
}

/// A text that is told once and never logged. Overwritten when dropped; `Debug` hides it.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes over a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What kind of error a command ended with, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminErrorCode {
    /// An argument is not what it should be.
    BadInput,
    /// Nothing has this id.
    NotFound,
    /// Several things have ids that begin like this.
    Ambiguous,
    /// The rules do not allow it.
    Refused,
    /// Keys or key sets are missing or past their time.
    Keys,
    /// The data directory or the database.
    Store,
    /// The server does not answer, or is about to stop.
    Unavailable,
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct AdminError {
    /// For programs.
    pub code: AdminErrorCode,
    /// For people: the mistake and the remedy.
    pub message: String,
}

impl AdminError {
    /// An error.
    pub fn new(code: AdminErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An argument is not what it should be.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(AdminErrorCode::BadInput, message)
    }

    /// The rules do not allow it.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(AdminErrorCode::Refused, message)
    }
}

macro_rules! error_codes {
    ($($error:ty => $code:expr;)*) => {
        $(impl From<$error> for AdminError {
            fn from(error: $error) -> Self {
                let code: fn(&$error) -> AdminErrorCode = $code;
                Self::new(code(&error), error.to_string())
            }
        })*
    };
}

error_codes! {
    crate::store::StoreError => |_| AdminErrorCode::Store;
    crate::data_directory::DataError => |_| AdminErrorCode::Store;
    crate::keys::KeyError => |_| AdminErrorCode::Keys;
    crate::config::ConfigError => |_| AdminErrorCode::BadInput;
    protocol::money::MoneyError => |_| AdminErrorCode::BadInput;
    protocol::codec::DecodeError => |_| AdminErrorCode::BadInput;
    protocol::certificate::CertificateError => |_| AdminErrorCode::BadInput;
    crate::book::import::ImportError => |_| AdminErrorCode::Refused;
    crate::book::orders::OrderError => |error| {
        use crate::book::orders::OrderError;
        match error {
            OrderError::NoAccount(_) | OrderError::NoInstrument(_) | OrderError::NoMerchant(_) => AdminErrorCode::NotFound,
            OrderError::BadLimits => AdminErrorCode::BadInput,
            OrderError::Stopping => AdminErrorCode::Unavailable,
            _ => AdminErrorCode::Refused,
        }
    };
}

/// One answer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminReply {
    /// Carried out.
    Ok(Box<AdminResponse>),
    /// Not carried out.
    Error(AdminError),
}
