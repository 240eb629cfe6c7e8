//! What the voice says, as values: which words that are in English is [`super::english`]'s business.

use protocol::pin::Pin;
use protocol::time::Timestamp;

use crate::admin::views::{Money, PinStage};
use crate::store::holds::Holder;

/// One thing that the voice says.
#[derive(Debug, Clone)]
pub enum Prompt {
    /// The first words.
    Welcome,
    /// The access number, please.
    AskNumber,
    /// The check digit or the length told that what was typed cannot be right.
    Mistyped,
    /// The passcode, please.
    AskPasscode,
    /// Access number or passcode are not right, or the access is locked; which one is never told.
    Refused,
    /// Too many calls.
    Busy,
    /// What can be done.
    Menu,
    /// No such key here.
    UnknownKey,
    /// A new PIN ends the old one: really?
    ConfirmPin,
    /// The new PIN, digit by digit.
    NewPin(Pin),
    /// It can be heard once more.
    OfferRepeat,
    /// Count, balance and standing.
    Account(Reading),
    /// The last amounts.
    Amounts(PastAmounts),
    /// Place or lift a hold.
    HoldMenu,
    /// Payments are stopped.
    Held,
    /// Payments go on.
    Released,
    /// The customer's hold is lifted, but the operator holds the instrument too.
    StillHeld,
    /// Reasons for a report.
    ReportMenu,
    /// The number of the report that was filed.
    Filed(u64),
    /// No more reports in this call.
    EnoughReports,
    /// Nothing more is done in this call.
    EnoughDone,
    /// The instrument was revoked.
    Revoked,
    /// It did not work for a reason of our own.
    Unavailable,
    /// The access ended during the call.
    AccessEnded,
    /// The last words.
    Goodbye,
}

/// What is read back of an instrument and its account (K-126).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Count of the last transaction.
    pub count: u64,
    /// Balance of the account.
    pub balance: Money,
    /// Whoever holds the instrument.
    pub held_by: Vec<Holder>,
    /// Whether the account as a whole is stopped.
    pub account_held: bool,
    /// How the PIN stands.
    pub pin: PinStage,
}

/// The last consumed transactions of an instrument, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastAmounts {
    /// What was found.
    pub amounts: Vec<PastAmount>,
    /// Whether there may be earlier ones that were not looked for.
    pub more: bool,
}

/// One consumed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastAmount {
    /// Its count.
    pub count: u64,
    /// How much was asked for.
    pub amount: Money,
    /// Paid, or denied.
    pub paid: bool,
    /// When.
    pub at: Timestamp,
}
