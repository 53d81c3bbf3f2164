//! A packet that makes a batch of orders, each from a hold.

use std::sync::Arc;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::keys::Keys;
use super::{Packet, exactly};
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::guard;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::order_events::{self, Reason, Transition};
use crate::db::tables::{holds, orders, owners};
use crate::domain::{Details, OrderStatus};

/// What one order adds to the packet at most, in bytes.
pub const ROW_BYTES: usize = 320;

/// An order to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its id.
    pub order_id: Uuid,
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
}

/// What all orders of one batch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedAt {
    /// The database's clock, UTC.
    pub created_at: NaiveDateTime,
    /// Until when they may stay unpaid, UTC.
    pub pay_by: NaiveDateTime,
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

    fn insert(&self) -> String {
        let values = self.drafts.iter().map(|draft| {
            [
                Literal::Id(draft.order_id),
                Literal::Id(draft.hold_id),
                Literal::Number(draft.total_minor),
                Literal::Bytes(draft.currency.as_bytes()),
                Literal::Code("NOW(6)"),
                Literal::Later("created_at", self.ttl_seconds),
            ]
        });
        sql::orders::Insert { rows: rows(values) }.text()
    }

    /// Returns the owners to store, sorted by order.
    fn owners(&self) -> Vec<(Uuid, Arc<Details>)> {
        let owner = |draft: &Draft| Some((draft.order_id, Arc::clone(draft.details.as_ref()?)));
        let mut owners: Vec<_> = self.drafts.iter().filter_map(owner).collect();
        owners.sort_unstable_by_key(|&(order_id, _)| order_id);
        owners
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

impl Packet for PlaceOrders<'_> {
    /// `None` when there was no order to make.
    type Outcome = Option<PlacedAt>;

    fn statements(&self) -> Vec<String> {
        let mut statements: Vec<String> = self.keys.statement().into_iter().collect();
        if let Some(first) = self.drafts.first() {
            let hold_ids: Vec<Uuid> = self.drafts.iter().map(|draft| draft.hold_id).collect();
            statements.extend([
                self.insert(),
                holds::mark_ordered(&hold_ids, first.order_id),
                self.insert_trails(),
                sql::orders::FindTerms { order_id: Literal::Id(first.order_id).into() }.text(),
            ]);
            let owners = self.owners();
            if !owners.is_empty() {
                statements.push(owners::insert_of_orders(&owners));
            }
        }
        statements
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// [`Failure::Stale`] when a hold or an id was taken, or a hold ran out, since it was read.
    fn read(&self, mut replies: Vec<Reply>) -> Result<Option<PlacedAt>, Failure> {
        self.keys.read(&mut replies)?;
        if self.drafts.is_empty() {
            return Ok(None);
        }
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

    fn list_touched(&self) -> Option<String> {
        let order_ids: Vec<Uuid> = self.drafts.iter().map(|draft| draft.order_id).collect();
        (!order_ids.is_empty()).then(|| orders::list_touched(&order_ids, OrderStatus::Pending))
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
            Ok(stored.first().filter(|_| all).map(|order| Some(placed(order))))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_adds_no_more_bytes_than_its_bound() {
        let draft = Draft {
            order_id: Uuid::max(),
            hold_id: Uuid::max(),
            hold_rows: 1,
            total_minor: i64::MAX,
            currency: "EUR".to_owned(),
            details: None,
        };
        let length = |count: usize| {
            let packet = PlaceOrders::new(vec![draft.clone(); count], 31_536_000, Keys::default());
            packet.statements().iter().map(String::len).sum::<usize>()
        };
        assert!(length(101) - length(1) <= 100 * ROW_BYTES, "{} bytes each", (length(101) - length(1)) / 100);
    }
}
