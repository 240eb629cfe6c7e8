//! The command `cts`: a customer's instrument on a person's or an agent's machine. `cts --help` explains it.

mod cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
