//! The tickets of the orders that a batch of payments pays. What they are for is read before: the rows of an ordered hold do not change.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use tracing::warn;
use uuid::Uuid;

use crate::checkout::issuing::draw;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::packets::pay_orders::TICKET_BYTES;
use crate::db::tables::orders::Order;
use crate::db::tables::tickets::{self, NewTicket, TicketUnits};
use crate::domain::OrderTickets;

/// A success that its pending order waits for, with the tickets that the order gets.
#[derive(Debug)]
pub(crate) struct Plain<T> {
    pub(crate) success: T,
    pub(crate) order: Order,
    pub(crate) tickets: Vec<NewTicket>,
}

/// Successes of a batch, parted by the tickets of their orders.
pub(crate) struct Drawn<T> {
    /// Those that one packet can pay, each with its tickets.
    pub(crate) plain: Vec<Plain<T>>,
    /// Those whose tickets do not fit beside these.
    pub(crate) later: Vec<T>,
    /// Those with more tickets than any packet may have, and those whose units could not be read.
    pub(crate) alone: Vec<T>,
}

/// Makes the tickets of these orders. Nothing is read when none has units of a ticket type.
pub(crate) async fn draw_tickets<T>(database: &Database, successes: Vec<Plain<T>>) -> Drawn<T> {
    let mut drawn = Drawn { plain: Vec::with_capacity(successes.len()), later: Vec::new(), alone: Vec::new() };
    let units = match list_units(database, &successes).await {
        Ok(units) => units,
        Err(error) => {
            warn!(%error, "the units of paid orders could not be read for their tickets");
            drawn.alone.extend(successes.into_iter().map(|plain| plain.success));
            return drawn;
        }
    };
    let mut bytes = 0;
    for mut plain in successes {
        if let Some(units) = units.get(&plain.order.hold_id) {
            plain.tickets = draw(plain.order.id, units);
        }
        let own: usize = plain.tickets.iter().map(NewTicket::bytes).sum();
        match bytes + own <= TICKET_BYTES || own == 0 {
            true => {
                bytes += own;
                drawn.plain.push(plain);
            }
            false if own > TICKET_BYTES => drawn.alone.push(plain.success),
            false => drawn.later.push(plain.success),
        }
    }
    drawn
}

/// Lists the units of the orders with tickets, by hold.
async fn list_units<T>(database: &Database, successes: &[Plain<T>]) -> Result<HashMap<Uuid, Vec<TicketUnits>>, Error> {
    let with_tickets = successes.iter().filter(|plain| plain.order.tickets != OrderTickets::None);
    let hold_ids: Vec<Uuid> = with_tickets.map(|plain| plain.order.hold_id).collect();
    let mut by_hold: HashMap<Uuid, Vec<TicketUnits>> = HashMap::new();
    if hold_ids.is_empty() {
        return Ok(by_hold);
    }
    let hold_ids = &hold_ids;
    let found = database
        .read("tickets.list_units", |tx| async move { tickets::list_units(tx, hold_ids).await }.boxed())
        .await?;
    for units in found {
        by_hold.entry(units.hold_id).or_default().push(units);
    }
    Ok(by_hold)
}
