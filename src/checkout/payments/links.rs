//! Reports of a provider that spreads one payment over several objects, such as Stripe: a session, an intent, a charge. Only
//! some of them name the order. A report that names both an order and an object links the two. An event that names no order is
//! `unmatched` until one of its objects is linked, and is then applied like any other.
//!
//! A link and an unmatched event may arrive in any sequence, or at once, on two instances. Each side commits its own rows first
//! and looks for the other side's in a second transaction. If a crash prevents the second step, neither side knows of the
//! other, and the sweep finds them.
//!
//! Locks are taken in the order inbox, links, orders.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::{info, warn};

use super::attempt::{copy_of, reload_receipt};
use super::intake::correct_answer;
use super::receipt::{Receipt, record_delivery};
use super::settlement::{Resolved, resolve};
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::checkout::transition;
use crate::db::error::Error as DbError;
use crate::db::tables::payment_events;
use crate::db::tables::payment_links::{self, Link};
use crate::db::tables::{orders, payment_event_deliveries};
use crate::db::{Failure, Tx};
use crate::domain::payment::DeliveryStatus;
use crate::domain::{EventStatus, Meaning, PaymentEvent, Reference, WebhookMode};

/// The effect that a report asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Money was taken, will not be taken, or was given back: the event is applied to its order.
    Settles,
    /// One attempt to pay failed and another may follow: the order's trail shows it, and nothing else changes.
    AttemptFailed,
    /// Objects are linked, and nothing else; the event is not stored.
    Links,
}

/// One delivery of such a provider.
#[derive(Debug, Clone)]
pub struct Report {
    /// The event. Its reference is empty when it names no order or hold of this shop.
    pub event: PaymentEvent,
    /// Whether its reference is only a hint at an order. A hint counts when nothing else is known of the payment and the order
    /// exists.
    pub hint: bool,
    /// The effect that it asks for.
    pub effect: Effect,
    /// The provider's ids of the payment's objects, at least one.
    pub objects: Vec<String>,
}

/// Rows of one page of the sweep.
const PAGE: u32 = 1000;

impl Checkout {
    /// Takes in one delivery. Returns `None` if it only linked objects and was not stored.
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
            // the events that waited for this link are applied already: a success goes before the failure that links it
            Effect::Settles if named => return self.receive_event(event).await.map(Some),
            Effect::Settles => self.receive_unmatched(&event, &objects).await?,
            Effect::AttemptFailed => self.note_attempt(&event, &objects, named).await?,
            Effect::Links if named => return Ok(None),
            Effect::Links => {
                self.adopt(&event, &objects).await?;
                return Ok(None);
            }
        };
        record_delivery(receipt, arrived);
        Ok(Some(receipt))
    }

    /// Returns whether the hint of an event counts: the payment is linked to this order, or it has no link and the order
    /// exists.
    async fn hint_counts(&self, event: &PaymentEvent, objects: &[Vec<u8>]) -> Result<bool, DbError> {
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

    /// Finds unmatched events of which an object is linked by now, or whose hint names an order that exists by now: a crash
    /// kept both sides from looking. One call reads one page and keeps its place. Returns whether there may be more.
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
        // a full page may end within an event; the next page begins with that event
        let next = page.last().filter(|_| more).map_or(0, |&(event_id, _)| (event_id - 1).max(after + 1));
        self.unmatched_swept.store(next, Ordering::Relaxed);
        let mut known: Vec<i64> = page.into_iter().filter(|&(_, known)| known).map(|(event_id, _)| event_id).collect();
        known.dedup();
        self.match_all(known).await;
        Ok(more)
    }

    /// Links the objects of an event to the order or hold that it names, and applies the events that waited for the link.
    async fn link(&self, event: &PaymentEvent, objects: &[Vec<u8>]) -> Result<(), DbError> {
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

    /// Does the same for an event that names no order, if one of its objects is linked.
    async fn adopt(&self, event: &PaymentEvent, objects: &[Vec<u8>]) -> Result<(), DbError> {
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

    /// Applies the unmatched events that name these objects.
    async fn match_waiting(&self, provider: &[u8], objects: &[Vec<u8>]) {
        let waiting = self.list_waiting(provider, objects).await;
        self.match_all(waiting).await;
    }

    /// Lists unmatched events that name these objects, a hundred at most. The sweep finds further ones, and all of them if they
    /// cannot be read now.
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

    /// Matches these events where possible, and in turn the events that wait for their objects; then applies them. All are
    /// matched before the first is applied, and successes are applied first, so that no failure or refund goes before its
    /// success. An event that cannot be matched keeps no other one waiting.
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
                WebhookMode::Apply => self.process_event(event_id).await,
                WebhookMode::Queue => self.event_queued.notify_one(),
            }
        }
    }

    /// Gives an unmatched event the order or hold that one of its objects is linked to, or else the order of its hint, and
    /// links its other objects. Returns `None` if neither is known, or another transaction was first.
    async fn match_event(&self, event_id: i64) -> Result<Option<Matched>, DbError> {
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
                    // the object that names the payment may be another name of a known charge
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
            info!(event_id, "an unmatched payment event is now linked to an order");
        }
        Ok(matched)
    }

    /// Takes in an event that names no order or hold of this shop: it waits, unless one of its objects is linked. A hint at an
    /// order that does not exist yet is stored with it.
    async fn receive_unmatched(&self, event: &PaymentEvent, objects: &[Vec<u8>]) -> Result<Receipt, DbError> {
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
        // The event is committed: it finds a link that was committed before, and a later link finds the event.
        self.match_all(vec![receipt.event_id]).await;
        // the event is durable, whether or not it can be read again now
        let answered = reload_receipt(&self.database, receipt).await.unwrap_or(receipt);
        if !answered.duplicate && answered.status != EventStatus::Unmatched {
            correct_answer(&self.database, &answered).await;
        }
        Ok(answered)
    }

    /// Stores a failed attempt to pay, and shows it in the trail of its order while that is pending.
    async fn note_attempt(&self, event: &PaymentEvent, objects: &[Vec<u8>], named: bool) -> Result<Receipt, DbError> {
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
                    if let Resolved::Order(order) = order {
                        transition::note_failed_attempt(tx, &order, event_id).await?;
                    }
                    Ok(Receipt { event_id, status, duplicate: false, order_status })
                }
                .boxed()
            })
            .await
    }
}

/// An event that was just matched.
struct Matched {
    /// Of events that are matched together, those with a lower turn are applied first.
    turn: u8,
    provider: Vec<u8>,
    objects: Vec<Vec<u8>>,
}

/// Returns the turn of an event: successes come first, refunds last.
fn turn(meaning: Meaning) -> u8 {
    match meaning {
        Meaning::Succeeded => 0,
        Meaning::Failed => 1,
        Meaning::Refunded => 2,
    }
}

/// Returns the order or hold that an event names, or else the one that its objects are linked to.
async fn reference_of(
    tx: &mut Tx<'_>,
    event: &PaymentEvent,
    objects: &[Vec<u8>],
    named: bool,
) -> Result<Reference, Failure> {
    if named {
        return Ok(event.reference);
    }
    let known = payment_links::list_known(tx, event.provider.as_bytes(), objects).await?;
    let nothing = Reference { order_id: None, hold_id: None };
    Ok(link_of(&known, charge_name(event)).map_or(nothing, |link| link.reference))
}

/// Returns whether the order of a hint exists.
async fn hinted(tx: &mut Tx<'_>, reference: Reference) -> Result<bool, Failure> {
    match reference.order_id {
        Some(order_id) => Ok(orders::find(tx, order_id).await?.is_some()),
        None => Ok(false),
    }
}

/// Returns the link of the object that names the payment, or else of any other object.
fn link_of<'a>(known: &'a [Link], charge_name: &[u8]) -> Option<&'a Link> {
    let own = known.iter().find(|link| link.object_id == charge_name);
    own.or_else(|| known.iter().min_by(|one, other| one.object_id.cmp(&other.object_id)))
}

/// Returns the name of the event's payment among the charges.
fn charge_name(event: &PaymentEvent) -> &[u8] {
    event.txn_id.as_deref().unwrap_or_default().as_bytes()
}
