//! The JSON of a report. Its fields are documented in docs/load.md and described by docs/load.schema.json; a change of them
//! bumps [`SCHEMA`].

use std::collections::BTreeMap;

use crate::check::Problems;
use crate::hardware::Hardware;
use crate::measure::saturation::Saturation;
use crate::mix::Mix;
use crate::schedule::Arrivals;
use crate::server::Stage;

/// Name and version of the format.
pub const SCHEMA: &str = "quittance-load/1";

/// One report: of a run, or of a search.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// Name and version of this format.
    pub schema: String,
    /// When the report was made, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// Version of the program.
    pub version: String,
    /// Commit that the program was built from; `+` where something was changed since.
    pub commit: String,
    /// The generator's machine.
    pub hardware: Hardware,
    /// Whether the server is on the same machine.
    pub same_machine: bool,
    /// What was asked for.
    pub settings: Settings,
    /// What was found; of a search the run at the rate that was found.
    pub result: Option<RunResult>,
    /// The ladder of a search.
    pub search: Option<SearchResult>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Settings {
    /// Requests per second; none where as many as possible.
    pub rate_per_s: Option<f64>,
    /// How they were spread.
    pub arrivals: Arrivals,
    /// QUIC connections.
    pub connections: usize,
    /// Requests that each connection may have unanswered.
    pub outstanding: u32,
    /// Sending threads.
    pub threads: usize,
    /// Measured time in seconds.
    pub seconds: f64,
    /// Time before that, in seconds.
    pub warm_up_seconds: f64,
    /// Shares of requests that had to fail.
    pub mix: Mix,
    /// Share of requests that were sent twice.
    pub duplicates: f64,
    /// Seed of everything that is not secret.
    pub seed: u64,
    /// Whether requests were computed while sending.
    pub online: bool,
    /// How finely the schedule was kept, in microseconds.
    pub tick_us: u64,
    /// Instruments of the file.
    pub instruments: u64,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Percentiles {
    /// How many values.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The mean.
    pub mean: f64,
    /// Half are below.
    pub p50: u64,
    /// 90 % are below.
    pub p90: u64,
    /// 99 % are below.
    pub p99: u64,
    /// 99.9 % are below.
    pub p99_9: u64,
    /// 99.99 % are below.
    pub p99_99: u64,
    /// The greatest.
    pub max: u64,
}

/// One point of a latency curve.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct CurvePoint {
    /// Share of requests that are not slower.
    pub quantile: f64,
    /// Latency in microseconds.
    pub us: u64,
}

/// One second of a run.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SecondResult {
    /// Requests sent.
    pub sent: u64,
    /// Sealed answers.
    pub answered: u64,
    /// Answers in clear.
    pub refused: u64,
    /// Median latency of its answers, in microseconds.
    pub p50_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
    /// Processor time that the server used in it, in microseconds, where known.
    pub server_cpu_us: Option<u64>,
}

/// What the generator itself used.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct GeneratorResult {
    /// Processor time of the sending threads per answer, in microseconds.
    pub cpu_us_per_answer: f64,
    /// Share of the time that the busiest sending thread was computing.
    pub busy: f64,
    /// Share of the time that a sending thread was ready, but had no processor.
    pub starved: f64,
    /// How late the generator itself was, in microseconds: of requests that had room.
    pub lag_us: Percentiles,
    /// Requests that were due, but had to wait for room on a connection.
    pub waited_for_room: u64,
    /// Requests that were due, but had to wait until one was computed.
    pub waited_for_requests: u64,
    /// Requests that were due and never sent.
    pub unsent: u64,
}

/// What the server used, where it is on the same machine.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ServerResult {
    /// Processor time of the whole process, user and system, from before the first request until it was at rest.
    pub cpu_us: u64,
    /// The same per answer, repeats included, in microseconds.
    pub cpu_us_per_answer: f64,
    /// The same per payment that was made, in microseconds.
    pub cpu_us_per_payment: f64,
    /// Processor time per answer by kind of thread, in microseconds.
    pub threads_us_per_answer: BTreeMap<String, f64>,
    /// What each stage did, where the server tells.
    pub stages: Vec<Stage>,
    /// What the server counted.
    pub counters: BTreeMap<String, u64>,
    /// Memory in use at the end, in bytes.
    pub resident_bytes: u64,
    /// Whether it came to rest, so that background work of its database is counted in.
    pub at_rest: bool,
}

/// What was checked after the run.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Checks {
    /// Whether everything was as it must be; the exit code says so, too.
    pub passed: bool,
    /// Answers that were opened.
    pub answers_opened: u64,
    /// Proofs and denials whose signature was verified.
    pub proofs_verified: u64,
    /// Repeats that were answered as the first time.
    pub repeats_identical: u64,
    /// Whether the sums of the server's books were compared with the answers.
    pub books_compared: bool,
    /// Accounts whose balance was looked up and compared.
    pub accounts_compared: u64,
    /// Whether the server's own audit was run.
    pub audited: bool,
    /// What was wrong.
    pub problems: Problems,
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct RunResult {
    /// Measured time, in seconds.
    pub measured_s: f64,
    /// Requests sent in all, repeats and warm-up included.
    pub sent: u64,
    /// Of these, repeats.
    pub repeats: u64,
    /// Sealed answers in all.
    pub answered: u64,
    /// Payments made in all.
    pub paid: u64,
    /// Sealed answers per second of the measured time.
    pub answered_per_s: f64,
    /// Requests by the reason of their outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Answers in clear by their code.
    pub refused: BTreeMap<String, u64>,
    /// Requests that were not answered.
    pub unanswered: u64,
    /// Share of all due requests that were refused, unanswered, wrong or never sent.
    pub error_share: f64,
    /// Why connections were lost.
    pub lost_connections: Vec<String>,
    /// Latency from the scheduled time, in microseconds.
    pub latency_us: Percentiles,
    /// The same as a curve.
    pub latency_curve: Vec<CurvePoint>,
    /// Second by second, warm-up included.
    pub seconds: Vec<SecondResult>,
    /// The generator's own figures.
    pub generator: GeneratorResult,
    /// The server's figures.
    pub server: Option<ServerResult>,
    /// Whose limit was reached.
    pub saturation: Saturation,
    /// What was checked.
    pub checks: Checks,
}

/// One rung of a search.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Rung {
    /// Requests per second that were due.
    pub rate_per_s: f64,
    /// Sealed answers per second.
    pub answered_per_s: f64,
    /// Median latency in microseconds.
    pub p50_us: u64,
    /// 99th percentile in microseconds.
    pub p99_us: u64,
    /// 99.9th percentile in microseconds.
    pub p99_9_us: u64,
    /// Share of errors.
    pub error_share: f64,
    /// Processor time of the server per answer, in microseconds, where known.
    pub server_cpu_us_per_answer: Option<f64>,
    /// Whose limit was reached.
    pub saturation: Saturation,
    /// Whether it kept what was asked for.
    pub kept: bool,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SearchResult {
    /// Longest 99th percentile that was allowed, in microseconds.
    pub p99_us_max: u64,
    /// Greatest share of errors that was allowed.
    pub error_share_max: f64,
    /// The highest rate that kept both; none where not even the lowest did.
    pub rate_per_s: Option<f64>,
    /// Why the search ended, where it was not because the answer is precise enough.
    pub ended_early: Option<String>,
    /// All rates that were tried, in order.
    pub ladder: Vec<Rung>,
}

impl Percentiles {
    /// Of a histogram.
    pub fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            min: histogram.min(),
            mean: histogram.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max(),
        }
    }
}

/// The curve of a histogram: each point halves the share of requests that are slower.
pub fn curve(histogram: &hdrhistogram::Histogram<u64>) -> Vec<CurvePoint> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let halvings = (histogram.len() as f64).log2().ceil().clamp(1.0, 30.0) as u32;
    (0..=halvings * 4)
        .map(|step| {
            let quantile = 1.0 - 0.5f64.powf(f64::from(step) / 4.0);
            CurvePoint { quantile, us: histogram.value_at_quantile(quantile) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_in_the_documentation_is_that_of_the_report() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Report)).unwrap() + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/load.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        let documented = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            documented == schema,
            "the fields of the report changed: UPDATE_SCHEMA=1 writes {path}, and SCHEMA is to be bumped"
        );
    }

    #[test]
    fn curves_rise_to_the_slowest() {
        let mut histogram = hdrhistogram::Histogram::new(3).unwrap();
        (1..=1_000u64).for_each(|value| histogram.record(value).unwrap());
        let curve = curve(&histogram);
        assert!(curve.windows(2).all(|pair| pair[0].us <= pair[1].us && pair[0].quantile < pair[1].quantile));
        let median = curve.iter().find(|point| point.quantile == 0.5).unwrap();
        assert!((499..=501).contains(&median.us) && curve.last().unwrap().us >= 999);
    }
}
