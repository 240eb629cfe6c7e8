//! `tps backup`.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use super::secret::SecretFlags;
use super::{Context, backend};
use crate::admin::{AdminError, AdminErrorCode};
use crate::backup::{self, BackupError, Findings, Staging};
use crate::data_directory::{DataDirectory, DataError};
use crate::keys::encryptor_for;
use crate::pipeline::clock::wall_clock;

#[derive(Debug, Subcommand)]
pub(super) enum BackupCommand {
    /// Write everything into a new encrypted file; payments go on meanwhile
    Create {
        /// The new file
        file: PathBuf,
        #[command(flatten)]
        secret: SecretFlags,
        /// Encrypt for the holder of a key file by its public recipient, age1..., so that no secret is needed here
        #[arg(long, value_name = "RECIPIENT", conflicts_with_all = ["passphrase_file", "key_file"])]
        recipient: Option<String>,
    },
    /// Decrypt a backup into a private directory in TMPDIR, read every record, replay the audit
    Verify {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        secret: SecretFlags,
    },
    /// Restore into a new directory, or replace the ledger of a TPS of the same realm, whose server is stopped
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        secret: SecretFlags,
        /// You know that what was committed after the backup is lost, and answer for it
        #[arg(long)]
        accept_loss: bool,
    },
}

impl From<BackupError> for AdminError {
    fn from(error: BackupError) -> Self {
        let code = match &error {
            BackupError::Keys(_) | BackupError::WrongSecret { .. } => AdminErrorCode::Keys,
            BackupError::Exists(_) | BackupError::NoBackup(_) => AdminErrorCode::BadInput,
            BackupError::ServerRuns(_) => AdminErrorCode::Unavailable,
            BackupError::OtherRealm { .. }
            | BackupError::Behind { .. }
            | BackupError::OtherHistory { .. }
            | BackupError::TooFar { .. }
            | BackupError::DoesNotAddUp { .. }
            | BackupError::MarkLost { .. } => AdminErrorCode::Refused,
            _ => AdminErrorCode::Store,
        };
        Self::new(code, error.to_string())
    }
}

impl BackupCommand {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, AdminError> {
        match self {
            Self::Create { file, secret, recipient } => create(context, &file, &secret, recipient.as_deref())?,
            Self::Verify { file, secret } => return verify(context, &file, &secret),
            Self::Restore { file, secret, accept_loss } => return restore(context, &file, &secret, accept_loss),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The right to make a checkpoint; what is left of it is removed at the end.
struct CheckpointPlace {
    path: PathBuf,
    _lock: std::fs::File,
}

impl CheckpointPlace {
    fn take(data: &DataDirectory) -> Result<Self, AdminError> {
        let path = data.checkpoint();
        let lock_path = path.with_added_extension("lock");
        let lock = std::fs::File::options().write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.map_err(DataError::system("open", &lock_path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let message = format!("another backup of {} is being made: wait until it is done", data.path().display());
            return Err(AdminError::new(AdminErrorCode::Unavailable, message));
        }
        let place = Self { path, _lock: lock };
        // Left by a backup that was killed.
        place.clear()?;
        Ok(place)
    }

    fn clear(&self) -> Result<(), AdminError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(DataError::system("remove", &self.path)(error).into())
            }
            _ => Ok(()),
        }
    }
}

impl Drop for CheckpointPlace {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

fn create(context: &Context, file: &Path, secret: &SecretFlags, recipient: Option<&str>) -> Result<(), AdminError> {
    let data = context.data()?;
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()).into());
    }
    let encryptor = match recipient {
        Some(text) => {
            let recipient: age::x25519::Recipient = text.parse().map_err(|_| {
                let message =
                    format!("`{text}` is not a recipient: `tps key new-key-file` tells the one of a new key file");
                AdminError::bad_input(message)
            })?;
            encryptor_for(&recipient)
        }
        None => secret.wanted(true, "the backup")?.encryptor(),
    };
    let place = CheckpointPlace::take(&data)?;
    let checkpoint = backend::checkpoint(&data)?;
    let manifest = backup::create(&data, &checkpoint, file, encryptor, wall_clock())?;
    drop(place);
    let root_here = data.keys().join("root.toml").exists();
    let told = json!({ "result": "backup", "file": file, "manifest": manifest, "root_key": root_here });
    let mut text = format!("backup  {}\nrealm   {}\ncommit  {}\n", file.display(), manifest.realm, manifest.commit);
    if !manifest.keys_protected {
        text.push_str(
            "\nThe keys are in it as they lie here: NOT PROTECTED. Whoever opens the backup has them. `tps key protect` seals them.\n",
        );
    }
    if root_here {
        text.push_str("\nThe root key is in it, too: move keys/root.toml to another machine.\n");
    }
    context.output.told(&told, &text);
    Ok(())
}

fn describe(findings: &Findings) -> String {
    let Findings { manifest, root_public, records, keys, root_key, audit } = findings;
    let mut text = format!(
        "realm    {}\nmade     {} by tps {}\ncommit   {}\nrecords  {records}, each read and checked\naudit    {} payments and {} journal entries replayed, {} accounts compared: ",
        manifest.realm,
        manifest.made_at_ms,
        manifest.version,
        manifest.commit,
        audit.payments,
        audit.journal,
        audit.accounts,
    );
    text.push_str(&match audit.differences_found {
        0 => "everything adds up\n".to_owned(),
        found => format!("{found} DIFFERENCES\n"),
    });
    audit.differences.iter().for_each(|difference| text.push_str(&format!("         {difference}\n")));
    let protected =
        if manifest.keys_protected { "protected" } else { "NOT PROTECTED: whoever opens the backup has them" };
    let root = if *root_key { ", and the root key" } else { "" };
    text.push_str(&format!("keys     {keys}{root}, {protected}\nroot     {root_public}\n"));
    text
}

fn exit_code(findings: &Findings) -> ExitCode {
    if findings.audit.differences_found > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn verify(context: &Context, file: &Path, secret: &SecretFlags) -> Result<ExitCode, AdminError> {
    let secret = secret.wanted(false, "the backup")?;
    let staging = Staging::new(&std::env::temp_dir(), "tps-verify-")?;
    backup::unpack(file, &secret, staging.path())?;
    let (_, findings) = backup::inspect(file, staging.path())?;
    staging.remove()?;
    context.output.told(&json!({ "result": "verified", "findings": findings }), &describe(&findings));
    Ok(exit_code(&findings))
}

fn restore(context: &Context, file: &Path, secret: &SecretFlags, accept_loss: bool) -> Result<ExitCode, AdminError> {
    let path = context.data_path();
    let secret = secret.wanted(false, "the backup")?;
    let restored = backup::restore(file, &secret, &path, accept_loss, wall_clock())?;
    let mut text = format!("restored {}\n{}", path.display(), describe(&restored.findings));
    text.push_str(&match &restored.former_ledger {
        Some(former) => format!(
            "\nThe former ledger is kept in {}; keys, key sets and configuration are as they were.\nNext: `tps audit`, then `tps serve`.\n",
            former.display()
        ),
        None => "\nKeys, key sets and configuration are those of the backup: rotate what was rotated since, and run\n`tps key reissue --above NUMBER` with the number of the last key set that was published.\nNext: `tps audit`, then `tps serve`.\n".to_owned(),
    });
    let told = json!({ "result": "restored", "data": path, "restored": restored });
    context.output.told(&told, &text);
    Ok(exit_code(&restored.findings))
}
