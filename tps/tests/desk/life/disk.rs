//! What a ledger lies on: a simulated disk, whose power fails, or a real database, of which backups are made and restored.

use protocol::time::Timestamp;
use tps::store::Store;
use tps::store::crash::CrashDisk;

use crate::world::Place;

pub(super) enum Disk {
    Simulated(CrashDisk),
    #[cfg(feature = "rocksdb")]
    Real {
        /// The last backup's file, and the last commit in it.
        backup: Option<(std::path::PathBuf, u64)>,
        secret: tps::keys::KeySecret,
        /// Files and directories made so far, for their names.
        made: u64,
    },
}

impl Disk {
    pub(super) fn simulated(place: &Place) -> (Self, Box<dyn Store>) {
        let (disk, store) = CrashDisk::new(place.genesis());
        (Self::Simulated(disk), Box::new(store))
    }

    #[cfg(feature = "rocksdb")]
    pub(super) fn real(place: &Place) -> (Self, Box<dyn Store>) {
        use tps::keys::KeySecret;
        let data = place.data();
        let store = tps::store::rocksdb::RocksStore::create(&data.ledger(), place.genesis()).unwrap();
        let path = data.path().join("backup.key");
        tps::data_directory::write_private(&path, KeySecret::new_key_file(Timestamp(1)).0.as_bytes()).unwrap();
        let secret = KeySecret::from_key_file(&path).unwrap();
        (Self::Real { backup: None, secret, made: 0 }, Box::new(store))
    }

    /// The power fails. Of a real disk the process ends alone.
    pub(super) fn crash(&self) {
        if let Self::Simulated(disk) = self {
            disk.crash();
        }
    }

    /// What the next process finds.
    pub(super) fn recover(&self, place: &Place) -> Box<dyn Store> {
        let _ = place;
        match self {
            Self::Simulated(disk) => Box::new(disk.recover()),
            #[cfg(feature = "rocksdb")]
            Self::Real { .. } => Box::new(tps::store::rocksdb::RocksStore::open(&place.data().ledger()).unwrap()),
        }
    }

    /// Makes a backup of a running ledger; whether this disk can.
    pub(super) fn back_up(&mut self, place: &Place, engine: &tps::pipeline::Engine) -> bool {
        let _ = (place, engine);
        match self {
            Self::Simulated(_) => false,
            #[cfg(feature = "rocksdb")]
            Self::Real { backup, secret, made } => {
                let data = place.data();
                *made += 1;
                let file = data.path().join(format!("{made}.backup"));
                let checkpoint = engine.reader().checkpoint(&data.checkpoint()).unwrap();
                tps::backup::create(&data, &checkpoint, &file, secret.encryptor(), engine.now()).unwrap();
                std::fs::remove_dir_all(data.checkpoint()).unwrap();
                *backup = Some((file, checkpoint.commit));
                true
            }
        }
    }

    /// Restores the last backup in the place of a stopped ledger that had come to commit `reached`; whether there is one. What would
    /// be lost has to be answered for.
    pub(super) fn restore(&mut self, place: &Place, reached: u64) -> bool {
        let _ = (place, reached);
        match self {
            Self::Simulated(_) => false,
            #[cfg(feature = "rocksdb")]
            Self::Real { backup, secret, made } => {
                let Some((file, commit)) = backup else { return false };
                let data = place.data();
                let mut restore = |accept_loss| {
                    *made += 1;
                    tps::backup::restore(file, secret, data.path(), accept_loss, Timestamp(*made))
                };
                let careful = restore(false);
                assert_eq!(careful.is_ok(), *commit == reached, "commit {commit} in the place of {reached}");
                if careful.is_err() {
                    let restored = restore(true).unwrap();
                    assert_eq!(restored.findings.audit.differences, Vec::<String>::new());
                }
                true
            }
        }
    }
}
