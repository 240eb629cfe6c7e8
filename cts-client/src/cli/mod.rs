//! The command `cts`.

mod arguments;
mod commands;
mod output;
mod pin;

use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser as _;
use output::{Exit, Output};

/// Runs the command line and says how it went.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _unwritable = error.print();
            return code.into();
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("CTS_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let output = Output::new(arguments.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.failed(&error.into()).into(),
    };
    let exit = runtime.block_on(commands::run(arguments, &output));
    exit.unwrap_or_else(|error| output.failed(&error)).into()
}
