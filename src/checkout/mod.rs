//! The use cases. A public function is one transaction; or two, where two sides may write their rows at the same time: each
//! commits its own row first and then looks for the other's.
//!
//! Every transaction takes its locks in the same order: idempotency key or inbox, charges or links, orders, holds, products by
//! id.

pub mod audit;
pub mod audit_report;
mod event_batch;
pub mod event_lists;
pub mod expiry;
mod halves;
mod hold_batch;
pub mod holds;
mod horizon;
pub mod inbox;
mod keys;
pub mod links;
pub mod operators;
mod order_batch;
pub mod orders;
mod outlook;
pub mod overdue;
mod passed_over;
pub mod payments;
mod product_reads;
pub mod products;
pub mod readiness;
mod settlement;
pub mod stragglers;
pub mod sweep;

use self::event_batch::EventWork;
use self::hold_batch::HoldWork;
use self::horizon::Horizon;
use self::order_batch::OrderWork;
pub use self::outlook::WholeReads;
use self::outlook::{Fronts, Outlooks};
use self::passed_over::PassedOver;
use self::product_reads::ReadWork;
use self::readiness::Readiness;
use self::stragglers::Stragglers;
use self::sweep::Sweep;
use crate::batch::{Lanes, Limits};
pub use crate::db::Error;
use crate::db::due::Place;
pub use crate::db::holds::Hold;
pub use crate::db::idempotency_keys::{Keyed, Operation};
pub use crate::db::order_events::{OrderEvent, Reason};
pub use crate::db::products::Product;
use crate::db::{Database, Share, audit as audit_rows, idempotency_keys};
use crate::domain::WebhookMode;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{NaiveDateTime, Utc};
use futures_util::FutureExt as _;
use lru::LruCache;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

/// The rules of a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a hold lasts.
    pub hold_ttl_seconds: u64,
    /// How long an order may stay unpaid.
    pub order_ttl_seconds: u64,
    /// The most units that one hold may ask for.
    pub max_qty: i64,
    /// How long a payment event waits for its order.
    pub park_seconds: u64,
    /// Whether payment events are applied at delivery or by a worker.
    pub webhook_mode: WebhookMode,
    /// When a refusal reads only a part of the rows that may come back.
    pub whole_reads: WholeReads,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hold_ttl_seconds: 120,
            order_ttl_seconds: 900,
            max_qty: 10,
            park_seconds: 86_400,
            webhook_mode: WebhookMode::Apply,
            whole_reads: WholeReads::default(),
        }
    }
}

/// The use cases over one database.
pub struct Checkout {
    /// For requests that are not batched.
    database: Database,
    /// For workers that give units back or apply payments.
    background: Database,
    /// For checks of the database itself, which must not wait behind requests.
    checks: Database,
    policy: Policy,
    holds: Lanes<HoldWork>,
    reads: Lanes<ReadWork>,
    orders: Lanes<OrderWork>,
    events: Lanes<EventWork>,
    /// Products that existed when they were last read: a hold of one of them is queued without another read.
    products_seen: Mutex<LruCache<i64, ()>>,
    event_queued: Notify,
    /// The last event that the sweep of unmatched events has read.
    unmatched_swept: AtomicI64,
    /// How far each worker has read its index of deadlines.
    due_holds: tokio::sync::Mutex<Horizon>,
    due_orders: tokio::sync::Mutex<Horizon>,
    due_events: tokio::sync::Mutex<Horizon>,
    stragglers: tokio::sync::Mutex<Stragglers>,
    passed_over: Arc<PassedOver>,
    sweep: tokio::sync::Mutex<Sweep>,
    /// When the last deleted idempotency key was taken, UTC. While a snapshot is open, a read from the beginning of the index
    /// walks over the entries of all deleted keys.
    keys_forgotten: tokio::sync::Mutex<NaiveDateTime>,
    /// Held by the running audit.
    auditing: tokio::sync::Mutex<()>,
    readiness: Readiness,
}

/// Limits for holds and reads. A packet of a batch stays well below 1 MB, the smallest `max_allowed_packet` that a server is
/// likely to have. Single jobs leave most of the connections to the batches. Beyond 2,048 jobs, a batch of holds takes longer
/// per job and delays the batches behind it.
const LIMITS: Limits = Limits {
    queue: 20_000,
    batch: 2048,
    bytes: 512 * 1024,
    in_flight: 2,
    late: 0,
    alone: 4,
    gather: GATHER,
    linger: LINGER,
};
/// Limits for orders. A batch that waits for a locked row gives up its slot, since other orders have other rows.
const ORDER_LIMITS: Limits = Limits { batch: 512, late: 4, ..LIMITS };
/// Limits for webhook deliveries, for the same reason.
const EVENT_LIMITS: Limits = Limits { batch: 512, late: 4, ..LIMITS };
/// How long jobs gather behind a batch. A batch returns within a few milliseconds unless something is wrong.
const GATHER: Duration = Duration::from_millis(50);
/// How many products are remembered as existing, the most recent ones.
const PRODUCTS_SEEN: NonZeroUsize = NonZeroUsize::new(65_536).expect("it is not zero");
/// How long an idle lane waits for its next job before it is removed.
const LINGER: Duration = Duration::from_millis(500);

impl Checkout {
    /// Creates the use cases over this database, with this policy.
    pub fn new(database: Database, policy: Policy) -> Self {
        let passed_over = Arc::<PassedOver>::default();
        let batches = database.share(Share::Batches);
        let hold_work = HoldWork {
            database: batches.clone(),
            ttl_seconds: policy.hold_ttl_seconds,
            passed_over: Arc::clone(&passed_over),
            outlooks: Outlooks::new(
                Fronts {
                    hold_ttl: Duration::from_secs(policy.hold_ttl_seconds),
                    order_ttl: Duration::from_secs(policy.order_ttl_seconds),
                },
                policy.whole_reads,
            ),
        };
        let holds = Lanes::new(hold_work, LIMITS);
        let reads = Lanes::new(ReadWork { database: batches.clone() }, LIMITS);
        let order_work = OrderWork { database: batches.clone(), ttl_seconds: policy.order_ttl_seconds };
        let orders = Lanes::new(order_work, ORDER_LIMITS);
        let events = Lanes::new(EventWork { database: batches }, EVENT_LIMITS);
        Self {
            background: database.share(Share::Workers),
            checks: database.share(Share::Checks),
            database,
            policy,
            products_seen: Mutex::new(LruCache::new(PRODUCTS_SEEN)),
            holds,
            reads,
            orders,
            events,
            event_queued: Notify::new(),
            unmatched_swept: AtomicI64::default(),
            due_holds: tokio::sync::Mutex::default(),
            due_orders: tokio::sync::Mutex::default(),
            due_events: tokio::sync::Mutex::default(),
            stragglers: tokio::sync::Mutex::default(),
            passed_over,
            sweep: tokio::sync::Mutex::default(),
            keys_forgotten: tokio::sync::Mutex::new(Place::first().at),
            auditing: tokio::sync::Mutex::default(),
            readiness: Readiness::default(),
        }
    }

    /// Lets every batch finish. No request may be made after this.
    pub async fn finish(&self) {
        self.holds.finish().await;
        self.reads.finish().await;
        self.orders.finish().await;
        self.events.finish().await;
    }

    /// Returns the number of lanes of all kinds. A lane that is idle is removed.
    pub fn lanes(&self) -> usize {
        self.holds.count() + self.reads.count() + self.orders.count() + self.events.count()
    }

    /// Returns the database, for the code that starts, monitors and stops it.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Reads the database's clock, and reports how far this machine's differs.
    ///
    /// # Errors
    /// As every read.
    pub async fn read_clock(&self) -> Result<(), Error> {
        let read = self.checks.read("clock.find_time", |tx| {
            async move {
                let asked = Instant::now();
                let shown = audit_rows::find_time(tx).await?;
                tx.clock().read(shown, asked);
                Ok(())
            }
            .boxed()
        });
        read.await
    }

    /// Returns the seconds since 1970 by the database's clock, as far as it is known, and by this machine's.
    pub fn clocks(&self) -> [i64; 2] {
        [self.database.clock().now().and_utc().timestamp(), Utc::now().timestamp()]
    }

    /// Describes a jump of the database's clock and its difference from this machine's, for operators; `None` without either.
    pub fn clock_detail(&self) -> Option<String> {
        let clock = self.database.clock();
        let paused = clock.paused_for().map(|left| {
            format!("The database's clock has jumped: nothing runs out for another {} s.", left.as_secs() + 1)
        });
        let differs = clock.difference().map(|ahead| {
            let seconds = ahead.as_seconds_f64();
            let side = if seconds < 0.0 { "behind" } else { "ahead of" };
            format!("The database's clock is {:.1} s {side} this machine's.", seconds.abs())
        });
        let told: Vec<String> = paused.into_iter().chain(differs).collect();
        (!told.is_empty()).then(|| told.join(" "))
    }

    /// Deletes idempotency keys that no client can rely on any more. Returns whether there are more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn forget_old_keys(&self) -> Result<bool, Error> {
        const LIMIT: u32 = 500;
        let mut forgotten = self.keys_forgotten.lock().await;
        let from = *forgotten;
        let (found, last) = self
            .database
            .transaction("idempotency_keys.delete_old", |tx| {
                async move { idempotency_keys::delete_old(tx, from, LIMIT).await }.boxed()
            })
            .await?;
        *forgotten = last.unwrap_or(from);
        Ok(found == LIMIT as usize)
    }
}

/// How long a request waits for its batch, in the queue and while the batch runs.
const PATIENCE: Duration = Duration::from_millis(4800);

/// Waits for the response of a batch until `deadline`. When a batch starts, it drops the jobs of requests that no longer wait.
async fn answer<T>(deadline: Instant, answered: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
    match timeout_at(deadline, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Broken("a batch ended without answering a request".to_owned())),
        Err(_) => Err(Error::Unavailable("no answer before the deadline".to_owned())),
    }
}
