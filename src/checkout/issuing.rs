//! Tickets of paid orders: what the payment writes.

use uuid::Uuid;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::orders::Order;
use crate::db::tables::tickets::{self, NewTicket, TicketUnits};
use crate::domain::{FeedItem, FeedType, OrderStatus, OrderTickets, TicketCode};

/// Makes a ticket for each of these units of an order.
pub(crate) fn draw(order_id: Uuid, units: &[TicketUnits]) -> Vec<NewTicket> {
    let of_type = |units: &TicketUnits| {
        let (product_id, event_id) = (units.product_id, units.event_id);
        let mut seats = units.seats.iter().cloned();
        let ticket = |unit| {
            let code = TicketCode::mint();
            NewTicket { order_id, product_id, event_id, unit, seat: seats.next(), code }
        };
        (1..=units.qty).map(ticket).collect::<Vec<_>>()
    };
    units.iter().flat_map(of_type).collect()
}

/// Writes the tickets of an order that was just marked paid in the same transaction.
pub(crate) async fn issue(tx: &mut Tx<'_>, order: &Order) -> Result<(), Failure> {
    if order.tickets == OrderTickets::None {
        return Ok(());
    }
    let units = tickets::list_units(tx, &[order.hold_id]).await?;
    let drawn = draw(order.id, &units);
    let issued = FeedItem::of_order(FeedType::TicketIssued, order.client_id, order.id, OrderStatus::Paid);
    tx.tell((!drawn.is_empty()).then(|| issued.with_tickets(drawn.len() as u64)));
    tickets::insert_all(tx, &drawn).await
}

/// Makes the tickets of an order void whose payment was given back in the same transaction.
pub(crate) async fn void(tx: &mut Tx<'_>, order: &Order) -> Result<(), Failure> {
    if order.tickets != OrderTickets::None {
        let count = tickets::void(tx, &[order.id], None).await?;
        let voided = FeedItem::of_order(FeedType::TicketVoided, order.client_id, order.id, OrderStatus::Refunded);
        tx.tell((count > 0).then(|| voided.with_tickets(count)));
    }
    Ok(())
}
