//! Views and actions of operators. Every action is stored with its event and logged.

use futures_util::FutureExt as _;
use tracing::info;

use super::settlement::money_of;
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
pub use crate::db::tables::payment_event_deliveries::Delivered;
pub use crate::db::tables::payment_event_trail::Action;
use crate::db::tables::payment_events::Stored;
use crate::db::tables::{
    charges, due_refunds, idempotency_keys, payment_event_deliveries, payment_event_operators,
    payment_event_quarantines, payment_event_trail, payment_events,
};
use crate::db::views::operators;
pub use crate::db::views::operators::{ChargeLine, EventLine, EventRecord, EventTrailEntry};
use crate::db::{Failure, Tx};
use crate::domain::payment::DeliveryStatus;
use crate::domain::{ChargeStatus, EventStatus, Meaning, PaymentEvent, Refusal};

/// Maximum number of trail entries shown for one event.
const HAPPENINGS: u32 = 100;

/// An event with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFile {
    /// The event.
    pub record: EventRecord,
    /// The charge that it names, even if another event owns the charge.
    pub charge: Option<ChargeLine>,
    /// Its trail, apart from its outcome, the oldest first; the last hundred entries.
    pub happenings: Vec<EventTrailEntry>,
    /// The answers to its deliveries, the oldest first: the first one, as far as it is known, and the last 99.
    pub deliveries: Vec<Delivered>,
}

/// Returns the answer of a first delivery that has no row. An event that was not claimed after its first transaction got its
/// outcome there; if that outcome may have changed since, the answer is unknown.
fn first_delivery(record: &EventRecord) -> Option<Delivered> {
    let answer = match record.line.status {
        EventStatus::Applied => DeliveryStatus::Processed,
        EventStatus::Ignored if record.dismissal.is_none() => DeliveryStatus::Ignored,
        EventStatus::RefundDue => DeliveryStatus::RefundDue,
        _ => return None,
    };
    let delivered = Delivered { number: 1, answer, at: record.line.received_at };
    record.attempted_at.is_none().then_some(delivered)
}

impl Checkout {
    /// Returns everything about one event.
    ///
    /// # Errors
    /// [`Refusal::EventNotFound`].
    pub async fn payment_event(&self, event_id: i64) -> Result<EventFile, Error> {
        Ok(self
            .database
            .read("operators.find_event", |tx| {
                async move {
                    let record = operators::find_all(tx, event_id).await?.ok_or(Refusal::EventNotFound)?;
                    let event = payment_events::find(tx, event_id).await?.ok_or(Refusal::EventNotFound)?;
                    let name = PaymentEvent::charge_name(event.txn_id.as_deref(), &record.idempotency_key);
                    let charge = charges::find(tx, &event.provider, &name).await?.map(ChargeLine::from);
                    let mut happenings = operators::list_happenings(tx, event_id, HAPPENINGS).await?;
                    if let Some((at, note)) = &record.dismissal {
                        let (action, detail) = (Action::Dismissed, note.clone());
                        let (attempt, operator) = (record.line.attempts, record.dismissed_by.clone());
                        happenings.push(EventTrailEntry { action, attempt, detail, at: *at, operator });
                    }
                    let mut deliveries = payment_event_deliveries::list(tx, event_id).await?;
                    if deliveries.first().is_none_or(|delivered| delivered.number > 1) {
                        deliveries.splice(0..0, first_delivery(&record));
                    }
                    Ok(EventFile { record, charge, happenings, deliveries })
                }
                .boxed()
            })
            .await?)
    }

    /// Records that an operator gave back money that was due for refund, for an event that was cancelled, too, or quarantined; the operator's name and `note` stay in
    /// its trail. A repetition changes nothing.
    ///
    /// # Errors
    /// [`Refusal::EventNotFound`], [`Refusal::NotRefundable`]; [`Refusal::ChargePaysOrder`] and [`Refusal::ChargeDueElsewhere`]
    /// when another event owns the charge and it was not given back.
    pub async fn refund_done(&self, operator: &str, event_id: i64, note: &str) -> Result<EventLine, Error> {
        let (line, now) = self
            .database
            .transaction("operators.refund_done", |tx| {
                async move {
                    let mut marked = operators::mark_refund_done(tx, event_id).await?;
                    let event = payment_events::find(tx, event_id).await?.ok_or(Refusal::EventNotFound)?;
                    if marked {
                        if !operators::settle_charge(tx, event_id, &money_of(&event, None)).await? {
                            check_owner(tx, &event).await?;
                        }
                        payment_event_trail::insert(tx, event_id, Action::RefundDone, note).await?;
                        payment_event_operators::insert_last(tx, event_id, operator).await?;
                    } else if due_refunds::settle_by_hand(tx, event_id, operator).await? > 0 {
                        payment_event_trail::insert(tx, event_id, Action::RefundDone, note).await?;
                        payment_event_operators::insert_last(tx, event_id, operator).await?;
                        marked = true;
                    } else if (event.meaning, event.status) == (Meaning::Succeeded, EventStatus::Refunded)
                        || !due_refunds::list(tx, &[event_id]).await?.is_empty()
                    {
                        idempotency_keys::wait_for_disk(tx).await?;
                    } else {
                        return Err(Refusal::NotRefundable.into());
                    }
                    let record = operators::find_all(tx, event_id).await?.ok_or(Failure::Raced("payment_events"))?;
                    Ok((record.line, marked))
                }
                .boxed()
            })
            .await?;
        if now {
            info!(operator, event_id, note, "an operator gave money back");
        }
        Ok(line)
    }

    /// Dismisses a quarantined failure or refund for an operator: the event becomes `ignored`. A repetition changes nothing,
    /// and the first note and operator stay.
    ///
    /// # Errors
    /// [`Refusal::EventNotFound`], [`Refusal::SuccessNotDismissible`], [`Refusal::NotDismissible`].
    pub async fn dismiss_event(&self, operator: &str, event_id: i64, note: &str) -> Result<EventLine, Error> {
        let (line, now) = self
            .database
            .transaction("operators.dismiss", |tx| {
                async move {
                    let dismissed = operators::dismiss(tx, event_id).await?;
                    if dismissed {
                        payment_event_quarantines::dismiss(tx, event_id, note).await?;
                        payment_event_operators::insert(tx, event_id, operator).await?;
                    } else {
                        check_dismissed(tx, event_id).await?;
                        idempotency_keys::wait_for_disk(tx).await?;
                    }
                    let record = operators::find_all(tx, event_id).await?.ok_or(Failure::Raced("payment_events"))?;
                    Ok((record.line, dismissed))
                }
                .boxed()
            })
            .await?;
        if now {
            info!(operator, event_id, note, "an operator dismissed a payment event");
        }
        Ok(line)
    }
}

/// Checks a charge that another event owns, and that this transaction has locked: only if it was given back may this event be
/// `refunded`.
async fn check_owner(tx: &mut Tx<'_>, event: &Stored) -> Result<(), Failure> {
    // without a name from the provider, a charge is named after its event, and no other event can own it
    let name = event.txn_id.as_deref().unwrap_or_default();
    let charge = charges::find(tx, &event.provider, name).await?.ok_or(Failure::Raced("charges/find"))?;
    let (owner_event_id, order_id) = (charge.event_id, charge.reference.order_id);
    match charge.status {
        ChargeStatus::Refunded => Ok(()),
        ChargeStatus::Paid => Err(Refusal::ChargePaysOrder { owner_event_id, order_id }.into()),
        ChargeStatus::RefundDue => Err(Refusal::ChargeDueElsewhere { owner_event_id, order_id }.into()),
    }
}

/// Checks that an event which cannot be dismissed now was dismissed before.
async fn check_dismissed(tx: &mut Tx<'_>, event_id: i64) -> Result<(), Failure> {
    let event = payment_events::find(tx, event_id).await?.ok_or(Refusal::EventNotFound)?;
    if event.meaning == Meaning::Succeeded {
        return Err(Refusal::SuccessNotDismissible.into());
    }
    match event.status == EventStatus::Ignored && payment_event_quarantines::is_dismissed(tx, event_id).await? {
        true => Ok(()),
        false => Err(Refusal::NotDismissible.into()),
    }
}
