//! What is durable of the VRU.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ids::InstrumentId;
use protocol::time::Timestamp;

use super::credentials::{ACCESS_NUMBER_DIGITS, AccessNumber, PasscodeHash};
use crate::store::desk::{DeskKind, DeskRecord};

/// Wrong passcodes in a row that lock an access.
pub const PASSCODE_FAILURES_MAX: u8 = 5;

/// A customer's access to the VRU; one for an instrument. Never holds the passcode.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VruAccess {
    /// Names the access.
    pub number: AccessNumber,
    /// What it is an access to.
    pub instrument: InstrumentId,
    /// What is kept of the passcode.
    pub passcode: PasscodeHash,
    /// Wrong passcodes in a row; at [`PASSCODE_FAILURES_MAX`] the access is locked.
    pub failures: u8,
    /// When the mailer was written.
    pub issued_at: Timestamp,
}

impl VruAccess {
    /// Whether no passcode is taken any more.
    pub fn is_locked(&self) -> bool {
        self.failures >= PASSCODE_FAILURES_MAX
    }
}

impl DeskRecord for VruAccess {
    const KIND: DeskKind = DeskKind::VruAccess;
    type Key = [u8; ACCESS_NUMBER_DIGITS];

    fn key(&self) -> Self::Key {
        self.number.bytes()
    }
}

/// Which access an instrument has.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VruNumber {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Its access.
    pub number: AccessNumber,
}

impl DeskRecord for VruNumber {
    const KIND: DeskKind = DeskKind::VruNumber;
    type Key = [u8; 16];

    fn key(&self) -> Self::Key {
        self.instrument.0
    }
}
