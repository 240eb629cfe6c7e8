//! What a service manager such as systemd is told: that the server is ready, that it reloads or stops, and, as often as the
//! pipeline proves it, that it lives. Without a service manager nothing is told to nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// How long a server may take to load its ledger anew without the watchdog's ending it: a hundred million instruments
/// take minutes.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// How often the manager wants to hear that the server lives; `None` where it does not ask.
pub(super) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The server serves.
pub(super) fn ready(status: &str) {
    let mut states = vec![NotifyState::Ready, NotifyState::Status(status)];
    // Ends the patience of a reload.
    states.extend(watchdog_interval().map(watchdog_usec));
    tell(&states);
}

/// What the server does, for people.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The server is about to take its keys and its configuration anew.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading, NotifyState::Status("Loading keys, configuration and ledger anew")];
    states.extend(NotifyState::monotonic_usec_now().ok());
    if watchdog_interval().is_some() {
        states.extend([NotifyState::Watchdog, watchdog_usec(RELOAD_PATIENCE)]);
    }
    tell(&states);
}

/// The server is about to end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("Answering what is open")]);
}

/// The pipeline has just answered.
pub(super) fn alive() {
    if watchdog_interval().is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

fn watchdog_usec(interval: Duration) -> NotifyState<'static> {
    NotifyState::WatchdogUsec(u32::try_from(interval.as_micros()).unwrap_or(u32::MAX))
}

fn tell(states: &[NotifyState<'_>]) {
    static FAILED: AtomicBool = AtomicBool::new(false);
    if let Err(error) = sd_notify::notify(states)
        && !FAILED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(%error, "the service manager cannot be told how the server is");
    }
}
