//! What a serving process looks after in the background: disk space, keys whose time has come, and the end of the key that signs
//! proofs.

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::KeyId;
use protocol::time::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::data_directory::DataDirectory;
use crate::keys::KeyRing;
use crate::operations::Observation;
use crate::operator::ServerSignal;
use crate::pipeline::Engine;
use crate::pipeline::engine::Intake;

/// How often disk space is looked at: at full speed a server fills far less than `disk_low_bytes` in between.
const DISK_INTERVAL: Duration = Duration::from_secs(1);
/// How long before the end of the proof key payments stop: more than an interval, so that those under way still get proofs that
/// merchants accept.
const PROOF_KEY_MARGIN_MS: u64 = 5_000;
/// How many looks at the disk per look at the key files.
const LOOKS_PER_KEY_CHECK: u64 = 30;

/// What is looked after.
pub(super) struct Watched {
    pub(super) engine: Arc<Engine>,
    pub(super) observation: Arc<Observation>,
    pub(super) data: DataDirectory,
    pub(super) disk_low_bytes: u64,
    /// The keys that the engine was started with.
    pub(super) in_force: Vec<KeyId>,
    /// Until when the proof key that the engine was started with is valid.
    pub(super) proof_key_until: Timestamp,
    /// Where to ask for a reload; `None` where the ledger would not survive it.
    pub(super) signals: Option<mpsc::UnboundedSender<ServerSignal>>,
}

/// Looks after everything until `stop` becomes true.
pub(super) async fn run(watched: Watched, mut stop: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(DISK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0u64;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stopped(&mut stop) => return,
        }
        if watched.engine.now().plus(PROOF_KEY_MARGIN_MS) > watched.proof_key_until {
            stop_payments(&watched.engine);
        } else {
            look_at_disk(&watched.engine, watched.disk_low_bytes);
        }
        looks += 1;
        if !looks.is_multiple_of(LOOKS_PER_KEY_CHECK) {
            continue;
        }
        // An error here is one of the next look, too, which tells it.
        let _ = watched.observation.look_at_keys();
        if let Some(signals) = &watched.signals
            && keys_changed(&watched)
        {
            tracing::info!("the keys in force have changed; the server takes them anew if it can");
            let _ = signals.send(ServerSignal::Reload);
        }
    }
}

/// Money must not move for proofs that no merchant accepts. Only a reload, with a new key, opens the intake again.
fn stop_payments(engine: &Engine) {
    let now = engine.intake();
    if matches!(now, Intake::Open | Intake::DiskLow) && engine.change_intake(now, Intake::NoProofKey) {
        tracing::error!("the proof key's time is over: payments are refused until `tps key rotate proof --at-once`");
        super::notify::status("The proof key's time is over: payments are refused");
    }
}

fn look_at_disk(engine: &Engine, low_bytes: u64) {
    let (Some(free_bytes), now) = (engine.reader().free_bytes(), engine.intake()) else { return };
    if let Some((next, words)) = next_intake(now, free_bytes, low_bytes)
        && engine.change_intake(now, next)
    {
        tracing::warn!(free_bytes, low_bytes, "{words}");
        super::notify::status(words);
    }
}

/// Which state of the intake follows from so much space; `None` where it stays as it is.
fn next_intake(now: Intake, free_bytes: u64, low_bytes: u64) -> Option<(Intake, &'static str)> {
    // A little more than the threshold before payments go on, so that they do not come and go.
    let enough_bytes = low_bytes.saturating_add(low_bytes / 8);
    match now {
        Intake::Open if free_bytes < low_bytes => {
            Some((Intake::DiskLow, "too little disk space: new payments are refused until there is more"))
        }
        Intake::DiskLow if free_bytes >= enough_bytes => {
            Some((Intake::Open, "there is disk space again: payments go on"))
        }
        _ => None,
    }
}

fn keys_changed(watched: &Watched) -> bool {
    let now = watched.engine.now();
    match KeyRing::load(&watched.data) {
        Ok(ring) => {
            let in_force = ring.in_force(now);
            // A server without a usable key goes on with what it has: stopping would help nobody.
            let usable = [protocol::key_set::KeyRole::Session, protocol::key_set::KeyRole::Proof]
                .into_iter()
                .all(|role| ring.current(role, now).is_some());
            usable && in_force != watched.in_force
        }
        Err(error) => {
            tracing::error!(%error, "the key files cannot be read; the server goes on with the keys it has");
            false
        }
    }
}

/// Returns once `stop` is true.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payments_stop_at_the_threshold_and_go_on_a_little_above_it() {
        let next = |now, free_bytes| next_intake(now, free_bytes, 800).map(|(next, _)| next);
        assert_eq!((next(Intake::Open, 800), next(Intake::Open, 799)), (None, Some(Intake::DiskLow)));
        assert_eq!((next(Intake::DiskLow, 899), next(Intake::DiskLow, 900)), (None, Some(Intake::Open)));
        assert_eq!(
            (next(Intake::Draining, 0), next(Intake::Draining, u64::MAX)),
            (None, None),
            "a drain is not undone"
        );
    }
}
