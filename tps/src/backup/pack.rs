//! Packing a checkpoint and the files around it.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use protocol::time::Timestamp;

use super::manifest::{FORMAT, MANIFEST, Manifest};
use super::{BackupError, TREES};
use crate::data_directory::{DataDirectory, DataError, hold_directory, sync_directory};
use crate::store::CheckpointView;

/// Bytes written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Packs the checkpoint at [`DataDirectory::checkpoint`] and everything else of `data` into the new file `file`, encrypted. It has
/// its name only once it is complete and durable.
///
/// # Errors
/// [`BackupError::Exists`], [`BackupError::Data`]; nothing is left then.
pub fn create(
    data: &DataDirectory,
    checkpoint: &CheckpointView,
    file: &Path,
    encryptor: age::Encryptor,
    now: Timestamp,
) -> Result<Manifest, BackupError> {
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    // Until the keys are packed, so that keys, key sets and what the manifest says of them are of one moment.
    let held = hold_directory(&data.keys())?;
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        realm: checkpoint.realm,
        commit: checkpoint.commit,
        chain: hex::encode(checkpoint.chain),
        made_at_ms: now,
        keys_protected: data.vault().is_protected(),
    };
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| DataError::system("write", file)(error);
    let private = std::fs::Permissions::from_mode(0o600);
    let unfinished = tempfile::Builder::new().prefix(".tps-backup-").permissions(private).tempfile_in(parent);
    let unfinished = unfinished.map_err(DataError::system("write into", parent))?;
    let written = || -> Result<(), BackupError> {
        let encrypted = encryptor.wrap_output(BufWriter::with_capacity(BUFFER_BYTES, unfinished.as_file()));
        let mut archive = Archive { builder: tar::Builder::new(encrypted.map_err(failed)?), file, now };
        archive.bytes(MANIFEST, manifest.to_text().as_bytes())?;
        archive.one(&data.realm_file(), "realm.toml")?;
        archive.one(&data.config_file(), "tps.toml")?;
        archive.directory(&data.key_sets(), "key-sets")?;
        archive.directory(&data.keys(), "keys")?;
        drop(held);
        // Made before the ledger knows of them, and never changed: what the checkpoint knows of is there.
        for tree in TREES {
            archive.tree(&data.path().join(tree), tree)?;
        }
        let ledger = data.checkpoint();
        archive.one(&ledger.join("high-water"), "ledger/high-water")?;
        archive.directory(&ledger.join("rocksdb"), "ledger/rocksdb")?;
        let encrypted = archive.builder.into_inner().map_err(failed)?;
        encrypted.finish().and_then(|mut buffered| buffered.flush()).map_err(failed)?;
        unfinished.as_file().sync_all().map_err(failed)?;
        Ok(())
    };
    written()?;
    unfinished.persist_noclobber(file).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
        _ => failed(error.error).into(),
    })?;
    sync_directory(parent).map_err(DataError::system("write into", parent))?;
    Ok(manifest)
}

struct Archive<'a, W: Write> {
    builder: tar::Builder<W>,
    file: &'a Path,
    now: Timestamp,
}

impl<W: Write> Archive<'_, W> {
    fn header(&self, length: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(0o600);
        header.set_mtime(self.now.0 / 1_000);
        header
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let mut header = self.header(bytes.len() as u64);
        let appended = self.builder.append_data(&mut header, name, bytes);
        Ok(appended.map_err(DataError::system("write", self.file))?)
    }

    /// One file, which must be there.
    fn one(&mut self, path: &Path, name: &str) -> Result<(), BackupError> {
        let file = File::open(path).map_err(DataError::system("read", path))?;
        self.opened(&file, path, name)
    }

    fn opened(&mut self, file: &File, path: &Path, name: &str) -> Result<(), BackupError> {
        let length = file.metadata().map_err(DataError::system("look at", path))?.len();
        let mut header = self.header(length);
        // No more than its header says, even if it grows.
        let mut content = file.take(length);
        self.builder.append_data(&mut header, name, &mut content).map_err(DataError::system("copy", path))?;
        match content.limit() {
            0 => Ok(()),
            _ => Err(DataError::system("copy", path)(std::io::Error::other("it became shorter meanwhile")).into()),
        }
    }

    /// All files of a directory and of those below it, where there is one.
    fn tree(&mut self, path: &Path, name: &str) -> Result<(), BackupError> {
        if !path.exists() {
            return Ok(());
        }
        self.directory(path, name)?;
        for entry in std::fs::read_dir(path).map_err(DataError::system("list", path))? {
            let below = entry.map_err(DataError::system("list", path))?.path();
            let own = below.file_name().and_then(|own| own.to_str());
            if let Some(own) = own.filter(|_| below.is_dir()) {
                self.tree(&below, &format!("{name}/{own}"))?;
            }
        }
        Ok(())
    }

    /// All files of a directory. One that vanishes meanwhile, as a destroyed key does, is left out, and so is what is being
    /// written.
    fn directory(&mut self, path: &Path, name: &str) -> Result<(), BackupError> {
        let error = || DataError::system("list", path);
        let entries = std::fs::read_dir(path).map_err(error())?;
        let mut files: Vec<PathBuf> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(error())?;
        files.sort();
        for path in files {
            let Some(own) = path.file_name().and_then(|own| own.to_str()) else { continue };
            if !path.is_file() || own.ends_with(".new") {
                continue;
            }
            match File::open(&path) {
                Ok(file) => self.opened(&file, &path, &format!("{name}/{own}"))?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(DataError::system("read", &path)(error).into()),
            }
        }
        Ok(())
    }
}
