//! What the paper says of the response time at the customer, by processor time on this machine.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use benches::fixtures::{TIME, prepared_batch, processor, processor_secret, sealed_request, verifier};
use benches::installation::Processor;
use benches::measure::{Spread, measure};
use benches::preparation::{Responder, Way};
use protocol::ledger::decision::Authentication;
use protocol::proof::Outcome;
use protocol::request::ReceivedRequest;
use protocol::response::{Reason, open};
use protocol::session::payment::PaymentSession;
use tps::book::pay::Presented;

const REQUESTS: usize = 64;
const ROUNDS: usize = 15;

/// The customer's part of one lone request, and the decision about it: symmetric cryptography and memory.
fn decide_alone(state: &mut Processor, request: &ReceivedRequest, session: &PaymentSession) {
    let (_, mut places) = prepared_batch(1);
    let half = request.open(session).unwrap();
    let signed = request.signed_bytes(&half);
    let tagged = half.device_tag_holds(&state.directory.get(half.instrument).unwrap().device_key, &signed);
    let authentication = if tagged { Authentication::Held } else { Authentication::Failed };
    let presented = Presented { request, half: &half, signed: &signed, session, authentication };
    state.book.pay(&presented, places.remove(0), 1, TIME);
}

// spec: K-129
#[test]
fn after_the_key_agreement_the_customers_part_takes_a_fraction_of_it() {
    let messages: Vec<Vec<u8>> = (0..REQUESTS).map(|number| sealed_request(number).bytes).collect();
    let requests: Vec<ReceivedRequest> =
        messages.iter().map(|message| ReceivedRequest::parse(message).unwrap()).collect();
    let (secret, public) = (processor_secret(), processor().public);
    let ratios = (0..ROUNDS).map(|_| {
        let agree = |request: &ReceivedRequest| {
            PaymentSession::for_processor_batch(&secret, &public, &[request.ephemeral]).remove(0).unwrap()
        };
        let (sessions, agreement) = measure(REQUESTS, || requests.iter().map(agree).collect::<Vec<_>>());
        let mut state = Processor::in_memory(REQUESTS, TIME);
        // Preparing places is not the customer's part: what it takes is taken off again.
        let ((), preparing) = measure(REQUESTS, || (0..REQUESTS).for_each(|_| drop(prepared_batch(1))));
        let decide = || {
            requests.iter().zip(&sessions).for_each(|(request, session)| decide_alone(&mut state, request, session));
        };
        let ((), rest) = measure(REQUESTS, decide);
        assert_eq!(state.book.take_changes().0.payments.len(), REQUESTS);
        (rest.cpu_us - preparing.cpu_us) / agreement.cpu_us
    });
    let ratio = Spread::of(ratios);
    assert!(ratio.median < 0.33, "{ratio:?}");
}

// spec: K-130
#[test]
fn answers_come_sooner_because_proofs_are_prepared_before_the_decision() {
    let responder = Responder::new(REQUESTS);
    let mut merchant = verifier(REQUESTS);
    let ratios = (0..ROUNDS).map(|_| {
        let [without, with] = [Way::AfterTheDecision, Way::BeforeTheDecision].map(|way| responder.respond(way));
        without.1.as_secs_f64() / with.1.as_secs_f64()
    });
    let ratio = Spread::of(ratios);
    assert!(ratio.median > 1.05, "{ratio:?}");
    // Whenever it is done, what the customer gets is the same.
    for way in Way::ALL {
        let (answers, _) = responder.respond(way);
        assert_eq!(answers.len(), REQUESTS);
        for (number, answer) in answers.iter().enumerate() {
            let request = sealed_request(number);
            let opened = open(answer, &request.hash, &request.session).unwrap();
            assert_eq!(opened.answer.reason, Reason::Paid);
            assert_eq!(merchant.verify(&opened.proof_bytes).unwrap().outcome(), Outcome::Paid, "{way:?}");
        }
    }
}
