//! Reads of events and of their seat maps, in rounds as those of products: a round starts after all its requests arrived, and reads
//! with one statement.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::batch::{Attempt, JobOf, Turn, Work};
use crate::checkout::products::reads::Shown;
use crate::db::door::Database;
use crate::db::error::{Error, Failure};
use crate::db::share::Share;
use crate::db::tables::seats;
use crate::db::views::events::{self, Event};
use crate::domain::event::best_of;
use crate::domain::{Missing, Refusal, Sale, SaleStatus, SeatMap, Ticket, TicketKind};

/// An event, and whether its ticket types can be held now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventShown {
    /// The event, without its ticket types.
    pub event: Event,
    /// Its ticket types, by id.
    pub types: Vec<Shown>,
    /// What a buyer is told about its sale.
    pub sale_status: SaleStatus,
}

impl From<Event> for EventShown {
    fn from(mut event: Event) -> Self {
        let show = |(product, next): (crate::db::tables::products::Product, Option<_>)| {
            let sale_status = product.details.sale.told(product.server_time, product.available, next.is_some());
            let next_return_at = next.filter(|_| sale_status == SaleStatus::AllHeld);
            Shown { product, sale_status, next_return_at }
        };
        let types: Vec<Shown> = std::mem::take(&mut event.types).into_iter().map(show).collect();
        // without ticket types, nothing is left
        let ticket = Ticket {
            event_id: Some(event.id),
            kind: TicketKind::Admission,
            sale_starts_at: event.details.sale_starts_at,
            sale_ends_at: event.details.sale_ends_at,
            max_per_buyer: event.details.max_per_buyer,
            cancelled_at: event.cancelled_at,
        };
        let own = Sale { ticket: Some(ticket), ..Sale::default() }.told(event.server_time, 0, false);
        let sale_status = match own {
            // cancelled, or over
            SaleStatus::Ended | SaleStatus::Cancelled => own,
            _ => best_of(types.iter().map(|shown| shown.sale_status), own),
        };
        Self { event, types, sale_status }
    }
}

/// Reads single events, by id.
pub(crate) struct EventReads {
    pub(crate) database: Database,
}

impl Work for EventReads {
    type Key = ();
    type Request = i64;
    type Response = Result<EventShown, Error>;

    async fn attempt(&self, (): (), jobs: Vec<JobOf<Self>>, _: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        let ids: BTreeSet<i64> = jobs.iter().map(|job| job.request).collect();
        let ids = &ids;
        let database = self.database.share(Share::of_batch(jobs.len()));
        let found =
            database.read("events.list_some", |tx| async move { events::list_some(tx, ids).await }.boxed()).await;
        let found = found.map(|events| {
            let shown = events.into_iter().map(|event| (event.id, EventShown::from(event)));
            shown.collect::<HashMap<_, _>>()
        });
        for job in jobs {
            let event = match &found {
                Ok(events) => events.get(&job.request).cloned().ok_or(Refusal::Missing(Missing::Event).into()),
                Err(error) => Err(error.clone()),
            };
            job.answer(event);
        }
        Attempt::done(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

/// Reads maps of seats; each event has rounds of its own, and all requests of a round share one text.
pub(crate) struct MapReads {
    pub(crate) database: Database,
}

impl Work for MapReads {
    type Key = i64;
    type Request = ();
    type Response = Result<Arc<SeatMap>, Error>;

    async fn attempt(&self, event_id: i64, jobs: Vec<JobOf<Self>>, _: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        let database = self.database.share(Share::of_batch(jobs.len()));
        let map = read_map(&database, event_id).await;
        for job in jobs {
            job.answer(map.clone());
        }
        Attempt::done(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

async fn read_map(database: &Database, event_id: i64) -> Result<Arc<SeatMap>, Error> {
    let read = database.read("seats.list_map", |tx| {
        async move {
            let types = seats::list_map(tx, event_id).await?;
            types.ok_or(Failure::Refused(Refusal::Missing(Missing::Event)))
        }
        .boxed()
    });
    let mut types = read.await?;
    // on a thread where no other request waits: a large map takes some milliseconds
    let written = tokio::task::spawn_blocking(move || SeatMap::write(event_id, &mut types)).await;
    written.map(Arc::new).map_err(|error| Error::Broken(format!("a map of seats was not written: {error}")))
}
