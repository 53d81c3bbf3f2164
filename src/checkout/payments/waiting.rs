//! Events that wait for an order, and what applies them once it is there.

use std::collections::HashSet;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::attempt::{Source, settle, stored};
use super::settlement::{Resolved, resolve};
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::tables::payment_event_trail::{self, Action};
use crate::db::tables::payment_events;
use crate::domain::retry::pause_after;
use crate::domain::{EventStatus, Named as _, Reference};
use crate::telemetry;

/// How often the events that wait for an order are looked for: after a payment is applied, its refunds can be.
const ROUNDS: u32 = 3;

/// Applies the events that wait for the order of an event that has its outcome now.
pub(crate) async fn apply_waiting_with(database: &Database, event_id: i64) {
    let woken = async { apply_waiting_for_reference(database, stored(database, event_id).await?.reference).await };
    if let Err(error) = woken.await {
        // the sweep will find them
        warn!(event_id, %error, "could not look for events that wait for the same order; the sweep will find them");
    }
}

/// Applies the events that waited for these orders (each with its hold), which exist now. Returns how many were found.
pub(crate) async fn apply_waiting_for(database: &Database, orders: &[(Uuid, Uuid)]) -> Result<usize, Error> {
    let both = |&(order_id, hold_id)| Reference { order_id: Some(order_id), hold_id: Some(hold_id) };
    apply_all_waiting(database, &orders.iter().map(both).collect::<Vec<_>>()).await
}

/// Applies the events that wait for these orders and holds and can be applied now. Returns how many were found.
async fn apply_all_waiting(database: &Database, references: &[Reference]) -> Result<usize, Error> {
    let mut woken = 0;
    for _ in 0..ROUNDS {
        let waiting = list_waiting_for(database, references).await?;
        let mut settled = 0;
        for &event_id in &waiting {
            settled += usize::from(apply_waiting(database, event_id).await);
        }
        woken += waiting.len();
        if settled == 0 {
            break;
        }
    }
    Ok(woken)
}

/// Does the same for the order of this reference, by its id and by its hold.
pub(crate) async fn apply_waiting_for_reference(database: &Database, reference: Reference) -> Result<usize, Error> {
    let found =
        database.read("orders.find_reference", |tx| async move { resolve(tx, reference).await }.boxed()).await?;
    let reference = match found {
        Resolved::Order(order) => Reference { order_id: Some(order.id), hold_id: Some(order.hold_id) },
        Resolved::Missing | Resolved::Contradiction(_) => reference,
    };
    apply_all_waiting(database, &[reference]).await
}

/// Returns the orders, or their holds, that a transaction has read as touched behind its own COMMIT: an event that committed before it is found
/// there, and one that commits later finds the orders itself. If they could not be read, a worker finds the events.
pub(crate) fn touched(read: Option<HashSet<Uuid>>) -> HashSet<Uuid> {
    read.unwrap_or_else(|| {
        warn!("could not look for events that wait for orders; a worker will find them");
        HashSet::new()
    })
}

/// Lists the events that wait for these orders and holds and can be applied now.
async fn list_waiting_for(database: &Database, references: &[Reference]) -> Result<Vec<i64>, Error> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    database
        .read("payments.list_waiting_for", |tx| {
            async move { payment_events::list_waiting_for(tx, references).await }.boxed()
        })
        .await
}

/// Applies one waiting event. Returns whether it got its outcome here. If it cannot be applied, a worker tries it again later,
/// so that the events behind it do not wait for it.
pub(crate) async fn apply_waiting(database: &Database, event_id: i64) -> bool {
    let began = Instant::now();
    let error = match settle(database, Source::Inbox { event_id, counted: true }).await {
        Ok(Some(receipt)) if receipt.status != EventStatus::Parked => {
            telemetry::webhook_woken(receipt.status.as_str(), began.elapsed());
            return true;
        }
        Ok(_) => return false,
        Err(error) => error,
    };
    warn!(event_id, %error, "a waiting payment event could not be applied");
    if matches!(error, Error::Broken(_) | Error::Contended { .. } | Error::Stale(_))
        && let Err(error) = postpone(database, event_id, &error).await
    {
        warn!(event_id, %error, "the next attempt of a payment event could not be scheduled");
    }
    false
}

async fn postpone(database: &Database, event_id: i64, failed: &Error) -> Result<(), Error> {
    let (pause, detail) = (pause_after(1, rand::random()), failed.to_string());
    let detail = &detail;
    database
        .transaction("payments.postpone", |tx| {
            async move {
                match payment_events::postpone(tx, event_id, pause).await? {
                    true => payment_event_trail::insert(tx, event_id, Action::AttemptFailed, detail).await,
                    false => Ok(()),
                }
            }
            .boxed()
        })
        .await
}
