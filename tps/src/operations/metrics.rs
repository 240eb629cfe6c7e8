//! `/metrics`: everything that is counted, in the text format of OpenMetrics, which Prometheus reads.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use protocol::response::Reason;
use protocol::time::Timestamp;

use super::Observation;
use super::key_times::ROLES;
use crate::counters::Histogram;
use crate::keys::role_name;
use crate::operator::process_cpu_us;
use crate::pipeline::engine::Intake;

/// What the answer of `/metrics` is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What every name begins with.
const PREFIX: &str = "quittance_tps";

/// The name of the vector kernels in use.
pub(super) fn kernels() -> String {
    kebab(&kernels::Backend::choice().backend.name())
}

/// The name that programs know an enumeration's variant by: `InsufficientFunds` becomes `insufficient-funds`.
fn kebab(variant: &impl fmt::Debug) -> String {
    let mut text = String::new();
    for character in format!("{variant:?}").chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

/// The whole page.
///
/// # Errors
/// None that this code knows of; the encoder's are passed on.
pub(super) fn page(observation: &Arc<Observation>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Observed(Arc::clone(observation))));
    let mut page = String::with_capacity(32 * 1024);
    text::encode(&mut page, &registry)?;
    Ok(page)
}

struct Observed(Arc<Observation>);

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed")
    }
}

impl Collector for Observed {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.server(&mut page)?;
        self.stages(&mut page)?;
        self.answers(&mut page)?;
        self.store(&mut page)?;
        self.keys(&mut page)
    }
}

impl Observed {
    fn server(&self, page: &mut Page<'_>) -> fmt::Result {
        let Observation { engine, constants, started_at, .. } = &*self.0;
        let (silent, holdings) = self.0.progress.last();
        let labels = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("realm", constants.realm.to_string()),
            ("kernels", kernels()),
        ];
        let mut build =
            page.0.encode_descriptor("build_info", "What runs; the value is always 1", None, MetricType::Gauge)?;
        ConstGauge::new(1u64).encode(build.encode_family(&labels)?)?;
        page.gauge("start_time", "When the server started", Some(Unit::Seconds), seconds(*started_at))?;
        page.gauge(
            "clock",
            "The time that payments get: the machine's, but never back",
            Some(Unit::Seconds),
            seconds(engine.now()),
        )?;
        let ahead = engine.clock_ahead_ms() as f64 / 1e3;
        let help = "How far the clock of payments is ahead of the machine's, which was set back";
        page.gauge("clock_ahead", help, Some(Unit::Seconds), ahead)?;
        let busy = process_cpu_us() as f64 / 1e6;
        page.counter("processor", "Processor time of the whole process", Some(Unit::Seconds), busy)?;
        let ready = self.0.obstacles().is_empty();
        page.gauge("ready", "Whether /ready answers that payments can be taken", None, f64::from(u8::from(ready)))?;
        let help = "Time since an empty order last went through the pipeline";
        page.gauge("progress_age", help, Some(Unit::Seconds), silent.as_secs_f64())?;
        let intake = engine.intake();
        let states = Intake::ALL.map(|state| (state.name().to_owned(), f64::from(u8::from(state == intake))));
        page.gauges("intake", "Whether requests are taken: 1 at the state in force", None, "state", states)?;
        page.gauge("accounts", "Accounts", None, holdings.accounts as f64)?;
        page.gauge("instruments", "Instruments", None, holdings.instruments as f64)?;
        let connections = &engine.counters().connections;
        page.gauge("connections", "Customers' connections that are open", None, connections.open() as f64)?;
        page.counter("connections_accepted", "Customers' connections taken", None, connections.accepted.get())?;
        let help = "Customers' connections refused because as many as may be were open";
        page.counter("connections_refused", help, None, connections.refused.get())
    }

    fn stages(&self, page: &mut Page<'_>) -> fmt::Result {
        let engine = &self.0.engine;
        let counters = engine.counters();
        let stages = counters.stages.named();
        let items = stages.map(|(name, stage)| (name.to_owned(), stage.items.get()));
        page.counters("stage_requests", "Requests that went through a stage", None, "stage", items)?;
        let batches = stages.map(|(name, stage)| (name.to_owned(), stage.batches.get()));
        page.counters("stage_batches", "Times that a stage ran", None, "stage", batches)?;
        let busy = stages.map(|(name, stage)| (name.to_owned(), stage.cpu_ns.get() as f64 / 1e9));
        page.counters("stage_processor", "Processor time of a stage", Some(Unit::Seconds), "stage", busy)?;
        let queues = engine.queues();
        let waiting = queues.map(|queue| (queue.name.to_owned(), queue.length as f64));
        page.gauges(
            "queue_length",
            "What waits before a stage: requests, batches or groups of them",
            None,
            "queue",
            waiting,
        )?;
        let room = queues.map(|queue| (queue.name.to_owned(), queue.capacity as f64));
        page.gauges("queue_capacity", "How much may wait before a stage", None, "queue", room)?;
        let histograms = &counters.histograms;
        page.histogram("batch_requests", "Requests that a worker took at once", None, &histograms.batch_requests, 1.0)?;
        let help = "Time from a worker's taking a request to its being durable";
        page.histogram("durable", help, Some(Unit::Seconds), &histograms.durable_us, 1e6)
    }

    fn answers(&self, page: &mut Page<'_>) -> fmt::Result {
        let counters = self.0.engine.counters();
        let answers = Reason::ALL.map(|reason| (kebab(&reason), counters.answered[reason as usize].get()));
        let help = "Requests answered for the first time, by reason; `paid` is no denial";
        page.counters("answers", help, None, "reason", answers)?;
        let help = "Requests answered again with their stored outcome";
        page.counter("answers_repeated", help, None, counters.repeated.get())?;
        let refusals = counters.refusals().map(|(code, count)| (kebab(&code), count));
        page.counters("refusals", "Messages answered with a typed error, by code", None, "code", refusals)
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let Observation { engine, constants, .. } = &*self.0;
        let (counters, reader) = (engine.counters(), engine.reader());
        page.counter("commits", "Commits synced since the start", None, counters.commits.get())?;
        if let Ok(number) = reader.last_commit() {
            page.gauge("last_commit", "Number of the last commit of all time", None, number as f64)?;
        }
        let help = "Requests that became durable in one commit";
        page.histogram("commit_requests", help, None, &counters.histograms.commit_requests, 1.0)?;
        let help = "Time of a commit's write and sync";
        page.histogram("sync", help, Some(Unit::Seconds), &counters.histograms.sync_us, 1e6)?;
        let archive = &counters.archive;
        page.counter("archived_segments", "Segments written to the archive", None, archive.segments.get())?;
        page.counter("archived_payments", "Transactions written to the archive", None, archive.payments.get())?;
        page.counter("pruned_records", "Archived records that left the ledger", None, archive.pruned.get())?;
        page.counter("pruning_commits", "Commits in which records left the ledger", None, archive.prunings.get())?;
        let help = "Time that a shard was kept from payments to prune";
        page.counter("pruning", help, Some(Unit::Seconds), archive.pruning_us.get() as f64 / 1e6)?;
        if let Some(free) = reader.free_bytes() {
            page.gauge("disk_free", "Free space where the ledger lies", Some(Unit::Bytes), free as f64)?;
        }
        let help = "New payments are refused when less space than this is free";
        page.gauge("disk_low", help, Some(Unit::Bytes), constants.disk_low_bytes as f64)
    }

    fn keys(&self, page: &mut Page<'_>) -> fmt::Result {
        let (keys, now) = (self.0.keys(), self.0.engine.now());
        let usable = ROLES.map(|role| (role_name(role).to_owned(), f64::from(u8::from(keys.usable(role, now)))));
        page.gauges("key_usable", "Whether a role has a key that is valid now", None, "role", usable)?;
        let left = ROLES.map(|role| {
            let end = keys.last_end(role).unwrap_or_default();
            (role_name(role).to_owned(), end.since(now) as f64 / 1e3)
        });
        page.gauges("key_remaining", "Time until the last key of a role ends", Some(Unit::Seconds), "role", left)?;
        let left = keys.sets_expire_at.since(now) as f64 / 1e3;
        page.gauge(
            "key_set_remaining",
            "Time until the key sets may not be relied upon any more",
            Some(Unit::Seconds),
            left,
        )?;
        page.gauge("key_set_number", "Number of the key sets in force", None, keys.set_number as f64)
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1e3
}

/// Writes metrics.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn one(&mut self, name: &str, help: &str, unit: Option<Unit>, value: &impl EncodeMetric) -> fmt::Result {
        value.encode(self.0.encode_descriptor(name, help, unit.as_ref(), value.metric_type())?)
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> fmt::Result {
        self.one(name, help, unit, &ConstGauge::new(value))
    }

    fn counter<N>(&mut self, name: &str, help: &str, unit: Option<Unit>, value: N) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        self.one(name, help, unit, &ConstCounter::new(value))
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        label: &str,
        values: impl IntoIterator<Item = (String, f64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        values
            .into_iter()
            .try_for_each(|(text, value)| ConstGauge::new(value).encode(encoder.encode_family(&[(label, text)])?))
    }

    fn counters<N>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        label: &str,
        values: impl IntoIterator<Item = (String, N)>,
    ) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        values
            .into_iter()
            .try_for_each(|(text, value)| ConstCounter::new(value).encode(encoder.encode_family(&[(label, text)])?))
    }

    /// A histogram whose values are divided by `scale`.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        histogram: &Histogram,
        scale: f64,
    ) -> fmt::Result {
        let read = histogram.read();
        let bounds = read.bounds.iter().map(|bound| *bound as f64 / scale).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(read.counts.iter().copied()).collect();
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(read.sum as f64 / scale, read.count(), &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use protocol::error::ErrorCode;

    use super::*;

    #[test]
    fn labels_are_written_as_everywhere() {
        assert_eq!(kebab(&Reason::InsufficientFunds), "insufficient-funds");
        assert_eq!(kebab(&Reason::Paid), "paid");
        assert_eq!(kebab(&ErrorCode::UnsupportedVersion), "unsupported-version");
        assert_eq!(kebab(&Intake::DiskLow), Intake::DiskLow.name());
    }
}
