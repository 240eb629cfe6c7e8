//! Random lives of an instrument against the TPS's own decision: requests and answers that are lost, delayed and
//! replayed, wrong PINs, crashes between any two steps, new PINs, and copies of the instrument in a thief's hands.

use std::collections::HashMap;

use proptest::prelude::*;

use super::tests::content;
use super::*;
use crate::ids::{AccountId, Digest, InstrumentId};
use crate::ledger::account::Account;
use crate::ledger::decision::{Asked, Authentication, Decision, Facts, MerchantStanding, decide};
use crate::ledger::instrument::{Instrument, InstrumentState, Place};
use crate::money::Asset;
use crate::pin::{ModifiedPin, ModifierPart, Pin};
use crate::response::Authenticated;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp(500);

/// A request on its way. The bytes can be processed any number of times; the attempt's session opens one answer.
struct InFlight {
    client: usize,
    attempt: Option<Attempt>,
    request: Digest,
    count: u64,
    content: Content,
    pin: ModifiedPin,
}

struct Client {
    stored: PaymentState,
    live: PaymentState,
    known_pin: Pin,
    known_pin_number: u32,
    given_up: Vec<Digest>,
}

struct World {
    instrument: Instrument,
    account: Account,
    outcome: Option<Answer>,
    debits: HashMap<Digest, u32>,
    pin: Pin,
    pin_number: u32,
    clients: Vec<Client>,
    network: Vec<InFlight>,
    answers: Vec<(usize, Attempt, Answer)>,
    begun: u8,
    sent: u64,
}

fn pin(number: u32) -> Pin {
    Pin::parse(&format!("{:06}", 100_000 + number)).unwrap()
}

impl World {
    fn new() -> Self {
        let mut state = InstrumentState::new();
        state.set_pin(&pin(0));
        let id = AccountId([4; 16]);
        let live = PaymentState::new(0).unwrap();
        let client =
            Client { stored: live.clone(), live, known_pin: pin(0), known_pin_number: 0, given_up: Vec::new() };
        Self {
            instrument: Instrument {
                id: InstrumentId([4; 16]),
                account: id,
                held: false,
                revoked: false,
                limits: None,
                state,
            },
            // Enough for some payments only, so that denials happen too.
            account: Account { id, asset: Asset::USD6, balance: 900, held: false },
            outcome: None,
            debits: HashMap::new(),
            pin: pin(0),
            pin_number: 0,
            clients: vec![client],
            network: Vec::new(),
            answers: Vec::new(),
            begun: 0,
            sent: 0,
        }
    }

    fn process(&mut self, index: usize) -> Answer {
        let request = &self.network[index];
        let hash = request.content.hash();
        let facts = Facts {
            instrument: Some(&self.instrument),
            account: Some(&self.account),
            merchant: MerchantStanding::Certified,
            now: NOW,
        };
        let asked = Asked {
            authentication: Authentication::Held,
            request: &request.request,
            count: request.count,
            content: &hash,
            amount: request.content.amount,
            asset: request.content.asset,
            valid_until: request.content.valid_until,
            merchant: request.content.merchant,
        };
        let reason = match decide(&facts, &asked, |expected| expected == request.pin) {
            Decision::Refuse(_, reason) => return Answer::bare(reason),
            Decision::RefuseAndCount => {
                self.instrument.state.record_failure(&request.request);
                return Answer::bare(Reason::AuthenticationFailed);
            }
            Decision::TellCount(count) => return Answer { count, ..Answer::bare(Reason::CountMismatch) },
            Decision::Repeat => {
                let mut answer = self.outcome.unwrap();
                let told = answer.authenticated.as_mut().unwrap();
                told.modifier_in_force = self.instrument.state.previous.is_some();
                return answer;
            }
            Decision::Deny(reason) => reason,
            Decision::Pay => Reason::Paid,
        };
        let processor_part = ModifierPart(self.sent.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555);
        self.instrument.state.consume(hash, Place::default(), request.content.customer_part, processor_part);
        if reason == Reason::Paid {
            self.account.balance -= request.content.amount.signed();
            *self.debits.entry(hash).or_default() += 1;
        }
        let told = Authenticated { processor_part, modifier_in_force: true, balance: self.account.balance };
        let answer = Answer { reason, count: request.count, authenticated: Some(told) };
        self.outcome = Some(answer);
        answer
    }

    fn debits_of(&self, content: &Content) -> u32 {
        self.debits.get(&content.hash()).copied().unwrap_or(0)
    }

    fn send(&mut self, who: usize, right: bool, leaves: bool) -> bool {
        let client = &mut self.clients[who];
        let Ok(attempt) = client.live.about_to_send() else { return false };
        client.stored = client.live.clone();
        let typed = if right { client.known_pin.clone() } else { Pin::parse("9999").unwrap() };
        let pin = typed.modified(client.live.modifier());
        self.sent += 1;
        let mut request = Digest::ZERO;
        request.0[..8].copy_from_slice(&self.sent.to_le_bytes());
        let (count, content) = (attempt.count(), *attempt.content());
        if leaves {
            self.network.push(InFlight { client: who, attempt: Some(attempt), request, count, content, pin });
        }
        true
    }

    fn deliver(&mut self, index: usize) {
        let answer = self.process(index);
        let request = &mut self.network[index];
        if let Some(attempt) = request.attempt.take() {
            self.answers.push((request.client, attempt, answer));
        }
    }

    fn receive(&mut self, index: usize, stored: bool) -> PaymentEffect {
        let (who, attempt, answer) = self.answers.swap_remove(index);
        let effect = self.clients[who].live.on(PaymentEvent::Answered(attempt, &answer)).unwrap();
        match &effect {
            PaymentEffect::Resolved(resolution) => {
                assert_eq!(self.debits_of(&resolution.content), u32::from(resolution.reason == Reason::Paid));
            }
            PaymentEffect::Breach => assert!(self.clients.len() > 1, "a breach without a thief"),
            _ => {}
        }
        if stored {
            self.clients[who].stored = self.clients[who].live.clone();
        } else {
            self.crash(who);
        }
        effect
    }

    fn crash(&mut self, who: usize) {
        self.clients[who].live = self.clients[who].stored.clone();
        for request in self.network.iter_mut().filter(|request| request.client == who) {
            request.attempt = None;
        }
        self.answers.retain(|(client, ..)| *client != who);
    }

    fn enter_new_pin(&mut self, who: usize) {
        // A thief does not learn the new PIN.
        if who == 0 && self.clients[0].known_pin_number != self.pin_number {
            let client = &mut self.clients[0];
            (client.known_pin, client.known_pin_number) = (self.pin.clone(), self.pin_number);
            client.live.new_pin();
            client.stored = client.live.clone();
        }
    }

    fn set_pin(&mut self) {
        self.pin_number += 1;
        self.pin = pin(self.pin_number);
        self.instrument.state.set_pin(&self.pin);
    }

    fn give_up(&mut self, who: usize, event: PaymentEvent<'_>) {
        let client = &mut self.clients[who];
        if let Ok(PaymentEffect::Dropped { pending, maybe_paid }) = client.live.on(event)
            && !maybe_paid
        {
            client.given_up.push(pending.content.hash());
        }
        client.stored = client.live.clone();
    }

    fn step(&mut self, action: u8, a: usize, b: bool) {
        let who = a % self.clients.len();
        match action {
            0 | 1 if self.begun < 250 => {
                self.begun += 1;
                let _refused = self.clients[who].live.begin(content(self.begun));
                self.clients[who].stored = self.clients[who].live.clone();
            }
            2..=5 => drop(self.send(who, true, action < 5)),
            6 => drop(self.send(who, false, b)),
            7..=9 if !self.network.is_empty() => self.deliver(a % self.network.len()),
            10 if !self.network.is_empty() => drop(self.network.swap_remove(a % self.network.len())),
            11..=13 if !self.answers.is_empty() => drop(self.receive(a % self.answers.len(), b || action < 13)),
            14 if !self.answers.is_empty() => drop(self.answers.swap_remove(a % self.answers.len())),
            15 => self.crash(who),
            16 => self.set_pin(),
            17 => self.enter_new_pin(who),
            18 => self.give_up(who, PaymentEvent::Abandon),
            19 if b && self.clients.len() < 3 => {
                let Client { stored, known_pin, known_pin_number, .. } = &self.clients[0];
                let (stored, known_pin, known_pin_number) = (stored.clone(), known_pin.clone(), *known_pin_number);
                self.clients.push(Client {
                    live: stored.clone(),
                    stored,
                    known_pin,
                    known_pin_number,
                    given_up: Vec::new(),
                });
            }
            20 if who == 0 && self.clients[0].live.standing().is_breached() => {
                let last_count = self.instrument.state.last_count;
                self.give_up(0, PaymentEvent::Resync { last_count: last_count + u64::from(b) });
            }
            _ => {}
        }
    }

    fn check(&self) {
        assert!(self.debits.values().all(|debits| *debits == 1), "one content, two debits");
        for hash in self.clients[0].given_up.iter() {
            assert!(!self.debits.contains_key(hash) || self.clients.len() > 1, "given up, and paid");
        }
    }

    /// The owner alone, with the right PIN and a network that works, until nothing is open. Returns whether a breach was seen.
    fn settle(&mut self) -> bool {
        self.answers.clear();
        self.network.clear();
        for _ in 0..4 {
            if self.instrument.state.pin_failures >= crate::limits::PIN_FAILURES_MAX
                || self.clients[0].live.standing() == Standing::PinLocked
            {
                self.set_pin();
            }
            self.enter_new_pin(0);
            if self.clients[0].live.pending().is_none() || !self.send(0, true, true) {
                break;
            }
            self.deliver(self.network.len() - 1);
            self.receive(self.answers.len() - 1, true);
        }
        self.clients[0].live.standing().is_breached()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    // spec: K-59, K-61, K-115, K-120, K-121, K-123, K-124
    #[test]
    fn nothing_is_paid_twice_everything_resumes_and_every_breach_is_seen(
        steps in prop::collection::vec((0u8..21, any::<u16>(), any::<bool>()), 0..160)
    ) {
        let mut world = World::new();
        for (action, a, b) in steps {
            world.step(action, usize::from(a), b);
            world.check();
        }
        let mut breached = world.settle();
        world.check();
        if world.clients.len() == 1 {
            let client = &world.clients[0].live;
            prop_assert!(!breached && client.pending().is_none(), "does not resume: {client:?}");
            prop_assert_eq!(world.clients[0].known_pin.modified(client.modifier()), world.instrument.state.current.unwrap());
            prop_assert_eq!(client.next_count(), world.instrument.state.last_count + 1);
        }
        // Whoever else used the instrument, the owner notices with the next payment at the latest.
        let foreign = world.clients[0].live.next_count() <= world.instrument.state.last_count;
        if !breached && world.clients[0].live.pending().is_none() {
            world.begun += 1;
            world.clients[0].live.begin(content(world.begun)).unwrap();
            breached = world.settle();
            prop_assert_eq!(breached, foreign);
        }
        if breached {
            // Nothing heals it but a new PIN and the count entered by hand.
            prop_assert!(world.clients[0].live.begin(content(251)).is_err());
            prop_assert!(world.clients[0].live.about_to_send().is_err());
            world.set_pin();
            world.enter_new_pin(0);
            let last_count = world.instrument.state.last_count;
            world.give_up(0, PaymentEvent::Resync { last_count });
            prop_assert_eq!(world.clients[0].live.standing(), Standing::Ready);
            world.clients[0].live.begin(content(252)).unwrap();
            prop_assert!(!world.settle());
            prop_assert!(world.clients[0].live.pending().is_none());
            world.check();
        }
    }
}
