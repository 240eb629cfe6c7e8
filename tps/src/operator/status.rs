//! What the server does, and what needs the operator's attention.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use protocol::key_set::KeyRole;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::response::Reason;
use protocol::time::{DAY_MS, SECOND_MS, Timestamp};

use super::Operator;
use crate::admin::views::{CountersView, HistogramView, QueueView, StageView, StatusView, StatusWarning, SumView};
use crate::admin::{AdminError, AdminResponse};
use crate::keys::{KeyRing, issued, role_name};
use crate::pipeline::engine::QueueLength;

/// How old warnings may be that are told together with counters.
const WARNINGS_AGE_MAX: Duration = Duration::from_secs(10);
/// The operator is told of an end this long before it.
const WARN_AHEAD_MS: u64 = 3 * DAY_MS;

/// The operator is told of a ledger's clock that is further ahead of the machine's.
const CLOCK_AHEAD_MAX_MS: u64 = 5 * SECOND_MS;

/// Processor time of the whole process, user and system.
pub(crate) fn process_cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Sums of one asset by party.
#[derive(Default, Clone, Copy)]
struct Sums {
    customers: i128,
    merchants: i128,
    fees: i128,
    funding: i128,
}

impl Operator {
    pub(super) fn status(&self) -> Result<AdminResponse, AdminError> {
        let shards = self.engine.read(|book| {
            let mut sums: BTreeMap<Asset, Sums> = BTreeMap::new();
            for (asset, sum) in book.account_sums() {
                sums.entry(asset).or_default().customers += sum;
            }
            for (party, asset, balance) in book.balances() {
                let sum = sums.entry(asset).or_default();
                match party {
                    Party::Customer(_) => sum.customers += balance,
                    Party::Merchant(_) => sum.merchants += balance,
                    Party::Fees => sum.fees += balance,
                    Party::Funding => sum.funding += balance,
                }
            }
            let merchants = if book.shard() == 0 { book.merchants().count() } else { 0 };
            (sums, book.account_count(), book.instrument_count(), merchants)
        });
        let mut sums: BTreeMap<Asset, Sums> =
            self.realm.assets.iter().map(|asset| (asset.code, Sums::default())).collect();
        let (mut accounts, mut instruments, mut merchants) = (0, 0, 0);
        for (of_shard, shard_accounts, shard_instruments, shard_merchants) in shards {
            accounts += shard_accounts;
            instruments += shard_instruments;
            merchants += shard_merchants;
            for (asset, more) in of_shard {
                let sum = sums.entry(asset).or_default();
                sum.customers += more.customers;
                sum.merchants += more.merchants;
                sum.fees += more.fees;
                sum.funding += more.funding;
            }
        }
        let now = self.engine.now();
        let reader = self.engine.reader();
        let issued = issued(&self.data)?;
        Ok(AdminResponse::Status(Box::new(StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            realm: self.realm.realm,
            serving: self.serving.is_some(),
            listen: self.serving.as_ref().map(|serving| serving.listen),
            listeners: self.serving.as_ref().map(|serving| serving.listeners.clone()).unwrap_or_default(),
            intake: self.engine.intake().name().to_owned(),
            clock_ms: now,
            uptime_ms: self.uptime_ms(),
            last_commit: reader.last_commit()?,
            disk_free_bytes: reader.free_bytes(),
            shards: self.realm.shards,
            accounts,
            instruments,
            merchants,
            counters: self.counters(),
            cpu_us: process_cpu_us(),
            stages: self.stages(),
            sums: sums.into_iter().map(|(asset, sum)| self.sum_view(asset, sum)).collect(),
            key_set_number: issued.number,
            warnings: self.warnings(now, issued.expires_at_ms)?,
        })))
    }

    pub(super) fn counted(&self) -> Result<AdminResponse, AdminError> {
        Ok(AdminResponse::Counters(CountersView {
            uptime_ms: self.uptime_ms(),
            last_commit: self.engine.reader().last_commit()?,
            counters: self.counters(),
            cpu_us: process_cpu_us(),
            stages: self.stages(),
            intake: self.engine.intake().name().to_owned(),
            connections: self.engine.counters().connections.open(),
            queues: self.queues(),
            histograms: self.histograms(),
            warnings: self.recent_warnings(),
        }))
    }

    /// By the machine's clock that nobody sets: the ledger's may stand still for hours.
    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn queues(&self) -> Vec<QueueView> {
        let view = |queue: QueueLength| QueueView {
            name: queue.name.to_owned(),
            length: queue.length,
            capacity: queue.capacity,
        };
        self.engine.queues().map(view).into()
    }

    fn histograms(&self) -> Vec<HistogramView> {
        let named = self.engine.counters().histograms.named();
        named.map(|(name, histogram)| HistogramView { name: name.to_owned(), distribution: histogram.read() }).into()
    }

    /// Warnings of a moment ago: reading the key files for every question would cost more than all other answers.
    fn recent_warnings(&self) -> Vec<StatusWarning> {
        let mut recent = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        match &*recent {
            Some((at, warnings)) if at.elapsed() < WARNINGS_AGE_MAX => warnings.clone(),
            _ => {
                let looked = issued(&self.data).map_err(AdminError::from);
                let warnings = looked.and_then(|issued| self.warnings(self.engine.now(), issued.expires_at_ms));
                let warnings = warnings.unwrap_or_else(|error| vec![StatusWarning { message: error.message }]);
                *recent = Some((Instant::now(), warnings.clone()));
                warnings
            }
        }
    }

    fn sum_view(&self, asset: Asset, sum: Sums) -> SumView {
        let Sums { customers, merchants, fees, funding } = sum;
        SumView {
            asset,
            customers: self.money(customers, asset),
            merchants: self.money(merchants, asset),
            fees: self.money(fees, asset),
            funding: self.money(funding, asset),
            total: self.money(customers + merchants + fees + funding, asset),
        }
    }

    fn stages(&self) -> Vec<StageView> {
        let stages = self.engine.counters().stages.named();
        let views = stages.into_iter().map(|(name, stage)| StageView {
            name: name.to_owned(),
            items: stage.items.get(),
            batches: stage.batches.get(),
            cpu_us: stage.cpu_ns.get() / 1_000,
        });
        views.collect()
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let counters = self.engine.counters();
        let mut counted = BTreeMap::from([
            ("received".to_owned(), counters.received()),
            ("overloaded".to_owned(), counters.overloaded.get()),
            ("unopened".to_owned(), counters.unopened.get()),
            ("signatures".to_owned(), counters.signatures.get()),
            ("batches".to_owned(), counters.batches.get()),
            ("commits".to_owned(), counters.commits.get()),
            ("repeated".to_owned(), counters.repeated.get()),
            ("paid".to_owned(), counters.paid()),
        ]);
        for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::Paid) {
            let count = counters.answered[reason as usize].get();
            if count > 0 {
                counted.insert(format!("denied {reason:?}"), count);
            }
        }
        for (code, count) in counters.refusals().filter(|(_, count)| *count > 0) {
            counted.insert(format!("refused {code:?}"), count);
        }
        counted
    }

    fn warnings(&self, now: Timestamp, sets_expire_at: Timestamp) -> Result<Vec<StatusWarning>, AdminError> {
        let ring = KeyRing::load(&self.data)?;
        let mut messages = Vec::new();
        let ahead_ms = self.engine.clock_ahead_ms();
        if ahead_ms > CLOCK_AHEAD_MAX_MS {
            let ahead = ahead_ms / SECOND_MS;
            messages.push(format!(
                "the ledger's clock is {ahead} s ahead of this machine's, which was set back; payments keep the time {now} until the machine's clock has come there: check this machine's clock"
            ));
        }
        messages.extend(self.vru_warning());
        if sets_expire_at <= now.plus(WARN_AHEAD_MS) {
            messages.push(format!("the key sets may be relied upon until {sets_expire_at}: run `tps key reissue`"));
        }
        for role in [KeyRole::Session, KeyRole::Proof, KeyRole::Certificate, KeyRole::Desk, KeyRole::Notary] {
            let name = role_name(role);
            let last = ring.keys().iter().filter(|key| key.role == role && key.seed.is_some() && !key.revoked);
            let Some(end) = last.map(|key| key.valid_until).max() else {
                messages.push(format!("there is no {name} key: run `tps key rotate {name}`"));
                continue;
            };
            // Session keys are replaced when their overlap begins, so that customers always meet a current one.
            let ahead =
                if role == KeyRole::Session { self.realm.session_key_overlap_days * DAY_MS } else { 40 * DAY_MS };
            if end <= now.plus(ahead) {
                messages.push(format!("the last {name} key ends at {end}: run `tps key rotate {name}`"));
            }
        }
        Ok(messages.into_iter().map(|message| StatusWarning { message }).collect())
    }
}
