//! Statements: take orders, tell how far they are.

use std::ops::ControlFlow;
use std::sync::Arc;

use protocol::ids::{AccountId, MerchantId};
use protocol::ledger::posting::Party;

use super::ids::IdPrefix;
use super::{Operator, random};
use crate::admin::statement::{StatementAnswer, StatementCommand, StatementOf};
use crate::admin::{AdminError, AdminResponse};
use crate::data_directory::make_private_directory;
use crate::jobs::{Job, Pause};
use crate::statement::output::Output;
use crate::statement::run::Order;
use crate::statement::walk::Scope;
use crate::statement::{Ordered, StatementJob};

/// Ids that begin alike and are told of.
const ALIKE_MAX: usize = 100;

impl Operator {
    pub(super) fn statement(&self, command: StatementCommand) -> Result<AdminResponse, AdminError> {
        let mut file = None;
        let orders = match command {
            StatementCommand::Order { of, period, lines, format, directory } => {
                let scope = self.scope(&of)?;
                let directory = match directory {
                    Some(directory) if directory.is_absolute() => directory,
                    Some(directory) => {
                        return Err(AdminError::bad_input(format!("{} is no absolute path", directory.display())));
                    }
                    None => {
                        let directory = self.data.statements();
                        if !directory.exists() {
                            make_private_directory(&directory)?;
                        }
                        directory.join(hex::encode(random::<16>()?))
                    }
                };
                file = match scope {
                    Scope::Account(id) => Some(Output::file(&directory, Party::Customer(id), format)),
                    Scope::Merchant(id) => Some(Output::file(&directory, Party::Merchant(id), format)),
                    Scope::All => None,
                };
                let order = Order { scope, period, with_lines: lines, format, directory };
                let ordered = self.statements.order(order)?;
                if self.serving.is_none() { vec![self.make(&ordered)?] } else { vec![ordered] }
            }
            StatementCommand::Show { number } => vec![self.statements.one(number)?],
            StatementCommand::Jobs => self.statements.all(),
            StatementCommand::Cancel { number } => vec![self.statements.cancel(number)?],
        };
        Ok(AdminResponse::Statement(StatementAnswer { orders, file }))
    }

    /// Makes what was ordered here and now: no server runs whose job would do it.
    fn make(&self, ordered: &Ordered) -> Result<Ordered, AdminError> {
        let mut job = StatementJob::new(Arc::clone(&self.statements), self.realm.clone(), self.data.clone());
        loop {
            let now = self.statements.one(ordered.number)?;
            if now.progress.is_ended() {
                return Ok(now);
            }
            if let Pause::For(time) = job.step(&self.engine)? {
                std::thread::sleep(time);
            }
        }
    }

    /// Looks ids up in the store, so that no shard has to search its book.
    fn scope(&self, of: &StatementOf) -> Result<Scope, AdminError> {
        let reader = self.engine.reader();
        match of {
            StatementOf::All => Ok(Scope::All),
            StatementOf::Account(text) => {
                let prefix = IdPrefix::parse("an account", text)?;
                let mut found = Vec::new();
                reader.visit_accounts(AccountId(prefix.first()), &mut |account| {
                    if !prefix.matches(&account.id.0) || found.len() == ALIKE_MAX {
                        return ControlFlow::Break(());
                    }
                    found.push(account.id);
                    ControlFlow::Continue(())
                })?;
                prefix.only("account", "account", found).map(Scope::Account)
            }
            StatementOf::Merchant(text) => {
                let prefix = IdPrefix::parse("a merchant", text)?;
                let merchants = reader.registry()?.merchants.into_iter().map(|record| record.id);
                let found: Vec<MerchantId> = merchants.filter(|id| prefix.matches(&id.0)).collect();
                prefix.only("merchant", "merchant", found).map(Scope::Merchant)
            }
        }
    }
}
