//! Checks whether the database accepts the writes of the hot path.

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::Literal;
use crate::db::sql::readiness::{
    INSERT_NO_CHARGES, INSERT_NO_FEED_BATCHES, INSERT_NO_HOLDS, INSERT_NO_IDEMPOTENCY_KEYS, INSERT_NO_ORDER_EVENTS,
    INSERT_NO_ORDERS, INSERT_NO_PAYMENT_EVENT_DELIVERIES, INSERT_NO_PAYMENT_EVENTS, Touch, UPDATE_NOTHING,
};

/// The statements that change no row, in the order in which every transaction takes its locks.
const EMPTY_WRITES: [&str; 9] = [
    INSERT_NO_IDEMPOTENCY_KEYS,
    INSERT_NO_PAYMENT_EVENTS,
    INSERT_NO_PAYMENT_EVENT_DELIVERIES,
    INSERT_NO_CHARGES,
    INSERT_NO_ORDERS,
    INSERT_NO_ORDER_EVENTS,
    INSERT_NO_FEED_BATCHES,
    INSERT_NO_HOLDS,
    UPDATE_NOTHING,
];

/// The greatest id of a row that a check writes.
const ROWS: i64 = 99;

/// Runs a write on every table of the hot path that changes no row, and writes one row of its own table.
pub async fn check(tx: &mut Tx<'_>) -> Result<(), Failure> {
    // a random row, since a check that stalls in the middle keeps its row locked
    let row = Literal::Number(rand::random_range(0..=ROWS)).into();
    let mut statements: Vec<String> = EMPTY_WRITES.map(str::to_owned).into();
    statements.push(Touch { row }.text());
    tx.packet(&statements).await?;
    Ok(())
}
