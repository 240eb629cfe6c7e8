//! Typed errors that the TPS answers in clear (DESIGN section 6, rows 1 and 2).
//!
//! Such an answer is not authenticated and resolves nothing: the CTS keeps the transaction open and asks again.
//! `docs/errors.md` lists every code with what to do.

use crate::codec::{DecodeError, Fixed, fixed};
use crate::frame::MessageType;

/// Why the TPS did not look at a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[repr(u16)]
pub enum ErrorCode {
    /// A message that is no message: wrong size or a field out of range.
    #[error("the TPS could not read the request: update the client")]
    Malformed = 1,
    /// Another version of the protocol.
    #[error("the TPS speaks another version of the protocol: update the older side")]
    UnsupportedVersion = 2,
    /// Another cryptographic suite.
    #[error("the TPS does not know this cryptographic suite: update the older side")]
    UnsupportedSuite = 3,
    /// Sealed for a session key that this TPS does not hold, or no longer.
    #[error("the TPS does not hold this session key any more: refresh the pinned key set")]
    UnknownKey = 4,
    /// The account's home is another cell.
    #[error("the account is served by another cell: refresh the pinned key set")]
    Moved = 5,
    /// A kind of payment that this TPS does not offer.
    #[error("the TPS does not offer this kind of payment")]
    UnsupportedKind = 6,
    /// The customer's half does not open.
    #[error("the TPS could not open the sealed half: it was damaged or sealed for another key; send it again")]
    DoesNotOpen = 7,
    /// More requests than the TPS can take now.
    #[error("the TPS is overloaded: ask again shortly")]
    Overloaded = 8,
    /// More requests than this connection or address may have open.
    #[error("too many requests from here are open: wait for answers before sending more")]
    OverBudget = 9,
    /// The TPS is about to stop.
    #[error("the TPS is about to stop: ask again shortly")]
    Draining = 10,
    /// The TPS has too little disk space to take new payments.
    #[error("the TPS cannot take payments now for want of disk space: ask again later")]
    DiskLow = 11,
    /// The answer to an activation that fails for whatever reason: nothing about the instrument is told.
    #[error(
        "the activation was refused: the bundle was used, is expired, or is not for this TPS; ask your operator for a new one"
    )]
    ActivationRefused = 12,
    /// The TPS has no valid key to sign proofs with: a merchant would refuse what it signs.
    #[error("the TPS has no valid key for proofs and takes no payments now: ask again later")]
    NoProofKey = 13,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::UnsupportedVersion,
        Self::UnsupportedSuite,
        Self::UnknownKey,
        Self::Moved,
        Self::UnsupportedKind,
        Self::DoesNotOpen,
        Self::Overloaded,
        Self::OverBudget,
        Self::Draining,
        Self::DiskLow,
        Self::ActivationRefused,
        Self::NoProofKey,
    ];

    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::DoesNotOpen | Self::Overloaded | Self::OverBudget | Self::Draining | Self::DiskLow | Self::NoProofKey
        )
    }

    /// The code of that number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u16 == number)
    }
}

impl From<&DecodeError> for ErrorCode {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::Version { .. } => Self::UnsupportedVersion,
            DecodeError::Suite { .. } => Self::UnsupportedSuite,
            DecodeError::Length { .. } | DecodeError::Field { .. } | DecodeError::NotCanonical { .. } => {
                Self::Malformed
            }
        }
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
            let message = ErrorMessage::new(code, 250);
            let bytes = message.encode();
            assert_eq!(bytes.len(), 9);
            assert_eq!(ErrorMessage::decode(&bytes), Ok(message));
            assert_eq!(message.code(), code);
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
