//! A packet that redeems a batch of tickets, and reads what they are then.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{BOUND, Packet, exactly};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::at_most;
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::tables::tickets::{self, Redeem, Ticket};
use crate::domain::{Audience, FeedItem, FeedType, TicketCode, TicketStatus};

/// The statement that redeems.
const REDEEM: &str = "tickets/redeem";
/// What one request adds to the packet at most, in bytes, without the names of its gate and of its client.
const ROW_BYTES: usize = 320;

/// Returns how many bytes a request adds to the packet, at most: its texts are written as hex.
pub fn row_bytes(request: &Redeem) -> usize {
    ROW_BYTES + 2 * (request.redeemed_by.len() + request.gate.as_ref().map_or(0, String::len))
}

/// What a request has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its ticket, as it is now.
    pub ticket: Ticket,
    /// Whether the request itself has redeemed it, or an earlier attempt of it whose COMMIT was not answered.
    pub is_first: bool,
}

/// A batch of redemptions. Of several requests for one ticket, the first may redeem it.
#[derive(Debug)]
pub struct RedeemTickets<'a> {
    /// In order of arrival.
    requests: Vec<&'a Redeem>,
    /// The first request for each ticket.
    first: BTreeMap<TicketCode, &'a Redeem>,
    /// Tickets that the first request for them had redeemed before, as a read has shown.
    known: HashSet<TicketCode>,
    is_bounded: bool,
}

impl<'a> RedeemTickets<'a> {
    /// Creates the packet of these requests, in order of arrival. `known`: their tickets as they were read before, if they were. A
    /// packet that `is_bounded` waits for a locked row for a short time only.
    pub fn new(requests: impl IntoIterator<Item = &'a Redeem>, known: &[Ticket], is_bounded: bool) -> Self {
        let requests: Vec<&Redeem> = requests.into_iter().collect();
        let mut first = BTreeMap::new();
        for &request in &requests {
            first.entry(request.code).or_insert(request);
        }
        let known = redeemed_by(&first, known);
        Self { requests, first, known, is_bounded }
    }

    /// Returns the tickets that this transaction has redeemed, or an earlier attempt of it; `changed` is how many this attempt has.
    ///
    /// # Errors
    /// [`Failure::Stale`] when it cannot be told which ones were redeemed before. The changed tickets are among those that now show
    /// their request and were not known to: if these are as many, they are the same.
    fn redeemed_now(
        &self,
        tickets: &[Ticket],
        changed: usize,
        after_unknown: bool,
    ) -> Result<HashSet<TicketCode>, Failure> {
        let own = redeemed_by(&self.first, tickets);
        let new: HashSet<TicketCode> = own.difference(&self.known).copied().collect();
        match changed {
            _ if changed == new.len() || after_unknown && changed == 0 => Ok(new),
            0 => Ok(HashSet::new()),
            // another request redeemed some of them after the earlier attempt
            _ if after_unknown => Err(Failure::Abandoned(REDEEM)),
            _ => Err(Failure::Stale(REDEEM)),
        }
    }

    async fn redeem(&self, tx: &mut Tx<'_>) -> Result<Vec<Option<Found>>, Failure> {
        let statements = [tickets::redeem_all(&self.first), tickets::list_all_by_code(self.first.keys())];
        let [redeemed, listed] = exactly(tx.packet(&statements).await?)?;
        let tickets = tickets::read_rows(&listed.rows)?;
        if tickets.iter().any(|ticket| ticket.place.status == TicketStatus::Valid) {
            // it was inserted between the two statements
            return Err(Failure::Raced(REDEEM));
        }
        let changed = at_most(REDEEM, redeemed.affected, self.first.len())?;
        let mut now = self.redeemed_now(&tickets, changed, tx.after_unknown())?;
        if changed > 0 {
            // else an earlier attempt has told
            let clients = tickets::read_clients(&listed.rows)?;
            tx.tell(tickets.iter().filter(|ticket| now.contains(&ticket.code)).map(|ticket| told(ticket, &clients)));
        }
        let tickets: HashMap<TicketCode, Ticket> = tickets.into_iter().map(|ticket| (ticket.code, ticket)).collect();
        let found = |request: &&Redeem| {
            let ticket = tickets.get(&request.code)?.clone();
            // the next requests for this ticket are not the first
            Some(Found { ticket, is_first: now.remove(&request.code) })
        };
        let found: Vec<Option<Found>> = self.requests.iter().map(found).collect();
        let mut answers = self.requests.iter().zip(&found);
        let admits =
            answers.any(|(request, found)| matches!(found, Some(found) if request.has_redeemed(&found.ticket)));
        if admits && changed == 0 {
            wait_for_disk(tx).await?;
        }
        Ok(found)
    }
}

/// Returns what the feed is told of a ticket.
fn told(ticket: &Ticket, clients: &HashMap<Uuid, i64>) -> FeedItem {
    let client_id = clients.get(&ticket.place.order_id).copied().unwrap_or(0);
    let redeemed = FeedItem::new(FeedType::TicketRedeemed, Audience::Client(client_id));
    redeemed.about_order(ticket.place.order_id).of_product(ticket.place.product_id)
}

/// Returns which of these tickets the first request for them has redeemed.
fn redeemed_by(first: &BTreeMap<TicketCode, &Redeem>, tickets: &[Ticket]) -> HashSet<TicketCode> {
    let is_own = |ticket: &&Ticket| first.get(&ticket.code).is_some_and(|request| request.has_redeemed(ticket));
    tickets.iter().filter(is_own).map(|ticket| ticket.code).collect()
}

impl Packet for RedeemTickets<'_> {
    /// One for each request, in their order; `None` where no ticket has the code.
    type Outcome = Vec<Option<Found>>;

    fn bound(&self) -> Option<Duration> {
        self.is_bounded.then_some(BOUND)
    }

    fn exchange<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Outcome, Failure>> {
        self.redeem(tx).boxed()
    }

    /// Finds nothing: after an attempt that took effect, the exchange changes nothing and reads the same tickets.
    fn find_own<'a>(&'a self, _tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<Self::Outcome>, Failure>> {
        async { Ok(None) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: usize) -> Redeem {
        let text = format!("{number:064}");
        Redeem { code: TicketCode::mint(), gate: Some(text.clone()), redeemed_by: text, key: rand::random() }
    }

    #[test]
    fn a_redemption_adds_no_more_bytes_than_its_bound() {
        let requests: Vec<Redeem> = (0..101).map(request).collect();
        let length = |count: usize| {
            let packet = RedeemTickets::new(&requests[..count], &[], true);
            tickets::redeem_all(&packet.first).len() + tickets::list_all_by_code(packet.first.keys()).len()
        };
        let bytes = length(101) - length(1);
        assert!(bytes <= 100 * row_bytes(&requests[0]), "{} bytes each", bytes / 100);
    }
}
