//! The prepared file: who the instruments are and how they stand, and requests that are ready to be sent.
//!
//! Layout: magic, length of the header, header (JSON, padded to [`HEADER_BYTES`]), one record per instrument, one record per
//! request. It holds secrets: mode 600, like a data directory. Made beside its place and moved there when complete.

mod error;
pub mod records;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use protocol::ids::{KeyId, MerchantId, RealmId};
use protocol::money::Asset;
use protocol::proof::verify::ProofKey;
use protocol::request::ProcessorKey;
use protocol::session::AgreementPublic;
use protocol::time::Timestamp;

pub use error::FileError;

use crate::mix::Mix;
use crate::secrets::Seed;
use records::{Batch, REQUEST_RECORD_BYTES, STANDING_BYTES, Standing};

const MAGIC: [u8; 8] = *b"QTLOAD\0\x01";
/// Version of the layout.
const VERSION: u32 = 1;
/// Bytes before the first record: a page-aligned room for the header, which grows with the number of proof keys.
pub const HEADER_BYTES: u64 = 64 * 1_024;
/// Records read or written at a time.
const RECORDS_AT_ONCE: usize = 16 * 1_024;

/// A proof-signing key of the TPS, pinned when the file was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PinnedProofKey {
    id: KeyId,
    public: String,
    valid_from: Timestamp,
    valid_until: Timestamp,
}

impl From<ProofKey> for PinnedProofKey {
    fn from(key: ProofKey) -> Self {
        Self { id: key.id, public: hex::encode(key.public), valid_from: key.valid_from, valid_until: key.valid_until }
    }
}

/// The server's session key, pinned when the file was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PinnedProcessor {
    /// Names the key.
    pub id: KeyId,
    /// The key.
    pub public: AgreementPublic,
    /// Home cell of the accounts.
    pub route: u16,
}

impl PinnedProcessor {
    /// As requests want it.
    pub fn key(&self) -> ProcessorKey {
        ProcessorKey { id: self.id, public: self.public, route: self.route }
    }
}

/// The server, its keys, and the instruments it was given.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct World {
    /// The installation.
    pub realm: RealmId,
    /// The server's data directory, where it is on this machine.
    pub data: PathBuf,
    /// Where it listens.
    pub address: String,
    /// Its TLS certificate, hexadecimal DER.
    pub server_certificate: String,
    /// Its session key.
    pub processor: PinnedProcessor,
    /// What its proofs are verified with.
    pub proof_keys: Vec<PinnedProofKey>,
    /// Who is paid.
    pub merchant: MerchantId,
    /// In what.
    pub asset: Asset,
    /// Decimal places of the asset.
    pub exponent: u8,
    /// Account shards of the server.
    pub shards: u16,
    /// Secret of all instruments.
    pub seed: Seed,
    /// Instruments that share an account.
    pub per_account: u64,
    /// What an account was opened with.
    pub opening_units: u64,
    /// Amount of every payment.
    pub amount_units: u64,
}

impl World {
    /// The keys that verify proofs.
    pub fn proof_keys(&self) -> impl Iterator<Item = ProofKey> + '_ {
        self.proof_keys.iter().filter_map(|key| {
            let mut public = [0; 32];
            hex::decode_to_slice(&key.public, &mut public).ok()?;
            Some(ProofKey { id: key.id, public, valid_from: key.valid_from, valid_until: key.valid_until })
        })
    }
}

/// The requests of a file.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Requests {
    /// How many were made.
    pub count: u64,
    /// The first that was not used yet.
    pub next: u64,
    /// Until when they can be used.
    pub valid_until: Timestamp,
    /// What they ask for.
    pub mix: Mix,
}

/// The head of a file.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Header {
    version: u32,
    /// The server and its instruments.
    pub world: World,
    /// How many instruments.
    pub instruments: u64,
    /// Prepared requests.
    pub requests: Requests,
    /// A run has begun and not ended.
    running: bool,
}

impl Header {
    /// The header of a new file.
    pub fn new(world: World, instruments: u64, requests: Requests) -> Self {
        Self { version: VERSION, world, instruments, requests, running: false }
    }
}

/// An open file.
pub struct LoadFile {
    path: PathBuf,
    file: File,
    /// Its head.
    pub header: Header,
}

fn system(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    move |error| FileError::System { what, path: path.display().to_string(), error }
}

fn standings_at(header: &Header) -> u64 {
    HEADER_BYTES + header.instruments * STANDING_BYTES as u64
}

impl LoadFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        tps::data_directory::check_private(path)?;
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(system("open", path))?;
        let mut head = vec![0; HEADER_BYTES as usize];
        let shown = || path.display().to_string();
        file.read_exact_at(&mut head, 0).map_err(|_| FileError::NotALoadFile(shown()))?;
        let length = head[8..12].iter().rev().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        if head[..8] != MAGIC || length > head.len() - 12 {
            return Err(FileError::NotALoadFile(shown()));
        }
        let header: Header =
            serde_json::from_slice(&head[12..12 + length]).map_err(|_| FileError::NotALoadFile(shown()))?;
        if header.version != VERSION {
            return Err(FileError::NotALoadFile(shown()));
        }
        let expected = standings_at(&header) + header.requests.count * REQUEST_RECORD_BYTES as u64;
        if file.metadata().map_err(system("look at", path))?.len() != expected {
            return Err(FileError::Damaged(shown()));
        }
        if header.running {
            return Err(FileError::RunUnfinished(shown()));
        }
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How all instruments stand.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn standings(&self) -> Result<Vec<Standing>, FileError> {
        let mut standings = Vec::with_capacity(self.header.instruments as usize);
        let mut buffer = vec![0; RECORDS_AT_ONCE * STANDING_BYTES];
        while (standings.len() as u64) < self.header.instruments {
            let left = self.header.instruments as usize - standings.len();
            let part = &mut buffer[..left.min(RECORDS_AT_ONCE) * STANDING_BYTES];
            let at = HEADER_BYTES + (standings.len() * STANDING_BYTES) as u64;
            self.file.read_exact_at(part, at).map_err(system("read", &self.path))?;
            let (records, _) = part.as_chunks::<STANDING_BYTES>();
            standings.extend(records.iter().map(Standing::from_bytes));
        }
        Ok(standings)
    }

    /// The requests from number `first` on.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn requests(&self, first: u64, count: u64) -> Result<Batch, FileError> {
        let mut batch = Batch::with_capacity(count as usize);
        let mut buffer = vec![0; RECORDS_AT_ONCE * REQUEST_RECORD_BYTES];
        while (batch.len() as u64) < count {
            let left = count as usize - batch.len();
            let part = &mut buffer[..left.min(RECORDS_AT_ONCE) * REQUEST_RECORD_BYTES];
            let at = standings_at(&self.header) + (first + batch.len() as u64) * REQUEST_RECORD_BYTES as u64;
            self.file.read_exact_at(part, at).map_err(system("read", &self.path))?;
            batch.push_records(part).ok_or_else(|| FileError::Damaged(self.path.display().to_string()))?;
        }
        Ok(batch)
    }

    /// How many requests can still be used.
    pub fn left(&self) -> u64 {
        self.header.requests.count - self.header.requests.next
    }

    /// Whether the requests can be used until `then`, and are enough.
    ///
    /// # Errors
    /// [`FileError::Expired`] and [`FileError::TooFew`].
    pub fn check(&self, then: Timestamp, needed: u64) -> Result<(), FileError> {
        let path = self.path.display().to_string();
        let until = self.header.requests.valid_until;
        if then > until {
            return Err(FileError::Expired { path, until });
        }
        match self.left() {
            left if left < needed => Err(FileError::TooFew { path, left, needed }),
            _ => Ok(()),
        }
    }

    /// Says in the file that its instruments are on the move, and that its next `taken` requests are used up.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn begin_run(&mut self, taken: u64) -> Result<(), FileError> {
        self.header.requests.next += taken;
        self.header.running = true;
        self.write_header()
    }

    /// Puts down how the instruments stand after a run, and that the last `not_sent` of the requests it took are as good as
    /// before.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn end_run(&mut self, standings: &[Standing], not_sent: u64) -> Result<(), FileError> {
        write_standings(&self.file, standings).map_err(system("write", &self.path))?;
        self.file.sync_data().map_err(system("write", &self.path))?;
        self.header.requests.next -= not_sent;
        self.header.running = false;
        self.write_header()
    }

    fn write_header(&self) -> Result<(), FileError> {
        let written = self.file.write_all_at(&head(&self.header), 0).and_then(|()| self.file.sync_data());
        written.map_err(system("write", &self.path))
    }
}

fn head(header: &Header) -> Vec<u8> {
    let json = serde_json::to_vec(header).unwrap_or_default();
    assert!(json.len() + 12 <= HEADER_BYTES as usize, "the header fits: a key set has at most 64 keys");
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(json.len() as u32).to_le_bytes());
    head.extend_from_slice(&json);
    head.resize(HEADER_BYTES as usize, b' ');
    head
}

fn write_standings(file: &File, standings: &[Standing]) -> std::io::Result<()> {
    let mut at = HEADER_BYTES;
    for part in standings.chunks(RECORDS_AT_ONCE) {
        let bytes: Vec<u8> = part.iter().flat_map(|standing| standing.to_bytes()).collect();
        file.write_all_at(&bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

/// A file in the making; gone again unless it is finished.
pub struct NewLoadFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    instruments: u64,
    finished: bool,
}

impl NewLoadFile {
    /// Begins a file that will be at `path`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn create(path: &Path, standings: &[Standing]) -> Result<Self, FileError> {
        let unfinished = path.with_added_extension("new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let file = file.map_err(system("make", &unfinished))?;
        let instruments = standings.len() as u64;
        let new = Self { path: path.to_owned(), unfinished, file, instruments, finished: false };
        write_standings(&new.file, standings).map_err(system("write", &new.unfinished))?;
        Ok(new)
    }

    /// Writes requests from number `first` on; several threads may do so at once.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write_requests(&self, first: u64, batch: &Batch) -> Result<(), FileError> {
        let at = HEADER_BYTES + self.instruments * STANDING_BYTES as u64 + first * REQUEST_RECORD_BYTES as u64;
        self.file.write_all_at(&batch.to_records(), at).map_err(system("write", &self.unfinished))
    }

    /// Writes the header and moves the file into its place.
    ///
    /// # Errors
    /// [`FileError`]; what was at its place is as it was.
    pub fn finish(mut self, header: &Header) -> Result<(), FileError> {
        let written = self.file.write_all_at(&head(header), 0).and_then(|()| self.file.sync_all());
        written.and_then(|()| std::fs::rename(&self.unfinished, &self.path)).map_err(system("write", &self.path))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for NewLoadFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
