//! What a merchant offers (paper section 2, steps 1 and 2; K-20, K-21). Not signed (K-25): after the customer confirms,
//! the MTS authenticates it under the session, and its digest goes into the payment.

use crate::codec::{Canonical, DecodeError, check_text, check_version};
use crate::hash::{Purpose, tagged};
use crate::ids::{MerchantId, QuoteDigest, RealmId, TransactionNumber};
use crate::limits::{
    ITEM_CODE_BYTES_MAX, ITEM_DESCRIPTION_BYTES_MAX, PROTOCOL_VERSION, QUOTE_BYTES_MAX, QUOTE_ITEMS_MAX, SUITE,
};
use crate::money::{Amount, Asset, MoneyError};
use crate::time::Timestamp;

/// How goods reach the customer.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Hash,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum GoodsKind {
    /// Sent sealed over the network.
    Digital = 0,
    /// Shipped to an address that the customer seals for the merchant.
    Hard = 1,
}

/// One line of a quote.
#[derive(
    Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize, serde::Deserialize,
)]
pub struct QuoteItem {
    /// The merchant's code of the item, at most 128 bytes, not empty.
    pub code: String,
    /// What it is, for people, at most 512 bytes.
    pub description: String,
    /// How many, at least one.
    pub quantity: u32,
    /// Price of this line: of all pieces together.
    pub amount: Amount,
}

/// A canonical quote. Encoding: borsh, fields in this order; `docs/protocol.md` has a vector.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize)]
pub struct Quote {
    #[serde(skip)]
    version: u8,
    #[serde(skip)]
    suite: u8,
    /// The installation whose money is meant.
    pub realm: RealmId,
    /// Who is to be paid: the merchant of the certificate (K-23).
    pub merchant: MerchantId,
    /// Unique for this merchant.
    pub number: TransactionNumber,
    /// What is bought: 1 to 64 lines.
    pub items: Vec<QuoteItem>,
    /// The sum of the lines.
    pub total: Amount,
    /// What the amounts are counted in.
    pub asset: Asset,
    /// Sent or shipped; all items alike.
    pub goods: GoodsKind,
    /// When the merchant made it.
    pub issued_at: Timestamp,
    /// Until when it can be confirmed.
    pub expires_at: Timestamp,
    /// 32 random bytes, so that the digest in payment and proof tells nobody what was bought.
    #[serde(skip)]
    pub salt: [u8; 32],
}

/// What a merchant decides about a quote; the rest is added by [`Quote::new`].
#[derive(Clone, Debug)]
pub struct QuoteTerms {
    /// The installation.
    pub realm: RealmId,
    /// Who is to be paid.
    pub merchant: MerchantId,
    /// Unique for this merchant.
    pub number: TransactionNumber,
    /// What is bought.
    pub items: Vec<QuoteItem>,
    /// What the amounts are counted in.
    pub asset: Asset,
    /// Sent or shipped.
    pub goods: GoodsKind,
    /// When the merchant makes it.
    pub issued_at: Timestamp,
    /// How long it stands, in milliseconds.
    pub lifetime_ms: u64,
    /// 32 random bytes.
    pub salt: [u8; 32],
}

/// Why no quote can be made of some terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// The sum of the lines is no amount.
    #[error(transparent)]
    Total(#[from] MoneyError),
    /// A bound of the format.
    #[error(transparent)]
    Format(#[from] DecodeError),
}

impl Quote {
    /// Makes a quote; the total is computed.
    ///
    /// # Errors
    /// [`QuoteError::Total`] where the sum exceeds what can be paid at once, [`QuoteError::Format`] for no items or too
    /// many, unusable texts, a quantity of zero, or a lifetime of zero.
    pub fn new(terms: QuoteTerms) -> Result<Self, QuoteError> {
        let sum = sum(&terms.items).ok_or(MoneyError::Overflow)?;
        let quote = Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm: terms.realm,
            merchant: terms.merchant,
            number: terms.number,
            items: terms.items,
            total: Amount::new(sum)?,
            asset: terms.asset,
            goods: terms.goods,
            issued_at: terms.issued_at,
            expires_at: terms.issued_at.plus(terms.lifetime_ms),
            salt: terms.salt,
        };
        quote.check()?;
        Ok(quote)
    }

    /// What the payment and the proof say about this quote: the tagged hash of the canonical bytes (K-49).
    pub fn digest(&self) -> QuoteDigest {
        QuoteDigest(tagged(Purpose::QUOTE, &self.encode()))
    }

    /// Whether it can no longer be confirmed at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.expires_at
    }
}

fn sum(items: &[QuoteItem]) -> Option<u64> {
    items.iter().try_fold(0u64, |sum, item| sum.checked_add(item.amount.units()))
}

impl Canonical for Quote {
    const NAME: &'static str = "quote";
    const BYTES_MAX: usize = QUOTE_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        let field = |field| Err(DecodeError::Field { what: Self::NAME, field });
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        if self.items.is_empty() || self.items.len() > QUOTE_ITEMS_MAX {
            return field("number of items");
        }
        for item in &self.items {
            check_text(Self::NAME, "item code", &item.code, ITEM_CODE_BYTES_MAX)?;
            check_text(Self::NAME, "item description", &item.description, ITEM_DESCRIPTION_BYTES_MAX)?;
            if item.code.is_empty() {
                return field("item code");
            }
            if item.quantity == 0 {
                return field("quantity");
            }
            if !item.amount.is_valid() {
                return field("item amount");
            }
        }
        if !self.total.is_valid() || sum(&self.items) != Some(self.total.units()) {
            return field("total: it must be the sum of the items");
        }
        if !self.asset.is_valid() {
            return field("asset");
        }
        if self.expires_at <= self.issued_at {
            return field("expiry");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(code: &str, units: u64) -> QuoteItem {
        QuoteItem { code: code.into(), description: "A song".into(), quantity: 1, amount: Amount::new(units).unwrap() }
    }

    fn terms(items: Vec<QuoteItem>) -> QuoteTerms {
        QuoteTerms {
            realm: RealmId([1; 16]),
            merchant: MerchantId([2; 16]),
            number: TransactionNumber([3; 16]),
            items,
            asset: Asset::USD6,
            goods: GoodsKind::Digital,
            issued_at: Timestamp(1_800_000_000_000),
            lifetime_ms: 600_000,
            salt: [4; 32],
        }
    }

    // spec: K-20, K-21
    #[test]
    fn a_quote_holds_all_details_and_is_frozen() {
        let quote = Quote::new(terms(vec![item("song-1", 20_000), item("song-2", 30_000)])).unwrap();
        let bytes = quote.encode();
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../vectors/quote.json")).unwrap();
        assert_eq!(vectors["bytes"], hex::encode(&bytes));
        assert_eq!(vectors["digest"], quote.digest().to_string());
        let decoded = Quote::decode(&bytes).unwrap();
        assert_eq!(decoded, quote);
        assert_eq!((decoded.total.units(), decoded.items.len()), (50_000, 2));
        assert_eq!((decoded.merchant, decoded.number), (MerchantId([2; 16]), TransactionNumber([3; 16])));
        assert!(!quote.is_expired(quote.expires_at) && quote.is_expired(quote.expires_at.plus(1)));
    }

    // spec: K-20
    #[test]
    fn malformed_quotes_are_refused_with_the_field() {
        let good = Quote::new(terms(vec![item("song", 20_000)])).unwrap();
        type Change = fn(&mut Quote);
        let cases: [(&str, Change); 11] = [
            ("total", |quote| quote.total = Amount::new(1).unwrap()),
            ("number of items", |quote| quote.items.clear()),
            ("number of items", |quote| quote.items = vec![quote.items[0].clone(); 65]),
            ("quantity", |quote| quote.items[0].quantity = 0),
            ("item code", |quote| quote.items[0].code.clear()),
            ("item code", |quote| quote.items[0].code = "x".repeat(129)),
            ("item description", |quote| quote.items[0].description = "\u{1b}[2J".into()),
            ("item description", |quote| quote.items[0].description = "\u{202e}evil".into()),
            ("asset", |quote| quote.asset = Asset(*b"usd\0\0\0\0\0")),
            ("expiry", |quote| quote.expires_at = quote.issued_at),
            ("version 9", |quote| quote.version = 9),
        ];
        for (expected, change) in cases {
            let mut quote = good.clone();
            change(&mut quote);
            let error = Quote::decode(&quote.encode()).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let mut suite = good.clone();
        suite.suite = 7;
        assert!(matches!(Quote::decode(&suite.encode()), Err(DecodeError::Suite { suite: 7, .. })));
        let mut trailing = good.encode();
        trailing.push(0);
        assert!(Quote::decode(&trailing).is_err());
        for length in 0..good.encode().len() {
            assert!(Quote::decode(&good.encode()[..length]).is_err());
        }
    }

    #[test]
    fn totals_do_not_wrap() {
        let huge = crate::limits::AMOUNT_MAX;
        assert!(matches!(Quote::new(terms(vec![item("a", huge), item("b", 1)])), Err(QuoteError::Total(_))));
        assert!(Quote::new(terms(vec![item("a", huge)])).is_ok());
    }

    // spec: K-49
    #[test]
    fn every_field_and_the_salt_change_the_digest() {
        let good = Quote::new(terms(vec![item("song", 20_000)])).unwrap();
        let mut salted = good.clone();
        salted.salt[0] ^= 1;
        let mut cheaper = good.clone();
        cheaper.items[0].amount = Amount::new(19_999).unwrap();
        assert_ne!(good.digest(), salted.digest());
        assert_ne!(good.digest(), cheaper.digest());
    }
}
