//! What becomes of a refund order: a pure decision.

use std::collections::BTreeMap;

use protocol::desk::{EntryRefusal, RefundedTotal};
use protocol::money::Asset;

use super::records::PairRecord;

/// What the merchant is owed that no accepted refund has taken yet, by asset.
pub(super) type Accrued = BTreeMap<Asset, i128>;

/// A payment of the pair, and whether it was given back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) payment: PairRecord,
    pub(super) refunded: bool,
}

/// Decides a refund of every payment in `found` that was not given back, and takes what it needs out of `accrued`.
///
/// # Errors
/// The reason of the refusal; `accrued` is as it was.
pub(super) fn decide(
    suspended: bool,
    found: &[Found],
    accrued: &mut Accrued,
) -> Result<Vec<RefundedTotal>, EntryRefusal> {
    if suspended {
        return Err(EntryRefusal::MerchantSuspended);
    }
    if found.is_empty() {
        return Err(EntryRefusal::NothingPaid);
    }
    let totals = totals(found.iter().filter(|found| !found.refunded).map(|found| &found.payment));
    if totals.is_empty() {
        return Err(EntryRefusal::NothingLeft);
    }
    let owed = |asset: Asset| accrued.get(&asset).copied().unwrap_or(0);
    // Amounts are below 10^15: sums of all payments ever made fit.
    if totals.iter().any(|total| i128::try_from(total.units).map_or(true, |units| units > owed(total.asset))) {
        return Err(EntryRefusal::TooLittleAccrued);
    }
    for total in &totals {
        *accrued.entry(total.asset).or_insert(0) -= total.units as i128;
    }
    Ok(totals)
}

/// The sums of payments by asset.
pub(super) fn totals<'a>(payments: impl Iterator<Item = &'a PairRecord>) -> Vec<RefundedTotal> {
    let mut sums: BTreeMap<Asset, u128> = BTreeMap::new();
    for payment in payments {
        *sums.entry(payment.asset).or_insert(0) += u128::from(payment.amount.units());
    }
    sums.into_iter().map(|(asset, units)| RefundedTotal { asset, units }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::records::StoredPlace;
    use protocol::ids::{InstrumentId, MerchantId, TransactionNumber};
    use protocol::money::Amount;

    const EUR: Asset = Asset(*b"EUR2\0\0\0\0");

    fn found(asset: Asset, units: u64, refunded: bool) -> Found {
        let payment = PairRecord {
            merchant: MerchantId([1; 16]),
            number: TransactionNumber([2; 16]),
            place: StoredPlace::default(),
            instrument: InstrumentId([3; 16]),
            asset,
            amount: Amount::new(units).unwrap(),
        };
        Found { payment, refunded }
    }

    #[test]
    fn everything_not_given_back_goes_back_whatever_the_amounts() {
        let mut accrued = Accrued::from([(Asset::USD6, 100), (EUR, 7)]);
        let pair = [found(Asset::USD6, 10, false), found(Asset::USD6, 90, false), found(EUR, 7, false)];
        let totals = decide(false, &pair, &mut accrued).unwrap();
        assert_eq!(
            totals.iter().map(|total| (total.asset, total.units)).collect::<Vec<_>>(),
            [(EUR, 7), (Asset::USD6, 100)]
        );
        assert!(accrued.values().all(|left| *left == 0));
    }

    #[test]
    fn refusals_take_nothing() {
        let mut accrued = Accrued::from([(Asset::USD6, 99), (EUR, 7)]);
        let before = accrued.clone();
        let pair = [found(EUR, 7, false), found(Asset::USD6, 100, false)];
        assert_eq!(decide(false, &pair, &mut accrued), Err(EntryRefusal::TooLittleAccrued));
        assert_eq!(decide(true, &pair, &mut accrued), Err(EntryRefusal::MerchantSuspended));
        assert_eq!(decide(false, &[], &mut accrued), Err(EntryRefusal::NothingPaid));
        assert_eq!(decide(false, &[found(EUR, 7, true)], &mut accrued), Err(EntryRefusal::NothingLeft));
        assert_eq!(accrued, before);
    }
}
