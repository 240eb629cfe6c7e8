//! Aggregate statements (K-106): what an account or a merchant had at the beginning of a period, every kind of movement in sums, and
//! what it had at the end. Made from log and journal, apart from payments: payments neither wait for it nor know of it.
//!
//! The range is fixed first ([`range`]); then log and journal are walked over once from their beginnings ([`walk`]), movements are told
//! from postings ([`movement`]), added up ([`fold`]), piled up by party on the disk ([`sort`]) and written ([`text`], [`output`]).
//! Memory is bounded, however long the log: pages of records, and the sums of the parties of one pile.

pub mod fold;
pub mod movement;
pub mod output;
pub mod range;
pub mod run;
pub mod sort;
pub mod text;
pub mod walk;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::admin::{AdminError, AdminErrorCode};
use crate::data_directory::{DataDirectory, Realm};
use crate::jobs::{Job, Pause};
use crate::pipeline::Engine;
use crate::store::Reader;
use run::{Order, Run};

/// How often the job looks for an order.
const LOOK: Duration = Duration::from_millis(250);
/// Orders that may wait.
const WAITING_MAX: usize = 16;
/// Orders whose ends are remembered.
const ENDED_MAX: usize = 64;

/// How far an order is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Progress {
    /// Others are first.
    Waiting,
    /// Being made.
    Running,
    /// Everything is written.
    Done {
        /// Number of statements.
        statements: u64,
    },
    /// Nothing is left of it.
    Failed {
        /// Why.
        error: AdminError,
    },
}

impl Progress {
    /// Whether nothing more will happen.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }
}

/// An order and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ordered {
    /// Its number since the server started.
    pub number: u64,
    /// Where the statements are written.
    pub directory: PathBuf,
    /// How far it is.
    pub progress: Progress,
}

#[derive(Debug, Default)]
struct Orders {
    last: u64,
    waiting: VecDeque<(u64, Order)>,
    known: BTreeMap<u64, Ordered>,
    cancelled: Option<u64>,
}

/// Where commands leave orders and the job finds them.
#[derive(Debug, Default)]
pub struct StatementDesk {
    orders: Mutex<Orders>,
}

impl StatementDesk {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves an order; its number.
    ///
    /// # Errors
    /// [`AdminErrorCode::Refused`] where too many wait.
    pub fn order(&self, order: Order) -> Result<Ordered, AdminError> {
        let mut orders = self.orders();
        if orders.waiting.len() >= WAITING_MAX {
            return Err(AdminError::refused(format!(
                "{WAITING_MAX} orders for statements wait already: see `tps statement jobs`"
            )));
        }
        orders.last += 1;
        let number = orders.last;
        let ordered = Ordered { number, directory: order.directory.clone(), progress: Progress::Waiting };
        orders.waiting.push_back((number, order));
        orders.known.insert(number, ordered.clone());
        // An order that has not ended is never forgotten: somebody waits for it.
        let mut ended = orders.known.values().filter(|known| known.progress.is_ended()).map(|known| known.number);
        let (oldest, others) = (ended.next(), ended.count());
        if let Some(oldest) = oldest.filter(|_| others >= ENDED_MAX) {
            orders.known.remove(&oldest);
        }
        Ok(ordered)
    }

    /// All orders that are remembered, by number.
    pub fn all(&self) -> Vec<Ordered> {
        self.orders().known.values().cloned().collect()
    }

    /// One order.
    ///
    /// # Errors
    /// [`AdminErrorCode::NotFound`].
    pub fn one(&self, number: u64) -> Result<Ordered, AdminError> {
        self.orders().known.get(&number).cloned().ok_or_else(|| {
            AdminError::new(
                AdminErrorCode::NotFound,
                format!("there is no order {number} for statements: the server may have been started again; see `tps statement jobs`"),
            )
        })
    }

    /// Takes an order back, also one that is being made. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`AdminErrorCode::NotFound`].
    pub fn cancel(&self, number: u64) -> Result<Ordered, AdminError> {
        self.one(number)?;
        let mut orders = self.orders();
        match orders.known.get(&number).map(|known| &known.progress) {
            Some(Progress::Waiting) => {
                orders.waiting.retain(|(waiting, _)| *waiting != number);
                end(&mut orders, number, Err(cancelled()));
            }
            Some(Progress::Running) => orders.cancelled = Some(number),
            _ => {}
        }
        drop(orders);
        self.one(number)
    }

    fn take(&self) -> Option<(u64, Order)> {
        let mut orders = self.orders();
        let (number, order) = orders.waiting.pop_front()?;
        if let Some(known) = orders.known.get_mut(&number) {
            known.progress = Progress::Running;
        }
        Some((number, order))
    }

    fn end(&self, number: u64, result: Result<u64, AdminError>) {
        end(&mut self.orders(), number, result);
    }

    fn is_cancelled(&self, number: u64) -> bool {
        let mut orders = self.orders();
        let cancelled = orders.cancelled == Some(number);
        if cancelled {
            orders.cancelled = None;
        }
        cancelled
    }
}

fn cancelled() -> AdminError {
    AdminError::refused("the order was taken back")
}

fn end(orders: &mut Orders, number: u64, result: Result<u64, AdminError>) {
    if let Some(known) = orders.known.get_mut(&number) {
        known.progress = match result {
            Ok(statements) => Progress::Done { statements },
            Err(error) => Progress::Failed { error },
        };
    }
}

/// Makes what was ordered, one after the other, in spare time.
pub struct StatementJob {
    desk: Arc<StatementDesk>,
    realm: Realm,
    data: DataDirectory,
    disk_free_bytes_min: u64,
    running: Option<(u64, Run)>,
}

impl StatementJob {
    /// A job that finds its orders at `desk` and reads the log of the TPS in `data`, wherever it lies.
    pub fn new(desk: Arc<StatementDesk>, realm: Realm, data: DataDirectory) -> Self {
        Self { desk, realm, data, disk_free_bytes_min: 0, running: None }
    }

    /// The same, ending an order before the ledger's disk has less than `bytes` left.
    #[must_use]
    pub fn leaving_free(self, bytes: u64) -> Self {
        Self { disk_free_bytes_min: bytes, ..self }
    }

    /// What statements are made of: log and journal from their beginnings, with what is archived. Nothing leaves the ledger while
    /// it is read.
    fn log(&self, engine: &Engine) -> Result<Arc<dyn Reader>, AdminError> {
        #[cfg(feature = "rocksdb")]
        let log = Arc::new(crate::archive::WholeLog::of(engine, &self.data)?);
        #[cfg(not(feature = "rocksdb"))]
        let log = {
            let _ = &self.data;
            Arc::clone(engine.reader())
        };
        Ok(log)
    }

    /// Statements are the first to give way where space runs out: payments would be refused.
    fn check_space(&self, engine: &Engine) -> Result<(), AdminError> {
        match engine.reader().free_bytes() {
            Some(free) if free < self.disk_free_bytes_min => Err(AdminError::refused(format!(
                "the ledger's disk has {} MiB left, and statements leave it {} MiB: nothing was kept; make space, or name a directory \
                 on another disk, and order them again",
                free >> 20,
                self.disk_free_bytes_min >> 20
            ))),
            _ => Ok(()),
        }
    }
}

impl Job for StatementJob {
    fn name(&self) -> &'static str {
        "statements"
    }

    /// An order that fails has ended: whoever ordered is told why, and nothing is tried again.
    fn step(&mut self, engine: &Engine) -> Result<Pause, AdminError> {
        let space = if self.running.is_some() { self.check_space(engine) } else { Ok(()) };
        let (number, outcome) = match &mut self.running {
            Some((number, _)) if self.desk.is_cancelled(*number) => (*number, Err(cancelled())),
            Some((number, run)) => match space.and_then(|()| run.step(engine)) {
                Ok(Some(pause)) => return Ok(pause),
                Ok(None) => (*number, Ok(run.statements())),
                Err(error) => (*number, Err(error)),
            },
            None => {
                let Some((number, order)) = self.desk.take() else { return Ok(Pause::For(LOOK)) };
                let started = self.log(engine).and_then(|log| Run::start(order, self.realm.clone(), log));
                match started {
                    Ok(run) => {
                        self.running = Some((number, run));
                        return Ok(Pause::None);
                    }
                    Err(error) => (number, Err(error)),
                }
            }
        };
        if let Err(error) = &outcome {
            tracing::warn!(order = number, %error, "statements could not be made");
        }
        // Dropped first, so that whoever sees the failure finds nothing left of it.
        self.running = None;
        self.desk.end(number, outcome);
        Ok(Pause::None)
    }
}
