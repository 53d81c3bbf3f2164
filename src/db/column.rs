//! Columns of rows: ids, states, times and text as they are stored.

use std::time::Duration;

use mysql_async::prelude::FromValue;
use mysql_async::{Row, Value};
use uuid::Uuid;

use super::error::Failure;
use crate::domain::Named;

/// Returns an id as its column stores it.
pub(super) fn bytes(id: Uuid) -> Value {
    Value::Bytes(id.as_bytes().to_vec())
}

/// Reads the id in a column of 16 bytes.
pub(super) fn id(bytes: &[u8]) -> Result<Uuid, Failure> {
    Uuid::from_slice(bytes).map_err(|error| Failure::Broken(format!("a stored id is not a UUID: {error}")))
}

/// Reads the state with this name in a column.
pub(super) fn state<T: Named>(name: &str) -> Result<T, Failure> {
    T::from_name(name).ok_or_else(|| Failure::Broken(format!("{name} is no {}", T::SET)))
}

/// Reads the column with this name.
pub(super) fn column<T: FromValue>(row: &Row, name: &str) -> Result<T, Failure> {
    match row.get_opt(name) {
        Some(Ok(value)) => Ok(value),
        _ => Err(Failure::Broken(format!("the column {name} is missing or has another type"))),
    }
}

/// Reads a column of text that a client or a provider sent.
pub(super) fn text_column(row: &Row, name: &str) -> Result<Option<String>, Failure> {
    let bytes: Option<Vec<u8>> = column(row, name)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads a column with an id that may be missing.
pub(super) fn id_column(row: &Row, name: &str) -> Result<Option<Uuid>, Failure> {
    let bytes: Option<Vec<u8>> = column(row, name)?;
    bytes.as_deref().map(id).transpose()
}

/// Returns a duration as microseconds, for a parameter or a literal.
pub(super) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
