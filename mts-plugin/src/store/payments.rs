//! Everything that proofs were presented of, for reconciliation.

use protocol::ids::TransactionNumber;

use super::{Store, StoreError};

impl Store {
    /// Calls `visit` with the proof of every payment on record, the first of an order and further ones.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn for_each_proof(&self, mut visit: impl FnMut(&[u8])) -> Result<(), StoreError> {
        let connection = self.orders();
        let query = "SELECT proof FROM orders WHERE proof IS NOT NULL UNION ALL SELECT proof FROM surplus";
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            visit(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        }
        Ok(())
    }

    /// Calls `visit` with the number of every order on record.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn for_each_number(&self, mut visit: impl FnMut(TransactionNumber)) -> Result<(), StoreError> {
        let connection = self.orders();
        let mut statement = connection.prepare("SELECT number FROM orders")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            visit(TransactionNumber(row.get(0)?));
        }
        Ok(())
    }
}
