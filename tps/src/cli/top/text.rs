//! A picture as lines of text: what scripts read, and what the terminal shows.

use super::model::{Picture, Quantiles};
use crate::cli::output::table;

/// A rate, with thousands apart.
pub(super) fn rate(value: f64) -> String {
    if value > 0.0 && value < 10.0 { format!("{value:.1}") } else { grouped(value.round() as u64) }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration for people.
fn duration(microseconds: f64) -> String {
    match microseconds {
        short if short < 1e3 => format!("{short:.0} us"),
        middle if middle < 1e6 => format!("{:.2} ms", middle / 1e3),
        long => format!("{:.2} s", long / 1e6),
    }
}

/// The first line.
pub(super) fn head(picture: &Picture) -> String {
    let seconds = picture.uptime_ms / 1_000;
    format!(
        "up {}:{:02}:{:02}  intake {}  connections {}  commit {}  {:.2} processors busy",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        picture.intake,
        grouped(picture.connections),
        grouped(picture.last_commit),
        picture.processors,
    )
}

/// What comes in and goes out, per second.
pub(super) fn flow(picture: &Picture) -> String {
    format!(
        "{}/s received  {}/s answered  {}/s refused  {}/s commits",
        rate(picture.received),
        rate(picture.answered),
        rate(picture.refused),
        rate(picture.commits)
    )
}

/// A row per stage. It stands beside [`answers`] on a terminal of 80 columns.
pub(super) fn stages(picture: &Picture) -> String {
    let mut rows = vec![["STAGE", "PER S", "BATCH", "BUSY"].map(str::to_owned).to_vec()];
    rows.extend(picture.stages.iter().map(|stage| {
        let batch = stage.batch.map_or_else(|| "-".to_owned(), |batch| format!("{batch:.1}"));
        vec![stage.name.clone(), rate(stage.per_second), batch, format!("{:.3}", stage.processors)]
    }));
    table(&rows)
}

/// A row per queue.
pub(super) fn queues(picture: &Picture) -> String {
    let mut rows = vec![["QUEUE", "WAIT", "ROOM"].map(str::to_owned).to_vec()];
    rows.extend(
        picture
            .queues
            .iter()
            .map(|queue| vec![queue.name.clone(), grouped(queue.length as u64), grouped(queue.capacity as u64)]),
    );
    table(&rows)
}

/// A row per histogram.
pub(super) fn histograms(picture: &Picture) -> String {
    let mut rows = vec![["INTERVAL", "P50", "P90", "P99", "MEAN"].map(str::to_owned).to_vec()];
    let named = [
        ("durable_us", "until durable"),
        ("sync_us", "write and sync"),
        ("batch_requests", "requests/batch"),
        ("commit_requests", "requests/commit"),
    ];
    for (name, words) in named {
        let cells = picture.quantiles.get(name).map_or_else(
            || ["-"; 4].map(str::to_owned),
            |quantiles| {
                let Quantiles { p50, p90, p99, mean } = *quantiles;
                if name.ends_with("_us") {
                    [p50, p90, p99, mean].map(duration)
                } else {
                    // Counts are whole, what is found between two of them is not one.
                    let [p50, p90, p99] = [p50, p90, p99].map(|value| format!("{:.0}", value.ceil()));
                    [p50, p90, p99, format!("{mean:.1}")]
                }
            },
        );
        rows.push(std::iter::once(words.to_owned()).chain(cells).collect());
    }
    table(&rows)
}

/// A row per kind of answer.
pub(super) fn answers(picture: &Picture) -> String {
    let mut rows = vec![["ANSWER", "PER S", "TOTAL"].map(str::to_owned).to_vec()];
    rows.extend(
        picture
            .answers
            .iter()
            .map(|(name, (per_second, count))| vec![name.clone(), rate(*per_second), grouped(*count)]),
    );
    table(&rows)
}

/// What needs attention, a line each.
pub(super) fn attention(picture: &Picture) -> Vec<String> {
    picture.silent.iter().chain(&picture.warnings).map(|message| format!("attention: {message}")).collect()
}

/// Everything.
pub(super) fn page(picture: &Picture) -> String {
    let mut text = format!("{}\n{}\n", head(picture), flow(picture));
    for part in [stages(picture), queues(picture), histograms(picture), answers(picture)] {
        text.push('\n');
        text.push_str(&part);
    }
    for line in attention(picture) {
        text.push_str(&format!("\n{line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::seen;
    use super::*;

    #[test]
    fn a_page_tells_everything() {
        let page = page(&Picture::between(&seen(3_600), &seen(3_661)));
        for expected in [
            "up 1:01:01  intake open  connections 7",
            "1,010/s received  1,000/s answered  10/s refused  50/s commits",
            "open     1,000  50.0   0.250",
            "workers  3     16,384",
            "until durable    1.50 ms  1.90 ms",
            "write and sync   -",
            "requests/batch   1        2        2        1.5",
            "denied InsufficientFunds  10     36,610",
            "attention: the last proof key ends soon",
        ] {
            assert!(page.contains(expected), "{expected} in\n{page}");
        }
        assert_eq!((rate(0.0), rate(2.25), rate(1_234_567.0)), ("0".into(), "2.2".into(), "1,234,567".into()));
        assert_eq!((duration(900.0), duration(2_500_000.0)), ("900 us".into(), "2.50 s".into()));
    }
}
