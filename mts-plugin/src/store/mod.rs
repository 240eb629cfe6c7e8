//! The durable orders: SQLite, shared by any number of web processes of one merchant.
//!
//! Every change of an order is one transaction that takes the write lock first, reads the order, applies one step of
//! [`protocol::order`] and commits with a sync. Any number of processes may do that; none keeps orders in memory.

mod order;
mod payments;
mod refunds;
mod schema;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use protocol::codec::Canonical;
use protocol::ids::{Digest, PaymentId, TransactionNumber};
use protocol::order::OrderState;
use protocol::quote::Quote;
use protocol::time::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};

pub use order::{Order, OrderKeys, OrderTransaction, SurplusPayment};
pub use refunds::{Refund, RefundOutcome, RefundProgress, StoredBatch};

/// How long a process waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database.
    #[error("the order store fails: {0}; if the disk is full, make room, nothing that was answered is lost")]
    Database(#[from] rusqlite::Error),
    /// The file.
    #[error("cannot use the order store {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others could read keys and addresses.
    #[error("the order store {0} is open to others: run `chmod go= {0}`")]
    Permissions(PathBuf),
    /// Made by a newer program.
    #[error("the order store has format {found}, this program knows {known}: update the program")]
    Format {
        /// Found on disk.
        found: i64,
        /// Newest known.
        known: i64,
    },
    /// A row that cannot have been written by this program.
    #[error("the order store is damaged: order {number} has no valid {field}; restore it from a backup")]
    Damaged {
        /// The order.
        number: TransactionNumber,
        /// Which column.
        field: &'static str,
    },
}

/// The orders of one merchant.
#[derive(Debug)]
pub struct Store {
    orders: Mutex<Connection>,
    quotes: Mutex<Connection>,
}

fn connect(path: &Path, synchronous: &str) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Destroyed keys are overwritten, not just forgotten.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(connection)
}

impl Store {
    /// Opens the store, making it if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Permissions`], [`StoreError::Format`], [`StoreError::File`], [`StoreError::Database`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file_error = |source| StoreError::File { path: path.to_owned(), source };
        // SQLite gives its other files the permissions of this one.
        let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(file_error)?;
        let mode = file.metadata().map_err(file_error)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(StoreError::Permissions(path.to_owned()));
        }
        drop(file);
        let mut orders = connect(path, "FULL")?;
        schema::migrate(&mut orders)?;
        // A quote that nobody confirmed yet may be lost in a power failure: the customer asks again, and nothing was paid.
        // The sync of its confirmation covers it, since both are in one log.
        let quotes = connect(path, "NORMAL")?;
        Ok(Self { orders: Mutex::new(orders), quotes: Mutex::new(quotes) })
    }

    fn orders(&self) -> MutexGuard<'_, Connection> {
        // A panic in between rolled its transaction back: the connection is as good as new.
        self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Records a quote under its number; `false` where the number was used before (draw another; K-79, K-80).
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn insert_quote(&self, quote: &Quote, certificate: Digest) -> Result<bool, StoreError> {
        let connection = self.quotes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut statement = connection.prepare_cached(
            "INSERT INTO orders (number, state, quote, certificate, issued_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let state = OrderState::AwaitingConfirmation.text();
        let (issued_at, expires_at) = (time(quote.issued_at), time(quote.expires_at));
        match statement.execute((quote.number.0, state, quote.encode(), certificate.0, issued_at, expires_at)) {
            Ok(_) => Ok(true),
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn order(&self, number: TransactionNumber) -> Result<Option<Order>, StoreError> {
        Order::load(&self.orders(), number)
    }

    /// Changes an order in one synced transaction. `change` gets the order, or is not called where there is none; what it
    /// returns as an error rolls everything back.
    ///
    /// # Errors
    /// [`StoreError`]; the inner result is that of `change`, `None` where the number is unknown.
    pub fn change<T, E>(
        &self,
        number: TransactionNumber,
        change: impl FnOnce(&mut OrderTransaction<'_>) -> Result<T, E>,
    ) -> Result<Option<Result<T, E>>, StoreError>
    where
        E: From<StoreError>,
    {
        let mut connection = self.orders();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(order) = Order::load(&transaction, number)? else { return Ok(None) };
        let mut open = OrderTransaction::new(&transaction, order);
        match change(&mut open) {
            Ok(value) => {
                open.save()?;
                transaction.commit()?;
                Ok(Some(Ok(value)))
            }
            Err(error) => Ok(Some(Err(error))),
        }
    }

    /// Orders in the order of their quotes, newest first; at most `limit`, of one state if given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list(&self, state: Option<OrderState>, limit: u32) -> Result<Vec<Order>, StoreError> {
        let connection = self.orders();
        let mut statement = connection.prepare(
            "SELECT number FROM orders WHERE ?1 IS NULL OR state = ?1 ORDER BY issued_at DESC, number LIMIT ?2",
        )?;
        let numbers = statement.query_map((state.map(OrderState::text), limit), |row| row.get::<_, [u8; 16]>(0))?;
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        let orders = numbers.into_iter().map(|number| Order::load(&connection, TransactionNumber(number)));
        Ok(orders.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Payments beyond the first one of their orders: to be refunded by the merchant (K-82).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn surplus(&self, number: Option<TransactionNumber>) -> Result<Vec<SurplusPayment>, StoreError> {
        let connection = self.orders();
        let mut statement =
            connection.prepare("SELECT payment, number, recorded_at FROM surplus WHERE ?1 IS NULL OR number = ?1")?;
        let rows = statement.query_map([number.map(|number| number.0)], |row| {
            let (payment, number) = (PaymentId(row.get(0)?), TransactionNumber(row.get(1)?));
            Ok(SurplusPayment { payment, number, recorded_at: from_time(row.get(2)?) })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Numbers of orders whose session keys were made before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn with_keys_before(&self, before: Timestamp) -> Result<Vec<TransactionNumber>, StoreError> {
        self.numbers("SELECT number FROM orders WHERE keys IS NOT NULL AND keys_since < ?1", time(before))
    }

    /// Numbers of paid orders that the shop was not told about.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn not_announced(&self) -> Result<Vec<TransactionNumber>, StoreError> {
        self.numbers(
            "SELECT number FROM orders WHERE payment IS NOT NULL AND announced = 0 AND issued_at < ?1",
            i64::MAX,
        )
    }

    fn numbers(&self, query: &str, bound: i64) -> Result<Vec<TransactionNumber>, StoreError> {
        let connection = self.orders();
        let mut statement = connection.prepare_cached(query)?;
        let rows = statement.query_map([bound], |row| Ok(TransactionNumber(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Deletes quotes that expired before `before` and were neither confirmed nor paid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete_lapsed(&self, before: Timestamp) -> Result<usize, StoreError> {
        let query = "DELETE FROM orders WHERE state IN ('awaiting-confirmation', 'lapsed') AND expires_at < ?1";
        Ok(self.orders().execute(query, [time(before)])?)
    }

    /// Moves the log into the database and empties it, so that destroyed keys are gone from there too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn empty_log(&self) -> Result<(), StoreError> {
        let connection = self.orders();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).optional()?;
        Ok(())
    }
}

/// SQLite integers are signed; times beyond the year 292 million are kept as that.
fn time(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn from_time(time: i64) -> Timestamp {
    Timestamp(u64::try_from(time).unwrap_or(0))
}
