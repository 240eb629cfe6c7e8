//! The requests of a round, and what their answers must say.

use anyhow::{Context, ensure};
use protocol::money::Amount;
use protocol::proof::verify::Verifier;
use protocol::request::{Content, SealedRequest};
use protocol::response::{Reason, open};
use protocol::time::Timestamp;

use crate::fixtures::{content, sealed_request_for, verifier};
use crate::installation::BALANCE_UNITS;

/// Every so many payments one asks for more than the account holds.
const DENIED_EVERY: usize = 64;

/// A request and what it asks for.
pub(super) struct Asked {
    pub(super) request: SealedRequest,
    content: Content,
    expected: Reason,
}

/// The only request of instrument `number`, valid from `now` on.
pub(super) fn ask(number: usize, now: Timestamp) -> Asked {
    let mut content = Content { valid_until: now.plus(600_000), ..content(number) };
    let mut expected = Reason::Paid;
    if number % DENIED_EVERY == DENIED_EVERY - 1 {
        content.amount = Amount::new(BALANCE_UNITS as u64 + 1).expect("below the largest amount");
        expected = Reason::InsufficientFunds;
    }
    Asked { request: sealed_request_for(number, &content), content, expected }
}

/// Opens every answer as its customer and verifies its proof as its merchant.
pub(super) fn check(asked: &[Asked], answers: &[Vec<u8>]) -> anyhow::Result<()> {
    ensure!(asked.len() == answers.len(), "{} requests, {} answers", asked.len(), answers.len());
    let mut verifier: Verifier = verifier(1024);
    for (Asked { request, content, expected }, answer) in asked.iter().zip(answers) {
        let opened = open(answer, &request.hash, &request.session).context("an answer does not open")?;
        ensure!(opened.answer.reason == *expected, "{:?} instead of {expected:?}", opened.answer.reason);
        let proof = verifier.verify(&opened.proof_bytes).context("a proof does not hold")?;
        let statement = proof.statement();
        ensure!(proof.outcome() == expected.outcome(), "the proof states another outcome than the answer");
        ensure!(
            (statement.merchant, statement.number, statement.amount, statement.quote_digest)
                == (content.merchant, content.number, content.amount, content.quote_digest),
            "the proof states another payment than was asked for"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TIME;
    use crate::floor::Floor;
    use crate::installation::{Balances, Processor};

    #[test]
    fn answers_of_the_floor_hold_and_exchanged_ones_do_not() {
        let asked: Vec<Asked> = (0..128).map(|number| ask(number, TIME)).collect();
        let messages: Vec<&[u8]> = asked.iter().map(|asked| &asked.request.bytes[..]).collect();
        let mut floor = Floor::new(Processor::in_memory(128, TIME));
        let mut answers = floor.pay(&messages);
        check(&asked, &answers).unwrap();
        assert_eq!(Balances::of(&floor.processor().book).sum(), 0);
        answers.swap(0, 1);
        assert!(check(&asked, &answers).is_err());
    }
}
