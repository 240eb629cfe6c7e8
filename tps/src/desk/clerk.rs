//! The clerk: judges a merchant's batch and carries it out. Everything that is taken from merchants goes through one clerk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::certificate::CertificateRequest;
use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskAnswer, DeskBatch, DeskErrorCode, EntryRefusal, EntryResult, SettlementAnswer};
use protocol::ids::{MerchantId, RealmId};
use protocol::time::Timestamp;

use super::budget::Budgets;
use super::index::PairIndex;
use super::records::MerchantBatchRecord;
use super::refunds::{self, Wanted};
use super::{Renewals, Settlements};
use crate::book::orders::OrderError;
use crate::operator::{Registrar, RenewalRefusal};
use crate::pipeline::Engine;
use crate::store::StoreError;
use crate::store::desk::DeskRecord;
use crate::store::records::{MerchantRecord, MerchantStatus};

/// Days that a certificate renewed at the desk is valid.
const RENEWED_DAYS: u64 = protocol::limits::MERCHANT_KEY_LIFETIME_MAX_MS / protocol::time::DAY_MS;

/// Batches with refunds or renewals that a merchant may hand in at once: a visit of a merchant with a quarter of a million refunds.
const BURST: u32 = 128;
/// After this one more is permitted.
const REFILL: Duration = Duration::from_secs(30);
/// Merchants whose budgets are remembered.
const MERCHANTS_MAX: usize = 65_536;

/// A batch whose merchant signed it. Only [`admit`] makes one.
#[derive(Debug)]
pub struct AdmittedBatch(DeskBatch);

/// Reads a batch and checks that it is a reviewed merchant's own, and for this TPS. Changes nothing.
///
/// # Errors
/// What to answer; the whole batch is refused (K-97, K-102).
pub fn admit(engine: &Engine, realm: RealmId, bytes: &[u8]) -> Result<AdmittedBatch, DeskErrorCode> {
    let batch = DeskBatch::decode(bytes).map_err(|error| DeskErrorCode::from(&error))?;
    if batch.realm != realm {
        return Err(DeskErrorCode::OtherRealm);
    }
    let record = merchant(engine, batch.merchant).map_err(|error| unavailable(&error))?;
    let record = record.ok_or(DeskErrorCode::UnknownMerchant)?;
    if record.status == MerchantStatus::PendingReview {
        return Err(DeskErrorCode::NotCertified);
    }
    let reviewed = CertificateRequest::decode(&record.request).map_err(|error| unavailable(&error))?;
    batch.verify(&reviewed.desk).map_err(|_| DeskErrorCode::BadSignature)?;
    Ok(AdmittedBatch(batch))
}

/// Every shard knows every merchant; the first one keeps them durable.
fn merchant(engine: &Engine, id: MerchantId) -> Result<Option<MerchantRecord>, OrderError> {
    engine.with_book(0, move |book, _| Ok(book.merchant(id).cloned()))
}

fn unavailable(error: &dyn std::fmt::Display) -> DeskErrorCode {
    tracing::error!(%error, "the desk cannot answer a merchant");
    DeskErrorCode::Unavailable
}

/// What became of a batch.
struct CarriedOut {
    /// One per entry.
    results: Vec<EntryResult>,
    /// Whether a refund was accepted or a request taken on record.
    changed: bool,
}

/// Carries batches out, one after another.
pub struct Clerk {
    engine: Arc<Engine>,
    registrar: Arc<Registrar>,
    renewals: Renewals,
    settlements: Box<dyn Settlements>,
    index: PairIndex,
    budgets: Budgets<MerchantId>,
    /// Whether what an earlier process left open was finished.
    resumed: bool,
}

impl Clerk {
    /// A clerk over an engine. There must be one only.
    pub fn new(
        engine: Arc<Engine>,
        registrar: Arc<Registrar>,
        renewals: Renewals,
        settlements: Box<dyn Settlements>,
    ) -> Self {
        let budgets = Budgets::new(BURST, REFILL, MERCHANTS_MAX);
        Self { engine, registrar, renewals, settlements, index: PairIndex::default(), budgets, resumed: false }
    }

    /// Finishes refunds that were accepted and not done.
    ///
    /// # Errors
    /// [`OrderError`]; then nothing else is carried out before another attempt succeeds.
    pub fn resume(&mut self) -> Result<(), OrderError> {
        if !self.resumed {
            let finished = refunds::resume(&self.engine)?;
            if finished > 0 {
                tracing::info!(finished, "finished refunds that were accepted before the server ended");
            }
            self.resumed = true;
        }
        Ok(())
    }

    /// A little work on the index of payments, for a turn in which nothing else is to do.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn idle(&mut self) -> Result<(), OrderError> {
        self.index.advance_idly(&self.engine)
    }

    /// The same for a turn in which payments arrive: only where, at `now`, the index has waited too long for a quiet one.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn idle_if_late(&mut self, now: Timestamp) -> Result<(), OrderError> {
        if PairIndex::is_late(&self.engine, now)? { self.idle() } else { Ok(()) }
    }

    /// Carries a batch out and gives the canonical bytes of the answer; the same batch again gets the same bytes.
    ///
    /// # Errors
    /// What to answer. Nothing of the batch is lost: the same one can be sent again.
    pub fn answer(&mut self, batch: &AdmittedBatch) -> Result<Vec<u8>, DeskErrorCode> {
        let AdmittedBatch(batch) = batch;
        self.resume().map_err(|error| unavailable(&error))?;
        let key = MerchantBatchRecord::key_of(batch.merchant, batch.id);
        let stored = MerchantBatchRecord::read(&**self.engine.reader(), &key).map_err(|error| unavailable(&error))?;
        match stored {
            Some(record) if record.digest == batch.digest() => return Ok(record.answer),
            Some(_) => return Err(DeskErrorCode::OtherBatch),
            None => {}
        }
        // What is kept of a batch is kept for ever: a merchant must not fill the disk that payments need.
        if batch.changes_anything() && !self.budgets.take(batch.merchant, Instant::now()) {
            return Err(DeskErrorCode::Overloaded);
        }
        let signing = self.registrar.desk_key(self.engine.now()).map_err(|error| unavailable(&error))?;
        let CarriedOut { results, changed } = self.carry_out(batch).map_err(|error| {
            self.resumed = false;
            unavailable(&error)
        })?;
        let answer = DeskAnswer::new(batch, results, self.engine.now(), &signing);
        let answer = answer.map_err(|error| unavailable(&error))?.encode();
        if !batch.changes_anything() {
            return Ok(answer);
        }
        let record = MerchantBatchRecord {
            merchant: batch.merchant,
            id: batch.id,
            digest: batch.digest(),
            batch: if changed { batch.encode() } else { Vec::new() },
            answer: answer.clone(),
        };
        self.engine.record(vec![record.entry()]).map_err(|error| unavailable(&error))?;
        Ok(answer)
    }

    fn carry_out(&mut self, batch: &DeskBatch) -> Result<CarriedOut, OrderError> {
        let refunds: Vec<Wanted> = batch
            .entries()
            .iter()
            .filter_map(|entry| match entry {
                BatchEntry::Refund { order, number } => Some((*order, *number)),
                _ => None,
            })
            .collect();
        let (mut refunded, mut changed) = (Vec::new(), false);
        if !refunds.is_empty() {
            let through = self.index.catch_up(&self.engine)?;
            let record = merchant(&self.engine, batch.merchant)?;
            let suspended = record.is_none_or(|record| record.status == MerchantStatus::Suspended);
            (refunded, changed) = refunds::refund(&self.engine, batch.merchant, suspended, &refunds, through)?;
        }
        let mut refunded = refunded.into_iter();
        let results = batch.entries().iter().map(|entry| match entry {
            BatchEntry::Refund { .. } => Ok(refunded.next().unwrap_or(EntryResult::Refused(EntryRefusal::Unavailable))),
            BatchEntry::RenewCertificate { request } => {
                let before = merchant(&self.engine, batch.merchant)?;
                let result = self.renew(batch.merchant, request)?;
                changed |= merchant(&self.engine, batch.merchant)? != before;
                Ok(result)
            }
            BatchEntry::FetchCertificate => {
                let record = merchant(&self.engine, batch.merchant)?;
                Ok(certificate(record.as_ref()))
            }
            BatchEntry::FetchKeySet { held } => Ok(self.key_set(*held)),
            BatchEntry::FetchSettlement { cycle } => Ok(self.settlement(batch.merchant, *cycle)?),
            BatchEntry::FetchSettlementPage { cycle, page } => {
                let found = self.settlements.page(batch.merchant, *cycle, *page)?;
                let none = EntryResult::Refused(EntryRefusal::NoSettlement);
                Ok(found.map_or(none, EntryResult::SettlementPage))
            }
        });
        let results = results.collect::<Result<_, OrderError>>()?;
        Ok(CarriedOut { results, changed })
    }

    /// The checks of `tps merchant renew`; then the operator's approval, or, where the configuration trusts an unchanged name
    /// and desk key, the certificate at once. The same request again changes nothing.
    fn renew(&self, id: MerchantId, request: &[u8]) -> Result<EntryResult, OrderError> {
        let refused = |refusal| Ok(EntryResult::Refused(refusal));
        let Some(record) = merchant(&self.engine, id)? else { return refused(EntryRefusal::Unavailable) };
        if record.request != request {
            match self.registrar.renew(&record, request) {
                Ok(()) => {}
                Err(RenewalRefusal::BadRequest(_)) => return refused(EntryRefusal::BadRequest),
                Err(RenewalRefusal::OtherIdentity(_)) => return refused(EntryRefusal::OtherIdentity),
                Err(RenewalRefusal::Suspended(_)) => return refused(EntryRefusal::MerchantSuspended),
                Err(RenewalRefusal::Order(OrderError::KeyTaken(_))) => return refused(EntryRefusal::SessionKeyTaken),
                Err(RenewalRefusal::Order(error)) => return Err(error),
            }
        }
        let Some(record) = merchant(&self.engine, id)? else { return refused(EntryRefusal::Unavailable) };
        let wanted = self.renewals == Renewals::Automatic && record.certificate.is_empty();
        if wanted && record.status == MerchantStatus::Certified {
            return Ok(match self.registrar.certify(&record, RENEWED_DAYS) {
                Ok((certificate, _)) => EntryResult::Certificate(certificate),
                Err(error) => {
                    tracing::error!(%error, merchant = %id, "cannot certify a merchant's renewal");
                    EntryResult::Refused(EntryRefusal::AwaitingApproval)
                }
            });
        }
        Ok(certificate(Some(&record)))
    }

    fn key_set(&self, held: u64) -> EntryResult {
        match self.registrar.merchant_key_set(self.engine.now()) {
            Ok((number, _)) if number <= held => EntryResult::KeySetHeld,
            Ok((_, bytes)) => EntryResult::KeySet(bytes),
            Err(error) => {
                tracing::error!(%error, "the desk has no key set to give to a merchant");
                EntryResult::Refused(EntryRefusal::Unavailable)
            }
        }
    }

    fn settlement(&self, merchant: MerchantId, cycle: u64) -> Result<EntryResult, StoreError> {
        let found: Option<SettlementAnswer> = self.settlements.report(merchant, cycle)?;
        Ok(found.map_or(EntryResult::Refused(EntryRefusal::NoSettlement), EntryResult::Settlement))
    }
}

fn certificate(record: Option<&MerchantRecord>) -> EntryResult {
    match record {
        Some(record) if !record.certificate.is_empty() => EntryResult::Certificate(record.certificate.clone()),
        _ => EntryResult::Refused(EntryRefusal::AwaitingApproval),
    }
}
