//! Sorting by party on the disk: what the walk gives goes into 256 files by the beginning of the party's id, and each file is read
//! alone later. In memory are the sums of a bounded number of titles, and later those of one file's parties.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ledger::posting::Party;
use protocol::time::Timestamp;

use super::fold::{Period, Sum, Sums, Title};
use super::movement::Movement;
use crate::admin::AdminError;
use crate::data_directory::DataError;

/// Number of files. Each is open while the walk goes on.
pub const PILES: usize = 256;
/// Titles whose sums are kept in memory before they are written to their files.
const TITLES_MAX: usize = 65_536;

/// A line of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Line {
    /// When: a payment's batch time, or when the entry was made.
    pub time: Timestamp,
    /// What.
    pub movement: Movement,
}

/// What stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// A part of the sum of a title.
    Sum(Title, Sum),
    /// A line.
    Line(Line),
}

/// Takes movements in and piles them up by party.
pub struct Piles {
    directory: PathBuf,
    files: [Option<BufWriter<File>>; PILES],
    sums: Sums,
    period: Period,
    with_lines: bool,
}

fn pile_of(party: Party) -> usize {
    let first = match party {
        Party::Customer(id) => id.0[0],
        Party::Merchant(id) => id.0[0],
        Party::Fees | Party::Funding => 0,
    };
    usize::from(first) % PILES
}

fn pile_path(directory: &Path, pile: usize) -> PathBuf {
    directory.join(format!("{pile:03}.pile"))
}

impl Piles {
    /// Piles in a directory that exists.
    pub fn new(directory: &Path, period: Period, with_lines: bool) -> Self {
        let files = std::array::from_fn(|_| None);
        Self { directory: directory.to_owned(), files, sums: Sums::default(), period, with_lines }
    }

    /// Makes sure that there is a statement of `title`'s party, even if nothing ever moved.
    ///
    /// # Errors
    /// [`AdminError`] where a file cannot be written.
    pub fn name(&mut self, title: Title) -> Result<(), AdminError> {
        self.count(title, Sum::default())
    }

    /// Takes a movement.
    ///
    /// # Errors
    /// [`AdminError`] where a sum leaves the range of money or a file cannot be written.
    pub fn take(&mut self, time: Timestamp, movement: &Movement) -> Result<(), AdminError> {
        let Some(title) = self.period.title(time, movement) else { return Ok(()) };
        self.count(title, Sum { count: 1, units: movement.change })?;
        if self.with_lines && title.kind.is_some() {
            self.write(movement.party, &Entry::Line(Line { time, movement: *movement }))?;
        }
        Ok(())
    }

    fn count(&mut self, title: Title, sum: Sum) -> Result<(), AdminError> {
        self.sums.add(title, sum)?;
        if self.sums.0.len() >= TITLES_MAX { self.write_sums() } else { Ok(()) }
    }

    fn write_sums(&mut self) -> Result<(), AdminError> {
        for (title, sum) in std::mem::take(&mut self.sums.0) {
            self.write(title.party, &Entry::Sum(title, sum))?;
        }
        Ok(())
    }

    fn write(&mut self, party: Party, entry: &Entry) -> Result<(), AdminError> {
        let pile = pile_of(party);
        let path = pile_path(&self.directory, pile);
        let file = match &mut self.files[pile] {
            Some(file) => file,
            empty => {
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                empty.insert(BufWriter::new(made.map_err(DataError::system("make the file", &path))?))
            }
        };
        Ok(entry.serialize(file).map_err(DataError::system("write", &path))?)
    }

    /// Writes what is left; the files that there are.
    ///
    /// # Errors
    /// [`AdminError`] where a file cannot be written.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, AdminError> {
        self.write_sums()?;
        let mut paths = Vec::new();
        for (pile, file) in self.files.iter_mut().enumerate() {
            if let Some(file) = file {
                let path = pile_path(&self.directory, pile);
                file.flush().map_err(DataError::system("write", &path))?;
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

/// Reads a file from its beginning.
pub struct Pile {
    path: PathBuf,
    file: BufReader<File>,
}

impl Pile {
    /// Opens a file.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> Result<Self, AdminError> {
        let file = File::open(path).map_err(DataError::system("read", path))?;
        Ok(Self { path: path.to_owned(), file: BufReader::new(file) })
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// The system's, and where the file was changed by somebody.
    pub fn read(&mut self) -> Result<Option<Entry>, AdminError> {
        let failed = DataError::system("read", &self.path);
        match self.file.fill_buf() {
            Ok([]) => Ok(None),
            Ok(_) => Ok(Some(Entry::deserialize_reader(&mut self.file).map_err(failed)?)),
            Err(error) => Err(failed(error).into()),
        }
    }
}
