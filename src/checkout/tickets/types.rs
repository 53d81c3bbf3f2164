//! New ticket types of events: products with what they have of their event.

use futures_util::FutureExt as _;
use serde_json::Value;

use super::{Made, change_of};
use crate::checkout::error::Error;
use crate::checkout::products::changes::{Draft, own_changes, sku_is_free, stock_of, unless_made};
use crate::checkout::products::reads::{Shown, show_or_guess};
use crate::checkout::products::records::created;
use crate::checkout::state::Checkout;
use crate::db::tables::events;
use crate::db::tables::idempotency_keys::{IdempotentRequest, wait_for_disk};
use crate::db::tables::product_trail::{self, Author};
use crate::db::tables::products::{self, Product};
use crate::db::{Failure, Tx};
use crate::domain::event::MOST_TYPES;
use crate::domain::{Missing, Named as _, Refusal, Ticket, TicketKind};

impl Checkout {
    /// Creates a ticket type of an event. One that is seated has no stock until it has seats.
    ///
    /// # Errors
    /// [`Refusal::InvalidProduct`], [`Missing::Event`], [`Refusal::EventCancelled`], [`Refusal::EventCurrency`],
    /// [`Refusal::TooManyTicketTypes`], [`Refusal::SkuTaken`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn create_ticket_type(
        &self,
        author: &Author,
        (event_id, kind): (i64, TicketKind),
        draft: &Draft,
        keyed: Option<&IdempotentRequest>,
    ) -> Result<Made<Shown>, Error> {
        draft.details.check(None)?;
        let stock = match (kind, draft.stock) {
            (TicketKind::Seated, None) => 0,
            (TicketKind::Seated, Some(_)) => {
                let reason = "is the number of seats of a seated ticket type: leave it out, and add seats".to_owned();
                return Err(Refusal::InvalidProduct { field: "stock", reason }.into());
            }
            (TicketKind::Admission, _) => stock_of(draft)?,
        };
        let create = self.database.transaction("ticket_types.create", |tx| {
            async move {
                let created = create(tx, author, (event_id, kind), (draft, stock), keyed).await;
                unless_made(tx, author, created).await
            }
            .boxed()
        });
        let Made { made: product, replayed } = create.await?;
        Ok(Made { made: show_or_guess(&self.database, &self.supplies, product).await, replayed })
    }
}

async fn create(
    tx: &mut Tx<'_>,
    author: &Author,
    (event_id, kind): (i64, TicketKind),
    (draft, stock): (&Draft, i64),
    keyed: Option<&IdempotentRequest>,
) -> Result<Made<Product>, Failure> {
    let change = change_of(tx, author, keyed).await?;
    let earlier = match change.is_copy(author) {
        true => product_trail::list_of_change(tx, change.0).await?.first().map(|(product_id, _)| *product_id),
        false => own_changes(tx, author).await?.into_keys().next(),
    };
    let product_id = match earlier {
        Some(product_id) => {
            wait_for_disk(tx).await?;
            product_id
        }
        None => {
            change.begin(tx, author, keyed).await?;
            insert(tx, author, (event_id, kind), (draft, stock)).await?
        }
    };
    let made = products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::ProductNotFound))?;
    Ok(Made { made, replayed: change.is_copy(author) })
}

pub(super) async fn insert(
    tx: &mut Tx<'_>,
    author: &Author,
    (event_id, kind): (i64, TicketKind),
    (draft, stock): (&Draft, i64),
) -> Result<i64, Failure> {
    let details = &draft.details;
    if !events::add_ticket_type(tx, event_id, &details.currency, MOST_TYPES).await? {
        return Err(why_not(tx, event_id, &details.currency).await?);
    }
    let event = events::find_terms(tx, event_id).await?.ok_or(Failure::Refused(Refusal::Missing(Missing::Event)))?;
    let ticket = Ticket {
        event_id: Some(event_id),
        kind,
        sale_starts_at: event.sale_starts_at,
        sale_ends_at: event.sale_ends_at,
        max_per_buyer: event.max_per_buyer,
        cancelled_at: None,
    };
    sku_is_free(tx, details, None).await?;
    let inserted = products::insert_ticket_type(tx, details, &ticket, stock).await?;
    let product_id = inserted.ok_or(Failure::Raced("products/insert_ticket_type"))?;
    let of_event = [("event_id", Value::from(event_id)), ("kind", kind.as_str().into())];
    product_trail::insert_all(tx, author, &[created(product_id, details, stock, of_event)]).await?;
    Ok(product_id)
}

/// Returns why an event takes no ticket type in this currency.
async fn why_not(tx: &mut Tx<'_>, event_id: i64, wanted: &str) -> Result<Failure, Failure> {
    let Some(event) = events::find_terms(tx, event_id).await? else {
        return Ok(Refusal::Missing(Missing::Event).into());
    };
    Ok(match event.currency {
        _ if event.cancelled_at.is_some() => Refusal::EventCancelled.into(),
        Some(currency) if currency != wanted => Refusal::EventCurrency { currency }.into(),
        _ if event.ticket_types >= MOST_TYPES => Refusal::TooManyTicketTypes { limit: MOST_TYPES }.into(),
        _ => Failure::Raced("events/add_ticket_type"),
    })
}
