//! Tickets after their payment: shown to their buyer, redeemed at the gate, given another code, and listed for the door.

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::Made;
use super::redemptions::{Redeemed, why_not};
use crate::checkout::error::Error;
use crate::checkout::patience::{ask, deadline};
use crate::checkout::state::Checkout;
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::tables::tickets::{self, Redeem, Ticket, TicketKey, TicketPlace};
use crate::db::tables::{events, orders};
use crate::db::{Failure, Tx};
use crate::domain::ticket_refusal::check_gate;
use crate::domain::{
    Audience, Caller, Details, FeedItem, FeedType, Missing, Named as _, Refusal, TicketCode, TicketStatus,
};

/// One page of the door list of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketPage {
    /// The tickets.
    pub items: Vec<Ticket>,
    /// The place behind which the next page begins; `None` on the last page.
    pub next: Option<TicketPlace>,
}

impl Checkout {
    /// Lists the tickets of an order that this caller may see, void ones too, by ticket type, unit and issue; none before its payment.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`].
    pub async fn order_tickets(&self, caller: &Caller, order_id: Uuid) -> Result<Vec<Ticket>, Error> {
        let read = self.database.read("tickets.list_some", |tx| {
            async move {
                let order = orders::find_placed(tx, order_id).await?;
                order
                    .filter(|(_, details)| Details::are_seen(details.as_deref(), caller))
                    .ok_or(Failure::Refused(Refusal::OrderNotFound))?;
                tickets::list_some(tx, &[order_id], u64::MAX).await
            }
            .boxed()
        });
        let mut found = read.await?;
        found.reverse();
        Ok(found)
    }

    /// Admits with a ticket, once. A repetition of the request with the same key gets the ticket as the first one left it.
    ///
    /// # Errors
    /// [`Missing::Ticket`], [`Refusal::Ticket`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn redeem_ticket(&self, request: Redeem) -> Result<Made<Ticket>, Error> {
        if let Some(gate) = &request.gate {
            check_gate(gate).map_err(Refusal::Ticket)?;
        }
        let Redeemed { ticket, replayed } = ask(&self.redemptions, (), request, deadline()).await?;
        Ok(Made { made: ticket, replayed })
    }

    /// Gives the unit of a valid ticket another code, and makes this one void.
    ///
    /// # Errors
    /// [`Missing::Ticket`], [`Refusal::Ticket`].
    pub async fn reissue_ticket(
        &self,
        operator: &str,
        code: TicketCode,
        key: &TicketKey,
    ) -> Result<Made<Ticket>, Error> {
        let new = TicketCode::mint();
        let reissue = self.database.transaction("tickets.reissue", |tx| {
            async move { reissue(tx, (code, new), (operator, key)).await }.boxed()
        });
        Ok(reissue.await?)
    }

    /// Lists the tickets for an event, in one state or by their states, behind a place.
    ///
    /// # Errors
    /// [`Missing::Event`].
    pub async fn event_tickets(
        &self,
        event_id: i64,
        status: Option<TicketStatus>,
        behind: Option<TicketPlace>,
        limit: u32,
    ) -> Result<TicketPage, Error> {
        let wanted = limit as usize + 1;
        let read = self.database.read("tickets.list_page", |tx| {
            async move {
                let mut found = Vec::new();
                for place in places(status, behind) {
                    if found.len() < wanted {
                        found.extend(tickets::list_page(tx, event_id, place, wanted - found.len()).await?);
                    }
                }
                if found.is_empty() && events::find_terms(tx, event_id).await?.is_none() {
                    return Err(Refusal::Missing(Missing::Event).into());
                }
                Ok(found)
            }
            .boxed()
        });
        let mut items = read.await?;
        let more = items.len() == wanted;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(|ticket| ticket.place);
        Ok(TicketPage { items, next })
    }
}

/// Returns where the states begin that a page may have. A ticket goes from one state to a later one alone, so that a walk misses none.
fn places(status: Option<TicketStatus>, behind: Option<TicketPlace>) -> Vec<TicketPlace> {
    let from = behind.unwrap_or(TicketPlace::before(TicketStatus::Valid));
    let rest = TicketStatus::ALL.iter().skip_while(|&&state| state != from.status);
    let begin = |&state: &TicketStatus| if state == from.status { from } else { TicketPlace::before(state) };
    rest.map(begin).filter(|place| status.is_none_or(|status| place.status == status)).collect()
}

async fn reissue(
    tx: &mut Tx<'_>,
    (old, new): (TicketCode, TicketCode),
    (operator, key): (&str, &TicketKey),
) -> Result<Made<Ticket>, Failure> {
    let replaced = tickets::replace(tx, old).await?;
    let ticket = tickets::find(tx, old).await?.ok_or(Failure::Refused(Refusal::Missing(Missing::Ticket)))?;
    if replaced {
        tickets::insert_again(tx, &ticket, new, (operator, key)).await?;
        let made = tickets::find(tx, new).await?.ok_or(Failure::Raced("tickets/insert_again"))?;
        tell_reissued(tx, &made).await?;
        return Ok(Made { made, replayed: false });
    }
    if ticket.place.status == TicketStatus::Void
        && let Some(made) = tickets::find_next(tx, ticket.place).await?
        && made.issue_key.as_deref() == Some(key)
    {
        wait_for_disk(tx).await?;
        return Ok(Made { made, replayed: !tx.after_unknown() });
    }
    Err(why_not(ticket))
}

/// Tells the feed that a ticket of an order is void, and that another one took its place.
async fn tell_reissued(tx: &mut Tx<'_>, made: &Ticket) -> Result<(), Failure> {
    let TicketPlace { order_id, product_id, .. } = made.place;
    let clients = orders::list_clients(tx, &[order_id]).await?;
    let client_id = clients.first().map_or(0, |&(_, client_id)| client_id);
    tx.tell([FeedType::TicketVoided, FeedType::TicketIssued].map(|kind| {
        let item = FeedItem::new(kind, Audience::Client(client_id)).about_order(order_id).of_product(product_id);
        item.with_tickets(1).because("reissued")
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use TicketStatus::{Redeemed, Valid, Void};

    #[test]
    fn a_page_goes_on_in_the_state_where_the_one_before_it_ended() {
        let at = TicketPlace { unit: 7, ..TicketPlace::before(Redeemed) };
        let states = |status, behind| places(status, behind).iter().map(|place| place.status).collect::<Vec<_>>();
        assert_eq!(states(None, None), [Valid, Redeemed, Void]);
        assert_eq!(places(None, Some(at)), [at, TicketPlace::before(Void)]);
        assert_eq!(states(Some(Void), None), [Void]);
        assert_eq!(places(Some(Redeemed), Some(at)), [at]);
    }
}
