//! Lists of the inbox for operators: each filter is a range of an index, whatever the size of the tables.

use std::collections::{BTreeSet, HashMap};

use chrono::{NaiveDateTime, TimeDelta};
use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::id_range::{Direction, IdRange};
use crate::db::tables::due_refunds;
pub use crate::db::tables::due_refunds::DueRefund;
use crate::db::tables::{charges, orders, payment_event_deliveries};
use crate::db::views::operators::{self, ChargeLine, EventLine};
use crate::db::{Failure, Tx};
use crate::domain::payment::Provider;
use crate::domain::{EventStatus, Named as _};

/// By how much the times of rows may disagree with the order of their ids, because of concurrent transactions.
const JITTER: TimeDelta = TimeDelta::seconds(1);

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The lines. With a filter by charge, or by order and hold, there may be fewer of them than the limit.
    pub items: Vec<T>,
    /// The id behind which the next page begins; `None` on the last page.
    pub next_after: Option<i64>,
}

/// The filters of a list of events; `None` does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Events of this state.
    pub status: Option<EventStatus>,
    /// Events that name this order or its hold.
    pub order_id: Option<Uuid>,
    /// Events that name this hold or its order.
    pub hold_id: Option<Uuid>,
    /// Events that name this charge.
    pub charge: Option<String>,
    /// The provider of the charge.
    pub provider: Option<Provider>,
    /// Events first received at this time, UTC, or later.
    pub received_from: Option<NaiveDateTime>,
    /// Events first received before this time, UTC.
    pub received_to: Option<NaiveDateTime>,
    /// Money that is due because this event was cancelled; for refunds only.
    pub cancelled_event_id: Option<i64>,
}

/// Money that has to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundLine {
    /// The success that reported it.
    pub event: EventLine,
    /// The charge that the success owns.
    pub charge: Option<ChargeLine>,
    /// What is due of the charge for events that were cancelled.
    pub due: Vec<DueRefund>,
}

/// The position and the size of a page.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The id behind which the page begins; `None`: the first page.
    pub behind: Option<i64>,
    /// The maximum number of lines.
    pub limit: u32,
}

/// The names of an order: its id and its hold's, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
struct Names {
    order_id: Option<Uuid>,
    hold_id: Option<Uuid>,
}

impl Names {
    /// Returns whether an event names the order by one of them.
    fn are_of(self, line: &EventLine) -> bool {
        let same = |one: Option<Uuid>, other: Option<Uuid>| one.is_some() && one == other;
        same(self.order_id, line.reference.order_id) || same(self.hold_id, line.reference.hold_id)
    }
}

impl Checkout {
    /// Returns a page of the inbox: of one state the oldest first, of all states the newest first.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_payment_events(&self, filter: &EventFilter, place: Place) -> Result<Page<EventLine>, Error> {
        let direction = if filter.status.is_some() { Direction::OldestFirst } else { Direction::NewestFirst };
        Ok(self
            .database
            .read("operators.list_events", |tx| {
                async move {
                    let found = find(tx, filter, place, direction).await?;
                    let lines = operators::list_lines(tx, &found.ids).await?;
                    Ok(found.page(filter, lines, |line| line))
                }
                .boxed()
            })
            .await?)
    }

    /// Returns a page of the refunds that are due, the oldest first, each with its charge: charges that pay for nothing, and those that
    /// paid for events which were cancelled. The state in `filter` is ignored.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_refunds_due(&self, filter: &EventFilter, place: Place) -> Result<Page<RefundLine>, Error> {
        Ok(self
            .database
            .read("operators.list_refunds", |tx| {
                async move {
                    let found = find_due(tx, filter, place).await?;
                    let lines = refund_lines(tx, filter, &found.ids).await?;
                    Ok(found.page(&EventFilter { status: None, ..filter.clone() }, lines, |line| &line.event))
                }
                .boxed()
            })
            .await?)
    }
}

/// Finds the successes whose money is due: for nothing that was sold, or for events that were cancelled.
async fn find_due(tx: &mut Tx<'_>, filter: &EventFilter, place: Place) -> Result<Found, Failure> {
    let of_state = |status| EventFilter { status: Some(status), ..filter.clone() };
    let direction = Direction::OldestFirst;
    let mut found = match filter.cancelled_event_id {
        None => find(tx, &of_state(EventStatus::RefundDue), place, direction).await?,
        Some(_) => Found { ids: Vec::new(), next_after: None, names: names(tx, filter).await? },
    };
    if filter.charge.is_some() || !found.names.is_empty() {
        let applied = find(tx, &of_state(EventStatus::Applied), place, direction).await?;
        found.ids.extend(applied.ids);
        found.next_after = found.next_after.or(applied.next_after);
    } else {
        let mut range = time_range(tx, filter, place.limit + 1, direction).await?;
        range.first = range.first.max(place.behind.map_or(i64::MIN, |id| id.saturating_add(1)));
        found.ids.extend(due_refunds::list_open(tx, filter.cancelled_event_id, &range).await?);
    }
    found.ids.sort_unstable();
    found.ids.dedup();
    let limit = place.limit as usize;
    let more = found.ids.len() > limit || found.next_after.is_some();
    found.ids.truncate(limit);
    found.next_after = found.ids.last().copied().filter(|_| more);
    Ok(found)
}

/// Reads the lines of successes whose money is due, of those among them.
async fn refund_lines(tx: &mut Tx<'_>, filter: &EventFilter, ids: &[i64]) -> Result<Vec<RefundLine>, Failure> {
    let mut due: HashMap<i64, Vec<DueRefund>> = HashMap::new();
    let is_asked_for = |one: &DueRefund| filter.cancelled_event_id.is_none_or(|event_id| one.event_id == event_id);
    let open = due_refunds::list(tx, ids).await?.into_iter().filter(|one| one.settled_at.is_none());
    for one in open.filter(is_asked_for) {
        due.entry(one.charge_event_id).or_default().push(one);
    }
    let lines = operators::list_refunds(tx, ids).await?.into_iter().map(|(event, charge)| {
        let due = due.remove(&event.id).unwrap_or_default();
        RefundLine { event, charge, due }
    });
    Ok(lines.filter(|line| line.event.status == EventStatus::RefundDue || !line.due.is_empty()).collect())
}

/// The ids of a page, in its order, and the names that its lines must match.
struct Found {
    ids: Vec<i64>,
    next_after: Option<i64>,
    names: Vec<Names>,
}

impl Found {
    fn page<T>(self, filter: &EventFilter, lines: Vec<T>, line: impl Fn(&T) -> &EventLine) -> Page<T> {
        let mut by_id: HashMap<i64, T> = lines.into_iter().map(|item| (line(&item).id, item)).collect();
        let items = self.ids.iter().filter_map(|id| by_id.remove(id));
        let items = items.filter(|item| fits(filter, &self.names, line(item))).collect();
        Page { items, next_after: self.next_after }
    }
}

/// Returns whether a line matches all filters. Its id was found by only one or two of them, and it may have changed since.
fn fits(filter: &EventFilter, names: &[Names], line: &EventLine) -> bool {
    filter.status.is_none_or(|status| status == line.status)
        && filter.charge.as_ref().is_none_or(|charge| line.txn_id.as_ref() == Some(charge))
        && filter.provider.is_none_or(|provider| provider.as_str() == line.provider)
        && filter.received_from.is_none_or(|from| line.received_at >= from)
        && filter.received_to.is_none_or(|to| line.received_at < to)
        && names.iter().all(|names| names.are_of(line))
}

async fn find(tx: &mut Tx<'_>, filter: &EventFilter, place: Place, direction: Direction) -> Result<Found, Failure> {
    let mut range = time_range(tx, filter, place.limit + 1, direction).await?;
    match (place.behind, direction) {
        (Some(id), Direction::OldestFirst) => range.first = range.first.max(id.saturating_add(1)),
        (Some(id), Direction::NewestFirst) => range.last = range.last.min(id.saturating_sub(1)),
        (None, _) => {}
    }
    let names = names(tx, filter).await?;
    let ids: BTreeSet<i64> = match (&filter.charge, names.first(), filter.status) {
        (Some(charge), ..) => of_charge(tx, filter, charge, &range).await?,
        (None, Some(&names), _) => of_order(tx, filter.status, names, &range).await?,
        (None, None, Some(status)) => operators::list_ids_by_state(tx, status, &range).await?.into_iter().collect(),
        (None, None, None) => operators::list_ids_by_age(tx, &range).await?.into_iter().collect(),
    };
    let mut ids: Vec<i64> = match direction {
        Direction::OldestFirst => ids.into_iter().collect(),
        Direction::NewestFirst => ids.into_iter().rev().collect(),
    };
    let more = ids.len() > place.limit as usize;
    ids.truncate(place.limit as usize);
    let next_after = ids.last().copied().filter(|_| more);
    Ok(Found { ids, next_after, names })
}

/// Returns the names to match: one entry each for the filters by order and by hold.
async fn names(tx: &mut Tx<'_>, filter: &EventFilter) -> Result<Vec<Names>, Failure> {
    let mut all = Vec::new();
    if let Some(order_id) = filter.order_id {
        let order = orders::find(tx, order_id).await?;
        all.push(Names { order_id: Some(order_id), hold_id: order.map(|order| order.hold_id) });
    }
    if let Some(hold_id) = filter.hold_id {
        let order = orders::find_by_hold(tx, hold_id).await?;
        all.push(Names { order_id: order.map(|order| order.id), hold_id: Some(hold_id) });
    }
    Ok(all)
}

/// Finds the events that name an order or its hold, state by state.
async fn of_order(
    tx: &mut Tx<'_>,
    status: Option<EventStatus>,
    names: Names,
    range: &IdRange,
) -> Result<BTreeSet<i64>, Failure> {
    let mut ids = BTreeSet::new();
    for &status in EventStatus::ALL.iter().filter(|&&each| status.is_none_or(|status| status == each)) {
        if let Some(order_id) = names.order_id {
            ids.extend(operators::list_ids_of_order(tx, order_id, status, range).await?);
        }
        if let Some(hold_id) = names.hold_id {
            ids.extend(operators::list_ids_of_hold(tx, hold_id, status, range).await?);
        }
    }
    Ok(ids)
}

/// Finds the events that name a charge: those that own it, and those whose first delivery stored its name.
async fn of_charge(
    tx: &mut Tx<'_>,
    filter: &EventFilter,
    charge: &str,
    range: &IdRange,
) -> Result<BTreeSet<i64>, Failure> {
    let of = (charge, filter.provider, filter.status);
    let mut ids: BTreeSet<i64> =
        payment_event_deliveries::list_ids_of_charge(tx, of, range).await?.into_iter().collect();
    for provider in Provider::ALL.iter().filter(|&&each| filter.provider.is_none_or(|provider| provider == each)) {
        let owned = charges::find(tx, provider.as_str().as_bytes(), charge.as_bytes()).await?;
        ids.extend(owned.map(|charge| charge.event_id).filter(|id| (range.first..=range.last).contains(id)));
    }
    Ok(ids)
}

/// Returns the range of ids that events within the filter's times can have.
async fn time_range(
    tx: &mut Tx<'_>,
    filter: &EventFilter,
    limit: u32,
    direction: Direction,
) -> Result<IdRange, Failure> {
    let EventFilter { received_from, received_to, .. } = filter;
    let (mut first, mut last) = (i64::MIN, i64::MAX);
    if received_from.is_some() || received_to.is_some() {
        let end = operators::find_last(tx).await?.saturating_add(1);
        if let Some(from) = received_from {
            first = find_time(tx, from.checked_sub_signed(JITTER).unwrap_or(*from), end).await?;
        }
        if let Some(to) = received_to {
            last = find_time(tx, to.checked_add_signed(JITTER).unwrap_or(*to), end).await? - 1;
        }
    }
    Ok(IdRange { first, last, received_from: *received_from, received_to: *received_to, limit, direction })
}

/// Returns the first id, `end` at most, whose event was received at `at` or later: by bisection along the primary key.
async fn find_time(tx: &mut Tx<'_>, at: NaiveDateTime, end: i64) -> Result<i64, Failure> {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        match operators::find_next(tx, middle).await? {
            Some((id, received_at)) if received_at < at => low = id.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok(low)
}
