//! The merchant's side of the desk: one signed batch of everything that waits, its answer, and what follows from it (K-16).
//!
//! Every step can be repeated, and the process may end between any two: a batch is durable before it is sent and stays the
//! same until it is answered, refunds have names that the TPS applies once, and an answer counts when everything that it brings
//! is in place.

#[cfg(feature = "desk-client")]
pub mod client;
pub mod settlements;

use std::path::Path;

use protocol::certificate::CertificateRequest;
use protocol::codec::{Canonical, DecodeError};
use protocol::desk::{
    AnswerError, BatchEntry, DescriptionError, DeskAnswer, DeskBatch, DeskDescription, DeskErrorCode, EntryRefusal,
    EntryResult,
};
use protocol::ids::{DeskBatchId, MerchantId};
use protocol::key_set::KeySetError;
use protocol::limits::DESK_BATCH_ENTRIES_MAX;
use protocol::session::AgreementSecret;
use protocol::settlement::SettlementError;
use protocol::time::Timestamp;

use crate::home::{Home, HomeError};
use crate::store::{Refund, RefundOutcome, Store, StoreError, StoredBatch};
use crate::{clock, crash};

/// Refunds in one batch: the other entries need room, too.
const REFUNDS_PER_BATCH_MAX: usize = DESK_BATCH_ENTRIES_MAX - 4;
/// Batches of one synchronisation; what still waits then goes with the next.
const BATCHES_MAX: usize = 64;

/// Why a batch got no answer. It waits, and can be sent again.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No address of the desk answers.
    #[error("the TPS's desk cannot be reached: {0}; the batch waits, run `mts desk sync` again later")]
    Unreachable(String),
    /// The pinned certificate is no certificate.
    #[error("the desk's TLS certificate is unusable: {0}; get the description again and run `mts desk use FILE`")]
    Certificate(String),
    /// The whole batch was refused.
    #[error("the TPS's desk took nothing of the batch: {0}")]
    Refused(DeskErrorCode),
    /// Something that is neither an answer nor an error.
    #[error("what answered is not the TPS's desk ({0}): check the addresses with the operator")]
    Strange(String),
}

/// Why the desk did not get or give what it should.
#[derive(Debug, thiserror::Error)]
pub enum DeskFailure {
    /// The merchant's directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The orders.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Who the merchant is stands in its certificate.
    #[error("this merchant has no certificate yet: import the one that the TPS's operator issued")]
    NotCertified,
    /// The batch cannot be made.
    #[error("the batch cannot be made: {0}")]
    Batch(#[from] DecodeError),
    /// Not sent, or not answered.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The description.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// A settlement report.
    #[error(transparent)]
    Settlement(#[from] SettlementError),
    /// There is nothing to answer.
    #[error("no batch waits for an answer: make one with `mts desk sync` or `mts desk batch FILE`")]
    NothingOpen,
}

/// What a batch and its answer brought.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct DeskReport {
    /// Refunds that were put through.
    pub put_through: usize,
    /// Refunds that wait, because the TPS could not put them through yet.
    pub waiting: usize,
    /// Refunds that the TPS will not put through.
    pub not_put_through: usize,
    /// Number of a newer key set that was pinned.
    pub key_set: Option<u64>,
    /// Serial of a newer certificate that was installed.
    pub certificate: Option<u64>,
    /// Numbers of the settlement cycles whose reports were fetched.
    pub settlements: Vec<u64>,
    /// What did not go as it should, in words.
    pub remarks: Vec<String>,
    /// What refunds wait for, in words.
    pub waits: Vec<String>,
}

impl DeskReport {
    /// Adds what a later batch brought: it asked again for what waited.
    fn add(&mut self, later: Self) {
        self.put_through += later.put_through;
        self.waiting = later.waiting;
        self.not_put_through += later.not_put_through;
        self.key_set = later.key_set.or(self.key_set);
        self.certificate = later.certificate.or(self.certificate);
        self.remarks.extend(later.remarks);
        self.waits = later.waits;
    }
}

/// A merchant at the desk.
#[derive(Debug)]
pub struct DeskClerk<'a> {
    home: &'a Home,
    store: &'a Store,
}

impl<'a> DeskClerk<'a> {
    /// For the merchant of a directory and its orders.
    pub fn new(home: &'a Home, store: &'a Store) -> Self {
        Self { home, store }
    }

    /// The batch that waits for its answer, or a new one of everything that waits; whether it is new.
    ///
    /// # Errors
    /// [`DeskFailure`].
    pub fn batch(&self, now: Timestamp) -> Result<(DeskBatch, bool), DeskFailure> {
        // Asked before: the store is locked while a batch is made.
        let merchant = self.merchant(now);
        let stored = self.store.batch_to_send(now, |refunds| self.made(merchant?, refunds, now));
        let (stored, new) = stored?;
        crash::point("desk-batch-stored");
        Ok((DeskBatch::decode(&stored.bytes)?, new))
    }

    fn made(&self, merchant: MerchantId, refunds: &[Refund], now: Timestamp) -> Result<StoredBatch, DeskFailure> {
        // One that is too old still names the TPS; the answer brings a newer one, and the certificate's turn comes then.
        let keys = self.home.key_set_of_any_age()?;
        let renewal = if keys.check_age(now).is_ok() { self.renewal(now)? } else { None };
        let refunds = refunds.iter().take(REFUNDS_PER_BATCH_MAX);
        let mut entries: Vec<BatchEntry> =
            refunds.map(|refund| BatchEntry::Refund { order: refund.order, number: refund.number }).collect();
        entries.extend(renewal.map(|request| BatchEntry::RenewCertificate { request }));
        entries.push(BatchEntry::FetchKeySet { held: keys.number() });
        entries.push(BatchEntry::FetchCertificate);
        let id = DeskBatchId(clock::random());
        let batch = DeskBatch::new(keys.realm(), merchant, id, now, entries, &self.home.desk_key()?)?;
        Ok(StoredBatch { id, bytes: batch.encode() })
    }

    /// Who we are: the certificates say it, and after they have expired the batches that we made.
    fn merchant(&self, now: Timestamp) -> Result<MerchantId, DeskFailure> {
        let keys = self.home.key_set(now);
        if let Ok(keys) = &keys
            && let Some(key) = self.home.certified_keys(keys, now)?.first()
        {
            return Ok(key.certificate.merchant());
        }
        let latest = self.store.latest_batch()?;
        match latest.and_then(|batch| DeskBatch::decode(&batch.bytes).ok()) {
            Some(batch) => Ok(batch.merchant),
            None => Err(keys.map_or_else(DeskFailure::from, |_| DeskFailure::NotCertified)),
        }
    }

    /// The request to renew with: the one that is pending, or a new one when two thirds of the newest certificate's time are over.
    fn renewal(&self, now: Timestamp) -> Result<Option<Vec<u8>>, DeskFailure> {
        let certified = self.home.certified_keys(&self.home.key_set(now)?, now)?;
        let newest = certified.first().map(|key| &key.certificate);
        if let Some(pending) = self.home.pending_request()?
            && certified.iter().all(|key| *key.certificate.session() != pending.session)
        {
            return Ok(Some(pending.encode()));
        }
        let due = newest.is_none_or(|certificate| {
            let life_ms = certificate.valid_until().since(certificate.valid_from());
            now.since(certificate.valid_from()) >= life_ms / 3 * 2
        });
        if !due {
            return Ok(None);
        }
        let request: CertificateRequest =
            self.home.request_certificate(AgreementSecret::from_random(clock::random()))?;
        Ok(Some(request.encode()))
    }

    /// Takes the answer to the batch that waits: checks it, puts key set and certificate in place, and then keeps it with what it
    /// says of refunds.
    ///
    /// # Errors
    /// [`DeskFailure`]; the batch still waits then.
    pub fn answered(&self, bytes: &[u8], now: Timestamp) -> Result<DeskReport, DeskFailure> {
        let open = self.store.open_batch()?.ok_or(DeskFailure::NothingOpen)?;
        let batch = DeskBatch::decode(&open.bytes)?;
        let answer = DeskAnswer::decode(bytes).map_err(AnswerError::from)?;
        let mut report = DeskReport::default();
        let keys = self.home.key_set(now).map_err(DeskFailure::from);
        match keys.and_then(|keys| Ok(answer.verify(&batch, &keys)?)) {
            // The pinned set is too old, or does not know the desk's new key. The root signed the one in the answer.
            Err(
                DeskFailure::Home(HomeError::KeySetTooOld(_))
                | DeskFailure::Answer(AnswerError::Key(KeySetError::UnknownKey(_))),
            ) => {
                self.take_key_set(&answer, now, &mut report);
                answer.verify(&batch, &self.home.key_set(now)?)?;
            }
            verified => {
                verified?;
                self.take_key_set(&answer, now, &mut report);
            }
        }
        self.take_certificate(&answer, now, &mut report)?;
        crash::point("desk-answer-in-place");
        let mut outcomes = Vec::new();
        for (entry, result) in batch.entries().iter().zip(answer.results()) {
            match (entry, result) {
                (BatchEntry::Refund { order, .. }, EntryResult::Refunded(totals)) => {
                    report.put_through += 1;
                    outcomes.push(RefundOutcome { order: *order, result: Ok(totals.clone()) });
                }
                (BatchEntry::Refund { order, number }, EntryResult::Refused(refusal)) => {
                    let (count, texts) = if refusal.is_transient() {
                        (&mut report.waiting, &mut report.waits)
                    } else {
                        (&mut report.not_put_through, &mut report.remarks)
                    };
                    *count += 1;
                    texts.push(format!("refund of {number}: {refusal}"));
                    outcomes.push(RefundOutcome { order: *order, result: Err(*refusal) });
                }
                (BatchEntry::RenewCertificate { .. }, EntryResult::Refused(refusal)) => {
                    report.remarks.push(format!("renewal of the certificate: {refusal}"));
                }
                _ => {}
            }
        }
        self.store.answered(open.id, bytes, &outcomes, now)?;
        Ok(report)
    }

    fn take_key_set(&self, answer: &DeskAnswer, now: Timestamp, report: &mut DeskReport) {
        for result in answer.results() {
            match result {
                EntryResult::KeySet(bytes) => match self.home.import_key_set(bytes, now) {
                    Ok(set) => report.key_set = Some(set.number()),
                    Err(error) => report.remarks.push(format!("the key set in the answer: {error}")),
                },
                EntryResult::Refused(EntryRefusal::Unavailable) => {
                    report.remarks.push("the TPS could not do everything at the moment".to_owned());
                }
                _ => {}
            }
        }
    }

    fn take_certificate(
        &self,
        answer: &DeskAnswer,
        now: Timestamp,
        report: &mut DeskReport,
    ) -> Result<(), DeskFailure> {
        let known = self.home.certified_keys(&self.home.key_set(now)?, now)?;
        for result in answer.results() {
            let EntryResult::Certificate(bytes) = result else { continue };
            if known.iter().any(|key| key.certificate.certificate().encode() == *bytes) {
                continue;
            }
            match self.home.import_certificate(bytes, now) {
                Ok(certificate) => report.certificate = Some(certificate.serial()),
                // The money matters more than a certificate that cannot be used.
                Err(error @ (HomeError::File { .. } | HomeError::Permissions { .. })) => return Err(error.into()),
                Err(error) => report.remarks.push(format!("the certificate in the answer: {error}")),
            }
        }
        Ok(())
    }

    /// Keeps how the desk is reached, once the pinned key set vouches for it.
    ///
    /// # Errors
    /// [`DeskFailure`].
    pub fn use_description(&self, file: &Path, now: Timestamp) -> Result<DeskDescription, DeskFailure> {
        let bytes = std::fs::read(file).map_err(|source| HomeError::File { path: file.to_owned(), source })?;
        let description = DeskDescription::decode(&bytes).map_err(DescriptionError::from)?;
        description.verify(&self.home.key_set(now)?)?;
        self.home.keep_desk_description(&bytes)?;
        Ok(description)
    }

    /// Hands in everything that waits and takes what comes back, until nothing waits that was not handed in.
    ///
    /// # Errors
    /// [`DeskFailure`]; what was handed in waits for its answer, and doing this again goes on where it stopped.
    pub fn synchronise(
        &self,
        send: impl Fn(&DeskDescription, &DeskBatch) -> Result<Vec<u8>, SendError>,
    ) -> Result<DeskReport, DeskFailure> {
        let description = self.home.desk_description()?;
        let mut report = DeskReport::default();
        for _ in 0..BATCHES_MAX {
            let outdated = self.home.key_set(clock::now()).is_err();
            let (batch, new) = self.batch(clock::now())?;
            let answer = send(&description, &batch)?;
            crash::point("desk-answer-received");
            report.add(self.answered(&answer, clock::now())?);
            let refunds = batch.entries().iter().filter(|entry| matches!(entry, BatchEntry::Refund { .. })).count();
            // An older batch did not hold what came since; a full one not what had no room; one under an outdated key set no renewal.
            if new && !outdated && refunds < REFUNDS_PER_BATCH_MAX {
                break;
            }
        }
        // What was put through is told, whatever becomes of the reports.
        match self.fetch_settlements(send) {
            Ok(cycles) => report.settlements = cycles,
            Err(error) => report.remarks.push(format!("settlement reports: {error}")),
        }
        Ok(report)
    }
}
