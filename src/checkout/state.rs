//! The state behind the use cases: the database, the lanes, and the positions of the workers.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use chrono::NaiveDateTime;
use tokio::sync::Notify;

use super::busiest::Busiest;
use super::clients::registry::Registry;
use super::feed::progress::FeedState;
use super::holds::batch::HoldWork;
use super::holds::carts::{CartWork, Left, SeatPlans};
use super::holds::outlook::{Fronts, Outlooks};
use super::holds::passed_over::PassedOver;
use super::holds::supply::Supplies;
use super::horizon::{Horizon, Stragglers};
use super::orders::batch::OrderWork;
use super::pace::Paces;
use super::payments::batch::EventWork;
use super::payments::sweep::Sweep;
use super::policy::Policy;
use super::products::known::KnownProducts;
use super::products::reads::{PageReads, ProductReads};
use super::readiness::Readiness;
use super::recent::Recent;
use super::tickets::reads::{EventReads, MapReads};
use super::tickets::redemptions::RedeemWork;
use crate::batch::{Lanes, Limits};
use crate::db::door::Database;
use crate::db::due::Place;
use crate::db::share::Share;
use crate::domain::FeedHolds;

/// The use cases over one database.
pub struct Checkout {
    /// For requests that are not batched.
    pub(crate) database: Database,
    /// For workers that give units back or apply payments.
    pub(crate) background: Database,
    /// For rounds of pushes.
    pub(crate) pushes: Database,
    /// For checks of the database itself, which must not wait behind requests.
    pub(crate) checks: Database,
    pub(crate) policy: Policy,
    /// The clients that may call.
    pub(crate) clients: Registry,
    pub(crate) holds: Lanes<HoldWork>,
    pub(crate) carts: Lanes<CartWork>,
    /// Carts with seats, by the first of their ticket types.
    pub(crate) seats: Lanes<CartWork>,
    pub(crate) product_reads: Lanes<ProductReads>,
    pub(crate) page_reads: Lanes<PageReads>,
    pub(crate) event_reads: Lanes<EventReads>,
    pub(crate) map_reads: Lanes<MapReads>,
    pub(crate) orders: Lanes<OrderWork>,
    pub(crate) events: Lanes<EventWork>,
    pub(crate) redemptions: Lanes<RedeemWork>,
    pub(crate) known_products: Arc<KnownProducts>,
    pub(crate) supplies: Arc<Supplies>,
    pub(crate) event_queued: Notify,
    pub(crate) feed: FeedState,
    /// The last event that the sweep of unmatched events has read.
    pub(crate) unmatched_swept: AtomicI64,
    /// How far each worker has read its index of deadlines.
    pub(crate) due_holds: tokio::sync::Mutex<Horizon>,
    pub(crate) due_orders: tokio::sync::Mutex<Horizon>,
    pub(crate) due_events: tokio::sync::Mutex<Horizon>,
    pub(crate) stragglers: tokio::sync::Mutex<Stragglers>,
    pub(crate) passed_over: Arc<PassedOver>,
    pub(crate) sweep: tokio::sync::Mutex<Sweep>,
    /// When the last deleted idempotency key was taken, UTC. While a snapshot is open, a read from the beginning of the index
    /// walks over the entries of all deleted keys.
    pub(crate) keys_forgotten: tokio::sync::Mutex<NaiveDateTime>,
    pub(crate) paces: Paces,
    /// Held by the running audit.
    pub(crate) auditing: tokio::sync::Mutex<()>,
    pub(crate) readiness: Readiness,
    pub(crate) busiest: Busiest,
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
/// Limits for carts. A batch that waits for a locked product gives up its slot, since other carts have other products.
const CART_LIMITS: Limits = Limits { batch: 512, bytes: 768 * 1024, late: 4, ..LIMITS };
/// Limits for carts with seats: the next batch of a lane waits for the same ticket type.
const SEAT_LIMITS: Limits = Limits { late: 0, ..CART_LIMITS };
/// Limits for orders. A batch that waits for a locked row gives up its slot, since other orders have other rows.
const ORDER_LIMITS: Limits = Limits { batch: 512, late: 4, ..LIMITS };
/// Limits for webhook deliveries, for the same reason.
const EVENT_LIMITS: Limits = Limits { batch: 512, late: 4, ..LIMITS };
/// Limits for redemptions, for the same reason. A batch names its tickets one by one, so its time grows with the square of its jobs.
const REDEEM_LIMITS: Limits = Limits { batch: 128, late: 4, ..LIMITS };
/// How long jobs gather behind a batch. A batch returns within a few milliseconds unless something is wrong.
const GATHER: Duration = Duration::from_millis(50);
/// How long an idle lane waits for its next job before it is removed.
const LINGER: Duration = Duration::from_millis(500);

impl Checkout {
    /// Creates the use cases over this database, with this policy.
    pub fn new(database: Database, policy: Policy) -> Self {
        let database = database.telling_holds(policy.feed_holds == FeedHolds::On);
        let (passed_over, known_products) = (Arc::<PassedOver>::default(), Arc::<KnownProducts>::default());
        let (recent_holds, recent_orders) = (Arc::<Recent<_>>::default(), Arc::<Recent<_>>::default());
        let batches = database.share(Share::Batches);
        let supplies = Arc::new(supplies(&policy, Arc::clone(&passed_over)));
        let hold_work = HoldWork {
            database: batches.clone(),
            ttl_seconds: policy.hold_ttl_seconds,
            max_qty: policy.max_qty,
            max_held: policy.max_held_units.map(|most| most.get().into()),
            supplies: Arc::clone(&supplies),
            products: Arc::clone(&known_products),
            recent: Arc::clone(&recent_holds),
        };
        let holds = Lanes::new("holds", hold_work, LIMITS);
        let cart_work = || cart_work(&policy, batches.clone(), &supplies, &known_products);
        let (carts, seats) =
            (Lanes::new("carts", cart_work(), CART_LIMITS), Lanes::new("seats", cart_work(), SEAT_LIMITS));
        let product_reads = Lanes::new(
            "product_reads",
            ProductReads { database: batches.clone(), supplies: Arc::clone(&supplies) },
            LIMITS,
        );
        let page_reads =
            Lanes::new("page_reads", PageReads { database: batches.clone(), supplies: Arc::clone(&supplies) }, LIMITS);
        let order_work = OrderWork {
            database: batches.clone(),
            ttl_seconds: policy.order_ttl_seconds,
            counts_held: policy.max_held_units.is_some(),
            recent_holds,
            recent: Arc::clone(&recent_orders),
            supplies: Arc::clone(&supplies),
        };
        let event_work = EventWork::new(batches.clone(), recent_orders);
        let (orders, events) =
            (Lanes::new("orders", order_work, ORDER_LIMITS), Lanes::new("payment_events", event_work, EVENT_LIMITS));
        Self {
            readiness: Readiness::new(database.share(Share::Checks)),
            background: database.share(Share::Workers),
            pushes: database.share(Share::Pushes),
            checks: database.share(Share::Checks),
            clients: Registry::new(database.share(Share::Checks)),
            database,
            policy,
            known_products,
            supplies,
            holds,
            carts,
            seats,
            product_reads,
            page_reads,
            event_reads: Lanes::new("event_reads", EventReads { database: batches.clone() }, LIMITS),
            map_reads: Lanes::new("map_reads", MapReads { database: batches.clone() }, LIMITS),
            orders,
            events,
            redemptions: Lanes::new("redemptions", RedeemWork { database: batches }, REDEEM_LIMITS),
            event_queued: Notify::new(),
            feed: FeedState::default(),
            unmatched_swept: AtomicI64::default(),
            due_holds: tokio::sync::Mutex::default(),
            due_orders: tokio::sync::Mutex::default(),
            due_events: tokio::sync::Mutex::default(),
            stragglers: tokio::sync::Mutex::default(),
            passed_over,
            sweep: tokio::sync::Mutex::default(),
            keys_forgotten: tokio::sync::Mutex::new(Place::first().at),
            paces: Paces::default(),
            auditing: tokio::sync::Mutex::default(),
            busiest: Busiest::default(),
        }
    }

    /// Lets every batch finish. No request may be made after this.
    pub async fn finish(&self) {
        self.holds.finish().await;
        self.carts.finish().await;
        self.seats.finish().await;
        self.product_reads.finish().await;
        self.page_reads.finish().await;
        self.event_reads.finish().await;
        self.map_reads.finish().await;
        self.orders.finish().await;
        self.events.finish().await;
        self.redemptions.finish().await;
    }

    /// Closes every connection, after those in use were returned.
    pub async fn close(&self) {
        self.database.close().await;
        self.clients.close().await;
    }

    /// Reports how many jobs wait in lanes, by kind.
    pub fn report_lanes(&self) {
        self.holds.report_depth();
        self.carts.report_depth();
        self.seats.report_depth();
        self.product_reads.report_depth();
        self.page_reads.report_depth();
        self.event_reads.report_depth();
        self.map_reads.report_depth();
        self.orders.report_depth();
        self.events.report_depth();
        self.redemptions.report_depth();
    }

    /// Returns the number of lanes of all kinds. A lane that is idle is removed.
    pub fn lanes(&self) -> usize {
        let reads = self.product_reads.count() + self.page_reads.count();
        let reads = reads + self.event_reads.count() + self.map_reads.count();
        let sales = self.holds.count() + self.carts.count() + self.seats.count();
        sales + reads + self.orders.count() + self.events.count() + self.redemptions.count()
    }

    /// Returns the database, for the code that starts, monitors and stops it.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

/// Creates the work of a lane of carts.
fn cart_work(policy: &Policy, database: Database, supplies: &Arc<Supplies>, products: &Arc<KnownProducts>) -> CartWork {
    CartWork {
        database,
        ttl_seconds: policy.hold_ttl_seconds,
        max_qty: policy.max_qty,
        max_held: policy.max_held_units.map(|most| most.get().into()),
        supplies: Arc::clone(supplies),
        products: Arc::clone(products),
        left: Left::default(),
        plans: SeatPlans::default(),
    }
}

fn supplies(policy: &Policy, passed_over: Arc<PassedOver>) -> Supplies {
    let fronts = Fronts {
        hold_ttl: Duration::from_secs(policy.hold_ttl_seconds),
        order_ttl: Duration::from_secs(policy.order_ttl_seconds),
    };
    Supplies {
        passed_over,
        outlooks: Outlooks::new(fronts, policy.whole_reads),
        due_from: std::sync::Mutex::new(Place::first()),
    }
}
