//! Organizers, their events, and what is sold for these. A ticket type is a product: everything that sells products sells it.

pub mod cancellation;
pub mod ending;
pub mod issued;
pub mod reads;
pub mod redemptions;
mod sample;
pub mod seats;
pub mod types;

use std::sync::Arc;

use futures_util::FutureExt as _;
use uuid::Uuid;

use self::reads::EventShown;
use super::error::Error;
use super::patience::{ask, deadline};
use super::state::Checkout;
use crate::db::tables::events;
use crate::db::tables::idempotency_keys::{self, IdempotentRequest, wait_for_disk};
use crate::db::tables::organizers::{self, Organizer};
use crate::db::tables::product_trail::Author;
use crate::db::views::events::{self as views, EventFilter, EventPlace};
use crate::db::{Failure, Tx};
use crate::domain::event::check_organizer;
use crate::domain::{EventDetails, Missing, Refusal, SeatMap};

/// Something that a request made, and whether an earlier request with the same key had made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made<T> {
    /// What was made.
    pub made: T,
    /// Whether it was made before.
    pub replayed: bool,
}

/// One page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// By their start.
    pub items: Vec<EventShown>,
    /// The place behind which the next page begins; `None` on the last page.
    pub next: Option<EventPlace>,
}

impl Checkout {
    /// Creates an organizer.
    ///
    /// # Errors
    /// [`Refusal::InvalidOrganizer`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn create_organizer(
        &self,
        author: &Author,
        name: &str,
        keyed: Option<&IdempotentRequest>,
    ) -> Result<Made<Organizer>, Error> {
        check_organizer(name)?;
        let create = self.database.transaction("organizers.create", |tx| {
            async move {
                let change = change_of(tx, author, keyed).await?;
                if let Some(change_id) = change.known(tx, author)
                    && let Some(made) = organizers::find_by_change(tx, change_id).await?
                {
                    wait_for_disk(tx).await?;
                    return Ok(Made { made, replayed: change.is_copy(author) });
                }
                change.begin(tx, author, keyed).await?;
                let id = organizers::insert(tx, name, author.change_id, &author.actor).await?;
                Ok(Made { made: Organizer { id, name: name.to_owned() }, replayed: false })
            }
            .boxed()
        });
        Ok(create.await?)
    }

    /// Creates an event of an organizer. Returns its id.
    ///
    /// # Errors
    /// [`Refusal::InvalidEvent`], [`Missing::Organizer`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn create_event(
        &self,
        author: &Author,
        event: &EventDetails,
        keyed: Option<&IdempotentRequest>,
    ) -> Result<Made<i64>, Error> {
        event.check()?;
        let create = self.database.transaction("events.create", |tx| {
            async move {
                let change = change_of(tx, author, keyed).await?;
                if let Some(change_id) = change.known(tx, author)
                    && let Some(made) = events::find_by_change(tx, change_id).await?
                {
                    wait_for_disk(tx).await?;
                    return Ok(Made { made, replayed: change.is_copy(author) });
                }
                change.begin(tx, author, keyed).await?;
                if !organizers::exists(tx, event.organizer_id).await? {
                    return Err(Refusal::Missing(Missing::Organizer).into());
                }
                let made = events::insert(tx, event, author.change_id, &author.actor).await?;
                Ok(Made { made, replayed: false })
            }
            .boxed()
        });
        Ok(create.await?)
    }

    /// Returns up to `limit` events behind a place, with their ticket types; one query whatever the limit.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_events(
        &self,
        filter: &EventFilter,
        behind: Option<EventPlace>,
        limit: u32,
    ) -> Result<EventPage, Error> {
        let read = self.database.read("events.list_page", |tx| {
            async move { views::list_page(tx, filter, behind, limit + 1).await }.boxed()
        });
        let mut events = read.await?;
        let more = events.len() > limit as usize;
        events.truncate(limit as usize);
        let place = |event: &views::Event| EventPlace { starts_at: event.details.starts_at, id: event.id };
        let next = events.last().filter(|_| more).map(place);
        Ok(EventPage { items: events.into_iter().map(EventShown::from).collect(), next })
    }

    /// Returns one event with its ticket types, read after the request arrived.
    ///
    /// # Errors
    /// [`Missing::Event`].
    pub async fn event(&self, event_id: i64) -> Result<EventShown, Error> {
        ask(&self.event_reads, (), event_id, deadline()).await
    }

    /// Returns the map of an event's seats, read after the request arrived.
    ///
    /// # Errors
    /// [`Missing::Event`].
    pub async fn seat_map(&self, event_id: i64) -> Result<Arc<SeatMap>, Error> {
        ask(&self.map_reads, event_id, (), deadline()).await
    }
}

/// The id of the change that a request makes, or of the one that an earlier request with its key has made.
#[derive(Debug, Clone, Copy)]
struct Change(Uuid);

/// Finds it.
///
/// # Errors
/// [`Refusal::IdempotencyKeyReuse`] when the earlier request was another one.
async fn change_of(tx: &mut Tx<'_>, author: &Author, keyed: Option<&IdempotentRequest>) -> Result<Change, Failure> {
    let Some(keyed) = keyed else { return Ok(Change(author.change_id)) };
    match idempotency_keys::find(tx, keyed).await? {
        None => Ok(Change(author.change_id)),
        Some(made) if made.fingerprint == keyed.fingerprint => Ok(Change(made.resource_id)),
        Some(_) => Err(Refusal::IdempotencyKeyReuse.into()),
    }
}

impl Change {
    /// Returns whether an earlier request has made it.
    fn is_copy(self, author: &Author) -> bool {
        self.0 != author.change_id
    }

    /// Returns its id, if it may have been made: by an earlier request, or by an earlier attempt of this one.
    fn known(self, tx: &Tx<'_>, author: &Author) -> Option<Uuid> {
        (self.is_copy(author) || tx.after_unknown()).then_some(self.0)
    }

    /// Stores the key of a request that makes something.
    ///
    /// # Errors
    /// [`Failure::Raced`] when another request with the key is faster; [`Failure::Broken`] when another program has removed what an
    /// earlier request had made.
    async fn begin(self, tx: &mut Tx<'_>, author: &Author, keyed: Option<&IdempotentRequest>) -> Result<(), Failure> {
        let Some(keyed) = keyed else { return Ok(()) };
        if self.is_copy(author) {
            return Err(Failure::Broken(format!("what the change {} has made is missing", self.0)));
        }
        match idempotency_keys::insert(tx, keyed, author.change_id).await? {
            true => Ok(()),
            false => Err(Failure::Raced("idempotency_keys")),
        }
    }
}
