//! One sending thread: its connections, its clock, its share of the traffic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tokio::task::JoinSet;

use super::answers::Answers;
use super::connect::{Connected, connect};
use super::lane::{LaneTask, Shared};
use super::source::Source;
use super::timer::Timer;
use super::traffic::Traffic;
use crate::measure::Meter;

/// How often what was measured so far is told to whoever watches.
const LIVE_INTERVAL_NS: u64 = 250_000_000;
/// How often to look for answers once nothing is sent any more.
const WAITING_NS: u64 = 1_000_000;

/// How far a sending thread is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Since the start, in nanoseconds.
    pub elapsed_ns: u64,
    /// Requests sent.
    pub sent: u64,
    /// Sealed answers.
    pub answered: u64,
    /// Answers in clear.
    pub refused: u64,
    /// Sent and not answered.
    pub unanswered: u64,
    /// Latency percentiles since the end of the warm-up, in microseconds: 50, 99, 99.9.
    pub latency_us: [u64; 3],
}

/// Shared with whoever watches.
pub type SharedProgress = Arc<Mutex<Progress>>;

/// What a thread needs.
pub struct ThreadPlan {
    /// `host:port` of the TPS.
    pub address: String,
    /// Its certificate.
    pub certificate: Vec<u8>,
    /// Connections of this thread.
    pub connections: usize,
    /// When to end sending, since the start.
    pub end_ns: u64,
    /// How long to wait for answers after that.
    pub patience_ns: u64,
    /// How finely the schedule is kept.
    pub tick_ns: u64,
    /// How long to sleep where the next request waits for something else than its time.
    pub idle_ns: u64,
    /// Makes an end before that.
    pub stop: Arc<AtomicBool>,
    /// Where to tell how it goes.
    pub progress: SharedProgress,
}

/// What a thread found.
pub struct ThreadResult {
    /// The requests, and how many of the prepared ones were taken.
    pub source: Source,
    /// What was measured.
    pub meter: Meter,
    /// What came back and was not passed on.
    pub answers: Answers,
    /// Places of the requests that were not answered.
    pub unanswered: Vec<u32>,
    /// Requests that were due and never sent.
    pub unsent: u64,
    /// When sending ended, since the start.
    pub ended_ns: u64,
    /// Why connections were lost.
    pub lost: Vec<String>,
    /// Processor time of this thread while sending and waiting, in nanoseconds.
    pub cpu_ns: u64,
    /// Time that this thread was ready, but had no processor, in nanoseconds.
    pub starved_ns: u64,
}

/// Runs the thread: connects, says so through `connected`, and begins at the moment that comes out of `start`.
///
/// # Errors
/// Where the connections cannot be made.
pub fn run(
    plan: &ThreadPlan,
    traffic: Traffic,
    connected: &Sender<anyhow::Result<()>>,
    start: &Receiver<Instant>,
) -> anyhow::Result<Option<ThreadResult>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (endpoint, connections) = match connect(&plan.address, &plan.certificate, plan.connections).await {
            Ok(connected) => connected,
            Err(error) => {
                // Nobody listens any more where another thread failed first.
                let _ = connected.send(Err(error));
                return Ok(None);
            }
        };
        let _ = connected.send(Ok(()));
        // Blocking is right here: nothing else has to run in this thread until the start.
        let Ok(started) = start.recv() else { return Ok(None) };
        let result = drive(plan, traffic, connections, started).await?;
        endpoint.close(0u8.into(), b"");
        let _late = tokio::time::timeout(Duration::from_millis(500), endpoint.wait_idle()).await;
        Ok(Some(result))
    })
}

async fn drive(
    plan: &ThreadPlan,
    traffic: Traffic,
    connections: Vec<Connected>,
    started: Instant,
) -> anyhow::Result<ThreadResult> {
    let (cpu_before, starved_before) = (thread_cpu_ns(), thread_starved_ns());
    let shared = Shared::new(traffic, started);
    let timer = Timer::new()?;
    let mut lanes = JoinSet::new();
    let mut open = Vec::with_capacity(connections.len());
    for (index, Connected { connection, send, receive }) in (0u32..).zip(connections) {
        open.push(connection);
        lanes.spawn(LaneTask::new(index, Arc::clone(&shared), send, receive).run());
    }
    pace(plan, &shared, &timer).await?;
    let ended_ns = shared.now_ns();
    let stop = |traffic: &mut Traffic| {
        let unsent = traffic.stop(ended_ns.min(plan.end_ns));
        traffic.wake(None);
        unsent
    };
    let unsent = shared.with(stop).unwrap_or(0);
    wait_for_answers(plan, &shared, &timer, ended_ns).await?;

    let (cpu_ns, starved_ns) = (thread_cpu_ns() - cpu_before, thread_starved_ns().saturating_sub(starved_before));
    shared.with(Traffic::wake_all);
    let traffic = shared.take().expect("taken once");
    let unanswered = traffic.unanswered_places();
    let mut lost = Vec::new();
    while let Some(ended) = lanes.join_next().await {
        lost.extend(ended?);
    }
    let (source, meter, answers) = traffic.into_parts();
    Ok(ThreadResult { source, meter, answers, unanswered, unsent, ended_ns, lost, cpu_ns, starved_ns })
}

/// Offers what is due, until the end.
async fn pace(plan: &ThreadPlan, shared: &Shared, timer: &Timer) -> anyhow::Result<()> {
    let mut told_ns = 0;
    loop {
        let now_ns = shared.now_ns();
        if now_ns >= plan.end_ns || plan.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let next = shared.with(|traffic| {
            traffic.offer(now_ns);
            traffic.wake(None);
            traffic.forward();
            let over = traffic.is_exhausted() || !traffic.is_alive();
            (!over).then(|| traffic.next_due_ns())
        });
        let Some(Some(next_due_ns)) = next else { return Ok(()) };
        if now_ns - told_ns >= LIVE_INTERVAL_NS {
            told_ns = now_ns;
            shared.with(|traffic| tell(&plan.progress, traffic, now_ns));
        }
        let wait_ns = match next_due_ns {
            Some(due_ns) if due_ns > now_ns => (due_ns - now_ns).max(plan.tick_ns),
            _ => plan.idle_ns,
        };
        timer.wait(Duration::from_nanos(wait_ns.min(plan.end_ns - now_ns))).await?;
    }
}

async fn wait_for_answers(plan: &ThreadPlan, shared: &Shared, timer: &Timer, ended_ns: u64) -> anyhow::Result<()> {
    loop {
        let waiting = shared.with(|traffic| {
            traffic.forward();
            traffic.unanswered() > 0 && traffic.is_alive()
        });
        if waiting != Some(true) || shared.now_ns() > ended_ns + plan.patience_ns {
            let now_ns = shared.now_ns();
            shared.with(|traffic| tell(&plan.progress, traffic, now_ns));
            return Ok(());
        }
        timer.wait(Duration::from_nanos(WAITING_NS)).await?;
    }
}

fn tell(progress: &SharedProgress, traffic: &Traffic, now_ns: u64) {
    let meter = &traffic.meter;
    *progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress {
        elapsed_ns: now_ns,
        sent: meter.sent,
        answered: meter.answered,
        refused: meter.refused_in_all(),
        unanswered: traffic.unanswered(),
        latency_us: [0.5, 0.99, 0.999].map(|quantile| meter.latency_us.value_at_quantile(quantile)),
    };
}

/// Processor time of this thread.
fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How long this thread has been waiting for a processor.
fn thread_starved_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0)
}
