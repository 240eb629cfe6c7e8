//! Threads of a run: senders, workshops, and the one that watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use protocol::request::REQUEST_BYTES;

use super::{Event, Observer, Plan, Session, Watched, together};
use crate::file::records::{Batch, Meta};
use crate::measure::Meter;
use crate::schedule::{Rate, Schedule};
use crate::send::answers::Answers;
use crate::send::source::{Made, Source};
use crate::send::thread::{SharedProgress, ThreadPlan, ThreadResult, run};
use crate::send::traffic::{Manner, Traffic};
use crate::send::workshop::{Finished, Workshop};
use crate::server::Sample;

/// How often whoever watches is told.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How long a sending thread sleeps where nothing is due: answers wake it before that.
const IDLE_NS: u64 = 10_000_000;
/// The same where workshops make requests: those wake nobody.
const IDLE_WITH_WORKSHOPS_NS: u64 = 500_000;

/// One thread's share: what it sent, and what belongs to it.
pub struct Share {
    /// The bytes of its requests.
    pub bytes: Vec<u8>,
    /// What belongs to each.
    pub metas: Vec<Meta>,
    /// How many of them were sent.
    pub taken: u32,
    /// What came back, unless workshops took it.
    pub answers: Answers,
    /// Places that were not answered.
    pub unanswered: Vec<u32>,
    /// What its workshops found, if it had any.
    pub finished: Vec<Finished>,
}

/// Everything that was sent and measured.
pub struct Sent {
    /// Per thread.
    pub shares: Vec<Share>,
    /// All threads together.
    pub meter: Meter,
    /// Requests that were due and never sent.
    pub unsent: u64,
    /// When sending ended, since the start.
    pub ended_ns: u64,
    /// Why connections were lost.
    pub lost: Vec<String>,
    /// Processor time of the sending threads, in nanoseconds.
    pub cpu_ns: u64,
    /// Share of the time that the busiest was computing.
    pub busy: f64,
    /// Share of the time that the hungriest waited for a processor.
    pub starved: f64,
    /// The server from before the first request until it was at rest.
    pub server: Option<Sample>,
    /// Whether it came to rest.
    pub at_rest: bool,
    /// Processor time of the server in each second.
    pub server_cpu_us: Vec<u64>,
}

impl Sent {
    /// Prepared requests at the end of the range that were never sent.
    pub fn untouched(&self) -> u64 {
        match &self.shares[..] {
            // Of several threads, the unsent ones are not together: they are given up.
            [only] => (only.metas.len() - only.taken as usize) as u64,
            _ => 0,
        }
    }
}

/// A thread that tools can tell from others.
fn named(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}

/// Where a batch is divided.
fn divided(mut batch: Batch, threads: usize) -> Vec<Batch> {
    let mut shares = Vec::with_capacity(threads);
    for thread in (1..threads).rev() {
        let from = batch.len() * thread / threads;
        shares.push(Batch { bytes: batch.bytes.split_off(from * REQUEST_BYTES), metas: batch.metas.split_off(from) });
    }
    shares.push(batch);
    shares.reverse();
    shares
}

struct Running {
    connected: Receiver<anyhow::Result<()>>,
    starts: Vec<Sender<Instant>>,
    progress: Vec<SharedProgress>,
}

/// One thread with everything it needs.
struct Prepared {
    plan: ThreadPlan,
    traffic: Traffic,
    metas: Vec<Meta>,
    workshops: Vec<(Workshop, Receiver<Arc<Answers>>)>,
    made: Sender<Vec<Made>>,
    start: Receiver<Instant>,
}

/// Sends; `has_started` says whether anything may have been sent where this fails.
///
/// # Errors
/// Where the connections cannot be made, or a thread fails.
pub fn send(
    session: &mut Session,
    plan: &Plan,
    batch: Batch,
    observer: Observer<'_>,
    has_started: &mut bool,
) -> anyhow::Result<Sent> {
    let threads = plan.threads.max(1).min(plan.connections);
    let (connected_out, connected) = unbounded();
    let mut running = Running { connected, starts: Vec::new(), progress: Vec::new() };
    let mut prepared = Vec::new();
    for (thread, share) in divided(batch, threads).into_iter().enumerate() {
        prepared.push(prepare(session, plan, (thread, threads), share, &mut running)?);
    }
    observer(Event::Doing("connecting"));
    let stop_workshops = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = prepared
            .into_iter()
            .map(|prepared| {
                let (connected, stop) = (connected_out.clone(), &stop_workshops);
                let body = move || run_thread(prepared, &connected, stop);
                named("load-send").spawn_scoped(scope, body).expect("the system can start a thread")
            })
            .collect();
        drop(connected_out);
        let begun = begin(session, &running);
        let watched = match begun {
            Ok((before, started)) => {
                *has_started = true;
                let finished = || senders.iter().all(std::thread::ScopedJoinHandle::is_finished);
                Ok(watch(session, plan, &running, observer, before, started, finished))
            }
            Err(error) => {
                running.starts.clear();
                Err(error)
            }
        };
        stop_workshops.store(true, Ordering::Relaxed);
        let mut results = Vec::new();
        for sender in senders {
            results.push(sender.join().expect("a thread of ours does not panic"));
        }
        gather(results, watched?)
    })
}

fn prepare(
    session: &Session,
    plan: &Plan,
    (thread, threads): (usize, usize),
    share: Batch,
    running: &mut Running,
) -> anyhow::Result<Prepared> {
    let world = &session.file.header.world;
    let seed = plan.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(thread as u64);
    let rate = match plan.rate {
        Rate::Max => Rate::Max,
        Rate::PerSecond(rate) => Rate::PerSecond(rate / threads as f64),
    };
    let (made, from_workshops) = unbounded();
    let (mut workshops, mut to_workshops) = (Vec::new(), Vec::new());
    let count = if plan.workshops == 0 { 0 } else { plan.workshops.div_ceil(threads) as u32 };
    let mix = session.file.header.requests.mix;
    for number in 0..count {
        let (out, answers) = unbounded();
        to_workshops.push(out);
        let workshop = Workshop::new(world, mix, &share, &session.standings, (number, count), seed)?;
        workshops.push((workshop, answers));
    }
    let room = if count == 0 { (share.len() as f64 * (1.0 + plan.duplicates) * 1.02) as usize } else { 0 };
    let Batch { bytes, metas } = share;
    let source = if count == 0 { Source::prepared(bytes) } else { Source::online(bytes, from_workshops) };
    let connections = plan.connections * (thread + 1) / threads - plan.connections * thread / threads;
    let window = plan.warm_up.as_nanos() as u64..(plan.warm_up + plan.duration).as_nanos() as u64;
    let end_ns = window.end;
    let manner = Manner { outstanding: plan.outstanding, duplicates: plan.duplicates, seed };
    let schedule = Schedule::new(rate, plan.arrivals, seed);
    let answers = Answers::with_room_for(room);
    let traffic = Traffic::new(schedule, source, manner, connections, Meter::new(window), answers);
    let (start_out, start) = bounded(1);
    running.starts.push(start_out);
    let progress = SharedProgress::default();
    running.progress.push(Arc::clone(&progress));
    let thread_plan = ThreadPlan {
        address: plan.address.as_ref().or(session.address.as_ref()).unwrap_or(&world.address).clone(),
        certificate: hex::decode(&world.server_certificate).context("the certificate in the file")?,
        connections,
        end_ns,
        patience_ns: plan.patience.as_nanos() as u64,
        tick_ns: plan.tick.as_nanos() as u64,
        idle_ns: if count == 0 { IDLE_NS } else { IDLE_WITH_WORKSHOPS_NS },
        stop: Arc::clone(&session.stop),
        progress,
    };
    Ok(Prepared { plan: thread_plan, traffic: traffic.with_workshops(to_workshops), metas, workshops, made, start })
}

/// What a thread and its workshops bring back.
type Brought = anyhow::Result<Option<(ThreadResult, Vec<Meta>, Vec<Finished>)>>;

fn run_thread(prepared: Prepared, connected: &Sender<anyhow::Result<()>>, stop: &AtomicBool) -> Brought {
    let Prepared { plan, traffic, metas, workshops, made, start } = prepared;
    std::thread::scope(|scope| {
        let working: Vec<_> = workshops
            .into_iter()
            .map(|(mut workshop, answers)| {
                let made = made.clone();
                let body = move || {
                    workshop.run(&answers, &made, stop);
                    workshop
                };
                named("load-workshop").spawn_scoped(scope, body).expect("the system can start a thread")
            })
            .collect();
        drop(made);
        let result = run(&plan, traffic, connected, &start)?;
        let Some(result) = result else { return Ok(None) };
        // The traffic is gone, and with it the senders of the workshops: they end when they have judged everything.
        stop.store(true, Ordering::Relaxed);
        let finished = working
            .into_iter()
            .map(|working| working.join().expect("a thread of ours does not panic").finish(&result.unanswered));
        let finished = finished.collect();
        Ok(Some((result, metas, finished)))
    })
}

/// Waits until all are connected, looks at the server, and gives the start.
fn begin(session: &mut Session, running: &Running) -> anyhow::Result<(Option<Sample>, Instant)> {
    for _ in &running.starts {
        running.connected.recv().context("a sending thread ended before it was connected")??;
    }
    let before = session.server.as_mut().map(crate::server::Server::sample).transpose()?;
    let started = Instant::now();
    for start in &running.starts {
        let _ = start.send(started);
    }
    Ok((before, started))
}

/// What was seen of the server.
struct Seen {
    started: Instant,
    sample: Option<Sample>,
    at_rest: bool,
    cpu_us: Vec<u64>,
}

fn watch(
    session: &mut Session,
    plan: &Plan,
    running: &Running,
    observer: Observer<'_>,
    before: Option<Sample>,
    started: Instant,
    finished: impl Fn() -> bool,
) -> Seen {
    let mut seen = Seen { started, sample: None, at_rest: false, cpu_us: Vec::new() };
    let mut last_cpu_us = 0;
    let mut watched = Watched { total: plan.warm_up + plan.duration, ..Watched::default() };
    let mut next = started + WATCH_INTERVAL;
    while !finished() {
        std::thread::sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
        if Instant::now() < next {
            continue;
        }
        next += WATCH_INTERVAL;
        let whole_second = started.elapsed().as_secs() > seen.cpu_us.len() as u64;
        if whole_second && let (Some(server), Some(before)) = (session.server.as_mut(), &before) {
            // A server that went away is noticed by its connections, too.
            if let Ok(now) = server.sample() {
                let since = now.since(before);
                seen.cpu_us.push(since.cpu_us - last_cpu_us);
                last_cpu_us = since.cpu_us;
                watched.server = Some(since);
            }
        }
        watched.progress = together(&running.progress);
        observer(Event::Sending(watched.clone()));
    }
    if let (Some(server), Some(before)) = (session.server.as_mut(), &before) {
        observer(Event::Doing("waiting until the server is at rest"));
        // A server that is gone cannot be asked: the checks will say so.
        seen.at_rest = server.rest().unwrap_or(false);
        seen.sample = server.sample().ok().map(|now| now.since(before));
    }
    seen
}

fn gather(results: Vec<Brought>, seen: Seen) -> anyhow::Result<Sent> {
    let mut sent: Option<Sent> = None;
    for brought in results {
        let Some((result, metas, finished)) = brought? else { continue };
        let (bytes, taken) = result.source.into_bytes();
        let elapsed_ns = seen.started.elapsed().as_nanos().min(u128::from(result.ended_ns.max(1))) as f64;
        let share = Share { bytes, metas, taken, answers: result.answers, unanswered: result.unanswered, finished };
        let (busy, starved) = (result.cpu_ns as f64 / elapsed_ns, result.starved_ns as f64 / elapsed_ns);
        match &mut sent {
            None => {
                sent = Some(Sent {
                    shares: vec![share],
                    meter: result.meter,
                    unsent: result.unsent,
                    ended_ns: result.ended_ns,
                    lost: result.lost,
                    cpu_ns: result.cpu_ns,
                    busy,
                    starved,
                    server: seen.sample.clone(),
                    at_rest: seen.at_rest,
                    server_cpu_us: seen.cpu_us.clone(),
                });
            }
            Some(sent) => {
                sent.shares.push(share);
                sent.meter.add(&result.meter);
                sent.unsent += result.unsent;
                sent.ended_ns = sent.ended_ns.max(result.ended_ns);
                sent.lost.extend(result.lost);
                sent.cpu_ns += result.cpu_ns;
                sent.busy = sent.busy.max(busy);
                sent.starved = sent.starved.max(starved);
            }
        }
    }
    sent.context("no sending thread began")
}
