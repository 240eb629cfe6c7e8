//! The directory that statements are written into. Gone again unless everything was written.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use protocol::ledger::posting::Party;

use super::text::{Format, named};
use crate::admin::AdminError;
use crate::data_directory::{DataError, make_private_directory, write_private};

/// A new directory for statements.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    kept: bool,
}

impl Output {
    /// Makes the directory, which nobody else may enter and which must not exist.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: &Path) -> Result<Self, AdminError> {
        make_private_directory(path)?;
        let output = Self { path: path.to_owned(), kept: false };
        for inner in [output.unsorted(), path.join("accounts"), path.join("merchants")] {
            make_private_directory(&inner)?;
        }
        Ok(output)
    }

    /// Where unsorted movements lie meanwhile.
    pub fn unsorted(&self) -> PathBuf {
        self.path.join("unsorted")
    }

    /// The file of a party's statement below `directory`.
    pub fn file(directory: &Path, party: Party, format: Format) -> PathBuf {
        let (kind, id) = named(party);
        directory.join(format!("{kind}s")).join(id).with_extension(format.extension())
    }

    /// Adds to statements, each a text for a party.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&self, texts: &BTreeMap<Party, String>, format: Format) -> Result<(), AdminError> {
        for (party, text) in texts {
            let path = Self::file(&self.path, *party, format);
            let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(DataError::system("write", &path))?;
        }
        Ok(())
    }

    /// Writes the summary and keeps everything: who finds a summary finds all statements.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(mut self, summary: &serde_json::Value) -> Result<(), AdminError> {
        let unsorted = self.unsorted();
        std::fs::remove_dir_all(&unsorted).map_err(DataError::system("remove", &unsorted))?;
        write_private(&self.path.join("summary.json"), format!("{summary:#}\n").as_bytes())?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(directory = %self.path.display(), %error, "statements that were not finished could not be removed");
        }
    }
}
