//! Measures the service over HTTP. Every figure is compared with an echo route, which uses the same server, the same gate
//! and the same JSON code, but no database.

use crate::Plan;
use crate::client::{Client, get, hold, post};
use crate::database::{Counters, Ground, PLENTY};
use crate::measure::{Buyer, Load, Same, cell};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

/// Number of connections at which the ratios are taken.
const COMPARED: usize = 512;
/// The price of every product, in major units.
pub(crate) const AMOUNT: &str = "49.99";
/// Syncs of the database server's background work, which it makes without any request; they are subtracted.
const HOUSEKEEPING_PER_SECOND: f64 = 2.0;

/// Measures every kind of request with every number of connections.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading("Over HTTP");
    report::line("request", &["conns", "per s", "p50", "p99", "selects/s", "commits/s", "fsyncs/s"]);
    let (hot, sold_out) = (ground.product(PLENTY).await, ground.product(0).await);
    let served = Served::start(ground, plan).await;
    for &connections in &plan.connections {
        let table = Table { ground, plan, served: &served, connections };
        let echo = table.same("echo", post("/bench/echo", r#"{"product_id":1,"qty":1}"#), 200).await.0;
        let read = table.same("GET product", get(&format!("/api/products/{hot}")), 200).await.0;
        let held = table.same("POST hold", hold(hot), 201).await.0;
        let (refused, counters) = table.same("POST hold, sold out", hold(sold_out), 409).await;
        let flow = table.flow(hot).await;
        if connections == COMPARED {
            let ratio = |load: Load| Some(load.per_second / echo.per_second);
            bounds.add("HTTP: holds / echo", ratio(held), Target::AtLeast(0.5));
            bounds.add("HTTP: GET / echo", ratio(read), Target::AtLeast(0.7));
            bounds.add("HTTP: sold-out refusals / echo", ratio(refused), Target::AtLeast(0.65));
            let of_others = HOUSEKEEPING_PER_SECOND * counters.seconds;
            let fsyncs = counters.fsyncs.map(|fsyncs| (fsyncs - of_others).max(0.0) / counters.selects.max(1.0));
            bounds.add("HTTP: fsyncs per refused batch", fsyncs, Target::AtMost(0.0));
            bounds.add("HTTP: flows hold, order, paid / echo", ratio(flow), Target::AtLeast(0.06));
        }
    }
    served.stop().await;
}

struct Table<'run> {
    ground: &'run Ground,
    plan: &'run Plan,
    served: &'run Served,
    connections: usize,
}

impl Table<'_> {
    async fn same(&self, name: &str, request: Vec<u8>, status: u16) -> (Load, Counters) {
        self.measure(name, |client| Same { client, request: request.clone(), status }).await
    }

    async fn flow(&self, product_id: i64) -> Load {
        self.measure("hold, order, paid", |client| Flow::new(client, product_id)).await.0
    }

    async fn measure<B: Buyer>(&self, name: &str, buyer: impl Fn(Client) -> B) -> (Load, Counters) {
        self.ground.clear().await;
        let buyers: Vec<B> = self.served.clients(self.connections).await.into_iter().map(buyer).collect();
        let (load, counters) = cell(self.ground, self.plan, buyers).await;
        let fsyncs = counters.fsyncs.map_or("?".to_owned(), |count| report::whole(count / counters.seconds));
        report::line(
            name,
            &[
                &self.connections.to_string(),
                &report::whole(load.per_second),
                &report::short(load.p50),
                &report::short(load.p99),
                &report::whole(counters.selects / counters.seconds),
                &report::whole(counters.commits / counters.seconds),
                &fsyncs,
            ],
        );
        (load, counters)
    }
}

/// A buyer that takes a hold, makes an order of it, and pays.
pub(crate) struct Flow {
    client: Client,
    hold: Vec<u8>,
}

impl Flow {
    /// Creates a buyer of a product.
    pub(crate) fn new(client: Client, product_id: i64) -> Self {
        Self { client, hold: hold(product_id) }
    }

    /// Takes a hold and returns its id.
    pub(crate) async fn take(&mut self) -> String {
        self.client.expect(&self.hold, 201).await.id("hold_id")
    }

    /// Makes an order of a hold and returns its id.
    pub(crate) async fn order(&mut self, hold_id: &str) -> String {
        let order = post("/api/orders", &format!(r#"{{"hold_id":"{hold_id}"}}"#));
        self.client.expect(&order, 201).await.id("order_id")
    }

    /// Pays an order.
    pub(crate) async fn pay(&mut self, order_id: &str) {
        let answer = self.client.expect(&post("/api/payments/webhook", &payment(order_id)), 200).await;
        let processed = br#""processed""#;
        assert!(answer.body.windows(processed.len()).any(|window| window == processed), "a payment settles its order");
    }
}

impl Buyer for Flow {
    async fn ask(&mut self) {
        let hold_id = self.take().await;
        let order_id = self.order(&hold_id).await;
        self.pay(&order_id).await;
    }
}

/// Returns the body of a webhook that pays an order of one unit.
pub(crate) fn payment(order_id: &str) -> String {
    format!(r#"{{"order_id":"{order_id}","status":"paid","txn_id":"{order_id}","amount":{AMOUNT}}}"#)
}
