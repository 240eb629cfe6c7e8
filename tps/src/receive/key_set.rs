//! The newest key set for customers, as the root signed it: read from its file when that has changed, otherwise from memory.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use protocol::codec::Canonical;
use protocol::error::ErrorCode;
use protocol::key_set::SignedKeySet;
use protocol::key_set::refresh::{KeySetPart, KeySetRequest};
use protocol::limits::KEY_SET_BYTES_MAX;

/// What distinguishes a file from the one that was in its place before: files are replaced as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
}

/// A key set file and what it held when it was last read.
#[derive(Debug)]
pub(super) struct KeySetFile {
    path: Option<PathBuf>,
    read: Option<(Version, Vec<u8>)>,
}

impl KeySetFile {
    /// The file at `path`; `None` where this listener gives no key sets. Nothing is read yet.
    pub(super) fn at(path: Option<PathBuf>) -> Self {
        Self { path, read: None }
    }

    /// Answers a request for a part of the set.
    ///
    /// # Errors
    /// The code to answer: `Malformed` for what is no such request, `Overloaded` while there is no set to give.
    pub(super) fn answer(&mut self, message: &[u8]) -> Result<Vec<u8>, ErrorCode> {
        let request = KeySetRequest::decode(message).map_err(|error| ErrorCode::from(&error))?;
        let set = self.current().ok_or(ErrorCode::Overloaded)?;
        KeySetPart::of(set, request.part).map(|part| part.encode()).ok_or(ErrorCode::Malformed)
    }

    fn current(&mut self) -> Option<&[u8]> {
        let path = self.path.as_ref()?;
        let metadata = std::fs::metadata(path).ok()?;
        let (inode, changed_s, changed_ns) = (metadata.ino(), metadata.ctime(), metadata.ctime_nsec());
        let version = Version { inode, changed_s, changed_ns };
        if self.read.as_ref().is_none_or(|(read, _)| *read != version) {
            if metadata.len() > KEY_SET_BYTES_MAX as u64 {
                tracing::error!(path = %path.display(), "this is no key set; run `tps key reissue`");
                return None;
            }
            let bytes = std::fs::read(path).ok()?;
            if let Err(error) = SignedKeySet::decode(&bytes) {
                tracing::error!(path = %path.display(), %error, "the key set is damaged; run `tps key reissue`");
                return None;
            }
            self.read = Some((version, bytes));
        }
        self.read.as_ref().map(|(_, bytes)| &bytes[..])
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::RealmId;
    use protocol::key_set::{AssetEntry, Audience, KeySet};
    use protocol::money::Asset;
    use protocol::signature::SigningKey;
    use protocol::time::Timestamp;

    use super::*;
    use crate::data_directory::write_private;

    fn set(number: u64) -> Vec<u8> {
        let mut set = KeySet::new(RealmId([1; 16]), Audience::Customer, number, Timestamp(1), 1_000);
        set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
        Canonical::encode(&set.sign(&SigningKey::from_seed([2; 32])).unwrap())
    }

    fn told(file: &mut KeySetFile) -> Result<Vec<u8>, ErrorCode> {
        file.answer(&KeySetRequest::new(0).encode()).map(|answer| KeySetPart::decode(&answer).unwrap().bytes)
    }

    #[test]
    fn a_replaced_set_is_given_at_once_and_a_damaged_one_never() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("customer.keyset");
        let mut file = KeySetFile::at(Some(path.clone()));
        assert_eq!(told(&mut file), Err(ErrorCode::Overloaded), "there is none yet");
        for number in [1, 2, 3] {
            write_private(&path, &set(number)).unwrap();
            assert_eq!(told(&mut file), Ok(set(number)));
            assert_eq!(told(&mut file), Ok(set(number)));
        }
        write_private(&path, &set(4)[1..]).unwrap();
        assert_eq!(told(&mut file), Err(ErrorCode::Overloaded));
        write_private(&path, &vec![0; KEY_SET_BYTES_MAX + 1]).unwrap();
        assert_eq!(told(&mut file), Err(ErrorCode::Overloaded));
        write_private(&path, &set(5)).unwrap();
        assert_eq!(file.answer(&KeySetRequest::new(1).encode()), Err(ErrorCode::Malformed), "it has one part");
        assert_eq!(file.answer(&[1, 1, 0x20]), Err(ErrorCode::Malformed));
        assert_eq!(told(&mut KeySetFile::at(None)), Err(ErrorCode::Overloaded));
    }
}
