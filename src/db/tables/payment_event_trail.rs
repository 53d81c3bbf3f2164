//! The trail of a payment event: failed attempts, and the actions of operators.

use mysql_async::params;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::Named as _;
use crate::domain::status::named;

named! {
    /// The action of an entry.
    Action {
        /// It could not be applied.
        AttemptFailed = "attempt_failed",
        /// It is not tried any more.
        GivenUp = "given_up",
        /// An operator had it tried anew.
        Replayed = "replayed",
        /// An operator gave the money back.
        RefundDone = "refund_done",
        /// An operator dismissed it. The note is in `payment_event_quarantines`: older versions do not know this word.
        Dismissed = "dismissed",
    }
}

/// How many bytes of an error or a note are kept at most.
const DETAIL_BYTES: usize = 1024;

/// Writes one entry.
pub async fn insert(tx: &mut Tx<'_>, event_id: i64, action: Action, detail: &str) -> Result<(), Failure> {
    let detail = detail.get(..detail.floor_char_boundary(DETAIL_BYTES)).unwrap_or_default();
    let params = params! { event_id, "action" => action.as_str(), detail };
    match single("payment_event_trail/insert", tx.execute(sql::payment_event_trail::INSERT, params).await?)? {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the payment event {event_id} is missing"))),
    }
}
