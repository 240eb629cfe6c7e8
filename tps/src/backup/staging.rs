//! A private directory for what was decrypted. It holds secrets, so it goes whatever ends the process: at the end by itself, at a
//! signal by a thread that waits for it, and after `kill -9` or a loss of power when the next one is made in the same place.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};
use tokio::signal::unix::{SignalKind, signal};

use super::BackupError;
use crate::data_directory::DataError;

/// A private directory that is removed when this is dropped, or when the process is told to end.
pub struct Staging {
    directory: tempfile::TempDir,
    _wait: WaitForTheEnd,
    /// Says that a living process uses the directory.
    _held: File,
}

/// Set once the process was told to end. Whoever fails because the directory vanishes waits here for the end instead of telling it.
struct WaitForTheEnd(Arc<AtomicBool>);

impl Drop for WaitForTheEnd {
    fn drop(&mut self) {
        while self.0.load(Ordering::Acquire) {
            std::thread::park();
        }
    }
}

impl Staging {
    /// Makes a directory in `parent` with a name that begins with `prefix`, and removes those that nobody uses any more.
    ///
    /// # Errors
    /// [`BackupError::Data`].
    pub fn new(parent: &Path, prefix: &str) -> Result<Self, BackupError> {
        remove_abandoned(parent, prefix);
        let private = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix(prefix).permissions(private).tempdir_in(parent);
        let directory = directory.map_err(DataError::system("write into", parent))?;
        let held = hold(directory.path()).map_err(DataError::system("lock", directory.path()))?;
        let ending = Arc::new(AtomicBool::new(false));
        let watched = remove_at_signal(directory.path().to_owned(), Arc::clone(&ending));
        watched.map_err(DataError::system("watch over", directory.path()))?;
        Ok(Self { directory, _wait: WaitForTheEnd(ending), _held: held })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes it now.
    ///
    /// # Errors
    /// [`BackupError::Data`] where something of it is left.
    pub fn remove(self) -> Result<(), BackupError> {
        let path = self.path().to_owned();
        Ok(self.directory.close().map_err(DataError::system("remove", &path))?)
    }

    /// Gives the whole directory a place of its own.
    ///
    /// # Errors
    /// [`BackupError::Data`]; it is removed then.
    pub fn become_directory(self, path: &Path) -> Result<(), BackupError> {
        std::fs::rename(self.path(), path).map_err(DataError::system("make", path))?;
        // Moved away, so there is nothing to clean up.
        let _ = self.directory.keep();
        Ok(())
    }
}

fn hold(directory: &Path) -> std::io::Result<File> {
    let file = File::open(directory)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// What cannot be removed is somebody else's, or there is nothing to be done about it here.
fn remove_abandoned(parent: &Path, prefix: &str) {
    for path in std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix));
        // An empty one may be about to be used.
        let used = || std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if ours && used() && hold(&path).is_ok() {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

fn remove_at_signal(path: PathBuf, ending: Arc<AtomicBool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let watch = move || {
        let kind = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hang_up.recv() => SignalKind::hangup(),
            }
        });
        ending.store(true, Ordering::Release);
        // The other thread goes on writing until the process has ended.
        while std::fs::remove_dir_all(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::DirectoryNotEmpty) {
        }
        std::process::exit(128 + kind.as_raw_value());
    };
    std::thread::Builder::new().name("clean-up".to_owned()).spawn(watch).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_another_one_uses_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let (used, left, empty, other) = (
            parent.path().join(".a-used"),
            parent.path().join(".a-left"),
            parent.path().join(".a-empty"),
            parent.path().join("b"),
        );
        for path in [&used, &left, &empty, &other] {
            std::fs::create_dir(path).unwrap();
        }
        for path in [&used, &left, &other] {
            std::fs::write(path.join("secret"), "secret").unwrap();
        }
        let _held = hold(&used).unwrap();
        let staging = Staging::new(parent.path(), ".a-").unwrap();
        assert_eq!([&used, &left, &empty, &other].map(|path| path.exists()), [true, false, true, true]);
        std::fs::write(staging.path().join("secret"), "secret").unwrap();
        let path = staging.path().to_owned();
        drop(Staging::new(parent.path(), ".a-").unwrap());
        assert!(path.exists());
        staging.remove().unwrap();
        assert!(!path.exists());
    }
}
