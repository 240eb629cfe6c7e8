//! Settlement over the admin socket: commands and answers.

use protocol::ids::MerchantId;
use protocol::time::Timestamp;

use super::views::Money;
use crate::settlement::records::PayoutState;

/// What the operator wants of settlement.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "settlement", rename_all = "kebab-case")]
pub enum SettlementCommand {
    /// Ends the present cycle now.
    Close,
    /// All cycles.
    Cycles,
    /// What merchants were settled: all of one merchant, or all of one cycle.
    List {
        /// Only this merchant.
        merchant: Option<String>,
        /// Only this cycle.
        cycle: Option<u64>,
    },
    /// The signed report of one merchant and cycle.
    Report {
        /// Whose.
        merchant: String,
        /// Which cycle.
        cycle: u64,
    },
    /// All payouts.
    Payouts,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "settlement", rename_all = "kebab-case")]
pub enum SettlementAnswer {
    /// Cycles, in their order.
    Cycles {
        /// Each.
        cycles: Vec<CycleView>,
    },
    /// Settlements, by cycle.
    Settlements {
        /// Each.
        settlements: Vec<SettlementView>,
    },
    /// A report.
    Report {
        /// Canonical bytes of the report, hexadecimal.
        report: String,
        /// Files of its pages, in their order.
        pages: Vec<std::path::PathBuf>,
    },
    /// Payouts, by cycle.
    Payouts {
        /// Each.
        payouts: Vec<PayoutView>,
    },
}

/// A settlement cycle.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CycleView {
    /// Its number.
    pub cycle: u64,
    /// Payments from this time on ...
    pub from_ms: Timestamp,
    /// ... and before this time.
    pub until_ms: Timestamp,
    /// Whether every merchant is settled.
    pub closed: bool,
}

/// What a merchant was settled in one asset.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SettlementView {
    /// Number of the cycle.
    pub cycle: u64,
    /// Who.
    pub merchant: MerchantId,
    /// Number of payments.
    pub payments: u64,
    /// Left by the cycle before.
    pub carried_before: Money,
    /// Sum of the payments.
    pub credited: Money,
    /// Earlier payouts that came back.
    pub returned: Money,
    /// Sum of the refunds.
    pub refunded: Money,
    /// What was charged.
    pub fees: Money,
    /// What is paid out.
    pub payout: Money,
    /// What is left for the next cycle.
    pub carried_after: Money,
}

/// A payout.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PayoutView {
    /// The funding agency's name for it.
    pub payout: String,
    /// Number of the cycle.
    pub cycle: u64,
    /// Who.
    pub merchant: MerchantId,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub state: PayoutState,
    /// When it was made.
    pub created_at_ms: Timestamp,
}
