//! `--frames`: every message in words, so that a person can see the protocol happen. Sealed parts are told by length.

use protocol::codec::{Canonical, Fixed};
use protocol::error::ErrorMessage;
use protocol::frame::MessageType;
use protocol::key_set::refresh::{KeySetPart, KeySetRequest};
use protocol::proof::{Outcome, Proof};
use protocol::request::{OpenHalf, ReceivedRequest};
use protocol::response::RESPONSE_OVERHEAD_BYTES;

/// Prints one message to standard error.
pub(super) fn print(direction: &str, request_id: u32, message: &[u8]) {
    eprintln!("frame {direction} {request_id} {} bytes: {}", message.len(), describe(message));
}

fn describe(message: &[u8]) -> String {
    match MessageType::of(message) {
        Err(error) => error.to_string(),
        Ok(MessageType::RequestForPayment) => match ReceivedRequest::parse(message) {
            Ok(request) => {
                let OpenHalf { merchant, number, amount, asset, valid_until, quote_digest, .. } = request.open;
                format!(
                    "request-for-payment merchant={merchant} number={number} amount={} {asset} quote={quote_digest} \
                     valid-until={valid_until} (customer's half sealed)",
                    amount.units()
                )
            }
            Err(code) => format!("request-for-payment refused: {code:?}"),
        },
        Ok(MessageType::Response) => match message.get(RESPONSE_OVERHEAD_BYTES..).map(Proof::decode) {
            Some(Ok(proof)) => {
                let word = if proof.outcome == Outcome::Paid { "proof-of-payment" } else { "denial-of-payment" };
                let statement = proof.statement;
                format!(
                    "response (outcome for the customer sealed) + {word} payment={} merchant={} number={} amount={} {} \
                     leaf {} of {} time={}",
                    statement.payment,
                    statement.merchant,
                    statement.number,
                    statement.amount.units(),
                    statement.asset,
                    proof.index,
                    proof.size,
                    statement.batch_time
                )
            }
            _ => "response that cannot be read".to_owned(),
        },
        Ok(MessageType::Error) => match ErrorMessage::decode(message) {
            Ok(error) => format!("error {:?}, retry after {} ms", error.code(), error.retry_after_ms),
            Err(error) => error.to_string(),
        },
        Ok(MessageType::Activation) => "activation (sealed)".to_owned(),
        Ok(MessageType::ActivationAnswer) => "activation answer (sealed)".to_owned(),
        Ok(MessageType::KeySetRequest) => match KeySetRequest::decode(message) {
            Ok(request) => format!("key set request, part {}", request.part),
            Err(error) => error.to_string(),
        },
        Ok(MessageType::KeySetPart) => match KeySetPart::decode(message) {
            Ok(part) => format!("key set, part {} of {}", part.part + 1, part.parts),
            Err(error) => error.to_string(),
        },
    }
}
