//! What a run found, as reports tell it.

use protocol::error::ErrorCode;

use super::Plan;
use super::sending::Sent;
use crate::check::Tally;
use crate::measure::saturation::{Signs, is_for_load};
use crate::report::model::{Checks, GeneratorResult, Percentiles, RunResult, SecondResult, ServerResult, curve};
use crate::schedule::Rate;

/// Puts the figures together.
pub fn result(plan: &Plan, sent: Sent, tally: &Tally, checks: Checks) -> RunResult {
    let meter = &sent.meter;
    let window = meter.window_ns();
    // Where requests ran out, or somebody stopped it, less was measured than planned.
    let measured_s = (sent.ended_ns.min(window.end).saturating_sub(window.start)) as f64 / 1e9;
    let due = meter.sent + sent.unsent;
    let answered = meter.answered.max(1) as f64;
    let errors = meter.refused_in_all() + tally.unanswered + sent.unsent + checks.problems.count;
    let for_load = meter.refused.iter().filter(|(code, _)| ErrorCode::from_number(**code).is_some_and(is_for_load));
    let signs = Signs {
        closed: plan.rate == Rate::Max,
        requests: due,
        waited_for_room: meter.waited_for_room,
        waited_for_requests: meter.waited_for_requests,
        unsent: sent.unsent,
        refused_for_load: for_load.map(|(_, count)| count).sum(),
        lag_p99_us: meter.lag_us.value_at_quantile(0.99),
        busy: sent.busy,
        starved: sent.starved,
    };
    let seconds = meter.seconds.iter().enumerate().map(|(index, second)| SecondResult {
        sent: second.sent,
        answered: second.answered,
        refused: second.refused,
        p50_us: second.p50_us,
        p99_us: second.p99_us,
        server_cpu_us: sent.server_cpu_us.get(index).copied(),
    });
    let server = sent.server.as_ref().map(|server| ServerResult {
        cpu_us: server.cpu_us,
        cpu_us_per_answer: server.cpu_us as f64 / answered,
        cpu_us_per_payment: server.cpu_us as f64 / tally.paid.max(1) as f64,
        threads_us_per_answer: server
            .threads_us
            .iter()
            .map(|(name, cpu_us)| (name.clone(), *cpu_us as f64 / answered))
            .filter(|(_, share)| *share >= 0.005)
            .collect(),
        stages: server.stages.clone(),
        counters: server.counters.clone(),
        resident_bytes: server.resident_bytes,
        at_rest: sent.at_rest,
    });
    let refused = meter.refused.iter().map(|(code, count)| {
        let name = ErrorCode::from_number(*code).map_or_else(|| code.to_string(), |code| format!("{code:?}"));
        (name, *count)
    });
    RunResult {
        measured_s,
        sent: meter.sent,
        repeats: meter.repeats,
        answered: meter.answered,
        paid: tally.paid,
        answered_per_s: if measured_s > 0.0 { meter.answered_in_window as f64 / measured_s } else { 0.0 },
        outcomes: tally.outcomes.clone(),
        refused: refused.collect(),
        unanswered: tally.unanswered,
        error_share: errors as f64 / due.max(1) as f64,
        latency_us: Percentiles::of(&meter.latency_us),
        latency_curve: curve(&meter.latency_us),
        seconds: seconds.collect(),
        generator: GeneratorResult {
            cpu_us_per_answer: sent.cpu_ns as f64 / 1_000.0 / answered,
            busy: sent.busy,
            starved: sent.starved,
            lag_us: Percentiles::of(&meter.lag_us),
            waited_for_room: meter.waited_for_room,
            waited_for_requests: meter.waited_for_requests,
            unsent: sent.unsent,
        },
        server,
        saturation: signs.classify(),
        checks,
        lost_connections: sent.lost,
    }
}
