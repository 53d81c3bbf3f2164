//! Guarded statements: what the number of changed rows says.

use super::error::Failure;
use crate::telemetry;

/// Checks a guarded update of one row: true when it changed the row, false when the guard did not match any more.
pub(super) fn single(guard: &'static str, affected: u64) -> Result<bool, Failure> {
    match affected {
        1 => Ok(true),
        0 => {
            telemetry::guard_missed(guard);
            Ok(false)
        }
        more => Err(Failure::Broken(format!("{guard} changed {more} rows instead of one"))),
    }
}

/// Checks a set-based update whose rows are independent: fewer than the requested ones mean that the guard did not match some.
/// Returns how many it changed.
pub(super) fn at_most(guard: &'static str, affected: u64, asked: usize) -> Result<usize, Failure> {
    match usize::try_from(affected) {
        Ok(count) if count <= asked => {
            if count < asked {
                telemetry::guard_missed(guard);
            }
            Ok(count)
        }
        _ => Err(Failure::Broken(format!("{guard} changed {affected} rows instead of {asked}"))),
    }
}

/// Checks that a set-based update changed exactly the requested rows. Fewer mean that another transaction has changed some of
/// them; `missed` says what follows from that.
pub(super) fn exactly(
    guard: &'static str,
    affected: u64,
    asked: usize,
    missed: fn(&'static str) -> Failure,
) -> Result<(), Failure> {
    match usize::try_from(affected) {
        Ok(count) if count == asked => Ok(()),
        Ok(count) if count < asked => {
            telemetry::guard_missed(guard);
            Err(missed(guard))
        }
        _ => Err(Failure::Broken(format!("{guard} changed {affected} rows instead of {asked}"))),
    }
}
