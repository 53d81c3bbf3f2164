//! New seats of a ticket type: its stock and its seats grow in one transaction, all of them or none.
//!
//! The row of the event is locked first, then that of the product: from there until the commit no other request adds seats to the
//! type, so that what is read of its seats stays so.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use serde_json::json;

use super::{Made, change_of};
use crate::checkout::error::Error;
use crate::checkout::products::changes::{own_changes, unless_made};
use crate::checkout::state::Checkout;
use crate::db::tables::events;
use crate::db::tables::idempotency_keys::{IdempotentRequest, wait_for_disk};
use crate::db::tables::product_trail::{self, Author, ProductAction, ProductChange};
use crate::db::tables::products::{self, Product};
use crate::db::tables::seats::{self, Seat};
use crate::db::{Failure, Tx};
use crate::domain::event::MOST_SEATS;
use crate::domain::seat::{self, NewRow};
use crate::domain::{Missing, Refusal, TicketKind};

/// What a ticket type has after seats were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatsAdded {
    /// The ticket type.
    pub product_id: i64,
    /// The seats of the request.
    pub seats: i64,
    /// All seats of the type, as they are now.
    pub stock: i64,
}

impl Checkout {
    /// Adds seats to a ticket type.
    ///
    /// # Errors
    /// [`Refusal::InvalidSeats`], [`Refusal::SeatExists`], [`Missing::TicketType`], [`Refusal::NotSeated`],
    /// [`Refusal::EventCancelled`], [`Refusal::TooManySeats`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn add_seats(
        &self,
        author: &Author,
        product_id: i64,
        rows: &[NewRow],
        keyed: Option<&IdempotentRequest>,
    ) -> Result<Made<SeatsAdded>, Error> {
        seat::check_rows(rows)?;
        let add = self.database.transaction("seats.add", |tx| {
            async move {
                let added = add(tx, author, product_id, rows, keyed).await;
                unless_made(tx, author, added).await
            }
            .boxed()
        });
        Ok(add.await?)
    }
}

async fn add(
    tx: &mut Tx<'_>,
    author: &Author,
    product_id: i64,
    rows: &[NewRow],
    keyed: Option<&IdempotentRequest>,
) -> Result<Made<SeatsAdded>, Failure> {
    let change = change_of(tx, author, keyed).await?;
    let is_made = change.is_copy(author) || !own_changes(tx, author).await?.is_empty();
    match is_made {
        true => wait_for_disk(tx).await?,
        false => {
            change.begin(tx, author, keyed).await?;
            insert(tx, author, product_id, rows).await?;
        }
    }
    let product =
        products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::Missing(Missing::TicketType)))?;
    let made = SeatsAdded { product_id, seats: count(rows), stock: product.stock };
    Ok(Made { made, replayed: change.is_copy(author) })
}

fn count(rows: &[NewRow]) -> i64 {
    rows.iter().map(|row| i64::try_from(row.seats.len()).unwrap_or(i64::MAX)).sum()
}

pub(super) async fn insert(tx: &mut Tx<'_>, author: &Author, product_id: i64, rows: &[NewRow]) -> Result<(), Failure> {
    let found = products::find(tx, product_id).await?;
    let ticket = found.and_then(|Product { details, .. }| details.sale.ticket);
    let ticket = ticket.ok_or(Failure::Refused(Refusal::Missing(Missing::TicketType)))?;
    if ticket.kind != TicketKind::Seated {
        return Err(Refusal::NotSeated.into());
    }
    let (count, event_id) = (count(rows), ticket.event_id.unwrap_or(0));
    if !events::add_seats(tx, event_id, count, MOST_SEATS).await? {
        return Err(why_not(tx, event_id, count).await?);
    }
    if !products::add_seats(tx, product_id, ticket.event_id, count).await? {
        return Err(Failure::Raced("products/add_seats"));
    }
    let before = seats::list(tx, product_id).await?;
    let new = number(rows, &before)?;
    seats::insert_all(tx, product_id, &new).await?;
    let stock = products::find(tx, product_id).await?.map_or(0, |product| product.stock);
    let values = |stock: i64| json!({ "stock": stock }).to_string();
    let (from, to) = (Some(values(stock - count)), values(stock));
    let change = ProductChange { product_id, action: ProductAction::Stock, from, to };
    product_trail::insert_all(tx, author, &[change]).await
}

/// Returns why an event does not take so many seats.
async fn why_not(tx: &mut Tx<'_>, event_id: i64, count: i64) -> Result<Failure, Failure> {
    let Some(event) = events::find_terms(tx, event_id).await? else {
        return Ok(Refusal::Missing(Missing::Event).into());
    };
    Ok(match event.seats + count > MOST_SEATS {
        _ if event.cancelled_at.is_some() => Refusal::EventCancelled.into(),
        true => Refusal::TooManySeats { limit: MOST_SEATS, yours: event.seats }.into(),
        false => Failure::Raced("events/add_seats"),
    })
}

/// A row of seats: its number, and the last place in it.
type Row = (i64, i64);

/// Numbers new seats behind those that there are. A row with the section and the name of one that there is goes on behind its seats.
///
/// # Errors
/// [`Refusal::SeatExists`].
fn number(rows: &[NewRow], before: &[Seat]) -> Result<Vec<Seat>, Refusal> {
    let mut places: HashMap<(&str, &str), Row> = HashMap::new();
    for seat in before {
        let (_, last) = places.entry((&seat.section, &seat.row)).or_insert((seat.row_n, 0));
        *last = seat.place.max(*last);
    }
    let known: std::collections::HashSet<&str> = before.iter().map(|seat| seat.label.as_str()).collect();
    let last = |of: fn(&Seat) -> i64| before.iter().map(of).max().unwrap_or(0);
    let (mut n, mut row_n) = (last(|seat| seat.n), last(|seat| seat.row_n));
    let (mut new, mut taken) = (Vec::with_capacity(rows.iter().map(|row| row.seats.len()).sum()), Vec::new());
    for NewRow { section, name, rank, seats } in rows {
        let (own, place) = places.entry((section, name)).or_insert_with(|| {
            row_n += 1;
            (row_n, 0)
        });
        for named in seats {
            let label = seat::label(section, name, named);
            if known.contains(label.as_str()) {
                taken.push(label);
                continue;
            }
            (n, *place) = (n + 1, *place + 1);
            let (section, row) = (section.clone(), name.clone());
            new.push(Seat { n, section, row, label, row_n: *own, place: *place, rank: *rank });
        }
    }
    if taken.is_empty() { Ok(new) } else { Err(seat::seat_exists(taken)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(section: &str, name: &str, seats: &[&str]) -> NewRow {
        let seats = seats.iter().map(|&seat| seat.to_owned()).collect();
        NewRow { section: section.to_owned(), name: name.to_owned(), rank: 1, seats }
    }

    fn places(seats: &[Seat]) -> Vec<(i64, &str, i64, i64)> {
        seats.iter().map(|seat| (seat.n, seat.label.as_str(), seat.row_n, seat.place)).collect()
    }

    #[test]
    fn seats_are_numbered_behind_those_that_there_are_and_a_row_goes_on() {
        let first = number(&[row("A", "1", &["1", "2"]), row("A", "2", &["1"])], &[]).expect("new seats");
        assert_eq!(places(&first), [(1, "A-1-1", 1, 1), (2, "A-1-2", 1, 2), (3, "A-2-1", 2, 1)]);
        let rows = [row("B", "1", &["1"]), row("A", "1", &["3"]), row("B", "1", &["2"])];
        let more = number(&rows, &first).expect("new seats");
        assert_eq!(places(&more), [(4, "B-1-1", 3, 1), (5, "A-1-3", 1, 3), (6, "B-1-2", 3, 2)]);
        let taken = number(&[row("A", "2", &["2", "1"]), row("A", "1", &["2"])], &first);
        assert_eq!(taken, Err(seat::seat_exists(vec!["A-2-1".to_owned(), "A-1-2".to_owned()])));
    }
}
