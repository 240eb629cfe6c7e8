//! Problem reports: filed by customers through the VRU and by jobs that found something, read by the operator.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ids::InstrumentId;
use protocol::time::Timestamp;

use crate::store::desk::{DeskKind, DeskRecord};
use crate::store::{Reader, StoreError};

/// Smallest number of a report, so that all have the same digits.
const NUMBER_MIN: u64 = 10_000_000;
/// Numbers from [`NUMBER_MIN`] on.
const NUMBERS: u64 = 90_000_000;
/// Longest note or text of a report, in bytes.
pub const TEXT_BYTES_MAX: usize = 512;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ReportReason {
    /// A payment that the customer does not know.
    UnknownPayment = 1,
    /// Count or balance differ from what the client shows.
    ReadingsDiffer = 2,
    /// The machine with the client is lost or stolen.
    MachineLost = 3,
    /// Goods or a merchant.
    Merchant = 4,
    /// Something else; the operator asks.
    Other = 5,
    /// Too many wrong passcodes locked an access to the VRU.
    AccessLocked = 6,
    /// A job of the server found something; the text says what.
    Finding = 7,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// Random, eight digits: what the customer and the operator call it.
    pub number: u64,
    /// What it is about.
    pub reason: ReportReason,
    /// Which instrument, where it concerns one.
    pub instrument: Option<InstrumentId>,
    /// What was found, where a job filed it; never a secret.
    pub text: String,
    /// When it was filed.
    pub filed_at: Timestamp,
    /// When the operator closed it, and with which note.
    pub closed: Option<Closed>,
}

/// The end of a report.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// The operator's note.
    pub note: String,
}

impl DeskRecord for Report {
    const KIND: DeskKind = DeskKind::Report;
    type Key = [u8; 8];

    fn key(&self) -> Self::Key {
        self.number.to_be_bytes()
    }
}

impl Report {
    /// A new report under a number that no other has; `draw` gives random bytes. It is filed when its entry is committed.
    ///
    /// # Errors
    /// Those of `draw` and of the store.
    pub fn new<E: From<StoreError>>(
        reader: &dyn Reader,
        reason: ReportReason,
        instrument: Option<InstrumentId>,
        text: String,
        filed_at: Timestamp,
        draw: &mut impl FnMut() -> Result<[u8; 8], E>,
    ) -> Result<Self, E> {
        loop {
            let number = NUMBER_MIN + u64::from_le_bytes(draw()?) % NUMBERS;
            if Self::read(reader, &number.to_be_bytes())?.is_none() {
                return Ok(Self { number, reason, instrument, text, filed_at, closed: None });
            }
        }
    }

    /// What a job found, under a number that follows from the text: `None` where the same was filed before, so that a job which
    /// does a step again files nothing twice.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn finding(
        reader: &dyn Reader,
        instrument: InstrumentId,
        text: String,
        filed_at: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let mut numbers = blake3::Hasher::new().update(text.as_bytes()).finalize_xof();
        let mut next = || {
            let mut bytes = [0; 8];
            numbers.fill(&mut bytes);
            NUMBER_MIN + u64::from_le_bytes(bytes) % NUMBERS
        };
        loop {
            let number = next();
            match Self::read(reader, &number.to_be_bytes())? {
                Some(report) if report.text == text => return Ok(None),
                Some(_) => {}
                None => {
                    let (reason, instrument) = (ReportReason::Finding, Some(instrument));
                    return Ok(Some(Self { number, reason, instrument, text, filed_at, closed: None }));
                }
            }
        }
    }
}
