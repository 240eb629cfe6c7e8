//! A serving process: engine, listener, admin socket, and what watches over them.

mod dev;
mod error;
mod housekeeping;
mod loaded;
mod notify;
mod probing;
mod signals;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::key_set::Audience;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::admin::AdminError;
use crate::admin::server::AdminSocket;
use crate::admin::views::ListenerView;
use crate::config::{Config, DESK, LogFormat, OPERATIONS, Overrides, VRU, VRU_WEBHOOKS};
use crate::data_directory::{DataDirectory, Realm};
use crate::desk::Desk;
use crate::desk::listener::{DeskListenError, DeskListener};
use crate::funding::{Folder, FundingJob};
use crate::jobs::deferred::DeferredVerification;
use crate::jobs::{Job, Jobs};
use crate::keys::{TlsKey, key_set_path};
use crate::operations::progress::STUCK_AFTER;
use crate::operations::{Constants, Observation, OperationsListener};
use crate::operator::installation::{InstallError, open_ledger};
use crate::operator::{Operator, Serving};
use crate::pipeline::{Engine, ThreadClock};
use crate::receive::{Listener, ReceiveConfig};
use crate::settlement::{Settings, SettlementJob};
use crate::statement::{StatementDesk, StatementJob};
use crate::store::{Store, StoreError};
use crate::vru::fronts::Fronts;
use loaded::{Bound, Loaded};
use signals::{End, UnixSignals};

pub use dev::dev;
pub use error::ServeError;
pub use loaded::check;

/// How to serve, apart from the directory.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Flags that override the configuration.
    pub overrides: Overrides,
    /// Print every message, without secrets.
    pub frames: bool,
}

/// Serves the TPS in `data` until it is told to stop. `log` is called once with the configuration, before anything happens.
///
/// # Errors
/// [`ServeError`].
pub fn serve(data: &DataDirectory, options: ServeOptions, log: impl FnOnce(&Config)) -> Result<(), ServeError> {
    let realm = data.realm()?;
    let mut loaded = Loaded::from(data, &realm, &options.overrides)?;
    data.vault().stop_prompting();
    log(&loaded.config);
    let mut announce = Announce::Ready;
    let mut caught = None;
    loop {
        let store = open_patiently(data)?;
        loaded.at_ledger_time(data, &realm, store.reader().clock()?)?;
        loaded = match run(data, &realm, loaded, store, &options, true, &announce, &mut caught)? {
            End::Stop => return Ok(()),
            End::Reload(loaded) => *loaded,
        };
        announce = Announce::Nothing;
    }
}

/// Reads everything anew for the next run, or says why the server had better go on as it is.
type Reload = dyn Fn() -> Result<Loaded, ServeError> + Send + Sync;

/// How long a starting server waits for a command that has the ledger open: commands over a stopped server's ledger take
/// a moment, and one may come in while the server reloads.
const LEDGER_PATIENCE: Duration = Duration::from_secs(1);

fn open_patiently(data: &DataDirectory) -> Result<Box<dyn Store>, InstallError> {
    let deadline = Instant::now() + LEDGER_PATIENCE;
    loop {
        match open_ledger(data) {
            Err(InstallError::Store(StoreError::InUse { .. })) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// What is printed once the server is ready.
enum Announce {
    /// The line that scripts wait for.
    Ready,
    /// The same, and what to try next.
    ReadyAnd(Box<dyn Fn(SocketAddr) -> String>),
    /// Nothing: it was said before.
    Nothing,
}

impl Announce {
    fn print(&self, listen: SocketAddr) {
        let text = match self {
            Self::Ready => format!("tps: ready on {listen}\n"),
            Self::ReadyAnd(more) => format!("tps: ready on {listen}\n{}", more(listen)),
            Self::Nothing => return,
        };
        let mut out = std::io::stdout().lock();
        // Nobody may be reading; the server serves all the same.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The network's runtime: one thread, whose processor time is counted whenever it has nothing to do.
fn network_runtime(engine: &Engine) -> std::io::Result<Runtime> {
    let counters = Arc::clone(engine.counters());
    let clock = ThreadClock::default();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || clock.mark(&counters.stages.receive))
        .build()
}

/// Runs one engine over `store` until it is told to stop or to reload; then everything is answered and closed. `caught` is handed
/// from run to run.
#[expect(clippy::too_many_arguments, reason = "it has two callers, and each argument is another thing")]
fn run(
    data: &DataDirectory,
    realm: &Realm,
    loaded: Loaded,
    store: Box<dyn Store>,
    options: &ServeOptions,
    durable: bool,
    announce: &Announce,
    caught: &mut Option<UnixSignals>,
) -> Result<End, ServeError> {
    let operations_address = loaded.listener(OPERATIONS.name);
    let desk_address = loaded.listener(DESK.name);
    let vru_addresses = (loaded.listener(VRU.name), loaded.listener(VRU_WEBHOOKS.name));
    let Loaded { config, listeners: _, keys, tls, webhook_key, settlement, in_force, proof_key_until } = loaded;
    if store.reader().realm()? != realm.realm {
        return Err(ServeError::OtherRealm);
    }
    let engine = Arc::new(Engine::start(store, keys, config.engine(realm.shards))?);
    // Nobody will come for statements that were ordered from a server that has ended.
    let _ = std::fs::remove_dir_all(data.statements());
    let statements = Arc::new(StatementDesk::default());
    let jobs = jobs(&engine, data, realm, &config, settlement, &statements, durable)?;
    // One runtime for the network and another for all else, so that no command ever stands before a payment.
    let (network, control) = (network_runtime(&engine)?, runtime()?);
    let listener = {
        let _context = network.enter();
        let policy = config.signature_policy;
        let TlsKey { certificate_der, private_key_pkcs8_der } = &tls;
        let key_set = Some(key_set_path(data, Audience::Customer));
        let receive = ReceiveConfig { key_set, ..config.receive(options.frames) };
        let (certificate, key) = (certificate_der.clone(), private_key_pkcs8_der.clone());
        Listener::bind(&receive, certificate, key, realm.realm, policy, Arc::clone(&engine))?
    };
    let listen = listener.local_address();
    let (socket, operations, desk_listener, fronts, mut signals_caught) = {
        let _context = control.enter();
        let operations = operations_address.map(OperationsListener::bind).transpose()?;
        let desk_listener = desk_address.map(|address| listen_for_merchants(address, listen, &tls)).transpose()?;
        let fronts = Fronts::bind(&config, vru_addresses, webhook_key, &tls)?;
        // Those of the run before, so that a signal between two runs is not lost.
        let signals_caught = caught.take().map_or_else(UnixSignals::catch, Ok)?;
        (AdminSocket::bind(data)?, operations, desk_listener, fronts, signals_caught)
    };
    let bound = {
        let view = |name: &str, transport: &str, address: Option<SocketAddr>| {
            address.map(|address| ListenerView { name: name.to_owned(), transport: transport.to_owned(), address })
        };
        let (line, webhooks) = fronts.bound();
        let listeners = [
            view("payments", "udp", Some(listen)),
            view(OPERATIONS.name, "tcp", operations.as_ref().map(OperationsListener::local_address)),
            view(DESK.name, "tcp", desk_listener.as_ref().map(DeskListener::local_address)),
            view(VRU.name, "tcp", line),
            view(VRU_WEBHOOKS.name, "tcp", webhooks),
        ];
        Bound { listen, listeners: listeners.into_iter().flatten().collect() }
    };
    let (signals_out, mut signals) = mpsc::unbounded_channel();
    let (stop_out, stop) = watch::channel(false);
    let (answered_out, answered) = watch::channel(false);
    let constants = Constants {
        realm: realm.realm,
        shards: realm.shards,
        disk_low_bytes: config.disk_low_bytes,
        stuck_after: notify::watchdog_interval().unwrap_or(STUCK_AFTER),
        data: data.clone(),
    };
    let observation = Arc::new(Observation::new(Arc::clone(&engine), constants, stop.clone())?);
    let reload: Arc<Reload> = {
        let (data, realm, options, bound) = (data.clone(), realm.clone(), options.clone(), bound.clone());
        Arc::new(move || match durable {
            true => Loaded::again(&data, &realm, &options, &bound),
            false => Err(ServeError::InMemory),
        })
    };
    let check = Arc::clone(&reload);
    let check_reload = Box::new(move || check().map(drop).map_err(AdminError::from));
    let serving = Serving { listen, listeners: bound.listeners.clone(), signals: signals_out.clone(), check_reload };
    let operator = Operator::new(Arc::clone(&engine), data.clone(), realm.clone(), &config, Some(serving));
    let operator = Arc::new(operator.with_statements(statements));
    let desk = Desk::start(Arc::clone(&engine), realm.realm, operator.clerk());
    operator.attach_desk(desk.handle());
    let merchants = desk_listener.map(|listener| listener.run(desk.handle(), stop.clone()));
    let watched = housekeeping::Watched {
        engine: Arc::clone(&engine),
        observation: Arc::clone(&observation),
        data: data.clone(),
        disk_low_bytes: config.disk_low_bytes,
        in_force,
        proof_key_until,
        signals: durable.then_some(signals_out),
    };
    let stop_for_control = stop.clone();
    let network_handle = network.handle().clone();
    let controlled = std::thread::Builder::new().name("tps-control".to_owned()).spawn(move || {
        let ended = control.block_on(async move {
            let calls = tokio::spawn(fronts.run(operator.vru(), stop_for_control.clone()));
            let admin = tokio::spawn(socket.run(operator, stop_for_control.clone()));
            let housekeeping = tokio::spawn(housekeeping::run(watched, stop_for_control.clone()));
            let probing = tokio::spawn(probing::run(Arc::clone(&observation), network_handle, stop_for_control));
            let operations = operations.map(|listener| tokio::spawn(listener.run(observation, answered)));
            let merchants = merchants.map(tokio::spawn);
            let end = signals_caught.end(&mut signals, &*reload).await;
            let what = match end {
                End::Stop => {
                    notify::stopping();
                    "ends"
                }
                End::Reload(_) => {
                    notify::reloading();
                    "takes keys and configuration anew"
                }
            };
            tracing::info!("the server {what}: it takes no more requests and answers what is open");
            let _ = stop_out.send(true);
            let _ = admin.await;
            let _ = calls.await;
            let _ = housekeeping.await;
            let _ = probing.await;
            if let Some(operations) = operations {
                let _ = operations.await;
            }
            if let Some(merchants) = merchants {
                let _ = merchants.await;
            }
            (end, signals_caught)
        });
        drop(control);
        ended
    })?;

    let jobs = Jobs::start(Arc::clone(&engine), jobs)?;

    let kernels = kernels::Backend::choice();
    tracing::info!(backend = ?kernels.backend, passed_over = ?kernels.passed_over, "chose the vector kernels");
    tracing::info!(%listen, realm = %realm.realm, shards = realm.shards, "serving");
    for ListenerView { name, transport, address } in bound.listeners.iter().skip(1) {
        tracing::info!(name, transport, %address, "listening");
    }
    announce.print(listen);
    notify::ready(&format!("Serving payments on {listen}"));
    network.block_on(listener.run(stop));
    drop(network);
    let _ = answered_out.send(true);
    let (end, signals_caught) = controlled.join().map_err(|_| ServeError::Unfinished)?;
    *caught = Some(signals_caught);
    drop(jobs);
    drop(desk);
    drain(engine)?;
    tracing::info!("everything is answered and closed");
    Ok(end)
}

/// The desk's listener. Where the system chose the port for payments, that of the desk is the same if it is free.
fn listen_for_merchants(
    address: SocketAddr,
    payments: SocketAddr,
    tls: &TlsKey,
) -> Result<DeskListener, DeskListenError> {
    let addresses = if address.port() == 0 { vec![payments, address] } else { vec![address] };
    DeskListener::bind(&addresses, tls.certificate_der.clone(), &tls.private_key_pkcs8_der)
}

/// What runs in spare time.
fn jobs(
    engine: &Engine,
    data: &DataDirectory,
    realm: &Realm,
    config: &Config,
    settings: Settings,
    statements: &Arc<StatementDesk>,
    durable: bool,
) -> Result<Vec<Box<dyn Job>>, ServeError> {
    let mut jobs: Vec<Box<dyn Job>> = Vec::new();
    // Before the first payment: what is left to verify is known from then on.
    if let Some(job) = DeferredVerification::start(engine, config.signature_check)? {
        jobs.push(Box::new(job));
    }
    jobs.push(Box::new(SettlementJob { settings, data: data.clone(), realm: realm.clone() }));
    jobs.push(Box::new(StatementJob::new(Arc::clone(statements), realm.clone(), data.clone())));
    // The store in memory keeps everything anyway.
    #[cfg(feature = "rocksdb")]
    if durable {
        jobs.push(Box::new(crate::archive::RetentionJob::new(data.clone(), config.retention_days)));
    }
    #[cfg(not(feature = "rocksdb"))]
    let _ = durable;
    if let Some(agency) = config.funding_key()? {
        jobs.push(Box::new(FundingJob::new(Folder::new(&data.funding(), agency), realm.clone())));
    }
    Ok(jobs)
}

/// Ends an engine of which nobody else should hold a part any more.
pub(crate) fn drain(mut engine: Arc<Engine>) -> Result<(), ServeError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Arc::try_unwrap(engine) {
            Ok(engine) => {
                engine.drain();
                return Ok(());
            }
            Err(_) if Instant::now() > deadline => return Err(ServeError::Unfinished),
            Err(shared) => engine = shared,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts logging to standard error. Does nothing where logging was started before.
pub fn start_logging(config: &Config) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log_level).unwrap_or_default();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
