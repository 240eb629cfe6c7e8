//! The customer's directory: private files, each replaced as a whole, one process at a time.
//!
//! | File | Content |
//! |---|---|
//! | `lock` | held by the process that uses the instrument |
//! | `keys.json` | the instrument's own keys |
//! | `enrolment.json` | the TPS, its certificate and root key; written last by `init` |
//! | `key-set` | the newest key set that the root signed |
//! | `payment.json` | count, modifier, and the request that is open |
//! | `clock.json` | how far this machine's clock was off when the TPS answered last |
//! | `outcomes/` | one file per decided payment, with proof or denial; written before `payment.json` moves on |
//! | `purchases/` | one file per confirmed purchase |
//!
//! There is no PIN, no session key of a request, no authenticator, and no credential of the second channel (K-64, K-112,
//! K-122).

mod files;
mod records;

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

pub use files::StoreError;
use files::{PRIVATE_DIRECTORY_MODE, read_private, sync_directory, write_private, write_private_once};
use protocol::customer::payment::PaymentState;
use protocol::ids::TransactionNumber;
use protocol::request::Content;
pub use records::{Enrolment, Keys, Outcome, OutcomeKind, PurchaseRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::skew::ClockSkew;

const KEYS: &str = "keys.json";
const ENROLMENT: &str = "enrolment.json";
const KEY_SET: &str = "key-set";
const PAYMENT: &str = "payment.json";
const CLOCK: &str = "clock.json";
const OUTCOMES: &str = "outcomes";
const PURCHASES: &str = "purchases";
const LOCK: &str = "lock";

/// The customer's directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held as long as this lives; `None` for whoever only looks.
    lock: Option<File>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing would not do: a child that another thread is just starting holds a copy of the descriptor, and the lock with it.
        if let Some(Err(error)) = self.lock.as_ref().map(File::unlock) {
            tracing::debug!("the lock of {} ends with this process: {error}", self.path.display());
        }
    }
}

impl Directory {
    /// Opens the directory for use, alone; makes it where it is missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process uses it, [`StoreError::Permissions`] where others may read it,
    /// [`StoreError::File`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        for directory in [path.to_owned(), path.join(OUTCOMES), path.join(PURCHASES)] {
            files::make_private_directory(&directory)?;
        }
        Self::check_private(path)?;
        let lock_path = path.join(LOCK);
        let error = |source| StoreError::File { path: lock_path.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(error)?;
        lock.set_permissions(std::fs::Permissions::from_mode(files::PRIVATE_FILE_MODE)).map_err(error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(path.to_owned())),
            Err(std::fs::TryLockError::Error(source)) => return Err(error(source)),
        }
        for directory in [path.to_owned(), path.join(OUTCOMES), path.join(PURCHASES)] {
            files::remove_leftovers(&directory)?;
        }
        Ok(Self { path: path.to_owned(), lock: Some(lock) })
    }

    /// Opens the directory to look at it, beside a process that uses it: every file is whole at any time.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`], [`StoreError::Permissions`].
    pub fn look(path: &Path) -> Result<Self, StoreError> {
        if !path.join(ENROLMENT).exists() {
            return Err(StoreError::NotInitialised(path.to_owned()));
        }
        Self::check_private(path)?;
        Ok(Self { path: path.to_owned(), lock: None })
    }

    fn check_private(path: &Path) -> Result<(), StoreError> {
        let metadata = std::fs::metadata(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StoreError::Permissions { path: path.to_owned(), mode, expected: PRIVATE_DIRECTORY_MODE });
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let path = self.path.join(name);
        let Some(bytes) = read_private(&path)? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|error| StoreError::Unreadable { path, reason: error.to_string() })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StoreError> {
        let path = self.path.join(name);
        write_private(&path, &text_of(value, &path)?)
    }

    /// The instrument's keys, once made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys(&self) -> Result<Option<Keys>, StoreError> {
        self.read(KEYS)
    }

    /// Stores new keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store_keys(&self, keys: &Keys) -> Result<(), StoreError> {
        self.write(KEYS, keys)
    }

    /// What the bundle told, once the instrument is active.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn enrolment(&self) -> Result<Option<Enrolment>, StoreError> {
        self.read(ENROLMENT)
    }

    /// Stores the enrolment: the instrument can pay from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store_enrolment(&self, enrolment: &Enrolment) -> Result<(), StoreError> {
        self.write(ENROLMENT, enrolment)
    }

    /// The pinned key set, as the root signed it.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`], [`StoreError`].
    pub fn key_set(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        read_private(&self.path.join(KEY_SET))?.ok_or_else(|| StoreError::NotInitialised(self.path.clone()))
    }

    /// Stores a key set that was verified.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store_key_set(&self, bytes: &[u8]) -> Result<(), StoreError> {
        write_private(&self.path.join(KEY_SET), bytes)
    }

    /// Count, modifier and open request.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`], [`StoreError`].
    pub fn payment_state(&self) -> Result<PaymentState, StoreError> {
        self.read(PAYMENT)?.ok_or_else(|| StoreError::NotInitialised(self.path.clone()))
    }

    /// Stores count, modifier and open request; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store_payment_state(&self, state: &PaymentState) -> Result<(), StoreError> {
        self.write(PAYMENT, state)
    }

    /// How far this machine's clock was off when the TPS answered last; `None` where it never was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clock_skew(&self) -> Result<Option<ClockSkew>, StoreError> {
        self.read(CLOCK)
    }

    /// Stores how far this machine's clock is off.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store_clock_skew(&self, skew: &ClockSkew) -> Result<(), StoreError> {
        self.write(CLOCK, skew)
    }

    fn outcome_name(content: &Content) -> String {
        format!("{OUTCOMES}/{}.json", content.hash())
    }

    /// What became of `content`, if that is known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outcome(&self, content: &Content) -> Result<Option<Outcome>, StoreError> {
        self.read(&Self::outcome_name(content))
    }

    /// Stores what became of a payment, before the payment state forgets it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store_outcome(&self, outcome: &Outcome) -> Result<(), StoreError> {
        self.write(&Self::outcome_name(&outcome.content), outcome)
    }

    /// All outcomes, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outcomes(&self) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes: Vec<Outcome> = self.read_all(OUTCOMES)?;
        outcomes.sort_by_key(|outcome| (outcome.at, outcome.count));
        Ok(outcomes)
    }

    /// The purchase `number`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn purchase(&self, number: TransactionNumber) -> Result<Option<PurchaseRecord>, StoreError> {
        self.read(&purchase_name(number))
    }

    /// Stores a purchase that begins; durable when this returns. `false`, and nothing is changed, where there is one of this
    /// number already: merchants choose the numbers, and what is stored is the only key to what was paid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_purchase(&self, number: TransactionNumber, record: &PurchaseRecord) -> Result<bool, StoreError> {
        let path = self.path.join(purchase_name(number));
        write_private_once(&path, &text_of(record, &path)?)
    }

    /// Stores a purchase; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store_purchase(&self, number: TransactionNumber, record: &PurchaseRecord) -> Result<(), StoreError> {
        self.write(&purchase_name(number), record)
    }

    /// All purchases, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn purchases(&self) -> Result<Vec<PurchaseRecord>, StoreError> {
        let mut purchases: Vec<PurchaseRecord> = self.read_all(PURCHASES)?;
        purchases.sort_by_key(|record| record.begun_at);
        Ok(purchases)
    }

    fn read_all<T: DeserializeOwned>(&self, folder: &str) -> Result<Vec<T>, StoreError> {
        let path = self.path.join(folder);
        let error = |source| StoreError::File { path: path.clone(), source };
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(error)? {
            let name = entry.map_err(error)?.file_name();
            if let Some(name) = name.to_str().filter(|name| name.ends_with(".json"))
                && let Some(value) = self.read(&format!("{folder}/{name}"))?
            {
                all.push(value);
            }
        }
        Ok(all)
    }
}

fn purchase_name(number: TransactionNumber) -> String {
    format!("{PURCHASES}/{number}.json")
}

fn text_of<T: Serialize>(value: &T, path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let unreadable =
        |error: serde_json::Error| StoreError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    serde_json::to_vec_pretty(value).map(Zeroizing::new).map_err(unreadable)
}

/// Moves a finished file into place, durably.
pub(crate) fn finish_file(file: &File, from: &Path, to: &Path) -> std::io::Result<()> {
    file.sync_all()?;
    std::fs::rename(from, to)?;
    sync_directory(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests;
