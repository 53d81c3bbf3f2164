//! Fills the tables of a shop that has been open for a long time, in a few seconds.
//!
//! Rows are numbered, and each range of numbers is in one state. The ids of holds and orders and all keys follow from
//! their numbers, so that samples name rows without reading them.

use std::ops::Range;

use chrono::{NaiveDateTime, TimeDelta};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use uuid::Uuid;

use crate::support::server::{TestDatabase, connect};

use holdfast::db::due::Place;

/// Number of late rows of each kind: active holds and pending orders that run out first, and received, parked and old rows
/// at the head of their indexes. They are settled before the second stage, so that their index entries are delete-marked.
pub(super) const LATE: i64 = 100_000;
/// The smallest number of rows in a large table.
pub(super) const ROWS: i64 = 200_000;
/// The product of every second hold and of all late holds.
pub(super) const BIG: i64 = 1;

/// Holds and their orders: paid.
pub(super) const PAID: Range<i64> = 1..195_001;
/// Refunded in full.
pub(super) const REFUNDED: Range<i64> = 195_001..200_001;
/// Cancelled.
pub(super) const CANCELLED: Range<i64> = 200_001..205_001;
/// Pending and overdue; those of [`LATE_ORDERS`] are overdue for longer.
pub(super) const OVERDUE_ORDERS: Range<i64> = 205_001..207_001;
/// Pending, with time left.
pub(super) const PENDING: Range<i64> = 207_001..209_001;
/// Pending and the first to be overdue, until [`settle_late`].
pub(super) const LATE_ORDERS: Range<i64> = 209_001..309_001;
/// Holds without an order: active and overdue; those of [`LATE_HOLDS`] are overdue for longer.
pub(super) const OVERDUE_HOLDS: Range<i64> = 309_001..311_001;
/// Active, with time left.
pub(super) const ACTIVE: Range<i64> = 311_001..313_001;
/// Released.
pub(super) const RELEASED: Range<i64> = 313_001..316_001;
/// Expired.
pub(super) const EXPIRED: Range<i64> = 316_001..319_001;
/// Active and the first to run out, until [`settle_late`].
pub(super) const LATE_HOLDS: Range<i64> = 319_001..419_001;

/// Payment events: the successes of [`PAID`] and [`REFUNDED`] have the numbers of their orders. Ignored.
pub(super) const IGNORED: Range<i64> = 200_001..205_001;
const OF_BUSY_ORDER: Range<i64> = IGNORED.start..202_501;
const OF_BUSY_HOLD: Range<i64> = 202_501..IGNORED.end;
/// Received and parked, the first to be due, until [`settle_late`].
pub(super) const LATE_RECEIVED: Range<i64> = 205_001..305_001;
/// See [`LATE_RECEIVED`]. They wait for orders that do not exist.
pub(super) const LATE_PARKED: Range<i64> = 305_001..405_001;
/// Received, and due.
pub(super) const RECEIVED: Range<i64> = 405_001..407_001;
/// Parked for orders that do not exist, and due.
pub(super) const OVERDUE_EVENTS: Range<i64> = 407_001..409_001;
/// Parked for orders that do not exist, with time left.
pub(super) const PARKED: Range<i64> = 409_001..419_001;
/// Parked although their orders exist: those of [`CANCELLED`].
pub(super) const READY: Range<i64> = 419_001..421_001;
/// Quarantined successes.
pub(super) const QUARANTINED: Range<i64> = 421_001..422_001;
/// Quarantined failures.
pub(super) const QUARANTINED_FAILURES: Range<i64> = 422_001..423_001;
/// Due for refund; each owns a charge.
pub(super) const REFUND_DUE: Range<i64> = 423_001..426_001;
/// Dead.
pub(super) const DEAD: Range<i64> = 426_001..428_001;
/// Unmatched, each with one object.
pub(super) const UNMATCHED: Range<i64> = 428_001..430_001;

/// Objects of unmatched events, by event: those of [`UNMATCHED`], and of events that are not in the inbox here. Those of
/// [`LATE_OBJECTS`] are the first, and are matched by [`settle_late`].
pub(super) const OBJECTS: Range<i64> = 424_001..524_001;
const LATE_OBJECTS: Range<i64> = 1..100_001;

/// Idempotency keys, and those of them that are old; the late ones are deleted by [`settle_late`].
pub(super) const KEYS: Range<i64> = 1..203_001;
/// See [`KEYS`].
pub(super) const OLD_KEYS: Range<i64> = 203_001..205_001;
const LATE_KEYS: Range<i64> = 205_001..305_001;

/// The event with more trail rows than any other, and with as many deliveries as one can have.
pub(super) const BUSY_EVENT: i64 = 1;
/// The order that half of [`IGNORED`] name, and the hold that the others name.
pub(super) const BUSY_ORDER: i64 = 180_001;
/// The charge that the first deliveries of [`OF_BUSY_CHARGE`] name.
pub(super) const BUSY_CHARGE: &str = "busy charge";
/// See [`BUSY_CHARGE`].
pub(super) const OF_BUSY_CHARGE: Range<i64> = 100_001..102_001;

/// The id of a hold.
pub(super) fn hold(number: i64) -> Uuid {
    id(number, 1)
}

/// The id of an order.
pub(super) fn order(number: i64) -> Uuid {
    id(number, 2)
}

/// The product of a hold's row.
pub(super) fn product_of(number: i64) -> i64 {
    let late = LATE_ORDERS.contains(&number) || LATE_HOLDS.contains(&number);
    if late || number % 2 == 0 { BIG } else { 2 + number % 5_000 }
}

fn id(number: i64, kind: u128) -> Uuid {
    let number = u128::try_from(number).expect("a positive number");
    Uuid::from_u128((0x0190 << 112) | (number << 80) | (0x7000_8000 << 48) | kind)
}

/// [`hold`] and [`order`] in SQL.
fn id_of(number: &str, kind: u8) -> String {
    format!("UNHEX(CONCAT('0190', LPAD(HEX({number}), 8, '0'), '70008000{kind:012}'))")
}

/// A filled database.
pub(super) struct World {
    pub(super) database: TestDatabase,
    /// When it was filled, by the database's clock.
    pub(super) now: NaiveDateTime,
}

/// `CASE WHEN i BETWEEN … THEN … END`: a value for each range.
fn by_range(cases: &[(&Range<i64>, &str)], otherwise: &str) -> String {
    let whens = cases.iter().map(|(range, value)| format!("WHEN {} THEN {value}", within(range)));
    format!("CASE {} ELSE {otherwise} END", whens.collect::<Vec<_>>().join(" "))
}

fn within(range: &Range<i64>) -> String {
    format!("i BETWEEN {} AND {}", range.start, range.end - 1)
}

/// A time in SQL: now plus the seconds, plus the row's number in milliseconds.
fn moment(seconds: i64) -> String {
    format!("@now + INTERVAL {seconds} SECOND + INTERVAL i * 1000 MICROSECOND")
}

/// Seconds from now to the time when the first late row runs out: two days ago, since the rows' numbers add milliseconds.
const LATE_SECONDS: i64 = -2 * 86_400;
/// The same for the other overdue rows, without their numbers.
const OVERDUE_SECONDS: i64 = -3_600;
/// The same for the receipt of events, without their numbers.
const RECEIVED_SECONDS: i64 = -200_000;

impl World {
    /// Creates and fills a database.
    pub(super) async fn fill() -> Self {
        let database = TestDatabase::create().await;
        let mut conn = session(&database).await;
        for statement in numbers() {
            conn.query_drop(statement).await.expect("numbers");
        }
        let now: Option<NaiveDateTime> = conn.query_first("SELECT NOW(6)").await.expect("a clock");
        let world = Self { database, now: now.expect("a time") };
        let keys_of_tables = world.drop_keys().await;
        let groups = [
            vec![events(), trail(), quarantines(), deliveries()],
            vec![holds(), products(), charges(), links(), objects()],
            vec![orders(), order_events(), keys()],
        ];
        let groups = groups.map(|group| world.run(group));
        futures_util::future::join_all(groups).await;
        world.run_apart(keys_of_tables).await;
        world.analyze().await;
        world
    }

    /// Returns where the service begins to look for due rows: at the beginning, or behind the late rows once they are settled.
    pub(super) fn place(&self, late_is_settled: bool) -> Place {
        let moved = self.now + TimeDelta::seconds(OVERDUE_SECONDS);
        if late_is_settled { Place::before(moved) } else { Place::first() }
    }

    /// Returns when the row with this number is due, if it is overdue but not late.
    pub(super) fn overdue_at(&self, number: i64) -> NaiveDateTime {
        self.now + TimeDelta::seconds(OVERDUE_SECONDS) + TimeDelta::milliseconds(number)
    }

    /// Returns when the event with this number was received.
    pub(super) fn received_at(&self, number: i64) -> NaiveDateTime {
        self.now + TimeDelta::seconds(RECEIVED_SECONDS) + TimeDelta::milliseconds(number)
    }

    /// Drops the secondary keys of all tables, and returns the statements that create them again: MySQL builds a key several
    /// times as fast as it fills one row by row. MariaDB needs no help: it loads an empty table in the fast way.
    async fn drop_keys(&self) -> Vec<String> {
        let mut conn = session(&self.database).await;
        let version: Option<String> = conn.query_first("SELECT VERSION()").await.expect("a version");
        let mut statements = Vec::new();
        if version.is_some_and(|version| version.contains("MariaDB")) {
            return statements;
        }
        for (table, _) in TABLES {
            let create: Option<(String, String)> =
                conn.query_first(format!("SHOW CREATE TABLE {table}")).await.expect("a table");
            let (_, create) = create.expect("a table");
            let lines = create.lines().map(|line| line.trim().trim_end_matches(','));
            let keys: Vec<&str> =
                lines.filter(|line| line.starts_with("KEY ") || line.starts_with("UNIQUE KEY ")).collect();
            let name = |key: &&str| key.split('`').nth(1).map(|name| format!("DROP KEY `{name}`"));
            let drops: Vec<String> = keys.iter().filter_map(name).collect();
            if !keys.is_empty() {
                conn.query_drop(format!("ALTER TABLE {table} {}", drops.join(", ")))
                    .await
                    .expect("keys can be dropped");
                let adds: Vec<String> = keys.iter().map(|key| format!("ADD {key}")).collect();
                statements.push(format!("ALTER TABLE {table} {}", adds.join(", ")));
            }
        }
        statements
    }

    /// Runs the statements on two connections.
    async fn run_apart(&self, statements: Vec<String>) {
        let (even, odd): (Vec<_>, Vec<_>) = statements.into_iter().enumerate().partition(|(place, _)| place % 2 == 0);
        let groups = [even, odd].map(|group| self.run(group.into_iter().map(|(_, statement)| statement).collect()));
        futures_util::future::join_all(groups).await;
    }

    /// Runs the statements one after another on one connection.
    async fn run(&self, statements: Vec<String>) {
        let mut conn = session(&self.database).await;
        conn.query_drop(format!("SET @now = '{}'", self.now.format("%F %T%.6f"))).await.expect("a variable");
        for statement in statements {
            conn.query_drop(&statement).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
        }
    }

    /// Brings the statistics of the optimizer up to date.
    async fn analyze(&self) {
        let tables = TABLES.map(|(table, _)| table).join(", ");
        self.run(vec![format!("ANALYZE TABLE {tables}")]).await;
    }

    /// Settles all late rows. While a snapshot is open, the old index entries stay, delete-marked.
    pub(super) async fn settle_late(&self) {
        let update = |table: &str, column: &str, range: &Range<i64>, [first, last]: [String; 2], set: &str| {
            assert_eq!(range.end - range.start, LATE);
            format!("UPDATE {table} SET {set} WHERE {column} BETWEEN {first} AND {last}")
        };
        let ids = |of: fn(i64) -> Uuid, range: &Range<i64>| {
            [range.start, range.end - 1].map(|number| format!("x'{}'", of(number).simple()))
        };
        let numbers = |range: &Range<i64>| [range.start, range.end - 1].map(|number| number.to_string());
        let sold = "status = 'expired', returns_at = NULL";
        let applied = "status = 'applied', due_at = NULL, settled_at = NOW(6)";
        let (received, parked) = (numbers(&LATE_RECEIVED), numbers(&LATE_PARKED));
        let groups = [
            vec![
                update("holds", "id", &LATE_HOLDS, ids(hold, &LATE_HOLDS), sold),
                update("holds", "id", &LATE_ORDERS, ids(hold, &LATE_ORDERS), "returns_at = NULL"),
                update("orders", "id", &LATE_ORDERS, ids(order, &LATE_ORDERS), "status = 'paid'"),
            ],
            vec![
                update("payment_events", "id", &LATE_RECEIVED, received, applied),
                update("payment_events", "id", &LATE_PARKED, parked, applied),
            ],
            vec![
                "DELETE FROM idempotency_keys WHERE created_at < @now - INTERVAL 60 HOUR".to_owned(),
                format!("DELETE FROM unmatched_objects WHERE event_id < {}", LATE_OBJECTS.end),
            ],
        ];
        futures_util::future::join_all(groups.map(|group| self.run(group))).await;
        self.analyze().await;
    }
}

/// The large tables, each with one of its columns.
pub(super) const TABLES: [(&str, &str); 12] = [
    ("products", "id"),
    ("holds", "id"),
    ("orders", "id"),
    ("order_events", "id"),
    ("payment_events", "id"),
    ("payment_event_trail", "id"),
    ("payment_event_quarantines", "event_id"),
    ("payment_event_deliveries", "event_id"),
    ("payment_links", "object_id"),
    ("unmatched_objects", "event_id"),
    ("charges", "event_id"),
    ("idempotency_keys", "created_at"),
];

/// Opens a session that writes fast: it checks no keys, which are right by construction, and writes no binary log.
async fn session(database: &TestDatabase) -> Conn {
    let mut conn = connect(&database.url).await;
    conn.query_drop("SET SESSION unique_checks = 0, foreign_key_checks = 0, time_zone = '+00:00'")
        .await
        .expect("settings");
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.expect("settings");
    // this needs a privilege; without it, filling takes longer
    let _ = conn.query_drop("SET SESSION sql_log_bin = 0").await;
    conn
}

/// A table of the numbers from 1 on.
fn numbers() -> Vec<String> {
    let create = "CREATE TABLE numbers (i INT NOT NULL PRIMARY KEY) ENGINE = InnoDB";
    let double = |count: i64| format!("INSERT INTO numbers SELECT i + {count} FROM numbers");
    let doubled = (0..19).map(|power| double(1 << power));
    [create.to_owned(), "INSERT INTO numbers VALUES (1)".to_owned()].into_iter().chain(doubled).collect()
}

fn products() -> String {
    format!(
        "INSERT INTO products (id, name, price_minor, currency, stock, reserved)
         SELECT i, CONCAT('product ', i), 4999, 'EUR', 10000000, 1000000 FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

fn holds() -> String {
    let product = by_range(&[(&LATE_ORDERS, "1"), (&LATE_HOLDS, "1")], "IF(i % 2 = 0, 1, 2 + i % 5000)");
    let active = (&(OVERDUE_HOLDS.start..ACTIVE.end), "'active'");
    let status = [active, (&RELEASED, "'released'"), (&EXPIRED, "'expired'"), (&LATE_HOLDS, "'active'")];
    let (late, overdue, later) = (moment(LATE_SECONDS), moment(OVERDUE_SECONDS), moment(3_600));
    let expires = by_range(&[(&LATE_HOLDS, &late), (&OVERDUE_HOLDS, &overdue), (&ACTIVE, &later)], &moment(-200_000));
    let returns = by_range(
        &[
            (&LATE_HOLDS, &late),
            (&LATE_ORDERS, &late),
            (&OVERDUE_HOLDS, &overdue),
            (&OVERDUE_ORDERS, &overdue),
            (&ACTIVE, &later),
            (&PENDING, &later),
        ],
        "NULL",
    );
    format!(
        "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, status, created_at, expires_at, returns_at)
         SELECT {id}, {product}, 1, 4999, 'EUR', {status}, {created}, {expires}, {returns}
         FROM numbers WHERE i < {end} ORDER BY i",
        id = id_of("i", 1),
        status = by_range(&status, "'ordered'"),
        created = moment(-200_000),
        end = LATE_HOLDS.end,
    )
}

fn orders() -> String {
    let pending = OVERDUE_ORDERS.start..LATE_ORDERS.end;
    let status = by_range(
        &[(&PAID, "'paid'"), (&REFUNDED, "'refunded'"), (&CANCELLED, "'cancelled'"), (&pending, "'pending'")],
        "NULL",
    );
    let (late, overdue, later) = (moment(LATE_SECONDS), moment(OVERDUE_SECONDS), moment(3_600));
    let pay_by = by_range(&[(&LATE_ORDERS, &late), (&OVERDUE_ORDERS, &overdue), (&PENDING, &later)], &moment(-200_000));
    format!(
        "INSERT INTO orders (id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor)
         SELECT {id}, {hold}, {status}, 4999, 'EUR', {created}, {pay_by}, {refunded}
         FROM numbers WHERE i < {end} ORDER BY i",
        id = id_of("i", 2),
        hold = id_of("i", 1),
        created = moment(-200_000),
        refunded = by_range(&[(&REFUNDED, "4999")], "0"),
        end = LATE_ORDERS.end,
    )
}

fn order_events() -> String {
    let settled = PAID.start..CANCELLED.end;
    let ended = by_range(&[(&CANCELLED, "'cancelled'")], "'paid'");
    let reason = by_range(&[(&CANCELLED, "'payment_overdue'")], "'payment_succeeded'");
    let event = by_range(&[(&CANCELLED, "NULL")], "i");
    format!(
        "INSERT INTO order_events (order_id, from_status, to_status, reason, at, payment_event_id, txn_id)
         SELECT {order},
                CASE step WHEN 1 THEN NULL WHEN 2 THEN 'pending' ELSE 'paid' END,
                CASE step WHEN 1 THEN 'pending' WHEN 2 THEN {ended} ELSE 'refunded' END,
                CASE step WHEN 1 THEN 'created' WHEN 2 THEN {reason} ELSE 'payment_refunded' END,
                {at}, IF(step = 1, NULL, {event}), NULL
         FROM numbers JOIN (SELECT 1 AS step UNION ALL SELECT 2 UNION ALL SELECT 3) AS steps
         WHERE i < {end} AND (step = 1 OR step = 2 AND {settled} OR step = 3 AND {refunded})
         ORDER BY i, step",
        order = id_of("i", 2),
        at = moment(-200_000),
        end = LATE_ORDERS.end,
        settled = within(&settled),
        refunded = within(&REFUNDED),
    )
}

fn events() -> String {
    let received = |range| (range, "'received'");
    let parked = |range| (range, "'parked'");
    let waiting = OVERDUE_EVENTS.start..READY.end;
    let status = [
        (&IGNORED, "'ignored'"),
        received(&LATE_RECEIVED),
        parked(&LATE_PARKED),
        received(&RECEIVED),
        parked(&waiting),
        (&(QUARANTINED.start..QUARANTINED_FAILURES.end), "'quarantined'"),
        (&REFUND_DUE, "'refund_due'"),
        (&DEAD, "'dead'"),
        (&UNMATCHED, "'unmatched'"),
    ];
    let (late, overdue, later) = (moment(LATE_SECONDS), moment(OVERDUE_SECONDS), moment(86_400));
    let tomorrow = PARKED.start..READY.end;
    let due = by_range(
        &[
            (&LATE_RECEIVED, &late),
            (&LATE_PARKED, &late),
            (&RECEIVED, &overdue),
            (&OVERDUE_EVENTS, &overdue),
            (&tomorrow, &later),
        ],
        "NULL",
    );
    let unknown = LATE_PARKED.start..READY.start;
    let ready = id_of(&format!("i - {}", READY.start - CANCELLED.start), 2);
    let busy = id_of(&BUSY_ORDER.to_string(), 2);
    let order = by_range(
        &[
            (&unknown, &id_of("i", 3)),
            (&READY, &ready),
            (&OF_BUSY_ORDER, &busy),
            (&OF_BUSY_HOLD, "NULL"),
            (&UNMATCHED, "NULL"),
        ],
        &id_of("1 + i % 200000", 2),
    );
    let settled = PAID.start..REFUNDED.end;
    format!(
        "INSERT INTO payment_events (id, provider, idempotency_key, fingerprint, status, meaning, order_id, hold_id, amount,
                                     currency, txn_id, body, received_at, settled_at, due_at, park_until, attempts)
         SELECT i, 'default', CONCAT('succeeded', CHAR(31), 'charge ', i), REPEAT('f', 32), {status}, {meaning},
                IF({by_hold}, NULL, {order}), IF({by_hold}, {hold}, NULL), '49.99',
                'EUR', CONCAT('charge ', i), '{{}}', {received}, IF({due} IS NULL, @now, NULL), {due}, {later}, 1
         FROM numbers WHERE i < {end} ORDER BY i",
        status = by_range(&status, "'applied'"),
        meaning =
            by_range(&[(&LATE_RECEIVED, "'refunded'"), (&QUARANTINED_FAILURES, "'failed'")], "'succeeded'"),
        by_hold = by_range(&[(&OF_BUSY_ORDER, "FALSE"), (&OF_BUSY_HOLD, "TRUE"), (&UNMATCHED, "FALSE")], "i % 1000 = 0"),
        order = by_range(&[(&settled, &id_of("i", 2))], &order),
        hold = by_range(
            &[
                (&settled, &id_of("i", 1)),
                (&unknown, &id_of("i", 3)),
                (&OF_BUSY_HOLD, &id_of(&BUSY_ORDER.to_string(), 1)),
            ],
            &id_of("1 + i % 200000", 1)
        ),
        received = moment(RECEIVED_SECONDS),
        end = UNMATCHED.end,
    )
}

fn trail() -> String {
    // the busy event has 2,000 rows, the others have four each
    let event = "IF(i <= 2000, 1, 1 + i DIV 4)";
    format!(
        "INSERT INTO payment_event_trail (event_id, action, attempt, detail)
         SELECT {event}, 'attempt_failed', 1, 'the provider said no' FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

fn charges() -> String {
    let settled = PAID.start..REFUNDED.end;
    format!(
        "INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency, refunded_minor)
         SELECT 'default', CONCAT('charge ', i), i, {order}, {hold}, {status}, 4999, 'EUR', {refunded}
         FROM numbers WHERE {settled} OR {due} ORDER BY 2",
        order = by_range(&[(&settled, &id_of("i", 2))], &id_of("1 + i % 200000", 2)),
        hold = by_range(&[(&settled, &id_of("i", 1))], &id_of("1 + i % 200000", 1)),
        status = by_range(&[(&REFUNDED, "'refunded'"), (&REFUND_DUE, "'refund_due'")], "'paid'"),
        refunded = by_range(&[(&REFUNDED, "4999")], "0"),
        settled = within(&settled),
        due = within(&REFUND_DUE),
    )
}

fn keys() -> String {
    let created =
        by_range(&[(&OLD_KEYS, "@now - INTERVAL 50 HOUR"), (&LATE_KEYS, &moment(-4 * 86_400))], &moment(-86_400));
    format!(
        "INSERT INTO idempotency_keys (id, scope, operation, idempotency_key, fingerprint, resource_id, answered_status, created_at)
         SELECT UNHEX(SHA2(CONCAT(0x00, operation, 0x00, name), 256)), '', operation, name, REPEAT('f', 32), {id}, NULL, {created}
         FROM (
           SELECT i, IF(i % 2 = 0, 'hold', 'order') AS operation, CONCAT('key ', i) AS name FROM numbers WHERE i < {end}
         ) AS named
         ORDER BY 1",
        id = id_of("i", 2),
        end = LATE_KEYS.end,
    )
}

fn quarantines() -> String {
    let quarantined = QUARANTINED.start..QUARANTINED_FAILURES.end;
    format!(
        "INSERT INTO payment_event_quarantines (event_id, settled_at, reason, expected, got)
         SELECT i, @now, 'amount_mismatch', '49.99 EUR', '4.99 EUR'
         FROM numbers WHERE i <= {ROWS} OR {} ORDER BY i",
        within(&quarantined),
    )
}

fn deliveries() -> String {
    let txn_id = by_range(&[(&OF_BUSY_CHARGE, &format!("'{BUSY_CHARGE}'"))], "CONCAT('charge ', i)");
    format!(
        "INSERT INTO payment_event_deliveries (event_id, slot, delivery, answer, txn_id)
         SELECT i, 0, 1, {answer}, {txn_id} FROM numbers WHERE i <= {ROWS} OR {parked}
         UNION ALL
         SELECT {BUSY_EVENT}, i, i, 'applied', NULL FROM numbers WHERE i BETWEEN 1 AND 99",
        answer = by_range(&[(&PARKED, "'pending_order'")], "'applied'"),
        parked = within(&PARKED),
    )
}

fn links() -> String {
    format!(
        "INSERT INTO payment_links (provider, object_id, charge_name, order_id, hold_id)
         SELECT 'default', CONCAT('object ', i), CONCAT('charge ', i), {}, NULL
         FROM numbers WHERE i <= {ROWS} ORDER BY 2",
        id_of("i", 2),
    )
}

fn objects() -> String {
    format!(
        "INSERT INTO unmatched_objects (provider, object_id, event_id)
         SELECT 'default', CONCAT('unmatched ', i), i
         FROM numbers WHERE {} OR {} ORDER BY 2",
        within(&LATE_OBJECTS),
        within(&OBJECTS),
    )
}
