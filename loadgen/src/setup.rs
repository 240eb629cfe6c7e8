//! The world of a load: an account, a certified merchant, instruments with keys and PINs.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use cts_client::transport::{ProcessorConnection, ProcessorTarget};
use protocol::certificate::CertificateRequest;
use protocol::codec::{Canonical, Fixed};
use protocol::enrolment::{ActivationAnswer, EnrolmentBundle, activate};
use protocol::ids::MerchantId;
use protocol::pin::Pin;
use protocol::request::InstrumentKeys;
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use protocol::time::Timestamp;
use tps::admin::client::AdminClient;
use tps::admin::{AdminRequest, AdminResponse, LimitsText};
use zeroize::Zeroizing;

use crate::customer::{Customer, PAYMENT_UNITS, Tally, random};

/// Everything that was made.
pub(crate) struct World {
    admin: AdminClient,
    server_pid: i32,
    account: String,
    merchant: MerchantId,
    funded_units: i128,
    pub(crate) customers: Vec<Customer>,
}

/// Makes the world through the admin socket of the server in `data`.
pub(crate) async fn prepare(data: &Path, connections: u16, outstanding: u16) -> anyhow::Result<World> {
    let socket = data.join("admin.sock");
    let server_pid = server_pid(&socket)?;
    let mut admin = AdminClient::connect(&socket)?
        .with_context(|| format!("no server runs on {}: start one with `tps serve --data DIR`", data.display()))?;

    let merchant = certified_merchant(&mut admin)?;
    let AdminResponse::Account(account) =
        admin.call(&AdminRequest::OpenAccount { asset: None, reference: "loadgen".to_owned() })?
    else {
        bail!("opening an account was answered with something else");
    };
    let asset = account.balance.asset;
    let account = account.account.to_string();
    let amount = "1000000".to_owned();
    let AdminResponse::Funded { balance, .. } =
        admin.call(&AdminRequest::Fund { account: account.clone(), amount, deposit: None })?
    else {
        bail!("a deposit was answered with something else");
    };
    let funded_units = balance.units.parse()?;

    let mut customers = Vec::new();
    for _ in 0..connections {
        let mut connection = None;
        for _ in 0..outstanding {
            let bundle = enrol(&mut admin, &account)?;
            let connection = match &connection {
                Some(connection) => ProcessorConnection::clone(connection),
                None => {
                    let target = ProcessorTarget {
                        addresses: bundle.processors.clone(),
                        server_certificate: bundle.server_certificate.clone(),
                    };
                    connection.insert(ProcessorConnection::connect(&target).await?).clone()
                }
            };
            customers.push(activated(&mut admin, &bundle, connection, merchant).await?);
        }
    }
    anyhow::ensure!(customers.iter().all(|customer| customer.asset == asset), "instruments of another asset");
    Ok(World { admin, server_pid, account, merchant, funded_units, customers })
}

/// The process at the other end of the socket.
fn server_pid(socket: &Path) -> anyhow::Result<i32> {
    let stream = UnixStream::connect(socket)
        .with_context(|| format!("no server answers at {}: start one with `tps serve`", socket.display()))?;
    Ok(rustix::net::sockopt::socket_peercred(&stream)?.pid.as_raw_nonzero().get())
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

fn enrol(admin: &mut AdminClient, account: &str) -> anyhow::Result<EnrolmentBundle> {
    let request = AdminRequest::Enrol {
        account: account.to_owned(),
        label: "load".to_owned(),
        limits: LimitsText::default(),
        valid_ms: 3_600_000,
        addresses: Vec::new(),
    };
    let AdminResponse::Enrolled { bundle, .. } = admin.call(&request)? else {
        bail!("an enrolment was answered with something else");
    };
    Ok(EnrolmentBundle::decode(&hex::decode(bundle.expose())?)?)
}

async fn activated(
    admin: &mut AdminClient,
    bundle: &EnrolmentBundle,
    connection: ProcessorConnection,
    merchant: MerchantId,
) -> anyhow::Result<Customer> {
    let now =
        Timestamp(u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?);
    let processor = bundle.open(now)?.session_key(now)?;
    let signing = SigningKey::from_seed(random());
    let device: [u8; 32] = random();
    let ephemeral = AgreementSecret::from_random(random());
    let code = &bundle.activation_code;
    let (activation, session) =
        activate(bundle.realm, bundle.instrument, code, &signing, &device, &processor, ephemeral)?;
    let answer = connection.request_within(&Canonical::encode(&activation), Duration::from_secs(30)).await?;
    let refused =
        || protocol::error::ErrorMessage::decode(&answer).map_or("no answer".into(), |error| error.code().to_string());
    let answered = <ActivationAnswer as Canonical>::decode(&answer).map_err(|_| anyhow::anyhow!("{}", refused()))?;
    answered.open(&activation, &session)?;
    let instrument = bundle.instrument;
    let AdminResponse::Pin { pin, .. } =
        admin.call(&AdminRequest::NewPin { instrument: instrument.to_string(), digits: 6 })?
    else {
        bail!("setting a PIN was answered with something else");
    };
    let keys = InstrumentKeys { instrument, signing: Some(signing), device: Zeroizing::new(device) };
    Ok(Customer { connection, processor, keys, pin: Pin::parse(pin.expose())?, merchant, asset: bundle.asset })
}

impl World {
    /// Processor time that the server has used so far, user and system.
    pub(crate) fn server_cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server_pid))?;
        // The name in brackets may hold anything; the numbers follow the last bracket. Times are fields 14 and 15.
        let numbers = stat.rsplit_once(')').context("no name in the process's status")?.1;
        let ticks: Vec<u64> = numbers.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks.iter().sum::<u64>() as f64 / per_second as f64))
    }

    /// Whether payer and payee hold what the answers say.
    pub(crate) fn books_agree(&mut self, tally: &Tally) -> anyhow::Result<bool> {
        let spent = i128::from(tally.paid) * i128::from(PAYMENT_UNITS);
        let AdminResponse::Account(account) =
            self.admin.call(&AdminRequest::ShowAccount { account: self.account.clone() })?
        else {
            bail!("a question for an account was answered with something else");
        };
        let AdminResponse::Merchant(merchant) =
            self.admin.call(&AdminRequest::ShowMerchant { merchant: self.merchant.to_string() })?
        else {
            bail!("a question for a merchant was answered with something else");
        };
        let balance: i128 = account.balance.units.parse()?;
        let accrued: i128 = merchant.accrued.iter().filter_map(|money| money.units.parse::<i128>().ok()).sum();
        // A request whose answer was lost may have been paid all the same.
        let most = spent + i128::from(tally.failures) * i128::from(PAYMENT_UNITS);
        Ok(balance + accrued == self.funded_units && (spent..=most).contains(&accrued))
    }
}
