//! Closed-loop load for a TPS: every instrument pays, waits for the answer, and pays again.
//!
//! Customers, instruments and a merchant are made through the operator's socket, as anybody would make them; then each
//! instrument pays over QUIC. At the end every proof was verified and the books must agree with what was paid.

mod customer;
mod report;
mod setup;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Pay in closed loops for a while, then check the books.
    Run(RunArguments),
}

/// What `loadgen run` is told.
#[derive(clap::Args)]
struct RunArguments {
    /// Data directory of the server under load; its admin socket makes accounts and instruments. Never a real ledger:
    /// the load leaves an account, a merchant and instruments behind.
    #[arg(long)]
    data: PathBuf,
    /// QUIC connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Payments that each connection has unanswered: one instrument each.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    outstanding: u16,
    /// How long to pay, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let Command::Run(arguments) = Arguments::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run(&arguments))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    anyhow::ensure!(report.books_agree, "the server's books do not agree with what was paid");
    anyhow::ensure!(report.failures == 0, "{} payments failed", report.failures);
    Ok(())
}

async fn run(arguments: &RunArguments) -> anyhow::Result<report::Report> {
    let count = usize::from(arguments.connections) * usize::from(arguments.outstanding);
    eprintln!("preparing {count} instruments …");
    let mut world = setup::prepare(&arguments.data, arguments.connections, arguments.outstanding).await?;
    eprintln!("paying for {} s …", arguments.seconds);
    let before = world.server_cpu()?;
    let started = std::time::Instant::now();
    let deadline = started + Duration::from_secs(arguments.seconds);
    let tasks: Vec<_> = std::mem::take(&mut world.customers)
        .into_iter()
        .map(|customer| tokio::spawn(customer::pay_until(customer, deadline)))
        .collect();
    let mut tally = customer::Tally::default();
    for task in tasks {
        tally.add(task.await?);
    }
    let elapsed = started.elapsed();
    let server_cpu = world.server_cpu()? - before;
    let books_agree = world.books_agree(&tally)?;
    Ok(report::Report::new(arguments, &tally, elapsed, server_cpu, books_agree))
}
