//! What can go wrong between us and the database, sorted by what to do about it.

use mysql_async::{DriverError, Error as DriverOrServer};

use crate::domain::Refusal;

/// Why a transaction's closure stopped. The door turns it into an [`Error`] or into another attempt.
#[derive(Debug)]
pub enum Failure {
    /// The server or the connection said no.
    Database(DriverOrServer),
    /// The business said no: roll back and tell the caller.
    Refused(Refusal),
    /// A plain read and a guarded update disagreed, because somebody else committed in between: roll back, run again.
    Raced(&'static str),
    /// What was read before the transaction does not hold any more: roll back, the caller reads again.
    Stale(&'static str),
    /// An invariant does not hold: roll back, log, answer 500.
    Broken(String),
    /// The work was abandoned in the middle of a statement: the connection is ended, and with it what runs on it.
    Abandoned(&'static str),
    /// Not all of these rows can be changed as asked: roll back, and let the caller look which of them cannot.
    Unfit(String),
}

impl Failure {
    /// For a transaction over a set of rows: a broken invariant, or an error of the server that another attempt would meet
    /// again, belongs to some of the rows. The caller divides the set.
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

/// How a transaction ended when it did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The business said no; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database cannot be reached or did not answer in time; whether a commit under way took effect is unknown
    /// to the caller, and the same request may be sent again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Every attempt lost against other transactions.
    #[error("gave up after {attempts} attempts, the last one ended by {reason}")]
    Contended {
        /// How many there were.
        attempts: u32,
        /// What ended the last one.
        reason: String,
    },
    /// What the caller had read before does not hold any more; nothing was changed.
    #[error("{0} changed in between")]
    Stale(&'static str),
    /// Too many others wait for the same; nothing was tried.
    #[error("too many requests wait already")]
    Overloaded,
    /// A bug or a schema that does not fit.
    #[error("{0}")]
    Broken(String),
    /// Not all rows of a set can be changed as asked; nothing was changed.
    #[error("not all of these rows can be changed: {0}")]
    Unfit(String),
}

/// What an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Lost against another transaction: ROLLBACK and run again.
    Retry,
    /// The server is not there or does not take work, and nothing was committed: another connection.
    Reroute,
    /// COMMIT was sent and its answer is missing: run again with the same ids, unique keys tell what happened.
    Unknown,
    /// The server does not do this work until an operator has changed something: it is out of space, privileges are missing,
    /// a table is. See [`advice`].
    Unusable,
    /// Ours: a bug.
    Ours,
}

/// Sorts an error. `committing` says whether COMMIT had been sent.
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
            // Shutting down, unknown, gone away, lost, commit failed, killed, interrupted, network. A limit of time that an
            // operator set has passed (1969 on MariaDB, 3024 on MySQL), maybe while COMMIT waited for a replica. A hook of
            // group replication failed (3100): before the commit or after it.
            1053 | 1105 | 1152 | 1158..=1161 | 1180 | 1184 | 1317 | 1927 | 1969 | 2006 | 2013 | 3024 | 3100 | 4031 => {
                lost(committing)
            }
            code if advice(code).is_some() && committing => Class::Unknown,
            code if advice(code).is_some() => Class::Unusable,
            _ => Class::Ours,
        },
        // trying a packet again that is too large for the server helps nobody
        DriverOrServer::Io(error) if error.to_string().contains("Packet too large") => Class::Ours,
        DriverOrServer::Io(_) => lost(committing),
        DriverOrServer::Other(_) => lost(committing),
        DriverOrServer::Driver(
            DriverError::ConnectionClosed | DriverError::PoolDisconnected | DriverError::PacketOutOfOrder,
        ) => lost(committing),
        _ => Class::Ours,
    }
}

/// What an operator has to do about an error of this code: one that says nothing about the request that met it.
pub fn advice(code: u16) -> Option<&'static str> {
    let advice = match code {
        // file not written, not resized, disk full; the same by the server; table full, error of the engine
        3 | 14 | 20 | 1021 | 1026 | 1030 | 1114 => "give the database server disk space; its error log knows more",
        1037 | 1038 | 1041 | 1135 | 1206 | 1637 => {
            "give the database server memory, or raise the limit that its message names"
        }
        1040 | 1203 | 1226 => "raise the limit of connections on the database server, or lower HOLDFAST_POOL_SIZE",
        // access to the database, a table, a column, an operation; the login; an expired password, a locked account
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 1820 | 1862 | 3118 | 4151 => {
            "give the service's user its password and SELECT, INSERT, UPDATE and DELETE on the database"
        }
        1049 | 1054 | 1146 => "run `holdfast migrate`, or restore what is missing",
        // file missing or unreadable; table crashed, tablespace missing or discarded, unknown to the engine
        1016 | 1017 | 1033 | 1034 | 1194 | 1195 | 1812 | 1813 | 1814 | 1932 => {
            "repair or restore the table on the database server; its error log knows more"
        }
        // a table, a setting, a transaction, the server, the engine
        1036 | 1290 | 1792 | 1836 | 1874 => {
            "make the database server writable, or let HOLDFAST_DATABASE_URL lead to the primary"
        }
        _ => return None,
    };
    Some(advice)
}

/// Whether the server lacks space to write to.
pub fn is_lack_of_space(code: u16) -> bool {
    matches!(code, 3 | 14 | 20 | 1021 | 1026 | 1030 | 1114)
}

fn lost(committing: bool) -> Class {
    if committing { Class::Unknown } else { Class::Reroute }
}

/// The name of an error in metrics: the server's code, or what else happened.
pub fn label(error: &DriverOrServer) -> String {
    match error {
        DriverOrServer::Server(server) => server.code.to_string(),
        DriverOrServer::Io(_) => "io".to_owned(),
        DriverOrServer::Driver(DriverError::ConnectionClosed) => "closed".to_owned(),
        _ => "driver".to_owned(),
    }
}

/// An error with everything that caused it, each said once.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
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
    fn what_lost_against_another_transaction_is_run_again_whenever_it_happens() {
        for code in [1213, 1205, 1020, 3101, 1412] {
            assert_eq!(classify(&server(code, ""), false), Class::Retry, "{code}");
            assert_eq!(classify(&server(code, ""), true), Class::Retry, "{code}");
        }
        assert_eq!(classify(&server(1180, "Got error 149 during COMMIT"), true), Class::Retry);
    }

    #[test]
    fn a_lost_answer_means_nothing_before_commit_and_is_never_guessed_after_it() {
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
    fn a_broken_constraint_is_ours() {
        for code in [1062, 1264, 1690, 3819, 4025, 1064] {
            assert_eq!(classify(&server(code, ""), true), Class::Ours, "{code}");
        }
    }
}
