//! Random requests of all kinds at the same time: the invariants hold afterwards.
//!
//! `TEST_STORM_SEED` repeats the random choices of a failed run, but not how the requests interleave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use holdfast::app::App;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Shop, mint, together, with};

const CLIENTS: u64 = 16;
const STEPS: usize = 94;
const STOCKS: [i64; 3] = [12, 60, 500];
const WORDS: [&str; 8] = ["success", "succeeded", "paid", "paid", "failure", "failed", "cancelled", "refunded"];

/// The results that all clients share.
#[derive(Default)]
struct Known {
    holds: Vec<String>,
    orders: Vec<String>,
    /// Order ids that events name already and that no order has yet.
    minted: Vec<String>,
    deliveries: Vec<Value>,
    /// By key, the id of the event that was acknowledged.
    acknowledged: BTreeMap<String, i64>,
    answers: BTreeMap<String, usize>,
}

/// One client with its own random choices.
struct Buyer {
    shop: Arc<Shop>,
    client: Client,
    app: Arc<App>,
    products: Vec<i64>,
    known: Arc<Mutex<Known>>,
    luck: StdRng,
}

fn seed() -> u64 {
    let chosen = std::env::var("TEST_STORM_SEED").ok();
    chosen.map_or_else(rand::random, |text| text.parse().expect("TEST_STORM_SEED is a number"))
}

impl Buyer {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no client panics while it holds this")
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.luck.random_range(0..chances) == 0
    }

    /// One of a list, more often a late one than an early one.
    fn pick<T: Clone>(&mut self, list: impl Fn(&Known) -> &Vec<T>) -> Option<T> {
        let count = list(&self.known()).len();
        if count == 0 {
            return None;
        }
        let place = self.luck.random_range(0..count).max(self.luck.random_range(0..count));
        list(&self.known()).get(place).cloned()
    }

    async fn live(mut self) {
        for _ in 0..STEPS {
            match self.luck.random_range(0..100) {
                0..30 => self.hold().await,
                30..36 => self.release().await,
                36..56 => self.order().await,
                56..74 => self.pay().await,
                74..79 => self.pay_early().await,
                79..87 => self.deliver_again().await,
                87..91 => self.cancel().await,
                91..95 => self.age().await,
                _ => self.work().await,
            }
        }
    }

    /// Counts an answer, which must be a success or a refusal with one of these codes.
    fn note(&self, what: &str, answer: &Answer, codes: &[&str]) -> bool {
        let made = (200..300).contains(&answer.status);
        assert!(made || codes.contains(&answer.code()), "{what}: {answer:?}");
        let word = if made { answer.body["status"].as_str().unwrap_or_default() } else { answer.code() };
        *self.known().answers.entry(format!("{what} {word}")).or_default() += 1;
        made
    }

    async fn hold(&mut self) {
        let product_id = self.products[self.luck.random_range(0..self.products.len())];
        let body = json!({ "product_id": product_id, "qty": self.luck.random_range(1..=3) });
        let answer = match self.one_in(4) {
            true => {
                let key = format!("key-{}", self.luck.random_range(0..40));
                self.client.post_keyed("/api/holds", &key, &body).await
            }
            false => self.client.post("/api/holds", &body).await,
        };
        if self.note("hold", &answer, &["sold_out", "all_held", "idempotency_key_reuse"]) {
            self.known().holds.push(answer.text("hold_id"));
        }
    }

    async fn release(&mut self) {
        if let Some(hold_id) = self.pick(|known| &known.holds) {
            let answer = self.client.release(&hold_id).await;
            self.note("release", &answer, &["hold_used"]);
        }
    }

    async fn order(&mut self) {
        let Some(hold_id) = self.pick(|known| &known.holds) else { return };
        let minted = if self.one_in(3) { self.pick(|known| &known.minted) } else { None };
        let body = with(&json!({ "hold_id": hold_id }), json!({ "order_id": minted }));
        let answer = match self.one_in(4) {
            true => self.client.post_keyed("/api/orders", &format!("key-{hold_id}"), &body).await,
            false => self.client.post("/api/orders", &body).await,
        };
        let refusals = ["hold_used", "hold_expired", "hold_released", "order_id_taken", "idempotency_key_reuse"];
        if self.note("order", &answer, &refusals) {
            self.known().orders.push(answer.text("order_id"));
        }
    }

    /// An event with a random meaning, sometimes with a wrong amount or a transaction id.
    fn event(&mut self, reference: Value) -> Value {
        let word = WORDS[self.luck.random_range(0..WORDS.len())];
        let mut event = with(&reference, json!({ "status": word, "idempotency_key": mint() }));
        if self.one_in(2) {
            event["txn_id"] = json!(format!("txn-{}", self.luck.random_range(0..3)));
        }
        if self.one_in(10) {
            event["amount"] = json!("0.01");
        }
        event
    }

    async fn deliver(&mut self, event: Value) {
        let answer = self.client.webhook(&event).await;
        if !self.note("event", &answer, &[]) {
            return;
        }
        let key = event["idempotency_key"].as_str().expect("a key").to_owned();
        let event_id = answer.body["event_id"].as_i64().expect("an id");
        let mut known = self.known();
        let first = *known.acknowledged.entry(key).or_insert(event_id);
        assert_eq!(first, event_id, "one event has one id: {event}");
        known.deliveries.push(event);
    }

    async fn pay(&mut self) {
        if let Some(order_id) = self.pick(|known| &known.orders) {
            let event = self.event(json!({ "order_id": order_id }));
            self.deliver(event).await;
        }
    }

    async fn pay_early(&mut self) {
        let hold_id = if self.one_in(2) { self.pick(|known| &known.holds) } else { None };
        let reference = match hold_id {
            Some(hold_id) => json!({ "hold_id": hold_id }),
            None => {
                let order_id = mint();
                self.known().minted.push(order_id.clone());
                json!({ "order_id": order_id })
            }
        };
        let event = self.event(reference);
        self.deliver(event).await;
    }

    async fn deliver_again(&mut self) {
        if let Some(event) = self.pick(|known| &known.deliveries) {
            self.deliver(event).await;
        }
    }

    async fn cancel(&mut self) {
        if let Some(order_id) = self.pick(|known| &known.orders) {
            let answer = self.client.cancel(&order_id).await;
            self.note("cancel", &answer, &["order_paid"]);
        }
    }

    async fn age(&mut self) {
        if let Some(hold_id) = self.pick(|known| &known.holds) {
            self.shop.let_hold_run_out(&hold_id).await;
        }
        if self.one_in(2)
            && let Some(order_id) = self.pick(|known| &known.orders)
        {
            self.shop.let_order_run_out(&order_id).await;
        }
    }

    async fn work(&mut self) {
        let step = match self.luck.random_range(0..3) {
            0 => self.app.checkout.expire_holds().await,
            1 => self.app.checkout.cancel_overdue_orders().await,
            _ => self.app.checkout.sweep_parked().await,
        };
        step.expect("a step runs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_oversold_or_lost_by_random_requests_at_the_same_time() {
    let seed = seed();
    println!("TEST_STORM_SEED={seed}");
    let shop = Arc::new(Shop::open().await);
    let mut products = Vec::new();
    for stock in STOCKS {
        products.push(shop.product(stock).await);
    }
    let instances = [shop.serve().await, shop.serve().await];
    let (app, known) = (shop.app(), Arc::new(Mutex::new(Known::default())));
    let buyers = (0..CLIENTS).map(|number| Buyer {
        shop: Arc::clone(&shop),
        client: instances[number as usize % 2].client.clone(),
        app: Arc::clone(&app),
        products: products.clone(),
        known: Arc::clone(&known),
        luck: StdRng::seed_from_u64(seed.wrapping_add(number)),
    });
    together(buyers.map(Buyer::live)).await;
    shop.assert_conserved().await;
    for instance in instances {
        instance.service.stop().await;
    }
    let known = Arc::into_inner(known).expect("every client is done").into_inner().expect("none panicked");
    println!("{:#?}", known.answers);
    assert_every_payment_is_accounted_for(&shop, &known).await;
    assert_only_orders_keep_units(&shop, &app).await;
}

/// Checks that every acknowledged event is stored once, none waits for an order that exists, and no order was paid twice.
async fn assert_every_payment_is_accounted_for(shop: &Shop, known: &Known) {
    let inbox: Vec<(String, i64)> = shop.rows("SELECT idempotency_key, id FROM payment_events").await;
    let stored: BTreeMap<String, i64> = inbox.iter().cloned().collect();
    assert_eq!(stored.len(), inbox.len());
    assert_eq!(stored, known.acknowledged, "exactly the acknowledged events are stored");

    // A refund that came before its success is applied after it or by the sweep; every other event needs no sweep.
    assert_none_waits(shop, "meaning <> 'refunded'").await;
    let charged: Vec<(i64,)> = shop
        .rows(
            "SELECT CAST(COUNT(*) AS SIGNED) FROM orders JOIN payment_events
             ON payment_events.order_id = orders.id OR payment_events.hold_id = orders.hold_id
             WHERE payment_events.status = 'applied' AND meaning = 'succeeded'
             GROUP BY orders.id HAVING COUNT(*) > 1",
        )
        .await;
    assert!(charged.is_empty(), "orders that two charges paid: {charged:?}");
}

/// Checks that no event waits although its order exists, except refunds whose success has not come.
async fn assert_none_waits(shop: &Shop, which: &str) {
    let waiting: Vec<i64> = shop
        .rows(&format!(
            "SELECT payment_events.id FROM payment_events
             JOIN orders ON orders.id = payment_events.order_id OR orders.hold_id = payment_events.hold_id
             WHERE payment_events.status IN ('received', 'parked') AND {which}
               AND (meaning <> 'refunded' OR orders.status IN ('paid', 'refunded'))"
        ))
        .await;
    assert!(waiting.is_empty(), "events that wait for an order that exists: {waiting:?}");
}

/// Checks that every unit that is still reserved after all deadlines was paid for.
async fn assert_only_orders_keep_units(shop: &Shop, app: &App) {
    shop.let_holds_run_out().await;
    shop.let_orders_run_out().await;
    while app.checkout.expire_holds().await.expect("the step runs") {}
    while app.checkout.cancel_overdue_orders().await.expect("the step runs") {}
    while app.checkout.sweep_parked().await.expect("the step runs") {}
    assert_none_waits(shop, "TRUE").await;
    shop.assert_conserved().await;
    let reserved = shop.count("SELECT CAST(SUM(reserved) AS SIGNED) FROM products").await;
    let paid = "SELECT CAST(COALESCE(SUM(qty), 0) AS SIGNED) FROM holds JOIN orders ON orders.hold_id = holds.id
                WHERE orders.status IN ('paid', 'refunded')";
    assert_eq!(reserved, shop.count(paid).await);
}
