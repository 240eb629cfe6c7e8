//! One instrument in a closed loop.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cts_client::transport::ProcessorConnection;
use protocol::ids::{MerchantId, QuoteDigest, TermsDigest, TransactionNumber};
use protocol::money::{Amount, Asset};
use protocol::pin::{Modifier, ModifierPart, Pin};
use protocol::request::{Content, InstrumentKeys, PaymentKind, ProcessorKey, seal};
use protocol::response::{Reason, open};
use protocol::session::AgreementSecret;
use protocol::time::Timestamp;

/// Units of each payment.
pub(crate) const PAYMENT_UNITS: u64 = 1;

/// An instrument and its way to the TPS.
pub(crate) struct Customer {
    pub(crate) connection: ProcessorConnection,
    pub(crate) processor: ProcessorKey,
    pub(crate) keys: InstrumentKeys,
    pub(crate) pin: Pin,
    pub(crate) merchant: MerchantId,
    pub(crate) asset: Asset,
}

/// What was achieved.
#[derive(Default)]
pub(crate) struct Tally {
    /// Payments made.
    pub(crate) paid: u64,
    /// Requests that were not answered with "paid".
    pub(crate) failures: u64,
    /// The first thing that went wrong.
    pub(crate) first_failure: Option<String>,
    /// From sending to the opened answer, in microseconds.
    pub(crate) latencies_us: Vec<u32>,
    /// Bytes of the requests.
    pub(crate) request_bytes: u64,
    /// Bytes of the answers.
    pub(crate) response_bytes: u64,
}

impl Tally {
    /// Adds what another achieved.
    pub(crate) fn add(&mut self, other: Self) {
        self.paid += other.paid;
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.latencies_us.extend(other.latencies_us);
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
    }
}

pub(crate) fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// Pays one after the other until `deadline`, and stops at the first failure.
pub(crate) async fn pay_until(customer: Customer, deadline: Instant) -> Tally {
    let mut tally = Tally::default();
    let (mut count, mut modifier) = (1, Modifier::default());
    while Instant::now() < deadline {
        if let Err(failure) = pay(&customer, &mut count, &mut modifier, &mut tally).await {
            tally.failures += 1;
            tally.first_failure = Some(failure.to_string());
            break;
        }
    }
    tally
}

async fn pay(customer: &Customer, count: &mut u64, modifier: &mut Modifier, tally: &mut Tally) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let content = Content {
        merchant: customer.merchant,
        number: TransactionNumber(random()),
        amount: Amount::new(PAYMENT_UNITS)?,
        asset: customer.asset,
        quote_digest: QuoteDigest(random()),
        valid_until: Timestamp(u64::try_from(now)?).plus(60_000),
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        customer_part: ModifierPart(u64::from_le_bytes(random())),
    };
    let pin = customer.pin.modified(*modifier);
    let ephemeral = AgreementSecret::from_random(random());
    let request = seal(&content, *count, &customer.keys, pin, &customer.processor, ephemeral)?;
    let sent = Instant::now();
    let response = customer.connection.request_within(&request.bytes, Duration::from_secs(30)).await?;
    let opened = open(&response, &request.hash, &request.session)?;
    tally.latencies_us.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    tally.request_bytes += request.bytes.len() as u64;
    tally.response_bytes += response.len() as u64;
    anyhow::ensure!(opened.answer.reason == Reason::Paid, "{}", opened.answer.reason);
    let told = opened.answer.authenticated.ok_or_else(|| anyhow::anyhow!("paid, but the answer tells no modifier"))?;
    *modifier = modifier.advanced(content.customer_part, told.processor_part);
    *count += 1;
    tally.paid += 1;
    Ok(())
}
