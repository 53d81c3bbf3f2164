//! The same crowd without HTTP: Holdfast beside one transaction for each buyer that locks the row of a seat, on the same schema.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use holdfast::checkout::{Checkout, Error, Named, NewCart, NewLine, Policy, Skus};
use holdfast::db::Database;
use holdfast::domain::mint_id;
use holdfast::domain::seating::SeatWish;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as SqlError};

use super::rushes::{owned_seats, show, wanted};
use super::{ROWS, SEATS};
use crate::Plan;
use crate::connections::Connections;
use crate::crowd::{CONNECTIONS, Queue, Storm, UNITS, rush};
use crate::database::Ground;
use crate::report::{self, Bounds, Target};

/// Connections of each side to the database.
const POOL_SIZE: usize = 16;
/// Deadlock, lock wait timeout, and "record has changed since last read".
const RETRIED: [u16; 3] = [1213, 1205, 1020];

/// The ways to sell seats.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// The named seat, locked with FOR UPDATE.
    Locked,
    /// The best free seat that no other transaction has locked.
    SkipLocked,
    /// A counter of the process refuses those that come when there is nothing left; the others lock the best free seat.
    Counter,
    /// Holdfast, the best available seat.
    Best,
    /// Holdfast, a named seat.
    Named,
}

const WAYS: [(Way, &str); 5] = [
    (Way::Locked, "named: FOR UPDATE"),
    (Way::Named, "named: Holdfast"),
    (Way::SkipLocked, "best: FOR UPDATE SKIP LOCKED"),
    (Way::Counter, "best: a counter before FOR UPDATE"),
    (Way::Best, "best: Holdfast"),
];

/// Measures a few rounds of each in turns.
pub(super) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading(&format!("The same buyers without HTTP, {CONNECTIONS} at the same time, beside row locks"));
    report::line("way", &["sold", "refused", "answered in", "p99"]);
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); WAYS.len()];
    for _ in 0..plan.crowd_rounds {
        for ((way, name), rates) in WAYS.iter().zip(&mut rates) {
            ground.clear().await;
            let product_id = seats_of(ground).await;
            let done = sell(ground, *way, product_id).await;
            show(name, &done);
            assert_eq!(done.sold, UNITS, "{name}");
            assert_eq!(owned_seats(ground, product_id).await, UNITS as i64, "each seat belongs to a hold of its own");
            rates.push((done.sold + done.refused) as f64 / done.took.as_secs_f64());
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    for ((_, name), rate) in WAYS.iter().zip(&medians) {
        println!("{name}: {} answers per second", report::whole(*rate));
    }
    if let [locked, named, skipped, counted, best] = medians[..] {
        for (name, ratio) in [
            ("named, Holdfast / FOR UPDATE", named / locked),
            ("best, Holdfast / SKIP LOCKED", best / skipped),
            ("best, Holdfast / counter and FOR UPDATE", best / counted),
        ] {
            bounds.add(format!("seats: {name}"), Some(ratio), Target::AtLeast(1.0));
        }
    }
    ground.clear().await;
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Makes a ticket type of no event with a hall of seats.
async fn seats_of(ground: &Ground) -> i64 {
    let product_id = ground.product(UNITS as i64).await;
    ground.execute(&format!("UPDATE products SET kind = 'seated' WHERE id = {product_id}")).await;
    let seat = |n: usize| {
        let (row, place) = (n / SEATS + 1, n % SEATS + 1);
        format!("({product_id}, {}, 'A', '{row}', 'A-{row}-{place}', {row}, {place}, {row})", n + 1)
    };
    let rows: Vec<String> = (0..ROWS * SEATS).map(seat).collect();
    let columns = "product_id, n, section, row_name, label, row_n, place, row_rank";
    ground.execute(&format!("INSERT INTO seats ({columns}) VALUES {}", rows.join(", "))).await;
    product_id
}

async fn sell(ground: &Ground, way: Way, product_id: i64) -> Storm {
    if matches!(way, Way::Best | Way::Named) {
        let policy = Policy { hold_ttl_seconds: 86_400, ..Policy::default() };
        let checkout = Arc::new(Checkout::new(Database::new(ground.opts.clone(), POOL_SIZE), policy));
        let queue = || Holdfast { checkout: Arc::clone(&checkout), product_id, is_named: way == Way::Named };
        let done = rush((0..CONNECTIONS).map(|_| queue()).collect()).await;
        checkout.finish().await;
        checkout.database().close().await;
        return done;
    }
    let connections = Arc::new(Connections::open(&ground.opts, POOL_SIZE).await);
    let left = Arc::new(AtomicI64::new(UNITS as i64));
    let queue = || Classic { connections: Arc::clone(&connections), product_id, way, left: Arc::clone(&left) };
    let done = rush((0..CONNECTIONS).map(|_| queue()).collect()).await;
    connections.close().await;
    done
}

/// Holds of Holdfast.
struct Holdfast {
    checkout: Arc<Checkout>,
    product_id: i64,
    is_named: bool,
}

impl Queue for Holdfast {
    async fn serve(&mut self, buyer: usize) -> bool {
        let seats = match self.is_named {
            true => SeatWish::Named(vec![wanted(buyer).1]),
            false => SeatWish::Best { split: true },
        };
        let lines = vec![NewLine { product: Named::Id(self.product_id), qty: 1, seats: Some(seats) }];
        let skus = Skus::default();
        let new = NewCart { lines, skus, replaces: None, keyed: None, details: None, held_on: None, operator: None };
        match self.checkout.create_cart(new).await {
            Ok(_) => true,
            Err(Error::Refused(_)) => false,
            Err(error) => panic!("a cart failed: {error}"),
        }
    }
}

/// One transaction for each buyer. In favour of these ways, they do not keep the counter of the ticket type.
struct Classic {
    connections: Arc<Connections>,
    product_id: i64,
    way: Way,
    /// What the counter of the process still gives.
    left: Arc<AtomicI64>,
}

impl Queue for Classic {
    async fn serve(&mut self, buyer: usize) -> bool {
        if self.way == Way::Counter && self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return false;
        }
        let mut conn = self.connections.borrow().await;
        loop {
            match self.attempt(&mut conn, buyer).await {
                Ok(is_sold) => return is_sold,
                Err(SqlError::Server(error)) if RETRIED.contains(&error.code) => {}
                Err(error) => panic!("a row lock failed: {error}"),
            }
            conn.query_drop("ROLLBACK").await.expect("the connection is usable after the error");
        }
    }
}

impl Classic {
    async fn attempt(&self, conn: &mut Conn, buyer: usize) -> Result<bool, SqlError> {
        let best = "SELECT n, label FROM seats FORCE INDEX (seats_of_hold) WHERE hold_id IS NULL AND product_id = ?
                    ORDER BY row_rank, row_n, place LIMIT 1 FOR UPDATE";
        conn.query_drop("BEGIN").await?;
        let seat: Option<(i64, Vec<u8>)> = match self.way {
            Way::Locked => {
                let find = "SELECT n, label, hold_id IS NULL FROM seats WHERE product_id = ? AND n = ? FOR UPDATE";
                let found: Option<(i64, Vec<u8>, bool)> =
                    conn.exec_first(find, (self.product_id, wanted(buyer).0)).await?;
                found.filter(|(.., is_free)| *is_free).map(|(n, label, _)| (n, label))
            }
            Way::SkipLocked => conn.exec_first(format!("{best} SKIP LOCKED"), (self.product_id,)).await?,
            _ => conn.exec_first(best, (self.product_id,)).await?,
        };
        let Some((n, label)) = seat else {
            conn.query_drop("ROLLBACK").await?;
            return Ok(false);
        };
        let hold_id = mint_id();
        let take = "UPDATE seats SET hold_id = ? WHERE product_id = ? AND n = ?";
        conn.exec_drop(take, (hold_id.as_bytes(), self.product_id, n)).await?;
        let insert =
            "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, status, expires_at, returns_at, seats)
                      VALUES (?, ?, 1, 4999, 'EUR', 'active', NOW(6) + INTERVAL 1 DAY, NOW(6) + INTERVAL 1 DAY, ?)";
        conn.exec_drop(insert, (hold_id.as_bytes(), self.product_id, label)).await?;
        conn.query_drop("COMMIT").await?;
        Ok(true)
    }
}
