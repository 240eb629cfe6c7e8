//! Copies of a store beside the running one, and what comes back from them.
//!
//! A checkpoint is a store directory of its own: RocksDB's files as of one commit, linked and not copied, and a high-water
//! mark that says which commit that is. The thread that commits goes on meanwhile.

use std::path::Path;

use ::rocksdb::checkpoint::Checkpoint;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::super::high_water::{self, Point};
use super::super::{CHAIN_VALUES_KEPT, CheckpointView, StoreError};
use super::columns::{Chain, View};
use super::disk::{self, Disk, Opening, Paths};
use super::format::MetaKey;
use super::{RocksStore, meta, read_head};

/// Makes a checkpoint of `disk` as a new store directory.
pub(super) fn make(disk: &Disk, directory: &Path) -> Result<CheckpointView, StoreError> {
    let paths = Paths::of(directory);
    let failed = |detail: String| StoreError::WriteFailed { path: paths.text(), detail };
    if directory.exists() {
        return Err(StoreError::AlreadyInitialised { path: paths.text() });
    }
    paths.make_directory()?;
    let made = Checkpoint::new(&disk.db).and_then(|checkpoint| checkpoint.create_checkpoint(&paths.database));
    made.map_err(|error| failed(error.into_string()))?;
    let view = look(&paths)?;
    high_water::create(&paths.high_water, Point { number: view.commit, chain: view.chain })?;
    Ok(view)
}

/// Where the history in `paths` stands. Nothing is written.
fn look(paths: &Paths) -> Result<CheckpointView, StoreError> {
    let lock = paths.take_lock()?;
    let disk = Disk::open(paths, &paths.database, Opening::Look, lock)?;
    let view = View::new(&disk)?;
    let head = read_head(&disk, &view)?;
    let realm = protocol::ids::RealmId(meta(&disk, &view, MetaKey::Realm)?);
    Ok(CheckpointView { realm, commit: head.number, chain: head.chain })
}

/// Why a store was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Commits would be lost.
    #[error("the new store ends at commit {commit}, the present one had come to commit {high_water}")]
    Behind {
        /// Last commit of the new store.
        commit: u64,
        /// Last commit that the present one's mark has seen.
        high_water: u64,
    },
    /// Another history.
    #[error(
        "the new store ends at commit {commit} of another history; the present one had come to commit {high_water}"
    )]
    OtherHistory {
        /// Last commit of the new store.
        commit: u64,
        /// Last commit that the present one's mark has seen.
        high_water: u64,
    },
    /// The new store has come so far that it has forgotten what to compare by.
    #[error(
        "the new store ends at commit {commit}, too far beyond commit {high_water} of the present one to compare them"
    )]
    TooFar {
        /// Last commit of the new store.
        commit: u64,
        /// Last commit that the present one's mark has seen.
        high_water: u64,
    },
    /// Anything else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RocksStore {
    /// Where the history of the store in `directory` stands; it must not be open elsewhere. Nothing is written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn look(directory: &Path) -> Result<CheckpointView, StoreError> {
        look(&Paths::of(directory))
    }

    /// Puts the store in `by` into the place of the one in `directory`, in one step, and keeps that one as `aside`. With
    /// `accept_loss`, even if commits of the present one are missing in the other.
    ///
    /// # Errors
    /// [`ReplaceError`]: nothing was changed. [`StoreError::InUse`] where a server has the present one open.
    pub fn replace(directory: &Path, by: &Path, aside: &Path, accept_loss: bool) -> Result<(), ReplaceError> {
        let (present, new) = (Paths::of(directory), Paths::of(by));
        // Held until the end: no server starts in between.
        let _lock = present.database.exists().then(|| present.take_lock()).transpose()?;
        if !accept_loss {
            compare(&present, &new)?;
        }
        let failed =
            |error: std::io::Error| StoreError::WriteFailed { path: present.text(), detail: error.to_string() };
        let parent = || directory.parent().map_or(Ok(()), disk::sync);
        if directory.exists() {
            // Under its later name from the beginning: whenever this ends, what lies there is a ledger that is not in use.
            std::fs::rename(by, aside).and_then(|()| parent()).map_err(failed)?;
            exchange(directory, aside).map_err(failed)?;
        } else {
            std::fs::rename(by, directory).map_err(failed)?;
        }
        Ok(parent().map_err(failed)?)
    }
}

/// Refuses `new` where it lacks a commit that `present` has had.
fn compare(present: &Paths, new: &Paths) -> Result<(), ReplaceError> {
    let mut mark = high_water::read(&present.high_water)?;
    // The mark may trail what is durable; where the present database can be read, it says it itself.
    if let Ok(head) = head_of(present)
        && head.number > mark.number
    {
        mark = head;
    }
    let lock = new.take_lock()?;
    let disk = Disk::open(new, &new.database, Opening::Look, lock)?;
    let view = View::new(&disk)?;
    let head = read_head(&disk, &view)?;
    let (commit, high_water) = (head.number, mark.number);
    match view.get::<Chain>(&high_water)? {
        _ if commit < high_water => Err(ReplaceError::Behind { commit, high_water }),
        Some(chain) if chain == mark.chain => Ok(()),
        None if high_water == 0 => Ok(()),
        None if commit - high_water >= CHAIN_VALUES_KEPT => Err(ReplaceError::TooFar { commit, high_water }),
        _ => Err(ReplaceError::OtherHistory { commit, high_water }),
    }
}

/// The last commit of a store whose lock the caller holds.
fn head_of(paths: &Paths) -> Result<Point, StoreError> {
    let lock = std::fs::File::open(&paths.directory);
    let lock = lock.map_err(|error| StoreError::ReadFailed { path: paths.text(), detail: error.to_string() })?;
    let disk = Disk::open(paths, &paths.database, Opening::Look, lock)?;
    let view = View::new(&disk)?;
    read_head(&disk, &view)
}

/// Exchanges two directories; where the file system cannot do that in one step, in three.
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            let between = one.with_added_extension("replaced");
            std::fs::rename(one, &between)?;
            std::fs::rename(other, one)?;
            std::fs::rename(&between, other)
        }
        exchanged => exchanged.map_err(Into::into),
    }
}
