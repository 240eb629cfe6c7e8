//! Reports as lines.

use std::fmt::Write;

use super::model::{Report, RunResult, SearchResult};

/// A latency in the unit that suits it.
pub fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.2} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// A whole number with groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns of the names.
const NAME_COLUMNS: usize = 20;
/// Columns of a whole line: what every terminal has.
const LINE_COLUMNS: usize = 80;

/// A name and its value, which goes on in the next line, under itself, where it is too long.
fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = write!(text, "{name:<NAME_COLUMNS$}");
    let mut column = NAME_COLUMNS;
    for (index, word) in value.to_string().split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > LINE_COLUMNS {
            let _ = write!(text, "\n{:NAME_COLUMNS$}", "");
            column = NAME_COLUMNS;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

/// The report of a run.
pub fn run(report: &Report) -> String {
    let mut text = String::new();
    if let Some(result) = &report.result {
        figures(&mut text, report, result);
        checks(&mut text, result);
    }
    text
}

fn figures(text: &mut String, report: &Report, result: &RunResult) {
    let settings = &report.settings;
    let asked = settings.rate_per_s.map_or_else(
        || "as many as possible (closed loop)".to_owned(),
        |rate| format!("{} per second, {:?} (open loop)", grouped(rate as u64), settings.arrivals).to_lowercase(),
    );
    line(text, "asked for", asked);
    let (connections, outstanding) = (settings.connections, settings.outstanding);
    line(text, "over", format!("{connections} connections with up to {outstanding} outstanding each"));
    let answered =
        format!("{} per second for {:.1} s", grouped(result.answered_per_s.round() as u64), result.measured_s);
    line(text, "answered", answered);
    let sent = format!(
        "{} requests, {} of them repeats; {} payments were made",
        grouped(result.sent),
        grouped(result.repeats),
        grouped(result.paid)
    );
    line(text, "sent", sent);
    let outcomes: Vec<String> =
        result.outcomes.iter().map(|(reason, count)| format!("{reason} {}", grouped(*count))).collect();
    line(text, "outcomes", outcomes.join(", "));
    if !result.refused.is_empty() {
        let refused: Vec<String> =
            result.refused.iter().map(|(code, count)| format!("{code} {}", grouped(*count))).collect();
        line(text, "refused in clear", refused.join(", "));
    }
    let generator = &result.generator;
    if result.unanswered + generator.unsent > 0 {
        let missing = format!("{} were not answered, {} were due and never sent", result.unanswered, generator.unsent);
        line(text, "missing", missing);
    }
    let mut lost: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for reason in &result.lost_connections {
        *lost.entry(reason).or_insert(0) += 1;
    }
    for (reason, count) in lost {
        line(text, "connections lost", format!("{count}: {reason}"));
    }
    let latency = &result.latency_us;
    let from = if settings.rate_per_s.is_some() { "from the scheduled time" } else { "from sending" };
    let percentiles = [
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p99_9),
        ("max", latency.max),
    ];
    let percentiles: Vec<String> = percentiles.iter().map(|(name, us)| format!("{name} {}", duration(*us))).collect();
    line(text, "latency", format!("{}, {from}", percentiles.join(", ")));
    if let Some(server) = &result.server {
        let rest = if server.at_rest { "background work counted in" } else { "NOT at rest yet" };
        let used = format!(
            "{:.2} us of processor per answer, {:.2} per payment, {rest}",
            server.cpu_us_per_answer, server.cpu_us_per_payment
        );
        line(text, "server", used);
        let threads: Vec<String> =
            server.threads_us_per_answer.iter().map(|(name, us)| format!("{name} {us:.2}")).collect();
        line(text, "  threads, us", threads.join(", "));
        let per_item = |stage: &crate::server::Stage| {
            let batch = stage.items as f64 / stage.batches.max(1) as f64;
            format!("{} {:.2} (batches of {batch:.0})", stage.name, stage.cpu_us as f64 / result.answered.max(1) as f64)
        };
        if !server.stages.is_empty() {
            line(text, "  stages, us", server.stages.iter().map(per_item).collect::<Vec<_>>().join(", "));
        }
        line(text, "  memory", format!("{} MiB", server.resident_bytes >> 20));
    }
    let own = format!(
        "{:.2} us of processor per answer, {:.0} % busy, waited for a processor {:.0} % of the time, late by p99 {}",
        generator.cpu_us_per_answer,
        generator.busy * 100.0,
        generator.starved * 100.0,
        duration(generator.lag_us.p99)
    );
    line(text, "generator", own);
    line(text, "limit", result.saturation.explained());
}

fn checks(text: &mut String, result: &RunResult) {
    let checks = &result.checks;
    let books = match (checks.books_compared, checks.audited) {
        (true, true) => format!("books and {} accounts agree, the audit found nothing", checks.accounts_compared),
        (true, false) => format!("books and {} accounts agree", checks.accounts_compared),
        (false, _) => "the server's books were not asked".to_owned(),
    };
    if checks.passed {
        let held = format!(
            "passed: {} proofs verified, no payment id twice, {} repeats answered alike, {books}",
            grouped(checks.proofs_verified),
            grouped(checks.repeats_identical)
        );
        line(text, "checks", held);
        return;
    }
    line(text, "checks", format!("FAILED: {} problems", checks.problems.count));
    for problem in &checks.problems.told {
        line(text, "", problem);
    }
}

/// The report of a search.
pub fn search(report: &Report) -> String {
    let mut text = String::new();
    let Some(search) = &report.search else { return text };
    ladder(&mut text, search);
    if let Some(result) = &report.result {
        text.push('\n');
        figures(&mut text, report, result);
        checks(&mut text, result);
    }
    text
}

fn ladder(text: &mut String, search: &SearchResult) {
    let _ = writeln!(text, "    rate/s  answered/s        p50        p99      p99.9    errors  server us  kept");
    for rung in &search.ladder {
        let cpu = rung.server_cpu_us_per_answer.map_or_else(|| "-".to_owned(), |us| format!("{us:.2}"));
        let _ = writeln!(
            text,
            "{:>10}  {:>10}  {:>9}  {:>9}  {:>9}  {:>6.2} %  {cpu:>9}  {}",
            grouped(rung.rate_per_s as u64),
            grouped(rung.answered_per_s as u64),
            duration(rung.p50_us),
            duration(rung.p99_us),
            duration(rung.p99_9_us),
            rung.error_share * 100.0,
            if rung.kept { "yes".to_owned() } else { format!("no ({:?})", rung.saturation).to_lowercase() },
        );
    }
    let bounds = format!("p99 <= {} and errors <= {} %", duration(search.p99_us_max), search.error_share_max * 100.0);
    match search.rate_per_s {
        Some(rate) => {
            let _ = writeln!(
                text,
                "\n{} requests per second is the highest rate tried that keeps {bounds}",
                grouped(rate as u64)
            );
        }
        None => {
            let _ = writeln!(text, "\nno rate kept {bounds}");
        }
    }
    if let Some(reason) = &search.ended_early {
        let _ = writeln!(text, "the search ended early: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 1_500, 2_500_000].map(duration), ["5 us", "1.50 ms", "2.50 s"]);
    }

    #[test]
    fn reports_say_what_failed() {
        let mut report = crate::report::compare::tests::example(10_000.0);
        assert!(run(&report).contains("passed") && run(&report).contains("10,000 per second"));
        let result = report.result.as_mut().unwrap();
        result.checks.passed = false;
        result.checks.problems.add("a coin is missing");
        let text = run(&report);
        assert!(text.contains("FAILED: 1 problems") && text.contains("a coin is missing"));
        assert!(text.lines().all(|line| line.chars().count() <= LINE_COLUMNS), "{text}");
    }
}
