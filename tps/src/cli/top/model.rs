//! What two looks at a server's counters say about the time between them.

use std::collections::BTreeMap;

use crate::admin::views::{CountersView, QueueView, StageView};
use crate::counters::Distribution;

/// One stage of the data path.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(super) struct StageRow {
    /// Its name.
    pub(super) name: String,
    /// Requests per second.
    pub(super) per_second: f64,
    /// Requests each time that it ran; `None` where none came, or where the stage counts turns and not batches.
    pub(super) batch: Option<f64>,
    /// Processors that it kept busy.
    pub(super) processors: f64,
}

/// Quantiles of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) mean: f64,
}

/// Everything that is shown.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub(super) struct Picture {
    /// The time that the rates are of.
    pub(super) interval_ms: u64,
    /// Milliseconds since the server's start.
    pub(super) uptime_ms: u64,
    /// Whether requests are taken: `open`, `draining`, `disk-low`, `no-proof-key`.
    pub(super) intake: String,
    /// Number of the last commit.
    pub(super) last_commit: u64,
    /// Customers' connections.
    pub(super) connections: u64,
    /// Processors that the whole process kept busy.
    pub(super) processors: f64,
    /// Requests taken in, per second.
    pub(super) received: f64,
    /// Answers with an outcome, per second.
    pub(super) answered: f64,
    /// Typed errors, per second.
    pub(super) refused: f64,
    /// Commits, per second.
    pub(super) commits: f64,
    /// The stages in their order.
    pub(super) stages: Vec<StageRow>,
    /// The queues between them.
    pub(super) queues: Vec<QueueView>,
    /// Histograms by name, where something was counted.
    pub(super) quantiles: BTreeMap<String, Quantiles>,
    /// What was answered how often, per second and since the start; only what ever was.
    pub(super) answers: BTreeMap<String, (f64, u64)>,
    /// What needs the operator's attention.
    pub(super) warnings: Vec<String>,
    /// Why there is no newer picture.
    pub(super) silent: Option<String>,
}

/// Counters of which there is one per answer.
fn is_answer(name: &str) -> bool {
    name == "paid" || name == "repeated" || name.starts_with("denied ") || name.starts_with("refused ")
}

impl Picture {
    /// What happened between two looks at one server. A server that started anew in between began at zero.
    pub(super) fn between(before: &CountersView, now: &CountersView) -> Self {
        // Another process has used less than the one before; one that only took its keys anew goes on counting.
        let cpu_us = now.cpu_us.checked_sub(before.cpu_us).unwrap_or(now.cpu_us);
        let nothing = CountersView::default();
        let before = if now.uptime_ms < before.uptime_ms { &nothing } else { before };
        let interval_ms = now.uptime_ms - before.uptime_ms;
        let rate = |then: u64, now: u64| {
            if interval_ms == 0 { 0.0 } else { now.saturating_sub(then) as f64 * 1e3 / interval_ms as f64 }
        };
        let rates: BTreeMap<&str, (f64, u64)> = now
            .counters
            .iter()
            .map(|(name, count)| {
                (name.as_str(), (rate(before.counters.get(name).copied().unwrap_or(0), *count), *count))
            })
            .collect();
        let sum = |wanted: &dyn Fn(&str) -> bool| -> f64 {
            rates.iter().filter(|(name, _)| wanted(name)).map(|(_, (rate, _))| *rate).sum()
        };
        let stages = now.stages.iter().map(|stage| {
            let then = before.stages.iter().find(|then| then.name == stage.name);
            row(then, stage, &rate)
        });
        let quantiles = now.histograms.iter().filter_map(|histogram| {
            let then = before.histograms.iter().find(|then| then.name == histogram.name);
            let distribution = then.map_or_else(
                || histogram.distribution.clone(),
                |then| histogram.distribution.since(&then.distribution),
            );
            Some((histogram.name.clone(), quantiles(&distribution)?))
        });
        Self {
            interval_ms,
            uptime_ms: now.uptime_ms,
            intake: now.intake.clone(),
            last_commit: now.last_commit,
            connections: now.connections,
            processors: rate(0, cpu_us) / 1e6,
            received: sum(&|name| name == "received"),
            answered: sum(&|name| is_answer(name) && !name.starts_with("refused ")),
            refused: sum(&|name| name.starts_with("refused ")),
            commits: sum(&|name| name == "commits"),
            stages: stages.collect(),
            queues: now.queues.clone(),
            quantiles: quantiles.collect(),
            answers: rates
                .iter()
                .filter(|(name, (_, count))| is_answer(name) && *count > 0)
                .map(|(name, answer)| ((*name).to_owned(), *answer))
                .collect(),
            warnings: now.warnings.iter().map(|warning| warning.message.clone()).collect(),
            silent: None,
        }
    }

    /// The same picture, of a server that does not answer now.
    pub(super) fn without_answer(self, why: String) -> Self {
        Self { silent: Some(why), ..self }
    }
}

fn row(then: Option<&StageView>, now: &StageView, rate: &impl Fn(u64, u64) -> f64) -> StageRow {
    let (items, batches, cpu_us) = then.map_or((0, 0, 0), |then| (then.items, then.batches, then.cpu_us));
    let (per_second, runs) = (rate(items, now.items), rate(batches, now.batches));
    // The network's thread counts its turns.
    let batch = (now.name != "receive" && runs > 0.0 && per_second > 0.0).then(|| per_second / runs);
    StageRow { name: now.name.clone(), per_second, batch, processors: rate(cpu_us, now.cpu_us) / 1e6 }
}

fn quantiles(distribution: &Distribution) -> Option<Quantiles> {
    let at = |share| distribution.quantile(share);
    Some(Quantiles { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)?, mean: distribution.mean()? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::views::{HistogramView, StatusWarning};

    /// A server after so many seconds at a thousand payments per second.
    pub(in crate::cli::top) fn seen(seconds: u64) -> CountersView {
        let counters =
            [("received", 1_010), ("paid", 990), ("denied InsufficientFunds", 10), ("refused Overloaded", 10)]
                .map(|(name, rate)| (name.to_owned(), rate * seconds));
        let stage = |name: &str, batches| StageView {
            name: name.to_owned(),
            items: 1_000 * seconds,
            batches: batches * seconds,
            cpu_us: 250_000 * seconds,
        };
        let durable =
            Distribution { bounds: vec![1_000, 2_000], counts: vec![0, 1_000 * seconds, 0], sum: 1_500_000 * seconds };
        let sizes =
            Distribution { bounds: vec![1, 2], counts: vec![500 * seconds, 500 * seconds, 0], sum: 1_500 * seconds };
        CountersView {
            uptime_ms: 1_000 * seconds,
            last_commit: 50 * seconds,
            counters: counters.into_iter().chain([("commits".to_owned(), 50 * seconds)]).collect(),
            cpu_us: 1_500_000 * seconds,
            stages: vec![stage("receive", 800), stage("open", 20), stage("commit", 50)],
            intake: "open".to_owned(),
            connections: 7,
            queues: vec![QueueView { name: "workers".to_owned(), length: 3, capacity: 16_384 }],
            histograms: vec![
                HistogramView { name: "durable_us".to_owned(), distribution: durable },
                HistogramView { name: "batch_requests".to_owned(), distribution: sizes },
            ],
            warnings: vec![StatusWarning { message: "the last proof key ends soon".to_owned() }],
        }
    }

    #[test]
    fn two_looks_make_rates() {
        let picture = Picture::between(&seen(10), &seen(12));
        assert_eq!((picture.interval_ms, picture.uptime_ms), (2_000, 12_000));
        assert_eq!(
            (picture.received, picture.answered, picture.refused, picture.commits),
            (1_010.0, 1_000.0, 10.0, 50.0)
        );
        assert_eq!(picture.processors, 1.5);
        let open = StageRow { name: "open".to_owned(), per_second: 1_000.0, batch: Some(50.0), processors: 0.25 };
        assert_eq!(picture.stages[1], open);
        assert_eq!(picture.stages[0].batch, None, "turns of the network's thread are no batches");
        assert_eq!(
            picture.quantiles["durable_us"],
            Quantiles { p50: 1_500.0, p90: 1_900.0, p99: 1_990.0, mean: 1_500.0 }
        );
        assert_eq!(picture.answers["denied InsufficientFunds"], (10.0, 120));
        assert!(!picture.answers.contains_key("commits"));
    }

    #[test]
    fn a_server_that_started_anew_began_at_zero() {
        let picture = Picture::between(&seen(1_000), &seen(4));
        assert_eq!((picture.interval_ms, picture.received), (4_000, 1_010.0));
        let reloaded = CountersView { cpu_us: seen(1_000).cpu_us + 3_000_000, ..seen(4) };
        let picture = Picture::between(&seen(1_000), &reloaded);
        assert_eq!((picture.received, picture.processors), (1_010.0, 0.75), "the same process, with counters anew");
        let same = Picture::between(&seen(4), &seen(4));
        assert_eq!((same.interval_ms, same.received, same.quantiles.len()), (0, 0.0, 0));
        assert_eq!(same.clone().without_answer("gone".to_owned()).silent.as_deref(), Some("gone"));
    }
}
