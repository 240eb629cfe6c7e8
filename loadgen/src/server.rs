//! The server's own figures, where it is on this machine: processor time, by thread and by stage, and its counters.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use protocol::ids::{MerchantId, RealmId};
use serde_json::Value;
use tps::admin::client::AdminClient;
use tps::admin::{AdminRequest, AdminResponse};
use tps::data_directory::DataDirectory;

use crate::check::books::Books;
use crate::prepare::world::{reachable, status};

/// How often the server is looked at while it is expected to come to rest.
const REST_INTERVAL: Duration = Duration::from_millis(250);
/// A server that used less than this in each of [`REST_SAMPLES`] intervals is at rest.
const REST_CPU_US: u64 = 10_000;
const REST_SAMPLES: u32 = 4;
/// How long to wait for that.
const REST_PATIENCE: Duration = Duration::from_secs(60);

/// What one stage of the pipeline did since the server's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Requests it handled.
    pub items: u64,
    /// Batches of them.
    pub batches: u64,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
}

/// The server at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Processor time of the whole process since its start, user and system, in microseconds.
    pub cpu_us: u64,
    /// The same of each kind of thread.
    pub threads_us: BTreeMap<String, u64>,
    /// Memory in use, in bytes.
    pub resident_bytes: u64,
    /// Counters by name.
    pub counters: BTreeMap<String, u64>,
    /// Stages, where the server tells of them.
    pub stages: Vec<Stage>,
}

/// A server on this machine.
pub struct Server {
    admin: AdminClient,
    pid: i32,
}

impl Server {
    /// The server that serves `data`.
    ///
    /// # Errors
    /// Where none does.
    pub fn connect(data: &Path) -> anyhow::Result<Self> {
        let socket = DataDirectory::open(data)?.admin_socket()?;
        let stream = UnixStream::connect(&socket)
            .with_context(|| format!("no server answers at {}: start one with `tps serve`", socket.display()))?;
        let pid = rustix::net::sockopt::socket_peercred(&stream)?.pid.as_raw_nonzero().get();
        Ok(Self { admin: crate::prepare::world::connect(data)?, pid })
    }

    /// Looks at the server. Reads no book, so that looking every second disturbs no payment.
    ///
    /// # Errors
    /// The system's; a server that does not know the question is looked at from outside only.
    pub fn sample(&mut self) -> anyhow::Result<Sample> {
        let mut sample = Sample {
            cpu_us: process_cpu_us(self.pid)?,
            threads_us: threads_cpu_us(self.pid),
            resident_bytes: resident_bytes(self.pid),
            ..Sample::default()
        };
        if let Ok(answer) = self.admin.call(&AdminRequest::Counters) {
            let answer = serde_json::to_value(answer)?;
            sample.counters = read(&answer["counters"]);
            sample.stages = read(&answer["stages"]);
        }
        Ok(sample)
    }

    /// Waits until the server has nothing to do any more, background work of its database included.
    ///
    /// # Errors
    /// The system's.
    pub fn rest(&mut self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + REST_PATIENCE;
        let (mut quiet, mut before) = (0, process_cpu_us(self.pid)?);
        while quiet < REST_SAMPLES {
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(REST_INTERVAL);
            let now = process_cpu_us(self.pid)?;
            quiet = if now - before <= REST_CPU_US { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(true)
    }

    /// Where it listens, if it is the TPS of this realm.
    ///
    /// # Errors
    /// Where it is another one.
    pub fn address(&mut self, realm: RealmId) -> anyhow::Result<String> {
        let status = status(&mut self.admin)?;
        ensure!(
            status.realm == realm,
            "the file was prepared for TPS {realm}, but {} runs: prepare a new one with --out FILE",
            status.realm
        );
        Ok(reachable(status.listen.context("the server listens nowhere: start it with `tps serve`")?).to_string())
    }

    /// The books, as far as the load can have changed them.
    ///
    /// # Errors
    /// The server's.
    pub fn books(&mut self, merchant: MerchantId, asset: protocol::money::Asset) -> anyhow::Result<Books> {
        let status = status(&mut self.admin)?;
        let sum = status.sums.iter().find(|sum| sum.asset == asset).context("the server does not know the asset")?;
        let AdminResponse::Merchant(view) =
            self.admin.call(&AdminRequest::ShowMerchant { merchant: merchant.to_string() })?
        else {
            bail!("a question for a merchant was answered with something else");
        };
        let accrued = view.accrued.iter().filter(|money| money.asset == asset);
        Ok(Books {
            customers: sum.customers.units.parse()?,
            merchant: accrued.map(|money| money.units.parse::<i128>()).sum::<Result<_, _>>()?,
            total: sum.total.units.parse()?,
        })
    }

    /// What an account holds, in smallest units.
    ///
    /// # Errors
    /// The server's.
    pub fn balance(&mut self, account: &str) -> anyhow::Result<i128> {
        match self.admin.call(&AdminRequest::ShowAccount { account: account.to_owned() })? {
            AdminResponse::Account(view) => Ok(view.balance.units.parse()?),
            _ => bail!("a question for an account was answered with something else"),
        }
    }

    /// Has the server compare its whole log with its books; the differences it found.
    ///
    /// # Errors
    /// The server's.
    pub fn audit(&mut self) -> anyhow::Result<Vec<String>> {
        match self.admin.call(&AdminRequest::Audit { proofs: false })? {
            AdminResponse::Audit(report) => Ok(report.differences),
            _ => bail!("an audit was answered with something else"),
        }
    }
}

fn read<T: serde::de::DeserializeOwned + Default>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

/// User and system time of a process, in microseconds.
fn process_cpu_us(pid: i32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
    let ticks = stat_ticks(&stat).context("the status of the process cannot be read")?;
    Ok(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

/// User and system time in the text of `/proc/PID/stat`.
fn stat_ticks(stat: &str) -> Option<u64> {
    // The name in brackets may hold anything; the numbers follow the last bracket. Times are fields 14 and 15.
    let mut numbers = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(numbers.next()?.parse::<u64>().ok()? + numbers.next()?.parse::<u64>().ok()?)
}

/// Processor time of all threads by their names, in microseconds. Threads that ended are not among them.
fn threads_cpu_us(pid: i32) -> BTreeMap<String, u64> {
    let mut threads = BTreeMap::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return threads };
    for task in tasks.flatten() {
        let text = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let ran_ns: u64 = text("schedstat").split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        let comm = text("comm");
        // Threads of one kind are numbered by some libraries.
        let name = comm.trim().trim_end_matches(|last: char| last.is_ascii_digit() || last == '-');
        *threads.entry(name.to_owned()).or_insert(0) += ran_ns / 1_000;
    }
    threads
}

fn resident_bytes(pid: i32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

impl Sample {
    /// What happened from `earlier` until this sample.
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            let difference = |(name, value): (&String, &u64)| {
                (name.clone(), value.saturating_sub(before.get(name).copied().unwrap_or(0)))
            };
            now.iter().map(difference).collect()
        };
        let stages = self.stages.iter().map(|stage| {
            let before = earlier.stages.iter().find(|before| before.name == stage.name).cloned().unwrap_or_default();
            Stage {
                name: stage.name.clone(),
                items: stage.items.saturating_sub(before.items),
                batches: stage.batches.saturating_sub(before.batches),
                cpu_us: stage.cpu_us.saturating_sub(before.cpu_us),
            }
        });
        Self {
            cpu_us: self.cpu_us.saturating_sub(earlier.cpu_us),
            threads_us: less(&self.threads_us, &earlier.threads_us),
            resident_bytes: self.resident_bytes,
            counters: less(&self.counters, &earlier.counters),
            stages: stages.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_do_not_confuse_the_numbers() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 70 30 0 0 20 0 8 0 100 1000 10";
        assert_eq!(stat_ticks(stat), Some(100));
        assert_eq!(stat_ticks("nonsense"), None);
    }

    #[test]
    fn samples_are_subtracted() {
        let sample = |cpu_us, paid| Sample {
            cpu_us,
            counters: BTreeMap::from([("paid".to_owned(), paid)]),
            stages: vec![Stage { name: "open".into(), items: paid, batches: 1, cpu_us }],
            ..Sample::default()
        };
        let since = sample(100, 7).since(&sample(40, 5));
        assert_eq!(
            (since.cpu_us, since.counters["paid"], since.stages[0].items, since.stages[0].cpu_us),
            (60, 2, 2, 60)
        );
    }

    #[test]
    fn this_process_uses_its_processor() {
        let pid = std::process::id() as i32;
        let before = process_cpu_us(pid).unwrap();
        let mut sum = 0u64;
        while process_cpu_us(pid).unwrap() == before {
            sum = std::hint::black_box((0..1_000_000u64).fold(sum, u64::wrapping_add));
        }
        assert!(resident_bytes(pid) > 0 && threads_cpu_us(pid).values().sum::<u64>() > 0);
    }
}
