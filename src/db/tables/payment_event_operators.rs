//! Which operators acted on payment events.

use mysql_async::params;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;

/// Writes which operator dismissed an event.
pub async fn insert(tx: &mut Tx<'_>, event_id: i64, operator: &str) -> Result<(), Failure> {
    tx.execute(sql::payment_event_operators::INSERT, params! { event_id, operator }).await?;
    Ok(())
}

/// Writes which operator made the entry of the trail that this transaction has just written.
pub async fn insert_last(tx: &mut Tx<'_>, event_id: i64, operator: &str) -> Result<(), Failure> {
    tx.execute(sql::payment_event_operators::INSERT_LAST, params! { event_id, operator }).await?;
    Ok(())
}
