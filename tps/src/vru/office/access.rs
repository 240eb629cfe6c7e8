//! Credentials for the VRU: drawn, looked at, unlocked.

use protocol::ids::InstrumentId;

use super::{Office, OfficeError, random};
use crate::book::orders::{Order, OrderError};
use crate::store::desk::{DeskEntry, DeskRecord};
use crate::vru::credentials::{AccessNumber, Passcode, PasscodeHash};
use crate::vru::records::{VruAccess, VruNumber};

/// New credentials, to be written into a mailer and forgotten.
pub struct NewAccess {
    /// The access number.
    pub number: AccessNumber,
    /// The passcode; nobody else has it.
    pub passcode: Passcode,
}

impl Office {
    /// New credentials for an instrument that exists; earlier ones end.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn new_access(&self, id: InstrumentId) -> Result<NewAccess, OfficeError> {
        let revoked = self.engine.with_book(id.shard_key(), move |book, _| {
            Ok(book.instrument(id).ok_or(OrderError::NoInstrument(id))?.revoked)
        })?;
        if revoked {
            return Err(OrderError::Revoked(id).into());
        }
        let (access, mut entries) = self.draw_access(id)?;
        if let Some(old) = VruNumber::read(&**self.engine.reader(), &id.0)? {
            entries.insert(0, VruAccess::removal(&old.number.bytes()));
        }
        self.engine.record(entries)?;
        tracing::info!(instrument = %id, "new credentials for the VRU; earlier ones ended");
        Ok(access)
    }

    /// Enrols an instrument together with its access, in one commit.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn enrol(&self, id: InstrumentId, order: Order) -> Result<NewAccess, OfficeError> {
        let (access, entries) = self.draw_access(id)?;
        self.engine.order_with(id.shard_key(), order, entries)?;
        Ok(access)
    }

    fn draw_access(&self, instrument: InstrumentId) -> Result<(NewAccess, Vec<DeskEntry>), OfficeError> {
        let number = loop {
            let number = AccessNumber::random(&mut random::<8>)?;
            if VruAccess::read(&**self.engine.reader(), &number.bytes())?.is_none() {
                break number;
            }
        };
        let passcode = Passcode::random(&mut random::<8>)?;
        let hash = PasscodeHash::new(&passcode, random()?);
        let access = VruAccess { number, instrument, passcode: hash, failures: 0, issued_at: self.engine.now() };
        let entries = vec![access.entry(), VruNumber { instrument, number }.entry()];
        Ok((NewAccess { number, passcode }, entries))
    }

    /// How the access of an instrument stands.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn access(&self, id: InstrumentId) -> Result<VruAccess, OfficeError> {
        let reader = &**self.engine.reader();
        let number = VruNumber::read(reader, &id.0)?.ok_or(OfficeError::NoAccess(id))?.number;
        VruAccess::read(reader, &number.bytes())?.ok_or(OfficeError::NoAccess(id))
    }

    /// Takes passcodes again for the access of an instrument.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn unlock(&mut self, id: InstrumentId) -> Result<VruAccess, OfficeError> {
        let mut access = self.access(id)?;
        if access.failures > 0 {
            access.failures = 0;
            self.engine.record(vec![access.entry()])?;
        }
        self.budget.admitted(access.number);
        Ok(access)
    }
}
