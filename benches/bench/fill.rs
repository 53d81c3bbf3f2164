//! Writes millions of finished orders, as the service leaves them, with INSERT … SELECT from a table of numbers.

use std::time::Duration;

use mysql_async::Opts;
use mysql_async::prelude::Queryable;
use tokio::time::{Instant, sleep};

use crate::connections::connect;
use crate::database::Ground;

/// Rows of a finished order: a hold, an order, two transitions, a payment event and a charge.
pub(crate) const ROWS_OF_AN_ORDER: i64 = 6;
/// Orders that one statement writes.
const CHUNK: i64 = 100_000;
/// Length of InnoDB's history list (transactions not yet purged) at which measuring may begin.
const SETTLED: i64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(900);

/// A set of rows. The id of row `n` begins with `milliseconds + n`, as in a UUID of version 7. The ids of two sets do not
/// overlap, and all are smaller than new ids of the service.
#[derive(Clone, Copy)]
pub(crate) struct Set {
    milliseconds: i64,
}

impl Set {
    /// The finished orders.
    const FINISHED: Self = Self { milliseconds: 1_600_000_000_000 };

    /// Holds and orders prepared for one visit.
    pub(crate) fn prepared(number: i64) -> Self {
        Self { milliseconds: 1_700_000_000_000 + number * 10_000_000 }
    }

    /// Returns SQL for the id of row `n`; `kind` distinguishes holds from orders.
    fn id(self, kind: &str) -> String {
        format!("UNHEX(CONCAT(LPAD(HEX({} + n), 12, '0'), '7{kind}8000', LPAD(HEX(n), 12, '0')))", self.milliseconds)
    }

    /// Returns the id of hold `n` as text.
    pub(crate) fn hold_id(self, n: i64) -> String {
        self.text(n, "001")
    }

    /// Returns the id of order `n` as text.
    pub(crate) fn order_id(self, n: i64) -> String {
        self.text(n, "002")
    }

    fn text(self, n: i64, kind: &str) -> String {
        let begin = format!("{:012x}", self.milliseconds + n);
        format!("{}-{}-7{kind}-8000-{n:012x}", &begin[..8], &begin[8..])
    }
}

/// Inserts that many finished orders of a product, on two connections; each table is filled by one of them.
pub(crate) async fn finished(ground: &Ground, product_id: i64, orders: i64) {
    numbers(ground, CHUNK).await;
    let hold_id = Set::FINISHED.id("001");
    let order_id = Set::FINISHED.id("002");
    let at = "TIMESTAMP'2024-01-01 00:00:00' + INTERVAL n DIV 1000 SECOND";
    let holds = format!(
        "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, status, created_at, expires_at, returns_at)
         SELECT {hold_id}, {product_id}, 1, 4999, 'EUR', 'ordered', {at}, {at} + INTERVAL 120 SECOND, NULL"
    );
    let all_orders = format!(
        "INSERT INTO orders (id, hold_id, status, total_minor, currency, created_at, pay_by)
         SELECT {order_id}, {hold_id}, 'paid', 4999, 'EUR', {at}, {at} + INTERVAL 900 SECOND"
    );
    let transitions = format!(
        "INSERT INTO order_events (id, order_id, from_status, to_status, reason, at, payment_event_id, txn_id, amount,
                                   currency)
         SELECT 2 * n - step, {order_id}, IF(step, NULL, 'pending'), IF(step, 'pending', 'paid'),
                IF(step, 'ordered', 'payment'), {at}, IF(step, NULL, n), IF(step, NULL, CONCAT('txn-', LPAD(n, 12, '0'))),
                IF(step, NULL, '49.99'), IF(step, NULL, 'EUR')"
    );
    let events = format!(
        "INSERT INTO payment_events (id, provider, idempotency_key, fingerprint, status, meaning, order_id, amount,
                                     currency, txn_id, headers, body, attempts, processing_us, received_at, settled_at,
                                     due_at)
         SELECT n, 'default', CONCAT('paid:', LPAD(n, 12, '0')), UNHEX(SHA2(n, 256)), 'applied', 'succeeded', {order_id},
                '49.99', 'EUR', CONCAT('txn-', LPAD(n, 12, '0')), '{{\"content-type\":\"application/json\"}}',
                CONCAT('{{\"order_id\":\"', HEX({order_id}), '\",\"status\":\"paid\",\"amount\":49.99,\"txn_id\":\"txn-',
                       LPAD(n, 12, '0'), '\"}}'), 1, 900, {at}, {at}, NULL"
    );
    let charges = format!(
        "INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency)
         SELECT 'default', CONCAT('txn-', LPAD(n, 12, '0')), n, {order_id}, {hold_id}, 'paid', 4999, 'EUR'"
    );
    let steps = "JOIN (SELECT 1 AS step UNION ALL SELECT 0) AS steps";
    let one = [(holds, ""), (all_orders, ""), (charges, "")];
    let other = [(transitions, steps), (events, "")];
    tokio::join!(fill(&ground.opts, &one, orders), fill(&ground.opts, &other, orders));
    let reserve = format!("UPDATE products SET reserved = reserved + {orders} WHERE id = {product_id}");
    ground.execute(&reserve).await;
    for table in ["holds", "orders", "order_events", "payment_events", "charges"] {
        ground.execute(&format!("ANALYZE TABLE {table}")).await;
    }
}

/// Makes all finished orders those of a client, with so many buyers and references.
pub(crate) async fn owners(ground: &Ground, client_id: i64, buyers: i64) {
    let names = format!("CONCAT('customer-', seq % {buyers}), CONCAT('cart-', seq % {buyers})");
    let numbered = "CAST(CONV(HEX(SUBSTRING(id, 11)), 16, 10) AS UNSIGNED) AS seq";
    for (table, column, at, source) in
        [("hold_owners", "hold_id", "", "holds"), ("order_owners", "order_id", ", created_at", "orders")]
    {
        let columns = format!("{column}, client_id, buyer, reference{at}");
        let numbered = format!("(SELECT id, created_at, {numbered} FROM {source}) AS numbered");
        let insert = format!("INSERT INTO {table} ({columns}) SELECT id, {client_id}, {names}{at} FROM {numbered}");
        ground.execute(&insert).await;
        ground.execute(&format!("ANALYZE TABLE {table}")).await;
    }
    ground.execute(&format!("UPDATE orders SET client_id = {client_id}")).await;
}

/// Inserts `holds` holds; the last `orders` of them have an order that waits for its payment, the others are active.
pub(crate) async fn waiting(ground: &Ground, product_id: i64, set: Set, holds: i64, orders: i64) {
    numbers(ground, holds).await;
    let (hold_id, order_id) = (set.id("001"), set.id("002"));
    let (later, ordered) = ("NOW(6) + INTERVAL 1 DAY", holds - orders);
    let all_holds = format!(
        "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, status, expires_at, returns_at)
         SELECT {hold_id}, {product_id}, 1, 4999, 'EUR', IF(n > {ordered}, 'ordered', 'active'), {later}, {later}
         FROM bench_numbers WHERE n <= {holds} ORDER BY n"
    );
    let pending = format!(
        "INSERT INTO orders (id, hold_id, status, total_minor, currency, pay_by)
         SELECT orders.id, holds.id, 'pending', 4999, 'EUR', holds.returns_at
         FROM (SELECT {order_id} AS id, {hold_id} AS hold_id FROM bench_numbers WHERE n > {ordered} AND n <= {holds})
           AS orders
         STRAIGHT_JOIN holds ON holds.id = orders.hold_id"
    );
    let transitions = format!(
        "INSERT INTO order_events (order_id, from_status, to_status, reason)
         SELECT {order_id}, NULL, 'pending', 'ordered' FROM bench_numbers WHERE n > {ordered} AND n <= {holds} ORDER BY n"
    );
    for statement in [all_holds, pending, transitions] {
        ground.execute(&statement).await;
    }
    let reserve = format!("UPDATE products SET reserved = reserved + {holds} WHERE id = {product_id}");
    ground.execute(&reserve).await;
}

/// Waits until InnoDB has purged its history, 15 minutes at most. Returns the length of the history list.
pub(crate) async fn settled(ground: &Ground) -> i64 {
    let started = Instant::now();
    loop {
        let kept: i64 = ground
            .value(
                "SELECT CAST(`count` AS SIGNED) FROM information_schema.innodb_metrics
                          WHERE name = 'trx_rseg_history_len'",
            )
            .await;
        if kept <= SETTLED || started.elapsed() > PATIENCE {
            return kept;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Fills the table of numbers from 1 to `count` or more.
async fn numbers(ground: &Ground, count: i64) {
    ground.execute("CREATE TABLE IF NOT EXISTS bench_numbers (n BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB").await;
    let have: i64 = ground.value("SELECT COALESCE(MAX(n), 0) FROM bench_numbers").await;
    if have == 0 && count > 0 {
        ground.execute("INSERT INTO bench_numbers VALUES (1)").await;
    }
    let mut have = have.max(1);
    while have < count {
        let more = have.min(count - have);
        let double = format!("INSERT INTO bench_numbers SELECT n + {have} FROM bench_numbers WHERE n <= {more}");
        ground.execute(&double).await;
        have += more;
    }
}

/// Fills tables one after the other, in chunks, with ascending ids.
async fn fill(opts: &Opts, tables: &[(String, &str)], orders: i64) {
    let mut conn = connect(opts).await;
    conn.query_drop("SET unique_checks = 0, foreign_key_checks = 0").await.expect("the server accepts the settings");
    for (insert, join) in tables {
        for first in (0..orders).step_by(CHUNK as usize) {
            let count = CHUNK.min(orders - first);
            let numbers = format!("(SELECT n + {first} AS n FROM bench_numbers WHERE n <= {count}) AS numbers");
            let statement = format!("{insert} FROM {numbers} {join}");
            conn.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    let _ = conn.disconnect().await;
}
