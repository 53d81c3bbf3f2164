//! A small hall to try out tickets with: an organizer, an event with places, and rows of seats.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use futures_util::FutureExt as _;
use uuid::Uuid;

use super::seats::insert as insert_seats;
use super::types::insert as insert_type;
use crate::checkout::error::Error;
use crate::checkout::products::changes::Draft;
use crate::checkout::state::Checkout;
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::tables::product_trail::Author;
use crate::db::tables::{events, organizers};
use crate::db::{Failure, Tx};
use crate::domain::seat::NewRow;
use crate::domain::{EventDetails, ProductDetails, Sale, TicketKind, mint_id};

/// The change that makes the sample, by which it is found again.
const CHANGE: Uuid = Uuid::from_u128(0x5a1e_0000_0000_7000_8000_0000_0000_0001);
/// Rows of the hall, the best first.
const ROWS: i64 = 4;
/// Seats of a row.
const SEATS: usize = 12;
/// Places beside the seats.
const STANDING: i64 = 100;

impl Checkout {
    /// Creates an organizer and one event, with seats and then with places, all in one transaction, unless it was done before. Prices
    /// are in this currency. Returns the id of the event.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn seed_event(&self, currency: &str) -> Result<i64, Error> {
        let create = self.database.transaction("events.seed", |tx| {
            async move {
                match events::find_by_change(tx, CHANGE).await? {
                    Some(event_id) => {
                        wait_for_disk(tx).await?;
                        Ok(event_id)
                    }
                    None => create(tx, currency).await,
                }
            }
            .boxed()
        });
        Ok(create.await?)
    }
}

async fn create(tx: &mut Tx<'_>, currency: &str) -> Result<i64, Failure> {
    let author = || Author { change_id: mint_id(), actor: "dev".to_owned(), reason: None };
    let organizer_id = organizers::insert(tx, "City Concerts", CHANGE, "dev").await?;
    let event_id = events::insert(tx, &concert(organizer_id), CHANGE, "dev").await?;
    let stalls = (&draft("Stalls", 5900, currency), 0);
    let seated = insert_type(tx, &author(), (event_id, TicketKind::Seated), stalls).await?;
    insert_seats(tx, &author(), seated, &rows()).await?;
    let standing = (&draft("Standing", 3900, currency), STANDING);
    insert_type(tx, &author(), (event_id, TicketKind::Admission), standing).await?;
    Ok(event_id)
}

fn concert(organizer_id: i64) -> EventDetails {
    EventDetails {
        organizer_id,
        name: "Spring Concert".to_owned(),
        venue: "City Hall".to_owned(),
        starts_at: far_away(),
        sale_starts_at: None,
        sale_ends_at: None,
        max_per_buyer: None,
    }
}

/// A time at which no trial goes on.
fn far_away() -> NaiveDateTime {
    NaiveDateTime::new(NaiveDate::from_ymd_opt(2090, 5, 1).unwrap_or_default(), NaiveTime::MIN)
}

fn draft(name: &str, price_minor: i64, currency: &str) -> Draft {
    let details = ProductDetails {
        sku: None,
        name: name.to_owned(),
        price_minor,
        currency: currency.to_owned(),
        sale: Sale::default(),
        max_hold_seconds: None,
        metadata: None,
    };
    Draft { details, stock: None }
}

fn rows() -> Vec<NewRow> {
    let seats: Vec<String> = (1..=SEATS).map(|seat| seat.to_string()).collect();
    let row = |n: i64| NewRow { section: "A".to_owned(), name: n.to_string(), rank: n, seats: seats.clone() };
    (1..=ROWS).map(row).collect()
}
