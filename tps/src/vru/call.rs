//! The course of a call: a state machine without I/O. Keys, silences and results of actions go in; prompts and actions come out.
//!
//! Every action but the first carries the [`Caller`] that only an admission makes, so that nothing is done for anybody who was
//! not admitted. What was typed lies in buffers that are overwritten when dropped and that `Debug` hides.

mod values;

use protocol::pin::Pin;
use zeroize::Zeroizing;

use super::credentials::{ACCESS_NUMBER_DIGITS, AccessNumber, PASSCODE_DIGITS, Passcode};
use super::office::Caller;
use super::prompts::Prompt;
use crate::reports::ReportReason;
pub use values::{Action, Input, Key, Listen, Next, Outcome, Step};

/// Refused attempts of one call; then it ends.
pub const REFUSALS_MAX: u8 = 3;
/// Slips and unknown keys of one call; then it ends.
pub const SLIPS_MAX: u8 = 6;
/// Silences in a row; then the call ends.
pub const SILENCES_MAX: u8 = 2;
/// Reports of one call.
pub const REPORTS_MAX: u8 = 3;
/// Actions of one call, attempts too: each is a commit or a look at the disk, and nobody needs so many.
pub const ACTIONS_MAX: u8 = 40;
/// How long a caller may be silent before the question is asked again.
pub const SILENCE_MS: u64 = 20_000;

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
    actions: u8,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call(hidden)")
    }
}

impl Call {
    /// A call that was just answered.
    pub fn start() -> (Self, Step) {
        let mut call = Self { state: State::Ended, silences: 0, slips: 0, refusals: 0, reports: 0, actions: 0 };
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
        if self.actions >= ACTIONS_MAX {
            return self.end(vec![Prompt::EnoughDone]);
        }
        self.actions += 1;
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
