//! Passphrases and key files on the command line: named by their files, never typed as arguments, which others can see.

use std::path::PathBuf;

use clap::Args;

use crate::admin::AdminError;
use crate::keys::{KeyError, KeySecret, prompt};

/// A passphrase or a key file.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct SecretFlags {
    /// File with a passphrase in one line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Key file, as `tps key new-key-file` makes it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl SecretFlags {
    /// What was named, if anything was.
    pub(super) fn secret(&self) -> Result<Option<KeySecret>, KeyError> {
        match (&self.passphrase_file, &self.key_file) {
            (Some(path), _) => KeySecret::from_passphrase_file(path).map(Some),
            (None, Some(path)) => KeySecret::from_key_file(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// What was named, or what is typed at the terminal; `new` where it is about to be set, so that it is typed twice.
    pub(super) fn wanted(&self, new: bool, what: &str) -> Result<KeySecret, AdminError> {
        use std::io::IsTerminal;
        if let Some(secret) = self.secret()? {
            return Ok(secret);
        }
        if !std::io::stdin().is_terminal() {
            let message = format!(
                "a passphrase or a key file for {what} is missing: name it with --passphrase-file or --key-file"
            );
            return Err(AdminError::bad_input(message));
        }
        let typed = prompt(&format!("Passphrase of {what}: "))?;
        if new && !prompt("The same again: ")?.is_same_passphrase(&typed) {
            return Err(AdminError::bad_input("the two passphrases differ; nothing was done"));
        }
        Ok(typed)
    }
}
