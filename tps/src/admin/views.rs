//! What the operator sees of accounts, instruments, merchants and the server: no secrets in any of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use protocol::ids::{AccountId, InstrumentId, MerchantId, RealmId};
use protocol::money::{Asset, format};
use protocol::time::Timestamp;

use crate::counters::Distribution;

use crate::reports::ReportReason;
use crate::store::holds::Holder;
use crate::store::records::MerchantStatus;

/// An amount or a balance.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Money {
    /// Of what.
    pub asset: Asset,
    /// Decimal, with all places of the asset.
    pub decimal: String,
    /// Smallest units, as text because it may exceed what JSON readers hold exactly.
    pub units: String,
}

impl Money {
    /// `units` of `asset`, which has `exponent` decimal places.
    pub fn new(units: i128, asset: Asset, exponent: u8) -> Self {
        Self { asset, decimal: format(units, exponent), units: units.to_string() }
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.decimal, self.asset)
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AccountView {
    /// Names it.
    pub account: AccountId,
    /// What it holds.
    pub balance: Money,
    /// Whether payments are stopped.
    pub held: bool,
    /// What the funding agency calls it; all that is known of the customer (K-04).
    pub reference: String,
    /// Its instruments, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instruments: Vec<InstrumentView>,
}

/// How far an instrument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstrumentStage {
    /// Its bundle was written; `cts init` is next.
    Waiting,
    /// Its bundle was not used in time.
    Lapsed,
    /// Active.
    Active,
    /// Ended for ever.
    Revoked,
}

/// How the PIN of an instrument stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinStage {
    /// Never set: no payment is possible (K-05).
    None,
    /// Set.
    Set,
    /// Too many wrong PINs in a row; a new one is needed.
    Locked,
}

/// What an instrument may pay.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LimitsView {
    /// Most per payment.
    pub per_payment: Option<Money>,
    /// Most per period.
    pub per_period: Option<Money>,
    /// Length of the period in milliseconds.
    pub period_ms: Option<u64>,
    /// Spent in the current period.
    pub spent_in_period: Option<Money>,
    /// The only merchants it may pay; empty means all.
    pub permitted_merchants: Vec<MerchantId>,
    /// Last moment it may pay.
    pub expires_at_ms: Option<Timestamp>,
}

/// An instrument.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InstrumentView {
    /// Names it.
    pub instrument: InstrumentId,
    /// The account it pays from.
    pub account: AccountId,
    /// The operator's label.
    pub label: String,
    /// How far it is.
    pub stage: InstrumentStage,
    /// Whether it is stopped.
    pub held: bool,
    /// Who stopped it.
    #[serde(default)]
    pub held_by: Vec<Holder>,
    /// How its PIN stands.
    pub pin: PinStage,
    /// Wrong PINs in a row.
    pub pin_failures: u8,
    /// Count of its last transaction.
    pub last_count: u64,
    /// What it may pay.
    pub limits: LimitsView,
    /// When it was enrolled.
    pub enrolled_at_ms: Timestamp,
}

/// How an instrument's access to the VRU stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VruAccessView {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Whether no passcode is taken any more.
    pub locked: bool,
    /// Wrong passcodes in a row.
    pub failures: u8,
    /// When its mailer was written.
    pub issued_at_ms: Timestamp,
}

/// A problem report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReportView {
    /// What customer and operator call it.
    pub number: u64,
    /// What it is about.
    pub reason: ReportReason,
    /// Which instrument, where it concerns one.
    pub instrument: Option<InstrumentId>,
    /// What was found; empty where a customer filed it.
    pub text: String,
    /// When it was filed.
    pub filed_at_ms: Timestamp,
    /// When it was closed.
    pub closed_at_ms: Option<Timestamp>,
    /// The operator's note.
    pub note: Option<String>,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportedView {
    /// Instruments that are new.
    pub instruments: u64,
    /// Rows whose instrument was there already; they changed nothing.
    pub already_there: u64,
    /// Accounts opened.
    pub accounts: u64,
    /// Opening balances, summed per asset.
    pub credited: Vec<Money>,
}

/// A merchant.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MerchantView {
    /// Names it.
    pub merchant: MerchantId,
    /// The company's name, as requested.
    pub name: String,
    /// How it stands.
    pub status: MerchantStatus,
    /// Short text of the request, to be compared over another channel before approval.
    pub fingerprint: String,
    /// Digest of the latest certificate; `None` before approval.
    pub certificate_digest: Option<String>,
    /// Until when the latest certificate is valid; `None` before approval, or when the key set is too old to tell.
    pub certificate_valid_until_ms: Option<Timestamp>,
    /// What is owed to it.
    pub accrued: Vec<Money>,
}

/// The sums of one asset.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SumView {
    /// Of what.
    pub asset: Asset,
    /// In customers' accounts.
    pub customers: Money,
    /// Owed to merchants.
    pub merchants: Money,
    /// Fees earned.
    pub fees: Money,
    /// Money outside: negative by what came in.
    pub funding: Money,
    /// All together: zero, or something is wrong.
    pub total: Money,
}

/// A key that is near its end or past it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatusWarning {
    /// What, and what to do.
    pub message: String,
}

/// A place where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ListenerView {
    /// For what: `payments`, `operations`.
    pub name: String,
    /// `udp` or `tcp`.
    pub transport: String,
    /// Where, with the real port.
    pub address: SocketAddr,
}

/// A queue between two stages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QueueView {
    /// Who takes from it: `workers`, `sequence`, `commit` or `reveal`.
    pub name: String,
    /// What waits: requests before the workers, batches before the sequencers, and groups of them behind.
    pub length: usize,
    /// How much may wait.
    pub capacity: usize,
}

/// A histogram.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HistogramView {
    /// `batch_requests`, `commit_requests`, `durable_us` or `sync_us`.
    pub name: String,
    /// What was counted since the start.
    pub distribution: Distribution,
}

/// What went through one stage of the data path, and what that cost.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StageView {
    /// `receive`, `open`, `verify`, `prove`, `sequence`, `commit` or `reveal`.
    pub name: String,
    /// Requests.
    pub items: u64,
    /// Times the stage ran.
    pub batches: u64,
    /// Processor time.
    pub cpu_us: u64,
}

/// What the server does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatusView {
    /// Version of the program.
    pub version: String,
    /// The installation.
    pub realm: RealmId,
    /// Whether a server answered; otherwise the database was read directly.
    pub serving: bool,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// All places where it listens.
    #[serde(default)]
    pub listeners: Vec<ListenerView>,
    /// Whether it takes requests: `open`, `draining`, `disk-low`, `no-proof-key`.
    pub intake: String,
    /// The TPS's time.
    pub clock_ms: Timestamp,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Number of the last commit.
    pub last_commit: u64,
    /// Free disk space; `None` for the memory store.
    pub disk_free_bytes: Option<u64>,
    /// Account shards.
    pub shards: u16,
    /// Accounts.
    pub accounts: usize,
    /// Instruments.
    pub instruments: usize,
    /// Merchants.
    pub merchants: usize,
    /// What was counted since the start.
    pub counters: BTreeMap<String, u64>,
    /// Processor time of the whole process since its start, user and system.
    #[serde(default)]
    pub cpu_us: u64,
    /// What went through each stage of the data path since the start, in its order.
    #[serde(default)]
    pub stages: Vec<StageView>,
    /// Sums per asset.
    pub sums: Vec<SumView>,
    /// Number of the key sets in force.
    pub key_set_number: u64,
    /// What needs the operator's attention.
    pub warnings: Vec<StatusWarning>,
}

/// What was counted since the start, without a look into any book.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CountersView {
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Number of the last commit.
    pub last_commit: u64,
    /// Counters by name.
    pub counters: BTreeMap<String, u64>,
    /// Processor time of the whole process since its start, user and system.
    #[serde(default)]
    pub cpu_us: u64,
    /// What went through each stage of the data path since the start, in its order.
    #[serde(default)]
    pub stages: Vec<StageView>,
    /// Whether it takes requests: `open`, `draining`, `disk-low`, `no-proof-key`.
    #[serde(default)]
    pub intake: String,
    /// Customers' connections that are open.
    #[serde(default)]
    pub connections: u64,
    /// What waits between the stages, in their order.
    #[serde(default)]
    pub queues: Vec<QueueView>,
    /// Sizes of batches and commits, and durations, since the start.
    #[serde(default)]
    pub histograms: Vec<HistogramView>,
    /// What needs the operator's attention, some seconds old at most.
    #[serde(default)]
    pub warnings: Vec<StatusWarning>,
}

/// A segment of the archive.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SegmentView {
    /// Its number.
    pub segment: u64,
    /// Time of its first batch.
    pub from_ms: Timestamp,
    /// Time of its last batch.
    pub until_ms: Timestamp,
    /// Transactions in it.
    pub payments: u64,
    /// Journal entries in it.
    pub journal: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// Bytes of its records before compression.
    pub record_bytes: u64,
    /// Digest of its compressed records, hexadecimal.
    pub digest: String,
    /// What is wrong with it; `None` where nothing is, or nobody looked.
    pub problem: Option<String>,
}
