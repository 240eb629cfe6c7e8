//! A TPS for tests: the protocol's decision and proofs behind a QUIC listener, with faults to order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cts_client::clock;
use cts_client::transport::SERVER_NAME;
use mts_plugin::fixtures::{MERCHANT, REALM, Realm};
use protocol::codec::Canonical as _;
use protocol::enrolment::{Activation, ActivationAnswer, ActivationCode, EnrolmentBundle, SignaturePolicy};
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::{Frame, MessageType, frame_header};
use protocol::ids::{AccountId, Digest, InstrumentId};
use protocol::key_set::refresh::{KeySetPart, KeySetRequest};
use protocol::key_set::{Audience, KeyRole, key_id};
use protocol::ledger::account::Account;
use protocol::ledger::decision::{Asked, Authentication, Decision, Facts, MerchantStanding, decide};
use protocol::ledger::instrument::{Instrument, InstrumentState, Place};
use protocol::money::Asset;
use protocol::pin::Pin;
use protocol::proof::batch::{BatchSeed, Released, SignedBatch, prepare};
use protocol::proof::{Claim, Outcome};
use protocol::request::ReceivedRequest;
use protocol::response::{self, Answer, Authenticated, Reason};
use protocol::session::AgreementSecret;
use protocol::session::payment::PaymentSession;
use protocol::signature::{CustomerKey, Domain, ProofRole, SigningKey, verify};
use protocol::time::DAY_MS;

pub(crate) const ACCOUNT: AccountId = AccountId([4; 16]);
const CODE: [u8; 32] = [0x77; 32];

/// What goes wrong with the next messages.
#[derive(Default)]
pub(crate) struct Faults {
    /// Requests that never arrive.
    pub(crate) lose_requests: u32,
    /// Answers that never arrive.
    pub(crate) lose_answers: u32,
    /// Answers of which one byte is altered.
    pub(crate) alter_answers: u32,
    /// Requests that are answered in clear.
    pub(crate) clear: Option<(ErrorCode, u32)>,
    /// How long each answer takes.
    pub(crate) delay: Duration,
}

struct Enrolled {
    instrument: Instrument,
    keys: Option<(CustomerKey, [u8; 32])>,
    outcome: Option<(Answer, Released, Arc<SignedBatch>)>,
}

pub(crate) struct State {
    enrolled: HashMap<InstrumentId, Enrolled>,
    pub(crate) account: Account,
    pub(crate) faults: Faults,
    /// Every request-for-payment that arrived.
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) debits: Vec<Digest>,
    pub(crate) in_flight: usize,
    pub(crate) in_flight_most: usize,
    pub(crate) activations: usize,
    /// What is given to whoever asks for the newest key set.
    pub(crate) key_set: Option<Vec<u8>>,
    /// How often a key set was asked for.
    pub(crate) key_set_requests: usize,
    /// The secret session key.
    pub(crate) session_secret: [u8; 32],
}

#[derive(Clone)]
pub(crate) struct Tps {
    state: Arc<Mutex<State>>,
    endpoint: quinn::Endpoint,
    certificate: Vec<u8>,
    realm: Arc<Realm>,
}

/// The session key of `mts_plugin::fixtures`.
const SESSION_SECRET: [u8; 32] = [0xf6; 32];

impl Tps {
    pub(crate) fn start(realm: Arc<Realm>) -> Self {
        let certified = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![protocol::limits::ALPN.to_vec()];
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = quinn::Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let account = Account { balance: 50_000_000, ..Account::new(ACCOUNT, Asset::USD6) };
        let state = State {
            enrolled: HashMap::new(),
            account,
            faults: Faults::default(),
            requests: Vec::new(),
            debits: Vec::new(),
            in_flight: 0,
            in_flight_most: 0,
            activations: 0,
            key_set: None,
            key_set_requests: 0,
            session_secret: SESSION_SECRET,
        };
        let tps =
            Self { state: Arc::new(Mutex::new(state)), endpoint, certificate: certified.cert.der().to_vec(), realm };
        let serving = tps.clone();
        tokio::spawn(async move {
            while let Some(incoming) = serving.endpoint.accept().await {
                let tps = serving.clone();
                tokio::spawn(async move { tps.serve(incoming).await });
            }
        });
        tps
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn stop(&self) {
        self.endpoint.close(0u8.into(), b"");
    }

    pub(crate) fn bundle(&self, number: u8) -> EnrolmentBundle {
        let instrument = InstrumentId::for_account(ACCOUNT, [number; 16]);
        let state = InstrumentState::new();
        let instrument_record =
            Instrument { id: instrument, account: ACCOUNT, held: false, revoked: false, limits: None, state };
        let enrolled = Enrolled { instrument: instrument_record, keys: None, outcome: None };
        self.state().enrolled.entry(instrument).or_insert(enrolled);
        let realm = &self.realm;
        EnrolmentBundle::new(
            REALM,
            vec![self.endpoint.local_addr().unwrap().to_string()],
            self.certificate.clone(),
            realm.root(),
            &realm.key_set(Audience::Customer, 1),
            ActivationCode::from_random(CODE),
            instrument,
            0,
            Asset::USD6,
            clock::now().plus(DAY_MS),
        )
        .unwrap()
    }

    pub(crate) fn instrument<T>(&self, number: u8, look: impl FnOnce(&mut Instrument) -> T) -> T {
        let id = InstrumentId::for_account(ACCOUNT, [number; 16]);
        look(&mut self.state().enrolled.get_mut(&id).unwrap().instrument)
    }

    pub(crate) fn set_pin(&self, number: u8, pin: &str) {
        self.instrument(number, |instrument| instrument.state.set_pin(&Pin::parse(pin).unwrap()));
    }

    async fn serve(&self, incoming: quinn::Incoming) {
        let Ok(connection) = incoming.await else { return };
        while let Ok((send, mut receive)) = connection.accept_bi().await {
            let (tps, send) = (self.clone(), Arc::new(tokio::sync::Mutex::new(send)));
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                while let Ok(Some(chunk)) = receive.read_chunk(65_536, true).await {
                    buffer.extend_from_slice(&chunk.bytes);
                    while let Ok(Some(frame)) = Frame::first(&buffer) {
                        let (id, bytes, message) = (frame.request_id, frame.bytes(), frame.message.to_vec());
                        buffer.drain(..bytes);
                        let (tps, send) = (tps.clone(), Arc::clone(&send));
                        tokio::spawn(async move {
                            let Some(answer) = tps.answer(&message).await else { return };
                            let framed = [&frame_header(id, answer.len())[..], &answer].concat();
                            let _gone = send.lock().await.write_all(&framed).await;
                        });
                    }
                }
            });
        }
    }

    async fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        if MessageType::of(message) == Ok(MessageType::Activation) {
            return Some(self.activate(message));
        }
        if MessageType::of(message) == Ok(MessageType::KeySetRequest) {
            let mut state = self.state();
            state.key_set_requests += 1;
            let request = KeySetRequest::decode(message).unwrap();
            let part = state.key_set.as_ref().and_then(|set| KeySetPart::of(set, request.part));
            let busy = || ErrorMessage::new(ErrorCode::Overloaded, 10).to_bytes();
            return Some(part.map_or_else(busy, |part| part.encode()));
        }
        let delay = {
            let mut state = self.state();
            state.requests.push(message.to_vec());
            state.in_flight += 1;
            state.in_flight_most = state.in_flight_most.max(state.in_flight);
            if state.faults.lose_requests > 0 {
                state.faults.lose_requests -= 1;
                state.in_flight -= 1;
                return None;
            }
            state.faults.delay
        };
        tokio::time::sleep(delay).await;
        let mut state = self.state();
        state.in_flight -= 1;
        if let Some((code, left)) = state.faults.clear.take() {
            if left > 1 {
                state.faults.clear = Some((code, left - 1));
            }
            return Some(ErrorMessage::new(code, 10).to_bytes());
        }
        let mut answer = state.pay(message);
        if state.faults.lose_answers > 0 {
            state.faults.lose_answers -= 1;
            return None;
        }
        if state.faults.alter_answers > 0 {
            state.faults.alter_answers -= 1;
            let place = 10 + state.requests.len() * 37 % (answer.len() - 10);
            answer[place] ^= 1;
        }
        Some(answer)
    }

    fn activate(&self, message: &[u8]) -> Vec<u8> {
        let mut state = self.state();
        state.activations += 1;
        let refused = ErrorMessage::new(ErrorCode::ActivationRefused, 0).to_bytes();
        let Ok(activation) = Activation::decode(message) else { return refused };
        let Ok(opened) = activation.open(REALM, &AgreementSecret::from_random(state.session_secret)) else {
            return refused;
        };
        let right = opened.code.is_that_of(&ActivationCode::from_random(CODE).hash());
        let Some(enrolled) = state.enrolled.get_mut(&opened.instrument).filter(|_| right) else { return refused };
        let same = |(key, device): &(CustomerKey, [u8; 32])| {
            key.as_bytes() == opened.customer.as_bytes() && *device == *opened.device_key
        };
        if enrolled.keys.as_ref().is_some_and(|keys| !same(keys)) {
            return refused;
        }
        let last = enrolled.instrument.state.last_count;
        enrolled.keys = Some((opened.customer, *opened.device_key));
        ActivationAnswer::new(&activation, &opened.session, last, SignaturePolicy::Required).encode()
    }
}

impl State {
    fn pay(&mut self, message: &[u8]) -> Vec<u8> {
        let request = match ReceivedRequest::parse(message) {
            Ok(request) => request,
            Err(code) => return ErrorMessage::new(code, 0).to_bytes(),
        };
        let secret = AgreementSecret::from_random(self.session_secret);
        if request.open.key != key_id(KeyRole::Session, &secret.public().0) {
            return ErrorMessage::new(ErrorCode::UnknownKey, 0).to_bytes();
        }
        let session = PaymentSession::for_processor(&secret, &secret.public(), &request.ephemeral).unwrap();
        let half = match request.open(&session) {
            Ok(half) => half,
            Err(code) => return ErrorMessage::new(code, 0).to_bytes(),
        };
        let signed = request.signed_bytes(&half);
        let enrolled = self.enrolled.get(&half.instrument);
        let held = enrolled.and_then(|enrolled| enrolled.keys.as_ref()).is_some_and(|(key, device)| {
            let signature = half
                .signature()
                .is_some_and(|signature| verify(key, Domain::REQUEST_FOR_PAYMENT, &signed, &signature).is_ok());
            half.device_tag_holds(device, &signed) && signature
        });
        let open = &request.open;
        let content = open.content(half.customer_part).hash();
        let merchant = if open.merchant == MERCHANT { MerchantStanding::Certified } else { MerchantStanding::Unknown };
        let now = clock::now();
        let facts = Facts {
            instrument: enrolled.map(|enrolled| &enrolled.instrument),
            account: Some(&self.account),
            merchant,
            now,
        };
        let asked = Asked {
            authentication: if held { Authentication::Held } else { Authentication::Failed },
            request: &request.hash,
            count: half.count,
            content: &content,
            amount: open.amount,
            asset: open.asset,
            valid_until: open.valid_until,
            merchant: open.merchant,
        };
        let decision = decide(&facts, &asked, |pin| half.opens_with(pin, &session, &signed));

        let proof_key = SigningKey::<ProofRole>::from_seed([0xf5; 32]);
        let claim = Claim {
            kind: open.kind,
            terms: open.terms,
            merchant: open.merchant,
            number: open.number,
            amount: open.amount,
            asset: open.asset,
            quote_digest: open.quote_digest,
        };
        let id = key_id(KeyRole::Proof, &proof_key.public());
        let (batch, mut places) =
            prepare(&[claim], REALM, now, BatchSeed::from_random(*clock::random()), &proof_key, id);
        let place = places.remove(0);
        let respond = |answer, released: &Released, batch: &SignedBatch| {
            response::seal(answer, &batch.proof(released).encode(), &request.hash, &session)
        };
        let reason = match decision {
            Decision::Refuse(_, reason) => {
                return respond(Answer::bare(reason), &place.release(Outcome::NotPaid), &batch);
            }
            Decision::RefuseAndCount => {
                let enrolled = self.enrolled.get_mut(&half.instrument).unwrap();
                enrolled.instrument.state.record_failure(&request.hash);
                return respond(Answer::bare(Reason::AuthenticationFailed), &place.release(Outcome::NotPaid), &batch);
            }
            Decision::TellCount(count) => {
                let answer = Answer { count, ..Answer::bare(Reason::CountMismatch) };
                return respond(answer, &place.release(Outcome::NotPaid), &batch);
            }
            Decision::Repeat => {
                let enrolled = &self.enrolled[&half.instrument];
                let (mut answer, released, batch) = enrolled.outcome.clone().unwrap();
                if let Some(told) = &mut answer.authenticated {
                    told.modifier_in_force = enrolled.instrument.state.previous.is_some();
                }
                return respond(answer, &released, &batch);
            }
            Decision::Deny(reason) => reason,
            Decision::Pay => Reason::Paid,
        };
        let processor_part = place.processor_part();
        let released = place.release(reason.outcome());
        if reason == Reason::Paid {
            self.account.balance -= open.amount.signed();
            self.debits.push(content);
        }
        let told = Authenticated { processor_part, modifier_in_force: true, balance: self.account.balance };
        let answer = Answer { reason, count: half.count, authenticated: Some(told) };
        let enrolled = self.enrolled.get_mut(&half.instrument).unwrap();
        enrolled.instrument.state.consume(content, Place::default(), half.customer_part, processor_part);
        let bytes = respond(answer, &released, &batch);
        enrolled.outcome = Some((answer, released, Arc::new(batch)));
        bytes
    }
}
