//! Decrypting and unpacking a backup into a private directory.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use super::BackupError;
use super::manifest::MANIFEST;
use crate::data_directory::{DataError, make_private_directory, sync_directory};
use crate::keys::{KeySecret, SecretKind};

/// What a backup may hold: files at its top, and directories with files.
const FILES: [&str; 3] = [MANIFEST, "realm.toml", "tps.toml"];
const DIRECTORIES: [&str; 5] = ["keys", "key-sets", ARCHIVE, "ledger", "ledger/rocksdb"];
/// Is there only where something was archived.
const ARCHIVE: &str = "archive";
/// Pages of settlement reports, in a directory per merchant in one per cycle; is there only where something was settled.
pub(super) const SETTLEMENTS: &str = "settlements";
/// Bytes copied at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Unpacks the backup `file` into `directory`, which is empty and private. Everything in it is durable then.
///
/// # Errors
/// [`BackupError::NoBackup`], [`BackupError::WrongSecret`], [`BackupError::Damaged`], [`BackupError::Data`]; the caller
/// removes the directory.
pub fn unpack(file: &Path, secret: &KeySecret, directory: &Path) -> Result<(), BackupError> {
    let opened = File::open(file).map_err(DataError::system("read", file))?;
    let decryptor = age::Decryptor::new_buffered(BufReader::with_capacity(BUFFER_BYTES, opened));
    let decryptor = decryptor.map_err(|error| match error {
        age::DecryptError::Io(error) if error.kind() != ErrorKind::UnexpectedEof => {
            DataError::system("read", file)(error).into()
        }
        _ => BackupError::NoBackup(file.to_owned()),
    })?;
    let kind = if decryptor.is_scrypt() { SecretKind::Passphrase } else { SecretKind::KeyFile };
    let wrong = || BackupError::WrongSecret { file: file.to_owned(), origin: secret.origin().to_owned(), kind };
    if kind != secret.kind() {
        return Err(wrong());
    }
    let identity = secret.identity();
    let stream = decryptor.decrypt(std::iter::once(&*identity)).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys
        | age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed => wrong(),
        error => BackupError::damaged(file, error),
    })?;
    for name in DIRECTORIES.into_iter().filter(|name| *name != ARCHIVE) {
        make_private_directory(&directory.join(name))?;
    }
    let mut archive = tar::Archive::new(stream);
    let damaged = |error: std::io::Error| BackupError::damaged(file, error);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.into_owned();
        let regular = entry.header().entry_type() == tar::EntryType::Regular;
        let place = place(&name).filter(|_| regular);
        let place = place.ok_or_else(|| BackupError::damaged(file, format!("it holds {}", name.display())))?;
        let to = directory.join(place);
        // The archive, or pages of settlement reports two levels deeper.
        let missing: Vec<&Path> = to.ancestors().skip(1).take_while(|parent| !parent.exists()).collect();
        missing.into_iter().rev().try_for_each(make_private_directory)?;
        copy(&mut entry, &to, file)?;
    }
    // To the last byte: only the end of the stream says that nothing was cut off.
    let mut rest = archive.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(damaged)?;
    sync_below(directory)
}

/// Makes the entries of a directory and of all in it durable.
fn sync_below(directory: &Path) -> Result<(), BackupError> {
    for entry in std::fs::read_dir(directory).map_err(DataError::system("list", directory))? {
        let path = entry.map_err(DataError::system("list", directory))?.path();
        if path.is_dir() {
            sync_below(&path)?;
        }
    }
    Ok(sync_directory(directory).map_err(DataError::system("write into", directory))?)
}

/// Where an entry goes; `None` for one that no backup of ours has.
fn place(name: &Path) -> Option<PathBuf> {
    if !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let parent = name.parent()?.to_str()?;
    let known = if parent.is_empty() { FILES.contains(&name.to_str()?) } else { DIRECTORIES.contains(&parent) };
    let page = parent.split('/').count() == 3 && parent.starts_with(&format!("{SETTLEMENTS}/"));
    (known || page).then(|| name.to_owned())
}

fn copy(entry: &mut impl Read, to: &Path, backup: &Path) -> Result<(), BackupError> {
    let error = || DataError::system("write", to);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(error())?;
    let mut buffer = zeroize::Zeroizing::new(vec![0; BUFFER_BYTES]);
    loop {
        match entry.read(&mut buffer).map_err(|error| BackupError::damaged(backup, error))? {
            0 => break,
            length => out.write_all(&buffer[..length]).map_err(error())?,
        }
    }
    Ok(out.sync_all().map_err(error())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_a_backup_are_unpacked() {
        for name in [
            "manifest.toml",
            "realm.toml",
            "keys/root.toml",
            "ledger/high-water",
            "ledger/rocksdb/000001.sst",
            "settlements/00000001/aa/00000.page",
        ] {
            assert_eq!(place(Path::new(name)), Some(PathBuf::from(name)));
        }
        for name in [
            "",
            "x",
            "/etc/passwd",
            "../x",
            "keys/../../x",
            "keys",
            "keys/a/b",
            "ledger/rocksdb/a/b",
            "settlements/a/b",
            "settlements/a/b/c/d",
            "./tps.toml",
            "admin.sock",
        ] {
            assert_eq!(place(Path::new(name)), None, "{name}");
        }
    }
}
