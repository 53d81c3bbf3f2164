//! Packets: transactions whose statements travel in one round trip. A packet owns its statements, reads their replies, and
//! finds its own rows after a COMMIT whose response was lost.

pub mod counters;
pub mod keys;
pub mod number_feed;
pub mod pay_orders;
pub mod place_orders;
pub mod redeem_tickets;
pub mod seat_cart;
pub mod take_carts;
pub mod take_holds;
pub mod take_seats;
pub mod tell_products;

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use uuid::Uuid;

use super::door::{Database, Reply, Tx};
use super::error::{Error, Failure, raced};
use super::tables::idempotency_keys::wait_for_disk;
use super::tables::orders;
use crate::domain::FeedItem;

/// How long the statements of a batch may wait for locked rows: the batch must be given up while its clients still wait, since
/// its jobs then run alone.
const BOUND: Duration = Duration::from_millis(1500);

/// A packet whose statements travel in one round trip.
pub trait OneTrip: Packet {
    /// Returns the statements, in the order of the locks.
    fn statements(&self) -> Vec<String>;

    /// Reads the replies to [`OneTrip::statements`], one each.
    ///
    /// # Errors
    /// Those of [`Packet::exchange`].
    fn read(&self, replies: Vec<Reply>) -> Result<Self::Outcome, Failure>;

    /// Returns what the feed is told with the COMMIT.
    fn told(&self, _outcome: &Self::Outcome) -> Vec<FeedItem> {
        Vec::new()
    }
}

/// Sends the statements of a packet together.
async fn one_trip<P: OneTrip>(packet: &P, tx: &mut Tx<'_>) -> Result<P::Outcome, Failure> {
    let outcome = packet.read(tx.packet(&packet.statements()).await?)?;
    tx.tell(packet.told(&outcome));
    Ok(outcome)
}

/// Statements of one transaction that travel together.
pub trait Packet: Sync {
    /// What the replies say.
    type Outcome: Send;

    /// Returns how long the statements may take before the COMMIT, if not as long as any transaction. A batch whose rows are
    /// independent gives up early when another client keeps one of them locked: otherwise it would hold up all others for
    /// longer than their clients wait. After a COMMIT without an answer there is no bound: then the locked rows may be those of
    /// that attempt, and only the next one finds out.
    fn bound(&self) -> Option<Duration> {
        None
    }

    /// Sends the statements, in the order of the locks, and reads their replies.
    ///
    /// # Errors
    /// [`Failure::Stale`] when something that was read before has changed, or an earlier attempt of this very packet is still
    /// being committed; [`Failure::Changed`] when it can only be the former.
    fn exchange<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Outcome, Failure>>;

    /// Returns the read of its orders that an event has changed or waits for, by their ids or those of their holds
    /// ([`orders::list_touched`]). It travels with the COMMIT, and sees what is committed by then. `known`: an earlier attempt
    /// may have been committed, so that others may know what it wrote.
    fn list_touched(&self, _known: bool) -> Option<String> {
        None
    }

    /// Finds the rows of an earlier attempt whose COMMIT may have taken effect; `None` if it has not.
    fn find_own<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<Self::Outcome>, Failure>>;
}

/// Runs a packet as one transaction.
///
/// # Errors
/// [`Error::Stale`] when something that was read before has changed; [`Error::Abandoned`] when a row stayed locked for longer
/// than [`Packet::bound`], and nothing was changed; else as every transaction.
pub async fn send<P: Packet>(database: &Database, name: &'static str, packet: &P) -> Result<P::Outcome, Error> {
    Ok(send_and_look(database, name, packet).await?.0)
}

/// As [`send`]. Returns the orders of [`Packet::list_touched`] as well; `None` when the server could not read them.
///
/// # Errors
/// As [`send`].
pub async fn send_and_look<P: Packet>(
    database: &Database,
    name: &'static str,
    packet: &P,
) -> Result<(P::Outcome, Option<HashSet<Uuid>>), Error> {
    let (outcome, rows) = database
        .transaction_and_look(name, |tx| {
            async move {
                if let Some(look) = packet.list_touched(tx.after_unknown()) {
                    tx.look_after_commit(look);
                }
                if tx.after_unknown()
                    && let Some(outcome) = packet.find_own(tx).await?
                {
                    wait_for_disk(tx).await?;
                    return Ok(outcome);
                }
                let bound = packet.bound().filter(|_| !tx.after_unknown());
                let outcome = match bound {
                    Some(bound) => timeout(bound, packet.exchange(tx)).await.unwrap_or(Err(LOCKED)),
                    None => packet.exchange(tx).await,
                };
                let outcome = match tx.after_unknown() {
                    // the COMMIT of the earlier attempt took effect after the look for its rows
                    true => outcome.map_err(|failure| raced(failure, "an earlier attempt")),
                    false => outcome,
                };
                outcome.map_err(|failure| match failure {
                    Failure::Stale(what) => tx.stale(what),
                    Failure::CountersOver(_) if tx.after_unknown() => tx.stale("buyer_units/list_over"),
                    other => other,
                })
            }
            .boxed()
        })
        .await?;
    Ok((outcome, rows.and_then(orders::read_touched)))
}

/// A row of the packet stays locked.
const LOCKED: Failure = Failure::Abandoned("a row of the batch stays locked");

/// Takes the replies to `N` statements.
fn exactly<const N: usize>(replies: Vec<Reply>) -> Result<[Reply; N], Failure> {
    <[Reply; N]>::try_from(replies)
        .map_err(|replies| Failure::Broken(format!("{} replies to a packet of {N} statements", replies.len())))
}
