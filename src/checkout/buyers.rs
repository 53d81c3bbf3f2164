//! What a shop knows of one buyer.

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::error::Error;
use super::lists::{Filter, ListPage};
use super::orders::batch::Placed;
use super::state::Checkout;
use crate::db::tables::holds::HoldLine;
use crate::db::tables::tickets::{self, Ticket};
use crate::db::views::lists::OrderPlace;
use crate::domain::{Caller, HoldStatus, OrderStatus};

/// The newest that a buyer has.
#[derive(Debug)]
pub struct Overview {
    /// Holds.
    pub holds: ListPage<Vec<HoldLine>, Uuid>,
    /// Orders.
    pub orders: ListPage<Placed, OrderPlace>,
    /// The tickets of these orders.
    pub tickets: Vec<Ticket>,
    /// Whether these orders have more tickets.
    pub more_tickets: bool,
}

impl Checkout {
    /// Returns the newest holds and orders of a buyer, as far as this caller may see them, and the tickets of these orders; at most
    /// `limit` of each.
    ///
    /// # Errors
    /// As every read.
    pub async fn buyer(
        &self,
        caller: &Caller,
        (holds, orders): (&Filter<HoldStatus>, &Filter<OrderStatus>),
        limit: u32,
    ) -> Result<Overview, Error> {
        let holds = self.list_holds(caller, holds, None, limit).await?;
        let orders = self.list_orders(caller, orders, None, limit).await?;
        let order_ids: Vec<Uuid> = orders.items.iter().map(|placed| placed.order.id).collect();
        let (order_ids, most) = (&order_ids, limit as usize);
        let mut tickets = Vec::new();
        if !order_ids.is_empty() {
            let read = self.database.read("tickets.list_some", |tx| {
                async move { tickets::list_some(tx, order_ids, u64::from(limit) + 1).await }.boxed()
            });
            tickets = read.await?;
        }
        let more_tickets = tickets.len() > most;
        tickets.truncate(most);
        Ok(Overview { holds, orders, tickets, more_tickets })
    }
}
