//! Our way: the running pipeline of the server, fed from memory.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tps::counters::Counters;
use tps::pipeline::{AnswerSink, Engine, EngineConfig, EngineKeys, ReplyTo, Sealed};
use tps::store::Store;

use super::report::Stage;
use crate::installation::{Balances, proof_signer, session_key};

/// The pipeline with its threads.
pub(super) struct Ours {
    engine: Engine,
    in_flight: usize,
    before: Vec<Counted>,
}

/// What a stage had counted at some time.
#[derive(Clone, Copy)]
struct Counted {
    items: u64,
    batches: u64,
    cpu_ns: u64,
}

fn counted(counters: &Counters) -> Vec<Counted> {
    let read = |(_, stage): &(&str, &tps::counters::StageCounters)| Counted {
        items: stage.items.get(),
        batches: stage.batches.get(),
        cpu_ns: stage.cpu_ns.get(),
    };
    counters.stages.named().iter().map(read).collect()
}

impl Ours {
    /// The pipeline over `store`. `in_flight` requests at most are in it at a time.
    pub(super) fn start(store: Box<dyn Store>, workers: Option<usize>, in_flight: usize) -> anyhow::Result<Self> {
        let keys = EngineKeys { session: vec![session_key()], signer: proof_signer() };
        let usual = EngineConfig::default();
        let config = EngineConfig { workers: workers.unwrap_or(usual.workers), ..usual };
        let engine = Engine::start(store, keys, config)?;
        let before = counted(engine.counters());
        Ok(Self { engine, in_flight: in_flight.min(config.queue_requests), before })
    }

    /// Counters start here.
    pub(super) fn begin_counting(&mut self) {
        self.before = counted(self.engine.counters());
    }

    /// What each stage has used since.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let named = self.engine.counters().stages.named();
        let now = counted(self.engine.counters());
        let stages = named.iter().zip(now).zip(&self.before).map(|(((name, _), now), before)| {
            let items = (now.items - before.items).max(1) as f64;
            let batches = (now.batches - before.batches).max(1) as f64;
            Stage { name, cpu_us: (now.cpu_ns - before.cpu_ns) as f64 / 1e3 / items, mean_batch: items / batches }
        });
        // The receive stage belongs to the network, which is not here.
        stages.filter(|stage| stage.name != "receive").collect()
    }

    pub(super) fn balances(&self) -> Balances {
        self.engine.read(Balances::of).remove(0)
    }

    /// Takes requests and gives sealed answers in their order.
    pub(super) fn pay(&self, messages: &[&[u8]]) -> Vec<Vec<u8>> {
        let answers = Arc::new(Answers::of(messages.len()));
        for (position, message) in messages.iter().enumerate() {
            if position >= self.in_flight {
                answers.wait_for(position + 1 - self.in_flight);
            }
            let reply = ReplyTo::new(Arc::clone(&answers) as Arc<dyn AnswerSink>, position as u32);
            if let Some(sealed) = Sealed::parse(message, self.engine.session_keys(), reply) {
                self.engine.submit(sealed);
            }
        }
        answers.wait_for(messages.len());
        std::mem::take(&mut answers.lock().messages)
    }
}

/// Answers by the position of their requests.
struct Answers {
    state: Mutex<State>,
    sent: Condvar,
}

struct State {
    messages: Vec<Vec<u8>>,
    answered: usize,
    /// Some were put down and not yet sent.
    unsent: bool,
}

impl Answers {
    fn of(requests: usize) -> Self {
        let state = State { messages: vec![Vec::new(); requests], answered: 0, unsent: false };
        Self { state: Mutex::new(state), sent: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, answers: usize) {
        let waiting = self.sent.wait_while(self.lock(), |state| state.answered < answers);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }
}

impl AnswerSink for Answers {
    fn put(&self, request_id: u32, message: &[u8]) -> bool {
        let mut state = self.lock();
        state.messages[request_id as usize] = message.to_vec();
        state.answered += 1;
        !std::mem::replace(&mut state.unsent, true)
    }

    fn send(&self) {
        self.lock().unsent = false;
        self.sent.notify_one();
    }
}
