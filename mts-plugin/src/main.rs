//! The command `mts`: a merchant's keys and certificates, a shop that sells the files of a folder, offline verification.
//!
//! Exit codes: 0 done; 1 failure (files, store, keys); 2 wrong usage; 3 refused: an invalid or unsuitable proof, certificate or
//! key set, or an order that does not allow what was asked.

mod cli;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("MTS_LOG").unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cli::Failure::Refused(text)) => {
            eprintln!("mts: {text}");
            ExitCode::from(3)
        }
        Err(cli::Failure::Failed(error)) => {
            eprintln!("mts: {error:#}");
            ExitCode::FAILURE
        }
    }
}
