//! What goes into a call and what comes out of it.

use protocol::pin::Pin;

use crate::reports::ReportReason;
use crate::vru::credentials::{AccessNumber, Passcode};
use crate::vru::office::Caller;
use crate::vru::prompts::{PastAmounts, Prompt, Reading};

/// A key of a telephone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// 0 to 9.
    Digit(u8),
    /// Begins an entry anew; in menus, goes back.
    Star,
    /// Ends an entry.
    Hash,
}

impl Key {
    /// The key that is labelled so.
    pub fn parse(label: char) -> Option<Self> {
        match label {
            '0'..='9' => Some(Self::Digit(label as u8 - b'0')),
            '*' => Some(Self::Star),
            '#' => Some(Self::Hash),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// What happens to a call.
#[derive(Debug)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// Nothing was pressed for [`super::SILENCE_MS`].
    Silence,
    /// The caller is gone, or the call took too long.
    HungUp,
    /// What became of the action.
    Done(Outcome),
}

/// What is to be carried out for the call.
#[derive(Debug)]
pub enum Action {
    /// Find out whether this is a customer.
    Authenticate(AccessNumber, Passcode),
    /// Draw and set a new PIN.
    NewPin(Caller),
    /// Read count, balance and standing.
    ReadAccount(Caller),
    /// Read the last amounts.
    ReadAmounts(Caller),
    /// Place or lift the customer's hold.
    Hold(Caller, bool),
    /// File a report.
    Report(Caller, ReportReason),
}

/// What became of an action.
#[derive(Debug)]
pub enum Outcome {
    /// It is a customer.
    Admitted(Caller),
    /// It is not, or not any more.
    Refused,
    /// Too many attempts.
    Busy,
    /// The new PIN.
    PinSet(Pin),
    /// What was read.
    Account(Reading),
    /// What was read.
    Amounts(PastAmounts),
    /// The customer's hold is in place.
    Held,
    /// Nobody holds the instrument any more.
    Released,
    /// Somebody else still does.
    StillHeld,
    /// The number of the report.
    Filed(u64),
    /// The instrument was revoked.
    Revoked,
    /// The access ended during the call: locked, or replaced by a new mailer.
    AccessEnded,
    /// It could not be carried out.
    Unavailable,
}

/// What comes out.
#[derive(Debug)]
pub struct Step {
    /// To be said, in this order.
    pub say: Vec<Prompt>,
    /// To be done then.
    pub next: Next,
}

/// What a call waits for.
#[derive(Debug)]
pub enum Next {
    /// Keys.
    Listen(Listen),
    /// The outcome of this action.
    Do(Action),
    /// The outcome of the action given before.
    Wait,
    /// Nothing: hang up.
    End,
}

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Keys that are expected at most.
    pub keys_max: u8,
    /// Whether what is typed is a secret.
    pub hidden: bool,
}
