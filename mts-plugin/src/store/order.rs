//! One order as it is stored.

use protocol::codec::Canonical;
use protocol::ids::{Digest, PaymentId, TransactionNumber};
use protocol::order::OrderState;
use protocol::purchase::{Address, LoyaltyId, RefundStatus};
use protocol::quote::Quote;
use protocol::session::merchant::{AdviceKey, GoodsKey, MerchantSession, SendGoodsKey, Token};
use protocol::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use zeroize::Zeroizing;

use super::{StoreError, from_time, time};

/// The keys that delivery needs, of the current session.
#[derive(Clone, Debug)]
pub struct OrderKeys {
    /// Authenticates the advice.
    pub advice: AdviceKey,
    /// Authenticates the customer's send-goods message.
    pub send_goods: SendGoodsKey,
    /// Seals the goods.
    pub goods: GoodsKey,
    /// When they were agreed.
    pub since: Timestamp,
}

impl OrderKeys {
    /// The delivery keys of a session.
    pub fn of(session: &MerchantSession, since: Timestamp) -> Self {
        Self {
            advice: session.advice.clone(),
            send_goods: session.send_goods.clone(),
            goods: session.goods.clone(),
            since,
        }
    }

    fn expose(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([*self.advice.expose(), *self.send_goods.expose(), *self.goods.expose()].concat())
    }

    fn from_exposed(bytes: &[u8], since: Timestamp) -> Option<Self> {
        let (keys, []) = bytes.as_chunks::<32>() else { return None };
        let [advice, send_goods, goods] = keys else { return None };
        Some(Self {
            advice: AdviceKey::from_bytes(*advice),
            send_goods: SendGoodsKey::from_bytes(*send_goods),
            goods: GoodsKey::from_bytes(*goods),
            since,
        })
    }
}

/// One order. `Debug` shows no secrets: their types hide them.
#[derive(Clone, Debug)]
pub struct Order {
    /// What it awaits.
    pub state: OrderState,
    /// The quote, as recorded when it was made.
    pub quote: Quote,
    /// Digest of the certificate that it was offered with.
    pub certificate: Digest,
    /// Hash of the confirmation that it is bound to.
    pub confirmation: Option<Digest>,
    /// The answer to that confirmation.
    pub authenticated_quote: Option<Vec<u8>>,
    /// Where to ship hard goods.
    pub address: Option<Address>,
    /// Who the customer says it is, where it chose to be known.
    pub loyalty_id: Option<LoyaltyId>,
    /// Keys of the current session.
    pub keys: Option<OrderKeys>,
    /// TOKEN of the original session.
    pub token: Option<Token>,
    /// The payment that paid for it.
    pub payment: Option<PaymentId>,
    /// The proof of that.
    pub proof: Option<Vec<u8>>,
    /// When it was recorded.
    pub paid_at: Option<Timestamp>,
    /// Whether the shop was told.
    pub announced: bool,
    /// The advice given.
    pub advice: Option<Vec<u8>>,
    /// Digest of the goods advised under the current session.
    pub goods_digest: Option<Digest>,
    /// The renegotiation that made the current session.
    pub renegotiation: Option<Digest>,
    /// The answer to that.
    pub acknowledgment: Option<Vec<u8>>,
    /// Where a refund stands.
    pub refund_status: Option<RefundStatus>,
    /// When the goods were sent to the end, or shipped, for the first time.
    pub delivered_at: Option<Timestamp>,
}

const COLUMNS: &str = "state, quote, certificate, confirmation, authenticated_quote, address, keys, keys_since, token, payment, \
                       proof, paid_at, announced, advice, goods_digest, renegotiation, acknowledgment, refund_status, delivered_at, \
                       loyalty_id";

impl Order {
    pub(super) fn load(connection: &Connection, number: TransactionNumber) -> Result<Option<Self>, StoreError> {
        let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM orders WHERE number = ?1"))?;
        let row = statement.query_row([number.0], |row| Ok(Self::from_row(row, number))).optional()?;
        row.transpose()
    }

    fn from_row(row: &Row<'_>, number: TransactionNumber) -> Result<Self, StoreError> {
        let damaged = |field| StoreError::Damaged { number, field };
        let keys: Option<Zeroizing<Vec<u8>>> = row.get::<_, Option<Vec<u8>>>(6)?.map(Zeroizing::new);
        let since = row.get::<_, Option<i64>>(7)?.map_or(Timestamp(0), from_time);
        let keys = keys.map(|bytes| OrderKeys::from_exposed(&bytes, since).ok_or(damaged("keys"))).transpose()?;
        let address: Option<String> = row.get(5)?;
        let loyalty_id: Option<String> = row.get(19)?;
        let refund_status = match row.get::<_, Option<u8>>(17)? {
            None => None,
            Some(1) => Some(RefundStatus::Requested),
            Some(2) => Some(RefundStatus::Accepted),
            Some(3) => Some(RefundStatus::Refused),
            Some(4) => Some(RefundStatus::PutThrough),
            Some(5) => Some(RefundStatus::NotPutThrough),
            Some(_) => return Err(damaged("refund status")),
        };
        Ok(Self {
            state: OrderState::from_text(&row.get::<_, String>(0)?).ok_or(damaged("state"))?,
            quote: Quote::decode(&row.get::<_, Vec<u8>>(1)?).map_err(|_| damaged("quote"))?,
            certificate: Digest(row.get(2)?),
            confirmation: row.get::<_, Option<[u8; 32]>>(3)?.map(Digest),
            authenticated_quote: row.get(4)?,
            address: address.map(|text| Address::new(text).map_err(|_| damaged("address"))).transpose()?,
            loyalty_id: loyalty_id.map(|text| LoyaltyId::new(text).map_err(|_| damaged("loyalty id"))).transpose()?,
            keys,
            token: row.get::<_, Option<[u8; 32]>>(8)?.map(Token::from_bytes),
            payment: row.get::<_, Option<[u8; 16]>>(9)?.map(PaymentId),
            proof: row.get(10)?,
            paid_at: row.get::<_, Option<i64>>(11)?.map(from_time),
            announced: row.get(12)?,
            advice: row.get(13)?,
            goods_digest: row.get::<_, Option<[u8; 32]>>(14)?.map(Digest),
            renegotiation: row.get::<_, Option<[u8; 32]>>(15)?.map(Digest),
            acknowledgment: row.get(16)?,
            refund_status,
            delivered_at: row.get::<_, Option<i64>>(18)?.map(from_time),
        })
    }
}

/// A payment beyond the first one of its order.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct SurplusPayment {
    /// The payment.
    pub payment: PaymentId,
    /// The order that it names.
    pub number: TransactionNumber,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// An order inside a transaction that holds the write lock.
#[derive(Debug)]
pub struct OrderTransaction<'a> {
    connection: &'a Connection,
    /// The order; what is changed here is stored when the transaction commits.
    pub order: Order,
}

impl<'a> OrderTransaction<'a> {
    pub(super) fn new(connection: &'a Connection, order: Order) -> Self {
        Self { connection, order }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// Records a further payment, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_surplus(&self, payment: PaymentId, proof: &[u8], now: Timestamp) -> Result<(), StoreError> {
        let query = "INSERT OR IGNORE INTO surplus (payment, number, proof, recorded_at) VALUES (?1, ?2, ?3, ?4)";
        self.connection.prepare_cached(query)?.execute((payment.0, self.order.quote.number.0, proof, time(now)))?;
        Ok(())
    }

    /// Whether this renegotiation was accepted before, and how many were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn renegotiations(&self, digest: Digest) -> Result<(bool, u64), StoreError> {
        let query = "SELECT COUNT(*), COALESCE(SUM(digest = ?2), 0) FROM renegotiations WHERE number = ?1";
        let mut statement = self.connection.prepare_cached(query)?;
        let (count, same): (i64, i64) =
            statement.query_row((self.order.quote.number.0, digest.0), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((same > 0, count.unsigned_abs()))
    }

    /// Remembers a renegotiation, so that its replay is recognised.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remember_renegotiation(&self, digest: Digest) -> Result<(), StoreError> {
        let query = "INSERT OR IGNORE INTO renegotiations (number, digest) VALUES (?1, ?2)";
        self.connection.prepare_cached(query)?.execute((self.order.quote.number.0, digest.0))?;
        Ok(())
    }

    pub(super) fn save(&self) -> Result<(), StoreError> {
        let order = &self.order;
        let query = "UPDATE orders SET state = ?2, confirmation = ?3, authenticated_quote = ?4, address = ?5, keys = ?6, \
                     keys_since = ?7, token = ?8, payment = ?9, proof = ?10, paid_at = ?11, announced = ?12, advice = ?13, \
                     goods_digest = ?14, renegotiation = ?15, acknowledgment = ?16, refund_status = ?17, delivered_at = ?18, \
                     loyalty_id = ?19 WHERE number = ?1";
        let keys = order.keys.as_ref().map(OrderKeys::expose);
        self.connection.prepare_cached(query)?.execute(rusqlite::params![
            order.quote.number.0,
            order.state.text(),
            order.confirmation.map(|digest| digest.0),
            order.authenticated_quote,
            order.address.as_ref().map(Address::expose),
            keys.as_ref().map(|keys| &keys[..]),
            order.keys.as_ref().map(|keys| time(keys.since)),
            order.token.as_ref().map(|token| *token.expose()),
            order.payment.map(|payment| payment.0),
            order.proof,
            order.paid_at.map(time),
            order.announced,
            order.advice,
            order.goods_digest.map(|digest| digest.0),
            order.renegotiation.map(|digest| digest.0),
            order.acknowledgment,
            order.refund_status.map(|status| status as u8),
            order.delivered_at.map(time),
            order.loyalty_id.as_ref().map(LoyaltyId::expose),
        ])?;
        Ok(())
    }
}
