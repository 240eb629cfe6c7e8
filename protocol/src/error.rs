//! Typed errors that the TPS answers in clear (DESIGN section 6, rows 1 and 2).
//!
//! Such an answer is not authenticated and resolves nothing: the CTS keeps the transaction open and asks again.
//! `docs/errors.md` lists every code with what to do.

use crate::codec::{DecodeError, Fixed, fixed};
use crate::frame::MessageType;
use crate::numbered::numbered;

numbered! {
    /// Why the TPS did not look at a request.
    #[repr(u16)]
    ErrorCode: u16;

    /// A message that is no message: wrong size or a field out of range.
    Malformed = 1, "the TPS could not read the request: update the client";
    /// Another version of the protocol.
    UnsupportedVersion = 2, "the TPS speaks another version of the protocol: update the older side";
    /// Another cryptographic suite.
    UnsupportedSuite = 3, "the TPS does not know this cryptographic suite: update the older side";
    /// Sealed for a session key that this TPS does not hold, or no longer.
    UnknownKey = 4, "the TPS does not hold this session key any more: refresh the pinned key set";
    /// The account's home is another cell.
    Moved = 5, "the account is served by another cell: refresh the pinned key set";
    /// A kind of payment that this TPS does not offer.
    UnsupportedKind = 6, "the TPS does not offer this kind of payment";
    /// The customer's half does not open.
    DoesNotOpen = 7, "the TPS could not open the sealed half: it was damaged or sealed for another key; send it again";
    /// More requests than the TPS can take now.
    Overloaded = 8, "the TPS is overloaded: ask again shortly";
    /// More requests than this connection or address may have open.
    OverBudget = 9, "too many requests from here are open: wait for answers before sending more";
    /// The TPS is about to stop.
    Draining = 10, "the TPS is about to stop: ask again shortly";
    /// The TPS has too little disk space to take new payments.
    DiskLow = 11, "the TPS cannot take payments now for want of disk space: ask again later";
    /// The answer to an activation that fails for whatever reason: nothing about the instrument is told.
    ActivationRefused = 12, "the activation was refused: the bundle was used, is expired, or is not for this TPS; ask your operator for a new one";
    /// The TPS has no valid key to sign proofs with: a merchant would refuse what it signs.
    NoProofKey = 13, "the TPS has no valid key for proofs and takes no payments now: ask again later";
}

impl ErrorCode {
    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::DoesNotOpen | Self::Overloaded | Self::OverBudget | Self::Draining | Self::DiskLow | Self::NoProofKey
        )
    }
}

impl From<&DecodeError> for ErrorCode {
    fn from(error: &DecodeError) -> Self {
        error.tell(Self::Malformed, Self::UnsupportedVersion, Self::UnsupportedSuite)
    }
}

/// The error message on the wire: 9 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ErrorMessage {
    prefix: [u8; 3],
    code: u16,
    /// How long to wait before asking again, in milliseconds; 0 where it makes no difference.
    pub retry_after_ms: u32,
}

fixed!(ErrorMessage, "error message", |message| {
    let known = ErrorCode::from_number(message.code).is_some();
    match MessageType::of(&message.prefix)? {
        MessageType::Error if known => Ok(()),
        _ => Err(DecodeError::Field { what: "error message", field: "code" }),
    }
});

impl ErrorMessage {
    /// An error with advice on when to ask again.
    pub fn new(code: ErrorCode, retry_after_ms: u32) -> Self {
        Self { prefix: MessageType::Error.prefix(), code: code as u16, retry_after_ms }
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::from_number(self.code).expect("checked when decoded or built")
    }

    /// The bytes of the message.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_round_trip() {
        for code in ErrorCode::ALL {
            let message = ErrorMessage::new(*code, 250);
            let bytes = message.encode();
            assert_eq!(bytes.len(), 9);
            assert_eq!(ErrorMessage::decode(&bytes), Ok(message));
            assert_eq!(message.code(), *code);
        }
        assert!(ErrorMessage::decode(&[1, 1, 3, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(ErrorMessage::decode(&[1, 1, 2, 1, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn the_document_explains_every_code() {
        let document = include_str!("../../docs/errors.md");
        for code in ErrorCode::ALL {
            assert!(document.contains(&format!("`{code:?}`")), "docs/errors.md lacks {code:?}");
        }
        for reason in crate::response::Reason::ALL {
            assert!(document.contains(&format!("`{reason:?}`")), "docs/errors.md lacks {reason:?}");
        }
    }
}
