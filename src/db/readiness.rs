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

/// The greatest id of a row that a check writes.
const ROWS: i8 = 99;

/// Writes to every table of the hot path without changing a row of it, and one row of a table of its own.
pub async fn check(tx: &mut Tx<'_>) -> Result<(), Failure> {
    // instances write different rows: one that stops in the middle keeps its row locked
    let row = rand::random_range(0..=ROWS).to_string();
    tx.packet(&STATEMENTS.map(|statement| statement.replace("{row}", &row))).await?;
    Ok(())
}
