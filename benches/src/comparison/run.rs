//! One run of all ways.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tps::pipeline::clock::wall_clock;
use tps::store::Store;
use tps::store::rocksdb::RocksStore;

use super::check::{Asked, ask, check};
use super::hardware::Hardware;
use super::libraries::{Best, Dalek};
use super::ours::Ours;
use super::report::{Report, Way};
use super::singly::Singly;
use crate::floor::{COMMIT_PAYMENTS, Floor};
use crate::installation::{Balances, GENESIS, Processor, enrol};
use crate::measure::{Sample, measure};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Payments of each way, in all measured rounds together.
    pub payments: usize,
    /// Measured rounds. Another one before them is not measured.
    pub rounds: usize,
    /// Where the databases are made.
    pub directory: PathBuf,
    /// Threads that open, verify and prove in the pipeline; one per core unless given.
    pub workers: Option<usize>,
    /// Requests in the pipeline at a time.
    pub in_flight: usize,
    /// Processor time of the network per payment, added to every way before ratios are taken.
    pub transport_us: f64,
}

/// The ways, in the order of the report.
pub(super) const WAYS: usize = 4;

struct Ways {
    floor: Floor,
    ours: Ours,
    textbook: Singly<Dalek>,
    libraries: Singly<Best>,
}

impl Ways {
    fn start(plan: &Plan, places: &[TempDir], instruments: usize) -> anyhow::Result<Self> {
        let now = wall_clock();
        let store = |way: usize| -> anyhow::Result<Box<dyn Store>> {
            let mut store = RocksStore::create(&places[way].path().join("store"), GENESIS)?;
            enrol(&mut store, instruments, now);
            Ok(Box::new(store))
        };
        Ok(Self {
            floor: Floor::new(Processor::load(store(0)?)),
            ours: Ours::start(store(1)?, plan.workers, plan.in_flight)?,
            textbook: Singly::new(Processor::load(store(2)?), Dalek::new(), 1),
            libraries: Singly::new(Processor::load(store(3)?), Best::new(), COMMIT_PAYMENTS),
        })
    }

    fn pay(&mut self, way: usize, messages: &[&[u8]]) -> (Vec<Vec<u8>>, Sample) {
        let payments = messages.len();
        match way {
            0 => measure(payments, || self.floor.pay(messages)),
            1 => measure(payments, || self.ours.pay(messages)),
            2 => {
                let prepared = self.textbook.prepare(messages);
                measure(payments, || self.textbook.pay(messages, prepared))
            }
            _ => {
                let prepared = self.libraries.prepare(messages);
                measure(payments, || self.libraries.pay(messages, prepared))
            }
        }
    }

    fn balances(&self) -> [Balances; WAYS] {
        let floor = Balances::of(&self.floor.processor().book);
        [floor, self.ours.balances(), self.textbook.balances(), self.libraries.balances()]
    }
}

/// Runs all ways over the same requests, checks every answer, and compares balances at the end.
///
/// # Errors
/// Where a database cannot be made, an answer is not what it has to be, or the ways end with different balances.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    ensure!(plan.payments > 0 && plan.rounds > 0, "at least one payment and one round");
    let per_round = plan.payments.div_ceil(plan.rounds);
    let hardware = Hardware::of(&plan.directory);
    let places: Vec<TempDir> = (0..WAYS).map(|_| place(&plan.directory)).collect::<anyhow::Result<_>>()?;
    let mut ways = Ways::start(plan, &places, per_round * (plan.rounds + 1))?;

    let mut samples: [Vec<Sample>; WAYS] = Default::default();
    for round in 0..=plan.rounds {
        let now = wall_clock();
        let asked: Vec<Asked> = (round * per_round..(round + 1) * per_round).map(|number| ask(number, now)).collect();
        let messages: Vec<&[u8]> = asked.iter().map(|asked| &asked.request.bytes[..]).collect();
        if round == 1 {
            ways.ours.begin_counting();
        }
        for turn in 0..WAYS {
            let way = (round + turn) % WAYS;
            let (answers, sample) = ways.pay(way, &messages);
            check(&asked, &answers).with_context(|| format!("{}, round {round}", Way::NAMES[way]))?;
            // Caches, code and the processor's clock are warm after the first round.
            if round > 0 {
                samples[way].push(sample);
            }
        }
    }
    let balances = ways.balances();
    ensure!(balances.iter().all(|balance| *balance == balances[0]), "the ways end with different balances");
    ensure!(balances[0].sum() == 0, "money was lost or invented");
    let verifier = ways.libraries.library().verifier();
    Ok(Report::new(plan, hardware, per_round, &samples, ways.ours.stages(), verifier))
}

fn place(directory: &Path) -> anyhow::Result<TempDir> {
    let place = tempfile::Builder::new().prefix("quittance-textbook-").tempdir_in(directory);
    place.with_context(|| format!("cannot make a directory in {}", directory.display()))
}
