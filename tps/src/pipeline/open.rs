//! Open: regenerate session keys and open the customers' halves (DESIGN section 6, rows 1 and 2).

use protocol::error::ErrorCode;
use protocol::ids::KeyId;
use protocol::request::{CustomerHalf, ReceivedRequest, SignedBytes};
use protocol::session::payment::PaymentSession;
use protocol::session::{AgreementPublic, AgreementSecret};

use super::reply::ReplyTo;

/// A session key of the TPS.
pub struct SessionKey {
    id: KeyId,
    secret: AgreementSecret,
    public: AgreementPublic,
}

impl SessionKey {
    /// The key `id` with its secret.
    pub fn new(id: KeyId, secret: AgreementSecret) -> Self {
        let public = secret.public();
        Self { id, secret, public }
    }

    /// Names the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The public key.
    pub fn public(&self) -> AgreementPublic {
        self.public
    }

    /// The secret key.
    pub fn secret(&self) -> &AgreementSecret {
        &self.secret
    }
}

/// A request whose open half was read; the customer's half is sealed.
pub struct Sealed {
    /// In a box, because it passes through queues and is a third of a kilobyte.
    request: Box<ReceivedRequest>,
    reply: ReplyTo,
}

impl Sealed {
    /// Reads the open half of a message; what cannot be read is answered with a typed error (row 1).
    pub fn parse(message: &[u8], keys: &[SessionKey], reply: ReplyTo) -> Option<Self> {
        let parsed = ReceivedRequest::parse(message).and_then(|request| {
            if !keys.iter().any(|key| key.id == request.open.key) {
                return Err(ErrorCode::UnknownKey);
            }
            if request.open.route != 0 { Err(ErrorCode::Moved) } else { Ok(request) }
        });
        match parsed {
            Ok(request) => Some(Self { request: Box::new(request), reply }),
            Err(code) => {
                reply.refuse(code, 0);
                None
            }
        }
    }

    /// Answers with a typed error instead of going on.
    pub fn refuse(self, code: ErrorCode, retry_after_ms: u32) {
        self.reply.refuse(code, retry_after_ms);
    }

    /// The request as received.
    pub fn request(&self) -> &ReceivedRequest {
        &self.request
    }
}

/// A request whose customer's half is open. Only [`open_batch`] makes one.
pub struct Opened {
    pub(super) request: Box<ReceivedRequest>,
    pub(super) half: CustomerHalf,
    pub(super) signed: SignedBytes,
    pub(super) session: PaymentSession,
    pub(super) reply: ReplyTo,
}

/// Requests of a batch that are tried once more by another implementation of the key agreement, should they not open: a
/// fault in the fast one must not lose a payment, and garbage must not cost much.
const SECOND_TRIES_MAX: usize = 4;

/// Opens a batch. What does not open is answered at once: nothing of any customer was touched (row 2).
pub fn open_batch(sealed: Vec<Sealed>, keys: &[SessionKey]) -> Vec<Opened> {
    let mut sessions = sessions(&sealed, keys);
    let mut second_tries = 0;
    let mut opened = Vec::with_capacity(sealed.len());
    for (Sealed { request, reply }, session) in sealed.into_iter().zip(&mut sessions) {
        let half = match open(&request, session.take()) {
            Err(ErrorCode::DoesNotOpen) if second_tries < SECOND_TRIES_MAX => {
                second_tries += 1;
                open(&request, agree_again(&request, keys)).inspect(|_| {
                    tracing::error!(
                        "a key agreement went wrong in the vector unit and was repeated: check this machine"
                    );
                })
            }
            first => first,
        };
        match half {
            Ok((half, session)) => {
                let signed = request.signed_bytes(&half);
                opened.push(Opened { request, half, signed, session, reply });
            }
            Err(code) => reply.refuse(code, 0),
        }
    }
    opened
}

/// The session of every request: all those of one key in one go.
fn sessions(sealed: &[Sealed], keys: &[SessionKey]) -> Vec<Option<PaymentSession>> {
    let mut sessions: Vec<Option<PaymentSession>> = sealed.iter().map(|_| None).collect();
    for key in keys {
        let of_key = || sealed.iter().enumerate().filter(|(_, sealed)| sealed.request.open.key == key.id);
        let ephemerals: Vec<AgreementPublic> = of_key().map(|(_, sealed)| sealed.request.ephemeral).collect();
        let agreed = PaymentSession::for_processor_batch(&key.secret, &key.public, &ephemerals);
        for ((position, _), session) in of_key().zip(agreed) {
            sessions[position] = session.ok();
        }
    }
    sessions
}

fn agree_again(request: &ReceivedRequest, keys: &[SessionKey]) -> Option<PaymentSession> {
    let key = keys.iter().find(|key| key.id == request.open.key)?;
    PaymentSession::for_processor(&key.secret, &key.public, &request.ephemeral).ok()
}

fn open(
    request: &ReceivedRequest,
    session: Option<PaymentSession>,
) -> Result<(CustomerHalf, PaymentSession), ErrorCode> {
    let session = session.ok_or(ErrorCode::DoesNotOpen)?;
    let half = request.open(&session)?;
    Ok((half, session))
}
