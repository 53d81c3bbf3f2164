//! The inbox of payment events for workers and operators: retries, giving up, and replays.

use std::collections::HashSet;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use rand::RngExt as _;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::attempt::{Source, reload_receipt, settle};
use super::batch::part_plain;
use super::receipt::Receipt;
use super::settlement::{Resolved, resolve};
use super::tickets::{Drawn, Plain, draw_tickets};
use super::waiting::{apply_waiting, apply_waiting_for, apply_waiting_with, touched};
use crate::checkout::error::Error;
use crate::checkout::horizon::SLACK;
use crate::checkout::state::Checkout;
use crate::db::due::{Place, Window};
use crate::db::error::Error as DbError;
use crate::db::packets::pay_orders::{ApplyPayments, Success};
use crate::db::packets::send_and_look;
use crate::db::tables::due_refunds;
use crate::db::tables::payment_event_operators;
use crate::db::tables::payment_event_trail::{self, Action};
use crate::db::tables::payment_events::{self, Due, Stored};
use crate::db::views::audit;
use crate::db::{Failure, Tx};
use crate::domain::payment::is_positive;
use crate::domain::retry::{ATTEMPTS, pause_after};
use crate::domain::{EventStatus, Meaning, Named as _, PaymentEvent, Refusal};
use crate::telemetry;

/// Maximum number of events per step.
const PAGE: u32 = 1000;
/// Maximum number of events per transaction.
const BATCH: usize = 250;
/// Events that a step applies at the same time.
const AT_ONCE: usize = 4;

impl Checkout {
    /// Applies received events that are due, and gives up parked ones that have waited for too long. An event that cannot be
    /// applied never keeps others waiting. Returns whether there may be more.
    ///
    /// # Errors
    /// As every read.
    pub async fn process_due_events(&self) -> Result<bool, Error> {
        let mut horizon = self.due_events.lock().await;
        let window = Window { after: horizon.place(), age: Duration::ZERO, limit: PAGE };
        let worked = self.process_page(window).await;
        if let Err(error) = &worked {
            self.skip(&mut horizon, error).await?;
        }
        let (read_at, found, settled) = worked?;
        // events that are still due must stay in front of the horizon
        let all = found == settled && found < PAGE as usize;
        if all {
            horizon.record(read_at, None);
        }
        Ok(found >= PAGE as usize && settled > 0 || all && horizon.goes_back())
    }

    /// Does the same for a page of due events behind the horizon. Returns how many got their outcome.
    pub(crate) async fn process_straggling_events(&self) -> Result<usize, DbError> {
        if self.due_events.lock().await.is_unknown() {
            return Ok(0);
        }
        let window = Window { after: Place::first(), age: SLACK, limit: PAGE };
        self.process_page(window).await.map(|(_, _, settled)| settled)
    }

    /// Returns when the page was read, how many events were on it, and how many of them got their outcome.
    async fn process_page(&self, window: Window) -> Result<(NaiveDateTime, usize, usize), DbError> {
        let asked = Instant::now();
        let mut page = self
            .background
            .read("payments.list_due", |tx| async move { payment_events::list_due(tx, window).await }.boxed())
            .await?;
        let found = page.rows.len();
        // no event is given up by a clock that has jumped
        if !self.database.clock().admits(page.read_at, asked) {
            page.rows.retain(|due| due.status != EventStatus::Parked);
        }
        Ok((page.read_at, found, self.process_in_order(page.rows, AT_ONCE).await))
    }

    /// Tries these events, up to `at_once` at the same time: all successes, then all failures, then all refunds, because a
    /// refund that names no charge is applied only when one charge is open. Successes that were never tried go in batches. At
    /// the end, the events that wait for their orders are applied. Returns how many of these events got their outcome.
    pub(crate) async fn process_in_order(&self, events: Vec<Due>, at_once: usize) -> usize {
        let (mut settled, mut paid, mut changed) = (Vec::new(), 0, Vec::new());
        for &meaning in Meaning::ALL {
            let same: Vec<Due> = events.iter().copied().filter(|due| due.meaning == meaning).collect();
            let (new, mut alone): (Vec<_>, Vec<_>) = same.into_iter().partition(Due::is_new_success);
            let mut leased = Vec::new();
            if new.len() > 1 {
                for batch in batches(&new) {
                    let Applied { count, touched, alone } = self.apply_batch(batch).await;
                    paid += count;
                    changed.extend(touched);
                    leased.extend(alone);
                }
            } else {
                alone.extend(new);
            }
            let leased = leased.into_iter().map(|event_id| (event_id, None));
            let alone = leased.chain(alone.into_iter().map(|due| (due.event_id, Some(due))));
            let tried = stream::iter(alone).map(|(event_id, due)| async move {
                let settled = match due {
                    Some(due) => self.settle_due(due).await,
                    None => self.settle_leased(event_id, 1).await,
                };
                settled.then_some(event_id)
            });
            let done: Vec<Option<i64>> = tried.buffer_unordered(at_once).collect().await;
            settled.extend(done.into_iter().flatten());
        }
        let woken = stream::iter(settled.clone()).map(|event_id| apply_waiting_with(&self.background, event_id));
        woken.buffer_unordered(at_once).collect::<()>().await;
        self.apply_waiting_for_paid(&changed).await;
        settled.len() + paid
    }

    /// Leases a batch of successes for their first attempt, and applies the plain ones among them together: each pays its
    /// pending order.
    async fn apply_batch(&self, batch: Vec<i64>) -> Applied {
        let began = Instant::now();
        let (batch, pause) = (&batch, pause_after(1, rand::random()));
        let leased = self.background.transaction("payments.lease_batch", |tx| {
            async move {
                let due_at = audit::find_time(tx).await? + pause;
                payment_events::leased(tx.packet(&payment_events::lease_all(batch, due_at)).await?)
            }
            .boxed()
        });
        let leased = match leased.await {
            Ok(leased) => leased,
            Err(error) => {
                // they are still due; if the lease was committed without a response, they will be due again soon
                warn!(%error, "a batch of payment events could not be leased");
                return Applied::default();
            }
        };
        telemetry::webhook_retried(leased.len() as u64);
        let mut alone = Vec::new();
        let known = leased.into_iter().filter_map(|(event_id, event)| match event {
            Some(event) => Some((event_id, event)),
            None => {
                alone.push(event_id);
                None
            }
        });
        let known: Vec<(i64, PaymentEvent)> = known.collect();
        let (plain, others) = part_plain(&self.background, known, |(_, event)| event).await;
        let Drawn { plain, later, alone: rest } = draw_tickets(&self.background, plain).await;
        let others = others.into_iter().chain(later).chain(rest);
        alone.extend(others.map(|(event_id, _)| event_id));
        match self.pay(&plain, began).await {
            Ok(touched) => {
                let took = began.elapsed();
                plain.iter().for_each(|_| telemetry::webhook_woken(EventStatus::Applied.as_str(), took));
                let orders = plain.iter().map(|paid| (paid.order.id, paid.order.hold_id));
                let touched = orders.filter(|(order_id, _)| touched.contains(order_id)).collect();
                Applied { count: plain.len(), touched, alone }
            }
            // a row changed in between, or one of them cannot be applied: tried alone, all others can be
            Err(_) => {
                alone.extend(plain.into_iter().map(|paid| paid.success.0));
                Applied { alone, ..Applied::default() }
            }
        }
    }

    /// Applies all of these leased successes, each with its order, in one transaction, or none. Returns the orders that other
    /// events have changed or wait for.
    async fn pay(&self, plain: &[Plain<(i64, PaymentEvent)>], began: Instant) -> Result<HashSet<Uuid>, DbError> {
        if plain.is_empty() {
            return Ok(HashSet::new());
        }
        let processing = began.elapsed();
        let packet = ApplyPayments { successes: plain.iter().map(|paid| success(paid, processing)).collect() };
        let ((), read) = send_and_look(&self.background, "payments.apply_batch", &packet).await?;
        Ok(touched(read))
    }

    /// Applies the events that wait for these orders (each with its hold), which were just paid.
    async fn apply_waiting_for_paid(&self, touched: &[(Uuid, Uuid)]) {
        for touched in touched.chunks(BATCH) {
            if let Err(error) = apply_waiting_for(&self.background, touched).await {
                // the sweep will find them
                warn!(%error, "could not look for events that wait for orders; the sweep will find them");
            }
        }
    }

    /// Returns how long until [`Checkout::process_due_events`] has something to do: zero when it has, `None` when it has nothing
    /// within a second. While the database's clock is not trusted, always `None`: a check every second is enough then.
    pub async fn next_event_due(&self) -> Result<Option<Duration>, Error> {
        if self.database.clock().paused_for().is_some() {
            return Ok(None);
        }
        let from = self.due_events.lock().await.place().at;
        let due_in_us = self
            .background
            .read("payments.find_next_due", |tx| async move { payment_events::find_next_due(tx, from).await }.boxed())
            .await?;
        Ok(due_in_us.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0))))
    }

    /// Resolves when an event is queued for a worker.
    pub async fn event_queued(&self) {
        self.event_queued.notified().await;
    }

    /// Sends the gauges of what is open: how many events, and for how long; how many charges of cancelled events are due.
    ///
    /// # Errors
    /// As every read.
    pub async fn report_inbox(&self) -> Result<(), Error> {
        let open = self
            .background
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
        let unmatched = self
            .background
            .read("payments.count_unmatched", |tx| payment_events::count_unmatched_successes(tx).boxed())
            .await?;
        telemetry::inbox_depth(EventStatus::Unmatched.as_str(), unmatched);
        let due = self.background.read("refunds.count_open", |tx| due_refunds::count_open(tx).boxed()).await?;
        telemetry::due_refunds(due);
        Ok(())
    }

    /// Tries a dead, parked or quarantined event again, now. `accept_amount`: the amount that it states counts as what the
    /// order costs. That, `note` and the operator's name stay in its trail.
    ///
    /// # Errors
    /// [`Refusal::EventNotFound`], [`Refusal::EventNotReplayable`]; [`Refusal::AmountNotAcceptable`] when the event states no
    /// positive amount.
    pub async fn replay_event(
        &self,
        operator: &str,
        event_id: i64,
        accept_amount: bool,
        note: &str,
    ) -> Result<Receipt, Error> {
        let detail = match accept_amount {
            true => format!("amount accepted as it is; {note}"),
            false => note.to_owned(),
        };
        let detail = &detail;
        self.background
            .transaction("payments.replay", |tx| {
                async move {
                    if accept_amount {
                        let event = payment_events::find(tx, event_id).await?.ok_or(Refusal::EventNotFound)?;
                        check_acceptable(tx, &event).await?;
                    }
                    if payment_events::replay(tx, event_id, accept_amount).await? {
                        payment_event_trail::insert(tx, event_id, Action::Replayed, detail).await?;
                        return payment_event_operators::insert_last(tx, event_id, operator).await;
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
        info!(operator, event_id, accept_amount, note, "an operator replays a payment event");
        self.process_event(event_id).await;
        let receipt = Receipt { event_id, status: EventStatus::Received, duplicate: false, order_status: None };
        Ok(reload_receipt(&self.background, receipt).await?)
    }

    /// Tries an event that was just made due, and then the events that wait for its order.
    pub(crate) async fn process_event(&self, event_id: i64) {
        let due = Due { event_id, meaning: Meaning::Succeeded, status: EventStatus::Received, attempts: 0 };
        self.process_in_order(vec![due], 1).await;
    }

    /// Returns whether the event got its outcome here.
    async fn settle_due(&self, due: Due) -> bool {
        let done = match due.status {
            EventStatus::Received if due.attempts >= ATTEMPTS => self.bury(due).await,
            EventStatus::Received => self.try_again(due).await,
            _ => return apply_waiting(&self.background, due.event_id).await,
        };
        done.unwrap_or_else(|error| {
            warn!(event_id = due.event_id, %error, "a payment event could not be tried");
            false
        })
    }

    async fn try_again(&self, due: Due) -> Result<bool, DbError> {
        let Due { event_id, attempts, .. } = due;
        let pause = pause_after(attempts + 1, rand::random());
        let leased = self
            .background
            .transaction("payments.lease", |tx| {
                async move { payment_events::lease(tx, event_id, attempts, pause).await }.boxed()
            })
            .await?;
        if !leased {
            return Ok(false);
        }
        telemetry::webhook_retried(1);
        Ok(self.settle_leased(event_id, attempts + 1).await)
    }

    /// Makes the attempt for which the event was leased; it is already counted. Returns whether the event got its outcome here.
    async fn settle_leased(&self, event_id: i64, attempt: u32) -> bool {
        let began = Instant::now();
        let failed = match settle(&self.background, Source::Inbox { event_id, counted: false }).await {
            Ok(Some(receipt)) => {
                telemetry::webhook_woken(receipt.status.as_str(), began.elapsed());
                return true;
            }
            Ok(None) => return false,
            Err(failed) => failed,
        };
        warn!(event_id, attempt, error = %failed, "a payment event could not be applied");
        if let Err(error) = self.record_action(event_id, Action::AttemptFailed, failed.to_string()).await {
            warn!(event_id, %error, "the trail of a payment event could not be written");
        }
        false
    }

    async fn record_action(&self, event_id: i64, action: Action, detail: String) -> Result<(), DbError> {
        let detail = &detail;
        self.background
            .transaction("payments.tell", |tx| {
                async move { payment_event_trail::insert(tx, event_id, action, detail).await }.boxed()
            })
            .await
    }

    async fn bury(&self, due: Due) -> Result<bool, DbError> {
        let event_id = due.event_id;
        let buried = self
            .background
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

fn success(paid: &Plain<(i64, PaymentEvent)>, processing: Duration) -> Success<'_> {
    let Plain { success: (event_id, event), order, tickets } = paid;
    Success { event_id: Some(*event_id), event, order, tickets, processing }
}

/// The result of a batch of successes.
#[derive(Debug, Default)]
struct Applied {
    /// How many orders were paid.
    count: usize,
    /// Those of them that other events wait for, each with its hold.
    touched: Vec<(Uuid, Uuid)>,
    /// Events that this worker has leased and that have to be applied alone.
    alone: Vec<i64>,
}

/// Returns the ids of these events in batches. Each worker begins at another batch, so that workers seldom conflict.
fn batches(events: &[Due]) -> Vec<Vec<i64>> {
    let mut batches: Vec<Vec<i64>> =
        events.chunks(BATCH).map(|batch| batch.iter().map(|due| due.event_id).collect()).collect();
    let first = rand::rng().random_range(0..batches.len().max(1));
    batches.rotate_left(first);
    batches
}

/// Checks that an operator may accept the amount: it must be positive, in the currency of the event or else of its order.
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
