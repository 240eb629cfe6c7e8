//! Prove: both outcomes of every request, one signature for the batch. Needs the open halves alone (K-67, K-68).

use std::sync::Arc;

use protocol::ids::{KeyId, RealmId};
use protocol::proof::Claim;
use protocol::proof::batch::{BatchSeed, PreparedPlace, SignedBatch, prepare};
use protocol::signature::{ProofRole, SigningKey};

use super::clock::Ticket;
use super::verify::Verified;

/// What proofs are signed with.
pub struct ProofSigner {
    /// The installation.
    pub realm: RealmId,
    /// Names the key.
    pub key_id: KeyId,
    /// The key.
    pub key: SigningKey<ProofRole>,
}

/// A verified request and its prepared, undecided proofs.
pub struct Proved {
    pub(super) verified: Verified,
    pub(super) prepared: PreparedPlace,
}

/// The part of a proved batch that belongs to one shard. Every shard gets every batch, empty or not, so that it can
/// take them in order.
pub struct ProvedBatch {
    pub(super) ticket: Ticket,
    pub(super) signed: Arc<SignedBatch>,
    pub(super) payments: Vec<Proved>,
}

/// Prepares a batch of at least one request, and divides it among `shards` shards.
///
/// `seed` is fresh from the operating system, drawn after the requests of the batch were fixed.
pub fn prove_batch(
    verified: Vec<Verified>,
    ticket: Ticket,
    signer: &ProofSigner,
    seed: BatchSeed,
    shards: u16,
) -> Vec<ProvedBatch> {
    let claims: Vec<Claim> = verified
        .iter()
        .map(|request| {
            let open = &request.opened.request.open;
            Claim {
                kind: open.kind,
                terms: open.terms,
                merchant: open.merchant,
                number: open.number,
                amount: open.amount,
                asset: open.asset,
                quote_digest: open.quote_digest,
            }
        })
        .collect();
    let (signed, places) = prepare(&claims, signer.realm, ticket.time, seed, &signer.key, signer.key_id);
    let signed = Arc::new(signed);
    let mut parts: Vec<ProvedBatch> =
        (0..shards).map(|_| ProvedBatch { ticket, signed: Arc::clone(&signed), payments: Vec::new() }).collect();
    for (verified, prepared) in verified.into_iter().zip(places) {
        let shard = verified.opened.half.instrument.shard_key() % shards;
        parts[usize::from(shard)].payments.push(Proved { verified, prepared });
    }
    parts
}
