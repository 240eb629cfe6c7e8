//! Tests of all stores: one suite that each must pass, and random histories against a model.

pub(in crate::store) mod model;
mod power_loss;
mod random;
pub(in crate::store) mod sample;
mod suite;

use super::crash::{CrashDisk, CrashStore};
use super::memory::MemoryStore;
use super::{Genesis, Store};
use protocol::ids::RealmId;

/// The installation of all tests.
pub(in crate::store) const GENESIS: Genesis = Genesis { realm: RealmId([0x5a; 16]) };

/// A store under test, and how its process restarts.
pub(in crate::store) trait Subject {
    /// The store.
    fn store(&mut self) -> &mut dyn Store;
    /// Ends the process in an orderly way and starts it again, where that is possible.
    fn restart(&mut self);
}

impl Subject for MemoryStore {
    fn store(&mut self) -> &mut dyn Store {
        self
    }

    fn restart(&mut self) {}
}

/// A store on the simulated disk.
pub(in crate::store) struct OnCrashDisk {
    /// The disk.
    pub(in crate::store) disk: CrashDisk,
    /// The store of the running process.
    pub(in crate::store) store: CrashStore,
}

impl OnCrashDisk {
    /// A sound disk.
    pub(in crate::store) fn new() -> Self {
        let (disk, store) = CrashDisk::new(GENESIS);
        Self { disk, store }
    }
}

impl Subject for OnCrashDisk {
    fn store(&mut self) -> &mut dyn Store {
        &mut self.store
    }

    /// The hardest way: the power fails.
    fn restart(&mut self) {
        self.disk.crash();
        self.store = self.disk.recover();
    }
}

#[cfg(feature = "rocksdb")]
pub(in crate::store) use on_rocksdb::OnRocks;

#[cfg(feature = "rocksdb")]
mod on_rocksdb {
    use super::{GENESIS, Store, Subject};
    use crate::store::rocksdb::RocksStore;

    /// A store in a directory that is removed afterwards.
    pub(in crate::store) struct OnRocks {
        store: Option<RocksStore>,
        /// Where it lies.
        pub(in crate::store) path: std::path::PathBuf,
        _directory: tempfile::TempDir,
    }

    impl OnRocks {
        /// A new store.
        pub(in crate::store) fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("store");
            let store = RocksStore::create(&path, GENESIS).unwrap();
            Self { store: Some(store), path, _directory: directory }
        }

        /// Ends the process.
        pub(in crate::store) fn close(&mut self) {
            self.store = None;
        }

        /// Starts again, or says why not.
        pub(in crate::store) fn open(&mut self) -> Result<(), crate::store::StoreError> {
            self.store = Some(RocksStore::open(&self.path)?);
            Ok(())
        }
    }

    impl Subject for OnRocks {
        fn store(&mut self) -> &mut dyn Store {
            self.store.as_mut().unwrap()
        }

        fn restart(&mut self) {
            self.close();
            self.open().unwrap();
        }
    }
}
