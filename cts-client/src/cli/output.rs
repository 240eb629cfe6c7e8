//! What people and agents read, and exit codes.

use std::process::ExitCode;

use cts_client::error::CtsError;
use cts_client::skew::ClockSkew;
use cts_client::store::{Outcome, OutcomeKind, PurchaseRecord};
use cts_client::{Quoted, Receipt, Status};
use protocol::customer::payment::PaymentRefused;
use protocol::customer::purchase::PurchaseState;
use protocol::key_set::{KeyEntry, PinnedKeySet};
use protocol::money::format;
use protocol::response::Reason;
use protocol::time::Timestamp;
use serde_json::{Value, json};

/// How the command ended; `cts --help` lists them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Denied = 3,
    Unresolved = 4,
    Breach = 5,
    Pin = 6,
    NotDelivered = 7,
    Declined = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The one of both that asks for more care of whoever ran the command.
    pub(super) fn worse(self, other: Self) -> Self {
        let mildest_first = [
            Self::Done,
            Self::Declined,
            Self::Usage,
            Self::Failed,
            Self::Denied,
            Self::Pin,
            Self::Unresolved,
            Self::NotDelivered,
            Self::Breach,
        ];
        let severity = |exit| mildest_first.iter().position(|one| *one == exit);
        if severity(self) >= severity(other) { self } else { other }
    }

    pub(super) fn of(error: &anyhow::Error) -> Self {
        let Some(error) = error.downcast_ref::<CtsError>() else { return Self::Failed };
        match error {
            error if error.is_breach() => Self::Breach,
            CtsError::Unresolved { .. } => Self::Unresolved,
            CtsError::PinNeeded | CtsError::WrongPin | CtsError::Payment(PaymentRefused::NewPinNeeded) => Self::Pin,
            CtsError::PaidNotDelivered { .. } => Self::NotDelivered,
            CtsError::AboveMaximum { .. } => Self::Declined,
            _ => Self::Failed,
        }
    }
}

/// Where results go: text for people, or one JSON object for agents.
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result.
    pub(super) fn result(&self, text: &str, value: &Value) {
        if self.json {
            println!("{value}");
        } else {
            println!("{text}");
        }
    }

    /// Warns of a clock that is far off, apart from the result.
    pub(super) fn clock(&self, skew: Option<ClockSkew>) {
        if let Some(skew) = skew.filter(ClockSkew::is_to_be_told) {
            eprintln!("cts: {skew}: set it, so that later payments are not denied");
        }
    }

    /// Prints what went wrong.
    pub(super) fn failed(&self, error: &anyhow::Error) -> Exit {
        let exit = Exit::of(error);
        if self.json {
            println!("{}", json!({ "error": format!("{error:#}"), "exit_code": exit as u8 }));
        } else {
            if exit == Exit::Breach {
                eprintln!("WARNING: a copy of this instrument may be in use.");
            }
            eprintln!("cts: {error:#}");
        }
        exit
    }
}

pub(super) fn quote(quoted: &Quoted) -> (String, Value) {
    let (quote, certificate) = (quoted.quote(), quoted.offer.certificate());
    let exponent = quoted.exponent;
    let mut text = format!("{} (merchant {})\n", certificate.name(), quote.merchant);
    for item in &quote.items {
        let amount = format(item.amount.signed(), exponent);
        text.push_str(&format!("  {:>4} x {:<24} {:>18}  {}\n", item.quantity, item.code, amount, item.description));
    }
    let total = format(quote.total.signed(), exponent);
    text.push_str(&format!("  total {:<26} {total:>18}  {}\n", "", quote.asset));
    text.push_str(&format!("  {:?} goods, quote {} stands until {}", quote.goods, quote.number, quote.expires_at));
    let value = json!({
        "merchant": quote.merchant, "merchant_name": certificate.name(), "number": quote.number, "items": quote.items,
        "total": quote.total, "total_text": total, "asset": quote.asset.to_string(), "goods": quote.goods,
        "expires_at": quote.expires_at, "quote_digest": quote.digest(),
    });
    (text, value)
}

pub(super) fn key_set(set: &PinnedKeySet, now: Timestamp) -> (String, Value) {
    let standing = match set.session_key(now) {
        Ok(_) if set.is_ageing(now) => "ageing: the next payment fetches a newer one",
        Ok(_) => "in force",
        Err(_) => "outdated: the next payment fetches a newer one, or run `cts keys refresh`",
    };
    let mut text = format!(
        "key set {} of realm {}: {standing}\nissued  {}\nuntil   {}",
        set.number(),
        set.realm(),
        set.issued_at(),
        set.expires_at()
    );
    let role = |key: &KeyEntry| format!("{:?}", key.role).to_lowercase();
    for key in set.keys() {
        let revoked = if key.revoked { "  REVOKED" } else { "" };
        text.push_str(&format!(
            "\n{:<11} {}  from {} until {}{revoked}",
            role(key),
            key.id,
            key.valid_from,
            key.valid_until
        ));
    }
    let keys: Vec<Value> = set
        .keys()
        .iter()
        .map(|key| {
            json!({
                "role": role(key), "key": key.id, "valid_from": key.valid_from, "valid_until": key.valid_until,
                "revoked": key.revoked,
            })
        })
        .collect();
    let usable = set.session_key(now).is_ok();
    let value = json!({
        "key_set": set.number(), "realm": set.realm(), "issued_at": set.issued_at(), "expires_at": set.expires_at(),
        "ageing": set.is_ageing(now), "usable": usable, "keys": keys,
    });
    (text, value)
}

pub(super) fn receipt(receipt: &Receipt, exponent: u8) -> (String, Value, Exit) {
    let total = format(receipt.quote.total.signed(), exponent);
    let asset = receipt.quote.asset.to_string();
    let (text, exit) = match receipt.state {
        PurchaseState::Denied => {
            let reason = receipt.reason.map_or_else(String::new, |reason| reason.to_string());
            (format!("denied: {reason}"), Exit::Denied)
        }
        PurchaseState::Received => {
            let path = receipt.output.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            (format!("paid {total} {asset}; received {path}"), Exit::Done)
        }
        PurchaseState::Shipped => {
            let delivery = receipt.delivery_text.as_deref().unwrap_or("the merchant ships");
            (format!("paid {total} {asset}; {delivery}"), Exit::Done)
        }
        state => (format!("order {} is {state:?}", receipt.number), Exit::Failed),
    };
    let surplus = if receipt.surplus {
        "\nsomebody had paid this order before: `cts refund` asks for this payment back"
    } else {
        ""
    };
    let value = json!({
        "order": receipt.number, "state": receipt.state, "reason": receipt.reason.filter(|reason| *reason != Reason::Paid).map(|reason| format!("{reason:?}")),
        "total": receipt.quote.total, "total_text": total, "asset": asset, "output": receipt.output, "digest": receipt.digest,
        "delivery": receipt.delivery_text, "surplus": receipt.surplus, "exit_code": exit as u8,
    });
    (format!("{text}\norder {}{surplus}", receipt.number), value, exit)
}

pub(super) fn status(status: &Status) -> (String, Value) {
    let balance = status.balance.map(|balance| format(balance, status.exponent));
    let mut text = format!(
        "instrument    {}\nstanding      {:?}\nnext count    {}\n",
        status.instrument, status.standing, status.next_count
    );
    text.push_str(&format!("balance       {} {}\n", balance.as_deref().unwrap_or("not told yet"), status.asset));
    let open = status.pending.as_ref();
    text.push_str(&match open {
        Some(pending) => format!(
            "open payment  {} to merchant {}, number {} ({} unanswered): `cts resume`\n",
            format(pending.content.amount.signed(), status.exponent),
            pending.content.merchant,
            pending.content.number,
            pending.attempts_unanswered
        ),
        None => "open payment  none\n".to_owned(),
    });
    text.push_str(&format!("open orders   {}", status.open_purchases));
    let skew = status.clock_skew;
    if let Some(skew) = skew.filter(ClockSkew::is_to_be_told) {
        text.push_str(&format!("\nclock         {skew}: set it"));
    }
    let value = json!({
        "instrument": status.instrument, "standing": status.standing, "next_count": status.next_count,
        "asset": status.asset.to_string(), "balance": status.balance.map(|balance| balance.to_string()), "balance_text": balance,
        "open_orders": status.open_purchases, "clock_behind_ms": skew.map(|skew| skew.behind_ms),
        "open_payment": open.map(|pending| json!({
            "count": pending.count, "merchant": pending.content.merchant, "number": pending.content.number,
            "amount": pending.content.amount, "attempts_unanswered": pending.attempts_unanswered,
        })),
    });
    (text, value)
}

/// An outcome in a word, its reason, and its exit code.
pub(super) fn outcome_words(outcome: &Outcome) -> (&'static str, Option<Reason>, Exit) {
    match &outcome.kind {
        OutcomeKind::Decided { resolution, .. } if resolution.reason == Reason::Paid => ("paid", None, Exit::Done),
        OutcomeKind::Decided { resolution, .. } => ("denied", Some(resolution.reason), Exit::Denied),
        OutcomeKind::GivenUp => ("given-up", None, Exit::Failed),
        OutcomeKind::Unknown => ("unknown", None, Exit::Breach),
    }
}

pub(super) fn outcome(outcome: &Outcome, exponent: u8) -> (String, Value, Exit) {
    let (word, reason, exit) = outcome_words(outcome);
    let content = &outcome.content;
    let amount = format(content.amount.signed(), exponent);
    let mut text = format!(
        "{}  count {:<6} {amount:>18} {}  merchant {}  number {}  {word}",
        outcome.at, outcome.count, content.asset, content.merchant, content.number
    );
    if let Some(reason) = reason {
        text.push_str(&format!(": {reason}"));
    }
    let value = json!({
        "at": outcome.at, "count": outcome.count, "amount": content.amount, "asset": content.asset.to_string(),
        "merchant": content.merchant, "number": content.number, "outcome": word, "reason": reason.map(|reason| format!("{reason:?}")),
        "exit_code": exit as u8,
    });
    (text, value, exit)
}

pub(super) fn purchase(record: &PurchaseRecord) -> anyhow::Result<(String, Value)> {
    let quote = record.purchase.quote()?;
    let state = record.purchase.state();
    let items: Vec<_> = quote.items.iter().map(|item| item.code.as_str()).collect();
    let text = format!("{}  order {}  {state:?}  {}  {}", record.begun_at, quote.number, items.join(", "), record.url);
    let value = json!({
        "begun_at": record.begun_at, "order": quote.number, "state": state, "items": items, "total": quote.total,
        "asset": quote.asset.to_string(), "merchant": quote.merchant, "url": record.url, "output": record.output,
    });
    Ok((text, value))
}
