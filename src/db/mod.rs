//! The only place with SQL: the pool, the transaction door, and one file per table.

pub mod audit;
mod breaker;
pub mod charges;
pub mod clock;
pub mod door;
pub mod due;
pub mod error;
pub mod holds;
pub mod idempotency_keys;
pub mod literal;
pub mod lock_wait;
pub mod migrations;
pub mod operators;
pub mod order_events;
pub mod orders;
pub mod payment_batch;
pub mod payment_event_deliveries;
pub mod payment_event_quarantines;
pub mod payment_event_trail;
pub mod payment_events;
pub mod payment_links;
pub mod pool;
pub mod products;
pub mod readiness;
mod server;
pub mod share;
pub mod sql;
mod trouble;

pub use clock::Clock;
pub use door::{Database, Tx};
pub use error::{Error, Failure};
pub use share::Share;

use mysql_async::prelude::FromValue;
use mysql_async::{Row, Value};
use uuid::Uuid;

use crate::telemetry;

/// Returns an id as its column stores it.
fn bytes(id: Uuid) -> Value {
    Value::Bytes(id.as_bytes().to_vec())
}

/// Reads the id in a column of 16 bytes.
fn id(bytes: &[u8]) -> Result<Uuid, Failure> {
    Uuid::from_slice(bytes).map_err(|error| Failure::Broken(format!("a stored id is not a UUID: {error}")))
}

/// Reads the state with that name in a column.
fn state<T: crate::domain::Named>(name: &str) -> Result<T, Failure> {
    T::from_name(name).ok_or_else(|| Failure::Broken(format!("{name} is no {}", T::SET)))
}

/// Reads the column with that name.
fn column<T: FromValue>(row: &Row, name: &str) -> Result<T, Failure> {
    match row.get_opt(name) {
        Some(Ok(value)) => Ok(value),
        _ => Err(Failure::Broken(format!("the column {name} is missing or of another type"))),
    }
}

/// Reads a column of text from outside.
fn text_column(row: &Row, name: &str) -> Result<Option<String>, Failure> {
    let bytes: Option<Vec<u8>> = column(row, name)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads a column with an id that may be missing.
fn id_column(row: &Row, name: &str) -> Result<Option<Uuid>, Failure> {
    let bytes: Option<Vec<u8>> = column(row, name)?;
    bytes.as_deref().map(id).transpose()
}

/// Checks a guarded update of one row: true when it changed the row, false when the guard did not match any more.
fn single(guard: &'static str, affected: u64) -> Result<bool, Failure> {
    match affected {
        1 => Ok(true),
        0 => {
            telemetry::guard_missed(guard);
            Ok(false)
        }
        more => Err(Failure::Broken(format!("{guard} changed {more} rows instead of one"))),
    }
}

/// Checks that a set-based update changed exactly the requested rows. Fewer mean that another transaction has changed some of
/// them: the transaction starts over and reads again.
fn exactly(guard: &'static str, affected: u64, asked: usize) -> Result<(), Failure> {
    match usize::try_from(affected) {
        Ok(count) if count == asked => Ok(()),
        Ok(count) if count < asked => {
            telemetry::guard_missed(guard);
            Err(Failure::Raced(guard))
        }
        _ => Err(Failure::Broken(format!("{guard} changed {affected} rows instead of {asked}"))),
    }
}
