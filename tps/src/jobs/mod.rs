//! What runs in spare time: jobs over the log, on one thread of the lowest priority. None is part of the way of a payment.

pub mod cursor;
pub mod deferred;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::admin::{AdminError, AdminErrorCode};
use crate::pipeline::Engine;

/// When a job wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// At once: there is more to do.
    None,
    /// After this time.
    For(Duration),
}

/// Something done in steps, each of a bounded size. What it has done is durable after a step, so that it can end between any two.
pub trait Job: Send {
    /// Names the job in logs and metrics.
    fn name(&self) -> &'static str;

    /// Does one step.
    ///
    /// # Errors
    /// [`AdminError`]; the step is tried again a minute later.
    fn step(&mut self, engine: &Engine) -> Result<Pause, AdminError>;
}

/// A job that failed is tried again after this time.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Every job runs in the shares of processor time that nobody else wants.
const NICENESS: i32 = 19;

/// The thread of the jobs; it ends when this is dropped.
pub struct Jobs {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Jobs {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, where it can start no thread.
    pub fn start(engine: Arc<Engine>, jobs: Vec<Box<dyn Job>>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread =
            std::thread::Builder::new().name("tps-jobs".to_owned()).spawn(move || run(&engine, jobs, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Jobs {
    /// Waits for the step under way, so that whoever owned the jobs may count on the pipeline being let go.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(engine: &Engine, jobs: Vec<Box<dyn Job>>, stopped: &Receiver<()>) {
    // Without a process id it is this thread alone. Where the system refuses, the jobs run all the same.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let mut jobs: Vec<(Instant, Box<dyn Job>)> = jobs.into_iter().map(|job| (Instant::now(), job)).collect();
    while let Some((due, job)) = jobs.iter_mut().min_by_key(|(due, _)| *due) {
        let wait = due.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        // One that panics takes the others with it no more than one that fails.
        let outcome = catch_unwind(AssertUnwindSafe(|| job.step(engine)));
        let outcome = outcome.unwrap_or_else(|_| Err(AdminError::new(AdminErrorCode::Store, "it panicked: see above")));
        let pause = outcome.unwrap_or_else(|error| {
            tracing::error!(job = job.name(), %error, "a job failed; it is tried again in a minute");
            Pause::For(AFTER_FAILURE)
        });
        *due = Instant::now()
            + match pause {
                Pause::None => Duration::ZERO,
                Pause::For(time) => time,
            };
    }
}
