//! One page without anything from elsewhere: it can be mailed, and still be read in ten years.

use anyhow::Context;
use minijinja::Environment;
use minijinja::value::Serde;

use super::charts::{Bar, Label, Line, bars, lines, spans_decades};
use super::model::{Report, RunResult, SearchResult};
use super::text::{duration, grouped};

const TEMPLATE: &str = include_str!("page.html");

/// One chart of a page.
#[derive(serde::Serialize)]
struct Chart {
    title: String,
    note: String,
    svg: String,
}

/// One figure of a page.
#[derive(serde::Serialize)]
struct Fact {
    name: String,
    value: String,
}

/// One run of a page.
#[derive(serde::Serialize)]
struct Section {
    title: String,
    headline: Vec<Fact>,
    limit: String,
    passed: bool,
    checks: String,
    problems: Vec<String>,
    charts: Vec<Chart>,
    facts: Vec<Fact>,
}

/// Everything that the template is given.
#[derive(serde::Serialize)]
struct Content {
    sections: Vec<Section>,
    machine: Vec<Fact>,
    found: Option<String>,
    load: Option<Chart>,
}

fn fact(name: &str, value: impl ToString) -> Fact {
    Fact { name: name.to_owned(), value: value.to_string() }
}

fn microseconds(us: f64) -> String {
    duration(us.max(0.0) as u64)
}

fn whole(number: f64) -> String {
    grouped(number.max(0.0).round() as u64)
}

/// Where a quantile is on an axis on which each nine takes the same room.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

fn quantile_label(nines: f64) -> String {
    match nines {
        nines if nines < 0.05 => "0 %".to_owned(),
        nines if nines < 0.995 => format!("{:.0} %", (1.0 - 10f64.powf(-nines)) * 100.0),
        nines => {
            format!("{:.*} %", ((nines - 1e-6).ceil() as usize).saturating_sub(2), (1.0 - 10f64.powf(-nines)) * 100.0)
        }
    }
}

fn chart(title: &str, note: &str, svg: String) -> Option<Chart> {
    (!svg.is_empty()).then(|| Chart { title: title.to_owned(), note: note.to_owned(), svg })
}

/// A chart of latencies, on a logarithmic axis where a linear one would hide the small ones.
fn latency_chart(title: &str, note: &str, of: &[Line], x: (&str, Label)) -> anyhow::Result<Option<Chart>> {
    let logarithmic = spans_decades(of);
    let svg = lines(of, x, ("latency", microseconds), logarithmic)?;
    let note = if logarithmic { format!("{note} The latency axis is logarithmic.") } else { note.to_owned() };
    Ok(chart(title, &note, svg))
}

fn run_charts(result: &RunResult, warm_up_s: f64) -> anyhow::Result<Vec<Chart>> {
    let mut charts = Vec::new();
    let curve = result.latency_curve.iter().map(|point| (nines(point.quantile), point.us as f64));
    let latency = Line { name: "latency".to_owned(), points: curve.collect() };
    let axis = ("share of requests", quantile_label as Label);
    charts.extend(latency_chart("Latency by percentile", "Each nine takes the same room.", &[latency], axis)?);
    // In what comes after, nothing is sent any more.
    let whole_seconds = ((warm_up_s + result.measured_s + 1e-3) as u32).max(1);
    let over_time = |name: &str, figure: &dyn Fn(&super::model::SecondResult) -> f64| Line {
        name: name.to_owned(),
        points: (0..whole_seconds)
            .zip(&result.seconds)
            .map(|(second, values)| (second as f64, figure(values)))
            .collect(),
    };
    let second = |second: f64| format!("{second:.0} s");
    let throughput = [
        over_time("answered", &|second| second.answered as f64),
        over_time("sent", &|second| second.sent as f64),
        over_time("refused", &|second| second.refused as f64),
    ];
    let svg = lines(&throughput, ("time", second), ("per second", whole), false)?;
    charts.extend(chart("Throughput over time", "Warm-up included.", svg));
    let latencies =
        [over_time("p99", &|second| second.p99_us as f64), over_time("p50", &|second| second.p50_us as f64)];
    let note = "Of the answers that came within each second.";
    charts.extend(latency_chart("Latency over time", note, &latencies, ("time", second))?);
    if let Some(server) = &result.server {
        let answered = result.answered.max(1) as f64;
        let of_stages = server.stages.iter();
        let mut stages: Vec<Bar> =
            of_stages.map(|stage| Bar { name: stage.name.clone(), value: stage.cpu_us as f64 / answered }).collect();
        let told = if stages.is_empty() { "by thread" } else { "by stage" };
        if stages.is_empty() {
            let threads = server.threads_us_per_answer.iter();
            stages = threads.map(|(name, us)| Bar { name: name.clone(), value: *us }).collect();
            stages.sort_by(|left, right| right.value.total_cmp(&left.value));
        }
        let svg = bars(&stages, |us| format!("{us:.2} us"))?;
        charts.extend(chart(
            &format!("Server's processor per answer, {told}"),
            "User and system time, warm-up included.",
            svg,
        ));
    }
    Ok(charts)
}

/// Latency against offered load: of the ladder of a search, or of several runs.
fn load_chart(reports: &[Report]) -> anyhow::Result<Option<Chart>> {
    let mut points: Vec<(f64, [u64; 3])> = Vec::new();
    for report in reports {
        if let Some(SearchResult { ladder, .. }) = &report.search {
            points.extend(ladder.iter().map(|rung| (rung.rate_per_s, [rung.p50_us, rung.p99_us, rung.p99_9_us])));
        } else if let (Some(rate), Some(result)) = (report.settings.rate_per_s, &report.result) {
            let latency = &result.latency_us;
            points.push((rate, [latency.p50, latency.p99, latency.p99_9]));
        }
    }
    if points.len() < 2 {
        return Ok(None);
    }
    points.sort_by(|left, right| left.0.total_cmp(&right.0));
    let line = |name: &str, which: usize| Line {
        name: name.to_owned(),
        points: points.iter().map(|(rate, latencies)| (*rate, latencies[which] as f64)).collect(),
    };
    let of_all = [line("p50", 0), line("p99", 1), line("p99.9", 2)];
    let axis = ("offered requests per second", whole as Label);
    latency_chart("Latency against offered load", "From the scheduled time of each request.", &of_all, axis)
}

fn section(report: &Report, result: &RunResult) -> anyhow::Result<Section> {
    let latency = &result.latency_us;
    let mut headline = vec![
        fact("answered per second", whole(result.answered_per_s)),
        fact("latency p50", duration(latency.p50)),
        fact("latency p99", duration(latency.p99)),
        fact("latency p99.9", duration(latency.p99_9)),
    ];
    if let Some(server) = &result.server {
        headline.push(fact("server's processor per payment", format!("{:.1} us", server.cpu_us_per_payment)));
    }
    let settings = &report.settings;
    let rate = settings
        .rate_per_s
        .map_or_else(|| "As fast as answers come".to_owned(), |rate| format!("{} requests per second", whole(rate)));
    let generator = &result.generator;
    let checks = &result.checks;
    Ok(Section {
        title: rate,
        headline,
        limit: result.saturation.explained().to_owned(),
        passed: checks.passed,
        checks: format!(
            "{} proofs verified, {} repeats answered alike, {} accounts looked up",
            grouped(checks.proofs_verified),
            grouped(checks.repeats_identical),
            checks.accounts_compared
        ),
        problems: checks.problems.told.clone(),
        charts: run_charts(result, settings.warm_up_seconds)?,
        facts: vec![
            fact("sent", grouped(result.sent)),
            fact("payments", grouped(result.paid)),
            fact("repeats", grouped(result.repeats)),
            fact("outcomes", named(&result.outcomes)),
            fact("refused in clear", named(&result.refused)),
            fact("not answered", grouped(result.unanswered)),
            fact("never sent", grouped(generator.unsent)),
            fact("measured", format!("{:.1} s after {:.1} s of warm-up", result.measured_s, settings.warm_up_seconds)),
            fact("connections", format!("{} with {} outstanding", settings.connections, settings.outstanding)),
            fact("instruments", grouped(settings.instruments)),
            fact("failures asked for", settings.mix),
            fact("repeats asked for", format!("{} %", settings.duplicates * 100.0)),
            fact("latency max", duration(latency.max)),
            fact(
                "generator",
                format!(
                    "{:.2} us of processor per answer, {:.0} % busy, waited for a processor {:.0} % of the time",
                    generator.cpu_us_per_answer,
                    generator.busy * 100.0,
                    generator.starved * 100.0
                ),
            ),
            fact("generator late", format!("p99 {}", duration(generator.lag_us.p99))),
        ],
    })
}

fn named(counts: &std::collections::BTreeMap<String, u64>) -> String {
    let texts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// The page of one or several reports.
///
/// # Errors
/// None that a report could cause.
pub fn page(reports: &[Report]) -> anyhow::Result<String> {
    let first = reports.first().context("a page needs a report")?;
    let mut sections = Vec::new();
    for report in reports {
        if let Some(result) = &report.result {
            sections.push(section(report, result)?);
        }
    }
    let hardware = &first.hardware;
    let machine = vec![
        fact("made", protocol::time::Timestamp(first.made_at_ms)),
        fact("commit", &first.commit),
        fact("processor", format!("{} x {}", hardware.processors, hardware.processor)),
        fact("memory", format!("{} GiB", hardware.memory_bytes >> 30)),
        fact("kernel", &hardware.kernel),
        fact("features", hardware.features.join(" ")),
        fact("storage", hardware.storage.as_deref().unwrap_or("unknown")),
        fact("server", if first.same_machine { "on the same machine" } else { "on another machine" }),
    ];
    let found = first.search.as_ref().map(|search| match search.rate_per_s {
        Some(rate) => format!(
            "{} requests per second is the highest rate tried that keeps p99 within {} and errors within {} %.",
            whole(rate),
            duration(search.p99_us_max),
            search.error_share_max * 100.0
        ),
        None => "No rate kept the bounds.".to_owned(),
    });
    let mut environment = Environment::new();
    environment.add_template("page.html", TEMPLATE)?;
    let page = environment.get_template("page.html")?;
    let content = Content { sections, machine, found, load: load_chart(reports)? };
    Ok(page.render(Serde(&content))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::tests::example;

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_trusts_no_text() {
        let reports = [example(10_000.0), example(20_000.0)];
        let page = page(&reports).unwrap();
        assert!(
            !page.contains("http://") || page.matches("http://").all(|_| page.contains("http://www.w3.org/2000/svg"))
        );
        for outside in ["src=", "@import", "<link", "<script", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("&lt;Example &amp; Sons&gt;"), "texts are escaped");
        assert!(
            page.matches("<svg").count() == 9,
            "four charts a run and one of all: {}",
            page.matches("<svg").count()
        );
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
        assert!(page.contains("Latency against offered load"));
    }

    #[test]
    fn percentiles_are_named_by_their_nines() {
        let label = |quantile| quantile_label(nines(quantile));
        assert_eq!(
            [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999].map(label),
            ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
    }
}
