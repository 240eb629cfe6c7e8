//! What ends a run of the server: signals of the system, and what the operator or the server itself asks for.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::loaded::Loaded;
use super::{Reload, notify};
use crate::operator::ServerSignal;

/// How a run ends.
pub(super) enum End {
    /// For good.
    Stop,
    /// To begin anew with this.
    Reload(Box<Loaded>),
}

/// The system's signals to this process; caught from the moment this is made.
pub(super) struct UnixSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl UnixSignals {
    /// Must be called within a tokio runtime.
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the run is to end. A reload that would fail is no end: the server goes on with what it has.
    pub(super) async fn end(&mut self, asked: &mut mpsc::UnboundedReceiver<ServerSignal>, reload: &Reload) -> End {
        loop {
            let wanted = tokio::select! {
                _ = self.terminate.recv() => ServerSignal::Stop,
                _ = self.interrupt.recv() => ServerSignal::Stop,
                _ = self.hang_up.recv() => ServerSignal::Reload,
                wanted = asked.recv() => wanted.unwrap_or(ServerSignal::Stop),
            };
            if wanted == ServerSignal::Stop {
                return End::Stop;
            }
            match reload() {
                Ok(loaded) => return End::Reload(Box::new(loaded)),
                Err(error) => {
                    tracing::error!(%error, "the server does not reload; it goes on with what it has");
                    notify::status(&format!("Not reloaded, and serving as before: {error}"));
                }
            }
        }
    }
}
