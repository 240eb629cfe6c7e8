//! What a statement is made of is fixed before it is made: from there on payments go on without changing it.

use protocol::time::Timestamp;

use super::fold::Period;
use crate::admin::AdminError;
use crate::pipeline::Engine;

/// The part of log and journal that holds everything of before the end of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Its end is not in the future.
    pub period: Period,
    /// The log up to and with this batch; later ones have later times.
    pub batch: u64,
    /// The journal up to and with this commit; entries in later ones have later times.
    pub commit: u64,
}

impl Range {
    /// Fixes the range of a period; one that is not over ends now. Waits for payments of before its end that are under way. `None`
    /// where the server is about to stop. Of the shards' threads it asks an answer, and no work.
    ///
    /// # Errors
    /// [`AdminError`] where the period has not begun.
    pub fn fix(engine: &Engine, wanted: Period) -> Result<Option<Self>, AdminError> {
        let until = wanted.until.min(engine.now());
        if wanted.from >= until {
            let told = |time: Timestamp| time.to_string();
            let (from, end) = (told(wanted.from), told(until));
            return Err(AdminError::bad_input(format!(
                "there is nothing between {from} and {end}: a period must begin before it ends, and not in the future"
            )));
        }
        // Every batch from here on has a time that is not before now; those before are waited for, a moment.
        let Some(end) = engine.log_end() else { return Ok(None) };
        let complete = end.saturating_sub(1);
        // The shards have answered, so what they entered into the journal before `until` is durable, too.
        let commit = engine.reader().last_commit()?;
        Ok(Some(Self { period: Period { from: wanted.from, until }, batch: complete, commit }))
    }
}
