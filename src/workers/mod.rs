//! Loops that decide when and how often a step runs, and nothing else; a test can call each step directly. Any number of
//! instances run them at the same time.

pub mod push;

use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use self::push::Pushes;
use crate::app::App;
use crate::checkout::Error;
use crate::checkout::feed::availability::Walked;
use crate::checkout::readiness::Unready;
use crate::telemetry::{self, Throttle};

/// How long a worker sleeps at most. A row is due a second after it was created at the earliest, so checking every second is
/// never too late.
const NAP: Duration = Duration::from_secs(1);
/// The shortest pause after a whole sweep for parked or unmatched events that can be applied, or for due rows behind a horizon.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often old idempotency keys are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// The shortest pause before due events that could not be applied are tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A worker whose reads grow with the inbox rests this many times as long as it read.
const SWEEP_SHARE: u32 = 10;
/// How often the gauges of the inbox are sent.
const GAUGE_INBOX_EVERY: Duration = Duration::from_secs(5);
/// How often the schema version is checked; every [`NAP`] while it is not known to be current.
const LOOK_AT_SCHEMA_EVERY: Duration = Duration::from_secs(5);
/// How often the database's clock is read.
const READ_CLOCK_EVERY: Duration = Duration::from_secs(2);
/// The pause between two reads of the clients: a change counts within a second, the read included.
const READ_CLIENTS_EVERY: Duration = Duration::from_millis(900);
/// The same after a read that failed.
const READ_CLIENTS_AGAIN: Duration = Duration::from_millis(250);
/// How often the gauges of the pool are sent.
const GAUGE_EVERY: Duration = Duration::from_secs(1);

/// How often the gauges of products are sent.
const GAUGE_STOCK_EVERY: Duration = Duration::from_secs(2);
/// How often gauges that were not set for long are forgotten.
const FORGET_GAUGES_EVERY: Duration = Duration::from_secs(600);
/// How often recorded durations are summed up.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// The worker that numbers the feed rests this many times as long as a step took, and no longer than the second.
const FEED_SHARE: u32 = 9;
/// See [`FEED_SHARE`].
const FEED_REST: Duration = Duration::from_millis(200);
/// How often events of other instances are looked for while readers wait.
const LOOK_FOR_FEED: Duration = Duration::from_millis(100);

/// The worker that walks over all products rests this many times as long as it read.
const WALK_SHARE: u32 = 20;

/// When the next step runs.
enum Next {
    /// At once: there is more to do.
    Now,
    /// After this time.
    After(Duration),
    /// After this time, or as soon as a payment event is queued for a worker.
    AfterOrQueued(Duration),
    /// After this time, or as soon as this instance has told the feed of something.
    AfterOrTold(Duration),
    /// After this time, because the step failed.
    Failed(Error, Duration),
}

/// Starts every worker. Workers stop between two steps once `stop` is cancelled.
pub fn start(app: &Arc<App>, tasks: &TaskTracker, stop: &CancellationToken) {
    work(app, tasks, stop, "read_clock", |app| async move {
        app.checkout.read_clock().await?;
        Ok(Next::After(READ_CLOCK_EVERY))
    });
    work(app, tasks, stop, "read_clients", |app| async move {
        Ok(match app.checkout.read_clients().await {
            Ok(()) => Next::After(READ_CLIENTS_EVERY),
            Err(error) => Next::Failed(error, READ_CLIENTS_AGAIN),
        })
    });
    work(app, tasks, stop, "expire_holds", |app| async move {
        if app.checkout.expire_holds().await? {
            return Ok(Next::Now);
        }
        Ok(until(app.checkout.next_hold_due().await?))
    });
    work(app, tasks, stop, "cancel_overdue_orders", |app| async move {
        if app.checkout.cancel_overdue_orders().await? {
            return Ok(Next::Now);
        }
        Ok(until(app.checkout.next_order_due().await?))
    });
    work(app, tasks, stop, "find_stragglers", |app| async move {
        let found = app.checkout.find_stragglers().await;
        Ok(after_sweep(found, app.checkout.stragglers_took().await))
    });
    work(app, tasks, stop, "sweep_parked", |app| async move {
        let swept = app.checkout.sweep_parked().await;
        Ok(after_sweep(swept, app.checkout.sweep_took().await))
    });
    work(app, tasks, stop, "sweep_unmatched", |app| async move {
        let began = Instant::now();
        let more = app.checkout.sweep_unmatched().await?;
        let rest = began.elapsed() * SWEEP_SHARE;
        Ok(Next::After(if more { rest } else { rest.max(SWEEP_EVERY) }))
    });
    work(app, tasks, stop, "work_off_inbox", |app| async move {
        if app.checkout.process_due_events().await? {
            return Ok(Next::Now);
        }
        // events that could not be applied now are not tried again at once
        Ok(Next::AfterOrQueued(pause_until(app.checkout.next_event_due().await?).max(LOOK_AGAIN)))
    });
    work(app, tasks, stop, "tell_inbox", |app| async move {
        let began = Instant::now();
        let sent = app.checkout.report_inbox().await;
        let rest = GAUGE_INBOX_EVERY.max(began.elapsed() * SWEEP_SHARE);
        Ok(match sent {
            Ok(()) => Next::After(rest),
            Err(error) => Next::Failed(error, rest),
        })
    });
    work(app, tasks, stop, "forget_old_keys", |app| async move {
        Ok(match app.checkout.forget_old_keys().await {
            Ok(true) => Next::Now,
            Ok(false) => Next::After(FORGET_EVERY),
            Err(error) => Next::Failed(error, FORGET_EVERY),
        })
    });
    work(app, tasks, stop, "count_limited_units", count_limited_units);
    work(app, tasks, stop, "end_events", end_events);
    work(app, tasks, stop, "number_feed", number_feed);
    work(app, tasks, stop, "tell_touched_products", |app| async move {
        app.checkout.tell_touched_products().await?;
        Ok(Next::After(NAP))
    });
    work(app, tasks, stop, "walk_products", walk_products);
    start_figures(app, tasks, stop);
    let (pushes, started) = (Pushes::new(app, stop), tasks.clone());
    work(app, tasks, stop, "push_events", move |_| dispatch(Arc::clone(&pushes), started.clone()));
    start_watching(app, tasks, stop);
}

/// Starts the workers that read figures of the sale for metrics.
fn start_figures(app: &Arc<App>, tasks: &TaskTracker, stop: &CancellationToken) {
    work(app, tasks, stop, "report_stock", |app| async move {
        app.checkout.report_stock(app.stock_metrics).await?;
        Ok(Next::After(GAUGE_STOCK_EVERY))
    });
    work(app, tasks, stop, "count_sold", |app| async move {
        Ok(if app.checkout.count_sold().await? { Next::Now } else { Next::After(NAP) })
    });
}

/// Starts the workers that need no current schema.
fn start_watching(app: &Arc<App>, tasks: &TaskTracker, stop: &CancellationToken) {
    spawn(app, tasks, stop, "look_at_schema", |app| async move {
        Ok(match app.checkout.look_at_schema().await {
            Ok(()) => Next::After(LOOK_AT_SCHEMA_EVERY),
            Err(Unready::SchemaOutdated { .. }) => Next::After(NAP),
            Err(Unready::Database(error)) => Next::Failed(error.into(), NAP),
        })
    });
    spawn(app, tasks, stop, "sum_up_metrics", |_| async {
        telemetry::sum_up().await;
        Ok(Next::After(SUM_UP_EVERY))
    });
    spawn(app, tasks, stop, "forget_gauges", |_| async {
        telemetry::forget_old().await;
        Ok(Next::After(FORGET_GAUGES_EVERY))
    });
    spawn(app, tasks, stop, "pool_gauges", |app| async move {
        telemetry::pool_use(app.checkout.database().connections());
        telemetry::database_available(app.checkout.database().is_available());
        telemetry::service_runs(app.started.elapsed());
        app.checkout.report_lanes();
        Ok(Next::After(GAUGE_EVERY))
    });
}

async fn count_limited_units(app: Arc<App>) -> Result<Next, Error> {
    Ok(if app.checkout.count_limited_units().await? { Next::Now } else { Next::After(NAP) })
}

/// Rests in proportion to the time that a step took, so that a step has many events when many happen.
async fn number_feed(app: Arc<App>) -> Result<Next, Error> {
    let began = Instant::now();
    if app.checkout.number_feed().await? {
        return Ok(Next::Now);
    }
    sleep((began.elapsed() * FEED_SHARE).min(FEED_REST)).await;
    let is_awaited = app.checkout.feed_is_awaited();
    Ok(Next::AfterOrTold(if is_awaited { LOOK_FOR_FEED } else { NAP }))
}

/// Rests in proportion to the time of the read, and a second after the last page.
async fn walk_products(app: Arc<App>) -> Result<Next, Error> {
    let Walked { is_whole, took } = app.checkout.walk_products().await?;
    let rest = took * WALK_SHARE;
    Ok(Next::After(if is_whole { rest.max(NAP) } else { rest }))
}

async fn dispatch(pushes: Arc<Pushes>, tasks: TaskTracker) -> Result<Next, Error> {
    pushes.dispatch(&tasks).await?;
    Ok(Next::After(NAP))
}

async fn end_events(app: Arc<App>) -> Result<Next, Error> {
    Ok(if app.checkout.end_events().await? { Next::Now } else { Next::After(NAP) })
}

/// Rests in proportion to the time that the read took (not the work after it), also when it failed.
fn after_sweep(swept: Result<bool, Error>, took: Duration) -> Next {
    let rest = took * SWEEP_SHARE;
    match swept {
        Ok(true) => Next::After(rest),
        Ok(false) => Next::After(rest.max(SWEEP_EVERY)),
        Err(error) => Next::Failed(error, rest.max(NAP)),
    }
}

/// Sleeps exactly until the next due time, [`NAP`] at most.
fn until(due: Option<Duration>) -> Next {
    Next::After(pause_until(due))
}

fn pause_until(due: Option<Duration>) -> Duration {
    due.unwrap_or(NAP).min(NAP)
}

/// Starts a worker that rests while the schema is too old for its statements.
fn work<F, Step>(app: &Arc<App>, tasks: &TaskTracker, stop: &CancellationToken, name: &'static str, step: F)
where
    F: Fn(Arc<App>) -> Step + Send + 'static,
    Step: Future<Output = Result<Next, Error>> + Send + 'static,
{
    spawn(app, tasks, stop, name, move |app| match app.checkout.schema_is_outdated() {
        true => ready(Ok(Next::After(NAP))).left_future(),
        false => step(app).right_future(),
    });
}

fn spawn<F, Step>(app: &Arc<App>, tasks: &TaskTracker, stop: &CancellationToken, name: &'static str, step: F)
where
    F: Fn(Arc<App>) -> Step + Send + 'static,
    Step: Future<Output = Result<Next, Error>> + Send,
{
    let (app, stop) = (Arc::clone(app), stop.clone());
    tasks.spawn(async move {
        let failures = Throttle::lasting();
        while !stop.is_cancelled() {
            let (mut wakes, mut hears) = (false, false);
            let stepped = AssertUnwindSafe(step(Arc::clone(&app))).catch_unwind().await;
            let pause = match stepped.map(|next| next.unwrap_or_else(|error| Next::Failed(error, NAP))) {
                Ok(Next::Now) => continue,
                Ok(Next::After(pause)) => pause,
                Ok(Next::AfterOrQueued(pause)) => {
                    wakes = true;
                    pause
                }
                Ok(Next::AfterOrTold(pause)) => {
                    hears = true;
                    pause
                }
                Err(_) => {
                    telemetry::worker_failed(name);
                    error!(worker = name, "a worker's step panicked; it will be retried");
                    NAP
                }
                Ok(Next::Failed(error, pause)) => {
                    telemetry::worker_failed(name);
                    // an outage of the database has its own line in the log
                    if app.checkout.database().is_available()
                        && let Some(count) = failures.count(std::time::Instant::now())
                    {
                        warn!(worker = name, %error, count, "a worker's step failed; it will be retried");
                    }
                    pause
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = app.checkout.event_queued(), if wakes => {}
                () = app.checkout.feed_told(), if hears => {}
                () = stop.cancelled() => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_rests_in_proportion_to_its_read_time_also_when_the_read_failed() {
        let pause = |swept, took| match after_sweep(swept, Duration::from_millis(took)) {
            Next::After(pause) | Next::Failed(_, pause) => pause,
            Next::Now | Next::AfterOrQueued(_) | Next::AfterOrTold(_) => Duration::ZERO,
        };
        let failed = || Err(Error::Unavailable("timeout".to_owned()));
        assert_eq!(pause(Ok(true), 20), Duration::from_millis(200));
        assert_eq!(pause(Ok(false), 20), SWEEP_EVERY);
        assert_eq!(pause(Ok(false), 300), Duration::from_secs(3));
        assert_eq!(pause(failed(), 2500), Duration::from_secs(25));
        assert_eq!(pause(failed(), 1), NAP);
    }
}
