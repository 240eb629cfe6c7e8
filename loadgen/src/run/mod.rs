//! One run: everything is made ready, sent, measured, and checked.

pub mod checking;
pub mod outcome;
pub mod sending;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use protocol::time::Timestamp;
use tps::pipeline::clock::wall_clock;

use crate::file::records::Standing;
use crate::file::{FileError, LoadFile};
use crate::report::model::{RunResult, Settings};
use crate::schedule::{Arrivals, Rate};
use crate::send::thread::{Progress, SharedProgress};
use crate::server::{Sample, Server};

/// How a run is done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Requests per second.
    pub rate: Rate,
    /// How they are spread.
    pub arrivals: Arrivals,
    /// QUIC connections.
    pub connections: usize,
    /// Requests that each may have unanswered.
    pub outstanding: u32,
    /// Sending threads.
    pub threads: usize,
    /// Before anything is measured.
    pub warm_up: Duration,
    /// Measured time.
    pub duration: Duration,
    /// How long to wait for the last answers.
    pub patience: Duration,
    /// How finely the schedule is kept.
    pub tick: Duration,
    /// Share of requests that are sent twice.
    pub duplicates: f64,
    /// Of everything that is not secret.
    pub seed: u64,
    /// Threads that compute further requests while sending; none where only prepared ones are sent.
    pub workshops: usize,
    /// Prepared requests to use at most.
    pub requests_max: Option<u64>,
    /// Where the server is; the file knows where it was.
    pub address: Option<String>,
    /// Have the server compare its whole log with its books at the end.
    pub audit: bool,
}

/// What whoever watches is told about once a second and oftener.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something that takes a moment begins.
    Doing(&'static str),
    /// Sending goes on.
    Sending(Watched),
}

/// A moment of sending.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// All threads together.
    pub progress: Progress,
    /// Of the whole run, warm-up included.
    pub total: Duration,
    /// The server since the start, where it is on this machine.
    pub server: Option<Sample>,
}

/// Takes events.
pub type Observer<'a> = &'a mut dyn FnMut(Event);

/// A file in use, with the server it belongs to.
pub struct Session {
    /// The file.
    pub file: LoadFile,
    /// How its instruments stand.
    pub standings: Vec<Standing>,
    /// The server, where it is on this machine.
    pub server: Option<Server>,
    /// Where the server listens now, where it is on this machine.
    pub address: Option<String>,
    /// Makes an early end.
    pub stop: Arc<AtomicBool>,
}

impl Session {
    /// Opens a file for runs; with the server's own figures where its directory is on this machine.
    ///
    /// # Errors
    /// [`FileError`]; a server that is not on this machine is no error.
    pub fn open(path: &std::path::Path, remote: bool, stop: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let file = LoadFile::open(path)?;
        let standings = file.standings()?;
        let data = &file.header.world.data;
        let mut server = if remote || !data.exists() { None } else { Some(Server::connect(data)?) };
        let address = server.as_mut().map(|server| server.address(file.header.world.realm)).transpose()?;
        Ok(Self { file, standings, server, address, stop })
    }

    /// How many prepared requests a plan takes.
    fn needed(&self, plan: &Plan) -> u64 {
        let left = plan.requests_max.unwrap_or(u64::MAX).min(self.file.left());
        let Some(rate) = plan.rate.per_second().filter(|_| plan.workshops == 0) else { return left.max(1) };
        let due = rate * (plan.warm_up + plan.duration).as_secs_f64();
        // Eight standard deviations more than due on average; repeats need none.
        ((due + 8.0 * due.sqrt()) / (1.0 + plan.duplicates)).ceil() as u64 + 8
    }

    /// Runs once.
    ///
    /// # Errors
    /// Whatever prevents it; that something was not as it must be stands in the result.
    pub fn run(&mut self, plan: &Plan, observer: Observer<'_>) -> anyhow::Result<RunResult> {
        let needed = self.needed(plan);
        let until: Timestamp = wall_clock().plus((plan.warm_up + plan.duration + plan.patience).as_millis() as u64);
        self.file.check(until, if plan.rate == Rate::Max { 1 } else { needed })?;
        observer(Event::Doing("reading prepared requests"));
        let first = self.file.header.requests.next;
        let batch = self.file.requests(first, needed)?;
        let world = self.file.header.world.clone();
        let books = match &mut self.server {
            Some(server) => Some(server.books(world.merchant, world.asset).context("the server's books")?),
            None => None,
        };
        self.file.begin_run(needed)?;
        let mut started = false;
        let mut sent = match sending::send(self, plan, batch, observer, &mut started) {
            Ok(sent) => sent,
            Err(error) => {
                // Where nothing was sent, nothing changed; otherwise the file stays marked, because nobody knows.
                if !started {
                    self.file.end_run(&self.standings, needed)?;
                }
                return Err(error);
            }
        };
        observer(Event::Doing("verifying every proof"));
        let mut tally = checking::judge(self, plan, &mut sent);
        let not_sent = sent.untouched();
        self.file.end_run(&self.standings, not_sent)?;
        observer(Event::Doing("comparing the books"));
        let checks = checking::check(self, plan, books, &sent, &mut tally);
        Ok(outcome::result(plan, sent, &tally, checks))
    }

    /// What is written into reports.
    pub fn settings(&self, plan: &Plan) -> Settings {
        Settings {
            rate_per_s: plan.rate.per_second(),
            arrivals: plan.arrivals,
            connections: plan.connections,
            outstanding: plan.outstanding,
            threads: plan.threads,
            seconds: plan.duration.as_secs_f64(),
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            mix: self.file.header.requests.mix,
            duplicates: plan.duplicates,
            seed: plan.seed,
            online: plan.workshops > 0,
            tick_us: plan.tick.as_micros() as u64,
            instruments: self.file.header.instruments,
        }
    }
}

/// All threads together.
pub fn together(threads: &[SharedProgress]) -> Progress {
    let mut sum = Progress::default();
    for thread in threads {
        let one = thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.elapsed_ns = sum.elapsed_ns.max(one.elapsed_ns);
        sum.sent += one.sent;
        sum.answered += one.answered;
        sum.refused += one.refused;
        sum.unanswered += one.unanswered;
        for (worst, latency) in sum.latency_us.iter_mut().zip(one.latency_us) {
            *worst = (*worst).max(latency);
        }
    }
    sum
}

/// Whether an error says that the file has to be prepared anew.
pub fn wants_preparation(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(FileError::Expired { .. } | FileError::TooFew { .. }))
}
