//! The notary (K-107): attests that it saw a digest at a time. No payment knows of it, and it knows of no payment.
//!
//! Receipts are one chain. A receipt leaves only after it is durable, so that a chain never forks: not by a crash, not by a restart.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::codec::Canonical;
use protocol::ids::{Digest, RealmId};
use protocol::notary::{ChainEnd, NotaryReceipt};
use protocol::signature::{NotaryRole, SigningKey};
use protocol::time::Timestamp;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use crate::admin::{AdminError, AdminErrorCode};
use crate::pipeline::Engine;
use crate::store::Reader;
use crate::store::desk::{DeskKind, DeskRecord};

/// Receipts that are kept in one commit: beside payments, a small one.
const RECEIPTS_PER_COMMIT: usize = 256;

/// Where the chain ends. There is one such record.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct EndRecord {
    sequence: u64,
    time: Timestamp,
    hash: Digest,
}

impl EndRecord {
    const KEY: [u8; 1] = [0];
}

impl DeskRecord for EndRecord {
    const KIND: DeskKind = DeskKind::Notarisation;
    type Key = [u8; 1];

    fn key(&self) -> [u8; 1] {
        Self::KEY
    }
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct ReceiptRecord {
    sequence: u64,
    receipt: Vec<u8>,
}

impl ReceiptRecord {
    /// All receipts lie together behind the end, in their order.
    const BEGINNING: u8 = 1;

    fn key_of(sequence: u64) -> [u8; 9] {
        let mut key = [Self::BEGINNING; 9];
        key[1..].copy_from_slice(&sequence.to_be_bytes());
        key
    }
}

impl DeskRecord for ReceiptRecord {
    const KIND: DeskKind = DeskKind::Notarisation;
    type Key = [u8; 9];

    fn key(&self) -> [u8; 9] {
        Self::key_of(self.sequence)
    }
}

/// The notary of a running engine. It must be the only one: it alone continues the chain.
#[derive(Debug, Default)]
pub struct Notary {
    chain: Mutex<()>,
}

impl Notary {
    /// Attests `digests` now, each with a receipt of its own; what is returned is durable. After an error some of the first may have
    /// been attested: [`receipts`] shows them.
    ///
    /// # Errors
    /// [`AdminError`] where the store does not answer or the server is about to stop.
    pub fn attest(
        &self,
        engine: &Engine,
        realm: RealmId,
        key: &SigningKey<NotaryRole>,
        digests: &[Digest],
    ) -> Result<Vec<NotaryReceipt>, AdminError> {
        let _chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let mut end = chain_end(engine.reader().as_ref())?;
        let mut receipts = Vec::with_capacity(digests.len());
        for part in digests.chunks(RECEIPTS_PER_COMMIT) {
            let mut records = Vec::with_capacity(part.len() + 1);
            for digest in part {
                let receipt = NotaryReceipt::sign(realm, &end, engine.now(), *digest, key)?;
                end = receipt.chain_end();
                records.push(ReceiptRecord { sequence: receipt.sequence, receipt: receipt.encode() }.entry());
                receipts.push(receipt);
            }
            records.push(EndRecord { sequence: end.sequence, time: end.time, hash: end.hash }.entry());
            engine.record(records)?;
        }
        Ok(receipts)
    }
}

fn chain_end(reader: &dyn Reader) -> Result<ChainEnd, AdminError> {
    let end = EndRecord::read(reader, &EndRecord::KEY)?;
    Ok(end.map_or_else(ChainEnd::default, |end| ChainEnd { sequence: end.sequence, time: end.time, hash: end.hash }))
}

/// At most `most` receipts from number `first` on, in their order.
///
/// # Errors
/// [`AdminError`] where there is none, or the store does not answer.
pub fn receipts(reader: &dyn Reader, first: u64, most: usize) -> Result<Vec<NotaryReceipt>, AdminError> {
    let mut records: Vec<ReceiptRecord> = Vec::new();
    let before = first.checked_sub(1).map(ReceiptRecord::key_of);
    ReceiptRecord::visit(reader, &[ReceiptRecord::BEGINNING], before.as_ref(), &mut |record| {
        if records.len() == most {
            return ControlFlow::Break(());
        }
        records.push(record);
        ControlFlow::Continue(())
    })?;
    if records.first().is_none_or(|record| first > 0 && record.sequence != first) {
        let last = chain_end(reader)?.sequence;
        return Err(AdminError::new(
            AdminErrorCode::NotFound,
            format!("the notary has made no receipt {first}: its last one is number {last}"),
        ));
    }
    records.iter().map(|record| Ok(NotaryReceipt::decode(&record.receipt)?)).collect()
}
