//! A TPS, a merchant and customers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cts_client::frames::Frames;
use cts_client::{Patience, Wallet, WalletSettings, enrol};
use mts_plugin::fixtures::Realm;
use protocol::pin::Pin;

use crate::shop::Shop;
use crate::tps::Tps;

/// Twelve digits, so that they appear nowhere by chance.
pub(crate) const PIN: &str = "918273645501";
pub(crate) const WRONG_PIN: &str = "000000000000";

/// Where in a request-for-payment the ephemeral key begins: it is followed by the sealed half (144 bytes) and its tag.
pub(crate) const EPHEMERAL_AT: usize = protocol::request::REQUEST_BYTES - 32 - 144 - 16;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) tps: Tps,
    pub(crate) shop: Shop,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let realm = Arc::new(Realm::default());
        let shop = Shop::start(folder.path(), &realm).await;
        Self { tps: Tps::start(realm), shop, folder }
    }

    pub(crate) fn directory(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("customer-{number}"))
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An activated instrument, with its PIN set at the TPS.
    pub(crate) async fn enrol(&self, number: u8) {
        let bundle = self.tps.bundle(number);
        enrol::initialise(&self.directory(number), &bundle, &Frames::default()).await.unwrap();
        self.tps.set_pin(number, PIN);
    }

    pub(crate) fn open(&self, number: u8) -> Wallet {
        let patience = Patience { attempts: 2, timeout: Duration::from_millis(400) };
        Wallet::open(&self.directory(number), WalletSettings { patience, ..WalletSettings::default() }).unwrap()
    }

    /// As [`Self::open`], with the right PIN held.
    pub(crate) fn unlocked(&self, number: u8) -> Wallet {
        let wallet = self.open(number);
        wallet.enter_pin(pin(PIN));
        wallet
    }

    pub(crate) async fn customer(&self, number: u8) -> Wallet {
        self.enrol(number).await;
        self.unlocked(number)
    }
}

pub(crate) fn pin(text: &str) -> Pin {
    Pin::parse(text).unwrap()
}

pub(crate) fn one(code: &str) -> Vec<(String, u32)> {
    vec![(code.to_owned(), 1)]
}
