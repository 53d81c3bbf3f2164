//! Lists of holds and orders for their owners and for operators, the newest first. A page reads a bounded number of rows; filters
//! by state and product are applied to them, so that a page may have fewer items than its limit although more follow.

use std::collections::HashMap;

use chrono::{NaiveDateTime, TimeDelta};
use futures_util::FutureExt as _;
use uuid::Uuid;

use super::error::Error;
use super::state::Checkout;
use crate::checkout::orders::batch::Placed;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::orders;
use crate::db::views::lists::{self, BEGIN, END, HoldRange, Of, OrderPlace, OrderRange};
use crate::db::{Failure, Tx};
use crate::domain::{Caller, Details, HoldStatus, OrderStatus};

/// How many rows a page reads beyond its limit at most, if it has a filter that no index applies.
const SCAN: u32 = 400;
/// By how much the time in the table of owners may differ from the order's own: by no more than an attempt takes.
const JITTER: TimeDelta = TimeDelta::seconds(3);
/// The states in the order in which orders pass through them: an order that changes its state between two reads is found.
const IN_ORDER: [OrderStatus; 4] =
    [OrderStatus::Pending, OrderStatus::Cancelled, OrderStatus::Paid, OrderStatus::Refunded];

/// The filters of a list; `None` does not filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter<Status> {
    /// Those in this state.
    pub status: Option<Status>,
    /// Those of this buyer.
    pub buyer: Option<String>,
    /// Those with this reference.
    pub reference: Option<String>,
    /// Those with this product.
    pub product_id: Option<i64>,
    /// Those created at this time, UTC, or later.
    pub created_from: Option<NaiveDateTime>,
    /// Those created before this time, UTC.
    pub created_to: Option<NaiveDateTime>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T, Place> {
    /// The items.
    pub items: Vec<T>,
    /// The place behind which the next page begins; `None` on the last page.
    pub next: Option<Place>,
}

impl<Status> Filter<Status> {
    /// Returns whose rows the caller may list by an index; an empty list: of all owners, by age.
    async fn owners(&self, tx: &mut Tx<'_>, caller: &Caller, of_orders: bool) -> Result<Option<Vec<Of>>, Failure> {
        let buyer = self.buyer.clone().or_else(|| caller.buyer().map(ToString::to_string));
        let clients = match caller.operator_name() {
            None => vec![caller.owner().client_id],
            Some(_) if buyer.is_none() && self.reference.is_none() => return Ok(None),
            Some(_) if of_orders => lists::list_clients_of_orders(tx).await?,
            Some(_) => lists::list_clients_of_holds(tx).await?,
        };
        let of = |client_id| match (&self.reference, &buyer) {
            (Some(reference), _) => Of::Reference(client_id, reference.clone()),
            (None, Some(buyer)) => Of::Buyer(client_id, buyer.clone()),
            (None, None) => Of::Client(client_id),
        };
        Ok(Some(clients.into_iter().map(of).collect()))
    }

    /// Returns whether something with these details and products passes the filters that no index has applied.
    fn fits(&self, caller: &Caller, details: Option<&Details>, products: impl IntoIterator<Item = i64>) -> bool {
        let buyer = details.and_then(|details| details.owner.buyer.as_deref());
        let reference = details.and_then(|details| details.reference.as_deref());
        Details::are_seen(details, caller)
            && self.buyer.as_deref().is_none_or(|wanted| buyer == Some(wanted))
            && self.reference.as_deref().is_none_or(|wanted| reference == Some(wanted))
            && self.product_id.is_none_or(|wanted| products.into_iter().any(|product_id| product_id == wanted))
    }

    /// Returns how many rows to read for a page of this size, one read after the other: one more than the page has shows whether
    /// another follows. Some filters are applied to the rows that an index has found; only if these rows do not fill the page, more
    /// are read.
    fn reads(&self, caller: &Caller, limit: u32) -> impl Iterator<Item = u32> + use<Status> {
        let of_buyer = self.buyer.is_some() || caller.buyer().is_some();
        let filters = self.status.is_some() || self.product_id.is_some() || of_buyer && self.reference.is_some();
        [Some(limit + 1), filters.then_some(SCAN - 1)].into_iter().flatten()
    }
}

impl<T, Place: Copy> ListPage<T, Place> {
    fn empty() -> Self {
        Self { items: Vec::new(), next: None }
    }

    /// Adds the rows of a read of at most `rows` rows to a page of at most `limit` items. Returns whether the page is complete.
    fn add(&mut self, (limit, rows): (u32, u32), found: Vec<Place>, mut item: impl FnMut(Place) -> Option<T>) -> bool {
        let (count, is_last) = (found.len(), found.len() < rows as usize);
        for (n, place) in found.into_iter().enumerate() {
            self.items.extend(item(place));
            self.next = (n + 1 < count || !is_last).then_some(place);
            if self.items.len() == limit as usize {
                return true;
            }
        }
        if is_last {
            self.next = None;
        }
        is_last
    }
}

impl Checkout {
    /// Lists the holds that this caller may see. Their age is the time in their ids.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_holds(
        &self,
        caller: &Caller,
        filter: &Filter<HoldStatus>,
        behind: Option<Uuid>,
        limit: u32,
    ) -> Result<ListPage<Vec<HoldLine>, Uuid>, Error> {
        let first = filter.created_from.map_or(Uuid::nil(), first_id);
        let end = filter.created_to.map_or(Uuid::max(), first_id);
        let mut page = ListPage::empty();
        for rows in filter.reads(caller, limit) {
            let behind = page.next.or(behind).map_or(end, |behind: Uuid| behind.min(end));
            let range = HoldRange { first, behind, limit: rows };
            let (found, mut lines) = self
                .database
                .read("lists.holds", |tx| async move { find_holds(tx, caller, filter, range).await }.boxed())
                .await?;
            let is_complete = page.add((limit, rows), found, |hold_id| {
                let lines = lines.remove(&hold_id)?;
                let first = lines.first()?;
                let fits = filter.fits(caller, first.details.as_deref(), lines.iter().map(|line| line.product_id))
                    && filter.status.is_none_or(|status| status == first.status);
                fits.then_some(lines)
            });
            if is_complete {
                break;
            }
        }
        Ok(page)
    }

    /// Lists the orders that this caller may see.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_orders(
        &self,
        caller: &Caller,
        filter: &Filter<OrderStatus>,
        behind: Option<OrderPlace>,
        limit: u32,
    ) -> Result<ListPage<Placed, OrderPlace>, Error> {
        let mut page = ListPage::empty();
        for rows in filter.reads(caller, limit) {
            let behind = page.next.or(behind);
            let (found, mut placed) = self
                .database
                .read("lists.orders", |tx| async move { find_orders(tx, caller, filter, (behind, rows)).await }.boxed())
                .await?;
            let is_complete = page.add((limit, rows), found, |place| {
                let placed = placed.remove(&place.id)?;
                let at = placed.order.created_at;
                let fits =
                    filter.fits(caller, placed.details.as_deref(), placed.items.iter().map(|item| item.product_id))
                        && filter.status.is_none_or(|status| status == placed.order.status)
                        && filter.created_from.is_none_or(|from| at >= from)
                        && filter.created_to.is_none_or(|to| at < to);
                fits.then_some(placed)
            });
            if is_complete {
                break;
            }
        }
        Ok(page)
    }
}

/// Returns the least id of a hold that was taken at this time, UTC, or later.
fn first_id(at: NaiveDateTime) -> Uuid {
    let milliseconds = u64::try_from(at.and_utc().timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(u128::from(milliseconds) << 80)
}

type Holds = (Vec<Uuid>, HashMap<Uuid, Vec<HoldLine>>);

/// Finds the ids of a page of holds, in its order, and their rows.
async fn find_holds(
    tx: &mut Tx<'_>,
    caller: &Caller,
    filter: &Filter<HoldStatus>,
    range: HoldRange,
) -> Result<Holds, Failure> {
    let mut found = Vec::new();
    match filter.owners(tx, caller, false).await? {
        None => found = lists::list_holds(tx, None, range).await?,
        Some(owners) => {
            for of in &owners {
                found.extend(lists::list_holds(tx, Some(of), range).await?);
            }
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(range.limit as usize);
    Ok((found.clone(), lines(tx, &found).await?))
}

async fn lines(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<HoldLine>>, Failure> {
    let mut lines: HashMap<Uuid, Vec<HoldLine>> = HashMap::new();
    if !hold_ids.is_empty() {
        for line in holds::list_rows(tx, hold_ids).await? {
            lines.entry(line.id).or_default().push(line);
        }
    }
    Ok(lines)
}

/// Finds the places of a page of orders, in its order, and the orders with their items.
async fn find_orders(
    tx: &mut Tx<'_>,
    caller: &Caller,
    filter: &Filter<OrderStatus>,
    (behind, rows): (Option<OrderPlace>, u32),
) -> Result<(Vec<OrderPlace>, HashMap<Uuid, Placed>), Failure> {
    let mut found = Vec::new();
    match filter.owners(tx, caller, true).await? {
        None => {
            let range = range(filter, behind, TimeDelta::zero(), rows);
            for &status in IN_ORDER.iter().filter(|&&each| filter.status.is_none_or(|status| status == each)) {
                found.extend(lists::list_orders_in(tx, status, range).await?);
            }
        }
        Some(owners) => {
            for of in &owners {
                found.extend(lists::list_orders_of(tx, of, range(filter, behind, JITTER, rows)).await?);
            }
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    // an order that changes its state between two of the reads may be found twice
    found.dedup();
    found.truncate(rows as usize);
    let ids: Vec<Uuid> = found.iter().map(|place| place.id).collect();
    let placed = if ids.is_empty() { Vec::new() } else { orders::list_placed(tx, &ids).await? };
    let mut items = orders::list_items(tx, &ids).await?;
    let placed = placed.into_iter().map(|(order, details)| {
        let items = items.remove(&order.id).unwrap_or_default();
        (order.id, Placed { order, details, items, replayed: false })
    });
    Ok((found, placed.collect()))
}

/// Returns the range of the filter's times, widened by `jitter`, from a place on.
fn range(filter: &Filter<OrderStatus>, behind: Option<OrderPlace>, jitter: TimeDelta, limit: u32) -> OrderRange {
    let end = OrderPlace {
        at: filter.created_to.and_then(|to| to.checked_add_signed(jitter)).unwrap_or(END),
        id: Uuid::nil(),
    };
    let from = filter.created_from.and_then(|from| from.checked_sub_signed(jitter)).unwrap_or(BEGIN);
    OrderRange { from, behind: behind.map_or(end, |behind| behind.min(end)), limit }
}
