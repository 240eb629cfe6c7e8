//! One line of a table is one request and the row that must answer it.

use super::*;
use crate::ids::{AccountId, InstrumentId, MerchantId};
use crate::ledger::instrument::{InstrumentState, Limits, PeriodLimit, Place};
use crate::pin::ModifierPart;

const NOW: Timestamp = Timestamp(1_000_000_000);
const LAST: Digest = Digest([1; 32]);
const OTHER: Digest = Digest([2; 32]);
const PREVIOUS: ModifiedPin = ModifiedPin(10);
const CURRENT: ModifiedPin = ModifiedPin(20);
const WRONG: ModifiedPin = ModifiedPin(99);
const MERCHANT: MerchantId = MerchantId([5; 16]);

/// The world before the request; each case changes what it is about.
struct World {
    instrument: Instrument,
    account: Account,
    merchant: MerchantStanding,
    known: bool,
    authentication: Authentication,
    request: Digest,
    count: u64,
    content: Digest,
    amount: u64,
    asset: Asset,
    valid_until: Timestamp,
    pin: ModifiedPin,
}

fn world() -> World {
    let state = InstrumentState {
        last_count: 7,
        last_content: LAST,
        last_place: Place { batch: 3, index: 1 },
        current: Some(CURRENT),
        previous: Some(PREVIOUS),
        ..InstrumentState::new()
    };
    World {
        instrument: Instrument {
            id: InstrumentId([4; 16]),
            account: AccountId([4; 16]),
            held: false,
            revoked: false,
            limits: None,
            state,
        },
        account: Account { id: AccountId([4; 16]), asset: Asset::USD6, balance: 1_000, held: false },
        merchant: MerchantStanding::Certified,
        known: true,
        authentication: Authentication::Held,
        request: Digest([9; 32]),
        count: 8,
        content: OTHER,
        amount: 100,
        asset: Asset::USD6,
        valid_until: NOW.plus(60_000),
        pin: CURRENT,
    }
}

impl World {
    fn decide(&self) -> Decision {
        let facts = Facts {
            instrument: self.known.then_some(&self.instrument),
            account: self.known.then_some(&self.account),
            merchant: self.merchant,
            now: NOW,
        };
        let asked = Asked {
            authentication: self.authentication,
            request: &self.request,
            count: self.count,
            content: &self.content,
            amount: Amount::new(self.amount).unwrap(),
            asset: self.asset,
            valid_until: self.valid_until,
            merchant: MERCHANT,
        };
        decide(&facts, &asked, |pin| pin == self.pin)
    }

    fn limits(&mut self) -> &mut Limits {
        std::sync::Arc::make_mut(self.instrument.limits.get_or_insert_default())
    }

    fn with(changes: &[&dyn Fn(&mut Self)]) -> Self {
        let mut world = world();
        for change in changes {
            change(&mut world);
        }
        world
    }
}

type Change = &'static dyn Fn(&mut World);

const NOT_AUTHENTIC: Decision = Decision::Refuse(Row::NotAuthentic, Reason::AuthenticationFailed);
const LOCKED: Decision = Decision::Refuse(Row::Locked, Reason::PinLocked);
const OUT_OF_STEP: Decision = Decision::Refuse(Row::OutOfStep, Reason::OutOfStep);

/// Each row by its own cause, in the order of the ladder. A cause set by one line is overridden by no later line.
const LADDER: &[(&str, Change, Decision)] = &[
    ("unknown instrument", &|w| w.known = false, NOT_AUTHENTIC),
    ("tag or signature", &|w| w.authentication = Authentication::Failed, NOT_AUTHENTIC),
    ("revoked", &|w| w.instrument.revoked = true, NOT_AUTHENTIC),
    ("locked", &|w| w.instrument.state.pin_failures = PIN_FAILURES_MAX, LOCKED),
    ("count behind", &|w| w.count = 6, OUT_OF_STEP),
    ("count used for other content", &|w| w.count = 7, OUT_OF_STEP),
    ("wrong PIN", &|w| w.pin = WRONG, Decision::RefuseAndCount),
    ("count ahead", &|w| w.count = 9, Decision::TellCount(8)),
    ("instrument held", &|w| w.instrument.held = true, Decision::Deny(Reason::Held)),
    ("account held", &|w| w.account.held = true, Decision::Deny(Reason::Held)),
    (
        "instrument expired",
        &|w| w.limits().expires_at = Some(Timestamp(NOW.0 - 1)),
        Decision::Deny(Reason::InstrumentExpired),
    ),
    (
        "limit per payment",
        &|w| w.limits().per_payment = Amount::new(99).ok(),
        Decision::Deny(Reason::AboveLimitPerPayment),
    ),
    (
        "limit per period",
        &|w| w.limits().per_period = Some(PeriodLimit { amount: Amount::new(99).unwrap(), period_ms: 1 }),
        Decision::Deny(Reason::AboveLimitPerPeriod),
    ),
    (
        "merchant list",
        &|w| w.limits().permitted_merchants = vec![MerchantId([6; 16])],
        Decision::Deny(Reason::MerchantNotPermitted),
    ),
    ("merchant unknown", &|w| w.merchant = MerchantStanding::Unknown, Decision::Deny(Reason::MerchantUnknown)),
    ("merchant suspended", &|w| w.merchant = MerchantStanding::Suspended, Decision::Deny(Reason::MerchantSuspended)),
    ("asset", &|w| w.asset = Asset(*b"EUR2\0\0\0\0"), Decision::Deny(Reason::AssetMismatch)),
    ("valid-until past", &|w| w.valid_until = Timestamp(NOW.0 - 1), Decision::Deny(Reason::Expired)),
    (
        "valid-until too far",
        &|w| w.valid_until = NOW.plus(VALID_UNTIL_AHEAD_MAX_MS + 1),
        Decision::Deny(Reason::ValidTooLong),
    ),
    ("funds", &|w| w.account.balance = 99, Decision::Deny(Reason::InsufficientFunds)),
];

#[test]
fn without_any_cause_it_pays() {
    assert_eq!(world().decide(), Decision::Pay);
}

// spec: K-03, K-59, K-78, K-125, K-127
#[test]
fn each_cause_alone_gives_its_row() {
    for (name, cause, expected) in LADDER {
        assert_eq!(World::with(&[cause]).decide(), *expected, "{name}");
    }
}

#[test]
fn of_two_causes_the_earlier_row_decides() {
    for (earlier, (first_name, first, expected)) in LADDER.iter().enumerate() {
        for (second_name, second, _) in &LADDER[earlier + 1..] {
            // Causes that set the same field exclude each other.
            let world = World::with(&[second, first]);
            assert_eq!(world.decide(), *expected, "{first_name} before {second_name}");
        }
    }
}

// spec: K-61, K-63
#[test]
fn asking_again_gives_the_stored_outcome() {
    let again = |w: &mut World| (w.count, w.content, w.pin) = (7, LAST, PREVIOUS);
    assert_eq!(World::with(&[&again]).decide(), Decision::Repeat);
    // Whatever stands against a new payment does not stand against asking again.
    for (name, cause, expected) in &LADDER[8..] {
        assert_eq!(World::with(&[cause, &again]).decide(), Decision::Repeat, "{name}");
        assert!(matches!(expected, Decision::Deny(_)));
    }
    // The current modified PIN does not open the last outcome, the previous one no new transaction.
    assert_eq!(World::with(&[&again, &|w| w.pin = CURRENT]).decide(), Decision::RefuseAndCount);
    assert_eq!(World::with(&[&|w| w.pin = PREVIOUS]).decide(), Decision::RefuseAndCount);
    assert_eq!(World::with(&[&again, &|w| w.instrument.state.pin_failures = PIN_FAILURES_MAX]).decide(), LOCKED);
}

// spec: K-120
#[test]
fn a_new_pin_opens_the_last_outcome_and_the_next_transaction() {
    let pin = crate::pin::Pin::parse("123456").unwrap();
    let reset = |w: &mut World| {
        w.instrument.state.pin_failures = PIN_FAILURES_MAX;
        w.instrument.state.set_pin(&pin);
        w.pin = pin.modified(crate::pin::Modifier(0));
    };
    assert_eq!(World::with(&[&reset]).decide(), Decision::Pay);
    assert_eq!(World::with(&[&reset, &|w| (w.count, w.content) = (7, LAST)]).decide(), Decision::Repeat);
    for old in [PREVIOUS, CURRENT] {
        assert_eq!(World::with(&[&reset, &|w| w.pin = old]).decide(), Decision::RefuseAndCount);
        assert_eq!(
            World::with(&[&reset, &|w| (w.count, w.content, w.pin) = (7, LAST, old)]).decide(),
            Decision::RefuseAndCount
        );
    }
}

// spec: K-05, K-113
#[test]
fn without_a_pin_nothing_is_paid() {
    let world =
        World::with(&[&|w| w.instrument.state = InstrumentState::new(), &|w| (w.count, w.pin) = (1, ModifiedPin(0))]);
    assert_eq!(world.decide(), Decision::RefuseAndCount);
}

// spec: K-125
#[test]
fn a_replayed_wrong_pin_counts_once_and_a_locked_instrument_tells_nothing_of_the_pin() {
    let mut state = world().instrument.state;
    let requests: Vec<Digest> = (1..=PIN_FAILURES_MAX).map(|byte| Digest([byte + 50; 32])).collect();
    for (failures, request) in requests.iter().enumerate() {
        for repetition in 0..100 {
            let world = World::with(&[&|w| (w.instrument.state, w.request, w.pin) = (state, *request, WRONG)]);
            match world.decide() {
                Decision::RefuseAndCount => state.record_failure(request),
                Decision::Refuse(row, _) => assert!(repetition > 0 && (row == Row::WrongPin || row == Row::Locked)),
                other => panic!("{other:?}"),
            }
            assert_eq!(usize::from(state.pin_failures), failures + 1);
        }
    }
    for pin in [CURRENT, WRONG, PREVIOUS] {
        for (count, content) in [(8, OTHER), (7, LAST), (7, OTHER), (6, OTHER), (9, OTHER)] {
            let world =
                World::with(&[&|w| (w.instrument.state, w.pin, w.count, w.content) = (state, pin, count, content)]);
            assert_eq!(world.decide(), LOCKED);
        }
    }
    state.set_pin(&crate::pin::Pin::parse("654321").unwrap());
    for request in &requests {
        let world = World::with(&[&|w| (w.instrument.state, w.request, w.pin) = (state, *request, WRONG)]);
        assert_eq!(world.decide().row(), Row::WrongPin);
        assert_ne!(world.decide(), Decision::RefuseAndCount, "old failures stay known after a new PIN");
    }
}

// spec: K-116
#[test]
fn consuming_moves_count_and_modifier_and_forgets_failures() {
    let mut state = world().instrument.state;
    state.record_failure(&Digest([77; 32]));
    state.consume(OTHER, Place { batch: 9, index: 2 }, ModifierPart(3), ModifierPart(u64::MAX));
    assert_eq!(state.last_count, 8);
    assert_eq!(state.previous, Some(CURRENT));
    assert_eq!(state.current, Some(ModifiedPin(CURRENT.0 + 2)));
    assert_eq!(state.pin_failures, 0);
    assert!(!state.failed_requests.contains(&Digest([77; 32])));
}

#[test]
fn a_period_ends_and_another_begins() {
    let limit = PeriodLimit { amount: Amount::new(1_000).unwrap(), period_ms: 1_000 };
    let mut state = InstrumentState::new();
    state.spend(&limit, Amount::new(600).unwrap(), NOW);
    assert_eq!(state.spent(&limit, NOW.plus(999)), 600);
    assert_eq!(state.spent(&limit, NOW.plus(1_000)), 0);
    state.spend(&limit, Amount::new(10).unwrap(), NOW.plus(1_500));
    assert_eq!(state.spent(&limit, NOW.plus(2_000)), 10);
}
