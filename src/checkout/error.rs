//! Why a use case fails.

use crate::batch::Unanswered;
use crate::db::error::Error as DbError;
use crate::domain::Refusal;

/// The error of a use case.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The business refuses; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database cannot be reached or did not answer in time. Whether a commit took effect is unknown to the caller, and the
    /// same request may be sent again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Other transactions changed the same rows in every attempt; nothing was changed.
    #[error("gave up after {attempts} attempts, the last one ended by {reason}")]
    Contended {
        /// How many there were.
        attempts: u32,
        /// What ended the last one.
        reason: String,
    },
    /// Too many requests wait for the same lane; nothing was tried.
    #[error("too many requests wait already")]
    Overloaded,
    /// A bug, or a schema that does not fit.
    #[error("{0}")]
    Broken(String),
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Refused(refusal) => Self::Refused(refusal),
            DbError::Unavailable(why) => Self::Unavailable(why),
            DbError::Abandoned(why) => Self::Unavailable(why.to_owned()),
            DbError::Contended { attempts, reason } => Self::Contended { attempts, reason },
            DbError::Stale(guard) => Self::Contended { attempts: 1, reason: guard.to_owned() },
            DbError::CountersOver(_) => Self::Contended { attempts: 1, reason: error.to_string() },
            DbError::Broken(_) | DbError::OutOfStock | DbError::OverLimit { .. } | DbError::Unfit(_) => {
                Self::Broken(error.to_string())
            }
        }
    }
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Full => Self::Overloaded,
            Unanswered::Late => Self::Unavailable("no answer before the deadline".to_owned()),
            Unanswered::Contended(attempts) => Self::Contended { attempts, reason: "other transactions".to_owned() },
            Unanswered::Dropped => Self::Broken("a batch ended without answering a request".to_owned()),
        }
    }
}
