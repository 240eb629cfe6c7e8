//! `tps statement`.

mod period;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::table;
use super::{Context, backend};
use crate::admin::statement::{StatementAnswer, StatementCommand as Asked, StatementOf};
use crate::admin::{AdminError, AdminRequest, AdminResponse};
use crate::data_directory::DataError;
use crate::statement::text::Format;
use crate::statement::{Ordered, Progress};
use period::PeriodFlags;

/// How often a command asks whether its statements are made.
const ASK: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub(super) enum StatementCommand {
    /// Print the statement of an account
    Account {
        /// Its id
        account: String,
        #[command(flatten)]
        form: Form,
    },
    /// Print the statement of a merchant
    Merchant {
        /// Its id
        merchant: String,
        #[command(flatten)]
        form: Form,
    },
    /// Write statements of everybody into a new directory, and a summary of all
    All {
        /// The new directory; the server's user must be able to make it
        directory: PathBuf,
        #[command(flatten)]
        form: Form,
        /// Leave the order and do not wait; `tps statement jobs` tells how far it is
        #[arg(long)]
        no_wait: bool,
    },
    /// List what was ordered since the server started
    Jobs,
    /// Take an order back; what was written of it is removed
    Cancel {
        /// Its number, from `tps statement jobs`
        number: u64,
    },
}

#[derive(Debug, Args)]
pub(super) struct Form {
    #[command(flatten)]
    period: PeriodFlags,
    /// List every single movement, too
    #[arg(long)]
    lines: bool,
    /// How it is written [default: text, or json with --json]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

impl StatementCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        match self {
            Self::Account { account, form } => print_one(context, StatementOf::Account(account), &form),
            Self::Merchant { merchant, form } => print_one(context, StatementOf::Merchant(merchant), &form),
            Self::All { directory, form, no_wait } => all(context, &directory, &form, !no_wait),
            Self::Jobs => listed(context, Asked::Jobs),
            Self::Cancel { number } => listed(context, Asked::Cancel { number }),
        }
    }
}

impl Form {
    fn format(&self, context: &Context) -> Format {
        self.format.unwrap_or(if context.output.json { Format::Json } else { Format::Text })
    }

    fn order(&self, context: &Context, of: StatementOf, directory: Option<PathBuf>) -> Result<Asked, AdminError> {
        let period = self.period.period()?;
        Ok(Asked::Order { of, period, lines: self.lines, format: self.format(context), directory })
    }
}

type Call<'a> = &'a mut dyn FnMut(AdminRequest) -> Result<AdminResponse, AdminError>;

fn asked(call: Call<'_>, command: Asked) -> Result<StatementAnswer, AdminError> {
    match call(AdminRequest::Statement(command))? {
        AdminResponse::Statement(answer) => Ok(answer),
        _ => Err(AdminError::bad_input(
            "the server answered something else than asked: use the `tps` it was started with",
        )),
    }
}

/// The only order of an answer.
fn only(answer: StatementAnswer) -> Result<Ordered, AdminError> {
    let mut orders = answer.orders;
    orders.pop().ok_or_else(|| AdminError::bad_input("the server told of no order: use the `tps` it was started with"))
}

/// Waits until an order has ended.
fn ended(call: Call<'_>, mut ordered: Ordered) -> Result<u64, AdminError> {
    loop {
        match ordered.progress {
            Progress::Done { statements } => return Ok(statements),
            Progress::Failed { error } => return Err(error),
            Progress::Waiting | Progress::Running => {
                std::thread::sleep(ASK);
                ordered = only(asked(call, Asked::Show { number: ordered.number })?)?;
            }
        }
    }
}

fn print_one(context: &Context, of: StatementOf, form: &Form) -> Result<(), AdminError> {
    let order = form.order(context, of, None)?;
    let (directory, file) = backend::call_many(context, |call| {
        let answer = asked(call, order)?;
        let file = answer.file.clone().unwrap_or_default();
        let ordered = only(answer)?;
        let directory = ordered.directory.clone();
        ended(call, ordered)?;
        Ok((directory, file))
    })?;
    let printed = std::fs::File::open(&file)
        .and_then(|mut file| match std::io::copy(&mut file, &mut std::io::stdout().lock()) {
            // Whoever closes our output early has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
            copied => copied,
        })
        .map_err(DataError::system("print", &file));
    let removed = std::fs::remove_dir_all(&directory).map_err(DataError::system("remove", &directory));
    printed?;
    Ok(removed?)
}

fn all(context: &Context, directory: &Path, form: &Form, wait: bool) -> Result<(), AdminError> {
    let directory = std::path::absolute(directory).map_err(DataError::system("find", directory))?;
    let order = form.order(context, StatementOf::All, Some(directory.clone()))?;
    let (ordered, statements) = backend::call_many(context, |call| {
        let ordered = only(asked(call, order)?)?;
        let statements = if wait { Some(ended(call, ordered.clone())?) } else { None };
        Ok((ordered, statements))
    })?;
    let number = ordered.number;
    let text = match statements {
        Some(statements) => format!(
            "statements  {statements}\ndirectory   {}\nsummary     {}\n",
            directory.display(),
            directory.join("summary.json").display()
        ),
        None => format!("order {number}: statements will be in {}\n", directory.display()),
    };
    let told = json!({ "result": "statements", "order": number, "directory": directory, "statements": statements });
    context.output.told(&told, &text);
    Ok(())
}

fn listed(context: &Context, command: Asked) -> Result<(), AdminError> {
    let answer = backend::call_many(context, |call| asked(call, command))?;
    let mut rows = vec![["ORDER", "STATE", "DIRECTORY"].map(str::to_owned).to_vec()];
    rows.extend(answer.orders.iter().map(|ordered| {
        let state = match &ordered.progress {
            Progress::Waiting => "waiting".to_owned(),
            Progress::Running => "running".to_owned(),
            Progress::Done { statements } => format!("done: {statements} statements"),
            Progress::Failed { error } => format!("failed: {error}"),
        };
        vec![ordered.number.to_string(), state, ordered.directory.display().to_string()]
    }));
    context.output.told(&json!({ "result": "orders", "orders": answer.orders }), &table(&rows));
    Ok(())
}
