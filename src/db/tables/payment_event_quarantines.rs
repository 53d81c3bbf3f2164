//! The reasons of quarantined events, and the dismissals by operators.

use mysql_async::{Row, params};

use crate::db::column::text_column;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;
use crate::domain::{Named as _, Quarantine, QuarantineReason};

/// How many bytes of a value are kept at most.
const VALUE_BYTES: usize = 255;

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(VALUE_BYTES)).unwrap_or_default()
}

/// Writes why an event of this transaction is quarantined.
pub async fn insert(tx: &mut Tx<'_>, event_id: i64, quarantine: &Quarantine) -> Result<(), Failure> {
    let Quarantine { reason, expected, got } = quarantine;
    let params = params! { event_id, "reason" => reason.as_str(), "expected" => cut(expected), "got" => cut(got) };
    match tx.execute(sql::payment_event_quarantines::INSERT, params).await? {
        0 => Err(Failure::Broken(format!("the payment event {event_id} is missing"))),
        _ => Ok(()),
    }
}

/// How many bytes of a note are kept at most.
const NOTE_BYTES: usize = 1024;

/// Writes why an operator dismissed an event.
pub async fn dismiss(tx: &mut Tx<'_>, event_id: i64, note: &str) -> Result<(), Failure> {
    let note = note.get(..note.floor_char_boundary(NOTE_BYTES)).unwrap_or_default();
    tx.execute(sql::payment_event_quarantines::DISMISS, params! { event_id, note }).await?;
    Ok(())
}

/// Returns whether an operator dismissed the event.
pub async fn is_dismissed(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    let params = params! { event_id };
    Ok(tx.row::<bool>(sql::payment_event_quarantines::FIND_DISMISSAL, params).await? == Some(true))
}

/// Reads the reason in the columns of a joined row; `None` without a reason, or with one that only a newer version knows.
pub(in crate::db) fn quarantine(row: &Row) -> Result<Option<Quarantine>, Failure> {
    let reason = text_column(row, "reason")?.and_then(|reason| QuarantineReason::from_name(&reason));
    let text = |name| Ok::<_, Failure>(text_column(row, name)?.unwrap_or_default());
    let (expected, got) = (text("expected")?, text("got")?);
    Ok(reason.map(|reason| Quarantine { reason, expected, got }))
}
