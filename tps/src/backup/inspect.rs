//! Whether an unpacked backup is whole, and adds up.

use std::path::Path;
use std::sync::Arc;

use super::BackupError;
use super::manifest::{MANIFEST, Manifest, ParseError};
use crate::audit::{AuditReport, audit};
use crate::data_directory::{DataDirectory, Realm, read_text};
use crate::keys::KeyRing;
use crate::pipeline::{Engine, EngineConfig};
use crate::store::rocksdb::RocksStore;

/// What was found in a backup.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Findings {
    /// What it says of itself; all of it was compared with what is in it.
    pub manifest: Manifest,
    /// Public key of the root, hexadecimal. Whoever knows a recipient can encrypt for it: that this key is the right one says that
    /// the backup is not somebody else's.
    pub root_public: String,
    /// Records of the database, each of which was read.
    pub records: u64,
    /// Keys, but for the root's.
    pub keys: usize,
    /// Whether the root's key is in it: it belongs on another machine.
    pub root_key: bool,
    /// Result of the audit.
    pub audit: AuditReport,
}

/// Checks the backup `file`, which was unpacked into `directory`.
///
/// # Errors
/// [`BackupError`]; differences that the audit finds are no error.
pub fn inspect(file: &Path, directory: &Path) -> Result<(Realm, Findings), BackupError> {
    let damaged = |detail: &dyn std::fmt::Display| BackupError::damaged(file, detail);
    let text = read_text(&directory.join(MANIFEST)).map_err(|error| damaged(&error))?;
    let manifest = Manifest::parse(&text).map_err(|error| match error {
        ParseError::Damaged(detail) => damaged(&detail),
        ParseError::Other(error) => error,
    })?;
    let data = DataDirectory::at(directory);
    let realm = data.realm().map_err(|error| damaged(&error))?;
    let head = RocksStore::look(&data.ledger()).map_err(|error| damaged(&error))?;
    let said = (manifest.realm, manifest.commit, manifest.chain.clone());
    if said != (realm.realm, head.commit, hex::encode(head.chain)) || head.realm != realm.realm {
        return Err(damaged(&"its manifest and its ledger do not belong together"));
    }
    let ring = KeyRing::load(&data).map_err(|error| damaged(&error))?;
    if manifest.keys_protected != data.vault().is_protected() {
        return Err(damaged(&"its keys are not kept as its manifest says"));
    }
    let store = RocksStore::open(&data.ledger()).map_err(|error| damaged(&error))?;
    let records = store.verify().map_err(|error| damaged(&error))?;
    let config = EngineConfig { workers: 1, shards: realm.shards, ..EngineConfig::default() };
    let engine = Engine::start(Box::new(store), KeyRing::administration_keys(realm.realm)?, config)?;
    let engine = Arc::new(engine);
    let report = audit(&engine, &data, &realm, false);
    crate::serve::drain(engine).map_err(|error| BackupError::Audit(error.to_string()))?;
    let audit = report.map_err(|error| BackupError::Audit(error.to_string()))?;
    let root_key = data.keys().join("root.toml").exists();
    let (root_public, keys) = (realm.root.clone(), ring.keys().len());
    Ok((realm, Findings { manifest, root_public, records, keys, root_key, audit }))
}
