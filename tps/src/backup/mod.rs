//! Backups: everything that a TPS is, in one encrypted file.
//!
//! ```text
//! create   checkpoint of the ledger (links, made beside the commits) -> tar -> age -> temporary file -> sync -> name
//! verify   age -> tar -> private directory -> open, read every record, replay the audit -> gone again
//! restore  the same beside the data directory, then one exchange of directories
//! ```
//!
//! The file is an age file (age-encryption.org/v1) with a tar archive in it: `manifest.toml` first, then the files as they lie
//! in the data directory. Keys are in it as they lie there: protected, or in clear within the encrypted file. What is decrypted
//! lies in a private directory, which is removed whatever ends the process ([`Staging`]).

mod inspect;
mod manifest;
mod pack;
mod restore;
mod staging;
#[cfg(test)]
mod tests;
mod unpack;

use std::path::{Path, PathBuf};

use protocol::ids::RealmId;

use crate::data_directory::DataError;
use crate::keys::{KeyError, SecretKind};
use crate::store::StoreError;

pub use inspect::{Findings, inspect};
pub use manifest::Manifest;
pub use pack::create;
pub use restore::{Restored, restore};
pub use staging::Staging;
pub use unpack::unpack;

/// Directories of the data directory whose files lie beside the ledger and belong to it. They are there only where they were needed.
const TREES: [&str; 3] = ["archive", "settlements", "funding"];

/// Why a backup was not made, is of no use, or was not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The name is taken.
    #[error("{0} exists already; nothing was done: name a new file")]
    Exists(PathBuf),
    /// Not the file of a backup.
    #[error("{0} is no backup of a TPS: name a file that `tps backup create` made")]
    NoBackup(PathBuf),
    /// Another passphrase or key file.
    #[error("{origin} does not open {file}, which is encrypted for a {kind}; nothing was changed")]
    WrongSecret {
        /// The backup.
        file: PathBuf,
        /// What was tried.
        origin: String,
        /// What is needed.
        kind: SecretKind,
    },
    /// Altered, or cut short.
    #[error("the backup {file} is damaged: {detail}; nothing was changed: use another backup")]
    Damaged {
        /// The backup.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Made by another version of this program.
    #[error("the backup has format {found}, this program reads format {expected}: use the version that made it")]
    OtherFormat {
        /// Format found.
        found: u16,
        /// Format of this program.
        expected: u16,
    },
    /// A TPS of another realm lies where it should go.
    #[error(
        "the backup belongs to realm {backup}, {data} to realm {present}; nothing was changed: name another --data directory"
    )]
    OtherRealm {
        /// Where it should go.
        data: PathBuf,
        /// Realm of the backup.
        backup: RealmId,
        /// Realm of the directory.
        present: RealmId,
    },
    /// A server has the ledger.
    #[error("a server runs on {0}; nothing was changed: stop it first with `tps drain`")]
    ServerRuns(PathBuf),
    /// Payments would be lost.
    #[error(
        "the backup ends at commit {backup}, but {data} had come to commit {present}: what was committed after {backup} would be lost. Nothing was changed: restore a newer backup, or answer for the loss with --accept-loss"
    )]
    Behind {
        /// Where it should go.
        data: PathBuf,
        /// Last commit of the backup.
        backup: u64,
        /// Last commit that the directory's high-water mark has seen.
        present: u64,
    },
    /// Payments of another history would be lost.
    #[error(
        "the backup ends at commit {backup} of another history than that of {data}, which had come to commit {present}. Nothing was changed: restore another backup, or answer for the loss with --accept-loss"
    )]
    OtherHistory {
        /// Where it should go.
        data: PathBuf,
        /// Last commit of the backup.
        backup: u64,
        /// Last commit that the directory's high-water mark has seen.
        present: u64,
    },
    /// Nobody can tell what would be lost, because the two lie too far apart.
    #[error(
        "the backup ends at commit {backup}, so far beyond commit {present} of {data} that it has forgotten what to compare them by. Nothing was changed: restore it into a new directory, or answer with --accept-loss for what may be missing"
    )]
    TooFar {
        /// Where it should go.
        data: PathBuf,
        /// Last commit of the backup.
        backup: u64,
        /// Last commit that the directory's high-water mark has seen.
        present: u64,
    },
    /// Nobody can tell what would be lost.
    #[error(
        "the high-water mark of {data} is lost, so that nobody can tell whether the backup, which ends at commit {backup}, lacks anything. Nothing was changed: answer for that with --accept-loss"
    )]
    MarkLost {
        /// Where it should go.
        data: PathBuf,
        /// Last commit of the backup.
        backup: u64,
    },
    /// Money is missing in the backup, or too much.
    #[error(
        "the ledger in the backup {file} does not add up: {differences} differences, the first: {first}. Nothing was changed: restore another backup, or answer for the differences with --accept-loss; `tps backup verify` lists them"
    )]
    DoesNotAddUp {
        /// The backup.
        file: PathBuf,
        /// How many the audit found.
        differences: u64,
        /// The first of them.
        first: String,
    },
    /// The ledger cannot be audited.
    #[error("the ledger in the backup cannot be audited: {0}")]
    Audit(String),
}

impl BackupError {
    /// Binds an error to the backup that it was met in.
    fn damaged(file: &Path, detail: impl std::fmt::Display) -> Self {
        Self::Damaged { file: file.to_owned(), detail: detail.to_string() }
    }
}
