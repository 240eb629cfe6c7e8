//! `tps top`: what the running server does, from one second to the next.

mod model;
mod terminal;
mod text;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::Context;
use crate::admin::client::AdminClient;
use crate::admin::views::CountersView;
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};
use crate::data_directory::DataDirectory;
use model::Picture;
use terminal::Terminal;

/// `tps top`.
#[derive(Debug, Args)]
pub(super) struct Top {
    /// Print one picture as text, over one interval, and end; so it is where standard output is no terminal
    #[arg(long)]
    once: bool,
    /// Seconds from one picture to the next
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    interval: u64,
}

impl Top {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let interval = Duration::from_secs(self.interval);
        let mut watched = Watched::connect(context.data()?)?;
        if self.once || context.output.json || !std::io::stdout().is_terminal() {
            let before = watched.look()?;
            std::thread::sleep(interval);
            let picture = Picture::between(&before, &watched.look()?);
            context.output.told(&json!(picture), &text::page(&picture));
            return Ok(());
        }
        let unusable = |error: std::io::Error| {
            AdminError::bad_input(format!("the terminal cannot be used: {error}; try `tps top --once`"))
        };
        let mut terminal = Terminal::open().map_err(unusable)?;
        let mut before = watched.look()?;
        let mut picture = Picture::between(&before, &before);
        loop {
            let next = Instant::now() + interval;
            terminal.draw(&picture).map_err(unusable)?;
            if terminal.wait_for_quit(next).map_err(unusable)? {
                return Ok(());
            }
            match watched.look() {
                Ok(now) => {
                    picture = Picture::between(&before, &now);
                    before = now;
                }
                // It may only be taking its keys anew.
                Err(error) => picture = picture.without_answer(error.message),
            }
        }
    }
}

/// The server, and a connection to it while there is one.
struct Watched {
    data: DataDirectory,
    client: Option<AdminClient>,
}

impl Watched {
    fn connect(data: DataDirectory) -> Result<Self, AdminError> {
        let client = AdminClient::connect(&data.admin_socket()?)?;
        Ok(Self { data, client })
    }

    fn look(&mut self) -> Result<CountersView, AdminError> {
        if self.client.is_none() {
            self.client = AdminClient::connect(&self.data.admin_socket()?)?;
        }
        let none = || {
            let path = self.data.path().display();
            AdminError::new(
                AdminErrorCode::Unavailable,
                format!("no server runs on {path}: start one with `tps serve`"),
            )
        };
        let answer = self.client.as_mut().ok_or_else(none)?.call(&AdminRequest::Counters);
        match answer {
            Ok(AdminResponse::Counters(counted)) => Ok(counted),
            Ok(_) => {
                Err(AdminError::new(AdminErrorCode::Unavailable, "the server answered something else than was asked"))
            }
            Err(error) => {
                self.client = None;
                Err(error)
            }
        }
    }
}
