//! The audit trail: every transition of an order, written in its transaction.

use chrono::NaiveDateTime;
use mysql_async::params;
use uuid::Uuid;

use crate::db::column::{bytes, column, state};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::domain::status::named;
use crate::domain::{Named, OrderStatus};

named! {
    /// Why an order changed.
    Reason {
        /// A buyer created it from a hold.
        Created = "created",
        /// A payment arrived.
        PaymentSucceeded = "payment_succeeded",
        /// The payment failed.
        PaymentFailed = "payment_failed",
        /// All of the payment was given back.
        PaymentRefunded = "payment_refunded",
        /// A part of the payment was given back.
        PaymentPartRefunded = "payment_part_refunded",
        /// It was not paid in time.
        PaymentOverdue = "payment_overdue",
        /// An event was cancelled that some of its units are of.
        EventCancelled = "event_cancelled",
        /// The buyer cancelled it.
        BuyerCancelled = "buyer_cancelled",
        /// An attempt to pay failed. The order stays pending: the buyer may try another way to pay.
        PaymentAttemptFailed = "payment_attempt_failed",
    }
}

/// One transition.
#[derive(Debug, Clone, Copy)]
pub struct Transition {
    /// The order.
    pub order_id: Uuid,
    /// The state before; `None` for the creation.
    pub from: Option<OrderStatus>,
    /// The state after.
    pub to: OrderStatus,
    /// The reason.
    pub reason: Reason,
}

/// A row of the trail. The fields after `at` are set when a payment event was the reason, as far as that event has them.
#[derive(Debug, Clone)]
pub struct TrailEntry {
    /// Ascending in the order of one order's transitions.
    pub id: i64,
    /// The state before; `None` for the creation.
    pub from: Option<OrderStatus>,
    /// The state after.
    pub to: OrderStatus,
    /// The reason.
    pub reason: Reason,
    /// When it happened, UTC.
    pub at: NaiveDateTime,
    /// The id of the payment event in the inbox.
    pub payment_event_id: Option<i64>,
    /// The provider's name for the charge.
    pub txn_id: Option<String>,
    /// The decimal amount, as it was written.
    pub amount: Option<String>,
    /// The currency, as it was written.
    pub currency: Option<String>,
    /// The provider's time, as it was written.
    pub provider_timestamp: Option<String>,
    /// The source that the event names.
    pub source: Option<String>,
    /// The caller's correlation id.
    pub correlation_id: Option<String>,
}

/// What a row says whose transaction tells the feed of it.
pub const TOLD: Literal<'static> = Literal::Number(1);

/// Returns the statement that writes transitions that no payment event caused.
pub fn insert_all(transitions: &[Transition]) -> String {
    let values = transitions.iter().map(|transition| {
        [
            Literal::Id(transition.order_id),
            transition.from.map_or(Literal::Null, Literal::name),
            Literal::name(transition.to),
            Literal::name(transition.reason),
            TOLD,
        ]
    });
    sql::order_events::Insert { rows: rows(values) }.text()
}

/// Writes transitions that no payment event caused.
pub async fn insert(tx: &mut Tx<'_>, transitions: &[Transition]) -> Result<(), Failure> {
    tx.execute_text(&insert_all(transitions)).await?;
    Ok(())
}

/// Writes a transition that the payment event `event_id` caused, with that event's data.
pub async fn insert_for_payment(tx: &mut Tx<'_>, transition: Transition, event_id: i64) -> Result<(), Failure> {
    let params = params! {
        "order_id" => bytes(transition.order_id),
        "from_status" => transition.from.map(Named::as_str),
        "to_status" => transition.to.as_str(),
        "reason" => transition.reason.as_str(),
        event_id,
    };
    let affected = tx.execute(sql::order_events::INSERT_FOR_PAYMENT, params).await?;
    match single("order_events/insert_for_payment", affected)? {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the payment event {event_id} is missing"))),
    }
}

/// Lists the trail of one order, oldest first.
pub async fn list(tx: &mut Tx<'_>, order_id: Uuid) -> Result<Vec<TrailEntry>, Failure> {
    let found: Vec<mysql_async::Row> =
        tx.rows(sql::order_events::LIST, params! { "order_id" => bytes(order_id) }).await?;
    found.iter().map(order_event).collect()
}

fn order_event(row: &mysql_async::Row) -> Result<TrailEntry, Failure> {
    let text = |name: &str| -> Result<Option<String>, Failure> {
        let bytes: Option<Vec<u8>> = column(row, name)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let from: Option<String> = column(row, "from_status")?;
    Ok(TrailEntry {
        id: column(row, "id")?,
        from: from.as_deref().map(state).transpose()?,
        to: state(&column::<String>(row, "to_status")?)?,
        reason: state(&column::<String>(row, "reason")?)?,
        at: column(row, "at")?,
        payment_event_id: column(row, "payment_event_id")?,
        txn_id: text("txn_id")?,
        amount: text("amount")?,
        currency: text("currency")?,
        provider_timestamp: text("provider_timestamp")?,
        source: text("source")?,
        correlation_id: text("correlation_id")?,
    })
}
