//! Messages as text, so that a person can see the protocol happen. The CTS shows what an onlooker on the wire would see, and
//! of sealed parts their length; PIN, keys, TOKEN, modifier and sealed answers are never among it.

use std::sync::Arc;

use protocol::codec::{Canonical, DecodeError, Fixed as _};
use protocol::enrolment::{Activation, ActivationAnswer};
use protocol::error::ErrorMessage;
use protocol::frame::MessageType;
use protocol::key_set::refresh::{KeySetPart, KeySetRequest};
use protocol::proof::Proof;
use protocol::purchase::{
    AuthenticatedQuote, Confirmation, MerchantError, MerchantMessageType, QuoteOffer, QuoteRequest, Renegotiation,
    RenegotiationAcknowledgment, SendGoods, ShippingAdvice,
};
use protocol::quote::Quote;
use protocol::request::{REQUEST_BYTES, ReceivedRequest};
use protocol::response::RESPONSE_OVERHEAD_BYTES;

/// Whom a message goes to or comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// The TPS.
    Processor,
    /// The MTS.
    Merchant,
}

/// Takes the text of a message.
type Show = dyn Fn(&str) + Send + Sync;

/// Shows every message to whoever wants to see it.
#[derive(Clone, Default)]
pub struct Frames(Option<Arc<Show>>);

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frames(shown: {})", self.0.is_some())
    }
}

impl Frames {
    /// Shows messages to `show`, one text of several lines each.
    pub fn shown_to(show: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(show)))
    }

    pub(crate) fn sent(&self, link: Link, bytes: &[u8]) {
        self.show(if link == Link::Processor { "CTS -> TPS" } else { "CTS -> MTS" }, link, bytes);
    }

    pub(crate) fn received(&self, link: Link, bytes: &[u8]) {
        self.show(if link == Link::Processor { "TPS -> CTS" } else { "MTS -> CTS" }, link, bytes);
    }

    pub(crate) fn goods(&self, bytes: u64) {
        if let Some(show) = &self.0 {
            show(&format!("MTS -> CTS  sealed goods, {bytes} bytes of goods in clear"));
        }
    }

    fn show(&self, arrow: &str, link: Link, bytes: &[u8]) {
        let Some(show) = &self.0 else { return };
        let described = match link {
            Link::Processor => processor(bytes),
            Link::Merchant => merchant(bytes),
        };
        let (name, fields) = described.unwrap_or_else(|error| ("unreadable", vec![("error", error.to_string())]));
        let mut text = format!("{arrow}  {name} ({} bytes)", bytes.len());
        for (field, value) in fields {
            text.push_str(&format!("\n    {field:<16} {value}"));
        }
        show(&text);
    }
}

type Described = (&'static str, Vec<(&'static str, String)>);

fn processor(bytes: &[u8]) -> Result<Described, DecodeError> {
    Ok(match MessageType::of(bytes)? {
        MessageType::RequestForPayment => {
            let unreadable =
                DecodeError::Length { what: "request-for-payment", expected: REQUEST_BYTES, actual: bytes.len() };
            let request = ReceivedRequest::parse(bytes).map_err(|_| unreadable)?;
            let open = request.open;
            let fields = vec![
                ("TPS key", open.key.to_string()),
                ("merchant", open.merchant.to_string()),
                ("number", open.number.to_string()),
                ("amount", format!("{} {}", open.amount.units(), open.asset)),
                ("quote digest", open.quote_digest.to_string()),
                ("valid until", open.valid_until.to_string()),
                ("ephemeral key", hex::encode(request.ephemeral.0)),
                (
                    "sealed half",
                    "instrument, count, modifier part, signature, device tag, PIN authenticator".to_owned(),
                ),
            ];
            ("request-for-payment", fields)
        }
        MessageType::Response => {
            let mut fields = vec![("sealed half", "outcome, reason, count, modifier part, balance".to_owned())];
            fields.extend(proof(bytes.get(RESPONSE_OVERHEAD_BYTES..).unwrap_or_default())?.1);
            ("response", fields)
        }
        MessageType::Error => {
            let error = ErrorMessage::decode(bytes)?;
            (
                "error in clear",
                vec![("code", format!("{:?}", error.code())), ("retry after", format!("{} ms", error.retry_after_ms))],
            )
        }
        MessageType::Activation => {
            let message = Activation::decode(bytes)?;
            let sealed = "instrument, code, public key, possession, device key".to_owned();
            ("activation", vec![("TPS key", message.key.to_string()), ("sealed half", sealed)])
        }
        MessageType::ActivationAnswer => {
            ActivationAnswer::decode(bytes)?;
            ("activation answer", vec![("sealed half", "count, signature policy".to_owned())])
        }
        MessageType::KeySetRequest => {
            (KeySetRequest::NAME, vec![("part", KeySetRequest::decode(bytes)?.part.to_string())])
        }
        MessageType::KeySetPart => {
            let part = KeySetPart::decode(bytes)?;
            (KeySetPart::NAME, vec![("part", format!("{} of {}", part.part + 1, part.parts))])
        }
    })
}

fn proof(bytes: &[u8]) -> Result<Described, DecodeError> {
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
    ];
    Ok(("proof", fields))
}

fn merchant(bytes: &[u8]) -> Result<Described, DecodeError> {
    let Ok(kind) = MerchantMessageType::of(bytes) else { return proof(bytes) };
    Ok(match kind {
        MerchantMessageType::QuoteRequest => {
            let items = QuoteRequest::decode(bytes)?.items;
            (
                QuoteRequest::NAME,
                items.into_iter().map(|(code, quantity)| ("item", format!("{quantity} x {code}"))).collect(),
            )
        }
        MerchantMessageType::QuoteOffer => {
            let quote = Quote::decode(QuoteOffer::decode(bytes)?.quote_bytes())?;
            let mut fields = vec![
                ("merchant", quote.merchant.to_string()),
                ("number", quote.number.to_string()),
                ("total", format!("{} {}", quote.total.units(), quote.asset)),
                ("expires", quote.expires_at.to_string()),
                ("quote digest", quote.digest().to_string()),
            ];
            fields.extend(quote.items.iter().map(|item| ("item", format!("{} x {}", item.quantity, item.code))));
            (QuoteOffer::NAME, fields)
        }
        MerchantMessageType::Confirmation => {
            let message = Confirmation::decode(bytes)?;
            let fields = vec![
                ("number", message.number.to_string()),
                ("quote digest", message.quote_digest.to_string()),
                ("ephemeral key", hex::encode(message.ephemeral.0)),
                ("sealed half", "address and loyalty id, where given".to_owned()),
            ];
            (Confirmation::NAME, fields)
        }
        MerchantMessageType::AuthenticatedQuote => {
            let message = AuthenticatedQuote::decode(bytes)?;
            (
                AuthenticatedQuote::NAME,
                vec![("number", message.number.to_string()), ("quote digest", message.quote_digest.to_string())],
            )
        }
        MerchantMessageType::ShippingAdvice => {
            let message = ShippingAdvice::decode(bytes)?;
            let mut fields = vec![("number", message.number.to_string()), ("status", format!("{:?}", message.status))];
            if let Some(goods) = message.goods {
                fields.push(("goods digest", goods.digest.to_string()));
                fields.push(("goods length", format!("{} bytes", goods.length_bytes)));
            }
            fields.push(("delivery", message.delivery_text));
            (ShippingAdvice::NAME, fields)
        }
        MerchantMessageType::SendGoods => {
            let message = SendGoods::decode(bytes)?;
            (
                SendGoods::NAME,
                vec![("number", message.number.to_string()), ("first chunk", message.first_chunk.to_string())],
            )
        }
        MerchantMessageType::Renegotiation => {
            let message = Renegotiation::decode(bytes)?;
            let ephemeral = hex::encode(message.ephemeral.0);
            (
                Renegotiation::NAME,
                vec![
                    ("number", message.number.to_string()),
                    ("purpose", format!("{:?}", message.purpose)),
                    ("ephemeral key", ephemeral),
                ],
            )
        }
        MerchantMessageType::RenegotiationAcknowledgment => {
            let message = RenegotiationAcknowledgment::decode(bytes)?;
            (
                RenegotiationAcknowledgment::NAME,
                vec![("number", message.number.to_string()), ("answers", message.request.to_string())],
            )
        }
        MerchantMessageType::Error => {
            let message = MerchantError::decode(bytes)?;
            let code = message.code().map_or_else(|number| number.to_string(), |code| format!("{code:?}"));
            (MerchantError::NAME, vec![("code", code), ("text", message.text)])
        }
    })
}
