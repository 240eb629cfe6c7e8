//! Which request gets which answer, through the bytes and all stages: the rows of DESIGN section 6, replays, clones.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use common::*;
use protocol::codec::Fixed;
use protocol::enrolment::SignaturePolicy;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::ids::*;
use protocol::ledger::instrument::{Limits, PeriodLimit};
use protocol::money::{Amount, Asset};
use protocol::pin::{Modifier, Pin};
use protocol::proof::Outcome;
use protocol::response::Reason;
use protocol::time::Timestamp;
use tps::book::orders::Order;
use tps::store::holds::Holder;

fn world(units: u64) -> (Server, Customer) {
    let mut server = Server::memory();
    server.register_merchant(MERCHANT, true);
    let account = server.account(units);
    let customer = server.customer(account, Limits::default());
    (server, customer)
}

// spec: K-09, K-11, K-13
#[test]
fn a_payment_moves_the_money_and_proves_it() {
    let (mut server, mut customer) = world(2_000_000_000_000);
    let mut verifier = verifier();
    let mut left = 2_000_000_000_000;
    for units in [1, 5, 1_000_000_000_000] {
        let content = customer.content(units);
        let opened = customer.pay_content(&mut server, &content);
        left -= i128::from(units);
        assert_eq!(opened.answer.reason, Reason::Paid);
        assert_eq!(opened.answer.authenticated.unwrap().balance, left);
        assert_eq!(server.balance(customer.account), left);
        let proof = verifier.verify(&opened.proof_bytes).unwrap();
        assert_eq!(proof.outcome(), Outcome::Paid);
        let statement = proof.statement();
        assert_eq!((statement.merchant, statement.number), (content.merchant, content.number));
        assert_eq!((statement.amount, statement.quote_digest), (content.amount, content.quote_digest));
        server.check_conservation();
    }
    assert_eq!(server.merchant_balance(MERCHANT), 1_000_000_000_006);
}

// spec: K-03, K-71, K-78, K-127
#[test]
fn denials_tell_the_customer_why_and_the_merchant_only_that() {
    let (mut server, mut customer) = world(100);
    let suspended = MerchantId([9; 16]);
    server.register_merchant(suspended, false);
    let mut verifier = verifier();
    let now = tps::pipeline::clock::wall_clock();
    let mut cases = vec![];
    let mut case = |reason, change: &dyn Fn(&mut protocol::request::Content)| {
        let mut content = customer.content(50);
        change(&mut content);
        cases.push((reason, content));
    };
    case(Reason::InsufficientFunds, &|content| content.amount = Amount::new(101).unwrap());
    case(Reason::MerchantUnknown, &|content| content.merchant = MerchantId([1; 16]));
    case(Reason::MerchantSuspended, &|content| content.merchant = suspended);
    case(Reason::AssetMismatch, &|content| content.asset = Asset(*b"EUR2\0\0\0\0"));
    case(Reason::Expired, &|content| content.valid_until = Timestamp(now.0 - 1));
    case(Reason::ValidTooLong, &|content| content.valid_until = now.plus(3_600_000));
    for (reason, content) in cases {
        let (count, modifier) = (customer.count, customer.modifier);
        let opened = customer.pay_content(&mut server, &content);
        assert_eq!(opened.answer.reason, reason);
        assert_eq!((customer.count, customer.modifier == modifier), (count + 1, false), "{reason:?} is consumed");
        let denial = verifier.verify(&opened.proof_bytes).unwrap();
        assert_eq!(denial.outcome(), Outcome::NotPaid);
        assert_eq!(server.balance(customer.account), 100);
    }
    server.order(&Order::HoldAccount { account: customer.account, held: true }).unwrap();
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Held);
    server.order(&Order::HoldAccount { account: customer.account, held: false }).unwrap();
    server.order(&Order::HoldInstrument { id: customer.instrument, by: Holder::Operator, held: true }).unwrap();
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Held);
    server.order(&Order::HoldInstrument { id: customer.instrument, by: Holder::Operator, held: false }).unwrap();
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
    server.check_conservation();
}

#[test]
fn instruments_have_limits_of_their_own() {
    let mut server = Server::memory();
    server.register_merchant(MERCHANT, true);
    let account = server.account(10_000);
    let limits = Limits {
        per_payment: Amount::new(100).ok(),
        per_period: Some(PeriodLimit { amount: Amount::new(250).unwrap(), period_ms: 3_600_000 }),
        permitted_merchants: vec![MERCHANT],
        expires_at: None,
    };
    let mut agent = server.customer(account, limits.clone());
    let mut laptop = server.customer(account, Limits::default());
    let reasons: Vec<Reason> =
        [101, 100, 100, 51, 50, 1].map(|units| agent.pay(&mut server, units).answer.reason).into();
    let (paid, above) = (Reason::Paid, Reason::AboveLimitPerPeriod);
    assert_eq!(reasons, [Reason::AboveLimitPerPayment, paid, paid, above, paid, above]);
    let mut elsewhere = agent.content(1);
    elsewhere.merchant = MerchantId([8; 16]);
    server.order(&Order::SetLimits { id: agent.instrument, limits: Limits { per_period: None, ..limits } }).unwrap();
    assert_eq!(agent.pay_content(&mut server, &elsewhere).answer.reason, Reason::MerchantNotPermitted);
    let expired = Limits { expires_at: Some(Timestamp(1)), ..Limits::default() };
    server.order(&Order::SetLimits { id: agent.instrument, limits: expired }).unwrap();
    assert_eq!(agent.pay(&mut server, 1).answer.reason, Reason::InstrumentExpired);
    assert_eq!(laptop.pay(&mut server, 5_000).answer.reason, Reason::Paid, "the other instrument is not concerned");
    assert_eq!(server.balance(account), 10_000 - 250 - 5_000);
}

// spec: K-59, K-61, K-70
#[test]
fn a_captured_request_sent_a_hundred_times_changes_nothing() {
    let (mut server, mut customer) = world(1_000);
    let content = customer.content(300);
    let request = customer.request(&content);
    let first = server.one(&request.bytes);
    let opened = ask(&mut server, &request);
    customer.take(&content, &opened.answer);
    for _ in 0..100 {
        assert_eq!(server.one(&request.bytes), first, "equal answers, equal bytes");
    }
    assert_eq!(server.balance(customer.account), 700);
    // After a further payment the old one is out of step, and stays without effect.
    customer.pay(&mut server, 100);
    let before = server.book.instrument(customer.instrument).unwrap().clone();
    for _ in 0..100 {
        let opened = ask(&mut server, &request);
        assert_eq!((opened.answer.reason, opened.answer.count), (Reason::OutOfStep, 0));
    }
    assert_eq!(server.book.instrument(customer.instrument).unwrap(), before);
    assert_eq!(server.balance(customer.account), 600);
    assert_eq!(customer.pay(&mut server, 600).answer.reason, Reason::Paid);
    server.check_conservation();
}

// spec: K-61, K-119
#[test]
fn a_lost_answer_is_given_again_under_a_fresh_session() {
    let (mut server, mut customer) = world(1_000);
    let content = customer.content(300);
    let lost = ask(&mut server, &customer.request(&content));
    // Restarted: same count and content, fresh session, the previous modified PIN.
    let again = ask(&mut server, &customer.request(&content));
    assert_eq!(again, lost, "same outcome, same modifier part, same proof");
    customer.take(&content, &again.answer);
    assert_eq!(server.balance(customer.account), 700);
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
}

// spec: K-59
#[test]
fn of_two_concurrent_requests_under_one_count_one_is_paid() {
    let (mut server, customer) = world(1_000);
    let contents = [customer.content(100), customer.content(200)];
    let requests = [customer.request(&contents[0]), customer.request(&contents[1])];
    let messages: Vec<&[u8]> = requests.iter().map(|request| &request.bytes[..]).collect();
    let answers = server.process(&messages, CrashAt::Nowhere).unwrap();
    let reasons: Vec<Reason> = answers
        .iter()
        .zip(&requests)
        .map(|(answer, request)| {
            protocol::response::open(answer.as_ref().unwrap(), &request.hash, &request.session).unwrap().answer.reason
        })
        .collect();
    assert_eq!(reasons, [Reason::Paid, Reason::OutOfStep]);
    assert_eq!(server.balance(customer.account), 900);
}

// spec: K-123
#[test]
fn a_count_that_ran_ahead_is_put_right() {
    let (mut server, mut customer) = world(1_000);
    customer.count = 5;
    let opened = customer.pay(&mut server, 1);
    assert_eq!((opened.answer.reason, opened.answer.count), (Reason::CountMismatch, 1));
    customer.count = opened.answer.count;
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
}

// spec: K-63, K-99
#[test]
fn the_same_pair_paid_twice_is_two_payments() {
    let (mut server, mut customer) = world(2_000);
    let small = customer.content(1);
    let mut full = customer.content(500);
    (full.merchant, full.number) = (small.merchant, small.number);
    for content in [small, full, full] {
        let content = protocol::request::Content { customer_part: customer.content(1).customer_part, ..content };
        assert_eq!(customer.pay_content(&mut server, &content).answer.reason, Reason::Paid);
    }
    assert_eq!(server.balance(customer.account), 2_000 - 1 - 500 - 500);
    assert_eq!(server.merchant_balance(MERCHANT), 1_001);
}

// spec: K-53, K-54, K-125
#[test]
fn five_wrong_pins_lock_and_a_new_pin_unlocks() {
    let (mut server, mut customer) = world(1_000);
    customer.pay(&mut server, 1);
    let content = customer.content(10);
    let right = customer.modified_pin();
    let wrong = Pin::parse("000000").unwrap().modified(customer.modifier);
    let wrong_modifier = customer.pin.modified(Modifier(customer.modifier.0 ^ 1));
    let mut failed = Vec::new();
    for pin in [wrong, wrong_modifier, wrong, wrong, wrong] {
        let request = customer.request_with(&content, customer.count, pin);
        let opened = ask(&mut server, &request);
        assert_eq!(opened.answer, protocol::response::Answer::bare(Reason::AuthenticationFailed));
        failed.push(request);
    }
    // Locked: no oracle, whatever the PIN.
    for pin in [right, wrong] {
        let opened = ask(&mut server, &customer.request_with(&content, customer.count, pin));
        assert_eq!(opened.answer, protocol::response::Answer::bare(Reason::PinLocked));
    }
    let pin = Pin::parse("999999").unwrap();
    server.order(&Order::SetPin { id: customer.instrument, pin: pin.clone() }).unwrap();
    (customer.pin, customer.modifier) = (pin, Modifier(0));
    for request in &failed {
        for _ in 0..100 {
            assert_eq!(ask(&mut server, request).answer.reason, Reason::AuthenticationFailed);
        }
    }
    assert_eq!(
        customer.pay_content(&mut server, &content).answer.reason,
        Reason::Paid,
        "replays did not lock it again"
    );
}

// spec: K-125
#[test]
fn a_successful_authentication_resets_the_failures() {
    let (mut server, mut customer) = world(1_000);
    for _ in 0..3 {
        for _ in 0..4 {
            let content = customer.content(1);
            let wrong = Pin::parse("000000").unwrap().modified(customer.modifier);
            ask(&mut server, &customer.request_with(&content, customer.count, wrong));
        }
        assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
    }
}

// spec: K-78
#[test]
fn unknown_instrument_wrong_device_bad_signature_and_wrong_pin_look_alike() {
    let (mut server, customer) = world(1_000);
    let content = customer.content(10);
    let strangers = [
        Customer { instrument: InstrumentId([0xee; 16]), ..customer.clone() },
        Customer { device: random(), ..customer.clone() },
        Customer { seed: random(), ..customer.clone() },
        Customer { signs: false, ..customer.clone() },
        Customer { pin: Pin::parse("000000").unwrap(), ..customer.clone() },
    ];
    let mut lengths = std::collections::HashSet::new();
    for stranger in &strangers {
        let request = stranger.request(&content);
        let response = server.one(&request.bytes);
        lengths.insert(response.len());
        let opened = protocol::response::open(&response, &request.hash, &request.session).unwrap();
        assert_eq!(opened.answer, protocol::response::Answer::bare(Reason::AuthenticationFailed));
        assert_eq!(verifier().verify(&opened.proof_bytes).unwrap().outcome(), Outcome::NotPaid);
    }
    assert_eq!(lengths.len(), 1, "answers of one size");
    assert_eq!(server.balance(customer.account), 1_000);
    // Only the last of them touched the instrument.
    assert_eq!(server.book.instrument(customer.instrument).unwrap().state.pin_failures, 1);
}

// spec: K-54
#[test]
fn the_policy_decides_whether_a_signature_must_be_there() {
    let (mut server, mut customer) = world(1_000);
    server.policy = SignaturePolicy::Optional;
    customer.signs = false;
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
    let forged = Customer { signs: true, seed: random(), ..customer.clone() };
    assert_eq!(ask(&mut server, &forged.request(&forged.content(1))).answer.reason, Reason::AuthenticationFailed);
    customer.signs = true;
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
    server.policy = SignaturePolicy::Required;
    let unsigned = Customer { signs: false, ..customer.clone() };
    assert_eq!(ask(&mut server, &unsigned.request(&unsigned.content(1))).answer.reason, Reason::AuthenticationFailed);
    let wrong_pin = Pin::parse("000000").unwrap().modified(customer.modifier);
    let signed = customer.request_with(&customer.content(1), customer.count, wrong_pin);
    assert_eq!(ask(&mut server, &signed).answer.reason, Reason::AuthenticationFailed, "a signature does not authorise");
}

// spec: K-05, K-113
#[test]
fn without_activation_or_pin_nothing_is_paid() {
    let mut server = Server::memory();
    server.register_merchant(MERCHANT, true);
    let account = server.account(1_000);
    let customer = Customer::new(account);
    let code = protocol::enrolment::ActivationCode::from_random(random());
    let enrol = Order::Enrol {
        id: customer.instrument,
        account,
        label: String::new(),
        limits: Limits::default(),
        code_hash: code.hash(),
        expires_at: Timestamp(u64::MAX),
    };
    server.order(&enrol).unwrap();
    let reason = |server: &mut Server| ask(server, &customer.request(&customer.content(1))).answer.reason;
    assert_eq!(reason(&mut server), Reason::AuthenticationFailed);
    let activate = |public| Order::Activate {
        id: customer.instrument,
        code: code.clone(),
        signing_public: public,
        device_key: customer.device,
    };
    server.order(&activate(customer.signing_public())).unwrap();
    assert_eq!(reason(&mut server), Reason::AuthenticationFailed);
    server.order(&Order::SetPin { id: customer.instrument, pin: customer.pin.clone() }).unwrap();
    assert_eq!(reason(&mut server), Reason::Paid);
    assert!(server.order(&activate(customer.signing_public())).is_ok(), "the same activation again is answered again");
    assert!(server.order(&activate([7; 32])).is_err(), "other keys are refused");
    server.order(&Order::Revoke { id: customer.instrument }).unwrap();
    assert_eq!(reason(&mut server), Reason::AuthenticationFailed);
}

// spec: K-121, K-124
#[test]
fn a_copied_instrument_is_recognised_and_recovers_only_by_hand() {
    let (mut server, mut original) = world(1_000);
    original.pay(&mut server, 1);
    let mut copy = original.clone();
    assert_eq!(copy.pay(&mut server, 10).answer.reason, Reason::Paid);
    // The original is behind: no count is told, nothing heals by itself.
    for _ in 0..3 {
        let opened = original.pay(&mut server, 5);
        assert_eq!((opened.answer.reason, opened.answer.count), (Reason::OutOfStep, 0));
    }
    // Even guessing the count does not help: the modifier is another.
    let content = original.content(5);
    let guess = original.request_with(&content, original.count + 1, original.modified_pin());
    assert_eq!(ask(&mut server, &guess).answer.reason, Reason::AuthenticationFailed);
    // New PIN through the second channel, and the count entered by hand.
    let pin = Pin::parse("777777").unwrap();
    server.order(&Order::SetPin { id: original.instrument, pin: pin.clone() }).unwrap();
    (original.pin, original.modifier) = (pin, Modifier(0));
    assert_eq!(original.pay(&mut server, 5).answer.reason, Reason::OutOfStep, "a new PIN alone masks nothing");
    original.count = server.book.instrument(original.instrument).unwrap().state.last_count + 1;
    assert_eq!(original.pay(&mut server, 5).answer.reason, Reason::Paid);
    assert_eq!(copy.pay(&mut server, 5).answer.reason, Reason::OutOfStep);
}

// spec: K-120
#[test]
fn a_new_pin_starts_with_modifier_zero_and_opens_the_lost_answer() {
    let (mut server, mut customer) = world(1_000);
    customer.pay(&mut server, 1);
    let content = customer.content(100);
    let lost = ask(&mut server, &customer.request(&content));
    let pin = Pin::parse("777777").unwrap();
    let old_modifier = customer.modifier;
    server.order(&Order::SetPin { id: customer.instrument, pin: pin.clone() }).unwrap();
    (customer.pin, customer.modifier) = (pin, Modifier(0));
    let again = ask(&mut server, &customer.request(&content));
    assert_eq!(again.proof_bytes, lost.proof_bytes);
    assert!(!again.answer.authenticated.unwrap().modifier_in_force);
    customer.take(&content, &again.answer);
    assert_eq!(customer.modifier, Modifier(0));
    let stale = Customer { modifier: old_modifier, ..customer.clone() };
    assert_eq!(ask(&mut server, &stale.request(&stale.content(1))).answer.reason, Reason::AuthenticationFailed);
    assert_eq!(customer.pay(&mut server, 1).answer.reason, Reason::Paid);
}

// spec: K-57, K-10
#[test]
fn the_tps_does_not_look_at_quotes_and_pays_merchants_only() {
    let (mut server, mut customer) = world(1_000);
    let mut sniffed = customer.content(10);
    sniffed.quote_digest = QuoteDigest([0xab; 32]);
    assert_eq!(customer.pay_content(&mut server, &sniffed).answer.reason, Reason::Paid, "anybody may pay any quote");
    let mut peer = customer.content(10);
    peer.merchant = MerchantId(server.account(0).0);
    assert_eq!(customer.pay_content(&mut server, &peer).answer.reason, Reason::MerchantUnknown);
}

#[test]
fn rows_one_and_two_are_answered_in_clear_and_resolve_nothing() {
    let (mut server, customer) = world(1_000);
    let good = customer.request(&customer.content(1)).bytes;
    let error = |server: &mut Server, message: &[u8]| ErrorMessage::decode(&server.one(message)).unwrap().code();
    let change = |index: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[index] ^= value;
        bytes
    };
    assert_eq!(error(&mut server, &good[..100]), ErrorCode::Malformed);
    assert_eq!(error(&mut server, &change(0, 2)), ErrorCode::UnsupportedVersion);
    assert_eq!(error(&mut server, &change(1, 2)), ErrorCode::UnsupportedSuite);
    assert_eq!(error(&mut server, &change(3, 1)), ErrorCode::UnknownKey);
    assert_eq!(error(&mut server, &change(11, 1)), ErrorCode::Moved);
    assert_eq!(error(&mut server, &change(good.len() - 1, 1)), ErrorCode::DoesNotOpen);
    assert_eq!(error(&mut server, &change(140, 1)), ErrorCode::DoesNotOpen);
    assert_eq!(server.book.instrument(customer.instrument).unwrap().state.last_count, 0);
}

// spec: K-58
#[test]
fn mutated_requests_never_move_money() {
    let (mut server, customer) = world(1_000);
    let good = customer.request(&customer.content(1)).bytes;
    let mut state = 1u64;
    for _ in 0..3_000 {
        let mut bytes = good.clone();
        for _ in 0..=(state >> 60) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = (state >> 33) as usize % bytes.len();
            bytes[index] ^= 1 << ((state >> 20) & 7);
        }
        if bytes != good {
            server.process(&[&bytes], CrashAt::Nowhere).unwrap();
        }
    }
    assert_eq!(server.balance(customer.account), 1_000);
    server.check_conservation();
}
