//! What a merchant is charged and paid: pure arithmetic.

use protocol::money::{Asset, MoneyError, add};
use protocol::settlement::SettlementTotals;

/// Parts of a fee's share: 1 is a millionth.
const MILLION: i128 = 1_000_000;

/// Fees and payout unit of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeSchedule {
    /// Of what was credited, in millionths; rounded down.
    pub share_ppm: u32,
    /// For every payment, in smallest units.
    pub per_payment: i128,
    /// Payouts are multiples of this many smallest units; at least 1.
    pub payout_unit: i128,
}

impl Default for FeeSchedule {
    /// No fees, and payouts to the last unit.
    fn default() -> Self {
        Self { share_ppm: 0, per_payment: 0, payout_unit: 1 }
    }
}

/// What a cycle brought a merchant in one asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Number of payments.
    pub payments: u64,
    /// Their sum.
    pub credited: i128,
    /// Sum of refunds put through.
    pub refunded: i128,
    /// Sum of earlier payouts that came back.
    pub returned: i128,
}

/// Where the merchant stands when the cycle is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Left by the cycle before.
    pub carried: i128,
    /// What the ledger owes the merchant now: with later payments, less later refunds.
    pub accrued: i128,
    /// Whether it may be paid out.
    pub payable: bool,
}

impl FeeSchedule {
    /// What is charged for a turnover.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    fn fee(&self, turnover: &Turnover) -> Result<i128, MoneyError> {
        let overflow = MoneyError::Overflow;
        let share = turnover.credited.checked_mul(i128::from(self.share_ppm)).ok_or(overflow)? / MILLION;
        let fixed = self.per_payment.checked_mul(i128::from(turnover.payments)).ok_or(MoneyError::Overflow)?;
        add(share, fixed)
    }

    /// Closes a cycle in one asset. Fees are charged as far as there is money and never become a debt; a payout never takes more
    /// than the ledger owes, so that a refund after the cut-off is not paid out.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn close(
        &self,
        asset: Asset,
        turnover: &Turnover,
        standing: &Standing,
    ) -> Result<SettlementTotals, MoneyError> {
        let gained = add(add(standing.carried, turnover.credited)?, add(turnover.returned, -turnover.refunded)?)?;
        let there = gained.min(standing.accrued).max(0);
        let fees = self.fee(turnover)?.min(there);
        let payable = if standing.payable { there - fees } else { 0 };
        let unit = self.payout_unit.max(1);
        let mut totals = SettlementTotals {
            asset,
            payments: turnover.payments,
            carried_before: standing.carried,
            credited: turnover.credited,
            returned: turnover.returned,
            refunded: turnover.refunded,
            fees,
            payout: payable / unit * unit,
            carried_after: 0,
        };
        totals.carried_after = totals.remainder()?;
        Ok(totals)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FEES: FeeSchedule = FeeSchedule { share_ppm: 5_000, per_payment: 100, payout_unit: 10_000 };

    fn close(turnover: Turnover, standing: Standing) -> SettlementTotals {
        FEES.close(Asset::USD6, &turnover, &standing).unwrap()
    }

    #[test]
    fn remainders_below_the_unit_are_carried_over() {
        let turnover = Turnover { payments: 3, credited: 1_000_000, refunded: 0, returned: 0 };
        let first = close(turnover, Standing { carried: 0, accrued: 1_000_000, payable: true });
        assert_eq!((first.fees, first.payout, first.carried_after), (5_300, 990_000, 4_700));
        let second = close(Turnover::default(), Standing { carried: 4_700, accrued: 4_700, payable: true });
        assert_eq!((second.payout, second.carried_after), (0, 4_700));
        let third = Turnover { payments: 1, credited: 5_500, refunded: 0, returned: 0 };
        let third = close(third, Standing { carried: 4_700, accrued: 10_200, payable: true });
        assert_eq!((third.fees, third.payout, third.carried_after), (127, 10_000, 73));
    }

    #[test]
    fn what_was_refunded_after_the_cut_off_is_not_paid_out() {
        let turnover = Turnover { payments: 1, credited: 1_000_000, refunded: 0, returned: 0 };
        let totals = close(turnover, Standing { carried: 0, accrued: 0, payable: true });
        assert_eq!((totals.fees, totals.payout, totals.carried_after), (0, 0, 1_000_000));
        let next = Turnover { payments: 0, credited: 0, refunded: 1_000_000, returned: 0 };
        assert_eq!(close(next, Standing { carried: 1_000_000, accrued: 0, payable: true }).carried_after, 0);
    }

    #[test]
    fn a_suspended_merchant_is_charged_and_not_paid() {
        let turnover = Turnover { payments: 1, credited: 1_000_000, refunded: 0, returned: 0 };
        let totals = close(turnover, Standing { carried: 0, accrued: 1_000_000, payable: false });
        assert_eq!((totals.fees, totals.payout), (5_100, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_taken_that_is_not_there(
            share_ppm in 0..1_000_000u32, per_payment in 0..1_000i128, payout_unit in 1..100_000i128,
            payments in 0..1_000u64, credited in 0..1_000_000i128, refunded in 0..1_000_000i128,
            returned in 0..1_000_000i128,
            carried in -1_000_000..1_000_000i128, later in -1_000_000..1_000_000i128, payable: bool,
        ) {
            let fees = FeeSchedule { share_ppm, per_payment, payout_unit };
            let turnover = Turnover { payments, credited, refunded, returned };
            let accrued = (carried + credited + returned - refunded + later).max(0);
            let totals = fees.close(Asset::USD6, &turnover, &Standing { carried, accrued, payable }).unwrap();
            prop_assert!(totals.fees >= 0 && totals.payout >= 0 && totals.payout % payout_unit == 0);
            prop_assert!(totals.fees + totals.payout <= accrued);
            prop_assert_eq!(totals.remainder(), Ok(totals.carried_after));
            if payable && accrued > 0 && later >= 0 {
                prop_assert!(totals.carried_after < payout_unit, "whole units do not stay");
            }
        }
    }
}
