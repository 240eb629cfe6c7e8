//! What a run found.

use std::fmt;

use super::hardware::Hardware;
use super::run::{Plan, WAYS};
use crate::measure::{Sample, Spread};

/// Changes whenever the meaning of a field does.
const SCHEMA: &str = "quittance.textbook.v1";

/// Figures of one run.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    schema: &'static str,
    hardware: Hardware,
    rounds: usize,
    payments_per_round: usize,
    /// Which library verifies signatures in the way "libraries".
    libraries_verifier: &'static str,
    /// Processor time of the network that was added to every way before ratios were taken.
    transport_us: f64,
    ways: Vec<Way>,
    /// Stages of the pipeline, by its own counters.
    stages: Vec<Stage>,
    ratios: Vec<Ratio>,
}

/// One way of paying.
#[derive(Debug, serde::Serialize)]
pub(super) struct Way {
    name: &'static str,
    what: &'static str,
    /// Processor time per payment, user and system, without the network.
    cpu_us: Spread,
    /// Time on the wall per payment.
    wall_us: Spread,
}

/// What one stage of the pipeline used.
#[derive(Debug, serde::Serialize)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// Processor time per payment, without the threads of the database.
    pub(super) cpu_us: f64,
    /// Payments that went through it at a time, on average.
    pub(super) mean_batch: f64,
}

/// How many times one way costs another. Taken round by round, so that noise hits both.
#[derive(Debug, serde::Serialize)]
struct Ratio {
    of: &'static str,
    to: &'static str,
    cpu: Spread,
}

impl Way {
    /// Names of the ways, in the order in which samples come.
    pub(super) const NAMES: [&str; WAYS] = ["floor", "ours", "textbook", "libraries"];
    const WHAT: [&str; WAYS] = [
        "the bare work composed in a loop: batches of 256, commits of 1024, no queues, no threads",
        "the pipeline of the server",
        "x25519-dalek and ed25519-dalek: one agreement, one verification, two signatures, one synced write each",
        "aws-lc-rs, verification by the faster library: one agreement, one verification, two signatures each, commits of 1024",
    ];
}

/// Ratios of interest, as places in [`Way::NAMES`].
const RATIOS: [(usize, usize); 3] = [(1, 0), (2, 1), (3, 1)];

impl Report {
    pub(super) fn new(
        plan: &Plan,
        hardware: Hardware,
        payments_per_round: usize,
        samples: &[Vec<Sample>; WAYS],
        stages: Vec<Stage>,
        libraries_verifier: &'static str,
    ) -> Self {
        let ways = samples.iter().enumerate().map(|(way, samples)| Way {
            name: Way::NAMES[way],
            what: Way::WHAT[way],
            cpu_us: Spread::of(samples.iter().map(|sample| sample.cpu_us)),
            wall_us: Spread::of(samples.iter().map(|sample| sample.wall_us)),
        });
        let ratios = RATIOS.map(|(of, to)| {
            let with_transport = |sample: &Sample| sample.cpu_us + plan.transport_us;
            let rounds = samples[of].iter().map(with_transport).zip(samples[to].iter().map(with_transport));
            let cpu = Spread::of(rounds.map(|(of, to)| of / to));
            Ratio { of: Way::NAMES[of], to: Way::NAMES[to], cpu }
        });
        Self {
            schema: SCHEMA,
            hardware,
            rounds: plan.rounds,
            payments_per_round,
            libraries_verifier,
            transport_us: plan.transport_us,
            ways: ways.collect(),
            stages,
            ratios: ratios.into(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.hardware)?;
        writeln!(
            f,
            "payments   {} rounds of {} each way; all answers opened, all proofs verified, all balances equal",
            self.rounds, self.payments_per_round
        )?;
        writeln!(f, "\nmicroseconds per payment   processor: min  median     max   wall: median")?;
        for Way { name, cpu_us, wall_us, .. } in &self.ways {
            writeln!(
                f,
                "  {name:<12}            {:>15.1} {:>7.1} {:>7.1} {:>14.1}",
                cpu_us.minimum, cpu_us.median, cpu_us.maximum, wall_us.median
            )?;
        }
        for Way { name, what, .. } in &self.ways {
            writeln!(f, "  {name:<12} {what}")?;
        }
        writeln!(f, "  (libraries: {} verifies)", self.libraries_verifier)?;
        writeln!(f, "\nstages of ours             processor    payments at a time")?;
        for Stage { name, cpu_us, mean_batch } in &self.stages {
            writeln!(f, "  {name:<12} {cpu_us:>23.2} {mean_batch:>21.0}")?;
        }
        writeln!(f, "\nratios, processor time     min  median     max")?;
        for Ratio { of, to, cpu } in &self.ratios {
            writeln!(
                f,
                "  {:<22} {:>6.2} {:>7.2} {:>7.2}",
                format!("{of} / {to}"),
                cpu.minimum,
                cpu.median,
                cpu.maximum
            )?;
        }
        if self.transport_us > 0.0 {
            write!(f, "The ratios include {} us of transport (QUIC) in every way; ", self.transport_us)?;
            write!(f, "the figures above them do not.")
        } else {
            write!(f, "The transport (QUIC) is in none of these figures; add it with --transport-us.")
        }
    }
}
