//! The format of the order store.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Format of the database; a change of it adds a migration and raises this.
const FORMAT: i64 = 1;

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

/// Brings the database to the present format; several processes may try at once.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => {
            transaction.execute_batch(FORMAT_1)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        FORMAT => {}
        _ => return Err(StoreError::Format { found, known: FORMAT }),
    }
    Ok(transaction.commit()?)
}
