//! The use cases. One public function is one transaction, or two where both sides of a meeting commit their own row
//! first and look for the other's afterwards.
//!
//! Every transaction takes its locks in the same order: idempotency key or inbox, orders, holds, products by id.

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

/// What a shop decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a hold lasts.
    pub hold_ttl_seconds: u64,
    /// How long an order may stay unpaid.
    pub order_ttl_seconds: u64,
    /// Units that one hold may ask for.
    pub max_qty: i64,
    /// How long a payment event waits for its order.
    pub park_seconds: u64,
    /// When deliveries of payment events are applied.
    pub webhook_mode: WebhookMode,
    /// When a refusal does not read everything that may come back.
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
    /// For single requests.
    database: Database,
    /// For workers that give units back or apply payments.
    background: Database,
    /// For looks at the database itself, which no flood of requests may delay.
    checks: Database,
    policy: Policy,
    holds: Lanes<HoldWork>,
    reads: Lanes<ReadWork>,
    orders: Lanes<OrderWork>,
    events: Lanes<EventWork>,
    /// Products that were there when they were last looked up: a hold of one of them is queued without a look.
    products_seen: Mutex<LruCache<i64, ()>>,
    event_queued: Notify,
    /// Where the sweep of unmatched events is: the last event that it has looked at.
    unmatched_swept: AtomicI64,
    /// How far the workers have seen.
    due_holds: tokio::sync::Mutex<Horizon>,
    due_orders: tokio::sync::Mutex<Horizon>,
    due_events: tokio::sync::Mutex<Horizon>,
    stragglers: tokio::sync::Mutex<Stragglers>,
    passed_over: Arc<PassedOver>,
    sweep: tokio::sync::Mutex<Sweep>,
    /// When the last idempotency key was taken that was forgotten, UTC. While a snapshot is open, a look from the beginning
    /// walks over the index entries of all that were forgotten.
    keys_forgotten: tokio::sync::Mutex<NaiveDateTime>,
    /// Taken by the audit that is under way.
    auditing: tokio::sync::Mutex<()>,
    readiness: Readiness,
}

/// Of the queues of every kind. A packet of a batch stays well below 1 MB, the smallest `max_allowed_packet` that a server
/// is likely to have; those who are done alone leave most of the connections to the batches. Beyond 2,048 a batch of holds
/// takes longer for each of them, and so does everything that waits for its place.
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
/// Of the queue of orders. A batch that waits for a locked row gives up its place, since others have other rows.
const ORDER_LIMITS: Limits = Limits { batch: 512, late: 4, ..LIMITS };
/// Of the queue of webhook deliveries, likewise.
const EVENT_LIMITS: Limits = Limits { batch: 512, late: 4, ..LIMITS };
/// How long jobs gather behind a batch: it is back in a few milliseconds, unless something is wrong with it.
const GATHER: Duration = Duration::from_millis(50);
/// How many products are remembered as seen, the latest ones.
const PRODUCTS_SEEN: NonZeroUsize = NonZeroUsize::new(65_536).expect("it is not zero");
/// How long a lane waits for its next job before it goes away.
const LINGER: Duration = Duration::from_millis(500);

impl Checkout {
    /// Over this database, by this policy.
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

    /// Lets every batch finish; nothing may be asked after this.
    pub async fn finish(&self) {
        self.holds.finish().await;
        self.reads.finish().await;
        self.orders.finish().await;
        self.events.finish().await;
    }

    /// How many queues there are, of all kinds. One that nobody needs any more goes away.
    pub fn lanes(&self) -> usize {
        self.holds.count() + self.reads.count() + self.orders.count() + self.events.count()
    }

    /// The database, for those who start, watch and stop it.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Reads the database's clock, and tells how far this machine's differs.
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

    /// Seconds since 1970 by the database's clock, as far as it is known, and by this machine's.
    pub fn clocks(&self) -> [i64; 2] {
        [self.database.clock().now().and_utc().timestamp(), Utc::now().timestamp()]
    }

    /// What an operator should know of the clocks while nothing is wrong otherwise; `None` when there is nothing to tell.
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

    /// Forgets idempotency keys that nobody can rely on any more. Returns whether there are more.
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

/// How long a request waits for the answer of a batch, in the queue and under way.
const PATIENCE: Duration = Duration::from_millis(4800);

/// Waits for the answer of a batch until `deadline`. A job whose request does not wait any more is dropped from a batch that
/// has not started.
async fn answer<T>(deadline: Instant, answered: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
    match timeout_at(deadline, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Broken("a batch ended without an answer".to_owned())),
        Err(_) => Err(Error::Unavailable("it takes too long".to_owned())),
    }
}
