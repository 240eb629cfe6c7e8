//! Tables and random traces of calls.

use proptest::prelude::*;
use protocol::money::Asset;
use protocol::pin::Pin;
use protocol::time::Timestamp;

use super::*;
use crate::admin::views::{Money, PinStage};
use crate::vru::english;
use crate::vru::prompts::{PastAmount, PastAmounts, Reading};

const PASSCODE: &str = "24681357";

fn number() -> AccessNumber {
    AccessNumber::random(&mut || Ok::<_, std::convert::Infallible>([123; 8])).unwrap()
}

fn press(call: &mut Call, keys: &str) -> Step {
    let mut last = Step { say: Vec::new(), next: Next::Wait };
    for label in keys.chars() {
        let mut step = call.input(Input::Key(Key::parse(label).unwrap()));
        let mut say = std::mem::take(&mut last.say);
        say.append(&mut step.say);
        last = Step { say, ..step };
    }
    last
}

fn words(step: &Step) -> Vec<String> {
    step.say.iter().map(|prompt| english::text(prompt).to_string()).collect()
}

fn says(step: &Step, part: &str) -> bool {
    words(step).iter().any(|sentence| sentence.contains(part))
}

/// A call that was admitted.
fn admitted() -> Call {
    let (mut call, _) = Call::start();
    press(&mut call, number().expose());
    let Next::Do(Action::Authenticate(asked, passcode)) = press(&mut call, PASSCODE).next else { panic!("an attempt") };
    assert_eq!((asked, passcode.expose().as_str()), (number(), PASSCODE));
    let step = call.input(Input::Done(Outcome::Admitted(Caller::for_tests(number()))));
    assert!(says(&step, "new PIN press 1"));
    call
}

fn reading() -> Reading {
    let balance = Money::new(1, Asset::USD6, 6);
    Reading { count: 1, balance, held_by: Vec::new(), account_held: false, pin: PinStage::Set }
}

fn outcomes() -> Vec<fn() -> Outcome> {
    vec![
        || Outcome::Refused,
        || Outcome::Busy,
        || Outcome::PinSet(Pin::parse("004711").unwrap()),
        || Outcome::Account(reading()),
        || {
            let amount = Money::new(1, Asset::USD6, 6);
            let amounts = vec![PastAmount { count: 1, amount, paid: true, at: Timestamp(0) }];
            Outcome::Amounts(PastAmounts { amounts, more: false })
        },
        || Outcome::Held,
        || Outcome::Released,
        || Outcome::StillHeld,
        || Outcome::Filed(12_345_678),
        || Outcome::Revoked,
        || Outcome::AccessEnded,
        || Outcome::Unavailable,
    ]
}

// spec: K-111
#[test]
fn every_function_is_reached_by_its_keys() {
    type Wanted = fn(&Action) -> bool;
    let table: [(&str, Wanted); 11] = [
        ("11", |action| matches!(action, Action::NewPin(_))),
        ("2", |action| matches!(action, Action::ReadAccount(_))),
        ("3", |action| matches!(action, Action::ReadAmounts(_))),
        ("41", |action| matches!(action, Action::Hold(_, true))),
        ("42", |action| matches!(action, Action::Hold(_, false))),
        ("51", |action| matches!(action, Action::Report(_, ReportReason::UnknownPayment))),
        ("52", |action| matches!(action, Action::Report(_, ReportReason::ReadingsDiffer))),
        ("53", |action| matches!(action, Action::Report(_, ReportReason::MachineLost))),
        ("54", |action| matches!(action, Action::Report(_, ReportReason::Merchant))),
        ("55", |action| matches!(action, Action::Report(_, ReportReason::Other))),
        // A wrong turn first, and # after a choice does no harm.
        ("10#*11", |action| matches!(action, Action::NewPin(_))),
    ];
    for (keys, wanted) in table {
        let mut call = admitted();
        let Next::Do(action) = press(&mut call, keys).next else { panic!("{keys} wants something done") };
        assert!(wanted(&action), "{keys}: {action:?}");
    }
    let mut call = admitted();
    assert!(matches!(press(&mut call, "0").next, Next::End) && call.has_ended());
}

#[test]
fn a_new_pin_is_told_once_and_repeated_once() {
    let mut call = admitted();
    press(&mut call, "11");
    let told = call.input(Input::Done(Outcome::PinSet(Pin::parse("004711").unwrap())));
    assert!(says(&told, "0 0 4 7 1 1") && says(&told, "once more"));
    let again = press(&mut call, "1");
    assert!(says(&again, "0 0 4 7 1 1") && says(&again, "new PIN press 1"));
    // Now 1 means a new one.
    let asked = press(&mut call, "1");
    assert!(says(&asked, "A PIN that you have will end") && !says(&asked, "4 7 1 1"));
    // Whoever goes on without hearing it again does not hear it again.
    let mut call = admitted();
    press(&mut call, "11");
    call.input(Input::Done(Outcome::PinSet(Pin::parse("004711").unwrap())));
    assert!(!says(&press(&mut call, "*"), "4 7 1 1"));
    assert!(!says(&press(&mut call, "1"), "4 7 1 1"));
}

#[test]
fn slips_are_told_at_once_and_bounded() {
    let (mut call, step) = Call::start();
    assert!(says(&step, "Welcome") && says(&step, "access number"));
    let mut wrong: Vec<u8> = number().expose().bytes().collect();
    wrong[3] = if wrong[3] == b'9' { b'0' } else { wrong[3] + 1 };
    let wrong = String::from_utf8(wrong).unwrap();
    assert!(says(&press(&mut call, &wrong), "mistyped"));
    assert!(says(&press(&mut call, "123#"), "mistyped"));
    // A star begins anew and is no slip.
    let step = press(&mut call, &format!("123*{}", number().expose()));
    assert!(says(&step, "passcode") && !says(&step, "mistyped"));
    assert!(says(&press(&mut call, "1#"), "mistyped"));
    let attempt = press(&mut call, &format!("99*{PASSCODE}"));
    assert!(matches!(attempt.next, Next::Do(Action::Authenticate(..))));
    let (mut call, _) = Call::start();
    let ends = (0..SLIPS_MAX).map(|_| press(&mut call, "1#")).filter(|step| matches!(step.next, Next::End)).count();
    assert_eq!((ends, call.has_ended()), (1, true));
}

#[test]
fn refusals_end_the_call() {
    let (mut call, _) = Call::start();
    for attempt in 1..=REFUSALS_MAX {
        press(&mut call, &format!("{}{PASSCODE}", number().expose()));
        let step = call.input(Input::Done(Outcome::Refused));
        assert!(says(&step, "not right"));
        assert_eq!(call.has_ended(), attempt == REFUSALS_MAX);
    }
    let (mut call, _) = Call::start();
    press(&mut call, &format!("{}{PASSCODE}", number().expose()));
    assert!(says(&call.input(Input::Done(Outcome::Busy)), "busy") && call.has_ended());
}

#[test]
fn silence_asks_again_and_then_ends() {
    let mut call = admitted();
    press(&mut call, "4");
    assert!(says(&call.input(Input::Silence), "stop all payments"));
    let step = call.input(Input::Silence);
    assert!(matches!(step.next, Next::End) && says(&step, "Goodbye"));
    assert!(matches!(call.input(Input::Key(Key::Digit(1))).next, Next::End), "nothing happens after the end");
}

#[test]
fn reports_of_a_call_are_bounded() {
    let mut call = admitted();
    for _ in 0..REPORTS_MAX {
        assert!(matches!(press(&mut call, "51").next, Next::Do(_)));
        assert!(says(&call.input(Input::Done(Outcome::Filed(12_345_678))), "1 2 3 4 5 6 7 8"));
    }
    assert!(says(&press(&mut call, "51"), "enough reports"));
}

#[test]
fn what_is_done_in_a_call_is_bounded() {
    let mut call = admitted();
    // The attempt was the first.
    for _ in 1..ACTIONS_MAX {
        assert!(matches!(press(&mut call, "41").next, Next::Do(_)));
        call.input(Input::Done(Outcome::Held));
    }
    let step = press(&mut call, "42");
    assert!(says(&step, "call again") && matches!(step.next, Next::End) && call.has_ended());
}

#[test]
fn an_access_that_ends_ends_the_call() {
    let mut call = admitted();
    press(&mut call, "2");
    assert!(says(&call.input(Input::Done(Outcome::AccessEnded)), "has ended") && call.has_ended());
}

#[derive(Debug, Clone)]
enum Event {
    Key(u8),
    Silence,
    Outcome(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0u8..12).prop_map(Event::Key),
        1 => Just(Event::Silence),
        3 => (0..outcomes().len()).prop_map(Event::Outcome),
    ]
}

fn input(event: &Event) -> Input {
    match event {
        Event::Key(label) => Input::Key(Key::parse(char::from(b"0123456789*#"[usize::from(*label)])).unwrap()),
        Event::Silence => Input::Silence,
        Event::Outcome(which) => Input::Done(outcomes()[*which]()),
    }
}

proptest! {
    #[test]
    fn nothing_is_done_and_nothing_told_without_an_admission(events in prop::collection::vec(event(), 0..200)) {
        let (mut call, _) = Call::start();
        for event in &events {
            let step = call.input(input(event));
            if let Next::Do(action) = &step.next {
                prop_assert!(matches!(action, Action::Authenticate(..)), "{:?}", action);
            }
            for prompt in &step.say {
                let public = matches!(
                    prompt,
                    Prompt::AskNumber | Prompt::AskPasscode | Prompt::Mistyped | Prompt::Refused | Prompt::Busy
                        | Prompt::Unavailable | Prompt::Goodbye
                );
                prop_assert!(public, "{:?}", prompt);
            }
        }
    }

    #[test]
    fn any_call_can_be_ended(events in prop::collection::vec(event(), 0..60), entered: bool, hang_up: bool) {
        let mut call = if entered { admitted() } else { Call::start().0 };
        for event in &events {
            call.input(input(event));
        }
        if hang_up {
            call.input(Input::HungUp);
        } else {
            // Whatever is being done comes to an end; then silence does.
            call.input(Input::Done(Outcome::Unavailable));
            (0..SILENCES_MAX).for_each(|_| drop(call.input(Input::Silence)));
        }
        prop_assert!(call.has_ended());
        prop_assert!(matches!(call.input(Input::Done(Outcome::Admitted(Caller::for_tests(number())))).next, Next::End));
    }

    #[test]
    fn what_was_typed_is_never_shown(events in prop::collection::vec(event(), 0..40), entered: bool) {
        let mut call = if entered { admitted() } else { Call::start().0 };
        for event in &events {
            let input = input(event);
            let shown = format!("{input:?}");
            prop_assert!(!shown.contains("Digit"));
            let step = call.input(input);
            let shown = format!("{step:?} {call:?}");
            prop_assert!(!shown.contains("4711") && !shown.contains(number().expose()) && !shown.contains(PASSCODE));
        }
    }

    #[test]
    fn without_an_end_a_call_always_listens_or_acts(events in prop::collection::vec(event(), 0..100)) {
        let mut call = admitted();
        let mut acting = false;
        for event in &events {
            let step = call.input(input(event));
            match step.next {
                Next::Do(_) => acting = true,
                Next::Listen(listen) => {
                    acting = false;
                    prop_assert!(listen.keys_max >= 1);
                }
                Next::Wait => prop_assert!(acting),
                Next::End => prop_assert!(call.has_ended()),
            }
        }
    }
}
