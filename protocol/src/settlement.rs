//! Settlement (K-105): what a merchant was credited in a cycle, payment by payment, and what became of the money. The TPS signs the
//! report; its pages list the payments, so that one whose proof was never presented shows up.
//!
//! Nothing in it depends on who paid.

use crate::codec::{Canonical, DecodeError, check_version};
use crate::hash::{Purpose, tagged};
use crate::ids::{Digest, KeyId, MerchantId, PaymentId, QuoteDigest, RealmId, RefundOrderId, TransactionNumber};
use crate::key_set::{KeyRole, KeySetError, PinnedKeySet, key_id};
use crate::limits::{
    PROTOCOL_VERSION, SETTLEMENT_PAGE_BYTES_MAX, SETTLEMENT_PAGE_LINES_MAX, SETTLEMENT_PAGES_MAX,
    SETTLEMENT_REPORT_BYTES_MAX, SUITE,
};
use crate::money::{Amount, Asset, MoneyError, add};
use crate::signature::{DeskRole, Domain, Signed, SigningKey};
use crate::time::Timestamp;

/// A payment that was credited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize)]
pub struct SettledPayment {
    /// Names the payment, as its proof does.
    pub payment: PaymentId,
    /// The merchant's number.
    pub number: TransactionNumber,
    /// Digest of the quote that the customer paid.
    pub quote_digest: QuoteDigest,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// When.
    pub batch_time: Timestamp,
}

/// A refund that was put through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize)]
pub struct SettledRefund {
    /// The merchant's name of the refund.
    pub order: RefundOrderId,
    /// The merchant's number.
    pub number: TransactionNumber,
    /// Sum of what went back, in smallest units.
    pub units: u128,
    /// Of what.
    pub asset: Asset,
    /// When.
    pub refunded_at: Timestamp,
}

/// A page of a report: the lines of a cycle in their order. Encoding: borsh, fields in this order.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct SettlementPage {
    version: u8,
    suite: u8,
    /// The installation.
    pub realm: RealmId,
    /// Whose.
    pub merchant: MerchantId,
    /// Which cycle.
    pub cycle: u64,
    /// Number of the page, from 0.
    pub page: u32,
    /// Payments, oldest first.
    pub payments: Vec<SettledPayment>,
    /// Refunds, in the order of their names.
    pub refunds: Vec<SettledRefund>,
}

impl SettlementPage {
    /// A page.
    pub fn new(realm: RealmId, merchant: MerchantId, cycle: u64, page: u32) -> Self {
        let (payments, refunds) = (Vec::new(), Vec::new());
        Self { version: PROTOCOL_VERSION, suite: SUITE, realm, merchant, cycle, page, payments, refunds }
    }

    /// Number of lines.
    pub fn lines(&self) -> usize {
        self.payments.len() + self.refunds.len()
    }

    /// What the report holds of the page.
    pub fn digest(&self) -> Digest {
        Digest(tagged(Purpose::SETTLEMENT_PAGE, &self.encode()))
    }
}

impl Canonical for SettlementPage {
    const NAME: &'static str = "settlement page";
    const BYTES_MAX: usize = SETTLEMENT_PAGE_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        let wrong = |field| DecodeError::Field { what: Self::NAME, field };
        if self.lines() == 0 || self.lines() > SETTLEMENT_PAGE_LINES_MAX {
            return Err(wrong("lines"));
        }
        if self.payments.iter().any(|line| !line.amount.is_valid() || !line.asset.is_valid()) {
            return Err(wrong("payment"));
        }
        if self.refunds.iter().any(|line| line.units == 0 || !line.asset.is_valid()) {
            return Err(wrong("refund"));
        }
        Ok(())
    }
}

/// What a cycle came to in one asset, in smallest units:
/// `carried_before + credited + returned - refunded - fees - payout = carried_after`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize)]
pub struct SettlementTotals {
    /// The asset.
    pub asset: Asset,
    /// Number of payments.
    pub payments: u64,
    /// What was left from the cycle before; negative where more was refunded than was there.
    pub carried_before: i128,
    /// Sum of the payments.
    pub credited: i128,
    /// Payouts of earlier cycles that did not arrive.
    pub returned: i128,
    /// Sum of the refunds.
    pub refunded: i128,
    /// What the operator charged.
    pub fees: i128,
    /// What is paid out.
    pub payout: i128,
    /// What is left for the next cycle: less than a payout's unit, or what could not be paid out.
    pub carried_after: i128,
}

impl SettlementTotals {
    /// What the equation gives for `carried_after`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn remainder(&self) -> Result<i128, MoneyError> {
        let gained = add(add(add(self.carried_before, self.credited)?, self.returned)?, -self.refunded)?;
        add(add(gained, -self.fees)?, -self.payout)
    }

    fn is_sound(&self) -> bool {
        let parts = [self.credited, self.returned, self.refunded, self.fees, self.payout];
        parts.iter().all(|part| *part >= 0) && self.remainder() == Ok(self.carried_after)
    }
}

/// The report of one merchant and cycle. Encoding: borsh, fields in this order; the signature covers all before it.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct SettlementReport {
    version: u8,
    suite: u8,
    /// The installation.
    pub realm: RealmId,
    /// Whose.
    pub merchant: MerchantId,
    /// Number of the cycle, from 1.
    pub cycle: u64,
    /// Payments from this time on ...
    pub from: Timestamp,
    /// ... and before this time.
    pub until: Timestamp,
    /// Per asset, in the order of codes.
    pub totals: Vec<SettlementTotals>,
    /// Digests of the pages.
    pub pages: Vec<Digest>,
    /// The key that signed.
    pub key: KeyId,
    signature: [u8; 64],
}

/// Why a settlement report is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// Not well formed.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Another installation or merchant.
    #[error("the settlement report is for another merchant or TPS")]
    NotOurs,
    /// The signing key is unknown, revoked or past its time.
    #[error("the settlement report's signer is not trusted: {0}; refresh the key set with `mts desk sync`")]
    Signer(#[from] KeySetError),
    /// The signature does not hold.
    #[error("the settlement report is forged or altered: its signature does not hold")]
    BadSignature,
    /// The pages are not those of the report.
    #[error(
        "page {0} of the settlement report is missing or altered: remove the report's directory, if it is here, and fetch it again with `mts desk sync`; if that does not help, tell the operator"
    )]
    Page(u32),
    /// The pages do not add up to the totals.
    #[error("the pages of the settlement report do not add up to its totals in {0}: tell the operator")]
    Totals(Asset),
    /// The report of another cycle than was asked for.
    #[error("the settlement report of cycle {got} came in answer to the question for cycle {asked}: tell the operator")]
    OtherCycle {
        /// Asked for.
        asked: u64,
        /// Received.
        got: u64,
    },
}

/// What a report says, before it is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettlementTerms {
    /// The installation.
    pub realm: RealmId,
    /// Whose.
    pub merchant: MerchantId,
    /// Number of the cycle.
    pub cycle: u64,
    /// See [`SettlementReport::from`].
    pub from: Timestamp,
    /// See [`SettlementReport::until`].
    pub until: Timestamp,
    /// Per asset, in the order of codes.
    pub totals: Vec<SettlementTotals>,
    /// Digests of the pages.
    pub pages: Vec<Digest>,
}

impl SettlementReport {
    /// Signs a report.
    ///
    /// # Errors
    /// [`DecodeError`] where the totals do not add up, or there are too many pages.
    pub fn sign(terms: SettlementTerms, key: &SigningKey<DeskRole>) -> Result<Self, DecodeError> {
        let SettlementTerms { realm, merchant, cycle, from, until, totals, pages } = terms;
        let report = Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm,
            merchant,
            cycle,
            from,
            until,
            totals,
            pages,
            key: key_id(KeyRole::Desk, &key.public()),
            signature: [0; 64],
        };
        report.signed(key)
    }

    /// Checks addressee, signer and signature. The signing key may since have left its validity, but not the pinned set.
    ///
    /// # Errors
    /// [`SettlementError`].
    pub fn verify(&self, merchant: MerchantId, keys: &PinnedKeySet) -> Result<(), SettlementError> {
        if self.realm != keys.realm() || self.merchant != merchant {
            return Err(SettlementError::NotOurs);
        }
        let entry = keys.keys().iter().find(|entry| entry.role == KeyRole::Desk && entry.id == self.key);
        let signer = keys.key(KeyRole::Desk, self.key, entry.map_or(self.until, |entry| entry.valid_from))?;
        self.verify_signature(&signer.public).map_err(|_| SettlementError::BadSignature)
    }

    /// Checks that `pages` are the report's, all of them, and add up to its totals.
    ///
    /// # Errors
    /// [`SettlementError::Page`], [`SettlementError::Totals`].
    pub fn check_pages(&self, pages: &[SettlementPage]) -> Result<(), SettlementError> {
        for (number, digest) in (0..).zip(&self.pages) {
            let page = pages.get(number as usize).filter(|page| page.page == number && page.digest() == *digest);
            page.ok_or(SettlementError::Page(number))?;
        }
        if pages.len() != self.pages.len() {
            return Err(SettlementError::Page(self.pages.len() as u32));
        }
        let lines = pages.iter().flat_map(|page| &page.payments);
        let refunds = pages.iter().flat_map(|page| &page.refunds);
        let known = |asset: Asset| self.totals.iter().any(|totals| totals.asset == asset);
        let assets = lines.clone().map(|line| line.asset).chain(refunds.clone().map(|line| line.asset));
        if let Some(asset) = assets.into_iter().find(|asset| !known(*asset)) {
            return Err(SettlementError::Totals(asset));
        }
        for totals in &self.totals {
            let wrong = || SettlementError::Totals(totals.asset);
            let (mut number, mut credited) = (0u64, 0i128);
            for line in lines.clone().filter(|line| line.asset == totals.asset) {
                number += 1;
                credited = add(credited, line.amount.signed()).map_err(|_| wrong())?;
            }
            let mut refunded = 0i128;
            for line in refunds.clone().filter(|line| line.asset == totals.asset) {
                let units = i128::try_from(line.units).map_err(|_| wrong())?;
                refunded = add(refunded, units).map_err(|_| wrong())?;
            }
            if (number, credited, refunded) != (totals.payments, totals.credited, totals.refunded) {
                return Err(wrong());
            }
        }
        Ok(())
    }
}

impl Signed for SettlementReport {
    type Signer = DeskRole;
    const DOMAIN: Domain<DeskRole> = Domain::SETTLEMENT_REPORT;

    fn signature_mut(&mut self) -> &mut [u8; 64] {
        &mut self.signature
    }
}

impl Canonical for SettlementReport {
    const NAME: &'static str = "settlement report";
    const BYTES_MAX: usize = SETTLEMENT_REPORT_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        let wrong = |field| DecodeError::Field { what: Self::NAME, field };
        if self.cycle == 0 || self.from >= self.until {
            return Err(wrong("cycle"));
        }
        let ordered = self.totals.windows(2).all(|pair| pair[0].asset.0 < pair[1].asset.0);
        if !ordered || self.totals.len() > 64 || self.totals.iter().any(|totals| !totals.asset.is_valid()) {
            return Err(wrong("assets"));
        }
        if !self.totals.iter().all(SettlementTotals::is_sound) {
            return Err(wrong("totals"));
        }
        if self.pages.len() > SETTLEMENT_PAGES_MAX {
            return Err(wrong("pages"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
