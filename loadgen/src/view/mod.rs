//! What somebody sees while a run goes on: a live view on a terminal, plain lines otherwise, or nothing.

mod terminal;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::report::text::{duration, grouped};
use crate::run::{Event, Watched};
use crate::send::thread::Progress;
use terminal::Terminal;

/// How often plain lines are printed.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// A way of showing.
pub enum View {
    /// Nothing but the report.
    Quiet,
    /// Lines on standard error.
    Plain(Lines),
    /// A live view.
    Terminal(Box<Terminal>),
}

/// Lines, and when the last one came.
#[derive(Default)]
pub struct Lines {
    last: Option<(Instant, Progress)>,
}

impl View {
    /// Plain lines.
    pub fn plain() -> Self {
        Self::Plain(Lines::default())
    }

    /// A live view; Ctrl-C in it sets `stop`.
    ///
    /// # Errors
    /// Where the terminal cannot be used so.
    pub fn terminal(stop: Arc<AtomicBool>) -> anyhow::Result<Self> {
        Ok(Self::Terminal(Box::new(Terminal::open(stop)?)))
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        match self {
            Self::Quiet => {}
            Self::Plain(lines) => lines.show(event),
            Self::Terminal(terminal) => terminal.show(event),
        }
    }

    /// Gives the terminal back.
    pub fn end(&mut self) {
        if let Self::Terminal(terminal) = self {
            terminal.close();
        }
    }
}

impl Lines {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Doing(what) => {
                self.last = None;
                eprintln!("{what} …");
            }
            Event::Sending(watched) => {
                let now = Instant::now();
                let (then, before) = self.last.take().unwrap_or((now - LINE_INTERVAL, Progress::default()));
                if now - then < LINE_INTERVAL {
                    self.last = Some((then, before));
                    return;
                }
                eprintln!("{}", line(watched, rate(&before, &watched.progress)));
                self.last = Some((now, watched.progress.clone()));
            }
        }
    }
}

/// Answers per second between two moments, by the clock of whoever sends: what is told is a little older than now.
fn rate(before: &Progress, now: &Progress) -> u64 {
    let time_ns = now.elapsed_ns.saturating_sub(before.elapsed_ns);
    let answers = now.answered.saturating_sub(before.answered);
    if time_ns == 0 { 0 } else { (answers as f64 * 1e9 / time_ns as f64) as u64 }
}

/// Percentiles so far, or that there are none yet.
fn latencies(progress: &Progress, between: &str) -> String {
    if progress.latency_us == [0; 3] {
        return "is measured after the warm-up".to_owned();
    }
    let [p50, p99, p99_9] = progress.latency_us.map(duration);
    format!("p50 {p50}{between}p99 {p99}{between}p99.9 {p99_9}")
}

fn line(watched: &Watched, rate: u64) -> String {
    let progress = &watched.progress;
    format!(
        "{:>5.1} s  {:>9}/s  sent {}  open {}  refused {}  latency {}",
        progress.elapsed_ns as f64 / 1e9,
        grouped(rate),
        grouped(progress.sent),
        grouped(progress.unanswered),
        grouped(progress.refused),
        latencies(progress, "  "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_latencies() {
        let progress = Progress {
            elapsed_ns: 2_500_000_000,
            sent: 12_345,
            latency_us: [200, 3_000, 9_000],
            ..Progress::default()
        };
        let later = Progress { elapsed_ns: 3_000_000_000, answered: 5_000, ..Progress::default() };
        let text = line(&Watched { progress: progress.clone(), ..Watched::default() }, rate(&progress, &later));
        assert!(text.contains("10,000/s") && text.contains("12,345") && text.contains("p99 3.00 ms"), "{text}");
        assert_eq!(rate(&later, &later), 0);
        assert!(line(&Watched::default(), 0).contains("after the warm-up"));
    }
}
