//! What a backup says of itself, as its first file.

use protocol::ids::RealmId;
use protocol::time::Timestamp;

use super::BackupError;

/// Format of backups.
pub(super) const FORMAT: u16 = 1;
/// Its name in the archive.
pub(super) const MANIFEST: &str = "manifest.toml";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the backup.
    pub format: u16,
    /// Version of the program that made it.
    pub version: String,
    /// The installation.
    pub realm: RealmId,
    /// Last commit in it.
    pub commit: u64,
    /// Value of the hash chain after that commit, hexadecimal.
    pub chain: String,
    /// When it was made.
    pub made_at_ms: Timestamp,
    /// Whether the keys in it are sealed for a passphrase or key file of their own.
    pub keys_protected: bool,
}

impl Manifest {
    pub(super) fn to_text(&self) -> String {
        toml::to_string(self).expect("a manifest is plain values")
    }

    /// Reads a manifest.
    pub(super) fn parse(text: &str) -> Result<Self, ParseError> {
        #[derive(serde::Deserialize)]
        struct Versioned {
            format: u16,
        }

        let error = |error: toml::de::Error| ParseError::Damaged(error.message().to_owned());
        let Versioned { format } = toml::from_str(text).map_err(error)?;
        if format != FORMAT {
            return Err(ParseError::Other(BackupError::OtherFormat { found: format, expected: FORMAT }));
        }
        toml::from_str(text).map_err(error)
    }
}

/// Why a manifest is not read.
pub(super) enum ParseError {
    Damaged(String),
    Other(BackupError),
}
