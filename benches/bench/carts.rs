//! Carts of three lines over ten hot products: Holdfast's batches beside one guarded transaction per cart, and holds of single
//! products beside the same load of carts on other products.

use std::sync::Arc;

use holdfast::checkout::{Checkout, Named, NewCart, NewHold, NewLine, Policy, Skus};
use holdfast::db::Database;
use holdfast::domain::mint_id;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use tokio::time::{Instant, sleep};

use crate::Plan;
use crate::connections::Connections;
use crate::database::{Counters, Ground, PLENTY};
use crate::measure::{Buyer, Crowd, Load, cell};
use crate::report::{self, Bounds, Target};

/// Products that the carts share.
const PRODUCTS: usize = 10;
/// Lines of a cart.
const LINES: usize = 3;
/// Buyers at the same time.
const BUYERS: usize = 512;
/// Connections of the service.
const POOL_SIZE: usize = 16;
/// Numbers of connections that are tried for one transaction per cart.
const POOLS: [usize; 4] = [4, 8, 32, 128];
/// Lifetime of the holds.
const TTL_SECONDS: u64 = 120;
/// Deadlock, lock wait timeout, and "record has changed since last read".
const RETRIED: [u16; 3] = [1213, 1205, 1020];

/// Measures carts, and single holds beside them.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading(&format!("Carts of {LINES} lines over {PRODUCTS} hot products, {BUYERS} buyers"));
    let mut products = [0; PRODUCTS];
    for product_id in &mut products {
        *product_id = ground.product(PLENTY).await;
    }
    report::line("strategy", &["pool", "carts/s", "p50", "p99", "commits/s", "deadlocks"]);
    let classic = measure_classic(ground, plan, products).await;
    ground.clear().await;
    let service = service(ground);
    let buyers = (0..BUYERS).map(|_| CartBuyer { checkout: Arc::clone(&service), products });
    let (ours, counters) = cell(ground, plan, buyers).await;
    show("Holdfast", &POOL_SIZE.to_string(), ours, counters);
    bounds.add(
        "carts: Holdfast / one transaction each",
        Some(ours.per_second / classic.per_second),
        Target::AtLeast(10.0),
    );
    let deadlocks = counters.deadlocks / (ours.per_second * counters.seconds / 1000.0);
    bounds.add("carts: deadlocks in 1,000", Some(deadlocks), Target::AtMost(1.0));
    measure_beside(ground, plan, &service, products, bounds).await;
    service.finish().await;
    service.database().close().await;
}

/// Measures holds of one product alone, beside holds of another one, and beside carts of other products.
async fn measure_beside(
    ground: &Ground,
    plan: &Plan,
    checkout: &Arc<Checkout>,
    products: [i64; PRODUCTS],
    bounds: &mut Bounds,
) {
    report::heading(&format!("holds of one product by {BUYERS} buyers, beside as many buyers of other products"));
    report::line("beside", &["pool", "holds/s", "p50", "p99", "commits/s", "deadlocks"]);
    let [hot, other] = [ground.product(PLENTY).await, ground.product(PLENTY).await];
    let single = |product_id| SingleBuyer { checkout: Arc::clone(checkout), product_id };
    let mut rates = Vec::new();
    for beside in ["nothing", "holds of one product", "carts"] {
        ground.clear().await;
        let neighbours = match beside {
            "nothing" => None,
            "carts" => {
                let buyer = |_| CartBuyer { checkout: Arc::clone(checkout), products };
                Some(Crowd::start((0..BUYERS).map(buyer)))
            }
            _ => Some(Crowd::start((0..BUYERS).map(|_| single(other)))),
        };
        let (load, counters) = cell(ground, plan, (0..BUYERS).map(|_| single(hot))).await;
        if let Some(neighbours) = neighbours {
            neighbours.stop().await;
        }
        show(beside, &POOL_SIZE.to_string(), load, counters);
        rates.push(load.per_second);
    }
    if let [alone, _, beside] = rates[..] {
        bounds.add("single holds: beside carts / alone", Some(beside / alone), Target::AtLeast(0.7));
    }
}

fn service(ground: &Ground) -> Arc<Checkout> {
    let policy = Policy { hold_ttl_seconds: TTL_SECONDS, ..Policy::default() };
    Arc::new(Checkout::new(Database::new(ground.opts.clone(), POOL_SIZE), policy))
}

/// Chooses the products of a cart, in a random order.
fn choose(products: [i64; PRODUCTS]) -> [i64; LINES] {
    let mut products = products;
    let mut chosen = [0; LINES];
    for (place, product_id) in chosen.iter_mut().enumerate() {
        let other = place + rand::random_range(0..PRODUCTS - place);
        products.swap(place, other);
        *product_id = products[place];
    }
    chosen
}

/// Takes carts of Holdfast, without HTTP.
struct CartBuyer {
    checkout: Arc<Checkout>,
    products: [i64; PRODUCTS],
}

impl Buyer for CartBuyer {
    async fn ask(&mut self) {
        let line = |product_id| NewLine { product: Named::Id(product_id), qty: 1, seats: None };
        let lines = choose(self.products).map(line).to_vec();
        let skus = Skus::default();
        let new = NewCart { lines, skus, replaces: None, keyed: None, details: None, held_on: None, operator: None };
        self.checkout.create_cart(new).await.unwrap_or_else(|error| panic!("a cart failed: {error}"));
    }
}

/// Takes holds of one product.
struct SingleBuyer {
    checkout: Arc<Checkout>,
    product_id: i64,
}

impl Buyer for SingleBuyer {
    async fn ask(&mut self) {
        let taken = self.checkout.create_hold(NewHold::new(self.product_id, 1, None)).await;
        taken.unwrap_or_else(|error| panic!("a hold failed: {error}"));
    }
}

/// Measures one guarded transaction per cart, with the best of a few numbers of connections.
async fn measure_classic(ground: &Ground, plan: &Plan, products: [i64; PRODUCTS]) -> Load {
    let mut best = (POOLS[0], 0.0);
    for size in POOLS {
        let connections = open(ground, size).await;
        let crowd = Crowd::start((0..BUYERS).map(|_| Classic { connections: Arc::clone(&connections), products }));
        sleep(plan.trial / 3).await;
        let from = Instant::now();
        sleep(plan.trial).await;
        let to = Instant::now();
        let rate = crowd.stop().await.window(from, to).per_second;
        connections.close().await;
        if rate > best.1 {
            best = (size, rate);
        }
    }
    let connections = open(ground, best.0).await;
    let buyers = (0..BUYERS).map(|_| Classic { connections: Arc::clone(&connections), products });
    let (load, counters) = cell(ground, plan, buyers).await;
    connections.close().await;
    show("one guarded transaction each", &best.0.to_string(), load, counters);
    load
}

async fn open(ground: &Ground, size: usize) -> Arc<Connections> {
    ground.clear().await;
    Arc::new(Connections::open(&ground.opts, size).await)
}

/// One transaction per cart: its rows, a guarded update for each product by ascending id, in one packet, and COMMIT.
struct Classic {
    connections: Arc<Connections>,
    products: [i64; PRODUCTS],
}

impl Classic {
    fn packet(&self) -> String {
        let mut chosen = choose(self.products);
        chosen.sort_unstable();
        let id = mint_id().simple();
        let row = |product_id: &i64| {
            let expires = format!("NOW(6) + INTERVAL {TTL_SECONDS} SECOND");
            format!("(x'{id}', {product_id}, 1, 4999, 'EUR', {expires}, expires_at)")
        };
        let rows: Vec<String> = chosen.iter().map(row).collect();
        let take = |product_id: &i64| {
            format!("UPDATE products SET reserved = reserved + 1 WHERE id = {product_id} AND available >= 1")
        };
        let updates: Vec<String> = chosen.iter().map(take).collect();
        let columns = "id, product_id, qty, unit_price_minor, currency, expires_at, returns_at";
        format!("BEGIN; INSERT INTO holds ({columns}) VALUES {}; {}", rows.join(", "), updates.join("; "))
    }

    async fn attempt(conn: &mut Conn, packet: &str) -> Result<(), Error> {
        let mut result = conn.query_iter(packet).await?;
        let mut affected = Vec::new();
        for _ in 0..LINES + 2 {
            affected.push(result.affected_rows());
            let _: Vec<Row> = result.collect().await?;
        }
        assert_eq!(affected[1..], [LINES as u64, 1, 1, 1], "a cart must be taken completely");
        conn.query_drop("COMMIT").await
    }
}

impl Buyer for Classic {
    async fn ask(&mut self) {
        let packet = self.packet();
        let mut conn = self.connections.borrow().await;
        while let Err(error) = Self::attempt(&mut conn, &packet).await {
            let is_passing = matches!(&error, Error::Server(error) if RETRIED.contains(&error.code));
            assert!(is_passing, "a cart failed: {error}");
            conn.query_drop("ROLLBACK").await.expect("the connection is usable after the error");
        }
    }
}

fn show(name: &str, pool: &str, load: Load, counters: Counters) {
    let Load { per_second, p50, p99 } = load;
    report::line(
        name,
        &[
            pool,
            &report::whole(per_second),
            &report::short(p50),
            &report::short(p99),
            &report::whole(counters.commits / counters.seconds),
            &report::whole(counters.deadlocks),
        ],
    );
}
