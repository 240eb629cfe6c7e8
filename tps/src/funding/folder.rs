//! The file-based adapter: a folder of signed instructions, and lists of payouts as CSV.
//!
//! ```text
//! funding/in/        the agency puts instructions here, complete (written elsewhere and renamed), with names that end in .json
//! funding/done/      what was applied
//! funding/refused/   what was not, each with a file .reason beside it
//! funding/out/       payouts-CYCLE.csv: what the agency shall pay
//! ```

use std::path::{Path, PathBuf};

use super::instruction::{INSTRUCTION_BYTES_MAX, Instruction};
use super::{FundingAdapter, Received};
use crate::admin::AdminError;
use crate::data_directory::{DataError, write_private};

/// Instructions that are read at a time.
const FILES_AT_ONCE_MAX: usize = 256;

/// The adapter.
pub struct Folder {
    path: PathBuf,
    agency: [u8; 32],
}

impl Folder {
    /// Over the folder at `path`, which is made when it is first looked into; `agency` is the public key of the funding agency.
    pub fn new(path: &Path, agency: [u8; 32]) -> Self {
        Self { path: path.to_owned(), agency }
    }

    fn make(&self) -> Result<(), AdminError> {
        for part in ["in", "done", "refused", "out"] {
            let path = self.path.join(part);
            std::fs::create_dir_all(&path).map_err(DataError::system("make the directory", &path))?;
        }
        Ok(())
    }

    fn move_to(&self, part: &str, name: &str) -> Result<(), AdminError> {
        let (from, to) = (self.path.join("in").join(name), self.path.join(part).join(name));
        match std::fs::rename(&from, &to) {
            // Somebody else took it away; what had to be done is done.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            moved => Ok(moved.map_err(DataError::system("move to done or refused", &from))?),
        }
    }
}

impl FundingAdapter for Folder {
    fn receive(&mut self) -> Result<Vec<Received>, AdminError> {
        self.make()?;
        let folder = self.path.join("in");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(DataError::system("list", &folder))? {
            let entry = entry.map_err(DataError::system("list", &folder))?;
            if let Ok(name) = entry.file_name().into_string()
                && name.ends_with(".json")
            {
                names.push(name);
            }
        }
        names.sort();
        names.truncate(FILES_AT_ONCE_MAX);
        let read = |name: String| {
            let instruction = read_bounded(&folder.join(&name))
                .and_then(|bytes| Instruction::read(&bytes, &self.agency).map_err(|error| error.to_string()));
            Received { name, instruction }
        };
        Ok(names.into_iter().map(read).collect())
    }

    fn done(&mut self, name: &str) -> Result<(), AdminError> {
        self.move_to("done", name)
    }

    fn refuse(&mut self, name: &str, reason: &str) -> Result<(), AdminError> {
        write_private(&self.path.join("refused").join(format!("{name}.reason")), format!("{reason}\n").as_bytes())?;
        self.move_to("refused", name)
    }

    fn pay_out(&mut self, name: &str, list: &str) -> Result<(), AdminError> {
        self.make()?;
        Ok(write_private(&self.path.join("out").join(name), list.as_bytes())?)
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(INSTRUCTION_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("it cannot be read: {error}"))
}
