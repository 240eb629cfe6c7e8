//! A call being driven: keys in, sentences out. All fronts do the same with it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Input, Key, Listen, Next, Step};
use super::desk::Desk;
use super::prompts::Prompt;

/// How long a call may take: nobody keeps a line for ever.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(600);
/// Keys that are taken at once.
pub const KEYS_MAX: usize = 32;

/// What the voice says next.
#[derive(Debug)]
pub struct Turn {
    /// In this order.
    pub say: Vec<Prompt>,
    /// How to listen then; `None` hangs up.
    pub listen: Option<Listen>,
}

/// A call and the desk that does what it wants.
pub struct Conversation {
    call: Call,
    desk: Arc<Desk>,
    network: Option<IpAddr>,
}

impl Conversation {
    /// Answers a call from `network`, where that tells callers apart.
    pub fn answer(desk: Arc<Desk>, network: Option<IpAddr>) -> (Self, Turn) {
        let (call, Step { say, next }) = Call::start();
        let listen = match next {
            Next::Listen(listen) => Some(listen),
            _ => None,
        };
        (Self { call, desk, network }, Turn { say, listen })
    }

    /// Takes keys that were pressed together; without any it was silent. Entries end with the last key.
    pub async fn keys(&mut self, keys: &[Key]) -> Turn {
        let mut turn = Turn { say: Vec::new(), listen: None };
        if keys.is_empty() {
            self.take(Input::Silence, &mut turn).await;
        }
        for key in keys {
            self.take(Input::Key(*key), &mut turn).await;
            if self.call.has_ended() {
                return turn;
            }
        }
        if !keys.is_empty() && self.call.has_open_entry() {
            self.take(Input::Key(Key::Hash), &mut turn).await;
        }
        turn
    }

    /// The keys of these labels; `None` where one is no key of a telephone, or where there are too many.
    pub fn parse(labels: &str) -> Option<Vec<Key>> {
        if labels.len() > KEYS_MAX { None } else { labels.chars().map(Key::parse).collect() }
    }

    async fn take(&mut self, input: Input, turn: &mut Turn) {
        let mut step = self.call.input(input);
        loop {
            turn.say.append(&mut step.say);
            turn.listen = match step.next {
                Next::Listen(listen) => Some(listen),
                Next::End | Next::Wait => None,
                Next::Do(action) => {
                    let (outcome, held_back_ms) = self.desk.carry_out(action, self.network).await;
                    tokio::time::sleep(Duration::from_millis(held_back_ms)).await;
                    step = self.call.input(Input::Done(outcome));
                    continue;
                }
            };
            return;
        }
    }
}
