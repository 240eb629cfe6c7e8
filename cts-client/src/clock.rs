//! This machine's clock and randomness: the only places where the CTS reads either.

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::pin::ModifierPart;
use protocol::session::AgreementSecret;
use protocol::time::Timestamp;
use zeroize::Zeroizing;

/// The present time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Random bytes from the operating system.
///
/// # Panics
/// If the operating system has none: nothing safe could be done then.
pub fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).expect("the operating system provides randomness");
    bytes
}

/// A fresh ephemeral key: one per request, confirmation and renegotiation.
pub fn ephemeral() -> AgreementSecret {
    AgreementSecret::from_random(*random())
}

/// The customer's part of the modifier in one transaction (K-117).
pub fn modifier_part() -> ModifierPart {
    ModifierPart(u64::from_le_bytes(*random()))
}
