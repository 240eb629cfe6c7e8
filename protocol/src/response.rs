//! The answer to a request-for-payment: a sealed outcome for the customer alone, then proof or denial in clear for the
//! merchant (paper section 2, step 6; DESIGN section 4).

use crate::codec::{DecodeError, Fixed, fixed};
use crate::frame::MessageType;
use crate::ids::Digest;
use crate::pin::ModifierPart;
use crate::proof::{Outcome, Proof};
use crate::session::payment::{PaymentSession, SEAL_TAG_BYTES};

/// Why a payment was denied. Told to the customer only; the denial that a merchant could see is the same for all (K-71).
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, thiserror::Error,
)]
#[repr(u8)]
pub enum Reason {
    /// Not denied.
    #[error("paid")]
    Paid = 0,
    /// Unknown or revoked instrument, another device, a bad signature or a wrong PIN: which one is not told (K-78).
    #[error("authentication failed: check the PIN; after five failures a new PIN is needed")]
    AuthenticationFailed = 1,
    /// Too many wrong PINs in a row (K-125).
    #[error("the instrument is locked after too many wrong PINs: have a new PIN set through the second channel")]
    PinLocked = 2,
    /// The count was used for something else: a replay, or a copy of this instrument is in use (K-124).
    #[error(
        "the count was used already, though not by this client: a copy of this instrument may be in use; call the second channel, set a new PIN and enter the count it tells"
    )]
    OutOfStep = 3,
    /// The count is ahead of the TPS's; the answer carries the right one.
    #[error("the count is ahead of the TPS's: ask again with the count that the answer carries")]
    CountMismatch = 4,
    /// Account or instrument is held (K-127).
    #[error("the account or the instrument is on hold: release it through the second channel")]
    Held = 5,
    /// The instrument's time is over.
    #[error("the instrument has expired: ask for a new one")]
    InstrumentExpired = 6,
    /// More than the instrument may pay at once.
    #[error("the amount is above what this instrument may pay at once")]
    AboveLimitPerPayment = 7,
    /// More than the instrument may pay in its period.
    #[error("the payment would exceed what this instrument may pay in its period")]
    AboveLimitPerPeriod = 8,
    /// The instrument may pay certain merchants only.
    #[error("this instrument may not pay this merchant")]
    MerchantNotPermitted = 9,
    /// No such merchant (K-03).
    #[error("the merchant is not registered")]
    MerchantUnknown = 10,
    /// Registered, but not certified now (K-03).
    #[error("the merchant is suspended or not yet certified")]
    MerchantSuspended = 11,
    /// The account holds another asset.
    #[error("the account does not hold this asset")]
    AssetMismatch = 12,
    /// `valid-until` is past.
    #[error("the request was valid until a time that is past: ask for a new quote")]
    Expired = 13,
    /// `valid-until` is too far ahead.
    #[error("the request would be valid for too long: check the clock of this machine")]
    ValidTooLong = 14,
    /// Less in the account than the amount.
    #[error("insufficient funds")]
    InsufficientFunds = 15,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 16] = [
        Self::Paid,
        Self::AuthenticationFailed,
        Self::PinLocked,
        Self::OutOfStep,
        Self::CountMismatch,
        Self::Held,
        Self::InstrumentExpired,
        Self::AboveLimitPerPayment,
        Self::AboveLimitPerPeriod,
        Self::MerchantNotPermitted,
        Self::MerchantUnknown,
        Self::MerchantSuspended,
        Self::AssetMismatch,
        Self::Expired,
        Self::ValidTooLong,
        Self::InsufficientFunds,
    ];

    /// Whether the transaction used its count: paid, or denied although authenticated (rows 9 and 10; K-116).
    pub const fn consumes_count(self) -> bool {
        !matches!(self, Self::AuthenticationFailed | Self::PinLocked | Self::OutOfStep | Self::CountMismatch)
    }

    /// What the merchant's proof says.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Paid => Outcome::Paid,
            _ => Outcome::NotPaid,
        }
    }
}

/// What the customer alone learns. A function of the stored outcome, so that asking again gives the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Paid, or why not.
    pub reason: Reason,
    /// The count that was consumed; with [`Reason::CountMismatch`] the count to use; 0 where it is not told.
    pub count: u64,
    /// What an authenticated requester learns besides; `None` where the PIN was not looked at or wrong (K-78).
    pub authenticated: Option<Authenticated>,
}

/// The part of an answer for a requester who knew the PIN, about a consumed count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Authenticated {
    /// The TPS's part of the modifier (K-117, K-119).
    pub processor_part: ModifierPart,
    /// Whether the modifier parts of this transaction are in force; not after a new PIN was set since (K-120).
    pub modifier_in_force: bool,
    /// Balance of the account after this transaction, in smallest units.
    pub balance: i128,
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct AnswerBytes {
    reason: Reason,
    count: u64,
    authenticated: u8,
    modifier_in_force: u8,
    processor_part: ModifierPart,
    balance: i128,
}

fixed!(AnswerBytes, "sealed outcome", |answer| {
    let blank = answer.processor_part == ModifierPart(0) && answer.modifier_in_force == 0 && answer.balance == 0;
    match (answer.authenticated, answer.modifier_in_force) {
        (0, 0) if blank => Ok(()),
        (1, 0 | 1) => Ok(()),
        _ => Err(DecodeError::Field { what: "sealed outcome", field: "flag" }),
    }
});

impl Answer {
    /// An answer that tells nothing but its reason (rows 3 to 6).
    pub const fn bare(reason: Reason) -> Self {
        Self { reason, count: 0, authenticated: None }
    }

    fn to_bytes(self) -> AnswerBytes {
        let told = self.authenticated;
        AnswerBytes {
            reason: self.reason,
            count: self.count,
            authenticated: u8::from(told.is_some()),
            modifier_in_force: u8::from(told.is_some_and(|told| told.modifier_in_force)),
            processor_part: told.map_or(ModifierPart(0), |told| told.processor_part),
            balance: told.map_or(0, |told| told.balance),
        }
    }

    fn from_bytes(bytes: &AnswerBytes) -> Self {
        let authenticated = (bytes.authenticated == 1).then_some(Authenticated {
            processor_part: bytes.processor_part,
            modifier_in_force: bytes.modifier_in_force == 1,
            balance: bytes.balance,
        });
        Self { reason: bytes.reason, count: bytes.count, authenticated }
    }
}

const PREFIX_BYTES: usize = 3;
const ANSWER_BYTES: usize = <AnswerBytes as Fixed>::BYTES;
/// Bytes before the proof.
pub const RESPONSE_OVERHEAD_BYTES: usize = PREFIX_BYTES + ANSWER_BYTES + SEAL_TAG_BYTES;

/// Why a response was not accepted. The transaction stays unresolved; ask again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not a response.
    #[error("the answer of the TPS cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// Altered, or not an answer to this request.
    #[error("the answer was altered on the way or belongs to another request")]
    NotAuthentic,
    /// Sealed outcome and proof contradict each other. Whether the proof is for what was asked is checked by
    /// [`crate::customer`], which knows what was asked.
    #[error("the TPS's answer contradicts the request: report this to the operator")]
    Contradiction,
}

/// Bytes of the associated data before the proof: which request is answered.
const ASSOCIATED_HEAD_BYTES: usize = PREFIX_BYTES + Digest::BYTES;

/// Associated data: which request, and what proof.
fn associated(request: &Digest, proof: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ASSOCIATED_HEAD_BYTES + proof.len());
    bytes.extend_from_slice(&MessageType::Response.prefix());
    bytes.extend_from_slice(&request.0);
    bytes.extend_from_slice(proof);
    bytes
}

/// Makes responses one after another in the same buffers.
#[derive(Debug, Default)]
pub struct ResponseSealer {
    associated: Vec<u8>,
    response: Vec<u8>,
}

impl ResponseSealer {
    /// The response to the request of hash `request`: outcome sealed under its session, proof in clear.
    pub fn seal(&mut self, answer: Answer, proof: &Proof, request: &Digest, session: &PaymentSession) -> &[u8] {
        self.seal_with(answer, |out| proof.append_to(out), request, session)
    }

    fn seal_with(
        &mut self,
        answer: Answer,
        append_proof: impl FnOnce(&mut Vec<u8>),
        request: &Digest,
        session: &PaymentSession,
    ) -> &[u8] {
        self.associated.clear();
        self.associated.extend_from_slice(&MessageType::Response.prefix());
        self.associated.extend_from_slice(&request.0);
        append_proof(&mut self.associated);
        self.response.clear();
        self.response.extend_from_slice(&MessageType::Response.prefix());
        self.response.resize(PREFIX_BYTES + ANSWER_BYTES, 0);
        answer.to_bytes().encode_into(&mut self.response[PREFIX_BYTES..]);
        let tag = session.seal_response(&self.associated, &mut self.response[PREFIX_BYTES..]);
        self.response.extend_from_slice(&tag);
        self.response.extend_from_slice(&self.associated[ASSOCIATED_HEAD_BYTES..]);
        &self.response
    }
}

/// One response with an encoded proof; see [`ResponseSealer`] for many.
pub fn seal(answer: Answer, proof: &[u8], request: &Digest, session: &PaymentSession) -> Vec<u8> {
    let mut sealer = ResponseSealer::default();
    sealer.seal_with(answer, |out| out.extend_from_slice(proof), request, session);
    sealer.response
}

/// A response that the session key authenticated. Only [`open`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedResponse {
    /// What the customer alone learns.
    pub answer: Answer,
    /// Proof or denial for the merchant, to be forwarded untouched. Its signature is the merchant's business (K-73).
    pub proof_bytes: Vec<u8>,
}

/// Opens a response with the session of its request.
///
/// # Errors
/// [`ResponseError`]; nothing is resolved then.
pub fn open(message: &[u8], request: &Digest, session: &PaymentSession) -> Result<OpenedResponse, ResponseError> {
    if MessageType::of(message)? != MessageType::Response {
        return Err(DecodeError::Field { what: "response", field: "type" }.into());
    }
    let Some((head, proof_bytes)) = message.split_at_checked(RESPONSE_OVERHEAD_BYTES) else {
        return Err(
            DecodeError::Length { what: "response", expected: RESPONSE_OVERHEAD_BYTES, actual: message.len() }.into()
        );
    };
    let mut answer = [0; ANSWER_BYTES];
    answer.copy_from_slice(&head[PREFIX_BYTES..PREFIX_BYTES + ANSWER_BYTES]);
    let mut tag = [0; SEAL_TAG_BYTES];
    tag.copy_from_slice(&head[PREFIX_BYTES + ANSWER_BYTES..]);
    session
        .open_response(&associated(request, proof_bytes), &mut answer, &tag)
        .map_err(|_| ResponseError::NotAuthentic)?;
    let answer = Answer::from_bytes(&AnswerBytes::decode(&answer)?);
    let proof = Proof::decode(proof_bytes)?;
    if proof.outcome != answer.reason.outcome() {
        return Err(ResponseError::Contradiction);
    }
    Ok(OpenedResponse { answer, proof_bytes: proof_bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::tests::example_proof;
    use crate::session::AgreementSecret;

    fn session() -> PaymentSession {
        let processor = AgreementSecret::from_random([3; 32]).public();
        PaymentSession::for_customer(AgreementSecret::from_random([4; 32]), &processor).unwrap()
    }

    fn paid() -> Answer {
        let told = Authenticated { processor_part: ModifierPart(9), modifier_in_force: true, balance: 5_000_000 };
        Answer { reason: Reason::Paid, count: 7, authenticated: Some(told) }
    }

    #[test]
    fn responses_round_trip() {
        let request = Digest([1; 32]);
        let (proof, denial) = (example_proof(Outcome::Paid), example_proof(Outcome::NotPaid));
        for (answer, bytes) in [(paid(), &proof), (Answer::bare(Reason::PinLocked), &denial)] {
            let response = seal(answer, bytes, &request, &session());
            let opened = open(&response, &request, &session()).unwrap();
            assert_eq!(opened.answer, answer);
            assert_eq!(&opened.proof_bytes, bytes);
        }
    }

    // spec: K-70
    #[test]
    fn any_altered_byte_is_noticed() {
        let request = Digest([1; 32]);
        let response = seal(paid(), &example_proof(Outcome::Paid), &request, &session());
        for index in 0..response.len() {
            let mut altered = response.clone();
            altered[index] ^= 1;
            assert!(open(&altered, &request, &session()).is_err(), "byte {index}");
        }
        assert_eq!(open(&response, &Digest([2; 32]), &session()), Err(ResponseError::NotAuthentic));
        assert!(open(&response[..response.len() - 1], &request, &session()).is_err());
    }

    #[test]
    fn equal_answers_give_equal_bytes() {
        let (request, proof) = (Digest([1; 32]), example_proof(Outcome::Paid));
        assert_eq!(seal(paid(), &proof, &request, &session()), seal(paid(), &proof, &request, &session()));
    }

    #[test]
    fn outcome_and_proof_must_agree() {
        let request = Digest([1; 32]);
        let response = seal(paid(), &example_proof(Outcome::NotPaid), &request, &session());
        assert_eq!(open(&response, &request, &session()), Err(ResponseError::Contradiction));
    }
}
