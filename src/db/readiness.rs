//! Whether the database takes the writes of the hot path.

use super::sql::readiness::{
    INSERT_NO_CHARGES, INSERT_NO_HOLDS, INSERT_NO_IDEMPOTENCY_KEYS, INSERT_NO_ORDER_EVENTS, INSERT_NO_ORDERS,
    INSERT_NO_PAYMENT_EVENT_DELIVERIES, INSERT_NO_PAYMENT_EVENTS, TOUCH, UPDATE_NOTHING,
};
use super::{Failure, Tx};

/// In the order in which every transaction takes its locks; the real write is the last one.
const STATEMENTS: [&str; 9] = [
    INSERT_NO_IDEMPOTENCY_KEYS,
    INSERT_NO_PAYMENT_EVENTS,
    INSERT_NO_PAYMENT_EVENT_DELIVERIES,
    INSERT_NO_CHARGES,
    INSERT_NO_ORDERS,
    INSERT_NO_ORDER_EVENTS,
    INSERT_NO_HOLDS,
    UPDATE_NOTHING,
    TOUCH,
];

/// Writes to every table of the hot path without changing a row of it, and one row of a table of its own.
pub async fn check(tx: &mut Tx<'_>) -> Result<(), Failure> {
    tx.packet(&STATEMENTS.map(str::to_owned)).await?;
    Ok(())
}
