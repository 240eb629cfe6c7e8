//! Messages as text, so that a person can see the protocol happen. No secret is among what is shown: the messages themselves
//! hold none in clear.

use std::fmt;

use protocol::certificate::MerchantCertificate;
use protocol::codec::{Canonical, DecodeError};
use protocol::proof::Proof;
use protocol::purchase::{
    Acknowledged, AuthenticatedQuote, Confirmation, DigitalGoods, MerchantError, MerchantMessageType, QuoteOffer,
    QuoteRequest, Renegotiation, RenegotiationAcknowledgment, SendGoods, ShippingAdvice,
};
use protocol::quote::Quote;

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub enum Direction {
    /// From the customer.
    #[serde(rename = "CTS -> MTS")]
    Received,
    /// To the customer.
    #[serde(rename = "MTS -> CTS")]
    Sent,
}

/// One message as people read it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct FrameText {
    /// Which way.
    pub direction: Direction,
    /// What it is.
    pub message: &'static str,
    /// Its length.
    pub bytes: usize,
    /// Its fields.
    pub fields: Vec<(&'static str, String)>,
}

impl fmt::Display for FrameText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = match self.direction {
            Direction::Received => "CTS -> MTS",
            Direction::Sent => "MTS -> CTS",
        };
        write!(f, "{arrow}  {} ({} bytes)", self.message, self.bytes)?;
        for (name, value) in &self.fields {
            write!(f, "\n    {name:<16} {value}")?;
        }
        Ok(())
    }
}

type Fields = Vec<(&'static str, String)>;

/// Decodes a message between CTS and MTS; what cannot be decoded is shown as that.
pub fn describe(direction: Direction, bytes: &[u8]) -> FrameText {
    let (message, fields) = match MerchantMessageType::of(bytes) {
        Ok(kind) => fields(kind, bytes),
        Err(error) => proof(bytes).unwrap_or(("unreadable", Err(error))),
    };
    let fields = fields.unwrap_or_else(|error| vec![("error", error.to_string())]);
    FrameText { direction, message, bytes: bytes.len(), fields }
}

fn fields(kind: MerchantMessageType, bytes: &[u8]) -> (&'static str, Result<Fields, DecodeError>) {
    match kind {
        MerchantMessageType::QuoteRequest => (QuoteRequest::NAME, quote_request(bytes)),
        MerchantMessageType::QuoteOffer => (QuoteOffer::NAME, quote_offer(bytes)),
        MerchantMessageType::Confirmation => (Confirmation::NAME, confirmation(bytes)),
        MerchantMessageType::AuthenticatedQuote => (AuthenticatedQuote::NAME, authenticated_quote(bytes)),
        MerchantMessageType::ShippingAdvice => (ShippingAdvice::NAME, shipping_advice(bytes)),
        MerchantMessageType::SendGoods => (SendGoods::NAME, send_goods(bytes)),
        MerchantMessageType::Renegotiation => (Renegotiation::NAME, renegotiation(bytes)),
        MerchantMessageType::RenegotiationAcknowledgment => (RenegotiationAcknowledgment::NAME, acknowledgment(bytes)),
        MerchantMessageType::Error => (MerchantError::NAME, error(bytes)),
    }
}

fn proof(bytes: &[u8]) -> Result<(&'static str, Result<Fields, DecodeError>), DecodeError> {
    let proof = Proof::decode(bytes)?;
    let statement = &proof.statement;
    let fields = vec![
        ("outcome", format!("{:?}", proof.outcome)),
        ("payment", statement.payment.to_string()),
        ("merchant", statement.merchant.to_string()),
        ("number", statement.number.to_string()),
        ("amount", format!("{} {}", statement.amount.units(), statement.asset)),
        ("quote digest", statement.quote_digest.to_string()),
        ("batch time", statement.batch_time.to_string()),
        ("place", format!("{} of {}", proof.index, proof.size)),
        ("key", proof.key.to_string()),
    ];
    Ok(("proof", Ok(fields)))
}

fn quote_request(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let request = QuoteRequest::decode(bytes)?;
    Ok(request.items.into_iter().map(|(code, quantity)| ("item", format!("{quantity} x {code}"))).collect())
}

fn quote_offer(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let offer = QuoteOffer::decode(bytes)?;
    let certificate = MerchantCertificate::decode(offer.certificate_bytes())?;
    let mut fields = vec![("certificate", certificate.digest().to_string())];
    fields.extend(quote(&Quote::decode(offer.quote_bytes())?));
    Ok(fields)
}

fn quote(quote: &Quote) -> Fields {
    let mut fields = vec![
        ("merchant", quote.merchant.to_string()),
        ("number", quote.number.to_string()),
        ("total", format!("{} {}", quote.total.units(), quote.asset)),
        ("goods", format!("{:?}", quote.goods)),
        ("expires", quote.expires_at.to_string()),
        ("quote digest", quote.digest().to_string()),
    ];
    let lines = quote.items.iter();
    fields.extend(lines.map(|item| {
        ("item", format!("{} x {}: {} = {}", item.quantity, item.code, item.description, item.amount.units()))
    }));
    fields
}

fn confirmation(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let message = Confirmation::decode(bytes)?;
    let sealed = bytes.len() - 3 - 16 - 32 - 32 - 4;
    Ok(vec![
        ("number", message.number.to_string()),
        ("quote digest", message.quote_digest.to_string()),
        ("ephemeral key", hex::encode(message.ephemeral.0)),
        ("sealed", format!("{sealed} bytes")),
    ])
}

fn authenticated_quote(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let message = AuthenticatedQuote::decode(bytes)?;
    Ok(vec![
        ("number", message.number.to_string()),
        ("quote digest", message.quote_digest.to_string()),
        ("authenticator", last(bytes)),
    ])
}

fn goods(goods: Option<&DigitalGoods>) -> Fields {
    goods.map_or_else(Vec::new, |goods| {
        vec![
            ("goods digest", goods.digest.to_string()),
            ("goods length", format!("{} bytes", goods.length_bytes)),
            ("ask at", format!("{} (format {})", goods.path, goods.format)),
        ]
    })
}

fn shipping_advice(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let message = ShippingAdvice::decode(bytes)?;
    let mut fields = vec![("number", message.number.to_string()), ("status", format!("{:?}", message.status))];
    fields.extend(goods(message.goods.as_ref()));
    if !message.delivery_text.is_empty() {
        fields.push(("delivery", message.delivery_text));
    }
    fields.push(("authenticator", last(bytes)));
    Ok(fields)
}

fn send_goods(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let message = SendGoods::decode(bytes)?;
    let first = message.first_chunk.to_string();
    Ok(vec![("number", message.number.to_string()), ("first chunk", first), ("authenticator", last(bytes))])
}

fn renegotiation(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let message = Renegotiation::decode(bytes)?;
    Ok(vec![
        ("number", message.number.to_string()),
        ("purpose", format!("{:?}", message.purpose)),
        ("ephemeral key", hex::encode(message.ephemeral.0)),
        ("sealed token", "48 bytes".to_owned()),
    ])
}

fn acknowledgment(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let message = RenegotiationAcknowledgment::decode(bytes)?;
    let mut fields = vec![("number", message.number.to_string()), ("answers", message.request.to_string())];
    match &message.acknowledged {
        Acknowledged::Retransmission { goods: advised, delivery_text } => {
            fields.push(("acknowledges", "retransmission".to_owned()));
            fields.extend(goods(advised.as_ref()));
            fields.push(("delivery", delivery_text.clone()));
        }
        Acknowledged::Refund { status } => fields.push(("acknowledges", format!("refund: {status:?}"))),
    }
    fields.push(("authenticator", last(bytes)));
    Ok(fields)
}

fn error(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let message = MerchantError::decode(bytes)?;
    let code = message.code().map_or_else(|number| number.to_string(), |code| format!("{code:?}"));
    Ok(vec![("code", code), ("text", message.text)])
}

/// The authenticator at the end of a message.
fn last(bytes: &[u8]) -> String {
    hex::encode(&bytes[bytes.len().saturating_sub(32)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_readable_and_rubbish_is_called_that() {
        let request = QuoteRequest::new(vec![("song".into(), 2)]).unwrap().encode();
        let text = describe(Direction::Received, &request).to_string();
        assert!(text.contains("CTS -> MTS  quote request") && text.contains("2 x song"), "{text}");
        for rubbish in [&[][..], &[1, 1, 0x22, 0], &[9; 40]] {
            assert!(describe(Direction::Sent, rubbish).to_string().contains("error"));
        }
    }
}
