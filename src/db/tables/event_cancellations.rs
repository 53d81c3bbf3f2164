//! The table of cancelled events: how far a worker has ended what was sold for each.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, id, state, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::Named as _;
use crate::domain::status::named;

named! {
    /// How far the end of an event is.
    Stage {
        /// Its active holds and unpaid orders are being ended.
        Holds = "holds",
        /// The due refunds of its paid orders are being written.
        Refunds = "refunds",
        /// All of it has ended.
        Finished = "finished",
    }
}

/// The end of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// The event.
    pub event_id: i64,
    /// The operator who cancelled it.
    pub cancelled_by: String,
    /// When, UTC.
    pub cancelled_at: NaiveDateTime,
    /// How far it is.
    pub stage: Stage,
    /// The ticket type up to which due refunds are written.
    pub product_id: i64,
    /// The hold of it up to which they are written.
    pub hold_id: Uuid,
    /// How many steps were made.
    pub steps: i64,
    /// How many active holds were ended.
    pub holds_ended: i64,
    /// How many unpaid orders were cancelled.
    pub orders_cancelled: i64,
    /// How many due refunds were written.
    pub refunds_due: i64,
    /// Their sum, of those in the event's currency, in minor units.
    pub amount_minor: i64,
    /// When all of it had ended, UTC.
    pub finished_at: Option<NaiveDateTime>,
}

fn cancellation(row: &Row) -> Result<Cancellation, Failure> {
    Ok(Cancellation {
        event_id: column(row, "event_id")?,
        cancelled_by: text_column(row, "cancelled_by")?.unwrap_or_default(),
        cancelled_at: column(row, "cancelled_at")?,
        stage: state(&column::<String>(row, "stage")?)?,
        product_id: column(row, "product_id")?,
        hold_id: id(&column::<Vec<u8>>(row, "hold_id")?)?,
        steps: column(row, "steps")?,
        holds_ended: column(row, "holds_ended")?,
        orders_cancelled: column(row, "orders_cancelled")?,
        refunds_due: column(row, "refunds_due")?,
        amount_minor: column(row, "amount_minor")?,
        finished_at: column(row, "finished_at")?,
    })
}

/// Begins the end of an event that was just cancelled.
pub async fn insert(tx: &mut Tx<'_>, event_id: i64, cancelled_by: &str) -> Result<(), Failure> {
    let params = params! { event_id, "cancelled_by" => cancelled_by.as_bytes() };
    tx.execute(sql::event_cancellations::INSERT, params).await?;
    Ok(())
}

/// Finds the end of an event; `None` when the event goes on.
pub async fn find(tx: &mut Tx<'_>, event_id: i64) -> Result<Option<Cancellation>, Failure> {
    let found: Option<Row> = tx.row(sql::event_cancellations::FIND, params! { event_id }).await?;
    found.as_ref().map(cancellation).transpose()
}

/// Finds the next event behind `after` whose end is under way.
pub async fn find_open(tx: &mut Tx<'_>, after: i64) -> Result<Option<i64>, Failure> {
    tx.row(sql::event_cancellations::FIND_OPEN, params! { after }).await
}

/// Begins a step. Returns false when another instance has made one since.
pub async fn claim(tx: &mut Tx<'_>, before: &Cancellation) -> Result<bool, Failure> {
    let params = params! { "event_id" => before.event_id, "steps" => before.steps };
    single("event_cancellations/claim", tx.execute(sql::event_cancellations::CLAIM, params).await?)
}

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// How far the end is after it.
    pub stage: Stage,
    /// The ticket type and the hold up to which due refunds are written.
    pub place: (i64, Uuid),
    /// Active holds that it ended.
    pub holds_ended: u64,
    /// Unpaid orders that it cancelled.
    pub orders_cancelled: u64,
    /// Due refunds that it wrote.
    pub refunds_due: u64,
    /// Their sum, of those in the event's currency, in minor units.
    pub amount_minor: i64,
}

/// Notes what a step has done that this transaction has begun.
///
/// # Errors
/// [`Failure::Broken`] when there is no such event.
pub async fn note(tx: &mut Tx<'_>, event_id: i64, done: &Done) -> Result<(), Failure> {
    let params = params! {
        event_id,
        "stage" => done.stage.as_str(),
        "product_id" => done.place.0,
        "hold_id" => bytes(done.place.1),
        "holds_ended" => done.holds_ended,
        "orders_cancelled" => done.orders_cancelled,
        "refunds_due" => done.refunds_due,
        "amount_minor" => done.amount_minor,
    };
    match single("event_cancellations/note", tx.execute(sql::event_cancellations::NOTE, params).await?)? {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the end of the event {event_id} is missing"))),
    }
}
