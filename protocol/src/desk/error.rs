//! What the desk answers when it takes nothing of a batch. Not signed: it resolves nothing, the batch can be sent again.

use crate::codec::{Canonical, DecodeError, check_version};
use crate::limits::{PROTOCOL_VERSION, SUITE};
use crate::numbered::numbered;

numbered! {
    /// Why a whole batch is refused, with nothing of it carried out. `docs/errors.md` lists all codes.
    #[repr(u16)]
    DeskErrorCode: u16;

    /// Bytes that are no batch, or a field out of range.
    Malformed = 1, "the desk could not read the batch: it was damaged on the way, send it again";
    /// Another version of the protocol.
    UnsupportedVersion = 2, "the desk speaks another version of the protocol: update the older side";
    /// Another cryptographic suite.
    UnsupportedSuite = 3, "the desk does not know this cryptographic suite: update the older side";
    /// Another installation.
    OtherRealm = 4, "the batch is for another TPS: send it there";
    /// Nobody of that id is registered.
    UnknownMerchant = 5, "the TPS knows no merchant of that id: register with its operator";
    /// The merchant was never approved.
    NotCertified = 6, "the TPS's operator has not approved this merchant yet: wait for the certificate";
    /// The merchant's desk key did not sign these bytes.
    BadSignature = 7, "the batch was altered, or another key signed it: send the original again";
    /// Another batch of this id was answered before.
    OtherBatch = 8, "another batch with this id was carried out before: make a new batch";
    /// Too much at once, or from one address.
    Overloaded = 9, "the desk has too much to do: send the batch again later";
    /// The server is about to stop, or something in it is broken.
    Unavailable = 10, "the desk cannot answer at the moment: send the same batch again later";
}

impl DeskErrorCode {
    /// Whether the same bytes may be taken later without anybody doing anything else.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::NotCertified | Self::Overloaded | Self::Unavailable)
    }
}

impl From<&DecodeError> for DeskErrorCode {
    fn from(error: &DecodeError) -> Self {
        error.tell(Self::Malformed, Self::UnsupportedVersion, Self::UnsupportedSuite)
    }
}

/// An error on the wire. Fields: version, suite (u8), code (u16), retry after (u32, milliseconds, 0 where it makes no
/// difference).
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct DeskError {
    version: u8,
    suite: u8,
    number: u16,
    /// How long to wait before sending again, in milliseconds; 0 where it makes no difference.
    pub retry_after_ms: u32,
}

impl DeskError {
    /// An error.
    pub fn new(code: DeskErrorCode, retry_after_ms: u32) -> Self {
        Self { version: PROTOCOL_VERSION, suite: SUITE, number: code as u16, retry_after_ms }
    }

    /// The code, or the bare number where this program does not know it yet.
    ///
    /// # Errors
    /// The number.
    pub fn code(&self) -> Result<DeskErrorCode, u16> {
        DeskErrorCode::from_number(self.number).ok_or(self.number)
    }
}

impl Canonical for DeskError {
    const NAME: &'static str = "desk error";
    const BYTES_MAX: usize = 8;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)
    }
}
