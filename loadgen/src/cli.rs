//! The command line.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use tps::pipeline::clock::wall_clock;

use crate::hardware::{Hardware, commit};
use crate::prepare::{PrepareArguments, prepare};
use crate::report::model::{Report, RunResult, SCHEMA, SearchResult};
use crate::report::{compare, html, text};
use crate::run::{Plan, Session};
use crate::schedule::{Arrivals, Rate};
use crate::search::{Goal, search};
use crate::view::View;

/// Load for a Quittance transaction processor.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    arg_required_else_help = true,
    after_help = "\
From nothing, against a server that serves tps-data on this machine:

  loadgen prepare --data tps-data --instruments 1000000 --out load.bin
  loadgen run load.bin --rate 40000 --seconds 20
  loadgen run load.bin --closed --connections 16 --outstanding 256      # as fast as the server can
  loadgen search load.bin --p99-ms 10 --errors 0.001
  loadgen compare before.json after.json

Exit codes: 0 everything was as it must be; 1 something was not, or could not be done (the reason is on standard error); \
2 the command line is wrong."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make instruments and requests, and keep them in a file
    Prepare(PrepareArguments),
    /// Send requests, measure, and check everything that came back
    Run(RunArguments),
    /// Find the highest rate that keeps latency and errors within bounds
    Search(SearchArguments),
    /// Compare the reports of two runs
    Compare {
        /// Of the run before
        before: PathBuf,
        /// Of the run after
        after: PathBuf,
    },
    /// Draw one page about one or several reports
    Page {
        /// Reports; several give latency against offered load
        #[arg(required = true)]
        reports: Vec<PathBuf>,
        /// The page
        #[arg(long, value_name = "FILE", default_value = "load.html")]
        html: PathBuf,
    },
}

/// What runs of all kinds are told.
#[derive(Debug, Args)]
struct Common {
    /// The file of `loadgen prepare`
    #[arg(default_value = "load.bin")]
    file: PathBuf,
    /// QUIC connections
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Requests that each connection may have unanswered
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    outstanding: u32,
    /// How requests are spread over time
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Share of requests that are sent a second time, over another connection
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    duplicates: f64,
    /// Seconds before anything is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    warm_up: f64,
    /// Seconds to wait for the last answers
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    patience: f64,
    /// How finely the schedule is kept, in microseconds; finer costs the generator more
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 100)]
    tick_us: u64,
    /// Sending threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Go on after the prepared requests: threads that compute each instrument's next request from its last answer
    #[arg(long, value_name = "THREADS", num_args = 0..=1, default_missing_value = "2", default_value_t = 0)]
    online: usize,
    /// Decides arrivals, repeats and samples
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server, where it is not on this machine: then it is measured and checked from outside only
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Have the server compare its whole log with its books at the end
    #[arg(long)]
    audit: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Plain lines, even on a terminal
    #[arg(long)]
    plain: bool,
    /// Only the report
    #[arg(long, conflicts_with = "plain")]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The loop is open: requests are due on a schedule, whatever the server does, and latency counts from the moment a request was \
due. --closed sends the next request when an answer comes: for the server's limit, not for latencies.

  loadgen run load.bin --rate 40000 --seconds 20 --json run.json --html run.html
  loadgen run load.bin --closed --seconds 30 --connections 16 --outstanding 256
  loadgen run load.bin --closed --connections 1 --outstanding 1 --duplicates 0       # one lone customer
  loadgen run load.bin --rate 20000 --connections 1000 --outstanding 1
  loadgen run load.bin --rate 5000 --seconds 600 --online                            # several payments per instrument
  loadgen run load.bin --rate 40000 --server pay.example:4433                        # the server is elsewhere")]
struct RunArguments {
    #[command(flatten)]
    common: Common,
    /// Requests per second, or max
    #[arg(long, default_value = "1000")]
    rate: Rate,
    /// As many as the outstanding limit lets through: the same as --rate max
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// Measured seconds; a closed loop ends earlier where its requests run out
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Prepared requests to use at most
    #[arg(long, value_name = "NUMBER")]
    requests: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Doubles the rate until a bound is broken, then halves the distance until the answer is precise enough. Each rung takes its own \
part of the prepared requests, so prepare about 15 times the rate that you expect, times the seconds of a rung.

  loadgen search load.bin --p99-ms 10 --errors 0.001 --from 5000 --seconds 4 --json search.json --html search.html")]
struct SearchArguments {
    #[command(flatten)]
    common: Common,
    /// Longest 99th percentile of the latency, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10.0)]
    p99_ms: f64,
    /// Greatest share of requests that may be refused, unanswered or never sent
    #[arg(long, value_name = "SHARE", default_value_t = 0.001)]
    errors: f64,
    /// The first rate
    #[arg(long, value_name = "RATE", default_value_t = 1_000.0)]
    from: f64,
    /// The highest rate
    #[arg(long, value_name = "RATE", default_value_t = 1_000_000.0)]
    to: f64,
    /// How close the answer must be, as a share of it
    #[arg(long, value_name = "SHARE", default_value_t = 0.03)]
    precision: f64,
    /// Measured seconds of each rung
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

fn seconds(name: &str, seconds: f64) -> anyhow::Result<Duration> {
    ensure!((0.0..=86_400.0).contains(&seconds), "{name} must be between 0 and 86400 seconds");
    Ok(Duration::from_secs_f64(seconds))
}

impl Common {
    fn plan(&self, rate: Rate, measured: f64, requests_max: Option<u64>) -> anyhow::Result<Plan> {
        ensure!((0.0..=1.0).contains(&self.duplicates), "--duplicates is a share between 0 and 1");
        ensure!(measured > 0.0, "--seconds must be more than nothing");
        Ok(Plan {
            rate,
            arrivals: self.arrivals,
            connections: self.connections as usize,
            outstanding: self.outstanding,
            threads: self.threads as usize,
            warm_up: seconds("--warm-up", self.warm_up)?,
            duration: seconds("--seconds", measured)?,
            patience: seconds("--patience", self.patience)?,
            tick: Duration::from_micros(self.tick_us.max(1)),
            duplicates: self.duplicates,
            seed: self.seed,
            workshops: self.online,
            requests_max,
            address: self.server.clone(),
            audit: self.audit,
        })
    }

    fn session(&self, stop: &Arc<AtomicBool>) -> anyhow::Result<Session> {
        Session::open(&self.file, self.server.is_some(), Arc::clone(stop))
    }

    fn view(&self, stop: &Arc<AtomicBool>) -> anyhow::Result<View> {
        if self.quiet {
            return Ok(View::Quiet);
        }
        if self.plain || !std::io::stdout().is_terminal() {
            return Ok(View::plain());
        }
        View::terminal(Arc::clone(stop))
    }

    fn report(
        &self,
        session: &Session,
        plan: &Plan,
        result: Option<RunResult>,
        search: Option<SearchResult>,
    ) -> anyhow::Result<Report> {
        let data = self.server.is_none().then_some(session.file.header.world.data.as_path());
        let report = Report {
            schema: SCHEMA.to_owned(),
            made_at_ms: wall_clock().0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(),
            hardware: Hardware::detect(data),
            same_machine: session.server.is_some(),
            settings: session.settings(plan),
            result,
            search,
        };
        if let Some(path) = &self.json {
            let json = serde_json::to_string_pretty(&report)? + "\n";
            std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.html {
            write_page(std::slice::from_ref(&report), path)?;
        }
        Ok(report)
    }
}

fn write_page(reports: &[Report], path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, html::page(reports)?).with_context(|| format!("cannot write {}", path.display()))
}

/// Sets the flag when somebody presses Ctrl-C; a second time ends the process at once.
fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("load-interrupt".to_owned()).spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    })?;
    Ok(stop)
}

fn run_once(arguments: &RunArguments) -> anyhow::Result<bool> {
    let stop = stop_on_interrupt()?;
    let rate = if arguments.closed { Rate::Max } else { arguments.rate };
    let plan = arguments.common.plan(rate, arguments.seconds, arguments.requests)?;
    let mut session = arguments.common.session(&stop)?;
    let mut view = arguments.common.view(&stop)?;
    let result = session.run(&plan, &mut |event| view.show(&event));
    view.end();
    let report = arguments.common.report(&session, &plan, Some(result?), None)?;
    print!("{}", text::run(&report));
    Ok(report.result.is_some_and(|result| result.checks.passed))
}

fn run_search(arguments: &SearchArguments) -> anyhow::Result<bool> {
    ensure!(arguments.from > 0.0 && arguments.from <= arguments.to, "--from must be above 0 and at most --to");
    ensure!((0.001..1.0).contains(&arguments.precision), "--precision is a share between 0.001 and 1");
    let stop = stop_on_interrupt()?;
    let plan = arguments.common.plan(Rate::PerSecond(arguments.from), arguments.seconds, None)?;
    let goal = Goal {
        p99_us_max: (arguments.p99_ms * 1_000.0) as u64,
        error_share_max: arguments.errors,
        from: arguments.from,
        to: arguments.to,
        precision: arguments.precision,
    };
    let mut session = arguments.common.session(&stop)?;
    let mut view = arguments.common.view(&stop)?;
    let found = search(&mut session, &plan, &goal, &mut |event| view.show(&event));
    view.end();
    let found = found?;
    let report = arguments.common.report(&session, &plan, found.best, Some(found.search))?;
    print!("{}", text::search(&report));
    Ok(found.checks_passed && report.search.is_some_and(|search| search.rate_per_s.is_some()))
}

fn carry_out(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Prepare(arguments) => prepare(&arguments).map(|()| true),
        Command::Run(arguments) => run_once(&arguments),
        Command::Search(arguments) => run_search(&arguments),
        Command::Compare { before, after } => {
            print!("{}", compare::compare(&compare::read(&before)?, &compare::read(&after)?)?);
            Ok(true)
        }
        Command::Page { reports, html } => {
            let reports: Vec<Report> = reports.iter().map(|path| compare::read(path)).collect::<Result<_, _>>()?;
            write_page(&reports, &html)?;
            println!("{}", html.display());
            Ok(true)
        }
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    match carry_out(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::from(1)
        }
    }
}
