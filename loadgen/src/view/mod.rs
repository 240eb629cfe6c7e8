//! What somebody sees while a run goes on: a live view on a terminal, plain lines otherwise, or nothing.

mod terminal;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::report::text::{duration, grouped};
use crate::run::{Event, Watched};
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

/// Lines, and what the last one said.
#[derive(Default)]
pub struct Lines {
    last: Option<(Instant, u64)>,
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
                let (then, answered) = self.last.unwrap_or((now, watched.progress.answered));
                if self.last.is_none() || now - then >= LINE_INTERVAL {
                    let rate = rate(watched.progress.answered - answered, now - then);
                    self.last = Some((now, watched.progress.answered));
                    eprintln!("{}", line(watched, rate));
                }
            }
        }
    }
}

fn rate(answers: u64, time: Duration) -> u64 {
    if time.is_zero() { 0 } else { (answers as f64 / time.as_secs_f64()) as u64 }
}

fn line(watched: &Watched, rate: u64) -> String {
    let progress = &watched.progress;
    let [p50, p99, p99_9] = progress.latency_us;
    format!(
        "{:>5.1} s  {:>9}/s  sent {}  open {}  refused {}  p50 {}  p99 {}  p99.9 {}",
        progress.elapsed_ns as f64 / 1e9,
        grouped(rate),
        grouped(progress.sent),
        grouped(progress.unanswered),
        grouped(progress.refused),
        duration(p50),
        duration(p99),
        duration(p99_9),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::thread::Progress;

    #[test]
    fn a_line_tells_rate_and_latencies() {
        let progress = Progress {
            elapsed_ns: 2_500_000_000,
            sent: 12_345,
            latency_us: [200, 3_000, 9_000],
            ..Progress::default()
        };
        let text = line(&Watched { progress, ..Watched::default() }, rate(5_000, Duration::from_millis(500)));
        assert!(text.contains("10,000/s") && text.contains("12,345") && text.contains("p99 3.00 ms"), "{text}");
        assert_eq!(rate(5, Duration::ZERO), 0);
    }
}
