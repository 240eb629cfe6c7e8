//! The live view. It draws twice a second, so that it costs what is measured next to nothing, and gives the terminal back
//! whatever happens: at the end, on Ctrl-C, and when the program fails.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, Paragraph, Sparkline, Wrap};
use ratatui::{DefaultTerminal, Frame};

use crate::report::text::grouped;
use crate::run::{Event, Watched};
use crate::send::thread::Progress;

/// Rates that the small chart remembers.
const RATES_KEPT: usize = 240;

/// A terminal in use.
pub struct Terminal {
    terminal: Option<DefaultTerminal>,
    stop: Arc<AtomicBool>,
    doing: &'static str,
    watched: Watched,
    last: Option<Progress>,
    rates: VecDeque<u64>,
}

impl Terminal {
    /// Takes the terminal. The hook that `ratatui` sets gives it back when the program fails.
    pub(super) fn open(stop: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let terminal = ratatui::try_init()?;
        let (watched, rates) = (Watched::default(), VecDeque::new());
        Ok(Self { terminal: Some(terminal), stop, doing: "", watched, last: None, rates })
    }

    pub(super) fn show(&mut self, event: &Event) {
        self.read_keys();
        match event {
            Event::Doing(what) => {
                self.doing = what;
                self.last = None;
            }
            Event::Sending(watched) => {
                self.doing = if self.stop.load(Ordering::Relaxed) { "stopping" } else { "sending" };
                if let Some(before) = self.last.replace(watched.progress.clone()) {
                    self.rates.push_back(super::rate(&before, &watched.progress));
                    if self.rates.len() > RATES_KEPT {
                        self.rates.pop_front();
                    }
                }
                self.watched = watched.clone();
            }
        }
        let picture = Picture { doing: self.doing, watched: &self.watched, rates: &self.rates };
        if let Some(terminal) = &mut self.terminal {
            // A terminal that went away is no reason to spoil a measurement.
            let _ = terminal.draw(|frame| picture.draw(frame));
        }
    }

    /// In raw mode Ctrl-C is a key.
    fn read_keys(&self) {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(event::Event::Key(key)) = event::read()
                && (key.code == KeyCode::Char('q')
                    || key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
            {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn close(&mut self) {
        if self.terminal.take().is_some() {
            ratatui::restore();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.close();
    }
}

/// One picture.
struct Picture<'a> {
    doing: &'a str,
    watched: &'a Watched,
    rates: &'a VecDeque<u64>,
}

impl Picture<'_> {
    fn draw(&self, frame: &mut Frame<'_>) {
        let [head, figures, chart, server, foot] = Layout::vertical([
            Constraint::Length(3),
            Constraint::Length(5),
            Constraint::Min(4),
            Constraint::Length(5),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let progress = &self.watched.progress;
        let elapsed = progress.elapsed_ns as f64 / 1e9;
        let total = self.watched.total.as_secs_f64();
        let share = if total > 0.0 { (elapsed / total).clamp(0.0, 1.0) } else { 0.0 };
        let gauge = Gauge::default()
            .block(Block::bordered().title(format!(" {} ", self.doing)))
            .gauge_style(Style::new().cyan())
            .ratio(share)
            .label(format!("{elapsed:.1} of {total:.1} s"));
        frame.render_widget(gauge, head);
        let lines = vec![
            Line::from(vec![
                "answered ".dim(),
                format!("{}/s", grouped(self.rates.back().copied().unwrap_or(0))).bold(),
                format!("   {} in all", grouped(progress.answered)).into(),
            ]),
            Line::from(vec!["latency  ".dim(), super::latencies(progress, "   ").into()]),
            Line::from(vec![
                "open     ".dim(),
                format!(
                    "{}   sent {}   refused {}",
                    grouped(progress.unanswered),
                    grouped(progress.sent),
                    grouped(progress.refused)
                )
                .into(),
            ]),
        ];
        frame.render_widget(Paragraph::new(lines).block(Block::bordered()), figures);
        let width = usize::from(chart.width.saturating_sub(2));
        let rates: Vec<u64> = self.rates.iter().skip(self.rates.len().saturating_sub(width)).copied().collect();
        let highest = rates.iter().copied().max().unwrap_or(0);
        let line = Sparkline::default()
            .block(Block::bordered().title(format!(" answered per second, highest {} ", grouped(highest))))
            .data(&rates)
            .style(Style::new().cyan());
        frame.render_widget(line, chart);
        let words = Paragraph::new(self.server()).wrap(Wrap { trim: true });
        frame.render_widget(words.block(Block::bordered().title(" server ")), server);
        frame.render_widget(Line::from("Ctrl-C ends the run early; everything is checked nevertheless").dim(), foot);
    }

    fn server(&self) -> Vec<Line<'static>> {
        let Some(server) = &self.watched.server else {
            return vec![Line::from("on another machine, or not seen yet").dim()];
        };
        let answered = self.watched.progress.answered.max(1) as f64;
        let threads: Vec<String> = if server.stages.is_empty() {
            let named = server.threads_us.iter().map(|(name, us)| (name, *us as f64 / answered));
            named.filter(|(_, us)| *us >= 0.05).map(|(name, us)| format!("{name} {us:.1}")).collect()
        } else {
            let stages = server.stages.iter();
            stages.map(|stage| format!("{} {:.1}", stage.name, stage.cpu_us as f64 / answered)).collect()
        };
        let per_answer = server.cpu_us as f64 / answered;
        vec![
            Line::from(format!(
                "{per_answer:.1} us of processor per answer, {} MiB of memory",
                server.resident_bytes >> 20
            )),
            Line::from(format!("of these: {}", threads.join(", "))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::server::Sample;

    #[test]
    fn the_picture_fits_large_and_small_terminals() {
        let progress = Progress {
            elapsed_ns: 5_000_000_000,
            answered: 1_234_567,
            latency_us: [210, 3_500, 9_000],
            ..Progress::default()
        };
        let server = Sample {
            cpu_us: 40_000_000,
            threads_us: [("tps-worker".to_owned(), 30_000_000)].into(),
            ..Sample::default()
        };
        let watched = Watched { progress, total: Duration::from_secs(20), server: Some(server) };
        let rates = (0..300u64).collect();
        let picture = Picture { doing: "sending", watched: &watched, rates: &rates };
        for (width, height) in [(120, 40), (60, 20), (10, 3)] {
            let mut terminal = ratatui::Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| picture.draw(frame)).unwrap();
            if width == 120 {
                let shown: String = terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
                for expected in ["1,234,567", "p99 3.50 ms", "tps-worker 24.3", "highest 299", "5.0 of 20.0 s"] {
                    assert!(shown.contains(expected), "{expected}");
                }
            }
        }
    }
}
