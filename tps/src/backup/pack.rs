//! Packing a checkpoint and the files around it.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use protocol::time::Timestamp;

use super::BackupError;
use super::manifest::{FORMAT, MANIFEST, Manifest};
use super::unpack::SETTLEMENTS;
use crate::data_directory::{DataDirectory, DataError, sync_directory};
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
        // Made before the ledger knows of them, and never changed: what the checkpoint knows of is there.
        if data.archive().exists() {
            archive.directory(&data.archive(), "archive")?;
        }
        // The same holds for pages of settlement reports.
        for (path, name) in settlements(data)? {
            archive.directory(&path, &name)?;
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

/// The directories with pages, one per cycle and merchant, and their names in the archive.
fn settlements(data: &DataDirectory) -> Result<Vec<(PathBuf, String)>, BackupError> {
    let below = |path: &Path, name: &str| -> Result<Vec<(PathBuf, String)>, BackupError> {
        let failed = || DataError::system("list", path);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if let Some(own) = path.file_name().and_then(|own| own.to_str()).filter(|_| path.is_dir()) {
                found.push((path.clone(), format!("{name}/{own}")));
            }
        }
        found.sort();
        Ok(found)
    };
    if !data.settlements().exists() {
        return Ok(Vec::new());
    }
    let cycles = below(&data.settlements(), SETTLEMENTS)?;
    let merchants = cycles.iter().map(|(path, name)| below(path, name));
    Ok(merchants.collect::<Result<Vec<_>, _>>()?.concat())
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
        let appended = self.builder.append_data(&mut header, name, file);
        Ok(appended.map_err(DataError::system("copy", path))?)
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
