//! The notary: attest digests, look at receipts.

use super::Operator;
use crate::admin::notary::{DIGESTS_MAX, NotaryAnswer, NotaryCommand, ReceiptView};
use crate::admin::{AdminError, AdminResponse};
use crate::keys::KeyRing;
use crate::notary::receipts;

impl Operator {
    pub(super) fn notary(&self, command: &NotaryCommand) -> Result<AdminResponse, AdminError> {
        let found = match command {
            NotaryCommand::Attest { digests } if digests.is_empty() || digests.len() > DIGESTS_MAX => {
                return Err(AdminError::bad_input(format!(
                    "one command attests 1 to {DIGESTS_MAX} digests, not {}",
                    digests.len()
                )));
            }
            NotaryCommand::Attest { digests } => {
                let key = KeyRing::load(&self.data)?.notary_key(self.engine.now())?;
                self.notary.attest(&self.engine, self.realm.realm, &key, digests)?
            }
            NotaryCommand::Receipts { first, most } => {
                receipts(self.engine.reader().as_ref(), *first, (*most).min(DIGESTS_MAX))?
            }
        };
        Ok(AdminResponse::Notary(NotaryAnswer { receipts: found.iter().map(ReceiptView::from).collect() }))
    }
}
