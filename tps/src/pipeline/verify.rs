//! Verify: device tags first and cheaply, then the signatures of the batch in one equation (row 3).

use protocol::enrolment::SignaturePolicy;
use protocol::ledger::decision::Authentication;
use protocol::signature::{Domain, EnrolledKey, Item, Signature, verify_batch as verify_signatures};

use super::directory::Directory;
use super::open::Opened;

/// A request whose device tag and signature were judged. Only [`verify_batch`] makes one.
pub struct Verified {
    pub(super) opened: Opened,
    pub(super) authentication: Authentication,
}

/// When customers' signatures are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureCheck {
    /// Before money moves.
    Live,
    /// In spare time, from the log: no signature is checked on the way of a payment (K-55).
    Deferred,
}

/// What is asked of customers' signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureRule {
    /// Whether there must be one.
    pub policy: SignaturePolicy,
    /// When it is checked.
    pub check: SignatureCheck,
}

/// Judges a batch; tells also how many signatures were checked. A request that fails goes on too: it is denied in its turn, so
/// that timing tells nothing.
///
/// `seed` is 32 fresh secret bytes for the coefficients of the equation.
pub fn verify_batch(
    opened: Vec<Opened>,
    directory: &Directory,
    rule: SignatureRule,
    seed: [u8; 32],
) -> (Vec<Verified>, usize) {
    // First all keys, so that the processor waits for memory once for many; then the tags.
    let found: Vec<_> = opened.iter().map(|request| directory.get(request.half.instrument)).collect();
    let entries: Vec<_> = opened
        .iter()
        .zip(found)
        .map(|(request, entry)| {
            let entry = entry?;
            let tagged = request.half.device_tag_holds(&entry.device_key, &request.signed);
            tagged.then(|| (entry.key, request.half.signature()))
        })
        .collect();

    let mut authentications: Vec<Authentication> = entries
        .iter()
        .map(|entry| match (entry, rule.policy) {
            (Some((_, Some(_))), _) | (Some((_, None)), SignaturePolicy::Optional) => Authentication::Held,
            _ => Authentication::Failed,
        })
        .collect();

    let live = rule.check == SignatureCheck::Live;
    let signed: Vec<(usize, &EnrolledKey, &Signature)> = entries[..if live { entries.len() } else { 0 }]
        .iter()
        .enumerate()
        .filter_map(|(position, entry)| {
            entry.as_ref().and_then(|(key, signature)| Some((position, key, signature.as_ref()?)))
        })
        .collect();
    let items: Vec<Item<'_>> = signed
        .iter()
        .map(|(position, key, signature)| Item { key, message: &opened[*position].signed, signature })
        .collect();
    let report = verify_signatures(Domain::REQUEST_FOR_PAYMENT, &items, seed);
    for ((position, _, _), verdict) in signed.iter().zip(&report.verdicts) {
        if verdict.is_err() {
            authentications[*position] = Authentication::Failed;
        }
    }
    let checked = items.len();
    let verified =
        opened.into_iter().zip(authentications).map(|(opened, authentication)| Verified { opened, authentication });
    (verified.collect(), checked)
}
