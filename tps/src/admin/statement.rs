//! Statements over the admin socket: commands and answers.

use std::path::PathBuf;

use crate::statement::Ordered;
use crate::statement::fold::Period;
use crate::statement::text::Format;

/// Of whom statements are wanted. Ids are texts, as in [`super::AdminRequest`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatementOf {
    /// Of one account.
    Account(String),
    /// Of one merchant.
    Merchant(String),
    /// Of everybody.
    All,
}

/// What the operator wants of statements.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "statement", rename_all = "kebab-case")]
pub enum StatementCommand {
    /// Have statements made in the background. Where no server runs, they are made before the answer.
    Order {
        /// Of whom.
        of: StatementOf,
        /// Of when.
        period: Period,
        /// With every single movement.
        lines: bool,
        /// How.
        format: Format,
        /// The new directory, an absolute path; one in the TPS's own directory where none is named.
        directory: Option<PathBuf>,
    },
    /// How far one order is.
    Show {
        /// Its number.
        number: u64,
    },
    /// How far all orders are.
    Jobs,
    /// Take an order back.
    Cancel {
        /// Its number.
        number: u64,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatementAnswer {
    /// The orders asked about, by number.
    pub orders: Vec<Ordered>,
    /// Of an order for one party: where its statement will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}
