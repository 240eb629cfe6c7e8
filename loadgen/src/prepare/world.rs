//! What a load needs of a server: keys to pin, a certified merchant, instruments. Made through the operator's socket, as
//! anybody would make them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use protocol::certificate::CertificateRequest;
use protocol::codec::Canonical;
use protocol::ids::MerchantId;
use protocol::key_set::Audience;
use protocol::money::Asset;
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use protocol::time::Timestamp;
use tps::admin::client::AdminClient;
use tps::admin::views::StatusView;
use tps::admin::{AdminRequest, AdminResponse};
use tps::book::import::{IMPORT_ROWS_MAX, ImportRow};
use tps::data_directory::DataDirectory;
use tps::keys::{load_certificate, load_key_set};
use tps::operator::import::import_request;

use crate::file::{PinnedProcessor, World};
use crate::secrets::{Seed, random};

/// A connection to the server that serves `data`.
///
/// # Errors
/// Where none does.
pub fn connect(data: &Path) -> anyhow::Result<AdminClient> {
    let socket = DataDirectory::open(data)?.admin_socket()?;
    AdminClient::connect(&socket)?
        .with_context(|| format!("no server runs on {}: start one with `tps --data {0} serve`", data.display()))
}

/// What the server does.
///
/// # Errors
/// The server's.
pub fn status(admin: &mut AdminClient) -> anyhow::Result<StatusView> {
    match admin.call(&AdminRequest::Status)? {
        AdminResponse::Status(status) => Ok(*status),
        _ => bail!("the question for the status was answered with something else"),
    }
}

/// Pins the server's current session key and its proof keys.
///
/// # Errors
/// Where the data directory does not hold them.
pub fn pin_keys(world: &mut World, now: Timestamp) -> anyhow::Result<()> {
    let data = DataDirectory::open(&world.data)?;
    let realm = data.realm()?;
    ensure!(
        world.realm == realm.realm,
        "the file was prepared for TPS {}, but {} holds {}: name a new file with --out",
        world.realm,
        data.path().display(),
        realm.realm
    );
    let (_, customer) = load_key_set(&data, &realm, Audience::Customer, now)?;
    let (_, merchant) = load_key_set(&data, &realm, Audience::Merchant, now)?;
    let key = customer.session_key(now).context("the server has no session key: run `tps key rotate session`")?;
    world.processor = PinnedProcessor { id: key.id, public: key.public, route: key.route };
    world.proof_keys = merchant.proof_keys().map(Into::into).collect();
    Ok(())
}

/// A new world on the server of `data`: its merchant is certified, its instruments do not exist yet.
///
/// # Errors
/// The server's.
pub fn create(
    admin: &mut AdminClient,
    data: &Path,
    per_account: u64,
    opening_units: u64,
    now: Timestamp,
) -> anyhow::Result<World> {
    let status = status(admin)?;
    let listen = status.listen.context("the server listens nowhere: start it with `tps serve`")?;
    let directory = DataDirectory::open(data)?;
    let realm = directory.realm()?;
    let asset = realm.assets.first().map_or(Asset::USD6, |asset| asset.code);
    let mut world = World {
        realm: realm.realm,
        data: data.canonicalize()?,
        address: reachable(listen).to_string(),
        server_certificate: hex::encode(load_certificate(&directory.keys())?),
        processor: PinnedProcessor {
            id: Default::default(),
            public: protocol::session::AgreementPublic([0; 32]),
            route: 0,
        },
        proof_keys: Vec::new(),
        merchant: certified_merchant(admin)?,
        asset,
        exponent: realm.exponent(asset).unwrap_or(0),
        shards: realm.shards,
        seed: Seed::from_random(random()),
        per_account,
        opening_units,
        amount_units: 1,
    };
    pin_keys(&mut world, now)?;
    Ok(world)
}

/// Where a client of this machine reaches a server that listens everywhere.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn certified_merchant(admin: &mut AdminClient) -> anyhow::Result<MerchantId> {
    let desk = SigningKey::from_seed(random());
    let session = AgreementSecret::from_random(random()).public();
    let request = CertificateRequest::new("Load".to_owned(), session, &desk)?;
    let request = hex::encode(request.encode());
    let AdminResponse::Merchant(merchant) = admin.call(&AdminRequest::RegisterMerchant { request })? else {
        bail!("registering a merchant was answered with something else");
    };
    let id = merchant.merchant.to_string();
    admin.call(&AdminRequest::Approve { merchant: id, valid_days: 1, fingerprint: None })?;
    Ok(merchant.merchant)
}

/// Imports the instruments `from..to`, on all processors of this machine.
///
/// # Errors
/// The server's.
pub fn import(world: &World, from: u64, to: u64, progress: &ProgressBar) -> anyhow::Result<()> {
    let next = AtomicU64::new(from - from % step(world));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let importing: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| import_some(world, &next, from..to, progress))).collect();
        importing.into_iter().try_for_each(|thread| thread.join().expect("a thread of ours does not panic"))
    })
}

/// Instruments that a thread takes at a time: whole accounts, so that the row that opens one is always before the others.
fn step(world: &World) -> u64 {
    world.per_account * (1_000 / world.per_account).max(1)
}

fn import_some(world: &World, next: &AtomicU64, range: Range<u64>, progress: &ProgressBar) -> anyhow::Result<()> {
    let step = step(world);
    let mut admin = connect(&world.data)?;
    let mut waiting: Vec<Vec<ImportRow>> = (0..world.shards).map(|_| Vec::new()).collect();
    let mut send = |rows: &mut Vec<ImportRow>| -> anyhow::Result<()> {
        for chunk in rows.chunks(IMPORT_ROWS_MAX) {
            admin.call(&import_request(chunk)?)?;
            progress.inc(chunk.len() as u64);
        }
        rows.clear();
        Ok(())
    };
    loop {
        let first = next.fetch_add(step, Ordering::Relaxed);
        if first >= range.end {
            return waiting.iter_mut().try_for_each(&mut send);
        }
        for index in first.max(range.start)..(first + step).min(range.end) {
            let row = world.seed.import_row(index, world.per_account, world.asset, world.opening_units);
            waiting[usize::from(row.instrument.shard_key() % world.shards)].push(row);
        }
        for rows in &mut waiting {
            if rows.len() + step as usize > IMPORT_ROWS_MAX {
                send(rows)?;
            }
        }
    }
}
