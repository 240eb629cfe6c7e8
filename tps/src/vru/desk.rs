//! The VRU's thread: work for the [`Office`] is handed in and done one after another, hashes of passcodes too, so that nothing of
//! it ever stands before a payment.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::call::{Action, Outcome};
use super::office::Office;
use crate::data_directory::Realm;
use crate::pipeline::Engine;

/// Work that may wait; one more is refused.
const QUEUE_MAX: usize = 256;

type Work = Box<dyn FnOnce(&mut Office) + Send>;

/// Where work is handed in. The thread ends when this is dropped.
pub struct Desk {
    queue: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Starts the thread. PINs get `pin_digits` digits.
    pub fn start(engine: Arc<Engine>, realm: Realm, pin_digits: usize) -> Self {
        let (queue, waiting) = bounded::<Work>(QUEUE_MAX);
        let body = move || {
            let mut decoy = [0; 32];
            // Without randomness nobody is admitted anyway, and nothing new is drawn.
            let _ = getrandom::fill(&mut decoy);
            let mut office = Office::new(engine, realm, pin_digits, decoy);
            while let Ok(work) = waiting.recv() {
                work(&mut office);
            }
        };
        let thread = std::thread::Builder::new().name("tps-vru".to_owned()).spawn(body);
        Self { queue: Some(queue), thread: Some(thread.expect("the system can start a thread")) }
    }

    /// Has `work` done, and waits for it. Blocks. `None` where there is no room or the server is about to stop.
    pub fn ask_blocking<T: Send + 'static>(&self, work: impl FnOnce(&mut Office) -> T + Send + 'static) -> Option<T> {
        let (out, result) = bounded(1);
        self.hand_in(Box::new(move |office| {
            let _ = out.send(work(office));
        }))?;
        result.recv().ok()
    }

    /// The same without blocking.
    pub async fn ask<T: Send + 'static>(&self, work: impl FnOnce(&mut Office) -> T + Send + 'static) -> Option<T> {
        let (out, result) = tokio::sync::oneshot::channel();
        self.hand_in(Box::new(move |office| {
            let _ = out.send(work(office));
        }))?;
        result.await.ok()
    }

    /// Has an action of a call from `network` carried out; what became of it, and for how many milliseconds that is to be held
    /// back.
    pub async fn carry_out(&self, action: Action, network: Option<IpAddr>) -> (Outcome, u64) {
        self.ask(move |office| office.carry_out(action, network)).await.unwrap_or((Outcome::Unavailable, 0))
    }

    fn hand_in(&self, work: Work) -> Option<()> {
        self.queue.as_ref()?.try_send(work).ok()
    }
}

impl Drop for Desk {
    /// Waits for the thread, so that whoever owned the desk may count on the pipeline being let go.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
