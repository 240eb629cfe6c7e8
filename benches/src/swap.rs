//! The two calls that do the curve arithmetic of a batch: session keys, and customers' signatures out of 32-byte keys.

use protocol::session::payment::PaymentSession;
use protocol::session::{AgreementPublic, AgreementSecret};
use protocol::signature::{CustomerKey, Domain, Item, Signature, verify_batch};

/// The sessions of a batch of requests, on the processor's side.
///
/// # Panics
/// Where an ephemeral key is of small order: the inputs of benches are not.
pub fn sessions(
    secret: &AgreementSecret,
    public: &AgreementPublic,
    ephemerals: &[AgreementPublic],
) -> Vec<PaymentSession> {
    let sessions = ephemerals.iter().map(|ephemeral| PaymentSession::for_processor(secret, public, ephemeral));
    sessions.map(|session| session.expect("a usable key")).collect()
}

/// A signature to check, with its signer's key as it is stored: 32 bytes.
pub struct Signed<'a> {
    /// The public key.
    pub key: &'a [u8; 32],
    /// What was signed, without the domain.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a Signature,
}

/// Whether each signature of a batch of requests holds. `seed` is fresh and secret.
pub fn signatures_hold(signed: &[Signed<'_>], seed: [u8; 32]) -> Vec<bool> {
    let keys = signed.iter().map(|item| CustomerKey::from_enrolled(*item.key).expect("enrolled"));
    let keys: Vec<CustomerKey> = keys.collect();
    let items = signed.iter().zip(&keys);
    let items: Vec<Item<'_>> =
        items.map(|(item, key)| Item { key, message: item.message, signature: item.signature }).collect();
    let report = verify_batch(Domain::REQUEST_FOR_PAYMENT, &items, seed);
    report.verdicts.iter().map(Result::is_ok).collect()
}
