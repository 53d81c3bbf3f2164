//! Fills the tables of a shop that has been open for a long time, in a few seconds.
//!
//! Rows are numbered, and each range of numbers is in one state. The ids of holds and orders and all keys follow from
//! their numbers, so that samples name rows without reading them.

use std::ops::Range;

use chrono::{NaiveDateTime, TimeDelta};
use holdfast::db::due::Place;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use uuid::Uuid;

use super::rows::{
    buyer_units, charges, client_keys, client_trail, clients, deliveries, due_refunds, endpoint_trail, endpoints,
    event_cancellations, event_operators, events, feed_batches, feed_products, hold_owners, holds, keys, links,
    numbers, objects, order_events, order_owners, orders, organizers, product_trail, products, push_attempts,
    push_cursors, push_failures, quarantines, seats, ticket_events, tickets, trail,
};
use crate::support::server::{TestDatabase, connect};

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
pub(super) const OF_BUSY_ORDER: Range<i64> = IGNORED.start..202_501;
pub(super) const OF_BUSY_HOLD: Range<i64> = 202_501..IGNORED.end;
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
pub(super) const LATE_OBJECTS: Range<i64> = 1..100_001;

/// Idempotency keys, and those of them that are old; the late ones are deleted by [`settle_late`].
pub(super) const KEYS: Range<i64> = 1..203_001;
/// See [`KEYS`].
pub(super) const OLD_KEYS: Range<i64> = 203_001..205_001;
pub(super) const LATE_KEYS: Range<i64> = 205_001..305_001;

/// Rows of the feed, with two events each: those from [`LATE_TOLD`] on have no position, the late ones get theirs by
/// [`World::settle_late`].
pub(super) const TOLD: Range<i64> = 1..302_001;
/// See [`TOLD`].
pub(super) const LATE_TOLD: Range<i64> = 200_001..300_001;

/// Products of which the feed has told that they are sold out, although they have units.
pub(super) const TOLD_PRODUCTS: Range<i64> = 110_001..150_001;
/// The telling that wrote that.
pub(super) const TELLING: Uuid = Uuid::from_u128(0x0707_0707_0707_0707_0707_0707_0707_0707);

/// Clients that are not revoked, each with four keys; the others up to [`ROWS`] are revoked.
pub(super) const LIVE_CLIENTS: Range<i64> = 1..2_001;
/// Endpoints that are not disabled, among those that are.
pub(super) const LIVE_ENDPOINTS: Range<i64> = 50_001..52_001;
/// An endpoint to which many events wait to be pushed.
pub(super) const PUSHING: i64 = 51_000;

/// The event with more trail rows than any other, and with as many deliveries as one can have.
pub(super) const BUSY_EVENT: i64 = 1;
/// The order that half of [`IGNORED`] name, and the hold that the others name.
pub(super) const BUSY_ORDER: i64 = 180_001;
/// The charge that the first deliveries of [`OF_BUSY_CHARGE`] name.
pub(super) const BUSY_CHARGE: &str = "busy charge";
/// See [`BUSY_CHARGE`].
pub(super) const OF_BUSY_CHARGE: Range<i64> = 100_001..102_001;

/// The ticket types of the first events, one each, in the order of the events: seated ones, each with [`SEATS`] seats, and the
/// others, which have none.
pub(super) const SEATED: Range<i64> = 190_001..190_041;
/// See [`SEATED`].
pub(super) const ADMISSIONS: Range<i64> = SEATED.end..200_001;
/// The seats of a seated ticket type; every second one is free.
pub(super) const SEATS: i64 = 5_000;
/// Cancelled events whose end is under way; all others but the last event are finished.
pub(super) const OPEN_ENDINGS: Range<i64> = 100_001..100_011;
/// A ticket type without a unit on sale, and its event.
pub(super) const ALL_HELD: (i64, i64) = (6, 10_001);

/// The id of a hold.
pub(super) fn hold(number: i64) -> Uuid {
    id(number, 1)
}

/// The id of an order.
pub(super) fn order(number: i64) -> Uuid {
    id(number, 2)
}

/// The id of a counter.
pub(super) fn counter(number: i64) -> Uuid {
    id(number, 7)
}

/// The product of a hold's row.
pub(super) fn product_of(number: i64) -> i64 {
    let late = LATE_ORDERS.contains(&number) || LATE_HOLDS.contains(&number);
    if late || number % 2 == 0 { BIG } else { 2 + number % 5_000 }
}

pub(super) fn id(number: i64, kind: u128) -> Uuid {
    let number = u128::try_from(number).expect("a positive number");
    Uuid::from_u128((0x0190 << 112) | (number << 80) | (0x7000_8000 << 48) | kind)
}

/// [`hold`] and [`order`] in SQL.
pub(super) fn id_of(number: &str, kind: u8) -> String {
    format!("UNHEX(CONCAT('0190', LPAD(HEX({number}), 8, '0'), '70008000{kind:012}'))")
}

/// A filled database.
pub(super) struct World {
    pub(super) database: TestDatabase,
    /// When it was filled, by the database's clock.
    pub(super) now: NaiveDateTime,
}

/// `CASE WHEN i BETWEEN … THEN … END`: a value for each range.
pub(super) fn by_range(cases: &[(&Range<i64>, &str)], otherwise: &str) -> String {
    let whens = cases.iter().map(|(range, value)| format!("WHEN {} THEN {value}", within(range)));
    format!("CASE {} ELSE {otherwise} END", whens.collect::<Vec<_>>().join(" "))
}

pub(super) fn within(range: &Range<i64>) -> String {
    format!("i BETWEEN {} AND {}", range.start, range.end - 1)
}

/// A time in SQL: now plus the seconds, plus the row's number in milliseconds.
pub(super) fn moment(seconds: i64) -> String {
    format!("@now + INTERVAL {seconds} SECOND + INTERVAL i * 1000 MICROSECOND")
}

/// Seconds from now to the time when the first late row runs out: two days ago, since the rows' numbers add milliseconds.
pub(super) const LATE_SECONDS: i64 = -2 * 86_400;
/// The same for the other overdue rows, without their numbers.
pub(super) const OVERDUE_SECONDS: i64 = -3_600;
/// The same for the receipt of events, without their numbers.
pub(super) const RECEIVED_SECONDS: i64 = -200_000;

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
            vec![holds(), products(), product_trail(), hold_owners(), charges(), links(), objects()],
            vec![orders(), order_owners(), order_events(), keys()],
            vec![clients(), client_keys(), client_trail(), event_operators(), buyer_units()],
            vec![endpoints(), endpoint_trail(), push_cursors(), push_failures(), push_attempts()],
            vec![
                feed_batches(),
                feed_products(),
                organizers(),
                ticket_events(),
                seats(),
                tickets(),
                event_cancellations(),
                due_refunds(),
            ],
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
        for table in tables(&mut conn).await {
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
        let tables = tables(&mut session(&self.database).await).await.join(", ");
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
                update("feed_batches", "id", &LATE_TOLD, numbers(&LATE_TOLD), "position = 2 * id"),
            ],
        ];
        futures_util::future::join_all(groups.map(|group| self.run(group))).await;
        self.analyze().await;
    }
}

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

/// All tables of the service.
async fn tables(conn: &mut Conn) -> Vec<String> {
    let query =
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> 'numbers'";
    conn.query(query).await.expect("the query runs")
}
