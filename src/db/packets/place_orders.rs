//! A packet that makes a batch of orders, each from a hold.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::counters::Counters;
use super::keys::Keys;
use super::{OneTrip, Packet, exactly, one_trip};
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::guard;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::order_events::{self, Reason, Transition};
use crate::db::tables::{holds, orders, owners, payment_events};
use crate::domain::{Details, FeedItem, FeedType, OrderStatus, OrderTickets};

/// What one order adds to the packet at most, in bytes, without the row of its owner and that of a counter.
pub const ROW_BYTES: usize = 384;
/// What an order adds beside that, in bytes, if a counter of held units has the units of its hold.
pub const HELD_BYTES: usize = 60;

/// An order to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its id.
    pub order_id: Uuid,
    /// Whether the client chose the id. Else it is new, and before the COMMIT no event can name it.
    pub chosen: bool,
    /// The hold that it is made from.
    pub hold_id: Uuid,
    /// How many rows that hold has.
    pub hold_rows: usize,
    /// What has to be paid, in minor units of `currency`.
    pub total_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Its owner, and what was written on it, if there is something to store.
    pub details: Option<Arc<Details>>,
    /// How long it may stay unpaid, in seconds, if its hold says so.
    pub ttl_seconds: Option<u64>,
    /// Units that are not held any more, each with the counter of held units that has them.
    pub held: Vec<(Uuid, i64)>,
    /// How often that hold had been changed when the total was computed.
    pub changes: i64,
    /// What it has of ticket types.
    pub tickets: OrderTickets,
}

impl Draft {
    /// Returns the client that owns it; 0: an anonymous caller.
    pub fn client_id(&self) -> i64 {
        Details::client_id(self.details.as_deref())
    }
}

/// What all orders of one batch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedAt {
    /// The database's clock, UTC.
    pub created_at: NaiveDateTime,
    /// Until when those may stay unpaid whose holds do not say otherwise, UTC.
    pub pay_by: NaiveDateTime,
}

impl PlacedAt {
    /// Returns until when an order may stay unpaid whose hold says so many seconds, or nothing.
    pub fn pay_by(&self, ttl_seconds: Option<u64>) -> NaiveDateTime {
        ttl_seconds.map_or(self.pay_by, |seconds| self.created_at + Duration::from_secs(seconds))
    }
}

/// A batch of orders. Without drafts, the packet only makes copies of earlier requests durable.
#[derive(Debug)]
pub struct PlaceOrders<'a> {
    /// Sorted by hold.
    drafts: Vec<Draft>,
    ttl_seconds: u64,
    keys: Keys<'a>,
}

impl<'a> PlaceOrders<'a> {
    /// Creates the packet; the orders may stay unpaid for `ttl_seconds`.
    pub fn new(mut drafts: Vec<Draft>, ttl_seconds: u64, keys: Keys<'a>) -> Self {
        // by the unique key that two instances may contend for
        drafts.sort_unstable_by_key(|draft| draft.hold_id);
        Self { drafts, ttl_seconds, keys }
    }

    fn row<'d>(&self, draft: &'d Draft) -> [Literal<'d>; 7] {
        [
            Literal::Id(draft.order_id),
            Literal::Id(draft.hold_id),
            Literal::Number(draft.total_minor),
            Literal::Bytes(draft.currency.as_bytes()),
            Literal::Code("NOW(6)"),
            Literal::Later("created_at", draft.ttl_seconds.unwrap_or(self.ttl_seconds)),
            Literal::Number(draft.client_id()),
        ]
    }

    fn insert(&self) -> String {
        if !self.drafts.iter().any(|draft| draft.tickets != OrderTickets::None) {
            return sql::orders::Insert { rows: rows(self.drafts.iter().map(|draft| self.row(draft))) }.text();
        }
        let row = |draft| {
            let [id, hold, total, currency, created, pay_by, client] = self.row(draft);
            let seats = draft.tickets.has_seats().map_or(Literal::Null, |seats| Literal::Number(seats.into()));
            [id, hold, total, currency, created, pay_by, client, seats]
        };
        sql::orders::InsertWithSeats { rows: rows(self.drafts.iter().map(row)) }.text()
    }

    /// Returns the owners to store, sorted by order.
    fn owners(&self) -> Vec<(Uuid, Arc<Details>)> {
        let owner = |draft: &Draft| Some((draft.order_id, Arc::clone(draft.details.as_ref()?)));
        let mut owners: Vec<_> = self.drafts.iter().filter_map(owner).collect();
        owners.sort_unstable_by_key(|&(order_id, _)| order_id);
        owners
    }

    /// Returns what the counters of held units lose.
    fn no_longer_held(&self) -> Counters {
        let mut counters = Counters::default();
        for &(counter, units) in self.drafts.iter().flat_map(|draft| &draft.held) {
            counters.take_off(counter, units);
        }
        counters
    }

    /// Returns the first order with the shop's time, whose times are read back; of a batch without one, the first order.
    fn first(&self) -> Option<&Draft> {
        self.drafts.iter().find(|draft| draft.ttl_seconds.is_none()).or(self.drafts.first())
    }

    fn mark_ordered(&self, first: &Draft) -> String {
        let holds = self.drafts.iter().map(|draft| (draft.hold_id, draft.changes)).collect();
        if self.drafts.iter().all(|draft| draft.ttl_seconds == first.ttl_seconds) {
            return holds::mark_ordered(&holds, first.order_id);
        }
        let seconds = |draft: &Draft| (draft.hold_id, draft.ttl_seconds.unwrap_or(self.ttl_seconds));
        holds::mark_ordered_each(&holds, &self.drafts.iter().map(seconds).collect(), first.order_id)
    }

    fn insert_trails(&self) -> String {
        let created = |draft: &Draft| Transition {
            order_id: draft.order_id,
            from: None,
            to: OrderStatus::Pending,
            reason: Reason::Created,
        };
        order_events::insert_all(&self.drafts.iter().map(created).collect::<Vec<_>>())
    }
}

impl OneTrip for PlaceOrders<'_> {
    fn statements(&self) -> Vec<String> {
        let mut statements: Vec<String> = self.keys.statement().into_iter().collect();
        if let Some(first) = self.first() {
            statements.extend([
                self.insert(),
                self.mark_ordered(first),
                self.insert_trails(),
                sql::orders::FindTerms { order_id: Literal::Id(first.order_id).into() }.text(),
            ]);
            let owners = self.owners();
            if !owners.is_empty() {
                statements.push(owners::insert_of_orders(&owners));
            }
            statements.extend(self.no_longer_held().statements());
        }
        statements
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// [`Failure::Stale`] when a hold or an id was taken, or a hold was changed or ran out, since it was read.
    fn read(&self, mut replies: Vec<Reply>) -> Result<Option<PlacedAt>, Failure> {
        self.keys.read(&mut replies)?;
        if self.drafts.is_empty() {
            return Ok(None);
        }
        let counters = self.no_longer_held();
        let place = replies.len() - counters.statements().len().min(replies.len());
        counters.read(&mut replies, place)?;
        let owners = self.owners().len();
        if owners > 0 && replies.pop().is_none_or(|stored| stored.affected != owners as u64) {
            return Err(Failure::Stale("order_owners/insert"));
        }
        let [inserted, marked, _, terms] = exactly(replies)?;
        let hold_rows: usize = self.drafts.iter().map(|draft| draft.hold_rows).sum();
        guard::exactly("orders/insert", inserted.affected, self.drafts.len(), Failure::Stale)?;
        guard::exactly("holds/mark_ordered", marked.affected, hold_rows, Failure::Stale)?;
        let terms = terms.rows.into_iter().next().map(mysql_async::from_row_opt);
        match terms {
            Some(Ok((created_at, pay_by))) => Ok(Some(PlacedAt { created_at, pay_by })),
            _ => Err(Failure::Broken("the times of a batch of orders cannot be read".to_owned())),
        }
    }

    fn told(&self, _outcome: &Self::Outcome) -> Vec<FeedItem> {
        let created = |draft: &Draft| {
            FeedItem::of_order(FeedType::OrderCreated, draft.client_id(), draft.order_id, OrderStatus::Pending)
        };
        self.drafts.iter().map(created).collect()
    }
}

impl Packet for PlaceOrders<'_> {
    /// `None` when there was no order to make.
    type Outcome = Option<PlacedAt>;

    fn exchange<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Outcome, Failure>> {
        one_trip(self, tx).boxed()
    }

    fn list_touched(&self, known: bool) -> Option<String> {
        let ids = |id: fn(&Draft) -> Uuid| self.drafts.iter().map(id).collect::<Vec<_>>();
        match known || self.drafts.iter().any(|draft| draft.chosen) {
            _ if self.drafts.is_empty() => None,
            true => Some(orders::list_touched(&ids(|draft| draft.order_id), OrderStatus::Pending)),
            false => Some(payment_events::list_holds(&ids(|draft| draft.hold_id))),
        }
    }

    /// Finds the orders of an earlier attempt: all of them, each from its hold.
    fn find_own<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<Self::Outcome>, Failure>> {
        async move {
            if self.drafts.is_empty() {
                return Ok(None);
            }
            let ids: Vec<Uuid> = self.drafts.iter().map(|draft| draft.order_id).collect();
            let stored = orders::list_some(tx, &ids).await?;
            let mut pairs: Vec<(Uuid, Uuid)> = stored.iter().map(|order| (order.hold_id, order.id)).collect();
            pairs.sort_unstable();
            let all = pairs.iter().copied().eq(self.drafts.iter().map(|draft| (draft.hold_id, draft.order_id)));
            let placed = |order: &orders::Order| PlacedAt { created_at: order.created_at, pay_by: order.pay_by };
            let first = self.first().and_then(|first| stored.iter().find(|order| order.id == first.order_id));
            Ok(first.filter(|_| all).map(|order| Some(placed(order))))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_adds_no_more_bytes_than_its_bound() {
        let draft = |number: u128, is_held: bool| Draft {
            order_id: Uuid::max(),
            chosen: true,
            hold_id: Uuid::from_u128(u128::MAX - number),
            hold_rows: 1,
            total_minor: i64::MAX,
            currency: "EUR".to_owned(),
            details: None,
            ttl_seconds: (number > 0).then_some(31_536_000),
            held: is_held.then(|| (Uuid::from_u128(u128::MAX - number), 20_000)).into_iter().collect(),
            changes: i64::from(i32::MAX),
            tickets: OrderTickets::None,
        };
        let length = |count: u128, is_held: bool| {
            let drafts = (0..count).map(|number| draft(number, is_held)).collect();
            let packet = PlaceOrders::new(drafts, 31_536_000, Keys::default());
            packet.statements().iter().map(String::len).sum::<usize>()
        };
        for (is_held, most) in [(false, ROW_BYTES), (true, ROW_BYTES + HELD_BYTES)] {
            let bytes = length(102, is_held) - length(2, is_held);
            assert!(bytes <= 100 * most, "{} bytes each", bytes / 100);
        }
    }
}
