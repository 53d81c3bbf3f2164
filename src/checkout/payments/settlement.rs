//! Applies payment events to their orders and charges: every row of the table "Events and their effects" in docs/payments.md.
//!
//! All of it runs in the transaction that stores the event's outcome. Reads only suggest what to try. The guard of each
//! statement decides; if one fails, the transaction runs again and reads the rows as they are by then.
//!
//! Locks are taken in the order inbox, charges, due refunds, orders, holds, counters of units, products.

use tokio::time::Instant;
use uuid::Uuid;

use crate::checkout::hold_events::tell_ended;
use crate::checkout::{transition, units};
use crate::db::tables::charges::{self, Charge, Money};
use crate::db::tables::due_refunds;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::orders::{self, Order};
use crate::db::tables::payment_events::{self, Stored};
use crate::db::{Failure, Tx};
use crate::domain::quarantine::{money_text, reference_text, stated_text};
use crate::domain::refund::{GivenBack, Refund, Taken, Unfit};
use crate::domain::{
    Amount, ChargeStatus, Currency, FeedType, HoldStatus, Meaning, OrderStatus, Outcome, Quarantine, QuarantineReason,
    Reference,
};

/// Whether a payment for a cancelled order may still get units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stock {
    /// The payment tries; [`Failure::OutOfStock`] reports that there were not enough, [`Failure::OverLimit`] that they would pass the
    /// limit of their buyer, and [`EventCancelled`](crate::domain::Refusal::EventCancelled) that some are of a cancelled event.
    Unknown,
    /// There are not enough: the payment is due for refund.
    Gone,
    /// Some are of an event that was cancelled: the payment is due for refund.
    EventCancelled,
    /// They would pass the limit of their buyer: the payment is due for refund.
    OverLimit {
        /// The most units of one buyer.
        limit: i64,
        /// The units that the buyer would have.
        units: i64,
    },
}

impl Stock {
    /// Returns why there are no units, if that is told.
    fn reason(self) -> Option<Quarantine> {
        let told = |reason, expected: String, got: String| Some(Quarantine::new(reason, expected, got));
        match self {
            Self::OverLimit { limit, units } => {
                told(QuarantineReason::BuyerLimit, format!("at most {limit} units"), format!("{units} units"))
            }
            Self::EventCancelled => {
                let (expected, got) = ("an event that takes place", "a cancelled event");
                told(QuarantineReason::EventCancelled, expected.to_owned(), got.to_owned())
            }
            Self::Unknown | Self::Gone => None,
        }
    }
}

/// The order that a reference names.
pub(crate) enum Resolved {
    Order(Box<Order>),
    /// The order does not exist yet.
    Missing,
    /// The order and the hold in the reference do not belong together.
    Contradiction(Box<Quarantine>),
}

impl Resolved {
    pub(crate) fn status(&self) -> Option<OrderStatus> {
        match self {
            Self::Order(order) => Some(order.status),
            Self::Missing | Self::Contradiction(_) => None,
        }
    }
}

/// Finds the order that a reference names.
pub(crate) async fn resolve(tx: &mut Tx<'_>, reference: Reference) -> Result<Resolved, Failure> {
    let by_order = match reference.order_id {
        Some(order_id) => orders::find(tx, order_id).await?,
        None => None,
    };
    let by_hold = match (reference.hold_id, &by_order) {
        (Some(hold_id), None) => orders::find_by_hold(tx, hold_id).await?,
        _ => None,
    };
    Ok(match (by_order, by_hold) {
        (Some(order), _) if reference.hold_id.is_some_and(|hold_id| hold_id != order.hold_id) => {
            let got = Reference { order_id: None, ..reference };
            contradiction(Reference { order_id: None, hold_id: Some(order.hold_id) }, got)
        }
        // equal ids: the order was created between the two reads
        (None, Some(order)) if reference.order_id.is_some_and(|order_id| order_id != order.id) => {
            contradiction(Reference { order_id: Some(order.id), hold_id: None }, reference)
        }
        (Some(order), _) | (None, Some(order)) => Resolved::Order(Box::new(order)),
        (None, None) => Resolved::Missing,
    })
}

fn contradiction(expected: Reference, got: Reference) -> Resolved {
    let (expected, got) = (reference_text(expected), reference_text(got));
    Resolved::Contradiction(Box::new(Quarantine::new(QuarantineReason::OrderReferenceMismatch, expected, got)))
}

/// The outcome of an event, and the state of its order after that.
type Settled = (Outcome, Option<OrderStatus>);

/// Applies an event. [`Outcome::Parked`]: nothing was changed, and the event has to wait.
pub(crate) async fn apply(tx: &mut Tx<'_>, event: &Stored, stock: Stock) -> Result<Settled, Failure> {
    let order = match resolve(tx, event.reference).await? {
        Resolved::Order(order) => *order,
        Resolved::Missing => return Ok((without_order(tx, event).await?, None)),
        Resolved::Contradiction(quarantine) => return Ok((Outcome::Quarantined(quarantine), None)),
    };
    match event.meaning {
        Meaning::Succeeded => succeed(tx, event, &order, stock).await,
        Meaning::Failed => fail(tx, event, &order).await,
        Meaning::Refunded => {
            let outcome = refund(tx, event, Some(&order)).await?;
            let order = orders::find(tx, order.id).await?.ok_or(Failure::Raced("orders/find"))?;
            Ok((outcome, Some(order.status)))
        }
    }
}

/// Gives an outcome to an event that has waited for its order for too long: money becomes due for refund. A refund goes on
/// waiting ([`Outcome::Parked`]) while a success waits, since it may belong to that one.
pub(crate) async fn give_up(tx: &mut Tx<'_>, event: &Stored) -> Result<Outcome, Failure> {
    match event.meaning {
        Meaning::Succeeded => {
            let money = money_of(event, None);
            record_charge(tx, event, event.reference, ChargeStatus::RefundDue, &money).await
        }
        Meaning::Failed => Ok(Outcome::Dead),
        Meaning::Refunded if payment_events::success_waits(tx, event.reference).await? => Ok(Outcome::Parked),
        // a success that got its outcome just now has stored its charge
        Meaning::Refunded => match apply(tx, event, Stock::Unknown).await? {
            (Outcome::Parked, _) => Ok(Outcome::Dead),
            (outcome, _) => Ok(outcome),
        },
    }
}

/// Returns the check of the event's money that fails; `None` when it fits, or an operator has accepted it.
fn misfit(event: &Stored, order: &Order) -> Option<Outcome> {
    if event.accepted_amount {
        return None;
    }
    let (amount, currency) = (event.amount.as_deref(), event.currency.as_deref());
    let quarantine = Quarantine::of_money(amount, currency, order.total_minor, &order.currency)?;
    Some(Outcome::Quarantined(Box::new(quarantine)))
}

async fn succeed(tx: &mut Tx<'_>, event: &Stored, order: &Order, stock: Stock) -> Result<Settled, Failure> {
    if let Some(outcome) = misfit(event, order) {
        return Ok((outcome, Some(order.status)));
    }
    let pays = match order.status {
        OrderStatus::Pending => true,
        OrderStatus::Cancelled => stock == Stock::Unknown,
        // a success that names no charge may report the one that paid the order
        OrderStatus::Paid | OrderStatus::Refunded
            if event.txn_id.is_none() && charges::paid(tx, &event.provider, order.id).await? =>
        {
            return Ok((Outcome::Ignored, Some(order.status)));
        }
        OrderStatus::Paid | OrderStatus::Refunded => false,
    };
    let reference = Reference { order_id: Some(order.id), hold_id: Some(order.hold_id) };
    let status = if pays { ChargeStatus::Paid } else { ChargeStatus::RefundDue };
    let outcome = record_charge(tx, event, reference, status, &money_of(event, Some(order))).await?;
    if let (Outcome::RefundDue, OrderStatus::Cancelled, Some(reason)) = (&outcome, order.status, stock.reason()) {
        return Ok((Outcome::NotSold(Box::new(reason)), Some(order.status)));
    }
    if outcome != Outcome::Applied {
        return Ok((outcome, Some(order.status)));
    }
    transition::pay(tx, order, event.id).await?;
    Ok((Outcome::Applied, Some(OrderStatus::Paid)))
}

/// Stores the charge of a success. If another event owns it already, the success is a repetition, or it names another order
/// than the one that the charge was taken for.
async fn record_charge(
    tx: &mut Tx<'_>,
    event: &Stored,
    reference: Reference,
    status: ChargeStatus,
    money: &Money,
) -> Result<Outcome, Failure> {
    if charges::insert(tx, event.id, reference, status, money).await? {
        return Ok(match status {
            ChargeStatus::Paid => Outcome::Applied,
            ChargeStatus::RefundDue | ChargeStatus::Refunded => Outcome::RefundDue,
        });
    }
    let name = event.txn_id.as_deref().ok_or_else(|| Failure::Broken("an unnamed charge exists already".to_owned()))?;
    let charge = charges::find(tx, &event.provider, name).await?.ok_or(Failure::Raced("charges/find"))?;
    Ok(match belongs(&charge, reference) {
        true => Outcome::Ignored,
        false => of_another_order(&charge, reference),
    })
}

/// Quarantines an event that names another order than its charge does.
fn of_another_order(charge: &Charge, reference: Reference) -> Outcome {
    let (expected, got) = (reference_text(charge.reference), reference_text(reference));
    Outcome::Quarantined(Box::new(Quarantine::new(QuarantineReason::ChargeOfAnotherOrder, expected, got)))
}

/// Returns whether a charge was taken for the order or the hold of this reference.
fn belongs(charge: &Charge, reference: Reference) -> bool {
    let same = |one: Option<Uuid>, other: Option<Uuid>| one.is_some() && one == other;
    same(charge.reference.order_id, reference.order_id) || same(charge.reference.hold_id, reference.hold_id)
}

async fn fail(tx: &mut Tx<'_>, event: &Stored, order: &Order) -> Result<Settled, Failure> {
    if let Some(outcome) = misfit(event, order) {
        return Ok((outcome, Some(order.status)));
    }
    if order.status != OrderStatus::Pending {
        return Ok((Outcome::Ignored, Some(order.status)));
    }
    payment_events::no_success_waits(tx, order.id, order.hold_id).await?;
    if !transition::cancel(tx, order, Some(event.id)).await? {
        return Err(Failure::Raced("orders/cancel"));
    }
    Ok((Outcome::Applied, Some(OrderStatus::Cancelled)))
}

/// Applies an event whose order does not exist. It waits for the order, with two exceptions: money for a hold that ended
/// without an order is due for refund at once, and a refund of money that is due needs no order.
async fn without_order(tx: &mut Tx<'_>, event: &Stored) -> Result<Outcome, Failure> {
    match (event.meaning, event.reference.hold_id) {
        (Meaning::Refunded, _) => refund(tx, event, None).await,
        (Meaning::Succeeded, Some(hold_id)) if has_ended(tx, hold_id).await? => {
            record_charge(tx, event, event.reference, ChargeStatus::RefundDue, &money_of(event, None)).await
        }
        (Meaning::Succeeded | Meaning::Failed, _) => Ok(Outcome::Parked),
    }
}

/// Returns whether a hold can no longer become an order. An expired hold may still become one in a transaction that began in
/// time. The guarded update waits for that transaction, so only its result counts.
async fn has_ended(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<bool, Failure> {
    let ended = |rows: &[HoldLine]| {
        rows.first().is_some_and(|row| matches!(row.status, HoldStatus::Released | HoldStatus::Expired))
    };
    let asked = Instant::now();
    let found = holds::find(tx, hold_id).await?;
    if !ended(&found) {
        return Ok(false);
    }
    // a hold that has run out only because the clock jumped has not ended
    let ran_out = found.first().filter(|row| row.status == HoldStatus::Expired);
    if ran_out.is_some_and(|row| !tx.clock().admits(row.server_time, asked)) {
        return Ok(false);
    }
    let expired = holds::expire_overdue(tx, hold_id).await?;
    if expired > 0 {
        let rows = units::list_whole(tx, &[hold_id], expired).await?;
        tell_ended(tx, FeedType::HoldExpired, None, &rows).await?;
        units::give_back_counted(tx, &rows).await?;
        return Ok(true);
    }
    match ended(&holds::find(tx, hold_id).await?) {
        true => Ok(true),
        false => Err(Failure::Raced("holds/expire_overdue")),
    }
}

/// Applies a refund to its charge, whatever the state of the order. Before the success of its charge, it waits.
async fn refund(tx: &mut Tx<'_>, event: &Stored, order: Option<&Order>) -> Result<Outcome, Failure> {
    let reference = match order {
        Some(order) => Reference { order_id: Some(order.id), hold_id: Some(order.hold_id) },
        None => event.reference,
    };
    let charge = match &event.txn_id {
        Some(name) => charges::find(tx, &event.provider, name).await?,
        None => {
            let all = charges::list_of(tx, &event.provider, reference).await?;
            let (known, mut open): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|charge| charge.status == ChargeStatus::Refunded);
            let count = open.len();
            match (open.pop(), open.is_empty()) {
                (None, _) if !known.is_empty() => return Ok(Outcome::Ignored),
                (charge, true) => charge,
                (_, false) => {
                    let got = format!("{count} charges");
                    let quarantine = Quarantine::new(QuarantineReason::SeveralCharges, "one charge", got);
                    return Ok(Outcome::Quarantined(Box::new(quarantine)));
                }
            }
        }
    };
    let Some(charge) = charge else { return Ok(Outcome::Parked) };
    if !belongs(&charge, reference) {
        return Ok(of_another_order(&charge, reference));
    }
    let taken = Taken {
        status: charge.status,
        amount_minor: charge.amount_minor,
        currency: charge.currency.as_deref(),
        refunded_minor: charge.refunded_minor,
    };
    let back = GivenBack {
        amount: event.amount.as_deref(),
        currency: event.currency.as_deref(),
        cumulative: event.cumulative,
    };
    let (refunded_minor, whole) = match Refund::of(taken, back) {
        Refund::Part(minor) => (minor, false),
        Refund::Whole(minor) => (minor, true),
        Refund::Known => return Ok(Outcome::Ignored),
        // an operator confirmed that this was given back, whatever its amount says
        Refund::Unfit(_) if event.accepted_amount => (charge.amount_minor.unwrap_or(charge.refunded_minor), true),
        Refund::Unfit(unfit) => return Ok(Outcome::Quarantined(Box::new(unfit_refund(unfit, taken, back)))),
    };
    give_back(tx, event, order, &charge, refunded_minor, whole).await?;
    Ok(Outcome::Applied)
}

/// Returns the check that a refund of a charge fails, with both values.
fn unfit_refund(unfit: Unfit, taken: Taken<'_>, back: GivenBack<'_>) -> Quarantine {
    let currency = taken.currency.or(back.currency);
    let got = stated_text(back.amount, back.currency.or(taken.currency));
    match unfit {
        Unfit::Currency => {
            let (expected, got) = (stated_text(None, taken.currency), stated_text(None, back.currency));
            Quarantine::new(QuarantineReason::RefundCurrencyMismatch, expected, got)
        }
        Unfit::Amount => {
            let currency = currency.map_or_else(|| "a known currency".to_owned(), |text| stated_text(None, Some(text)));
            Quarantine::new(QuarantineReason::RefundAmountInvalid, format!("an amount in {currency}"), got)
        }
        Unfit::Exceeds => {
            let counted = if back.cumulative { 0 } else { taken.refunded_minor };
            let left = taken.amount_minor.map(|all| all.saturating_sub(counted));
            let expected = format!("at most {}", money_text(left, currency));
            Quarantine::new(QuarantineReason::RefundExceedsCharge, expected, got)
        }
    }
}

/// Gives back a charge, or a part of it. If the charge paid the order, the order stores the amount; if it is due for refund,
/// its event is settled and the order stays as it is.
async fn give_back(
    tx: &mut Tx<'_>,
    event: &Stored,
    order: Option<&Order>,
    charge: &Charge,
    refunded_minor: i64,
    whole: bool,
) -> Result<(), Failure> {
    let restock = charge.restock || event.restock;
    let due = charge.status == ChargeStatus::RefundDue;
    if due && whole && !payment_events::mark_refunded(tx, charge.event_id).await? {
        return Err(Failure::Raced("payment_events/mark_refunded"));
    }
    let status = if whole { ChargeStatus::Refunded } else { charge.status };
    if !charges::refund(tx, charge, charges::Refunded { status, refunded_minor, restock }).await? {
        return Err(Failure::Raced("charges/refund"));
    }
    if due {
        return Ok(());
    }
    if charge.due_refunds > 0 {
        due_refunds::settle(tx, charge.event_id, refunded_minor, whole).await?;
    }
    // a charge that paid an order has an order: it was created after it was looked up
    let order = order.ok_or(Failure::Raced("orders/find"))?;
    let currency = charge.currency.as_deref().or(event.currency.as_deref()).and_then(Currency::parse);
    let refunded = orders::Refunded {
        status: if whole { OrderStatus::Refunded } else { OrderStatus::Paid },
        refunded_minor,
        refunded_currency: currency.map(|code| code.to_string()).filter(|code| *code != order.currency),
        restocked: whole && restock,
    };
    transition::refund(tx, order, refunded, event.id).await
}

/// Returns the amount that was taken according to the event. The order's total replaces an amount that is missing or cannot be
/// read, unless the event states another currency.
pub(crate) fn money_of(event: &Stored, order: Option<&Order>) -> Money {
    let order_currency = order.and_then(|order| Currency::parse(&order.currency));
    let currency = match &event.currency {
        Some(text) => Currency::parse(text),
        None => order_currency.clone(),
    };
    let read = |currency: &Currency| Amount::parse(event.amount.as_deref()?)?.minor_units(currency);
    let text = |currency: Option<Currency>| currency.map(|currency| currency.as_str().to_owned());
    match (currency.as_ref().and_then(read), order) {
        (None, Some(order)) if currency == order_currency => {
            Money { amount_minor: Some(order.total_minor), currency: text(order_currency) }
        }
        (amount_minor, _) => Money { amount_minor, currency: text(currency) },
    }
}
