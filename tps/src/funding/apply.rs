//! Carrying out an instruction: once, whatever happens in between.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ids::{AccountId, Digest};
use protocol::ledger::account::Account;
use protocol::ledger::posting::{Party, Posting};
use protocol::money::parse;

use super::instruction::Instruction;
use crate::admin::AdminError;
use crate::book::orders::Order;
use crate::data_directory::Realm;
use crate::pipeline::Engine;
use crate::settlement::records::{Payout, PayoutState};
use crate::store::Reader;
use crate::store::desk::{DeskKind, DeskRecord};

/// An instruction that was applied.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Applied {
    /// Hash of the agency's name for it.
    name: Digest,
    /// Hash of the whole.
    content: Digest,
}

impl DeskRecord for Applied {
    const KIND: DeskKind = DeskKind::FundingInstruction;
    type Key = [u8; 32];

    fn key(&self) -> [u8; 32] {
        self.name.0
    }
}

/// What became of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Applied,
    /// It had been carried out before; nothing changed.
    AlreadyApplied,
}

/// Carries an instruction out. Instructions are applied one after another, by one thread.
///
/// # Errors
/// [`AdminError`], with nothing changed.
pub fn apply(engine: &Engine, realm: &Realm, instruction: &Instruction) -> Result<Outcome, AdminError> {
    let reader = engine.reader().as_ref();
    let name =
        Digest(protocol::hash::tagged(protocol::hash::Purpose::FUNDING_INSTRUCTION, instruction.id().as_bytes()));
    let applied = Applied { name, content: instruction.digest() };
    match Applied::read(reader, &name.0)? {
        Some(before) if before == applied => return Ok(Outcome::AlreadyApplied),
        Some(_) => {
            return Err(AdminError::refused(format!(
                "an instruction named {} with another content was applied before; nothing was changed: the agency must give this one another id",
                instruction.id()
            )));
        }
        None => {}
    }
    match instruction {
        Instruction::Deposit { account, asset, amount, .. } => {
            let account = find_account(engine, account)?;
            if account.asset != *asset {
                return Err(AdminError::refused(format!(
                    "account {} holds {}, not {asset}; nothing was changed",
                    account.id, account.asset
                )));
            }
            let exponent = realm
                .exponent(*asset)
                .ok_or_else(|| AdminError::bad_input(format!("asset {asset} is not in this TPS's registry")))?;
            let order = Order::Fund { account: account.id, amount: parse(amount, *asset, exponent)?, deposit: None };
            engine.order_with(account.id.shard_key(), order, vec![applied.entry()])?;
        }
        Instruction::PayoutReturned { payout, .. } => return_payout(engine, payout, applied)?,
    }
    Ok(Outcome::Applied)
}

/// The account with this id, or with this reference.
fn find_account(engine: &Engine, text: &str) -> Result<Account, AdminError> {
    let missing = || AdminError::refused(format!("there is no account {text}: see `tps account list`"));
    let mut bytes = [0; 16];
    let id = hex::decode_to_slice(text, &mut bytes).is_ok().then_some(AccountId(bytes));
    let id = match id {
        Some(id) => id,
        None => by_reference(engine.reader().as_ref(), text)?.ok_or_else(missing)?,
    };
    let found = engine.read(move |book| book.account(id));
    found.into_iter().flatten().next().ok_or_else(missing)
}

/// The only account with this reference.
fn by_reference(reader: &dyn Reader, reference: &str) -> Result<Option<AccountId>, AdminError> {
    if reference.is_empty() {
        return Ok(None);
    }
    let mut found = Vec::new();
    let mut outcome = Ok(());
    reader.for_each_account(&mut |account| match reader.reference(account.id) {
        Ok(text) if text == reference => found.push(account.id),
        Ok(_) => {}
        Err(error) => outcome = Err(error),
    })?;
    outcome?;
    if found.len() > 1 {
        return Err(AdminError::refused(format!(
            "several accounts have the reference {reference}: the instruction must name one by its id"
        )));
    }
    Ok(found.pop())
}

fn return_payout(engine: &Engine, text: &str, applied: Applied) -> Result<(), AdminError> {
    let payouts = Payout::all(engine.reader().as_ref(), &[])?;
    let payout = payouts.into_iter().find(|payout| hex::encode(payout.id()) == text);
    let payout = payout
        .ok_or_else(|| AdminError::refused(format!("there is no payout {text}: see `tps settlement payouts`")))?;
    match payout.state {
        PayoutState::Sent => {}
        // The list that it goes out with is still to be handed over: the agency would pay what the merchant has back.
        PayoutState::Pending => {
            let message = format!(
                "payout {text} was not handed to the agency yet, so it cannot have come back; nothing was changed"
            );
            return Err(AdminError::refused(message));
        }
        PayoutState::Returned | PayoutState::Counted => {
            return Err(AdminError::refused(format!("payout {text} was returned before; nothing was changed")));
        }
    }
    let postings = [
        Posting { party: Party::Funding, asset: payout.asset, change: -payout.units },
        Posting { party: Party::Merchant(payout.merchant), asset: payout.asset, change: payout.units },
    ];
    let what = format!("payout {text} to merchant {} came back", payout.merchant);
    let returned = Payout { state: PayoutState::Returned, ..payout };
    let records = vec![applied.entry(), returned.entry()];
    engine.with_book(0, move |book, now| book.transfer(what, &postings, records, now))?;
    Ok(())
}
