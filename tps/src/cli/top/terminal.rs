//! The live view. The terminal is given back whatever happens: at the end, on Ctrl-C, and when the program fails.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use ratatui::crossterm::event::{self, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Sparkline, Wrap};
use ratatui::{DefaultTerminal, Frame};

use super::model::Picture;
use super::text;

/// Rates that the small chart remembers.
const RATES_KEPT: usize = 240;

/// A terminal in use.
pub(super) struct Terminal {
    terminal: DefaultTerminal,
    rates: VecDeque<u64>,
}

impl Terminal {
    /// Takes the terminal. The hook that `ratatui` sets gives it back when the program fails.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()?, rates: VecDeque::new() })
    }

    pub(super) fn draw(&mut self, picture: &Picture) -> io::Result<()> {
        if picture.interval_ms > 0 && picture.silent.is_none() {
            self.rates.push_back(picture.answered.round() as u64);
            if self.rates.len() > RATES_KEPT {
                self.rates.pop_front();
            }
        }
        self.terminal.draw(|frame| draw(frame, picture, &self.rates)).map(drop)
    }

    /// Waits until `next`; true as soon as somebody wants to end. In raw mode Ctrl-C is a key.
    pub(super) fn wait_for_quit(&self, next: Instant) -> io::Result<bool> {
        while event::poll(next.saturating_duration_since(Instant::now()))? {
            if let event::Event::Key(key) = event::read()?
                && (matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
                    || key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn block(frame: &mut Frame<'_>, area: ratatui::layout::Rect, title: &str, words: &str) {
    let paragraph = Paragraph::new(words.to_owned()).block(Block::bordered().title(format!(" {title} ")));
    frame.render_widget(paragraph, area);
}

fn draw(frame: &mut Frame<'_>, picture: &Picture, rates: &VecDeque<u64>) {
    let attention = text::attention(picture);
    let attention_height = if attention.is_empty() { 0 } else { attention.len().min(6) as u16 + 2 };
    let [head, chart, middle, low, warnings, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Fill(1),
        Constraint::Length(10),
        Constraint::Length(7),
        Constraint::Length(attention_height),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let lines = vec![Line::from(text::head(picture)), Line::from(text::flow(picture).bold())];
    frame.render_widget(Paragraph::new(lines), head);
    let width = usize::from(chart.width.saturating_sub(2));
    let shown: Vec<u64> = rates.iter().skip(rates.len().saturating_sub(width)).copied().collect();
    let highest = shown.iter().copied().max().unwrap_or(0);
    let title = format!(" answered per second, highest {} ", text::rate(highest as f64));
    let line = Sparkline::default().block(Block::bordered().title(title)).data(&shown).style(Style::new().cyan());
    frame.render_widget(line, chart);
    let [stages, answers] = Layout::horizontal([Constraint::Fill(2), Constraint::Fill(3)]).areas(middle);
    block(frame, stages, "stages", &text::stages(picture));
    block(frame, answers, "answers", &text::answers(picture));
    let [histograms, queues] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(24)]).areas(low);
    block(frame, histograms, "sizes and durations", &text::histograms(picture));
    block(frame, queues, "queues", &text::queues(picture));
    if !attention.is_empty() {
        let lines: Vec<Line<'_>> = attention.into_iter().map(|line| Line::from(line.yellow())).collect();
        let words = Paragraph::new(lines).wrap(Wrap { trim: true });
        frame.render_widget(words.block(Block::bordered()), warnings);
    }
    frame.render_widget(Line::from("q ends").dim(), foot);
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::super::model::StageRow;
    use super::super::model::tests::seen;
    use super::*;

    #[test]
    fn the_picture_fits_large_and_small_terminals() {
        let rates = (0..300u64).collect();
        let shown = |picture: &Picture, width, height| -> String {
            let mut terminal = ratatui::Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, picture, &rates)).unwrap();
            terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect()
        };
        let mut picture = Picture::between(&seen(1), &seen(5)).without_answer("the server went away".to_owned());
        let large = shown(&picture, 130, 45);
        for expected in ["1,000/s answered", "highest 299", "paid", "1.50 ms", "16,384", "the server went away"] {
            assert!(large.contains(expected), "{expected}");
        }
        shown(&picture, 10, 3);
        // A terminal of the usual size holds the whole of a server that is well.
        (picture.silent, picture.warnings) = (None, Vec::new());
        picture.stages = ["receive", "open", "verify", "prove", "sequence", "commit", "reveal"]
            .map(|name| StageRow { name: name.to_owned(), ..picture.stages[1].clone() })
            .to_vec();
        picture.answers.insert("denied AuthenticationFailed".to_owned(), (12_345.0, 9_345_678));
        picture.connections = 20_000;
        let usual = shown(&picture, 80, 24);
        for expected in
            ["processors busy", "highest 299", "BUSY", "reveal", "TOTAL", "9,345,678", "MEAN", "ROOM", "q ends"]
        {
            assert!(usual.contains(expected), "{expected} in\n{usual}");
        }
    }
}
