//! What a server reads from its directory, before it starts and again before it starts anew.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use protocol::ids::KeyId;
use protocol::key_set::KeyRole;
use protocol::time::Timestamp;

use crate::admin::AdminError;
use crate::admin::views::ListenerView;
use crate::config::{Config, Overrides, PlacedListener, VRU, VRU_WEBHOOKS};
use crate::data_directory::{DataDirectory, Realm};
use crate::keys::{KeyError, KeyRing, TlsKey};
use crate::pipeline::EngineKeys;
use crate::pipeline::clock::wall_clock;
use crate::settlement::Settings;
use crate::vru::fronts::signature::WebhookKey;

use super::{ServeError, ServeOptions};

/// What is read from the directory at every start: whatever of it can be wrong is found here, before anything begins or ends.
pub(super) struct Loaded {
    pub(super) config: Config,
    pub(super) listeners: Vec<PlacedListener>,
    pub(super) keys: EngineKeys,
    pub(super) tls: TlsKey,
    pub(super) webhook_key: Option<WebhookKey>,
    pub(super) settlement: Settings,
    pub(super) in_force: Vec<KeyId>,
    /// Until when the key that signs proofs is valid.
    pub(super) proof_key_until: Timestamp,
}

impl Loaded {
    pub(super) fn from(data: &DataDirectory, realm: &Realm, overrides: &Overrides) -> Result<Self, ServeError> {
        let config = Config::load(&data.config_file(), realm.shards, overrides)?;
        // The socket's path must not be too long.
        data.admin_socket()?;
        let ring = KeyRing::load(data)?;
        let now = wall_clock();
        let keys = ring.engine_keys(realm.realm, now)?;
        let settlement = config.settlement.settings(realm)?;
        let webhooks = config.listener(&VRU_WEBHOOKS)?;
        let webhook_key = webhooks.map(|_| WebhookKey::load(data)).transpose()?;
        let (listeners, tls, in_force) = (config.listeners()?, TlsKey::load(data)?, ring.in_force(now));
        let proof_key_until = proof_key_until(&ring, now);
        Ok(Self { config, listeners, keys, tls, webhook_key, settlement, in_force, proof_key_until })
    }

    /// Takes the keys that are in force at the ledger's time where that is ahead of the machine's: it is the time of batches.
    pub(super) fn at_ledger_time(
        &mut self,
        data: &DataDirectory,
        realm: &Realm,
        ledger: Timestamp,
    ) -> Result<(), KeyError> {
        if ledger > wall_clock() {
            let ring = KeyRing::load(data)?;
            self.keys = ring.engine_keys(realm.realm, ledger)?;
            self.proof_key_until = proof_key_until(&ring, ledger);
            self.in_force = ring.in_force(ledger);
        }
        Ok(())
    }

    /// For a server that listens at `bound` and is about to take everything anew: on the same ports where the system chose them,
    /// and only if new places are free. It ends what it has before it begins again, and an error in between would leave nothing.
    pub(super) fn again(
        data: &DataDirectory,
        realm: &Realm,
        options: &ServeOptions,
        bound: &Bound,
    ) -> Result<Self, ServeError> {
        let mut loaded = Self::from(data, realm, &options.overrides)?;
        if loaded.config.listen.port() == 0 {
            loaded.config.listen = bound.listen;
        }
        for (kind, address) in &mut loaded.listeners {
            if let Some(address) = address
                && address.port() == 0
                && let Some(before) = bound.listeners.iter().find(|listener| listener.name == kind.name)
            {
                address.set_port(before.address.port());
            }
        }
        loaded.check_new_places(bound)?;
        Ok(loaded)
    }

    fn check_new_places(&self, bound: &Bound) -> Result<(), ServeError> {
        let taken = |key, address| move |error| ServeError::Taken { key, address, error };
        if bound.is_new("udp", self.config.listen) {
            UdpSocket::bind(self.config.listen).map_err(taken("listen", self.config.listen))?;
        }
        for (kind, address) in &self.listeners {
            // The VRU does without a place that nobody chose.
            let optional = kind.name == VRU.name && self.config.vru_listen.is_none();
            if let Some(address) = address.filter(|address| !optional && bound.is_new("tcp", *address)) {
                TcpListener::bind(address).map_err(taken(kind.key, address))?;
            }
        }
        Ok(())
    }

    pub(super) fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.iter().find(|(kind, _)| kind.name == name)?.1
    }
}

fn proof_key_until(ring: &KeyRing, now: Timestamp) -> Timestamp {
    ring.current(KeyRole::Proof, now).map_or(now, |key| key.valid_until)
}

/// Where a server listens, with the real ports.
#[derive(Clone)]
pub(super) struct Bound {
    /// For payments.
    pub(super) listen: SocketAddr,
    /// For payments and everything else.
    pub(super) listeners: Vec<ListenerView>,
}

impl Bound {
    /// Whether nothing of this server has the port: what it has, it can have again.
    fn is_new(&self, transport: &str, address: SocketAddr) -> bool {
        let has =
            |listener: &ListenerView| listener.transport == transport && listener.address.port() == address.port();
        address.port() != 0 && !self.listeners.iter().any(has)
    }
}

/// What a server over `data` would start with, and where it would listen; nothing is started.
///
/// # Errors
/// Whatever a start would fail on, but for ports that are taken.
pub fn check(data: &DataDirectory, realm: &Realm) -> Result<(SocketAddr, Vec<PlacedListener>), AdminError> {
    let loaded = Loaded::from(data, realm, &Overrides::default())?;
    Ok((loaded.config.listen, loaded.listeners))
}
