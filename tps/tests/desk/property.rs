//! Random payments, refunds, replays and restarts against a reference ledger of a few lines.

use std::collections::HashMap;

use proptest::prelude::*;
use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskBatch, EntryRefusal, EntryResult};
use protocol::ids::{DeskBatchId, RefundOrderId, TransactionNumber};
use tps::desk::Renewals;
use tps::pipeline::clock::wall_clock;
use tps::store::crash::CrashDisk;

use crate::world::*;

const CUSTOMERS: usize = 3;
const FUNDS: i128 = 10_000;

#[derive(Debug, Clone)]
enum Step {
    Pay {
        customer: usize,
        pair: u8,
        units: u64,
    },
    Refund {
        pairs: Vec<u8>,
    },
    /// An earlier batch once more.
    Replay {
        batch: usize,
    },
    /// An earlier order in a new batch.
    Reorder {
        order: usize,
    },
    Idle,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CUSTOMERS, 0..3u8, 1..40u64).prop_map(|(customer, pair, units)| Step::Pay { customer, pair, units }),
        3 => prop::collection::vec(0..3u8, 1..4).prop_map(|pairs| Step::Refund { pairs }),
        1 => (0..8usize).prop_map(|batch| Step::Replay { batch }),
        1 => (0..8usize).prop_map(|order| Step::Reorder { order }),
        1 => Just(Step::Idle),
        1 => Just(Step::Restart),
    ]
}

/// What should be.
#[derive(Default)]
struct Reference {
    balances: [i128; CUSTOMERS],
    /// Payments not given back, by pair.
    open: HashMap<u8, Vec<(usize, u64)>>,
    ever: HashMap<u8, bool>,
    orders: Vec<(RefundOrderId, u8, EntryResult)>,
    batches: Vec<(DeskBatch, Vec<u8>)>,
}

impl Reference {
    fn refund(&mut self, order: RefundOrderId, pair: u8) -> EntryResult {
        if let Some((_, _, result)) = self.orders.iter().find(|(known, ..)| *known == order) {
            return result.clone();
        }
        let payments = self.open.remove(&pair).unwrap_or_default();
        let units = payments.iter().map(|(_, units)| units).sum();
        for (customer, units) in payments {
            self.balances[customer] += i128::from(units);
        }
        match (units, self.ever.contains_key(&pair)) {
            (0, true) => EntryResult::Refused(EntryRefusal::NothingLeft),
            (0, false) => EntryResult::Refused(EntryRefusal::NothingPaid),
            _ => {
                self.orders.push((order, pair, refunded(units)));
                refunded(units)
            }
        }
    }
}

fn number(pair: u8) -> TransactionNumber {
    TransactionNumber([0x70 + pair; 16])
}

fn run(shards: u16, steps: &[Step]) {
    let place = Place::new(shards);
    let (disk, store) = CrashDisk::new(place.genesis());
    let mut world = place.start(Box::new(store), Renewals::Automatic);
    world.register(SHOP, "Shop", &shop_key());
    let mut customers = world.customers(FUNDS as u64, CUSTOMERS);
    let mut reference = Reference { balances: [FUNDS; CUSTOMERS], ..Reference::default() };
    let mut drawn = 0u32;
    let mut fresh = || {
        drawn += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&drawn.to_be_bytes());
        id
    };
    for step in steps {
        match step {
            Step::Pay { customer, pair, units } => {
                world.pay(&mut customers[*customer], number(*pair), *units);
                reference.balances[*customer] -= i128::from(*units);
                reference.open.entry(*pair).or_default().push((*customer, *units));
                reference.ever.insert(*pair, true);
            }
            Step::Refund { pairs } => {
                let orders: Vec<_> = pairs.iter().map(|pair| (RefundOrderId(fresh()), *pair)).collect();
                let entries =
                    orders.iter().map(|(order, pair)| BatchEntry::Refund { order: *order, number: number(*pair) });
                let id = DeskBatchId(fresh());
                let batch =
                    DeskBatch::new(world.realm, SHOP, id, wall_clock(), entries.collect(), &shop_key()).unwrap();
                let expected: Vec<_> = orders.iter().map(|(order, pair)| reference.refund(*order, *pair)).collect();
                assert_eq!(world.results(&batch), expected);
                let answer = world.hand_in(&batch.encode()).unwrap();
                reference.batches.push((batch, answer));
            }
            Step::Replay { batch } => {
                let Some((batch, answer)) = reference.batches.get(*batch) else { continue };
                assert_eq!(&world.hand_in(&batch.encode()).unwrap(), answer);
            }
            Step::Reorder { order } => {
                let Some((order, pair, result)) = reference.orders.get(*order).cloned() else { continue };
                let entries = vec![BatchEntry::Refund { order, number: number(pair) }];
                let id = DeskBatchId(fresh());
                let batch = DeskBatch::new(world.realm, SHOP, id, wall_clock(), entries, &shop_key()).unwrap();
                assert_eq!(world.results(&batch), [result]);
            }
            Step::Idle => world.clerk.idle().unwrap(),
            Step::Restart => {
                drop(world);
                disk.crash();
                world = place.start(Box::new(disk.recover()), Renewals::Automatic);
                world.clerk.resume().unwrap();
            }
        }
        let balances: Vec<_> = customers.iter().map(|customer| world.balance(customer)).collect();
        assert_eq!(balances, reference.balances, "after {step:?}");
        let open: u64 = reference.open.values().flatten().map(|(_, units)| units).sum();
        assert_eq!(world.accrued(), i128::from(open), "after {step:?}");
    }
    world.check(&place);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // spec: K-98, K-100
    #[test]
    fn refunds_agree_with_the_reference(shards in prop_oneof![Just(1u16), Just(3)], steps in prop::collection::vec(step(), 1..30)) {
        run(shards, &steps);
    }
}
