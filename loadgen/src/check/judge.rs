//! One request and its answers: opened, compared with what was expected, the proof verified as a merchant would.

use protocol::codec::Fixed;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::MessageType;
use protocol::pin::{Modifier, ModifierPart};
use protocol::proof::verify::Verifier;
use protocol::request::ReceivedRequest;
use protocol::response::{Answer, open};
use protocol::session::AgreementPublic;
use protocol::session::payment::PaymentSession;

use super::Tally;
use crate::file::World;
use crate::file::records::{Meta, Standing};

/// Signed headers that a verifier remembers: more than a second of batches.
const HEADERS_REMEMBERED: usize = 4_096;

/// Judges answers of one world.
pub struct Judge {
    verifier: Verifier,
    processor: AgreementPublic,
    /// Balance of an account before its first payment, where each instrument has an account of its own.
    opening_units: Option<u64>,
    /// What was found so far.
    pub tally: Tally,
}

/// A sealed answer whose proof holds.
#[derive(Clone, PartialEq, Eq)]
struct Sealed {
    answer: Answer,
    proof: Vec<u8>,
    payment: [u8; 16],
}

/// Whether a request is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its instrument stands as the standing says.
    Yes,
    /// It was refused in clear: nothing was done, and the same bytes may be sent again.
    Refused,
    /// Nobody knows how its instrument stands.
    Unknown,
}

impl Judge {
    /// A judge for answers of this world.
    pub fn new(world: &World) -> Self {
        Self {
            verifier: Verifier::new(world.realm, world.proof_keys(), HEADERS_REMEMBERED),
            processor: world.processor.public,
            opening_units: (world.per_account == 1).then_some(world.opening_units),
            tally: Tally::default(),
        }
    }

    /// Judges all answers to one request, and brings the standing of its instrument up to date.
    pub fn settle(&mut self, request: &[u8], meta: &Meta, standing: &mut Standing, messages: &[&[u8]]) -> Settled {
        let mut sealed: Vec<Sealed> = Vec::with_capacity(1);
        let (mut refused, mut wrong) = (0, None);
        for message in messages {
            match self.open(request, meta, message) {
                Ok(Ok(answer)) => sealed.push(answer),
                Ok(Err(_code)) => refused += 1,
                Err(problem) => wrong = Some(problem),
            }
        }
        if let Some(problem) = wrong {
            self.tally.problems.add(problem);
            standing.lost = true;
            return Settled::Unknown;
        }
        if sealed.is_empty() {
            if refused > 0 {
                self.tally.refused += 1;
                return Settled::Refused;
            }
            standing.lost = true;
            return Settled::Unknown;
        }
        let settled = self.judge(request, meta, standing, &sealed);
        if let Err(problem) = settled {
            standing.lost = true;
            self.tally.problems.add(format!("instrument {}: {problem}", meta.instrument));
            return Settled::Unknown;
        }
        Settled::Yes
    }

    /// A request that was not answered in time.
    pub fn abandon(&mut self, amount_units: u64, standing: &mut Standing) {
        self.tally.unanswered += 1;
        self.tally.unknown_units += i128::from(amount_units);
        standing.lost = true;
    }

    fn open(&mut self, request: &[u8], meta: &Meta, message: &[u8]) -> Result<Result<Sealed, ErrorCode>, String> {
        if MessageType::of(message) == Ok(MessageType::Error) {
            let error = ErrorMessage::decode(message).map_err(|error| error.to_string())?;
            return Ok(Err(error.code()));
        }
        let received =
            ReceivedRequest::parse(request).map_err(|code| format!("our own request is unreadable: {code}"))?;
        let session = PaymentSession::from_shared(&meta.shared, &received.ephemeral, &self.processor);
        let opened = open(message, &received.hash, &session).map_err(|error| error.to_string())?;
        self.tally.answers += 1;
        let proof = self.verifier.verify(&opened.proof_bytes).map_err(|error| error.to_string())?;
        self.tally.proofs += 1;
        let (stated, asked) = (proof.statement(), &received.open);
        let same = stated.merchant == asked.merchant
            && stated.number == asked.number
            && stated.amount == asked.amount
            && stated.asset == asked.asset
            && stated.quote_digest == asked.quote_digest
            && stated.kind == asked.kind
            && proof.outcome() == opened.answer.reason.outcome();
        if !same {
            return Err("a proof states something else than was asked".to_owned());
        }
        Ok(Ok(Sealed { answer: opened.answer, payment: stated.payment.0, proof: opened.proof_bytes }))
    }

    fn judge(&mut self, request: &[u8], meta: &Meta, standing: &mut Standing, sealed: &[Sealed]) -> Result<(), String> {
        let expected = meta.kind.reason();
        for Sealed { answer, .. } in sealed {
            if answer.reason != expected {
                return Err(format!("expected {expected:?}, was told {:?}", answer.reason));
            }
        }
        *self.tally.outcomes.entry(format!("{expected:?}")).or_insert(0) += 1;
        let Some(first) = sealed.first() else { return Err("no answer".to_owned()) };
        if !expected.consumes_count() {
            // Each attempt is an outcome of its own; the same request counts as one failure.
            self.tally.payment_ids.extend(sealed.iter().map(|answer| answer.payment));
            self.tally.repeats += sealed.len() as u64 - 1;
            standing.pin_failures += 1;
            return Ok(());
        }
        self.tally.payment_ids.push(first.payment);
        if sealed.iter().any(|answer| answer != first) {
            return Err("a repeat was answered otherwise than the first time".to_owned());
        }
        self.tally.repeats += sealed.len() as u64 - 1;
        let told = first.answer.authenticated.ok_or("an authenticated answer tells no modifier")?;
        if first.answer.count != standing.last_count + 1 || !told.modifier_in_force {
            return Err(format!("count {} instead of {}", first.answer.count, standing.last_count + 1));
        }
        let (amount_units, customer_part) = self.content(request, meta)?;
        let paid = first.answer.reason == protocol::response::Reason::Paid;
        standing.last_count += 1;
        standing.modifier = Modifier(standing.modifier).advanced(customer_part, told.processor_part).0;
        standing.pin_failures = 0;
        if paid {
            standing.spent_units += amount_units;
            self.tally.paid += 1;
            self.tally.paid_units += i128::from(amount_units);
        }
        match self.opening_units.map(|opening| i128::from(opening) - i128::from(standing.spent_units)) {
            Some(balance) if balance != told.balance => {
                Err(format!("the balance must be {balance} units, but the answer says {}", told.balance))
            }
            _ => Ok(()),
        }
    }

    fn content(&self, request: &[u8], meta: &Meta) -> Result<(u64, ModifierPart), String> {
        let received = ReceivedRequest::parse(request).map_err(|code| code.to_string())?;
        let session = PaymentSession::from_shared(&meta.shared, &received.ephemeral, &self.processor);
        let half = received.open(&session).map_err(|code| code.to_string())?;
        Ok((received.open.amount.units(), half.customer_part))
    }
}
