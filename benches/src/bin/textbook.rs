//! The same payments done four ways in one run: composed bare, by our pipeline, the textbook way, and with the best
//! libraries singly. See [`benches::comparison`].

use std::path::PathBuf;

use benches::comparison::{Plan, run};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare what a payment costs when done in several ways in one run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Payments of each way, in all rounds together.
    #[arg(long, default_value_t = 20_480)]
    payments: usize,
    /// Rounds in which the ways take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Directory for the databases; it should lie on the disk that a server would use.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Threads of our pipeline that open, verify and prove [default: one per core].
    #[arg(long)]
    workers: Option<usize>,
    /// Requests in our pipeline at a time.
    #[arg(long, default_value_t = 4_096)]
    in_flight: usize,
    /// Processor time of the network per payment in microseconds, from a load run: added to every way before ratios.
    #[arg(long, default_value_t = 0.0)]
    transport_us: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let report = run(&Plan {
        payments: arguments.payments,
        rounds: arguments.rounds,
        directory: arguments.directory.unwrap_or_else(std::env::temp_dir),
        workers: arguments.workers,
        in_flight: arguments.in_flight.max(1),
        transport_us: arguments.transport_us,
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
