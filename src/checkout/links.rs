//! Reports of a provider that spreads one payment over several objects, such as Stripe: a session, an intent, a charge.
//! Only some of them name the order. Whatever names both an order and an object links the two; an event that names no
//! order is `unmatched` until one of its objects is linked, and is then applied like any other.
//!
//! A link and an unmatched event may arrive in either order, or at once, on two instances. Each side commits its own rows
//! first and looks for the other side's in a second transaction. A crash between the two steps leaves both sides committed
//! and unaware of each other: the sweep finds them.
//!
//! Locks are taken in the order inbox, links, orders.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::{info, warn};

use super::payments::{Receipt, copy_of, correct_answer, look_again, record_delivery};
use super::settlement::{Resolved, resolve};
use super::{Checkout, Error};
use crate::db::order_events::{self, Reason, Transition};
use crate::db::payment_events;
use crate::db::payment_links::{self, Link};
use crate::db::{Failure, Tx, orders, payment_event_deliveries};
use crate::domain::payment::DeliveryStatus;
use crate::domain::{Event, EventStatus, Meaning, OrderStatus, Reference, WebhookMode};

/// What a report asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Money came, will not come, or went back: the event is applied to its order.
    Settles,
    /// One attempt to pay failed and another may follow: the order's trail shows it, and nothing else changes.
    AttemptFailed,
    /// Nothing but which objects belong together; the event is not kept.
    Links,
}

/// One delivery of such a provider.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was delivered. Its reference is empty where it names no order or hold of this shop.
    pub event: Event,
    /// Its reference is an order's id only perhaps: it counts where nothing else is known of the payment, once there is such an
    /// order.
    pub hint: bool,
    /// What it asks for.
    pub effect: Effect,
    /// The provider's ids of the payment's objects, at least one.
    pub objects: Vec<String>,
}

/// Rows of one page of the sweep.
const PAGE: u32 = 1000;

impl Checkout {
    /// Takes in one delivery. `None`: it only linked objects, and nothing was kept of it.
    ///
    /// # Errors
    /// As [`Checkout::receive_event`].
    pub async fn receive_report(&self, report: Report) -> Result<Option<Receipt>, Error> {
        let arrived = Instant::now();
        let Report { event, hint, effect, objects } = report;
        let objects: Vec<Vec<u8>> = objects.into_iter().map(String::into_bytes).collect();
        let named = event.reference.is_some() && (!hint || self.hint_counts(&event, &objects).await?);
        if named {
            self.link(&event, &objects).await?;
        }
        let receipt = match effect {
            // what waited for this link was applied before: a success goes before the failure that links it
            Effect::Settles if named => return self.receive_event(event).await.map(Some),
            Effect::Settles => self.receive_unmatched(&event, &objects).await?,
            Effect::AttemptFailed => self.note_attempt(&event, &objects, named).await?,
            Effect::Links if named => return Ok(None),
            Effect::Links => return self.adopt(&event, &objects).await.map(|()| None),
        };
        record_delivery(receipt, arrived);
        Ok(Some(receipt))
    }

    /// Whether there is an order that an event hints at, and nothing tells that the payment is for another one.
    async fn hint_counts(&self, event: &Event, objects: &[Vec<u8>]) -> Result<bool, Error> {
        let found = self.database.read("payments.find_hinted", |tx| {
            async move {
                let known = payment_links::list_known(tx, event.provider.as_bytes(), objects).await?;
                match link_of(&known, charge_name(event)) {
                    Some(link) => Ok(link.reference.order_id == event.reference.order_id),
                    None => hinted(tx, event.reference).await,
                }
            }
            .boxed()
        });
        found.await
    }

    /// Finds unmatched events of which an object is linked, or that hint at an order that was made meanwhile: a crash kept both sides from looking. One call looks at one
    /// page and keeps its place. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn sweep_unmatched(&self) -> Result<bool, Error> {
        let after = self.unmatched_swept.load(Ordering::Relaxed);
        let page = self
            .database
            .read("payments.list_unmatched", |tx| {
                async move { payment_links::list_page(tx, after, PAGE).await }.boxed()
            })
            .await?;
        let more = page.len() == PAGE as usize;
        // a full page may end within an event, which begins the next page then
        let next = page.last().filter(|_| more).map_or(0, |&(event_id, _)| (event_id - 1).max(after + 1));
        self.unmatched_swept.store(next, Ordering::Relaxed);
        let mut known: Vec<i64> = page.into_iter().filter(|&(_, known)| known).map(|(event_id, _)| event_id).collect();
        known.dedup();
        self.match_all(known).await;
        Ok(more)
    }

    /// Links the objects of an event to the order or hold that it names, and applies what waited for that.
    async fn link(&self, event: &Event, objects: &[Vec<u8>]) -> Result<(), Error> {
        let (provider, reference) = (event.provider.as_bytes(), event.reference);
        let charge_name = charge_name(event);
        self.database
            .transaction("payments.link", |tx| {
                async move { payment_links::insert(tx, provider, objects, charge_name, reference).await }.boxed()
            })
            .await?;
        self.match_waiting(provider, objects).await;
        Ok(())
    }

    /// The same for an event that names no order itself, as far as one of its objects is known.
    async fn adopt(&self, event: &Event, objects: &[Vec<u8>]) -> Result<(), Error> {
        let provider = event.provider.as_bytes();
        let charge_name = charge_name(event);
        let linked = self
            .database
            .transaction("payments.adopt", |tx| {
                async move {
                    let known = payment_links::list_known(tx, provider, objects).await?;
                    let Some(link) = link_of(&known, charge_name) else { return Ok(false) };
                    payment_links::insert(tx, provider, objects, charge_name, link.reference).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await?;
        if linked {
            self.match_waiting(provider, objects).await;
        }
        Ok(())
    }

    /// Applies the unmatched events that speak of these objects.
    async fn match_waiting(&self, provider: &[u8], objects: &[Vec<u8>]) {
        let waiting = self.list_waiting(provider, objects).await;
        self.match_all(waiting).await;
    }

    /// Unmatched events that speak of these objects, up to a hundred: the sweep finds more. Where they cannot be read now, the sweep finds them.
    async fn list_waiting(&self, provider: &[u8], objects: &[Vec<u8>]) -> Vec<i64> {
        let waiting = self
            .database
            .read("payments.list_unmatched_of", |tx| {
                async move { payment_links::list_waiting(tx, provider, objects).await }.boxed()
            })
            .await;
        waiting.unwrap_or_else(|error| {
            warn!(%error, "could not look for unmatched payment events; the sweep will find them");
            Vec::new()
        })
    }

    /// Matches those of these events that can be, and those that wait for their objects in turn; then applies them. All
    /// are matched before the first is applied, and successes are applied first, so that no failure or refund goes before
    /// its success. An event that cannot be matched keeps no other one waiting.
    async fn match_all(&self, mut event_ids: Vec<i64>) {
        let mut matched = Vec::new();
        while !event_ids.is_empty() {
            let mut next = Vec::new();
            for event_id in event_ids {
                match self.match_event(event_id).await {
                    Ok(Some(Matched { turn, provider, objects })) => {
                        matched.push((turn, event_id));
                        next.extend(self.list_waiting(&provider, &objects).await);
                    }
                    Ok(None) => {}
                    Err(error) => warn!(event_id, %error, "an unmatched payment event could not be matched"),
                }
            }
            event_ids = next;
        }
        matched.sort_unstable();
        for (_, event_id) in matched {
            match self.policy.webhook_mode {
                WebhookMode::Apply => self.work_off(event_id).await,
                WebhookMode::Queue => self.event_queued.notify_one(),
            }
        }
    }

    /// Gives an unmatched event the order or hold that one of its objects belongs to, and links its other objects. `None`
    /// when nothing is known of them, or another transaction was first.
    async fn match_event(&self, event_id: i64) -> Result<Option<Matched>, Error> {
        let park_seconds = self.policy.park_seconds;
        let matched = self
            .database
            .transaction("payments.match", |tx| {
                async move {
                    let found = payment_links::list_of_event(tx, event_id).await?;
                    let Some((provider, _)) = found.first().cloned() else { return Ok(None) };
                    let objects: Vec<Vec<u8>> = found.into_iter().map(|(_, object)| object).collect();
                    let known = payment_links::list_known(tx, &provider, &objects).await?;
                    let Some(event) = payment_events::find(tx, event_id).await? else { return Ok(None) };
                    let own_name = event.txn_id.unwrap_or_default();
                    let hint =
                        Link { object_id: own_name.clone(), charge_name: own_name.clone(), reference: event.reference };
                    let link = match link_of(&known, &own_name) {
                        Some(link) => link,
                        None if hinted(tx, event.reference).await? => &hint,
                        None => return Ok(None),
                    };
                    // the object that names the payment may be another name of a charge that is known
                    let charge_name = if link.object_id == own_name { &link.charge_name } else { &own_name };
                    if !payment_events::match_to(tx, event_id, link.reference, charge_name, park_seconds).await? {
                        return Ok(None);
                    }
                    payment_links::insert(tx, &provider, &objects, charge_name, link.reference).await?;
                    payment_links::delete_unmatched(tx, event_id).await?;
                    Ok(Some(Matched { turn: turn(event.meaning), provider, objects }))
                }
                .boxed()
            })
            .await?;
        if matched.is_some() {
            info!(event_id, "an unmatched payment event is linked to an order now");
        }
        Ok(matched)
    }

    /// Takes in an event that names no order or hold of this shop: it waits, unless one of its objects is known. A hint at an
    /// order that is not there yet is kept with it.
    async fn receive_unmatched(&self, event: &Event, objects: &[Vec<u8>]) -> Result<Receipt, Error> {
        let receipt = self
            .database
            .transaction("payments.receive_unmatched", |tx| {
                async move {
                    let status = EventStatus::Unmatched;
                    let Some(event_id) = payment_events::insert_settled(tx, event, event.reference, status).await?
                    else {
                        return copy_of(tx, event).await;
                    };
                    payment_links::insert_unmatched(tx, event.provider.as_bytes(), objects, event_id).await?;
                    payment_event_deliveries::insert(tx, event_id, DeliveryStatus::Unmatched).await?;
                    Ok(Receipt { event_id, status, duplicate: false, order_status: None })
                }
                .boxed()
            })
            .await?;
        if receipt.status != EventStatus::Unmatched {
            return Ok(receipt);
        }
        // The event is committed: a link that was committed before is seen now, and a later one sees the event.
        self.match_all(vec![receipt.event_id]).await;
        // it is durable, whether or not it can be read again now
        let answered = look_again(&self.database, receipt).await.unwrap_or(receipt);
        if !answered.duplicate && answered.status != EventStatus::Unmatched {
            correct_answer(&self.database, &answered).await;
        }
        Ok(answered)
    }

    /// Keeps a failed attempt to pay, and shows it in the trail of its order while that is pending.
    async fn note_attempt(&self, event: &Event, objects: &[Vec<u8>], named: bool) -> Result<Receipt, Error> {
        self.database
            .transaction("payments.note_attempt", |tx| {
                async move {
                    let reference = reference_of(tx, event, objects, named).await?;
                    let status = EventStatus::Ignored;
                    let Some(event_id) = payment_events::insert_settled(tx, event, reference, status).await? else {
                        return copy_of(tx, event).await;
                    };
                    payment_event_deliveries::insert(tx, event_id, DeliveryStatus::Ignored).await?;
                    let order = resolve(tx, reference).await?;
                    let order_status = order.status();
                    if let Resolved::Order(order) = order
                        && orders::count_failed_attempt(tx, order.id).await?
                    {
                        let transition = Transition {
                            order_id: order.id,
                            from: Some(OrderStatus::Pending),
                            to: OrderStatus::Pending,
                            reason: Reason::PaymentAttemptFailed,
                        };
                        order_events::insert_for_payment(tx, transition, event_id).await?;
                    }
                    Ok(Receipt { event_id, status, duplicate: false, order_status })
                }
                .boxed()
            })
            .await
    }
}

/// An event that was unmatched.
struct Matched {
    /// When it is applied among those that are matched together.
    turn: u8,
    provider: Vec<u8>,
    objects: Vec<Vec<u8>>,
}

/// Successes are applied first, refunds last.
fn turn(meaning: Meaning) -> u8 {
    match meaning {
        Meaning::Succeeded => 0,
        Meaning::Failed => 1,
        Meaning::Refunded => 2,
    }
}

/// The order or hold that an event names, or that one of its objects is known to belong to.
async fn reference_of(tx: &mut Tx<'_>, event: &Event, objects: &[Vec<u8>], named: bool) -> Result<Reference, Failure> {
    if named {
        return Ok(event.reference);
    }
    let known = payment_links::list_known(tx, event.provider.as_bytes(), objects).await?;
    let nothing = Reference { order_id: None, hold_id: None };
    Ok(link_of(&known, charge_name(event)).map_or(nothing, |link| link.reference))
}

/// Whether there is an order that an event only hints at.
async fn hinted(tx: &mut Tx<'_>, reference: Reference) -> Result<bool, Failure> {
    match reference.order_id {
        Some(order_id) => Ok(orders::find(tx, order_id).await?.is_some()),
        None => Ok(false),
    }
}

/// What is known of the object that names the payment, or else of any other.
fn link_of<'a>(known: &'a [Link], charge_name: &[u8]) -> Option<&'a Link> {
    let own = known.iter().find(|link| link.object_id == charge_name);
    own.or_else(|| known.iter().min_by(|one, other| one.object_id.cmp(&other.object_id)))
}

/// What the payment of an event is called in the charges.
fn charge_name(event: &Event) -> &[u8] {
    event.txn_id.as_deref().unwrap_or_default().as_bytes()
}
