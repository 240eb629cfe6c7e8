use std::fmt::Write as _;

use super::*;
use crate::ids::{MerchantId, PaymentId, QuoteDigest, RealmId, TermsDigest, TransactionNumber};
use crate::money::{Amount, Asset};
use crate::pin::ModifierPart;
use crate::proof::batch::{BatchSeed, prepare};
use crate::proof::{Claim, Outcome};
use crate::request::PaymentKind;
use crate::response::Authenticated;
use crate::signature::SigningKey;
use crate::time::Timestamp;

pub(super) fn content(number: u8) -> Content {
    Content {
        merchant: MerchantId([5; 16]),
        number: TransactionNumber([number; 16]),
        amount: Amount::new(100).unwrap(),
        asset: Asset::USD6,
        quote_digest: QuoteDigest([number; 32]),
        valid_until: Timestamp(1_000),
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        customer_part: ModifierPart(u64::from(number) << 32),
    }
}

const COUNT: u64 = 7;
const MODIFIER: Modifier = Modifier(1_000);

fn state(standing: Standing, attempts: Option<u32>) -> PaymentState {
    let pending =
        attempts.map(|attempts_unanswered| Pending { count: COUNT, content: content(1), attempts_unanswered });
    PaymentState { next_count: COUNT, modifier: MODIFIER, pin_epoch: 3, standing, pending }
}

fn attempt(pin_epoch: u32) -> Attempt {
    Attempt { count: COUNT, content: content(1), pin_epoch }
}

fn consumed(reason: Reason, modifier_in_force: bool) -> Answer {
    let told = Authenticated { processor_part: ModifierPart(5), modifier_in_force, balance: 900 };
    Answer { reason, count: COUNT, authenticated: Some(told) }
}

/// What happens to a state.
type Step = Box<dyn Fn(&mut PaymentState) -> Result<PaymentEffect, PaymentRefused>>;

fn events() -> Vec<(&'static str, Step)> {
    fn answered(answer: Answer, epoch: u32) -> Step {
        Box::new(move |state| state.on(PaymentEvent::Answered(attempt(epoch), &answer)))
    }
    vec![
        ("begin", Box::new(|state| state.on(PaymentEvent::Begin(content(2))))),
        ("send", Box::new(|state| state.on(PaymentEvent::Send))),
        ("lost or answered in clear", Box::new(|state| state.on(PaymentEvent::Lost(attempt(3))))),
        ("paid", answered(consumed(Reason::Paid, true), 3)),
        ("paid, modifier not in force", answered(consumed(Reason::Paid, false), 3)),
        ("paid, sent before the new PIN", answered(consumed(Reason::Paid, true), 2)),
        ("denied: insufficient funds", answered(consumed(Reason::InsufficientFunds, true), 3)),
        ("denied: held", answered(consumed(Reason::Held, true), 3)),
        ("paid under another count", answered(Answer { count: 9, ..consumed(Reason::Paid, true) }, 3)),
        ("authentication failed", answered(Answer::bare(Reason::AuthenticationFailed), 3)),
        ("PIN locked", answered(Answer::bare(Reason::PinLocked), 3)),
        ("PIN locked before the new PIN", answered(Answer::bare(Reason::PinLocked), 2)),
        ("out of step", answered(Answer::bare(Reason::OutOfStep), 3)),
        ("count is 5", answered(Answer { count: 5, ..Answer::bare(Reason::CountMismatch) }, 3)),
        ("count is 8", answered(Answer { count: 8, ..Answer::bare(Reason::CountMismatch) }, 3)),
        ("abandon", Box::new(|state| state.on(PaymentEvent::Abandon))),
        ("new PIN", Box::new(|state| state.on(PaymentEvent::NewPin))),
        ("resync to 20", Box::new(|state| state.on(PaymentEvent::Resync { last_count: 20 }))),
        ("resync beyond all counts", Box::new(|state| state.on(PaymentEvent::Resync { last_count: u64::MAX }))),
    ]
}

fn show(state: &PaymentState) -> String {
    let pending = state
        .pending
        .map_or("nothing open".to_owned(), |pending| format!("open, {} unanswered", pending.attempts_unanswered));
    let modifier = match state.modifier.0.wrapping_sub(MODIFIER.0) {
        0 => "same",
        _ if state.modifier.0 == 0 => "zero",
        _ => "advanced",
    };
    format!("{:?}, next {}, modifier {modifier}, {pending}", state.standing, state.next_count)
}

fn name(effect: &PaymentEffect) -> String {
    match effect {
        PaymentEffect::Resolved(resolution) => format!("Resolved: {:?}, count {}", resolution.reason, resolution.count),
        PaymentEffect::Send(attempt) => format!("Send under count {}", attempt.count),
        PaymentEffect::Dropped { maybe_paid, .. } => format!("Dropped, maybe paid: {maybe_paid}"),
        other => format!("{other:?}"),
    }
}

// spec: K-60, K-61, K-116, K-120, K-123, K-124, K-125
#[test]
fn every_state_and_every_event() {
    let mut table = String::new();
    for standing in Standing::ALL {
        for attempts in [None, Some(0), Some(1), Some(2)] {
            let before = state(standing, attempts);
            writeln!(table, "{}", show(&before)).unwrap();
            for (event, apply) in events() {
                let mut after = before.clone();
                let outcome = match apply(&mut after) {
                    Ok(effect) if after == before => name(&effect),
                    Ok(effect) => format!("{} -> {}", name(&effect), show(&after)),
                    Err(refused) => {
                        assert_eq!(after, before, "a refusal changes nothing");
                        format!("refused: {}", format!("{refused:?}").split([' ', '(']).next().unwrap())
                    }
                };
                writeln!(table, "    {event:<32}{outcome}").unwrap();
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/customer/payment/states.txt");
    if std::env::var_os("QUITTANCE_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(table, golden, "the table of states and events changed; if it should, set QUITTANCE_BLESS=1");
}

// spec: K-61
#[test]
fn a_lost_first_attempt_keeps_the_count_bound_to_its_content() {
    let mut state = PaymentState::new(6).unwrap();
    state.begin(content(1)).unwrap();
    let _lost = state.about_to_send().unwrap();
    let second = state.about_to_send().unwrap();
    let effect = state.on(PaymentEvent::Answered(second, &Answer::bare(Reason::AuthenticationFailed))).unwrap();
    assert_eq!(effect, PaymentEffect::TypePinAgain);
    assert_eq!(state.abandon(), Err(PaymentRefused::StillBound { attempts_unanswered: 1 }));
    assert_eq!(state.begin(content(2)), Err(PaymentRefused::PaymentPending { count: 7 }));
}

// spec: K-116
#[test]
fn denials_of_an_authenticated_request_advance_count_and_modifier() {
    for reason in Reason::ALL.into_iter().filter(|reason| reason.consumes_count()) {
        let mut state = state(Standing::Ready, Some(1));
        let effect = state.on(PaymentEvent::Answered(attempt(3), &consumed(reason, true))).unwrap();
        assert!(matches!(effect, PaymentEffect::Resolved(resolution) if resolution.reason == reason));
        assert_eq!(
            (state.next_count, state.modifier),
            (COUNT + 1, MODIFIER.advanced(content(1).customer_part, ModifierPart(5)))
        );
    }
}

fn response(claimed: &Content, answer: Answer) -> OpenedResponse {
    let Content { merchant, number, amount, asset, quote_digest, kind, terms, .. } = *claimed;
    let claim = Claim { kind, terms, merchant, number, amount, asset, quote_digest };
    let key = SigningKey::from_seed([1; 32]);
    let seed = BatchSeed::from_random([2; 32]);
    let (batch, mut places) = prepare(&[claim], RealmId([7; 16]), Timestamp(1), seed, &key, Default::default());
    let released = places.remove(0).release(answer.reason.outcome());
    let mut proof = batch.proof(&released);
    proof.statement.payment = PaymentId::ZERO;
    OpenedResponse { answer, proof_bytes: proof.encode() }
}

// spec: K-70, K-73
#[test]
fn an_answer_about_something_else_resolves_nothing() {
    let mut right = state(Standing::Ready, Some(1));
    let good = response(&content(1), consumed(Reason::Paid, true));
    assert!(matches!(right.answered(attempt(3), &good), Ok(PaymentEffect::Resolved(_))));
    let other = response(&content(2), consumed(Reason::Paid, true));
    let mut lying = response(&content(1), consumed(Reason::Paid, true));
    lying.answer.reason = Reason::InsufficientFunds;
    let garbage = OpenedResponse { answer: consumed(Reason::Paid, true), proof_bytes: vec![1; 30] };
    for wrong in [other, lying, garbage] {
        let before = state(Standing::Ready, Some(1));
        let mut after = before.clone();
        assert_eq!(after.answered(attempt(3), &wrong), Err(PaymentRefused::Contradiction));
        assert_eq!(after, before);
    }
    assert_eq!(good.answer.reason.outcome(), Outcome::Paid);
}

// spec: K-64
#[test]
fn what_is_stored_is_count_content_and_modifier_and_nothing_else() {
    let stored = serde_json::to_value(state(Standing::Ready, Some(1))).unwrap();
    let fields: Vec<_> = stored.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["modifier", "next_count", "pending", "pin_epoch", "standing"]);
    let pending: Vec<_> = stored["pending"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(pending, ["attempts_unanswered", "content", "count"]);
    let back: PaymentState = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(back, state(Standing::Ready, Some(1)));
    for (field, value) in [("next_count", 8.into()), ("next_count", 0.into()), ("standing", "happy".into())] {
        let mut wrong = stored.clone();
        wrong[field] = value;
        assert!(serde_json::from_value::<PaymentState>(wrong).is_err(), "{field}");
    }
}
