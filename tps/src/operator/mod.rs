//! The operator's commands, carried out on an engine: by a running server for its admin socket, or by the command line
//! itself over a stopped server's database.

mod accounts;
mod archive;
mod ids;
pub mod import;
pub mod installation;
mod instruments;
mod merchants;
mod settlement;
mod status;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use protocol::money::Asset;
use protocol::time::Timestamp;

use crate::admin::views::{ListenerView, Money, StatusWarning};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};
use crate::config::SettlementConfig;
use crate::data_directory::{DataDirectory, Realm};
use crate::keys::KeyRing;
use crate::pipeline::Engine;
use crate::store::CheckpointView;
pub(crate) use status::process_cpu_us;

/// What a command asks of the server as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSignal {
    /// Answer what is open and end.
    Stop,
    /// Answer what is open, take keys and configuration anew, and go on.
    Reload,
}

/// What only a serving process has.
pub struct Serving {
    /// Where it listens.
    pub listen: SocketAddr,
    /// All places where it listens.
    pub listeners: Vec<ListenerView>,
    /// Takes signals for the server as a whole.
    pub signals: tokio::sync::mpsc::UnboundedSender<ServerSignal>,
    /// Whether the ledger survives a reload.
    pub durable: bool,
}

/// Carries out the operator's commands.
pub struct Operator {
    engine: Arc<Engine>,
    data: DataDirectory,
    realm: Realm,
    public_addresses: Vec<String>,
    configured_listen: SocketAddr,
    settlement_config: SettlementConfig,
    serving: Option<Serving>,
    started_at: Timestamp,
    last_serial: Mutex<u64>,
    /// Warnings as they were told last, and when that was.
    warned: Mutex<Option<(Instant, Vec<StatusWarning>)>>,
}

impl Operator {
    /// Over `engine`; `serving` where the engine has a listener.
    pub fn new(
        engine: Arc<Engine>,
        data: DataDirectory,
        realm: Realm,
        config: &crate::config::Config,
        serving: Option<Serving>,
    ) -> Self {
        let started_at = engine.now();
        Self {
            engine,
            data,
            realm,
            public_addresses: config.public_addresses.clone(),
            configured_listen: config.listen,
            settlement_config: config.settlement.clone(),
            serving,
            started_at,
            last_serial: Mutex::new(0),
            warned: Mutex::new(None),
        }
    }

    /// Gives the engine back, to be drained.
    pub fn into_engine(self) -> Arc<Engine> {
        self.engine
    }

    /// Carries out one command. Blocks until it is durable.
    ///
    /// # Errors
    /// [`AdminError`], with nothing changed.
    pub fn execute(&self, request: AdminRequest) -> Result<AdminResponse, AdminError> {
        match request {
            AdminRequest::OpenAccount { asset, reference } => self.open_account(asset, reference),
            AdminRequest::ListAccounts => self.list_accounts(),
            AdminRequest::ShowAccount { account } => self.show_account(&account),
            AdminRequest::Fund { account, amount, deposit } => self.fund(&account, &amount, deposit),
            AdminRequest::HoldAccount { account, held } => self.hold_account(&account, held),
            AdminRequest::Enrol { account, label, limits, valid_ms, addresses } => {
                self.enrol(&account, label, &limits, valid_ms, addresses)
            }
            AdminRequest::ImportInstruments { rows } => self.import(&rows),
            AdminRequest::ListInstruments { account } => self.list_instruments(account.as_deref()),
            AdminRequest::ShowInstrument { instrument } => self.show_instrument(&instrument),
            AdminRequest::Limit { instrument, limits } => self.limit(&instrument, &limits),
            AdminRequest::HoldInstrument { instrument, held } => self.hold_instrument(&instrument, held),
            AdminRequest::Revoke { instrument } => self.revoke(&instrument),
            AdminRequest::NewPin { instrument, digits } => self.new_pin(&instrument, digits),
            AdminRequest::RegisterMerchant { request } => self.register_merchant(&request),
            AdminRequest::RenewMerchant { merchant, request } => self.renew(&merchant, &request),
            AdminRequest::ListMerchants => self.list_merchants(),
            AdminRequest::ShowMerchant { merchant } => self.show_merchant(&merchant),
            AdminRequest::Approve { merchant, valid_days, fingerprint } => {
                self.approve(&merchant, valid_days, fingerprint.as_deref())
            }
            AdminRequest::Suspend { merchant } => self.suspend(&merchant),
            AdminRequest::Reinstate { merchant } => self.reinstate(&merchant),
            AdminRequest::Status => self.status(),
            AdminRequest::Counters => self.counted(),
            AdminRequest::Audit { proofs } => {
                Ok(AdminResponse::Audit(crate::audit::audit(&self.engine, &self.data, &self.realm, proofs)?))
            }
            AdminRequest::Settlement(command) => self.settlement(&command),
            AdminRequest::Archive { verify } => self.archive(verify),
            AdminRequest::Checkpoint => {
                let made = self.engine.reader().checkpoint(&self.data.checkpoint())?;
                let CheckpointView { realm, commit, chain } = made;
                Ok(AdminResponse::Checkpoint { realm, commit, chain: hex::encode(chain) })
            }
            AdminRequest::Reload => self.signal(ServerSignal::Reload),
            AdminRequest::Drain => self.signal(ServerSignal::Stop),
        }
    }

    fn signal(&self, signal: ServerSignal) -> Result<AdminResponse, AdminError> {
        let serving = self.serving.as_ref().ok_or_else(|| {
            AdminError::new(AdminErrorCode::Unavailable, "no server runs here: start one with `tps serve`")
        })?;
        if signal == ServerSignal::Reload && !serving.durable {
            return Err(AdminError::refused(
                "this server keeps its ledger in memory and would lose it: start another `tps dev`",
            ));
        }
        if signal == ServerSignal::Reload {
            // What a reload would fail on is told now, and the server goes on.
            KeyRing::load(&self.data)?.engine_keys(self.realm.realm, self.engine.now())?;
        }
        let stopping = || AdminError::new(AdminErrorCode::Unavailable, "the server is already about to stop");
        serving.signals.send(signal).map_err(|_| stopping())?;
        Ok(AdminResponse::Done)
    }

    /// An amount or balance for people; every asset of an account stands in the registry.
    fn money(&self, units: i128, asset: Asset) -> Money {
        Money::new(units, asset, self.realm.exponent(asset).unwrap_or(0))
    }

    fn exponent(&self, asset: Asset) -> Result<u8, AdminError> {
        let known = || self.realm.assets.iter().map(|asset| asset.code.to_string()).collect::<Vec<_>>().join(", ");
        self.realm.exponent(asset).ok_or_else(|| {
            AdminError::bad_input(format!("asset {asset} is not in this TPS's registry, which holds: {}", known()))
        })
    }
}

/// Sixteen random bytes from the operating system.
fn random<const N: usize>() -> Result<[u8; N], AdminError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AdminError::from(crate::keys::KeyError::NoRandomness))?;
    Ok(bytes)
}
