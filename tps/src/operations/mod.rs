//! What operators and their programs see of a running server: `/live`, `/ready`, `/metrics` and `/version` over HTTP on the
//! loopback interface, and the probe that tells whether the pipeline makes progress.
//!
//! Everything here runs on the control runtime, never on the network's. A scrape reads counters and lengths of queues; it
//! takes no lock that a payment takes but that of the clock, and reads no book.

mod http;
mod key_times;
mod metrics;
pub mod progress;
mod readiness;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use protocol::ids::RealmId;
use protocol::time::Timestamp;
use tokio::sync::watch;

use crate::data_directory::DataDirectory;
use crate::keys::KeyError;
use crate::pipeline::Engine;
use progress::{Holdings, Progress};

pub use http::{OperationsError, OperationsListener};
pub use key_times::KeyTimes;
pub use readiness::{Obstacle, obstacles};

/// What is fixed while a server runs.
#[derive(Debug, Clone)]
pub struct Constants {
    /// The installation.
    pub realm: RealmId,
    /// Account shards.
    pub shards: u16,
    /// New payments are refused when less disk space than this is free.
    pub disk_low_bytes: u64,
    /// A pipeline that has not answered for so long is stuck.
    pub stuck_after: Duration,
    /// Where the key files are.
    pub data: DataDirectory,
}

/// A running server, as far as it can be watched.
pub struct Observation {
    engine: Arc<Engine>,
    constants: Constants,
    started_at: Timestamp,
    stopping: watch::Receiver<bool>,
    progress: Progress,
    keys: Mutex<KeyTimes>,
}

impl Observation {
    /// Of an engine that has just started; `stopping` becomes true when the server is about to stop.
    ///
    /// # Errors
    /// [`KeyError`] where the key files cannot be read.
    pub fn new(engine: Arc<Engine>, constants: Constants, stopping: watch::Receiver<bool>) -> Result<Self, KeyError> {
        let keys = Mutex::new(KeyTimes::load(&constants.data)?);
        // That of the process: who reloads does not start again and again.
        static STARTED_AT: OnceLock<Timestamp> = OnceLock::new();
        let started_at = *STARTED_AT.get_or_init(|| engine.now());
        Ok(Self { engine, constants, started_at, stopping, progress: Progress::starting(), keys })
    }

    /// The pipeline.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What is fixed.
    pub fn constants(&self) -> &Constants {
        &self.constants
    }

    /// Looks at the key files again.
    ///
    /// # Errors
    /// [`KeyError`]; what was known stays.
    pub fn look_at_keys(&self) -> Result<(), KeyError> {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = KeyTimes::load(&self.constants.data)?;
        Ok(())
    }

    /// The pipeline answered a probe.
    pub fn answered(&self, holdings: Holdings) {
        self.progress.answered(holdings);
    }

    /// What the last look at the key files found.
    fn keys(&self) -> KeyTimes {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_stuck(&self) -> bool {
        self.progress.last().0 > self.constants.stuck_after
    }

    /// What stands in the way of payments now.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        let stopping = *self.stopping.borrow();
        obstacles(self.engine.intake(), stopping, self.is_stuck(), &self.keys(), self.engine.now())
    }
}
