//! The operator's commands, carried out on an engine: by a running server for its admin socket, or by the command line
//! itself over a stopped server's database.

mod accounts;
mod archive;
mod ids;
pub mod import;
pub mod installation;
mod instruments;
mod merchants;
mod notary;
mod registrar;
mod settlement;
mod statement;
mod status;
mod vru;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use protocol::money::Asset;

use crate::admin::views::{ListenerView, Money, StatusWarning};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};
use crate::config::SettlementConfig;
use crate::data_directory::{DataDirectory, Realm};
use crate::desk::clerk::{Clerk, admit};
use crate::desk::{DeskHandle, Renewals};
use crate::notary::Notary;
use crate::pipeline::Engine;
use crate::settlement::LedgerSettlements;
use crate::settlement::pages::PageDirectory;
use crate::statement::StatementDesk;
use crate::store::CheckpointView;
use crate::vru::desk::Desk as VruDesk;
pub(crate) use status::process_cpu_us;
use vru::VruSettings;

pub use registrar::{Registrar, RenewalRefusal};

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
    /// What a reload would fail on; the server goes on as it is then.
    pub check_reload: Box<dyn Fn() -> Result<(), AdminError> + Send + Sync>,
}

/// Carries out the operator's commands.
pub struct Operator {
    engine: Arc<Engine>,
    data: DataDirectory,
    realm: Realm,
    public_addresses: Vec<String>,
    configured_listen: SocketAddr,
    settlement_config: SettlementConfig,
    vru: Arc<VruDesk>,
    vru_settings: VruSettings,
    serving: Option<Serving>,
    notary: Notary,
    statements: Arc<StatementDesk>,
    started: Instant,
    /// Warnings as they were told last, and when that was.
    warned: Mutex<Option<(Instant, Vec<StatusWarning>)>>,
    registrar: Arc<Registrar>,
    renewals: Renewals,
    /// The desk of a serving process.
    desk: OnceLock<DeskHandle>,
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
        let vru = Arc::new(VruDesk::start(Arc::clone(&engine), realm.clone(), config.pin_digits));
        let registrar = Arc::new(Registrar::new(Arc::clone(&engine), data.clone(), realm.clone()));
        Self {
            vru,
            vru_settings: VruSettings::of(config),
            engine,
            data,
            realm,
            public_addresses: config.public_addresses.clone(),
            configured_listen: config.listen,
            settlement_config: config.settlement.clone(),
            serving,
            notary: Notary::default(),
            statements: Arc::default(),
            started: Instant::now(),
            warned: Mutex::new(None),
            registrar,
            renewals: config.desk_renewals,
            desk: OnceLock::new(),
        }
    }

    /// The VRU's desk, for those who take calls.
    pub fn vru(&self) -> Arc<VruDesk> {
        Arc::clone(&self.vru)
    }

    /// A clerk for the desk, with this operator's registrar. There must be one only.
    pub fn clerk(&self) -> Clerk {
        let pages = PageDirectory::new(&self.data.settlements(), self.realm.realm);
        let settlements = Box::new(LedgerSettlements { reader: Arc::clone(self.engine.reader()), pages });
        Clerk::new(Arc::clone(&self.engine), Arc::clone(&self.registrar), self.renewals, settlements)
    }

    /// Hands merchants' batches to the desk of this serving process from now on.
    pub fn attach_desk(&self, desk: DeskHandle) {
        let _ = self.desk.set(desk);
    }

    /// Carries out a batch that came as a file: at the desk, or here where no server runs.
    fn desk_submit(&self, batch: &str) -> Result<AdminResponse, AdminError> {
        let bytes = hex::decode(batch.trim()).map_err(|_| AdminError::bad_input("the batch is not in hexadecimal"))?;
        let answer = match self.desk.get() {
            Some(desk) => desk.answer(&bytes),
            None => admit(&self.engine, self.realm.realm, &bytes).and_then(|batch| self.clerk().answer(&batch)),
        };
        let answer = answer.map_err(|code| AdminError::refused(code.to_string()))?;
        Ok(AdminResponse::DeskAnswer { answer: hex::encode(answer) })
    }

    /// Leaves orders for statements at `desk`, where a job finds them.
    #[must_use]
    pub fn with_statements(self, desk: Arc<StatementDesk>) -> Self {
        Self { statements: desk, ..self }
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
            AdminRequest::Enrol { account, label, limits, valid_ms, addresses, mailer } => {
                self.enrol(&account, label, &limits, valid_ms, addresses, mailer)
            }
            AdminRequest::ImportInstruments { rows } => self.import(&rows),
            AdminRequest::ListInstruments { account } => self.list_instruments(account.as_deref()),
            AdminRequest::ShowInstrument { instrument } => self.show_instrument(&instrument),
            AdminRequest::Limit { instrument, limits } => self.limit(&instrument, &limits),
            AdminRequest::HoldInstrument { instrument, held } => self.hold_instrument(&instrument, held),
            AdminRequest::Revoke { instrument } => self.revoke(&instrument),
            AdminRequest::NewPin { instrument, digits } => self.new_pin(&instrument, digits),
            AdminRequest::Vru(request) => self.vru_request(request),
            AdminRequest::RegisterMerchant { request } => self.register_merchant(&request),
            AdminRequest::RenewMerchant { merchant, request } => self.renew(&merchant, &request),
            AdminRequest::ListMerchants => self.list_merchants(),
            AdminRequest::ShowMerchant { merchant } => self.show_merchant(&merchant),
            AdminRequest::Approve { merchant, valid_days, fingerprint } => {
                self.approve(&merchant, valid_days, fingerprint.as_deref())
            }
            AdminRequest::Suspend { merchant } => self.suspend(&merchant),
            AdminRequest::Reinstate { merchant } => self.reinstate(&merchant),
            AdminRequest::DeskSubmit { batch } => self.desk_submit(&batch),
            AdminRequest::Status => self.status(),
            AdminRequest::Counters => self.counted(),
            AdminRequest::Audit { proofs } => {
                Ok(AdminResponse::Audit(crate::audit::audit(&self.engine, &self.data, &self.realm, proofs)?))
            }
            AdminRequest::Settlement(command) => self.settlement(&command),
            AdminRequest::Statement(command) => self.statement(command),
            AdminRequest::Notary(command) => self.notary(&command),
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
        if signal == ServerSignal::Reload {
            (serving.check_reload)()?;
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
