use std::fmt::Write;

use super::*;
use crate::ids::{KeyId, MerchantId, QuoteDigest, RealmId, TermsDigest, TransactionNumber};
use crate::money::{Amount, Asset};
use crate::proof::batch::{BatchSeed, prepare};
use crate::proof::verify::{ProofKey, Verifier};
use crate::proof::{Claim, Outcome};
use crate::quote::{GoodsKind, Quote, QuoteItem, QuoteTerms};
use crate::request::PaymentKind;
use crate::signature::SigningKey;
use crate::time::Timestamp;

// spec: K-79, K-82, K-86, K-89, K-103, K-109
#[test]
fn every_state_and_every_event() {
    let mut table = String::new();
    for state in OrderState::ALL {
        writeln!(table, "{state}").unwrap();
        for event in OrderEvent::ALL {
            let outcome = match state.on(*event) {
                Ok(step) if step.next == *state => format!("{}", step.effect),
                Ok(step) => format!("{} -> {}", step.effect, step.next),
                Err(code) => format!("refused: {code:?}"),
            };
            writeln!(table, "    {:<18}{outcome}", event.text()).unwrap();
        }
    }
    let golden = include_str!("../../vectors/order_states.txt");
    assert_eq!(table, golden, "the table of states and events changed");
}

#[test]
fn no_goods_leave_unless_paid_and_no_payment_is_ever_forgotten() {
    for state in OrderState::ALL {
        for event in OrderEvent::ALL {
            let Ok(step) = state.on(*event) else { continue };
            if step.effect == Effect::Ship {
                assert!(state.is_paid(), "{state} ships");
            }
            assert!(!state.is_paid() || step.next.is_paid(), "{state} forgets its payment at {event}");
            assert!(*state != OrderState::Refunded || step.next == OrderState::Refunded);
        }
    }
}

// spec: K-136
#[test]
fn every_paid_order_can_still_be_delivered_or_refunded() {
    use OrderEvent::*;
    for state in OrderState::ALL.iter().filter(|state| state.is_paid()) {
        let mut reached = vec![*state];
        let mut index = 0;
        while index < reached.len() {
            // What the initiator and the merchant can bring about at will.
            for event in [Confirm, ProofAgain, Advise, SendGoods, Complete, Renegotiate, AcceptRefund] {
                if let Ok(step) = reached[index].on(event)
                    && !reached.contains(&step.next)
                {
                    reached.push(step.next);
                }
            }
            index += 1;
        }
        assert!(reached.contains(&OrderState::Refunded), "{state}");
        let deliverable = !matches!(state, OrderState::Refunded | OrderState::AwaitingRefundDecision);
        assert!(!deliverable || reached.contains(&OrderState::Delivered), "{state}");
    }
}

#[test]
fn names_round_trip() {
    for state in OrderState::ALL {
        assert_eq!(OrderState::from_text(state.text()), Some(*state));
    }
    assert_eq!(OrderState::from_text("paid"), None);
}

fn quote() -> Quote {
    let item =
        QuoteItem { code: "song".into(), description: "A song".into(), quantity: 1, amount: Amount::new(50).unwrap() };
    Quote::new(QuoteTerms {
        realm: RealmId([1; 16]),
        merchant: MerchantId([2; 16]),
        number: TransactionNumber([3; 16]),
        items: vec![item],
        asset: Asset::USD6,
        goods: GoodsKind::Digital,
        issued_at: Timestamp(1_000),
        lifetime_ms: 600_000,
        salt: [4; 32],
    })
    .unwrap()
}

fn claim(quote: &Quote) -> Claim {
    Claim {
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        merchant: quote.merchant,
        number: quote.number,
        amount: quote.total,
        asset: quote.asset,
        quote_digest: quote.digest(),
    }
}

fn judged(claim: Claim, outcome: Outcome) -> Result<(), ProofRefusal> {
    let quote = quote();
    let (key, id, time) = (SigningKey::from_seed([9; 32]), KeyId([9; 8]), Timestamp(2_000));
    let (batch, mut places) = prepare(&[claim], quote.realm, time, BatchSeed::from_random([5; 32]), &key, id);
    let released = places.remove(0).release(outcome);
    let bytes = batch.proof(&released).encode();
    let pinned = ProofKey { id, public: key.public(), valid_from: Timestamp(0), valid_until: Timestamp(10_000) };
    let verified = Verifier::new(quote.realm, [pinned], 4).verify(&bytes).unwrap();
    judge(&verified, &quote)
}

// spec: K-81
#[test]
fn only_the_proof_of_the_very_quote_pays_for_it() {
    let good = claim(&quote());
    assert_eq!(judged(good, Outcome::Paid), Ok(()));
    assert_eq!(judged(good, Outcome::NotPaid), Err(ProofRefusal::Denial));
    let cases = [
        (Claim { merchant: MerchantId([9; 16]), ..good }, ProofRefusal::OtherMerchant),
        (Claim { kind: PaymentKind(1), ..good }, ProofRefusal::Kind),
        (Claim { terms: TermsDigest([1; 32]), ..good }, ProofRefusal::Kind),
        (Claim { number: TransactionNumber([9; 16]), ..good }, ProofRefusal::OtherNumber),
        (Claim { quote_digest: QuoteDigest([9; 32]), ..good }, ProofRefusal::OtherQuote),
        (Claim { amount: Amount::new(49).unwrap(), ..good }, ProofRefusal::OtherAmount),
        (Claim { amount: Amount::new(51).unwrap(), ..good }, ProofRefusal::OtherAmount),
        (Claim { asset: Asset(*b"EUR\0\0\0\0\0"), ..good }, ProofRefusal::OtherAmount),
    ];
    for (claim, expected) in cases {
        assert_eq!(judged(claim, Outcome::Paid), Err(expected));
    }
}
