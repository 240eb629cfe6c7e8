use std::os::unix::fs::PermissionsExt;

use protocol::ids::AccountId;
use protocol::ledger::account::Account;
use protocol::money::Asset;

use super::*;
use crate::data_directory::DataDirectory;
use crate::keys::KeySecret;
use crate::operator::installation::{InstallOptions, install};
use crate::pipeline::clock::wall_clock;
use crate::store::Store;
use crate::store::records::Changes;
use crate::store::rocksdb::RocksStore;

/// A TPS and a secret for backups.
struct World {
    directory: tempfile::TempDir,
    data: DataDirectory,
    secret: KeySecret,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = install(&directory.path().join("data"), &InstallOptions::default(), wall_clock()).unwrap().data;
        let passphrase = age::secrecy::SecretString::from("correct horse battery staple".to_owned());
        let secret = KeySecret::passphrase(passphrase, "a passphrase".to_owned()).unwrap();
        Self { directory, data, secret }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn commit(&self, changes: &Changes) {
        RocksStore::open(&self.data.ledger()).unwrap().commit(changes).unwrap();
    }

    fn backup(&self, name: &str) -> PathBuf {
        let store = RocksStore::open(&self.data.ledger()).unwrap();
        let view = store.reader().checkpoint(&self.data.checkpoint()).unwrap();
        let file = self.path(name);
        create(&self.data, &view, &file, self.secret.encryptor(), wall_clock()).unwrap();
        std::fs::remove_dir_all(self.data.checkpoint()).unwrap();
        file
    }
}

#[test]
fn a_manifest_that_tells_of_another_ledger_is_noticed() {
    let world = World::new();
    world.commit(&Changes::default());
    let file = world.backup("backup");
    let changes: [fn(&mut Manifest); 4] = [
        |_| (),
        |manifest| manifest.commit += 1,
        |manifest| manifest.chain = "00".repeat(32),
        |manifest| manifest.keys_protected = true,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let unpacked = world.path(&format!("unpacked-{number}"));
        std::fs::create_dir(&unpacked).unwrap();
        std::fs::set_permissions(&unpacked, std::fs::Permissions::from_mode(0o700)).unwrap();
        unpack(&file, &world.secret, &unpacked).unwrap();
        let path = unpacked.join(manifest::MANIFEST);
        let mut manifest: Manifest = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((manifest.commit, manifest.keys_protected), (1, false));
        change(&mut manifest);
        std::fs::write(&path, manifest.to_text()).unwrap();
        let found = inspect(&file, &unpacked);
        assert_eq!(found.is_ok(), number == 0, "{number}");
        assert!(number == 0 || matches!(found, Err(BackupError::Damaged { .. })));
    }
}

#[test]
fn a_ledger_that_does_not_add_up_is_restored_only_by_somebody_who_answers_for_it() {
    let world = World::new();
    let invented = Account { balance: 5, ..Account::new(AccountId([7; 16]), Asset::USD6) };
    world.commit(&Changes { accounts: vec![invented], ..Changes::default() });
    let file = world.backup("backup");
    for over in [true, false] {
        let to = if over { world.data.path().to_owned() } else { world.path("new") };
        let refused = restore(&file, &world.secret, &to, false, wall_clock()).unwrap_err();
        assert!(matches!(refused, BackupError::DoesNotAddUp { .. }), "{refused}");
        assert!(refused.to_string().contains("--accept-loss"), "{refused}");
        assert_eq!(to.exists(), over, "nothing was changed");
        let restored = restore(&file, &world.secret, &to, true, wall_clock()).unwrap();
        assert!(restored.findings.audit.differences_found > 0);
    }
}
