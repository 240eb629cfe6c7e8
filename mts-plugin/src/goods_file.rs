//! Goods on disk: digested once, remembered by file identity, read chunk by chunk, checked again while sent.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use protocol::goods::{ChunkPlan, GoodsError, GoodsHasher, GoodsSealer};
use protocol::ids::Digest;
use protocol::limits::GOODS_CHUNK_BYTES;
use protocol::session::merchant::GoodsKey;

/// Digests remembered: with more files than this, some are read again.
const DIGESTS_MAX: usize = 10_000;

/// Why goods cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum GoodsFileError {
    /// The file cannot be read.
    #[error("cannot read the goods {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not those that were advised.
    #[error("the goods {path} have changed since they were advised: the customer must renegotiate")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Too large, or a chunk that is not there.
    #[error(transparent)]
    Goods(#[from] GoodsError),
}

/// What tells that a file is still the one that was digested. The change time cannot be set back by whoever may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    length_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Digests of goods, computed once per file and version.
#[derive(Debug, Default)]
pub struct GoodsDigests(Mutex<HashMap<PathBuf, (Identity, Digest)>>);

/// A file that was digested and is still the same.
#[derive(Debug)]
pub struct GoodsFile {
    path: PathBuf,
    file: File,
    identity: Identity,
    digest: Digest,
}

impl GoodsDigests {
    fn known(&self, path: &Path) -> Option<(Identity, Digest)> {
        self.0.lock().expect("no holder panics").get(path).copied()
    }

    /// Forgets a file: its next use reads it again.
    pub fn forget(&self, path: &Path) {
        self.0.lock().expect("no holder panics").remove(path);
    }

    /// Opens goods and finds their digest, reading the whole file only if it is not known in its present version.
    ///
    /// # Errors
    /// [`GoodsFileError::Unreadable`], [`GoodsFileError::Changed`] where the file is being written to.
    pub fn open(&self, path: &Path) -> Result<GoodsFile, GoodsFileError> {
        let unreadable = |source| GoodsFileError::Unreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let identity = Identity::of(&metadata);
        ChunkPlan::new(identity.length_bytes)?;
        if let Some((known, digest)) = self.known(path)
            && known == identity
        {
            return Ok(GoodsFile { path: path.to_owned(), file, identity, digest });
        }
        let mut hasher = GoodsHasher::default();
        let mut buffer = vec![0; GOODS_CHUNK_BYTES];
        loop {
            match file.read(&mut buffer).map_err(unreadable)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        let after = Identity::of(&file.metadata().map_err(unreadable)?);
        if after != identity || hasher.length_bytes() != identity.length_bytes {
            return Err(GoodsFileError::Changed { path: path.to_owned() });
        }
        let digest = hasher.finish();
        let mut digests = self.0.lock().expect("no holder panics");
        if digests.len() >= DIGESTS_MAX {
            digests.clear();
        }
        digests.insert(path.to_owned(), (identity, digest));
        Ok(GoodsFile { path: path.to_owned(), file, identity, digest })
    }
}

impl GoodsFile {
    /// Digest of the goods in clear.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Length of the goods in clear, in bytes.
    pub fn length_bytes(&self) -> u64 {
        self.identity.length_bytes
    }

    /// Prepares sending from chunk `first` on.
    ///
    /// # Errors
    /// [`GoodsError::NoSuchChunk`], [`GoodsFileError::Unreadable`].
    pub fn sealed(mut self, key: &GoodsKey, first: u64) -> Result<SealedGoods, GoodsFileError> {
        let plan = ChunkPlan::new(self.identity.length_bytes)?;
        let sealer = GoodsSealer::new(key, plan, first)?;
        let start = SeekFrom::Start(first * GOODS_CHUNK_BYTES as u64);
        self.file.seek(start).map_err(|source| GoodsFileError::Unreadable { path: self.path.clone(), source })?;
        let hasher = (first == 0).then(GoodsHasher::default);
        let sealed_bytes = plan.sealed_bytes_from(first).unwrap_or_default();
        Ok(SealedGoods { goods: self, sealer, hasher, next: first, plan, sealed_bytes })
    }
}

/// Goods on their way: one sealed chunk after the other, never more than one in memory.
#[derive(Debug)]
pub struct SealedGoods {
    goods: GoodsFile,
    sealer: GoodsSealer,
    hasher: Option<GoodsHasher>,
    next: u64,
    plan: ChunkPlan,
    sealed_bytes: u64,
}

impl SealedGoods {
    /// All bytes that will be sent.
    pub fn sealed_bytes(&self) -> u64 {
        self.sealed_bytes
    }

    /// Where the goods lie.
    pub fn path(&self) -> &Path {
        &self.goods.path
    }

    /// The next sealed chunk, or `None` after the last. The last chunk is held back if the file was changed meanwhile, so
    /// that no customer ends up with bytes that were never advised.
    ///
    /// # Errors
    /// [`GoodsFileError`]; the transfer must be broken off.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, GoodsFileError> {
        let Some(bytes) = self.sealer.wants_bytes() else { return Ok(None) };
        let mut chunk = Vec::with_capacity(bytes + 16);
        chunk.resize(bytes, 0);
        let changed = || GoodsFileError::Changed { path: self.goods.path.clone() };
        self.goods.file.read_exact(&mut chunk).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => changed(),
            _ => GoodsFileError::Unreadable { path: self.goods.path.clone(), source },
        })?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        if self.plan.is_last(self.next) {
            let metadata = self.goods.file.metadata().map_err(|_| changed())?;
            let same = Identity::of(&metadata) == self.goods.identity
                && self.hasher.as_ref().is_none_or(|hasher| hasher.finish() == self.goods.digest);
            if !same {
                return Err(changed());
            }
            crate::crash::point("before-last-chunk");
        }
        self.sealer.seal(&mut chunk)?;
        self.next += 1;
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_computed_once_and_changes_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("goods");
        std::fs::write(&path, vec![7; 200_000]).unwrap();
        let digests = GoodsDigests::default();
        let first = digests.open(&path).unwrap().digest();
        assert_eq!(first, protocol::goods::digest(&vec![7; 200_000]));
        assert_eq!(digests.open(&path).unwrap().digest(), first);
        std::fs::write(&path, vec![8; 200_000]).unwrap();
        assert_ne!(digests.open(&path).unwrap().digest(), first);
        assert!(matches!(digests.open(folder.path()), Err(GoodsFileError::Unreadable { .. })));
        assert!(matches!(digests.open(&folder.path().join("none")), Err(GoodsFileError::Unreadable { .. })));
    }

    #[test]
    fn the_last_chunk_is_held_back_when_the_file_changes_during_the_transfer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("goods");
        std::fs::write(&path, vec![7; 200_000]).unwrap();
        let goods = GoodsDigests::default().open(&path).unwrap();
        let mut sealed = goods.sealed(&GoodsKey::from_bytes([1; 32]), 0).unwrap();
        assert!(sealed.next_chunk().unwrap().is_some());
        std::fs::write(&path, vec![8; 200_000]).unwrap();
        let last = std::iter::from_fn(|| sealed.next_chunk().transpose()).find_map(Result::err);
        assert!(matches!(last, Some(GoodsFileError::Changed { .. })));
    }
}
