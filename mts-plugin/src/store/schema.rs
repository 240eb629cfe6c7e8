//! The format of the order store.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

const FORMAT_1: &str = "
CREATE TABLE orders (
    number BLOB PRIMARY KEY,
    state TEXT NOT NULL,
    quote BLOB NOT NULL,
    -- digest of the certificate that the quote was offered with
    certificate BLOB NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- tagged hash of the confirmation that the order is bound to
    confirmation BLOB,
    -- the answer to it
    authenticated_quote BLOB,
    address TEXT,
    -- advice key, send-goods key, goods key of the current session; destroyed by age
    keys BLOB,
    keys_since INTEGER,
    -- outlives the keys
    token BLOB,
    payment BLOB,
    proof BLOB,
    paid_at INTEGER,
    announced INTEGER NOT NULL DEFAULT 0,
    advice BLOB,
    goods_digest BLOB,
    -- digest of the renegotiation that made the current session
    renegotiation BLOB,
    acknowledgment BLOB,
    refund_status INTEGER,
    delivered_at INTEGER
) WITHOUT ROWID;
CREATE INDEX orders_by_state ON orders (state, issued_at);
CREATE INDEX orders_with_keys ON orders (keys_since) WHERE keys IS NOT NULL;
CREATE INDEX orders_not_announced ON orders (number) WHERE payment IS NOT NULL AND announced = 0;
CREATE TABLE surplus (
    payment BLOB PRIMARY KEY,
    number BLOB NOT NULL REFERENCES orders (number),
    proof BLOB NOT NULL,
    recorded_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX surplus_by_number ON surplus (number);
CREATE TABLE renegotiations (
    number BLOB NOT NULL REFERENCES orders (number),
    digest BLOB NOT NULL,
    PRIMARY KEY (number, digest)
) WITHOUT ROWID;
";

/// Refunds on their way to the TPS, and the batches that carry them.
const FORMAT_2: &str = "
CREATE TABLE refunds (
    -- the refund's name at the TPS
    order_id BLOB PRIMARY KEY,
    number BLOB NOT NULL REFERENCES orders (number),
    granted_at INTEGER NOT NULL,
    -- 0 waits, 1 put through, 2 not put through
    progress INTEGER NOT NULL,
    -- why the TPS did not, when it was asked last
    refusal INTEGER,
    totals BLOB NOT NULL,
    answered_at INTEGER
) WITHOUT ROWID;
CREATE INDEX refunds_by_number ON refunds (number);
CREATE INDEX refunds_waiting ON refunds (granted_at) WHERE progress = 0;
CREATE TABLE desk_batches (
    id BLOB PRIMARY KEY,
    made_at INTEGER NOT NULL,
    batch BLOB NOT NULL,
    answer BLOB
) WITHOUT ROWID;
-- one batch at a time waits for its answer
CREATE UNIQUE INDEX desk_batch_open ON desk_batches ((answer IS NULL)) WHERE answer IS NULL;
";

/// What a customer may call itself in a purchase.
const FORMAT_3: &str = "ALTER TABLE orders ADD COLUMN loyalty_id TEXT;";

/// Refunds of numbers that are no orders, because a settlement report lists payments of them.
const FORMAT_4: &str = "
ALTER TABLE refunds RENAME TO refunds_of_orders;
CREATE TABLE refunds (
    order_id BLOB PRIMARY KEY,
    number BLOB NOT NULL,
    granted_at INTEGER NOT NULL,
    progress INTEGER NOT NULL,
    refusal INTEGER,
    totals BLOB NOT NULL,
    answered_at INTEGER
) WITHOUT ROWID;
INSERT INTO refunds SELECT * FROM refunds_of_orders;
DROP TABLE refunds_of_orders;
CREATE INDEX refunds_by_number ON refunds (number);
CREATE INDEX refunds_waiting ON refunds (granted_at) WHERE progress = 0;
";

/// From each format to the next; a change of the format adds one.
const MIGRATIONS: [&str; 4] = [FORMAT_1, FORMAT_2, FORMAT_3, FORMAT_4];

/// Format of the database.
const FORMAT: i64 = MIGRATIONS.len() as i64;

/// Brings the database to the present format; several processes may try at once.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
    let missing = missing.ok_or(StoreError::Format { found, known: FORMAT })?;
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    if !missing.is_empty() {
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refunds_of_the_second_format_are_kept() {
        let mut connection = Connection::open_in_memory().unwrap();
        MIGRATIONS[..2].iter().for_each(|migration| connection.execute_batch(migration).unwrap());
        connection.pragma_update(None, "user_version", 2).unwrap();
        let order = "INSERT INTO orders (number, state, quote, certificate, issued_at, expires_at) VALUES (x'01', 'refunded', x'', x'', 1, 2)";
        connection.execute(order, []).unwrap();
        let refund = "INSERT INTO refunds VALUES (x'02', x'01', 3, 1, NULL, x'04', 5)";
        connection.execute(refund, []).unwrap();
        migrate(&mut connection).unwrap();
        let row = connection.query_row("SELECT * FROM refunds", [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(6)?))
        });
        assert_eq!(row.unwrap(), (vec![2], vec![1], 3, 5));
        connection.execute(&refund.replace("x'02', x'01'", "x'03', x'99'"), []).unwrap();
    }

    #[test]
    fn a_store_of_an_earlier_format_is_brought_to_the_present_one_with_its_orders() {
        for earlier in 1..FORMAT {
            brought_to_the_present_format(earlier);
        }
    }

    fn brought_to_the_present_format(earlier: i64) {
        let mut connection = Connection::open_in_memory().unwrap();
        for migration in &MIGRATIONS[..earlier as usize] {
            connection.execute_batch(migration).unwrap();
        }
        connection.pragma_update(None, "user_version", earlier).unwrap();
        let order = "INSERT INTO orders (number, state, quote, certificate, issued_at, expires_at) VALUES (x'01', 'delivered', x'', x'', 1, 2)";
        connection.execute(order, []).unwrap();
        for _ in 0..2 {
            migrate(&mut connection).unwrap();
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, FORMAT);
        }
        let count = |table: &str| -> i64 {
            connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("orders"), count("refunds"), count("desk_batches")), (1, 0, 0));
        let known: Option<String> =
            connection.query_row("SELECT loyalty_id FROM orders", [], |row| row.get(0)).unwrap();
        assert_eq!(known, None);
        for unknown in [FORMAT + 1, -1] {
            connection.pragma_update(None, "user_version", unknown).unwrap();
            assert!(matches!(migrate(&mut connection), Err(StoreError::Format { .. })));
        }
    }
}
