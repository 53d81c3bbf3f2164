//! The state that handlers and workers share.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::checkout::{Checkout, Error};
use crate::config::Config;
use crate::db::{Clock, Database};
use crate::domain::signature::Secrets;
use crate::domain::{AdminToken, Origins, PushPrivate, StorefrontMode, WebhookAuth};
use crate::rate::{Clock as RateClock, RateLimits, Rates};
use crate::telemetry::Throttle;

/// How long a request waits for its use case, which may have several transactions: a client gets its 503 within 5 s.
const USE_CASE_LIMIT: Duration = Duration::from_millis(4800);

/// One instance of the service.
pub struct App {
    /// The use cases.
    pub checkout: Checkout,
    /// The secrets of the payment webhook; `None` accepts unsigned events.
    pub webhook_secrets: Option<Secrets>,
    /// The secrets of Stripe's webhook; `None` disables its route.
    pub stripe_secrets: Option<Secrets>,
    /// The token of operators; `None` disables their routes.
    pub admin_token: Option<AdminToken>,
    /// Who may sell without a token.
    pub storefront: StorefrontMode,
    /// What a delivery to the canonical webhook must show.
    pub webhook_auth: WebhookAuth,
    /// Bounds the log of requests for operators' routes without a sufficient token.
    pub admin_refusals: Throttle,
    /// The same for other routes.
    pub refusals: Throttle,
    /// The limits on the rate of requests.
    pub rate_limits: RateLimits,
    /// The origins whose pages may call the service.
    pub cors_origins: Origins,
    /// Whether events may be pushed to private addresses.
    pub push_private: PushPrivate,
    /// Whether `POST /dev/pay` pays orders.
    pub pays_orders: bool,
    /// How long an attempt to push may take.
    pub push_time: Duration,
    /// Products whose units on sale are a metric, at most.
    pub stock_metrics: usize,
    /// When it was started.
    pub started: Instant,
    work: TaskTracker,
    draining: CancellationToken,
}

impl App {
    /// Creates the state of this configuration, without connecting to anything yet.
    pub fn new(config: &Config) -> Self {
        Self::with_rate_clock(config, &RateClock::Machine(Instant::now()))
    }

    /// Does the same; `rate_clock` measures the time of the limits on the rate of requests.
    pub fn with_rate_clock(config: &Config, rate_clock: &RateClock) -> Self {
        let clock = Clock::new(Duration::from_secs(config.clock_jump_seconds));
        let database = Database::new(config.database_url.clone(), config.pool_size).with_clock(clock);
        let rates = Rates {
            reads: config.rate_reads,
            writes: config.rate_writes,
            webhooks: config.rate_webhooks,
            admin: config.rate_admin,
        };
        Self {
            checkout: Checkout::new(database, config.policy),
            webhook_secrets: config.webhook_secrets.clone(),
            stripe_secrets: config.stripe_secrets.clone(),
            admin_token: config.admin_token.clone(),
            storefront: config.storefront,
            webhook_auth: config.webhook_auth,
            admin_refusals: Throttle::default(),
            refusals: Throttle::default(),
            rate_limits: RateLimits::new(rates, config.trusted_proxies.clone(), rate_clock),
            cors_origins: config.cors_origins.clone(),
            push_private: config.push_private,
            pays_orders: config.pays_orders,
            push_time: config.push_time,
            stock_metrics: config.stock_metrics,
            started: Instant::now(),
            work: TaskTracker::new(),
            draining: CancellationToken::new(),
        }
    }

    /// Runs a use case in a task of its own: a client that disconnects cancels its handler, which must not cancel a
    /// transaction half-way. A panic inside continues in the caller.
    ///
    /// Not an async function: its future would reserve space for the use case while it waits.
    ///
    /// # Errors
    /// Those of the use case; [`Error::Unavailable`] when it takes too long, although it continues in its task.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send {
        let done = timeout(USE_CASE_LIMIT, self.run_to_its_end(work));
        async { done.await.unwrap_or_else(|_| Err(Error::Unavailable("no answer before the deadline".to_owned()))) }
    }

    /// Does the same without a time limit, for work that has a limit of its own.
    ///
    /// # Errors
    /// Those of the use case.
    pub fn run_to_its_end<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send {
        let task = self.work.spawn(work.in_current_span());
        async { task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) }
    }

    /// Makes `/readyz` report from now on that this instance is not ready.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Whether it is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until it is stopping.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until no use case is under way, including those whose client has disconnected.
    pub async fn finish_work(&self) {
        self.work.close();
        self.work.wait().await;
        self.checkout.finish().await;
    }
}
