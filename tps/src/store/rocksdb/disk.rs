//! The database on the disk: where it lies, how RocksDB is set, and what its errors mean here.
//!
//! A store is a directory that only its owner may enter. It holds `lock` (held while the database is open), `high-water`
//! (see [`super::super::high_water`]) and `rocksdb`. `rocksdb.new` is a database whose making was interrupted.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ::rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Error,
    ErrorKind, LogLevel, MemtableFactory, Options, WriteBatch, WriteOptions,
};
use rustix::fs::{FlockOperation, flock, statvfs};

use super::super::StoreError;
use super::columns::{Accounts, Batches, Column, Desk, Enrolments, Instruments, Journal, NAMES, Payments};

const MEBIBYTE: usize = 1_024 * 1_024;
/// Memory for blocks read from the disk.
const BLOCK_CACHE_BYTES: usize = 64 * MEBIBYTE;
/// A table in memory is written out at this size.
const WRITE_BUFFER_BYTES: usize = 64 * MEBIBYTE;
/// The same for the records of desks: the index for refunds comes at random places, and only a small table stays in the caches of
/// the processor. With 64 MiB a record took the committer five times as long.
const DESK_WRITE_BUFFER_BYTES: usize = 4 * MEBIBYTE;
/// All write-ahead logs together: bounds the time to recover after a crash.
const WAL_BYTES_MAX: u64 = 192 * MEBIBYTE as u64;
/// Files of the large, growing column families.
const LARGE_FILE_BYTES: u64 = 256 * MEBIBYTE as u64;
/// Open table files; the common limit per process is 1,024.
const OPEN_FILES_MAX: i32 = 512;

/// An open database; other processes cannot open it.
pub(super) struct Disk {
    // Dropped in this order: the lock outlives the database.
    pub(super) db: DB,
    directory: PathBuf,
    _lock: File,
}

/// The paths in a store's directory.
pub(super) struct Paths {
    /// The directory itself.
    pub(super) directory: PathBuf,
    /// Held while open.
    lock: PathBuf,
    /// The high-water mark.
    pub(super) high_water: PathBuf,
    /// RocksDB's directory.
    pub(super) database: PathBuf,
    /// RocksDB's directory while it is made.
    pub(super) unfinished: PathBuf,
}

impl Paths {
    /// The paths in `directory`.
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            lock: directory.join("lock"),
            high_water: directory.join("high-water"),
            database: directory.join("rocksdb"),
            unfinished: directory.join("rocksdb.new"),
        }
    }

    /// The directory as text.
    pub(super) fn text(&self) -> String {
        self.directory.display().to_string()
    }

    /// Makes the directory, for its owner only, unless it exists.
    ///
    /// # Errors
    /// [`StoreError::WriteFailed`].
    pub(super) fn make_directory(&self) -> Result<(), StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        let synced = made.and_then(|()| {
            self.directory.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
        });
        synced.map_err(|error| StoreError::WriteFailed { path: self.text(), detail: error.to_string() })
    }

    /// Refuses a directory that others may enter.
    ///
    /// # Errors
    /// [`StoreError::OpenToOthers`]; [`StoreError::NotInitialised`] if there is none.
    pub(super) fn check_permissions(&self) -> Result<(), StoreError> {
        let Ok(metadata) = std::fs::metadata(&self.directory) else {
            return Err(StoreError::NotInitialised { path: self.text() });
        };
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StoreError::OpenToOthers { path: self.text(), mode });
        }
        Ok(())
    }

    /// Takes the lock, which ends with the file or with the process.
    ///
    /// # Errors
    /// [`StoreError::InUse`]; [`StoreError::ReadFailed`] if the file cannot be made.
    pub(super) fn take_lock(&self) -> Result<File, StoreError> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.lock);
        let file = file.map_err(|error| StoreError::ReadFailed { path: self.text(), detail: error.to_string() })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(StoreError::InUse { path: self.text() }),
            Err(error) => Err(StoreError::ReadFailed { path: self.text(), detail: error.to_string() }),
        }
    }
}

/// Makes the entries of a directory durable.
pub(super) fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether a database is made or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// It must not exist.
    Make,
    /// It must exist.
    Find,
    /// It must exist, and is only looked at.
    Look,
}

impl Disk {
    /// Opens RocksDB at `database`. `lock` is kept until it is closed.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`], [`StoreError::ReadFailed`].
    pub(super) fn open(paths: &Paths, database: &Path, opening: Opening, lock: File) -> Result<Self, StoreError> {
        let error = |error: Error| match error.kind() {
            ErrorKind::Corruption | ErrorKind::InvalidArgument => {
                StoreError::Unreadable { path: paths.text(), detail: error.into_string() }
            }
            _ => StoreError::ReadFailed { path: paths.text(), detail: error.into_string() },
        };
        let mut options = database_options().map_err(error)?;
        options.create_if_missing(opening == Opening::Make);
        options.set_error_if_exists(opening == Opening::Make);
        options.create_missing_column_families(opening == Opening::Make);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families: Result<Vec<_>, _> =
            NAMES.iter().map(|name| Ok(ColumnFamilyDescriptor::new(*name, family_options(name, &cache)?))).collect();
        let families = families.map_err(error)?;
        let db = match opening {
            Opening::Look => DB::open_cf_descriptors_read_only(&options, database, families, false),
            Opening::Make | Opening::Find => DB::open_cf_descriptors(&options, database, families),
        };
        let db = db.map_err(error)?;
        Ok(Self { db, directory: paths.directory.clone(), _lock: lock })
    }

    /// The store's directory as text.
    pub(super) fn path(&self) -> String {
        self.directory.display().to_string()
    }

    /// Writes a batch and syncs it: when this returns, it is durable, all of it.
    ///
    /// # Errors
    /// [`StoreError::WriteFailed`]: whether it happened is unknown.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        options.disable_wal(false);
        let written = self.db.write_opt(batch, &options);
        written.map_err(|error| StoreError::WriteFailed { path: self.path(), detail: error.into_string() })
    }

    /// Data that cannot be read.
    pub(super) fn unreadable(&self, detail: &str) -> StoreError {
        StoreError::Unreadable { path: self.path(), detail: detail.to_owned() }
    }

    /// What an error of a read means.
    pub(super) fn read_failed(&self, error: &Error) -> StoreError {
        match error.kind() {
            ErrorKind::Corruption => self.unreadable(error.as_ref()),
            _ => StoreError::ReadFailed { path: self.path(), detail: error.as_ref().to_owned() },
        }
    }

    /// Bytes that an unprivileged process can still write where the store lies; `None` if the system does not tell.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let space = statvfs(&self.directory).ok()?;
        space.f_bavail.checked_mul(space.f_frsize)
    }
}

/// Options that the crate has no function for. No automatic resumption: after an error in the background nothing is
/// written until the server has restarted and recovered. Records in memory carry checksums of their own.
const DATABASE_TEXT: &str = "max_bgerror_resume_count=0;two_write_queues=false";
const FAMILY_TEXT: &str = "memtable_protection_bytes_per_key=8";

/// Options of the database: DESIGN section 8.
fn database_options() -> Result<Options, Error> {
    let mut options = Options::default().get_options_from_string(DATABASE_TEXT)?;
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_unordered_write(false);
    options.set_enable_pipelined_write(false);
    options.set_manual_wal_flush(false);
    options.set_recycle_log_file_num(0);
    // One writer: inserting without atomic operations is cheaper.
    options.set_allow_concurrent_memtable_write(false);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_avoid_unnecessary_blocking_io(true);
    // Large files reach the disk while they are written, not all at once in front of somebody's commit.
    options.set_bytes_per_sync(MEBIBYTE as u64);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(16 * MEBIBYTE);
    options.set_keep_log_file_num(4);
    if cfg!(test) {
        options.enable_statistics();
    }
    Ok(options)
}

/// Options of the column family `name`.
fn family_options(name: &str, cache: &Cache) -> Result<Options, Error> {
    let mut options = Options::default().get_options_from_string(FAMILY_TEXT)?;
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_checksum_type(ChecksumType::XXH3);
    if ![Accounts::NAME, Instruments::NAME].contains(&name) {
        blocks.set_bloom_filter(10.0, false);
    }
    // Indexes of a long history count against the cache instead of growing without bound.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    options.set_block_based_table_factory(&blocks);
    // Names, keys, hashes and signatures have nothing to compress; trying took a third of what writing tables costs.
    let random = [Accounts::NAME, Enrolments::NAME, Instruments::NAME, Batches::NAME, Payments::NAME].contains(&name);
    options.set_compression_type(if random { DBCompressionType::None } else { DBCompressionType::Lz4 });
    options.set_write_buffer_size(if name == Desk::NAME { DESK_WRITE_BUFFER_BYTES } else { WRITE_BUFFER_BYTES });
    options.set_max_write_buffer_number(3);
    options.set_level_compaction_dynamic_level_bytes(true);
    if [Payments::NAME, Batches::NAME, Journal::NAME].contains(&name) {
        options.set_target_file_size_base(LARGE_FILE_BYTES);
    }
    if [Accounts::NAME, Instruments::NAME].contains(&name) {
        // Written at random places with every payment and read as a whole only: appending now and sorting in the background
        // halves the cost of a commit. Reading one record by key would be slow.
        options.set_memtable_factory(MemtableFactory::Vector);
    }
    Ok(options)
}
