//! Events with their organizers and ticket types, in one statement for one event, several, or a page of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime};
use mysql_async::{Row, params};

use crate::db::column::column;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{self, Literal};
use crate::db::sql;
use crate::db::tables::products::{self, Product};
use crate::db::views::lists::{BEGIN, END};
use crate::domain::EventDetails;

/// An event, as reads return it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: i64,
    /// What an operator says about it.
    pub details: EventDetails,
    /// The name of its organizer; empty if another program has removed the organizer.
    pub organizer: String,
    /// When it was cancelled, UTC.
    pub cancelled_at: Option<NaiveDateTime>,
    /// Its ticket types by id, without retired ones. With one that has no unit left: when the first of them may come back.
    pub types: Vec<(Product, Option<NaiveDateTime>)>,
    /// The database's clock when it was read, UTC.
    pub server_time: NaiveDateTime,
}

/// A place in the list of events: behind the event with this start and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// When the event begins, UTC.
    pub starts_at: NaiveDateTime,
    /// The event.
    pub id: i64,
}

impl fmt::Display for EventPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.starts_at.and_utc().timestamp_micros(), self.id)
    }
}

impl FromStr for EventPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (micros, id) = text.split_once('.').ok_or(())?;
        let starts_at = micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(())?.naive_utc();
        let is_stored = (BEGIN..END).contains(&starts_at);
        let id = id.parse().map_err(|_| ())?;
        if is_stored { Ok(Self { starts_at, id }) } else { Err(()) }
    }
}

/// Which events a list has; `None` does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Those of this organizer.
    pub organizer_id: Option<i64>,
    /// Those that begin at this time, UTC, or later.
    pub starts_from: Option<NaiveDateTime>,
    /// Those that begin before this time, UTC.
    pub starts_to: Option<NaiveDateTime>,
}

/// Lists these events; missing ones are left out.
pub async fn list_some(tx: &mut Tx<'_>, event_ids: &BTreeSet<i64>) -> Result<Vec<Event>, Failure> {
    let ids = literal::list(event_ids.iter().map(|&id| Literal::Number(id)));
    events(&tx.rows_text(&sql::events::ListSome { ids }.text()).await?)
}

/// Lists up to `limit` events behind a place, by their start.
pub async fn list_page(
    tx: &mut Tx<'_>,
    filter: &EventFilter,
    behind: Option<EventPlace>,
    limit: u32,
) -> Result<Vec<Event>, Failure> {
    let from = filter.starts_from.unwrap_or(BEGIN);
    let place = behind.filter(|place| place.starts_at >= from);
    let (at, id) = place.map_or((from, i64::MIN), |place| (place.starts_at, place.id));
    let to = filter.starts_to.unwrap_or(END);
    let rows: Vec<Row> = match filter.organizer_id {
        None => tx.rows(sql::events::LIST_PAGE, params! { at, id, to, limit }).await?,
        Some(organizer_id) => {
            tx.rows(sql::events::LIST_PAGE_OF_ORGANIZER, params! { organizer_id, at, id, to, limit }).await?
        }
    };
    events(&rows)
}

/// What is to end with an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sold {
    /// Active holds.
    pub holds: i64,
    /// Orders that are not paid.
    pub pending: i64,
    /// Paid orders.
    pub paid: i64,
    /// The money that would be due for refund, in minor units of the event's currency.
    pub amount_minor: i64,
}

/// Adds up what is to end with these ticket types of one event, in its currency.
pub async fn sum_sold(tx: &mut Tx<'_>, product_ids: &[i64], currency: &str) -> Result<Sold, Failure> {
    if product_ids.is_empty() {
        return Ok(Sold::default());
    }
    let statement = sql::events::SumSold {
        currency: Literal::Bytes(currency.as_bytes()).into(),
        ids: literal::numbers(product_ids),
    };
    let found: Vec<Row> = tx.rows_text(&statement.text()).await?;
    let row = found.first().ok_or_else(|| Failure::Broken("a sum has no row".to_owned()))?;
    Ok(Sold {
        holds: column(row, "holds")?,
        pending: column(row, "pending")?,
        paid: column(row, "paid")?,
        amount_minor: column(row, "amount_minor")?,
    })
}

/// Puts the rows of an event together, one for each of its ticket types, in the order of the list.
fn events(rows: &[Row]) -> Result<Vec<Event>, Failure> {
    let mut events: BTreeMap<EventPlace, Event> = BTreeMap::new();
    for row in rows {
        let place = EventPlace { starts_at: column(row, "starts_at")?, id: column(row, "of_event")? };
        let event = match events.entry(place) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(event(row, place)?),
        };
        if column::<Option<i64>>(row, "id")?.is_some() {
            event.types.push((products::product(row)?, column(row, "next_return_at")?));
        }
    }
    let mut events: Vec<Event> = events.into_values().collect();
    events.iter_mut().for_each(|event| event.types.sort_by_key(|(product, _)| product.id));
    Ok(events)
}

fn event(row: &Row, EventPlace { starts_at, id }: EventPlace) -> Result<Event, Failure> {
    Ok(Event {
        id,
        details: EventDetails {
            organizer_id: column(row, "organizer_id")?,
            name: column(row, "of_name")?,
            venue: column(row, "venue")?,
            starts_at,
            sale_starts_at: column(row, "of_sale_starts_at")?,
            sale_ends_at: column(row, "of_sale_ends_at")?,
            max_per_buyer: column(row, "of_max_per_buyer")?,
        },
        organizer: column::<Option<String>>(row, "organizer")?.unwrap_or_default(),
        cancelled_at: column(row, "of_cancelled_at")?,
        types: Vec::new(),
        server_time: column(row, "server_time")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time").naive_utc();
        for place in [EventPlace { starts_at: at, id: 7 }, EventPlace { starts_at: BEGIN, id: i64::MAX }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "1", "1.", ".1", "x.1", "1.x", "9223372036854775807.1", "-99999999999999999.1"] {
            assert_eq!(wrong.parse::<EventPlace>(), Err(()), "{wrong}");
        }
    }
}
