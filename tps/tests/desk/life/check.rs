//! Everything that the TPS has and holds, compared with the reference.

use std::collections::BTreeMap;

use protocol::ids::{AccountId, InstrumentId};
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::response::Reason;
use tps::desk::records::RefundedRecord;
use tps::store::desk::DeskRecord;

use super::Life;
use crate::common::total;
use crate::world::SHOP;

impl Life {
    pub(super) fn check(&self) {
        let (world, reference) = (self.world(), &self.reference);
        assert_eq!(total(&world.engine), 0, "money was lost or invented");
        let accounts = world.engine.read(|book| book.accounts().collect::<Vec<_>>()).concat();
        let found: BTreeMap<AccountId, (i128, bool)> =
            accounts.iter().map(|account| (account.id, (account.balance, account.held))).collect();
        let expected =
            reference.accounts.iter().map(|(id, units)| (*id, (*units, reference.held_accounts.contains(id))));
        assert_eq!(found, expected.collect());
        let sum = |party: Party| world.engine.read(move |book| book.balance(party, Asset::USD6)).iter().sum::<i128>();
        assert_eq!(
            (world.accrued(), sum(Party::Fees), sum(Party::Funding)),
            (reference.shop, reference.fees, reference.outside)
        );
        for (id, known) in &reference.instruments {
            let id = *id;
            let instrument = world.engine.read(move |book| book.instrument(id)).into_iter().flatten().next().unwrap();
            assert_eq!(instrument.state.last_count, known.last_count);
            assert_eq!((instrument.held, instrument.revoked), (known.held, known.revoked));
            assert_eq!(instrument.state.pin_failures, known.failures);
            assert_eq!(instrument.state.current, known.current());
        }
        self.check_log();
    }

    /// The log has every consumed transaction and every payment, and the marks of refunds stand at what was given back.
    fn check_log(&self) {
        let (reader, reference) = (self.world().engine.reader(), &self.reference);
        let (mut counts, mut paid) = (BTreeMap::<InstrumentId, u64>::new(), Vec::new());
        reader
            .for_each_payment(&mut |_, record| {
                *counts.entry(record.instrument).or_default() += 1;
                if record.reason == Reason::Paid {
                    let account = reference.instruments[&record.instrument].account;
                    paid.push((account, record.number.0[0], record.amount.units()));
                }
            })
            .unwrap();
        let known = reference.instruments.iter().map(|(id, known)| (*id, known.last_count));
        assert_eq!(counts, known.filter(|(_, count)| *count > 0).collect());
        let payments = &reference.payments;
        let mut expected: Vec<_> =
            payments.iter().map(|payment| (payment.account, payment.number, payment.units)).collect();
        paid.sort_unstable();
        expected.sort_unstable();
        assert_eq!(paid, expected);

        let mut refunds: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        for mark in RefundedRecord::all(&**reader, &[]).unwrap() {
            let payment = reader.outcome(mark.place.into()).unwrap().payment;
            assert_eq!((mark.merchant, payment.reason), (SHOP, Reason::Paid));
            refunds.entry(mark.order.0[0]).or_default().push(payment.amount.units());
        }
        refunds.values_mut().for_each(|units| units.sort_unstable());
        assert_eq!(refunds, reference.refunds());
    }
}
