//! `loadgen compare`: two runs side by side.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::model::{Report, RunResult, SCHEMA, Settings};

/// Reads a report.
///
/// # Errors
/// Where it is none, or of another version.
pub fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let schema = value["schema"].as_str().unwrap_or("none");
    ensure!(
        schema == SCHEMA,
        "{} has the schema {schema}, this program reads {SCHEMA}: make the report anew",
        path.display()
    );
    serde_json::from_value(value).with_context(|| format!("{} is no report of `loadgen run --json`", path.display()))
}

/// What makes two runs hard to compare.
fn warnings(before: &Report, after: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    if before.hardware != after.hardware {
        let (was, is) = (&before.hardware, &after.hardware);
        warnings.push(format!(
            "the machines differ: {} x {} with {} and {} x {} with {}",
            was.processors, was.processor, was.kernel, is.processors, is.processor, is.kernel
        ));
    }
    if before.commit != after.commit {
        warnings.push(format!("the commits differ: {} and {}", before.commit, after.commit));
    }
    let differing = differing(&before.settings, &after.settings);
    if !differing.is_empty() {
        warnings.push(format!("not asked for alike: {}", differing.join(", ")));
    }
    for (name, report) in [("before", before), ("after", after)] {
        if let Some(result) = &report.result
            && !result.checks.passed
        {
            warnings.push(format!("the checks of the run {name} FAILED"));
        }
    }
    warnings
}

/// The settings that are not alike, with both values.
fn differing(before: &Settings, after: &Settings) -> Vec<String> {
    let fields = |settings: &Settings| match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let after = fields(after);
    let of_both = fields(before).into_iter().filter_map(|(name, was)| {
        let is = after.get(&name)?;
        (*is != was).then(|| format!("{name} {was} and {is}"))
    });
    of_both.collect()
}

type Row = (String, Option<f64>, Option<f64>);

fn rows(before: &RunResult, after: &RunResult) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |name: &str, figure: &dyn Fn(&RunResult) -> Option<f64>| {
        rows.push((name.to_owned(), figure(before), figure(after)));
    };
    row("answered per second", &|result| Some(result.answered_per_s));
    row("latency p50, us", &|result| Some(result.latency_us.p50 as f64));
    row("latency p90, us", &|result| Some(result.latency_us.p90 as f64));
    row("latency p99, us", &|result| Some(result.latency_us.p99 as f64));
    row("latency p99.9, us", &|result| Some(result.latency_us.p99_9 as f64));
    row("latency max, us", &|result| Some(result.latency_us.max as f64));
    row("errors, %", &|result| Some(result.error_share * 100.0));
    row("generator, us per answer", &|result| Some(result.generator.cpu_us_per_answer));
    row("server, us per answer", &|result| result.server.as_ref().map(|server| server.cpu_us_per_answer));
    row("server, us per payment", &|result| result.server.as_ref().map(|server| server.cpu_us_per_payment));
    let threads = |result: &RunResult| -> Vec<String> {
        result.server.iter().flat_map(|server| server.threads_us_per_answer.keys().cloned()).collect()
    };
    for name in threads(before).into_iter().chain(threads(after)).collect::<BTreeSet<_>>() {
        row(&format!("  thread {name}, us"), &|result| {
            result.server.as_ref().and_then(|server| server.threads_us_per_answer.get(&name).copied())
        });
    }
    let stages = |result: &RunResult| -> Vec<String> {
        result.server.iter().flat_map(|server| server.stages.iter().map(|stage| stage.name.clone())).collect()
    };
    let mut told = BTreeSet::new();
    for name in stages(before).into_iter().chain(stages(after)).filter(|name| told.insert(name.clone())) {
        row(&format!("  stage {name}, us"), &|result| {
            let stage = result.server.as_ref()?.stages.iter().find(|stage| stage.name == name)?;
            Some(stage.cpu_us as f64 / result.answered.max(1) as f64)
        });
    }
    row("server memory, MiB", &|result| result.server.as_ref().map(|server| (server.resident_bytes >> 20) as f64));
    rows
}

/// Compares two reports.
///
/// # Errors
/// Where one of them holds no run.
pub fn compare(before: &Report, after: &Report) -> anyhow::Result<String> {
    let (Some(was), Some(is)) = (&before.result, &after.result) else {
        bail!("a report without a run cannot be compared: its search found no rate");
    };
    let mut text = String::new();
    for warning in warnings(before, after) {
        let _ = writeln!(text, "attention: {warning}");
    }
    let _ = writeln!(text, "{:<28}{:>14}{:>14}{:>10}", "", "before", "after", "change");
    for (name, was, is) in rows(was, is) {
        let number = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), figured);
        let change = match (was, is) {
            (Some(was), Some(is)) if was != 0.0 => format!("{:+.1} %", (is / was - 1.0) * 100.0),
            (Some(_), Some(0.0)) => "+0.0 %".to_owned(),
            _ => "-".to_owned(),
        };
        let _ = writeln!(text, "{name:<28}{:>14}{:>14}{change:>10}", number(was), number(is));
    }
    Ok(text)
}

/// A figure with as many digits as are worth reading.
fn figured(figure: f64) -> String {
    if figure.abs() < 100.0 { format!("{figure:.2}") } else { super::text::grouped(figure.round() as u64) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hardware::Hardware;
    use crate::measure::saturation::Saturation;
    use crate::mix::Mix;
    use crate::report::model::{Checks, CurvePoint, GeneratorResult, Percentiles, SecondResult, ServerResult};
    use crate::schedule::Arrivals;
    use crate::server::Stage;

    /// A report with a figure everywhere.
    pub(crate) fn example(rate: f64) -> Report {
        let result = RunResult {
            measured_s: 20.0,
            sent: 210_000,
            repeats: 2_000,
            answered: 210_000,
            paid: 200_000,
            answered_per_s: rate,
            outcomes: BTreeMap::from([("Paid".to_owned(), 200_000)]),
            refused: BTreeMap::new(),
            unanswered: 0,
            error_share: 0.0,
            lost_connections: Vec::new(),
            latency_us: Percentiles {
                count: 200_000,
                min: 90,
                mean: 300.0,
                p50: 250,
                p90: 500,
                p99: 1_500,
                p99_9: 4_000,
                p99_99: 8_000,
                max: 9_000,
            },
            latency_curve: (0..40)
                .map(|step| CurvePoint {
                    quantile: 1.0 - 0.5f64.powf(f64::from(step) / 4.0),
                    us: 250 + step as u64 * 200,
                })
                .collect(),
            seconds: (0..22)
                .map(|second| SecondResult {
                    sent: 10_000 + second,
                    answered: 10_000,
                    p50_us: 250,
                    p99_us: 1_500,
                    ..SecondResult::default()
                })
                .collect(),
            generator: GeneratorResult { cpu_us_per_answer: 2.5, busy: 0.03, ..GeneratorResult::default() },
            server: Some(ServerResult {
                cpu_us_per_answer: 40.0,
                cpu_us_per_payment: 42.0,
                threads_us_per_answer: BTreeMap::from([
                    ("tps-worker".to_owned(), 30.0),
                    ("tps-commit".to_owned(), 4.0),
                ]),
                stages: vec![Stage { name: "open".to_owned(), items: 210_000, batches: 2_100, cpu_us: 2_000_000 }],
                ..ServerResult::default()
            }),
            saturation: Saturation::None,
            checks: Checks { passed: true, ..Checks::default() },
        };
        Report {
            schema: SCHEMA.to_owned(),
            made_at_ms: 1_700_000_000_000,
            version: "0.1.0".to_owned(),
            commit: "abc".to_owned(),
            hardware: Hardware { processor: "<Example & Sons>".to_owned(), processors: 2, ..Hardware::default() },
            same_machine: true,
            settings: Settings {
                rate_per_s: Some(rate),
                arrivals: Arrivals::Poisson,
                connections: 16,
                outstanding: 16,
                threads: 1,
                seconds: 20.0,
                warm_up_seconds: 2.0,
                mix: Mix::default(),
                duplicates: 0.01,
                seed: 1,
                online: false,
                tick_us: 100,
                instruments: 1_000,
            },
            result: Some(result),
            search: None,
        }
    }

    #[test]
    fn differences_are_told_in_percent_and_other_circumstances_are_warned_of() {
        let before = example(10_000.0);
        let same = compare(&before, &before).unwrap();
        assert!(!same.contains("attention") && same.contains("+0.0 %") && same.contains("thread tps-worker"));
        let mut after = example(12_500.0);
        after.commit = "def".to_owned();
        after.hardware.processors = 4;
        let result = after.result.as_mut().unwrap();
        result.latency_us.p99 = 750;
        result.server.as_mut().unwrap().stages.clear();
        let text = compare(&before, &after).unwrap();
        assert!(text.contains("+25.0 %") && text.contains("-50.0 %") && text.contains("stage open"));
        assert!(
            text.contains("the commits differ")
                && text.contains("the machines differ")
                && text.contains("not asked for alike: rate_per_s")
        );
        after.result = None;
        assert!(compare(&before, &after).is_err());
    }

    #[test]
    fn reports_are_read_back_and_other_versions_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.json");
        let report = example(1.0);
        std::fs::write(&path, serde_json::to_vec(&report).unwrap()).unwrap();
        let again = read(&path).unwrap();
        assert_eq!((again.settings, again.hardware), (report.settings, report.hardware));
        assert_eq!(again.result.unwrap().seconds, report.result.unwrap().seconds);
        std::fs::write(&path, r#"{"schema":"quittance-load/0"}"#).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("quittance-load/0"));
        std::fs::write(&path, "x").unwrap();
        assert!(read(&path).is_err());
    }
}
