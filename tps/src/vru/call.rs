//! The course of a call: a state machine without I/O. Keys, silences and results of actions go in; prompts and actions come out.
//!
//! Every action but the first carries the [`Caller`] that only an admission makes, so that nothing is done for anybody who was
//! not admitted. What was typed lies in buffers that are overwritten when dropped and that `Debug` hides.

use protocol::pin::Pin;
use zeroize::Zeroizing;

use super::credentials::{ACCESS_NUMBER_DIGITS, AccessNumber, PASSCODE_DIGITS, Passcode};
use super::office::Caller;
use super::prompts::{PastAmounts, Prompt, Reading};
use crate::reports::ReportReason;

/// Refused attempts of one call; then it ends.
pub const REFUSALS_MAX: u8 = 3;
/// Slips and unknown keys of one call; then it ends.
pub const SLIPS_MAX: u8 = 6;
/// Silences in a row; then the call ends.
pub const SILENCES_MAX: u8 = 2;
/// Reports of one call.
pub const REPORTS_MAX: u8 = 3;
/// How long a caller may be silent before the question is asked again.
pub const SILENCE_MS: u64 = 20_000;

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
    /// Nothing was pressed for [`SILENCE_MS`].
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

/// Digits typed so far.
struct Entry(Zeroizing<String>);

impl Entry {
    fn new() -> Self {
        Self(Zeroizing::new(String::with_capacity(ACCESS_NUMBER_DIGITS)))
    }
}

enum State {
    Number(Entry),
    Passcode(AccessNumber, Entry),
    Authenticating,
    Menu(Caller),
    ConfirmPin(Caller),
    /// The PIN as long as it can be heard again.
    PinTold(Caller, Pin),
    HoldMenu(Caller),
    ReportMenu(Caller),
    /// An action of this caller is being carried out.
    Acting(Caller),
    Ended,
}

/// A call.
pub struct Call {
    state: State,
    silences: u8,
    slips: u8,
    refusals: u8,
    reports: u8,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call(hidden)")
    }
}

impl Call {
    /// A call that was just answered.
    pub fn start() -> (Self, Step) {
        let mut call = Self { state: State::Ended, silences: 0, slips: 0, refusals: 0, reports: 0 };
        let step = call.ask(State::Number(Entry::new()), vec![Prompt::Welcome]);
        (call, step)
    }

    /// Whether the call is over.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether digits were typed that do not make a whole entry yet.
    pub fn has_open_entry(&self) -> bool {
        matches!(&self.state, State::Number(entry) | State::Passcode(_, entry) if !entry.0.is_empty())
    }

    /// Takes what happened.
    pub fn input(&mut self, input: Input) -> Step {
        match (std::mem::replace(&mut self.state, State::Ended), input) {
            (State::Ended, _) | (_, Input::HungUp) => Step { say: Vec::new(), next: Next::End },
            (state @ (State::Authenticating | State::Acting(_)), Input::Key(_) | Input::Silence) => {
                self.state = state;
                Step { say: Vec::new(), next: Next::Wait }
            }
            (State::Authenticating, Input::Done(outcome)) => self.judged(outcome),
            (State::Acting(caller), Input::Done(outcome)) => self.acted(caller, outcome),
            // Nothing was asked for.
            (state, Input::Done(_)) => self.ask(state, Vec::new()),
            (state, Input::Silence) => {
                self.silences += 1;
                if self.silences >= SILENCES_MAX { self.end(Vec::new()) } else { self.ask(state, Vec::new()) }
            }
            (state, Input::Key(key)) => {
                self.silences = 0;
                self.key(state, key)
            }
        }
    }

    fn key(&mut self, state: State, key: Key) -> Step {
        match (state, key) {
            (State::Number(_), Key::Star) => self.listen(State::Number(Entry::new())),
            (State::Passcode(number, _), Key::Star) => self.listen(State::Passcode(number, Entry::new())),
            (State::Number(mut entry), Key::Digit(digit)) => {
                entry.0.push(char::from(b'0' + digit));
                if entry.0.len() < ACCESS_NUMBER_DIGITS {
                    return self.listen(State::Number(entry));
                }
                match AccessNumber::parse(&entry.0) {
                    Some(number) => self.ask(State::Passcode(number, Entry::new()), Vec::new()),
                    None => self.slip(State::Number(Entry::new()), Prompt::Mistyped),
                }
            }
            (State::Passcode(number, mut entry), Key::Digit(digit)) => {
                entry.0.push(char::from(b'0' + digit));
                match Passcode::parse(&entry.0) {
                    Some(passcode) => self.act(State::Authenticating, Action::Authenticate(number, passcode)),
                    None if entry.0.len() < PASSCODE_DIGITS => self.listen(State::Passcode(number, entry)),
                    None => self.slip(State::Passcode(number, Entry::new()), Prompt::Mistyped),
                }
            }
            // A lone # ends nothing.
            (State::Number(entry), Key::Hash) if !entry.0.is_empty() => {
                self.slip(State::Number(Entry::new()), Prompt::Mistyped)
            }
            (State::Passcode(number, entry), Key::Hash) if !entry.0.is_empty() => {
                self.slip(State::Passcode(number, Entry::new()), Prompt::Mistyped)
            }
            (state, Key::Hash) => self.listen(state),
            (State::Menu(caller), key) => self.choose(caller, key),
            (State::ConfirmPin(caller), Key::Digit(1)) => {
                self.act(State::Acting(caller.clone()), Action::NewPin(caller))
            }
            (State::PinTold(caller, pin), Key::Digit(1)) => self.ask(State::Menu(caller), vec![Prompt::NewPin(pin)]),
            (State::HoldMenu(caller), Key::Digit(digit @ (1 | 2))) => {
                self.act(State::Acting(caller.clone()), Action::Hold(caller, digit == 1))
            }
            (State::ReportMenu(caller), Key::Digit(digit)) => match reason(digit) {
                None => self.ask(State::Menu(caller), Vec::new()),
                Some(_) if self.reports >= REPORTS_MAX => self.ask(State::Menu(caller), vec![Prompt::EnoughReports]),
                Some(reason) => {
                    self.reports += 1;
                    self.act(State::Acting(caller.clone()), Action::Report(caller, reason))
                }
            },
            (
                State::ConfirmPin(caller)
                | State::PinTold(caller, _)
                | State::HoldMenu(caller)
                | State::ReportMenu(caller),
                _,
            ) => self.ask(State::Menu(caller), Vec::new()),
            (state @ (State::Authenticating | State::Acting(_) | State::Ended), _) => {
                self.state = state;
                Step { say: Vec::new(), next: Next::Wait }
            }
        }
    }

    fn choose(&mut self, caller: Caller, key: Key) -> Step {
        match key {
            Key::Digit(1) => self.ask(State::ConfirmPin(caller), Vec::new()),
            Key::Digit(2) => self.act(State::Acting(caller.clone()), Action::ReadAccount(caller)),
            Key::Digit(3) => self.act(State::Acting(caller.clone()), Action::ReadAmounts(caller)),
            Key::Digit(4) => self.ask(State::HoldMenu(caller), Vec::new()),
            Key::Digit(5) => self.ask(State::ReportMenu(caller), Vec::new()),
            Key::Digit(0) => self.end(Vec::new()),
            Key::Star => self.ask(State::Menu(caller), Vec::new()),
            _ => self.slip(State::Menu(caller), Prompt::UnknownKey),
        }
    }

    /// What an attempt came to.
    fn judged(&mut self, outcome: Outcome) -> Step {
        match outcome {
            Outcome::Admitted(caller) => self.ask(State::Menu(caller), Vec::new()),
            Outcome::Busy => self.end(vec![Prompt::Busy]),
            Outcome::Refused => {
                self.refusals += 1;
                if self.refusals >= REFUSALS_MAX {
                    return self.end(vec![Prompt::Refused]);
                }
                self.ask(State::Number(Entry::new()), vec![Prompt::Refused])
            }
            _ => self.end(vec![Prompt::Unavailable]),
        }
    }

    /// What an action of a customer came to.
    fn acted(&mut self, caller: Caller, outcome: Outcome) -> Step {
        let said = match outcome {
            Outcome::PinSet(pin) => {
                return self.ask(State::PinTold(caller, pin.clone()), vec![Prompt::NewPin(pin)]);
            }
            Outcome::AccessEnded => return self.end(vec![Prompt::AccessEnded]),
            Outcome::Account(reading) => Prompt::Account(reading),
            Outcome::Amounts(amounts) => Prompt::Amounts(amounts),
            Outcome::Held => Prompt::Held,
            Outcome::Released => Prompt::Released,
            Outcome::StillHeld => Prompt::StillHeld,
            Outcome::Filed(number) => Prompt::Filed(number),
            Outcome::Revoked => Prompt::Revoked,
            Outcome::Admitted(_) | Outcome::Refused | Outcome::Busy | Outcome::Unavailable => Prompt::Unavailable,
        };
        self.ask(State::Menu(caller), vec![said])
    }

    /// Says `say` and then the question of `state`.
    fn ask(&mut self, state: State, mut say: Vec<Prompt>) -> Step {
        say.extend(match &state {
            State::Number(_) => Some(Prompt::AskNumber),
            State::Passcode(..) => Some(Prompt::AskPasscode),
            State::Menu(_) => Some(Prompt::Menu),
            State::ConfirmPin(_) => Some(Prompt::ConfirmPin),
            State::PinTold(..) => Some(Prompt::OfferRepeat),
            State::HoldMenu(_) => Some(Prompt::HoldMenu),
            State::ReportMenu(_) => Some(Prompt::ReportMenu),
            State::Authenticating | State::Acting(_) | State::Ended => None,
        });
        let Step { next, .. } = self.listen(state);
        Step { say, next }
    }

    /// Goes on listening in `state`, without a word.
    fn listen(&mut self, state: State) -> Step {
        let (keys_max, hidden) = match &state {
            State::Number(entry) => (ACCESS_NUMBER_DIGITS - entry.0.len(), false),
            State::Passcode(_, entry) => (PASSCODE_DIGITS - entry.0.len(), true),
            _ => (1, false),
        };
        self.state = state;
        Step { say: Vec::new(), next: Next::Listen(Listen { keys_max: keys_max as u8, hidden }) }
    }

    fn slip(&mut self, state: State, prompt: Prompt) -> Step {
        self.slips += 1;
        if self.slips >= SLIPS_MAX { self.end(vec![prompt]) } else { self.ask(state, vec![prompt]) }
    }

    fn act(&mut self, state: State, action: Action) -> Step {
        self.state = state;
        Step { say: Vec::new(), next: Next::Do(action) }
    }

    fn end(&mut self, mut say: Vec<Prompt>) -> Step {
        say.push(Prompt::Goodbye);
        self.state = State::Ended;
        Step { say, next: Next::End }
    }
}

fn reason(digit: u8) -> Option<ReportReason> {
    match digit {
        1 => Some(ReportReason::UnknownPayment),
        2 => Some(ReportReason::ReadingsDiffer),
        3 => Some(ReportReason::MachineLost),
        4 => Some(ReportReason::Merchant),
        5 => Some(ReportReason::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
