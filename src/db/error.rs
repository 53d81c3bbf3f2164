//! The errors of the database and its connections, classified by the reaction that they call for.

use mysql_async::{DriverError, Error as DriverOrServer};
use uuid::Uuid;

use crate::domain::Refusal;

/// Why a transaction's closure stopped. The door turns it into an [`Error`] or into another attempt.
#[derive(Debug)]
pub enum Failure {
    /// An error of the server or the connection.
    Database(DriverOrServer),
    /// A refusal by a business rule: roll back and return it to the caller.
    Refused(Refusal),
    /// A plain read and a guarded update disagree, because another transaction committed in between: roll back, run again.
    Raced(&'static str),
    /// Rows have changed since they were read before the transaction: roll back, the caller reads again.
    Stale(&'static str),
    /// As [`Failure::Stale`], and certainly because of another transaction: also after a COMMIT whose response was lost, the
    /// caller must read again.
    Changed(&'static str),
    /// A product has fewer units on sale than the transaction needs: roll back.
    OutOfStock,
    /// The units of a buyer would pass the limit of their product: roll back.
    OverLimit {
        /// The most units of one buyer.
        limit: i64,
        /// The units that the buyer would have.
        units: i64,
    },
    /// These counters would be over the limits that the transaction has read: roll back, the caller reads them again.
    CountersOver(Vec<Uuid>),
    /// An invariant does not hold: roll back, log, respond with 500.
    Broken(String),
    /// The work was abandoned in the middle of a statement: close the connection, which ends the statement.
    Abandoned(&'static str),
    /// Some of these rows cannot be changed as requested: roll back, and let the caller find out which.
    Unfit(String),
}

impl Failure {
    /// Turns a broken invariant, or a server error that a retry would repeat, into [`Failure::Unfit`]. In a transaction over a
    /// set of rows, some of the rows cause it; the caller divides the set.
    pub fn of_some_rows(self) -> Self {
        match self {
            Self::Broken(what) => Self::Unfit(what),
            Self::Database(error) if classify(&error, false) == Class::Ours => Self::Unfit(error.to_string()),
            other => other,
        }
    }
}

impl From<DriverOrServer> for Failure {
    fn from(error: DriverOrServer) -> Self {
        Self::Database(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why a transaction failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A business rule refused; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database cannot be reached or did not answer in time; whether a commit under way took effect is unknown
    /// to the caller, and the same request may be sent again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Every attempt conflicted with other transactions.
    #[error("gave up after {attempts} attempts, the last one ended by {reason}")]
    Contended {
        /// How many there were.
        attempts: u32,
        /// Why the last one ended.
        reason: String,
    },
    /// Rows have changed since the caller read them; this transaction changed nothing.
    #[error("{0} changed in between")]
    Stale(&'static str),
    /// A product has fewer units on sale than the transaction needs; nothing was changed.
    #[error("there are not enough units")]
    OutOfStock,
    /// The units of a buyer would pass the limit of their product; nothing was changed.
    #[error("a buyer may have {limit} units, not {units}")]
    OverLimit {
        /// The most units of one buyer.
        limit: i64,
        /// The units that the buyer would have.
        units: i64,
    },
    /// These counters have grown since the caller read them, and would be over their limits; nothing was changed.
    #[error("{} counters of units changed in between", .0.len())]
    CountersOver(Vec<Uuid>),
    /// The work was abandoned in the middle of a statement; nothing was changed.
    #[error("{0}")]
    Abandoned(&'static str),
    /// A bug or a schema that does not fit.
    #[error("{0}")]
    Broken(String),
    /// Some rows of a set cannot be changed as requested; nothing was changed.
    #[error("not all of these rows can be changed: {0}")]
    Unfit(String),
}

/// The reaction that an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A conflict with another transaction: ROLLBACK and run again.
    Retry,
    /// The server is unreachable or refuses work, and nothing was committed: use another connection.
    Reroute,
    /// COMMIT was sent and its response is missing: run again with the same ids; unique keys show what happened.
    Unknown,
    /// The server refuses this work until an operator acts: it is out of space, or a privilege or a table is missing. See
    /// [`advice`].
    Unusable,
    /// A bug in this program.
    Ours,
}

/// Classifies an error. `committing` says whether COMMIT had been sent.
///
/// Codes: MariaDB Knowledge Base, "MariaDB Error Code Reference"; MySQL 9 Manual, "Server Error Message Reference".
pub fn classify(error: &DriverOrServer, committing: bool) -> Class {
    match error {
        DriverOrServer::Server(server) => match server.code {
            // deadlock, lock wait timeout, changed since read, rolled back by the group, another schema since the snapshot
            1213 | 1205 | 1020 | 3101 | 1412 => Class::Retry,
            1180 if server.message.contains("149") => Class::Retry,
            // TiDB: write conflict, schema changed, and the like
            8002 | 8005 | 8022 | 8028 | 9007 => Class::Retry,
            // Too many connections, not ready for queries, user limits, read-only, replica. Out of memory (1041): another
            // connection may get some. A statement that must be prepared anew (1615): a new connection prepares it.
            1036 | 1040 | 1041 | 1047 | 1203 | 1226 | 1290 | 1615 | 1792 | 1836 | 1874 | 3168 => Class::Reroute,
            // Shutting down, unknown, gone away, lost, commit failed, killed, interrupted, network. A time limit that an
            // operator set has passed (1969 on MariaDB, 3024 on MySQL), maybe while COMMIT waited for a replica. A hook of
            // group replication failed (3100): before the commit or after it.
            1053 | 1105 | 1152 | 1158..=1161 | 1180 | 1184 | 1317 | 1927 | 1969 | 2006 | 2013 | 3024 | 3100 | 4031 => {
                lost(committing)
            }
            code if advice(code).is_some() && committing => Class::Unknown,
            code if advice(code).is_some() => Class::Unusable,
            _ => Class::Ours,
        },
        // a packet that is too large for the server fails again
        DriverOrServer::Io(error) if error.to_string().contains("Packet too large") => Class::Ours,
        DriverOrServer::Io(_) => lost(committing),
        DriverOrServer::Other(_) => lost(committing),
        DriverOrServer::Driver(
            DriverError::ConnectionClosed | DriverError::PoolDisconnected | DriverError::PacketOutOfOrder,
        ) => lost(committing),
        _ => Class::Ours,
    }
}

/// "Duplicate entry".
const DUPLICATE: u16 = 1062;

/// Turns the violation of a unique key into another attempt, for statements that another transaction can make violate it.
pub fn raced(failure: Failure, key: &'static str) -> Failure {
    match failure {
        Failure::Database(DriverOrServer::Server(error)) if error.code == DUPLICATE => Failure::Raced(key),
        other => other,
    }
}

/// Returns what an operator has to do about an error with this code; `None` when the request may be the cause.
pub fn advice(code: u16) -> Option<&'static str> {
    let advice = match code {
        // file not written, not resized, disk full; the same by the server; table full, error of the engine
        3 | 14 | 20 | 1021 | 1026 | 1030 | 1114 => "give the database server disk space; see its error log",
        1037 | 1038 | 1041 | 1135 | 1206 | 1637 => {
            "give the database server memory, or raise the limit that its message names"
        }
        1040 | 1203 | 1226 => "raise the limit of connections on the database server, or lower HOLDFAST_POOL_SIZE",
        // access to the database, a table, a column, an operation; the login; an expired password, a locked account
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 1820 | 1862 | 3118 | 4151 => {
            "give the service's user its password and SELECT, INSERT, UPDATE and DELETE on the database"
        }
        1049 | 1054 | 1146 => "run `holdfast migrate`, or restore the missing database, table or column",
        // file missing or unreadable; table crashed, tablespace missing or discarded, unknown to the engine
        1016 | 1017 | 1033 | 1034 | 1194 | 1195 | 1812 | 1813 | 1814 | 1932 => {
            "repair or restore the table on the database server; see its error log"
        }
        // a table, a setting, a transaction, the server, the engine
        1036 | 1290 | 1792 | 1836 | 1874 => {
            "make the database server writable, or point HOLDFAST_DATABASE_URL to the primary"
        }
        _ => return None,
    };
    Some(advice)
}

/// Returns whether the server lacks space for a write.
pub fn is_lack_of_space(code: u16) -> bool {
    matches!(code, 3 | 14 | 20 | 1021 | 1026 | 1030 | 1114)
}

fn lost(committing: bool) -> Class {
    if committing { Class::Unknown } else { Class::Reroute }
}

/// Returns the name of an error in metrics: the server's code, or a word for any other error.
pub fn label(error: &DriverOrServer) -> String {
    match error {
        DriverOrServer::Server(server) => server.code.to_string(),
        DriverOrServer::Io(_) => "io".to_owned(),
        DriverOrServer::Driver(DriverError::ConnectionClosed) => "closed".to_owned(),
        _ => "driver".to_owned(),
    }
}

/// Returns the text of an error and of its causes, each once.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.contains(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> DriverOrServer {
        DriverOrServer::Server(mysql_async::ServerError { code, message: message.into(), state: "HY000".into() })
    }

    #[test]
    fn a_conflict_with_another_transaction_is_retried_before_and_after_commit() {
        for code in [1213, 1205, 1020, 3101, 1412] {
            assert_eq!(classify(&server(code, ""), false), Class::Retry, "{code}");
            assert_eq!(classify(&server(code, ""), true), Class::Retry, "{code}");
        }
        assert_eq!(classify(&server(1180, "Got error 149 during COMMIT"), true), Class::Retry);
    }

    #[test]
    fn a_lost_response_changed_nothing_before_commit_and_is_unknown_after_it() {
        let gone = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let lost = [1053, 1969, 2013, 3024, 3100, 1142, 1114].map(|code| server(code, ""));
        for error in lost.into_iter().chain([server(1180, "Got error 5"), DriverOrServer::Io(gone.into())]) {
            let before = if matches!(&error, DriverOrServer::Server(error) if [1142, 1114].contains(&error.code)) {
                Class::Unusable
            } else {
                Class::Reroute
            };
            assert_eq!(classify(&error, false), before, "{error}");
            assert_eq!(classify(&error, true), Class::Unknown, "{error}");
        }
    }

    #[test]
    fn a_violated_constraint_is_a_bug() {
        for code in [1062, 1264, 1690, 3819, 4025, 1064] {
            assert_eq!(classify(&server(code, ""), true), Class::Ours, "{code}");
        }
    }
}
