//! The end of an event: an operator sees what it costs, and cancels the event by repeating the sum. From the commit on, no units of its
//! ticket types are taken, and a worker ends what was sold (`ending.rs`).

use futures_util::FutureExt as _;
use serde_json::json;

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::event_cancellations::{self, Cancellation};
use crate::db::tables::events::{self, EventTerms};
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::tables::product_trail::{self, Author, ProductAction, ProductChange};
use crate::db::tables::products;
use crate::db::views::events::{Sold, sum_sold};
use crate::db::{Failure, Tx};
use crate::domain::{Missing, Refusal};

/// What a request to cancel an event found, or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventEnd {
    /// The event.
    pub event_id: i64,
    /// What there is to end; nothing once the event was cancelled.
    pub sold: Option<Sold>,
    /// The currency of the sums; `None` without ticket types.
    pub currency: Option<String>,
    /// How far its end is; `None` while the event goes on.
    pub cancellation: Option<Cancellation>,
}

impl EventEnd {
    /// Returns the sum that is due, or has become due so far; `None` without ticket types.
    pub fn amount_due_minor(&self) -> Option<i64> {
        self.currency.as_ref()?;
        let written = self.cancellation.as_ref().map(|cancellation| cancellation.amount_minor);
        written.or(self.sold.map(|sold| sold.amount_minor))
    }
}

impl Checkout {
    /// Returns what there is to end with an event, or how far its end is. The sum of many orders may take long; it locks nothing.
    ///
    /// # Errors
    /// [`Missing::Event`].
    pub async fn end_of_event(&self, event_id: i64) -> Result<EventEnd, Error> {
        let read = self.database.snapshot("events.sum_sold", |tx| look(tx, event_id).boxed());
        Ok(read.await?)
    }

    /// Cancels an event if `amount_minor` is the sum that is due with its end. Of an event that was cancelled before, it returns how
    /// far the end is, whatever the sum.
    ///
    /// # Errors
    /// [`Missing::Event`], [`Refusal::AmountChanged`].
    pub async fn cancel_event(
        &self,
        author: &Author,
        event_id: i64,
        amount_minor: Option<i64>,
    ) -> Result<EventEnd, Error> {
        let found = self.end_of_event(event_id).await?;
        let amount_due_minor = found.amount_due_minor();
        if found.cancellation.is_none() && amount_due_minor != amount_minor {
            return Err(Refusal::AmountChanged { amount_due_minor }.into());
        }
        let cancel = self.database.transaction("events.cancel", |tx| {
            async move {
                match events::cancel(tx, event_id).await? {
                    true => cancel_types(tx, author, event_id).await?,
                    false => wait_for_disk(tx).await?,
                }
                look(tx, event_id).await
            }
            .boxed()
        });
        Ok(cancel.await?)
    }
}

/// Ends the sale of the ticket types of an event that this transaction has cancelled, whose row it has locked: there are no others.
async fn cancel_types(tx: &mut Tx<'_>, author: &Author, event_id: i64) -> Result<(), Failure> {
    event_cancellations::insert(tx, event_id, &author.actor).await?;
    let product_ids = products::list_of_event(tx, event_id).await?;
    products::cancel(tx, event_id, &product_ids).await?;
    let cancelled_at = terms(tx, event_id).await?.cancelled_at.map(|at| at.and_utc().to_rfc3339());
    let change = |&product_id: &i64| ProductChange {
        product_id,
        action: ProductAction::Changed,
        from: Some(json!({ "cancelled_at": null }).to_string()),
        to: json!({ "cancelled_at": cancelled_at }).to_string(),
    };
    product_trail::insert_all(tx, author, &product_ids.iter().map(change).collect::<Vec<_>>()).await
}

async fn terms(tx: &mut Tx<'_>, event_id: i64) -> Result<EventTerms, Failure> {
    events::find_terms(tx, event_id).await?.ok_or(Failure::Refused(Refusal::Missing(Missing::Event)))
}

async fn look(tx: &mut Tx<'_>, event_id: i64) -> Result<EventEnd, Failure> {
    let currency = terms(tx, event_id).await?.currency;
    let cancellation = event_cancellations::find(tx, event_id).await?;
    let sold = match (&cancellation, &currency) {
        (Some(_), _) => None,
        (None, None) => Some(Sold::default()),
        (None, Some(currency)) => {
            let product_ids = products::list_of_event(tx, event_id).await?;
            Some(sum_sold(tx, &product_ids, currency).await?)
        }
    };
    Ok(EventEnd { event_id, sold, currency, cancellation })
}
