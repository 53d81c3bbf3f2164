//! The inbox of payment events as workers and operators see it: what is tried again, what is given up, what is replayed.

use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Checkout;
use super::horizon::SLACK;
use super::payments::{Receipt, Way, apply_waiting, look_again, settle, wake_others_of};
use super::settlement::{Resolved, resolve};
use crate::db::audit;
use crate::db::due::{Place, Window};
use crate::db::payment_event_trail::{self, Action};
use crate::db::payment_events::{self, Due, Stored};
use crate::db::{Error, Failure, Tx};
use crate::domain::payment::is_positive;
use crate::domain::retry::{ATTEMPTS, pause_after};
use crate::domain::{EventStatus, Meaning, Named as _, Refusal};
use crate::telemetry;

/// Events that one step takes at most.
const BATCH: u32 = 100;
/// Events that a step has under way at the same time.
const AT_ONCE: usize = 4;

impl Checkout {
    /// Applies received events that are due for it, and gives up parked ones that have waited as long as one may. One that
    /// cannot be applied never keeps others waiting. Returns whether there may be more.
    ///
    /// # Errors
    /// As every read.
    pub async fn work_off_inbox(&self) -> Result<bool, Error> {
        let mut horizon = self.due_events.lock().await;
        let window = Window { after: horizon.place(), age: Duration::ZERO, limit: BATCH };
        let worked = self.work_off_page(window).await;
        if horizon.is_unknown() && matches!(worked, Err(Error::Unavailable(_))) {
            let read = self.database.read("payments.find_time", |tx| audit::find_time(tx).boxed());
            horizon.skip_to(read.await?);
        }
        let (read_at, found, settled) = worked?;
        // what is still due stays in front of the horizon
        if found == settled && found < BATCH as usize {
            horizon.record(read_at, None);
        }
        Ok(found == BATCH as usize && settled > 0)
    }

    /// The same for a page of events that are due behind the horizon. Returns how many got their outcome.
    pub(super) async fn work_off_stragglers(&self) -> Result<usize, Error> {
        if self.due_events.lock().await.is_unknown() {
            return Ok(0);
        }
        let window = Window { after: Place::first(), age: SLACK, limit: BATCH };
        self.work_off_page(window).await.map(|(_, _, settled)| settled)
    }

    /// Returns when the page was read, how many events were on it, and how many of them got their outcome.
    async fn work_off_page(&self, window: Window) -> Result<(NaiveDateTime, usize, usize), Error> {
        let page = self
            .database
            .read("payments.list_due", |tx| async move { payment_events::list_due(tx, window).await }.boxed())
            .await?;
        let found = page.rows.len();
        Ok((page.read_at, found, self.work_off_in_order(page.rows, AT_ONCE).await))
    }

    /// Tries these events, up to `at_once` at the same time: all successes, then all failures, then all refunds, because a
    /// refund that names no charge is applied only when one charge is open. What waits for their orders follows at the end.
    /// Returns how many of them got their outcome.
    pub(super) async fn work_off_in_order(&self, events: Vec<Due>, at_once: usize) -> usize {
        let mut settled = Vec::new();
        for &meaning in Meaning::ALL {
            let same: Vec<Due> = events.iter().copied().filter(|due| due.meaning == meaning).collect();
            let tried = stream::iter(same).map(|due| async move { self.settle_due(due).await.then_some(due.event_id) });
            let done: Vec<Option<i64>> = tried.buffer_unordered(at_once).collect().await;
            settled.extend(done.into_iter().flatten());
        }
        let woken = stream::iter(settled.clone()).map(|event_id| wake_others_of(&self.database, event_id));
        woken.buffer_unordered(at_once).collect::<()>().await;
        settled.len()
    }

    /// How long until [`Checkout::work_off_inbox`] has something to do; zero when it has, `None` when it has not within a
    /// second.
    ///
    /// # Errors
    /// As every read.
    pub async fn next_event_due(&self) -> Result<Option<Duration>, Error> {
        let from = self.due_events.lock().await.place().at;
        let due_in_us = self
            .database
            .read("payments.find_next_due", |tx| async move { payment_events::find_next_due(tx, from).await }.boxed())
            .await?;
        Ok(due_in_us.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0))))
    }

    /// Resolves when an event was left to a worker.
    pub async fn event_queued(&self) {
        self.event_queued.notified().await;
    }

    /// Tells how many events are open, and for how long.
    ///
    /// # Errors
    /// As every read.
    pub async fn tell_inbox(&self) -> Result<(), Error> {
        let open = self
            .database
            .read("payments.count_open", |tx| async move { payment_events::count_open(tx).await }.boxed())
            .await?;
        let mut oldest = Duration::ZERO;
        for status in [
            EventStatus::Received,
            EventStatus::Parked,
            EventStatus::Quarantined,
            EventStatus::RefundDue,
            EventStatus::Dead,
        ] {
            let found = open.iter().find(|open| open.status == status);
            telemetry::inbox_depth(status.as_str(), found.map_or(0, |open| open.count));
            if matches!(status, EventStatus::Received | EventStatus::Parked) {
                oldest = oldest.max(found.map_or(Duration::ZERO, |open| open.oldest));
            }
        }
        telemetry::inbox_oldest(oldest);
        Ok(())
    }

    /// Has a dead, parked or quarantined event tried anew, now. `accept_amount`: whatever it says was taken counts as what
    /// the order costs; that and `note` stay in its trail.
    ///
    /// # Errors
    /// [`Refusal::EventNotFound`], [`Refusal::EventNotReplayable`]; [`Refusal::AmountNotAcceptable`] when the event states no
    /// positive amount.
    pub async fn replay_event(&self, event_id: i64, accept_amount: bool, note: &str) -> Result<Receipt, Error> {
        let detail = match accept_amount {
            true => format!("amount accepted as it is; {note}"),
            false => note.to_owned(),
        };
        let detail = &detail;
        self.database
            .transaction("payments.replay", |tx| {
                async move {
                    if accept_amount {
                        let event = payment_events::find(tx, event_id).await?.ok_or(Refusal::EventNotFound)?;
                        check_acceptable(tx, &event).await?;
                    }
                    if payment_events::replay(tx, event_id, accept_amount).await? {
                        return payment_event_trail::insert(tx, event_id, Action::Replayed, detail).await;
                    }
                    Err(match payment_events::find(tx, event_id).await? {
                        Some(_) if tx.after_unknown() => return Ok(()),
                        Some(_) => Refusal::EventNotReplayable.into(),
                        None => Refusal::EventNotFound.into(),
                    })
                }
                .boxed()
            })
            .await?;
        info!(event_id, accept_amount, note, "an operator replays a payment event");
        self.work_off(event_id).await;
        let receipt = Receipt { event_id, status: EventStatus::Received, duplicate: false, order_status: None };
        look_again(&self.database, receipt).await
    }

    /// Tries an event that was made due just now, and then what waits for its order.
    pub(super) async fn work_off(&self, event_id: i64) {
        let due = Due { event_id, meaning: Meaning::Succeeded, status: EventStatus::Received, attempts: 0 };
        self.work_off_in_order(vec![due], 1).await;
    }

    /// Returns whether the event got its outcome here.
    async fn settle_due(&self, due: Due) -> bool {
        let done = match due.status {
            EventStatus::Received if due.attempts >= ATTEMPTS => self.bury(due).await,
            EventStatus::Received => self.try_again(due).await,
            _ => return apply_waiting(&self.database, due.event_id).await,
        };
        done.unwrap_or_else(|error| {
            warn!(event_id = due.event_id, %error, "a payment event could not be tried");
            false
        })
    }

    async fn try_again(&self, due: Due) -> Result<bool, Error> {
        let Due { event_id, attempts, .. } = due;
        let pause = pause_after(attempts + 1, rand::random());
        let leased = self
            .database
            .transaction("payments.lease", |tx| {
                async move { payment_events::lease(tx, event_id, attempts, pause).await }.boxed()
            })
            .await?;
        if !leased {
            return Ok(false);
        }
        telemetry::webhook_retried();
        let began = Instant::now();
        match settle(&self.database, Way::Waiting { event_id, counted: false }).await {
            Ok(Some(receipt)) => {
                telemetry::webhook_woken(receipt.status.as_str(), began.elapsed());
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(failed) => {
                warn!(event_id, attempt = attempts + 1, error = %failed, "a payment event could not be applied");
                self.tell(event_id, Action::AttemptFailed, failed.to_string()).await.map(|()| false)
            }
        }
    }

    async fn tell(&self, event_id: i64, action: Action, detail: String) -> Result<(), Error> {
        let detail = &detail;
        self.database
            .transaction("payments.tell", |tx| {
                async move { payment_event_trail::insert(tx, event_id, action, detail).await }.boxed()
            })
            .await
    }

    async fn bury(&self, due: Due) -> Result<bool, Error> {
        let event_id = due.event_id;
        let buried = self
            .database
            .transaction("payments.bury", |tx| {
                async move {
                    let buried = payment_events::bury(tx, event_id, ATTEMPTS).await?;
                    if buried {
                        payment_event_trail::insert(tx, event_id, Action::GivenUp, "every attempt failed").await?;
                    }
                    Ok::<_, Failure>(buried)
                }
                .boxed()
            })
            .await?;
        if buried {
            error!(event_id, "a payment event is dead: every attempt to apply it failed");
            telemetry::webhook_given_up();
        }
        Ok(buried)
    }
}

/// An operator accepts nothing but a positive amount, in the currency that the event states or else in its order's.
async fn check_acceptable(tx: &mut Tx<'_>, event: &Stored) -> Result<(), Failure> {
    let order_currency = match resolve(tx, event.reference).await? {
        Resolved::Order(order) => Some(order.currency),
        Resolved::Missing | Resolved::Contradiction(_) => None,
    };
    match is_positive(event.amount.as_deref(), event.currency.as_deref().or(order_currency.as_deref())) {
        true => Ok(()),
        false => Err(Refusal::AmountNotAcceptable.into()),
    }
}
