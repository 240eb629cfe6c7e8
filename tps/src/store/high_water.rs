//! The high-water mark: a second file that remembers how far the database had come.
//!
//! A disk or an operator can take a database back to an earlier state that looks sound. Money paid since would be there
//! again. So after every commit its number and the hash chain over all commits so far are written, at most 50 ms
//! later and never before the commit is durable, to a file that the database does not know of. A
//! database found behind its mark, or with another history, is not opened.
//!
//! The file has two slots of 4,096 bytes, written in turn and synced, so that a torn write leaves the other slot:
//!
//! | Offset | Bytes | |
//! |---|---|---|
//! | 0 | 8 | `QUITHWM1`: the last byte is the version |
//! | 8 | 8 | commit number, little endian |
//! | 16 | 32 | hash chain after that commit |
//! | 48 | 32 | BLAKE3 of the 48 bytes before: against damage, not against forgery |

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::StoreError;

/// Longest time that the mark may trail the last durable commit, in milliseconds (DESIGN section 8).
const TRAIL_MAX_MS: u64 = 50;
/// Shortest time between the beginnings of two writes: leaves the rest of [`TRAIL_MAX_MS`] for the write itself.
const WRITE_INTERVAL: Duration = Duration::from_millis(TRAIL_MAX_MS * 2 / 5);
/// Most commits that the mark may trail; beyond, commits wait for it. Half of the chain values that a store keeps.
const TRAIL_COMMITS_MAX: u64 = super::CHAIN_VALUES_KEPT / 2;

const MAGIC: &[u8; 8] = b"QUITHWM1";
const SLOT_BYTES: u64 = 4_096;
const CHECKED_BYTES: usize = 48;
const RECORD_BYTES: usize = CHECKED_BYTES + 32;

/// A point in the history of a database: after commit `number` the chain had this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Point {
    /// Number of the commit; 0 before the first.
    pub(in crate::store) number: u64,
    /// Hash chain over all commits up to it.
    pub(in crate::store) chain: [u8; 32],
}

impl Point {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.chain);
        let checksum = blake3::hash(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(checksum.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (checked, checksum) = bytes.split_at(CHECKED_BYTES);
        if checked[..8] != *MAGIC || blake3::hash(checked).as_bytes() != checksum {
            return None;
        }
        let mut point = Self { number: 0, chain: [0; 32] };
        let mut number = [0; 8];
        number.copy_from_slice(&checked[8..16]);
        point.number = u64::from_le_bytes(number);
        point.chain.copy_from_slice(&checked[16..48]);
        Some(point)
    }
}

/// Reads the mark at `path`.
///
/// # Errors
/// [`StoreError::HighWaterMarkLost`] where the file is missing or neither slot is sound; [`StoreError::ReadFailed`].
pub(in crate::store) fn read(path: &Path) -> Result<Point, StoreError> {
    let lost =
        |detail: &str| StoreError::HighWaterMarkLost { path: path.display().to_string(), detail: detail.to_owned() };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => lost("the file is missing"),
        _ => StoreError::ReadFailed { path: path.display().to_string(), detail: error.to_string() },
    })?;
    let slot = |index: u64| {
        let mut bytes = [0; RECORD_BYTES];
        file.read_exact_at(&mut bytes, index * SLOT_BYTES).ok().and_then(|()| Point::decode(&bytes))
    };
    match (slot(0), slot(1)) {
        (Some(first), Some(second)) => Ok(if first.number >= second.number { first } else { second }),
        (Some(only), None) | (None, Some(only)) => Ok(only),
        (None, None) => Err(lost("its content is damaged")),
    }
}

/// Writes a new mark at `path` that says `point`, in the place of whatever was there, and syncs it.
///
/// # Errors
/// [`StoreError::WriteFailed`].
pub(in crate::store) fn create(path: &Path, point: Point) -> Result<(), StoreError> {
    let write = || -> io::Result<()> {
        let temporary = path.with_extension("new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_len(2 * SLOT_BYTES)?;
        for slot in 0..2 {
            file.write_all_at(&point.encode(), slot * SLOT_BYTES)?;
        }
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(|error| failed(path, &error.to_string()))
}

fn failed(path: &Path, detail: &str) -> StoreError {
    StoreError::WriteFailed { path: path.display().to_string(), detail: detail.to_owned() }
}

struct State {
    /// Last durable commit.
    latest: Point,
    /// Last commit in the file.
    marked: u64,
    stopping: bool,
    /// Why the mark cannot be written any more.
    failure: Option<String>,
}

struct Shared {
    state: Mutex<State>,
    /// Something was published, or the thread shall stop: ends its idleness.
    published: Condvar,
    /// Somebody waits for the file: ends the interval between two writes. Apart from `published`, so that commits do not
    /// wake the thread twenty times before it may write.
    hurry: Condvar,
    /// The file was written, or writing failed.
    written: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mark of an open database and the thread that writes it.
pub(in crate::store) struct HighWaterMark {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl HighWaterMark {
    /// Marks `point`, the state that was recovered, and starts the thread that follows the commits.
    ///
    /// # Errors
    /// [`StoreError::WriteFailed`].
    pub(in crate::store) fn start(path: &Path, point: Point) -> Result<Self, StoreError> {
        create(path, point)?;
        let error = |error: io::Error| failed(path, &error.to_string());
        let file = OpenOptions::new().write(true).open(path).map_err(error)?;
        let state = State { latest: point, marked: point.number, stopping: false, failure: None };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            published: Condvar::new(),
            hurry: Condvar::new(),
            written: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("high-water".to_owned())
            .spawn(move || follow(&for_thread, &file))
            .map_err(error)?;
        Ok(Self { path: path.to_owned(), shared, thread: Some(thread) })
    }

    /// Tells of a commit that is durable. Returns at once, unless the mark trails by very many commits.
    ///
    /// # Errors
    /// [`StoreError::WriteFailed`] when the mark could not be written: the process must end as for a failed commit.
    pub(in crate::store) fn publish(&self, point: Point) -> Result<(), StoreError> {
        let mut state = self.shared.state();
        state.latest = point;
        self.shared.published.notify_one();
        while state.failure.is_none() && point.number - state.marked > TRAIL_COMMITS_MAX {
            self.shared.hurry.notify_one();
            state = self.shared.written.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match &state.failure {
            Some(detail) => Err(failed(&self.path, detail)),
            None => Ok(()),
        }
    }
}

impl Drop for HighWaterMark {
    /// Writes the last commit before it returns.
    fn drop(&mut self) {
        self.shared.state().stopping = true;
        self.shared.published.notify_one();
        self.shared.hurry.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has written nothing wrong: the mark trails, which is safe.
            let _ = thread.join();
        }
    }
}

/// Writes the latest point whenever there is a newer one, at most once per [`WRITE_INTERVAL`].
fn follow(shared: &Shared, file: &File) {
    let mut slot = 0;
    let mut next_write = Instant::now();
    let mut state = shared.state();
    loop {
        if state.latest.number == state.marked {
            if state.stopping {
                return;
            }
            state = shared.published.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let wait = next_write.saturating_duration_since(Instant::now());
        if !wait.is_zero() && !state.stopping && state.latest.number - state.marked <= TRAIL_COMMITS_MAX {
            state = shared.hurry.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let point = state.latest;
        drop(state);
        next_write = Instant::now() + WRITE_INTERVAL;
        let result = file.write_all_at(&point.encode(), slot * SLOT_BYTES).and_then(|()| file.sync_data());
        slot = 1 - slot;
        state = shared.state();
        match result {
            Ok(()) => state.marked = point.number,
            // After a failed sync nothing is known of the file; the next commit fails with this.
            Err(error) => {
                state.failure = Some(error.to_string());
                shared.written.notify_all();
                return;
            }
        }
        shared.written.notify_all();
    }
}

#[cfg(test)]
mod tests;
