//! The highest rate that keeps latency and errors within bounds.

use anyhow::bail;

use crate::report::model::{RunResult, Rung, SearchResult};
use crate::run::{Observer, Plan, Session, wants_preparation};
use crate::schedule::Rate;

/// What has to be kept, and where to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// Longest 99th percentile of the latency, in microseconds.
    pub p99_us_max: u64,
    /// Greatest share of errors.
    pub error_share_max: f64,
    /// The first rate.
    pub from: f64,
    /// The highest rate.
    pub to: f64,
    /// How close the answer must be, as a share of it.
    pub precision: f64,
}

/// Where a search is: the highest rate that was kept, and the lowest that was not.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    kept: Option<f64>,
    broken: Option<f64>,
}

impl Bounds {
    /// Learns how a rate went.
    pub fn learn(&mut self, rate: f64, kept: bool) {
        if kept {
            self.kept = Some(self.kept.map_or(rate, |before| before.max(rate)));
        } else {
            self.broken = Some(self.broken.map_or(rate, |before| before.min(rate)));
        }
    }

    /// The rate to try next; `None` where the answer is known.
    pub fn next(&self, goal: &Goal) -> Option<f64> {
        match (self.kept, self.broken) {
            (None, None) => Some(goal.from),
            (Some(kept), None) if kept >= goal.to => None,
            (Some(kept), None) => Some((kept * 2.0).min(goal.to)),
            // Below the first rate, down to a sixteenth of it.
            (None, Some(broken)) if broken <= goal.from / 16.0 => None,
            (None, Some(broken)) => Some(broken / 2.0),
            (Some(kept), Some(broken)) if broken - kept <= kept * goal.precision => None,
            (Some(kept), Some(broken)) => Some((kept + broken) / 2.0),
        }
    }
}

/// What a search brings back.
pub struct Found {
    /// The ladder.
    pub search: SearchResult,
    /// The run at the rate that was found.
    pub best: Option<RunResult>,
    /// Whether every check of every rung passed.
    pub checks_passed: bool,
}

/// Searches.
///
/// # Errors
/// Whatever prevents a run, but for requests that are used up: then what is known so far is told.
pub fn search(session: &mut Session, plan: &Plan, goal: &Goal, observer: Observer<'_>) -> anyhow::Result<Found> {
    let mut bounds = Bounds::default();
    let (mut ladder, mut best, mut ended_early, mut checks_passed) = (Vec::new(), None, None, true);
    while let Some(rate) = bounds.next(goal) {
        let rung_plan = Plan { rate: Rate::PerSecond(rate), seed: plan.seed + ladder.len() as u64, ..plan.clone() };
        let result = match session.run(&rung_plan, observer) {
            Ok(result) => result,
            Err(error) if wants_preparation(&error) && !ladder.is_empty() => {
                ended_early = Some(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        };
        let rung = rung(rate, &result, goal);
        checks_passed &= result.checks.passed;
        bounds.learn(rate, rung.kept);
        ladder.push(rung);
        if rung.kept {
            best = Some(result);
        } else if !result.checks.passed {
            // Whatever the rate: a server that answers wrongly is not to be measured further.
            ended_early =
                Some(format!("the checks failed at {rate:.0} per second: {}", result.checks.problems.told.join("; ")));
            break;
        }
        if session.stop.load(std::sync::atomic::Ordering::Relaxed) {
            ended_early = Some("it was stopped".to_owned());
            break;
        }
    }
    if ladder.is_empty() {
        bail!("no rate was tried");
    }
    let search = SearchResult {
        p99_us_max: goal.p99_us_max,
        error_share_max: goal.error_share_max,
        rate_per_s: bounds.kept,
        ended_early,
        ladder,
    };
    Ok(Found { search, best, checks_passed })
}

fn rung(rate_per_s: f64, result: &RunResult, goal: &Goal) -> Rung {
    let latency = &result.latency_us;
    // The figures of a generator that was late are worse than the server: they cannot make a rate look kept.
    let kept = latency.p99 <= goal.p99_us_max && result.error_share <= goal.error_share_max && result.checks.passed;
    Rung {
        rate_per_s,
        answered_per_s: result.answered_per_s,
        p50_us: latency.p50,
        p99_us: latency.p99,
        p99_9_us: latency.p99_9,
        error_share: result.error_share,
        server_cpu_us_per_answer: result.server.as_ref().map(|server| server.cpu_us_per_answer),
        saturation: result.saturation,
        kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal() -> Goal {
        Goal { p99_us_max: 1, error_share_max: 0.0, from: 1_000.0, to: 1_000_000.0, precision: 0.03 }
    }

    /// What a search finds against a server that keeps every rate up to `limit`, and after how many rungs.
    fn found(limit: f64) -> (Option<f64>, usize) {
        let mut bounds = Bounds::default();
        let mut rungs = 0;
        while let Some(rate) = bounds.next(&goal()) {
            bounds.learn(rate, rate <= limit);
            rungs += 1;
            assert!(rungs < 60, "the search ends");
        }
        (bounds.kept, rungs)
    }

    #[test]
    fn the_highest_rate_is_found_within_the_precision() {
        for limit in [130.0, 1_000.0, 43_210.0, 999_999.0] {
            let (rate, rungs) = found(limit);
            let rate = rate.unwrap();
            assert!(rate <= limit && rate >= limit * 0.96, "{rate} of {limit}");
            assert!(rungs <= 22, "{rungs}");
        }
        assert_eq!(found(f64::INFINITY).0, Some(1_000_000.0));
        assert_eq!(found(1.0).0, None);
    }
}
