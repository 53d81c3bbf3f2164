//! Strategies with tables or locks of their own. Their statements are prepared once per connection.

use std::sync::atomic::{AtomicU64, Ordering};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use uuid::Uuid;

use super::per_request::{Statements, TTL_SECONDS};
use crate::database::Ground;

const TABLES: [&str; 2] = [
    "CREATE TABLE bench_versions (
       product_id BIGINT NOT NULL PRIMARY KEY,
       stock BIGINT NOT NULL, reserved BIGINT NOT NULL, version BIGINT NOT NULL
     ) ENGINE = InnoDB",
    "CREATE TABLE bench_units (
       id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
       product_id BIGINT NOT NULL, hold_id BINARY(16) NULL,
       KEY bench_units_free (product_id, hold_id)
     ) ENGINE = InnoDB",
];
const INSERT: &str =
    "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, status, expires_at, returns_at)
    VALUES (?, ?, 1, 4999, 'EUR', ?, NOW(6) + INTERVAL ? SECOND, NOW(6) + INTERVAL ? SECOND)";

/// Creates the tables of the strategies in this file.
pub(super) async fn prepare(ground: &Ground, product_id: i64) {
    for table in TABLES {
        ground.execute(table).await;
    }
    ground.execute(&format!("INSERT INTO bench_versions VALUES ({product_id}, {}, 0, 0)", i64::MAX)).await;
}

async fn insert(conn: &mut Conn, product_id: i64, hold_id: Uuid, status: &str) -> Result<(), Error> {
    conn.exec_drop(INSERT, (hold_id.as_bytes(), product_id, status, TTL_SECONDS, TTL_SECONDS)).await
}

/// a. Locks the product, sums up its active holds, and inserts. In a run the sum would cover more and more holds, unlike in
/// a real sale; so, in favour of this strategy, it covers at most [`ACTIVE`] holds.
pub(super) struct Locked {
    product_id: i64,
    taken: AtomicU64,
}

/// Number of holds that are inserted as active; later ones are inserted as ordered.
const ACTIVE: u64 = 100;

impl Statements for Locked {
    fn new(product_id: i64) -> Self {
        Self { product_id, taken: AtomicU64::new(0) }
    }

    async fn attempt(&self, conn: &mut Conn, hold_id: Uuid) -> Result<bool, Error> {
        conn.query_drop("BEGIN").await?;
        let lock = "SELECT stock FROM products WHERE id = ? FOR UPDATE";
        let stock: Option<i64> = conn.exec_first(lock, (self.product_id,)).await?;
        let sum = "SELECT CAST(COALESCE(SUM(qty), 0) AS SIGNED) FROM holds FORCE INDEX (holds_due)
                   WHERE status = 'active' AND product_id = ?";
        let held: Option<i64> = conn.exec_first(sum, (self.product_id,)).await?;
        assert!(stock > held, "the stock is larger than any run can sell");
        let is_active = self.taken.fetch_add(1, Ordering::Relaxed) < ACTIVE;
        insert(conn, self.product_id, hold_id, if is_active { "active" } else { "ordered" }).await?;
        conn.query_drop("COMMIT").await?;
        Ok(true)
    }
}

/// b. Reads the row's version, updates the row if the version is unchanged, and starts again if not.
pub(super) struct Versioned {
    product_id: i64,
}

impl Statements for Versioned {
    fn new(product_id: i64) -> Self {
        Self { product_id }
    }

    async fn attempt(&self, conn: &mut Conn, hold_id: Uuid) -> Result<bool, Error> {
        let read = "SELECT stock - reserved, version FROM bench_versions WHERE product_id = ?";
        let (left, version): (i64, i64) = conn.exec_first(read, (self.product_id,)).await?.expect("the product");
        assert!(left > 0, "the stock is larger than any run can sell");
        conn.query_drop("BEGIN").await?;
        let update = "UPDATE bench_versions SET reserved = reserved + 1, version = version + 1
                      WHERE product_id = ? AND version = ?";
        conn.exec_drop(update, (self.product_id, version)).await?;
        if conn.affected_rows() == 0 {
            return Ok(false);
        }
        insert(conn, self.product_id, hold_id, "active").await?;
        conn.query_drop("COMMIT").await?;
        Ok(true)
    }
}

/// c. Takes a free unit that no other transaction has locked.
pub(super) struct Units {
    product_id: i64,
}

/// Units before every run, as a power of two: more than a few seconds of selling need.
const UNITS_LOG2: u32 = 18;

impl Statements for Units {
    async fn prepare(ground: &Ground, product_id: i64) {
        ground.execute("TRUNCATE TABLE bench_units").await;
        ground.execute(&format!("INSERT INTO bench_units (product_id) VALUES ({product_id})")).await;
        for _ in 0..UNITS_LOG2 {
            ground.execute("INSERT INTO bench_units (product_id) SELECT product_id FROM bench_units").await;
        }
    }

    fn new(product_id: i64) -> Self {
        Self { product_id }
    }

    async fn attempt(&self, conn: &mut Conn, hold_id: Uuid) -> Result<bool, Error> {
        conn.query_drop("BEGIN").await?;
        let find = "SELECT id FROM bench_units WHERE product_id = ? AND hold_id IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED";
        let unit: Option<i64> = conn.exec_first(find, (self.product_id,)).await?;
        let unit = unit.expect("all units are sold: use a smaller --seconds");
        conn.exec_drop("UPDATE bench_units SET hold_id = ? WHERE id = ?", (hold_id.as_bytes(), unit)).await?;
        insert(conn, self.product_id, hold_id, "active").await?;
        conn.query_drop("COMMIT").await?;
        Ok(true)
    }
}
