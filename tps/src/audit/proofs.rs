//! Every stored proof, rebuilt and verified as a merchant would verify it.

use protocol::ids::KeyId;
use protocol::key_set::{KeyRole, PinnedKeySet};
use protocol::ledger::instrument::Place;
use protocol::proof::tree::Tree;
use protocol::proof::verify::{ProofKey, Verifier};
use protocol::proof::{Outcome, Proof};

use super::{AuditReport, Books};
use crate::admin::AdminError;
use crate::data_directory::Realm;
use crate::store::Reader;
use crate::store::records::{BatchRecord, PaymentRecord};

/// A batch with its tree, kept while its payments are visited one after another.
struct OpenBatch {
    number: u64,
    record: BatchRecord,
    tree: Tree,
}

/// Rebuilds and verifies the proof of every transaction that the books know.
pub(super) fn verify_all(
    reader: &dyn Reader,
    books: &Books,
    realm: &Realm,
    keys: &PinnedKeySet,
    report: &mut AuditReport,
) -> Result<(), AdminError> {
    // Revoked keys, too: what they signed before that is in this log, whoever may have signed elsewhere with them since.
    let keys = keys.keys().iter().filter(|key| key.role == KeyRole::Proof).map(|key| ProofKey {
        id: key.id,
        public: key.public,
        valid_from: key.valid_from,
        valid_until: key.valid_until,
    });
    // One header at a time is enough: payments come in the order of their batches.
    let mut verifier = Verifier::new(realm.realm, keys, 1);
    let mut open: Option<OpenBatch> = None;
    let mut unreadable: Vec<Place> = Vec::new();
    reader.for_each_payment(&mut |place, record| {
        let known = books.instruments.get(&record.instrument);
        if known.is_none_or(|(_, state)| record.count > state.last_count) {
            return;
        }
        if open.as_ref().is_none_or(|batch| batch.number != place.batch) {
            let batch = reader.batch(place.batch).ok().flatten().filter(|batch| !batch.leaves.is_empty());
            open =
                batch.map(|record| OpenBatch { number: place.batch, tree: Tree::new(record.leaves.clone()), record });
        }
        let Some(batch) = &open else {
            unreadable.push(place);
            return;
        };
        report.proofs += 1;
        if let Err(why) = verify(&mut verifier, batch, place, record) {
            let (id, count) = (record.instrument, record.count);
            report.differs(format!("instrument {id}, transaction {count}: its proof does not hold: {why}"));
        }
    })?;
    for place in unreadable {
        report.differs(format!("batch {}, place {}: the signed batch cannot be read", place.batch, place.index));
    }
    Ok(())
}

fn verify(verifier: &mut Verifier, batch: &OpenBatch, place: Place, record: &PaymentRecord) -> Result<(), String> {
    let header = &batch.record.header;
    if place.index >= header.size || batch.tree.leaves().len() != usize::from(header.size) {
        return Err("the batch has another size".to_owned());
    }
    let released = record.released(place.index, header);
    let key: KeyId = header.key;
    let proof = Proof {
        statement: released.statement,
        outcome: released.outcome,
        opening: released.opening,
        other_commitment: released.other_commitment,
        index: place.index,
        size: header.size,
        key,
        signature: batch.record.signature,
        path: batch.tree.path(usize::from(place.index)),
    };
    let verified = verifier.verify(&proof.encode()).map_err(|error| error.to_string())?;
    let expected: Outcome = record.reason.outcome();
    if verified.outcome() == expected { Ok(()) } else { Err("it says another outcome".to_owned()) }
}
