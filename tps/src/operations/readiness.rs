//! Whether a server can take payments, and if not, why not.

use protocol::key_set::KeyRole;
use protocol::time::Timestamp;

use super::key_times::KeyTimes;
use crate::pipeline::engine::Intake;

/// Why a server cannot take payments now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// It is about to stop, or to start anew.
    #[error("the server answers what is open and takes no more requests")]
    Draining,
    /// Too little disk space.
    #[error("less disk space is free than `disk_low_bytes`: make space")]
    DiskLow,
    /// No session key is valid now.
    #[error("no session key is valid now: run `tps key rotate session`")]
    NoSessionKey,
    /// No proof-signing key is valid now.
    #[error("no proof key is valid now: run `tps key rotate proof`")]
    NoProofKey,
    /// The pipeline does not answer.
    #[error("the pipeline has not answered for a while: look at the log and at the disk")]
    Stuck,
}

/// What stands in the way of payments. A certificate key is not asked for: without one no merchant can be approved, but
/// payments go on.
pub fn obstacles(intake: Intake, stopping: bool, stuck: bool, keys: &KeyTimes, now: Timestamp) -> Vec<Obstacle> {
    let facts = [
        (stopping || intake == Intake::Draining, Obstacle::Draining),
        (intake == Intake::DiskLow, Obstacle::DiskLow),
        (!keys.usable(KeyRole::Session, now), Obstacle::NoSessionKey),
        (intake == Intake::NoProofKey || !keys.usable(KeyRole::Proof, now), Obstacle::NoProofKey),
        (stuck, Obstacle::Stuck),
    ];
    facts.into_iter().filter_map(|(holds, obstacle)| holds.then_some(obstacle)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_is_named() {
        let keys = KeyTimes::of(&[(KeyRole::Session, 10, 20), (KeyRole::Session, 15, 30), (KeyRole::Proof, 0, 25)]);
        let at = |intake, stopping, stuck, now| obstacles(intake, stopping, stuck, &keys, Timestamp(now));
        assert_eq!(at(Intake::Open, false, false, 22), []);
        assert_eq!(at(Intake::Open, false, false, 10), [], "from the first moment of a key");
        assert_eq!(at(Intake::Open, false, false, 25), [], "to the last one");
        assert_eq!(at(Intake::Open, true, false, 22), [Obstacle::Draining]);
        assert_eq!(at(Intake::Draining, false, false, 22), [Obstacle::Draining]);
        assert_eq!(at(Intake::DiskLow, false, true, 22), [Obstacle::DiskLow, Obstacle::Stuck]);
        assert_eq!(at(Intake::NoProofKey, false, false, 22), [Obstacle::NoProofKey], "the one that the server holds");
        assert_eq!(at(Intake::Open, false, false, 5), [Obstacle::NoSessionKey], "a key that is not yet valid");
        assert_eq!(at(Intake::Open, false, false, 26), [Obstacle::NoProofKey]);
        assert_eq!(at(Intake::Open, false, false, 31), [Obstacle::NoSessionKey, Obstacle::NoProofKey]);
        assert_eq!(keys.last_end(KeyRole::Session), Some(Timestamp(30)));
        assert_eq!(keys.last_end(KeyRole::Certificate), None);
    }
}
