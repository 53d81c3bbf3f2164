//! A shop of one test's own: a database, and any number of service instances over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast::app::App;
use holdfast::checkout::Policy;
use holdfast::config::{Config, Settings};
use holdfast::http;
use holdfast::http::server::Limits;
use holdfast::rate::Clock as RateClock;
use holdfast::serve::Service;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error, Opts, Row};
use poem::{Endpoint, Response};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::proxy::Proxy;
use super::server::{TestDatabase, connect};
use super::{Client, eventually};

/// The error of a deadlock.
const DEADLOCK: u16 = 1213;

/// A database with products, and functions that start services over it.
pub(crate) struct Shop {
    pub(crate) database: TestDatabase,
}

impl Shop {
    /// An empty shop.
    pub(crate) async fn open() -> Self {
        Self { database: TestDatabase::create().await }
    }

    /// A shop with one product, its stock, and one instance of the service.
    pub(crate) async fn selling(stock: i64) -> (Self, i64, Instance) {
        let shop = Self::open().await;
        let product_id = shop.product(stock).await;
        let instance = shop.serve().await;
        (shop, product_id, instance)
    }

    /// Puts a product on sale for 49.99 EUR, as another program would, and returns its id.
    pub(crate) async fn product(&self, stock: i64) -> i64 {
        let mut conn = self.sql().await;
        let insert = "INSERT INTO products (name, price_minor, currency, stock) VALUES ('A thing', 4999, 'EUR', ?)";
        conn.exec_drop(insert, (stock,)).await.expect("a product can be inserted");
        i64::try_from(conn.last_insert_id().expect("an id")).expect("a small id")
    }

    /// A configuration for this shop: any free port, a short drain time.
    pub(crate) fn config(&self) -> Config {
        let settings = Settings {
            database_url: Some(self.database.url.clone()),
            listen: Some("127.0.0.1:0".to_owned()),
            pool_size: Some("8".to_owned()),
            drain_seconds: Some("5".to_owned()),
            webhook_secrets: Some("off".to_owned()),
            storefront: Some("open".to_owned()),
            log: Some("off".to_owned()),
            ..Settings::default()
        };
        settings.read().expect("a valid configuration")
    }

    /// An instance of the service.
    pub(crate) async fn serve(&self) -> Instance {
        Instance::start(self.config()).await
    }

    /// An instance whose holds and orders last this long.
    pub(crate) async fn serve_with_ttls(&self, hold_ttl_seconds: u64, order_ttl_seconds: u64) -> Instance {
        let config = with_policy(self.config(), |policy| {
            (policy.hold_ttl_seconds, policy.order_ttl_seconds) = (hold_ttl_seconds, order_ttl_seconds);
        });
        Instance::start(config).await
    }

    /// An instance that reaches its database through a proxy.
    pub(crate) async fn serve_through_proxy(&self) -> (Instance, Proxy) {
        let (config, proxy) = self.config_through_proxy().await;
        (Instance::start(config).await, proxy)
    }

    /// An instance without workers that reaches its database through a proxy. Only its requests send statements, so a rule
    /// for `COMMIT` applies to one of them.
    pub(crate) async fn serve_without_workers(&self) -> Bare {
        self.serve_without_workers_as(self.config()).await
    }

    /// Like [`Shop::serve_without_workers`], with this configuration.
    pub(crate) async fn serve_without_workers_as(&self, config: Config) -> Bare {
        self.serve_routes(config, http::routes).await
    }

    /// Like [`Shop::serve_without_workers_as`], with these routes.
    pub(crate) async fn serve_routes<E>(&self, config: Config, routes: impl Fn(&Arc<App>) -> E) -> Bare
    where
        E: Endpoint<Output = Response> + 'static,
    {
        self.serve_routes_by(config, &RateClock::Machine(Instant::now()), routes).await
    }

    /// Like [`Shop::serve_routes`], with this clock of the limits on the rate of requests.
    pub(crate) async fn serve_routes_by<E>(
        &self,
        config: Config,
        rate_clock: &RateClock,
        routes: impl Fn(&Arc<App>) -> E,
    ) -> Bare
    where
        E: Endpoint<Output = Response> + 'static,
    {
        let (through_proxy, proxy) = self.config_through_proxy().await;
        let config = Config { database_url: through_proxy.database_url, ..config };
        let app = Arc::new(App::with_rate_clock(&config, rate_clock));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let client = Client::new(listener.local_addr().expect("an address"));
        let (stop, limits) = (CancellationToken::new(), Limits::default());
        let serving = http::server::serve(listener, routes(&app), stop, Duration::ZERO, limits);
        let serving = tokio::spawn(serving).abort_handle();
        Bare { app, client, proxy, serving }
    }

    /// The use cases without HTTP and without workers: the test takes every step.
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::new(App::new(&self.config()))
    }

    /// Like [`Shop::app`], through a proxy.
    pub(crate) async fn app_through_proxy(&self) -> (Arc<App>, Proxy) {
        let (config, proxy) = self.config_through_proxy().await;
        // as many as let `crowd::SLOTS` batches of one job run at the same time
        (Arc::new(App::new(&Config { pool_size: 16, ..config })), proxy)
    }

    /// The configuration of an instance that reaches its database through a proxy.
    pub(crate) async fn config_through_proxy(&self) -> (Config, Proxy) {
        let opts = Opts::from_url(&self.database.url).expect("a database URL");
        let upstream = (opts.ip_or_hostname(), opts.tcp_port());
        let address: SocketAddr =
            tokio::net::lookup_host(upstream).await.expect("the server resolves").next().expect("an address");
        let proxy = Proxy::start(address).await;
        let database_url = Opts::from_url(&proxy.url(&self.database.url)).expect("a database URL");
        (Config { database_url, ..self.config() }, proxy)
    }

    /// A connection to the database, outside the service.
    pub(crate) async fn sql(&self) -> Conn {
        connect(&self.database.url).await
    }

    /// The first row of a query.
    pub(crate) async fn row<T: FromRow + Send + 'static>(&self, query: &str) -> T {
        self.sql().await.query_first(query).await.expect("the query runs").expect("the query has a row")
    }

    /// All rows of a query.
    pub(crate) async fn rows<T: FromRow + Send + 'static>(&self, query: &str) -> Vec<T> {
        self.sql().await.query(query).await.expect("the query runs")
    }

    /// Returns the number that a query gives.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.row::<i64>(query).await
    }

    /// Waits until a query returns this number: for the results of a worker or another process.
    pub(crate) async fn until(&self, query: &str, expected: i64) {
        let mut conn = self.sql().await;
        let mut last = None;
        let looked = eventually(async || {
            last = conn.query_first::<i64, _>(query).await.expect("the query runs");
            last == Some(expected)
        });
        assert!(looked.await, "{query}: {last:?} instead of {expected}");
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) async fn execute(&self, statement: &str) -> u64 {
        let mut conn = self.sql().await;
        conn.query_drop(statement).await.expect("the statement runs");
        conn.affected_rows()
    }

    /// Waits until the server runs a statement of this name for this shop. One that waits for a lock is always seen.
    pub(crate) async fn until_running(&self, name: &str) {
        let mut conn = self.sql().await;
        let (deadline, first_line) = (Instant::now() + Duration::from_secs(10), format!("-- {name}:"));
        while Instant::now() < deadline {
            let rows: Vec<Row> = conn.query("SHOW FULL PROCESSLIST").await.expect("the query runs");
            // A statement is shown with its parameters, and binary ids are not text.
            let column = |row: &Row, name: &str| row.get::<Option<Vec<u8>>, _>(name).flatten().unwrap_or_default();
            let at_work = |row: &Row| {
                column(row, "db") == self.database.name.as_bytes()
                    && column(row, "Info").starts_with(first_line.as_bytes())
            };
            if rows.iter().any(at_work) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{name} does not run");
    }

    /// Returns how many units of a product are reserved.
    pub(crate) async fn reserved(&self, product_id: i64) -> i64 {
        self.count(&format!("SELECT reserved FROM products WHERE id = {product_id}")).await
    }

    /// Makes one active hold run out now, if it still is one.
    pub(crate) async fn let_hold_run_out(&self, hold_id: &str) {
        let id = binary(hold_id);
        let past = "SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, returns_at = expires_at";
        self.execute(&format!("UPDATE holds {past} WHERE id = {id} AND status = 'active'")).await;
    }

    /// Makes one pending order overdue now, if it still is one. Tried again after a deadlock with the service.
    pub(crate) async fn let_order_run_out(&self, order_id: &str) {
        let id = binary(order_id);
        let past = "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND";
        let order = format!("UPDATE orders SET pay_by = {past} WHERE id = {id} AND status = 'pending'");
        let hold = "UPDATE holds JOIN orders ON orders.hold_id = holds.id SET holds.returns_at = orders.pay_by";
        let hold = format!("{hold} WHERE orders.id = {id}");
        let mut conn = self.sql().await;
        let mut attempt = async || {
            conn.query_drop("BEGIN").await?;
            conn.query_drop(&order).await?;
            if conn.affected_rows() == 1 {
                conn.query_drop(&hold).await?;
            }
            conn.query_drop("COMMIT").await
        };
        loop {
            match attempt().await {
                Err(Error::Server(error)) if error.code == DEADLOCK => {}
                ended => return ended.expect("the transaction commits"),
            }
        }
    }

    /// Makes every active hold run out this long from now.
    pub(crate) async fn let_holds_run_out_in(&self, milliseconds: u32) {
        let soon = format!("UTC_TIMESTAMP(6) + INTERVAL {milliseconds}000 MICROSECOND");
        let set = format!("SET expires_at = {soon}, returns_at = expires_at");
        self.execute(&format!("UPDATE holds {set} WHERE status = 'active'")).await;
    }

    /// Waits until the database's clock has passed the deadline of every hold.
    pub(crate) async fn until_holds_have_run_out(&self) {
        let left = "CAST(COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at)), 0) AS SIGNED)";
        let left_us = self.count(&format!("SELECT {left} FROM holds")).await;
        tokio::time::sleep(Duration::from_micros(u64::try_from(left_us).unwrap_or(0) + 1)).await;
    }

    /// Makes every active hold run out now.
    pub(crate) async fn let_holds_run_out(&self) {
        let past = "UPDATE holds SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, returns_at = expires_at
                    WHERE status = 'active'";
        self.execute(past).await;
    }

    /// Makes every pending order overdue now.
    pub(crate) async fn let_orders_run_out(&self) {
        self.execute("UPDATE orders SET pay_by = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE status = 'pending'").await;
        let past = "UPDATE holds JOIN orders ON orders.hold_id = holds.id SET holds.returns_at = orders.pay_by
                    WHERE orders.status = 'pending'";
        self.execute(past).await;
    }

    /// Checks the invariants with an audit: reserved units are held, await payment, or are sold; every order's trail explains
    /// its state; every amount that was taken is accounted for. See [`holdfast::checkout::audit`].
    pub(crate) async fn assert_conserved(&self) {
        let report = self.app().checkout.audit().await.expect("an audit can be made");
        assert!(report.is_clean(), "{report}");
    }
}

/// A running instance with a client.
pub(crate) struct Instance {
    pub(crate) service: Service,
    pub(crate) client: Client,
}

impl Instance {
    pub(crate) async fn start(config: Config) -> Self {
        let service = Service::start(config).await.expect("a free port");
        let client = Client::new(service.address());
        Self { service, client }
    }
}

/// A running instance without workers, with its proxy.
pub(crate) struct Bare {
    pub(crate) app: Arc<App>,
    pub(crate) client: Client,
    pub(crate) proxy: Proxy,
    serving: AbortHandle,
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl std::ops::Deref for Bare {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// An id as a literal of SQL.
pub(crate) fn binary(id: &str) -> String {
    format!("x'{}'", id.replace('-', ""))
}

impl std::ops::Deref for Instance {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Returns this configuration with other rules of the shop.
pub(crate) fn with_policy(mut config: Config, change: impl FnOnce(&mut Policy)) -> Config {
    change(&mut config.policy);
    config
}
