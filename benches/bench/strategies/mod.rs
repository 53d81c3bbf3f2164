//! One hot product, sold in seven ways. Each writes the same row to `holds` for every buyer and commits it durably.

mod batches;
mod per_request;
mod rows;

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use self::batches::{Bare, Limited, Service};
use self::per_request::{Guarded, PerRequest, Statements};
use self::rows::{Locked, Units, Versioned};
use crate::Plan;
use crate::connections::Connections;
use crate::database::{Counters, Ground, PLENTY};
use crate::measure::{Crowd, Load, cell};
use crate::report::{self, Bounds, Target};

/// Pool sizes that are tried for the strategies with one transaction per request.
const POOLS: [usize; 5] = [2, 4, 8, 32, 128];
/// The most buyers for the strategies with one transaction per request.
const MOST_PER_REQUEST: usize = 2_000;
/// Batches that Holdfast has under way at once; the limit has as many.
const IN_FLIGHT: usize = 2;

/// One line of the table.
struct Figure {
    strategy: char,
    buyers: usize,
    load: Load,
}

/// Measures every strategy with every number of buyers.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading("One hot product, one unit per buyer");
    report::line(
        "strategy",
        &["buyers", "pool", "holds/s", "p50", "p99", "commits/s", "fsyncs/s", "deadlocks", "mean batch"],
    );
    let product_id = ground.product(PLENTY).await;
    rows::prepare(ground, product_id).await;
    let mut figures = Vec::new();
    for &buyers in &plan.buyers {
        let mut mean_batch = None;
        for &strategy in &plan.strategies {
            if strategy < 'e' && buyers > MOST_PER_REQUEST {
                continue;
            }
            let row = Row { ground, plan, product_id, buyers };
            let load = match strategy {
                'a' => row.per_request::<Locked>("a. SELECT … FOR UPDATE, SUM, INSERT").await,
                'b' => row.per_request::<Versioned>("b. version column, retried").await,
                'c' => row.per_request::<Units>("c. a row per unit, SKIP LOCKED").await,
                'd' => row.per_request::<Guarded>("d. guarded UPDATE + INSERT").await,
                'e' => {
                    let (load, mean) = row.service().await;
                    mean_batch = Some(mean);
                    load
                }
                'f' => match mean_batch {
                    Some(mean) => row.limit(mean).await,
                    None => continue,
                },
                'g' => row.limited().await,
                other => panic!("there is no strategy {other}"),
            };
            figures.push(Figure { strategy, buyers, load });
        }
    }
    compare(&figures, bounds);
}

/// The parameters that all strategies with this number of buyers share.
struct Row<'run> {
    ground: &'run Ground,
    plan: &'run Plan,
    product_id: i64,
    buyers: usize,
}

impl Row<'_> {
    /// Measures one transaction per request, with the best of a few pool sizes.
    async fn per_request<S: Statements>(&self, name: &str) -> Load {
        let mut best = (0, 0.0);
        for size in POOLS.into_iter().filter(|&size| size <= self.buyers.max(POOLS[0])) {
            let rate = self.try_pool::<S>(size).await;
            if rate > best.1 {
                best = (size, rate);
            }
        }
        let strategy = self.start::<S>(best.0).await;
        let (load, counters) = cell(self.ground, self.plan, self.buyers_of(&strategy)).await;
        strategy.close().await;
        self.print(name, &best.0.to_string(), load, counters, 1.0);
        load
    }

    async fn try_pool<S: Statements>(&self, size: usize) -> f64 {
        let strategy = self.start::<S>(size).await;
        let crowd = Crowd::start(self.buyers_of(&strategy));
        sleep(self.plan.trial / 3).await;
        let from = Instant::now();
        sleep(self.plan.trial).await;
        let to = Instant::now();
        let rate = crowd.stop().await.window(from, to).per_second;
        strategy.close().await;
        rate
    }

    async fn start<S: Statements>(&self, pool_size: usize) -> Arc<PerRequest<S>> {
        self.ground.clear().await;
        S::prepare(self.ground, self.product_id).await;
        let connections = Connections::open(&self.ground.opts, pool_size).await;
        Arc::new(PerRequest { connections, statements: S::new(self.product_id) })
    }

    fn buyers_of<S: Statements>(&self, strategy: &Arc<PerRequest<S>>) -> Vec<Arc<PerRequest<S>>> {
        (0..self.buyers).map(|_| Arc::clone(strategy)).collect()
    }

    /// Measures Holdfast without HTTP, with its own settings. Also returns the mean batch size.
    async fn service(&self) -> (Load, f64) {
        self.ground.clear().await;
        let service = Service::start(&self.ground.opts, self.product_id);
        let buyers = (0..self.buyers).map(|_| service.clone());
        let (load, counters) = cell(self.ground, self.plan, buyers).await;
        service.stop().await;
        let mean_batch = load.per_second * counters.seconds / counters.commits.max(1.0);
        self.print("e. Holdfast", &batches::POOL_SIZE.to_string(), load, counters, mean_batch);
        (load, mean_batch)
    }

    /// Measures Holdfast with a limit per buyer, on a product of its own.
    async fn limited(&self) -> Load {
        self.ground.clear().await;
        let product_id = self.ground.product(PLENTY).await;
        self.ground.execute(&format!("UPDATE products SET {} WHERE id = {product_id}", Limited::terms())).await;
        self.ground.execute("TRUNCATE TABLE buyer_units").await;
        let service = Service::start(&self.ground.opts, product_id);
        let buyers = (0..self.buyers).map(|place| Limited::new(&service, place));
        let (load, counters) = cell(self.ground, self.plan, buyers).await;
        service.stop().await;
        let mean_batch = load.per_second * counters.seconds / counters.commits.max(1.0);
        self.print("g. Holdfast, a limit per buyer", &batches::POOL_SIZE.to_string(), load, counters, mean_batch);
        load
    }

    /// Measures bare connections with batches of Holdfast's mean size.
    async fn limit(&self, mean_batch: f64) -> Load {
        self.ground.clear().await;
        let size = (mean_batch.round() as usize).max(1);
        let mut bare = Vec::new();
        for lane in 0..IN_FLIGHT.min(self.buyers) {
            bare.push(Bare::open(&self.ground.opts, self.product_id, size, lane).await);
        }
        let connections = bare.len().to_string();
        let (per_batch, counters) = cell(self.ground, self.plan, bare).await;
        let load = Load { per_second: per_batch.per_second * size as f64, ..per_batch };
        self.print("f. the limit: the same batches, bare", &connections, load, counters, size as f64);
        load
    }

    fn print(&self, name: &str, pool: &str, load: Load, counters: Counters, mean_batch: f64) {
        let fsyncs = counters.fsyncs.map_or("?".to_owned(), |count| report::whole(count / counters.seconds));
        report::line(
            name,
            &[
                &self.buyers.to_string(),
                pool,
                &report::whole(load.per_second),
                &report::short(load.p50),
                &report::short(load.p99),
                &report::whole(counters.commits / counters.seconds),
                &fsyncs,
                &report::whole(counters.deadlocks),
                &format!("{mean_batch:.1}"),
            ],
        );
    }
}

fn compare(figures: &[Figure], bounds: &mut Bounds) {
    let find = |strategy: char, buyers: usize| {
        let found = figures.iter().find(|figure| (figure.strategy, figure.buyers) == (strategy, buyers));
        found.map(|figure| figure.load)
    };
    let rates = |one: (char, usize), other: (char, usize)| {
        Some(find(one.0, one.1)?.per_second / find(other.0, other.1)?.per_second)
    };
    bounds.add("e / a at 512 buyers", rates(('e', 512), ('a', 512)), Target::AtLeast(30.0));
    bounds.add("e / d at 512 buyers", rates(('e', 512), ('d', 512)), Target::AtLeast(12.0));
    bounds.add("g / e at 512 buyers", rates(('g', 512), ('e', 512)), Target::AtLeast(0.8));
    for buyers in [512, 2_000, 8_000] {
        let ratio = rates(('e', buyers), ('f', buyers));
        bounds.add(format!("e / f at {buyers} buyers"), ratio, Target::AtLeast(0.85));
    }
    let ours = figures.iter().filter(|figure| figure.strategy == 'e');
    let best = ours.map(|figure| figure.load.per_second).fold(0.0, f64::max);
    let crowded = find('e', 8_000).map(|load| load.per_second / best);
    bounds.add("e at 8,000 buyers / e at its best", crowded, Target::AtLeast(0.9));
    let lone = find('e', 1).zip(find('d', 1));
    let lone = lone.map(|(ours, other)| ours.p50.as_secs_f64() / other.p50.as_secs_f64());
    bounds.add("lone buyer's p50, e / d", lone, Target::AtMost(1.1));
}
