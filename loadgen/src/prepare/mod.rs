//! `loadgen prepare`: instruments on the server, and requests in a file.

pub mod maker;
pub mod world;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use protocol::limits::{PIN_FAILURES_MAX, VALID_UNTIL_AHEAD_MAX_MS};
use protocol::time::MINUTE_MS;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tps::pipeline::clock::wall_clock;

use crate::file::records::{Batch, Standing};
use crate::file::{Header, LoadFile, NewLoadFile, Requests, World};
use crate::mix::{Kind, Mix};
use crate::secrets::random;
use maker::{Maker, Wanted};

/// Requests that a thread makes before it writes them down.
const REQUESTS_WRITTEN_AT_ONCE: u64 = 4_096;
/// Kept back of the fifteen minutes that a request may be ahead: clocks of two machines differ.
const MARGIN_MS: u64 = MINUTE_MS / 2;

/// What `loadgen prepare` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Requests can be used for about 14 minutes, because a TPS accepts none that is valid for longer. Instruments are kept: the \
same command again, with the same file, makes new requests for them. Each instrument has one request at a time, because its \
next one depends on the answer; for more payments per instrument see `loadgen run --online`.

Never use a real ledger: the load leaves its merchant, accounts and instruments behind.

  loadgen prepare --data tps-data --out load.bin --instruments 1000000
  loadgen prepare --out load.bin                                        # new requests for all of them
  loadgen prepare --out load.bin --requests 100000 --mix none           # payments alone")]
pub struct PrepareArguments {
    /// The file: made anew, or its instruments used again where it exists
    #[arg(long, value_name = "FILE", default_value = "load.bin")]
    pub out: PathBuf,
    /// Data directory of the server under load; needed for a new file and for more instruments
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many instruments there are to be [default: as many as the file has, or 10000]
    #[arg(long, value_name = "NUMBER")]
    pub instruments: Option<u64>,
    /// How many requests, each of another instrument, drawn at random [default: one of every instrument]
    #[arg(long, value_name = "NUMBER")]
    pub requests: Option<u64>,
    /// Shares of requests that must fail, or none
    #[arg(long, value_name = "SHARES", default_value_t = Mix::default())]
    pub mix: Mix,
    /// Instruments that share an account
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub per_account: u64,
    /// Smallest units in an account when it is opened; each payment takes one
    #[arg(long, value_name = "UNITS", default_value_t = 1_000_000_000)]
    pub opening_units: u64,
    /// Decides which instruments pay, and which requests fail; secrets never depend on it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// No progress
    #[arg(long)]
    pub quiet: bool,
}

/// Carries it out.
///
/// # Errors
/// Whatever prevents it; a file that was there is as it was.
pub fn prepare(arguments: &PrepareArguments) -> anyhow::Result<()> {
    ensure!(arguments.per_account > 0, "--per-account must be at least 1");
    let existing = arguments.out.exists().then(|| LoadFile::open(&arguments.out)).transpose()?;
    let (mut world, mut standings) = match existing {
        Some(file) => {
            let standings = file.standings()?;
            (file.header.world, standings)
        }
        None => {
            let data =
                arguments.data.as_ref().context("a new file needs the server: name its directory with --data")?;
            let mut admin = world::connect(data)?;
            let (per_account, opening) = (arguments.per_account, arguments.opening_units);
            (world::create(&mut admin, data, per_account, opening, wall_clock())?, Vec::new())
        }
    };
    if let Some(data) = &arguments.data {
        world.data = data.canonicalize()?;
    }
    if world.data.exists() {
        world::pin_keys(&mut world, wall_clock())?;
    }
    let there = standings.len() as u64;
    let wanted = arguments.instruments.unwrap_or(if there == 0 { 10_000 } else { there });
    ensure!(wanted <= u64::from(u32::MAX), "at most {} instruments fit into a file", u32::MAX);
    ensure!(
        there == 0 || world.per_account == arguments.per_account || arguments.per_account == 1,
        "{} was made with --per-account {}",
        arguments.out.display(),
        world.per_account
    );
    if wanted > there {
        let progress = bar(wanted - there, "instruments", arguments.quiet);
        world::import(&world, there, wanted, &progress)?;
        progress.finish();
        standings.resize(wanted as usize, Standing::default());
    }
    let made = requests(arguments, &world, &standings)?;
    println!(
        "{}: {} instruments, {} requests (fail: {}), usable until {} ({:.0} minutes)",
        arguments.out.display(),
        standings.len(),
        made.count,
        made.mix,
        made.valid_until,
        made.valid_until.since(wall_clock()) as f64 / MINUTE_MS as f64,
    );
    Ok(())
}

fn bar(length: u64, what: &'static str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:12} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left");
    ProgressBar::new(length).with_message(what).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The instruments that get a request, in random order.
fn chosen(standings: &[Standing], count: Option<u64>, seed: u64) -> anyhow::Result<Vec<u32>> {
    let mut usable: Vec<u32> =
        (0u32..).zip(standings).filter(|(_, standing)| !standing.lost).map(|(index, _)| index).collect();
    let count = count.map_or(usable.len(), |count| count as usize);
    ensure!(
        count <= usable.len(),
        "{count} requests need as many instruments, and {} can be used: make more with --instruments {count}",
        usable.len()
    );
    let mut random = StdRng::seed_from_u64(seed);
    let (drawn, _rest) = usable.partial_shuffle(&mut random, count);
    Ok(drawn.to_vec())
}

/// What a request asks for; never the fifth wrong PIN in a row, which would lock the instrument.
pub fn draw_kind(mix: &Mix, standing: &Standing, random: &mut impl Rng) -> Kind {
    match mix.draw(random) {
        Kind::WrongPin if standing.pin_failures + 1 >= PIN_FAILURES_MAX => Kind::Paid,
        kind => kind,
    }
}

fn requests(arguments: &PrepareArguments, world: &World, standings: &[Standing]) -> anyhow::Result<Requests> {
    let instruments = chosen(standings, arguments.requests, arguments.seed)?;
    let maker = Maker::new(world)?;
    let valid_until = wall_clock().plus(VALID_UNTIL_AHEAD_MAX_MS - MARGIN_MS);
    let new = NewLoadFile::create(&arguments.out, standings)?;
    let progress = bar(instruments.len() as u64, "requests", arguments.quiet);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || -> anyhow::Result<()> {
        // Of the operating system: these are secrets.
        let mut secret = StdRng::from_seed(random());
        loop {
            let first = next.fetch_add(REQUESTS_WRITTEN_AT_ONCE, Ordering::Relaxed);
            let Some(rest) = instruments.get(first as usize..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
            let part = &rest[..rest.len().min(REQUESTS_WRITTEN_AT_ONCE as usize)];
            // By place and seed, whichever thread it is.
            let mut mixing = StdRng::seed_from_u64(arguments.seed ^ first.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut batch = Batch::with_capacity(part.len());
            for group in part.chunks(maker::REQUESTS_AT_ONCE) {
                let wanted = group.iter().map(|index| {
                    let standing = standings[*index as usize];
                    Wanted { instrument: *index, standing, kind: draw_kind(&arguments.mix, &standing, &mut mixing) }
                });
                let wanted: Vec<Wanted> = wanted.collect();
                batch.append(maker.make(&wanted, valid_until, &mut secret));
            }
            new.write_requests(first, &batch)?;
            progress.inc(part.len() as u64);
        }
    };
    std::thread::scope(|scope| {
        let making: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        making.into_iter().try_for_each(|thread| thread.join().expect("a thread of ours does not panic"))
    })?;
    progress.finish();
    let made = Requests { count: instruments.len() as u64, next: 0, valid_until, mix: arguments.mix };
    new.finish(&Header::new(world.clone(), standings.len() as u64, made.clone()))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_are_drawn_once_each_and_lost_ones_never() {
        let mut standings = vec![Standing::default(); 100];
        standings[7].lost = true;
        let drawn = chosen(&standings, Some(50), 3).unwrap();
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert!(sorted.len() == 50 && !sorted.contains(&7));
        assert_ne!(drawn, sorted, "in random order");
        assert_eq!(drawn, chosen(&standings, Some(50), 3).unwrap());
        assert_ne!(drawn, chosen(&standings, Some(50), 4).unwrap());
        assert_eq!(chosen(&standings, None, 3).unwrap().len(), 99);
        assert!(chosen(&standings, Some(100), 3).unwrap_err().to_string().contains("--instruments 100"));
    }

    #[test]
    fn no_instrument_is_locked_by_the_load() {
        let mix = Mix { wrong_pin: 1.0, ..Mix::NONE };
        let mut random = StdRng::seed_from_u64(1);
        let failed = |pin_failures| Standing { pin_failures, ..Standing::default() };
        assert_eq!(draw_kind(&mix, &failed(3), &mut random), Kind::WrongPin);
        assert_eq!(draw_kind(&mix, &failed(4), &mut random), Kind::Paid);
    }
}
