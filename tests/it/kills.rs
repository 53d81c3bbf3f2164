//! `kill -9`, again and again, while orders and payments come in: nothing that was acknowledged is lost, nothing takes
//! effect twice.
//!
//! `TEST_LONG=1` kills more often. `TEST_SEED` repeats the choices of a run that failed; the moment of each
//! kill still depends on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::process::Process;
use crate::support::{Answer, Client, Shop, eventually, mint, together, with};

const BUYERS: u64 = 24;
const STOCKS: [i64; 3] = [20, 300, 100_000];
/// How long a buyer or a provider waits for a response.
const PATIENCE: Duration = Duration::from_secs(8);

/// One place where the service runs, in one process after another.
struct Place {
    settings: Vec<(&'static str, &'static str)>,
    url: String,
    client: Mutex<Option<Client>>,
}

impl Place {
    async fn serve(&self) -> Process {
        let (process, client) = Process::serve(&self.url, &self.settings).await;
        self.tell(Some(client));
        process
    }

    fn tell(&self, client: Option<Client>) {
        *self.client.lock().expect("no panic while this is locked") = client;
    }

    fn client(&self) -> Option<Client> {
        self.client.lock().expect("no panic while this is locked").clone()
    }
}

/// The events that were sent, and the responses.
#[derive(Default)]
struct Known {
    sent: BTreeSet<String>,
    /// Every response, by key.
    events: BTreeMap<String, Vec<Answer>>,
    /// Each order with its hold.
    orders: BTreeMap<String, String>,
    unanswered: usize,
}

struct World {
    places: Vec<Place>,
    products: Vec<i64>,
    known: Mutex<Known>,
    over: AtomicBool,
}

/// A buyer and a payment provider, with a random generator.
struct Buyer {
    world: Arc<World>,
    luck: StdRng,
}

impl Buyer {
    fn one_in(&mut self, chances: u32) -> bool {
        self.luck.random_range(0..chances) == 0
    }

    /// Sends the request to random places until one responds.
    async fn ask(&mut self, path: &str, key: Option<&str>, body: &Value) -> Answer {
        loop {
            let place = self.luck.random_range(0..self.world.places.len());
            if let Some(client) = self.world.places[place].client() {
                let request = client.request("POST", path).json(body);
                let request = key.iter().fold(request, |request, &key| request.header("idempotency-key", key));
                match timeout(PATIENCE, client.try_send(request)).await {
                    Ok(Ok(answer)) if answer.status != 503 => return answer,
                    _ => self.world.known.lock().expect("no panic").unanswered += 1,
                }
            }
            sleep(Duration::from_millis(self.luck.random_range(1..20))).await;
        }
    }

    async fn live(mut self) {
        while !self.world.over.load(Ordering::SeqCst) {
            let product_id = self.world.products[self.luck.random_range(0..self.world.products.len())];
            let body = json!({ "product_id": product_id, "qty": self.luck.random_range(1..=2) });
            let key = mint();
            let held = self.ask("/api/holds", Some(&key), &body).await;
            if held.status != 201 {
                assert!(["sold_out", "all_held"].contains(&held.code()), "{held:?}");
                continue;
            }
            let (hold_id, order_id) = (held.text("hold_id"), mint());
            if self.one_in(5) {
                let again = self.ask("/api/holds", Some(&key), &body).await.expect(201);
                assert_eq!(again.text("hold_id"), hold_id, "one request, one hold");
            }
            let mut events = self.events(&hold_id, &order_id);
            let early = self.luck.random_range(0..=events.len().min(2));
            for event in events.drain(..early).collect::<Vec<_>>() {
                self.deliver(event).await;
            }
            self.order(&hold_id, &order_id).await;
            for event in events {
                self.deliver(event).await;
            }
        }
    }

    async fn order(&mut self, hold_id: &str, order_id: &str) {
        let body = json!({ "hold_id": hold_id, "order_id": order_id });
        let answer = self.ask("/api/orders", Some(order_id), &body).await;
        match answer.status {
            201 => {
                assert_eq!(answer.text("order_id"), order_id);
                self.world.known.lock().expect("no panic").orders.insert(order_id.to_owned(), hold_id.to_owned());
            }
            // the hold ran out before the order
            _ => assert_eq!(answer.code(), "hold_expired", "{answer:?}"),
        }
    }

    /// Returns the provider's events, sometimes shuffled.
    fn events(&mut self, hold_id: &str, order_id: &str) -> Vec<Value> {
        let by = match self.luck.random_range(0..3) {
            0 => json!({ "hold_id": hold_id }),
            1 => json!({ "order_id": order_id }),
            _ => json!({ "order_uuid": order_id, "hold_id": hold_id }),
        };
        let (first, second) = (format!("{order_id}-1"), format!("{order_id}-2"));
        let mut events = vec![json!({ "status": "paid", "txn_id": first })];
        let others = [
            (3, json!({ "status": "success", "txn_id": first })),
            (4, json!({ "status": "paid", "txn_id": second })),
            (3, json!({ "status": "failed" })),
            (4, json!({ "status": "refunded", "txn_id": first, "amount": "10.00", "currency": "EUR" })),
            (4, json!({ "status": "refunded", "txn_id": first, "restock": true })),
            (6, json!({ "status": "refunded", "txn_id": second })),
        ];
        for (chances, event) in others {
            if self.one_in(chances) {
                events.push(event);
            }
        }
        if self.one_in(3) {
            events.shuffle(&mut self.luck);
        }
        events.into_iter().map(|event| with(&with(&event, by.clone()), json!({ "idempotency_key": mint() }))).collect()
    }

    /// Delivers the event until it is acknowledged, and sometimes once more.
    async fn deliver(&mut self, event: Value) {
        let key = event["idempotency_key"].as_str().expect("a key").to_owned();
        self.world.known.lock().expect("no panic").sent.insert(key.clone());
        let times = 1 + usize::from(self.one_in(4));
        for _ in 0..times {
            let answer = self.ask("/api/payments/webhook", None, &event).await;
            assert!([200, 202].contains(&answer.status), "{event} {answer:?}");
            self.world.known.lock().expect("no panic").events.entry(key.clone()).or_default().push(answer);
        }
    }
}

fn long() -> bool {
    std::env::var("TEST_LONG").is_ok_and(|text| text == "1")
}

/// Lets buyers buy and pay while processes are killed in turn, and checks the database afterwards.
async fn storm(mode: &'static str, places: usize, kills: usize) {
    let began = Instant::now();
    let chosen = std::env::var("TEST_SEED").ok();
    let seed = chosen.map_or_else(rand::random, |text| text.parse().expect("TEST_SEED is a number"));
    println!("TEST_SEED={seed}");
    let mut luck = StdRng::seed_from_u64(seed);
    let shop = Shop::open().await;
    let mut products = Vec::new();
    for stock in STOCKS {
        products.push(shop.product(stock).await);
    }
    let settings = vec![
        ("HOLDFAST_WEBHOOK_MODE", mode),
        ("HOLDFAST_WEBHOOK_SECRETS", "off"),
        ("HOLDFAST_HOLD_TTL_SECONDS", "2"),
        ("HOLDFAST_ORDER_TTL_SECONDS", "2"),
    ];
    let place = |_| Place { settings: settings.clone(), url: shop.database.url.clone(), client: Mutex::default() };
    let places = (0..places).map(place).collect();
    let world = World { places, products, known: Mutex::default(), over: AtomicBool::new(false) };
    let world = Arc::new(world);
    let mut processes = Vec::new();
    for place in &world.places {
        processes.push(place.serve().await);
    }
    let buyer = |number| Buyer { world: Arc::clone(&world), luck: StdRng::seed_from_u64(seed.wrapping_add(number)) };
    let buying = tokio::spawn(together((1..=BUYERS).map(|number| buyer(number).live()).collect::<Vec<_>>()));
    for kill in 0..kills {
        sleep(Duration::from_millis(luck.random_range(50..600))).await;
        let turn = kill % world.places.len();
        processes.remove(0).kill().await;
        world.places[turn].tell(None);
        processes.push(world.places[turn].serve().await);
    }
    world.over.store(true, Ordering::SeqCst);
    buying.await.expect("no panic");
    drain(&shop).await;
    for process in processes {
        process.terminate().await.expect(0);
    }
    let known = std::mem::take(&mut *world.known.lock().expect("no panic"));
    let answers: usize = known.events.values().map(Vec::len).sum();
    println!(
        "{mode}: {kills} kills in {:?}: {} events, {answers} answers, {} orders, {} unanswered",
        began.elapsed(),
        known.sent.len(),
        known.orders.len(),
        known.unanswered,
    );
    shop.assert_conserved().await;
    assert_every_event_is_there(&shop, &known).await;
    assert_every_order_is_there(&shop, &known).await;
}

/// Waits until the workers have nothing left to do. Events that a killed attempt left for later are made due.
async fn drain(shop: &Shop) {
    let waiting = "SELECT (SELECT COUNT(*) FROM payment_events WHERE status = 'received')
        + (SELECT COUNT(*) FROM payment_events AS waiting JOIN orders ON orders.id = order_id
           WHERE waiting.status = 'parked' AND meaning <> 'refunded')
        + (SELECT COUNT(*) FROM payment_events AS waiting JOIN orders USING (hold_id)
           WHERE waiting.status = 'parked' AND meaning <> 'refunded')
        + (SELECT COUNT(*) FROM payment_events AS waiting JOIN charges ON name = txn_id
           WHERE waiting.status = 'parked' AND meaning = 'refunded')
        + (SELECT COUNT(*) FROM holds WHERE status = 'active')
        + (SELECT COUNT(*) FROM orders WHERE status = 'pending')";
    let mut conn = shop.sql().await;
    let done = eventually(async || {
        // a deadlock with a worker does no harm
        let _ = conn.query_drop("UPDATE payment_events SET due_at = UTC_TIMESTAMP(6) WHERE status = 'received'").await;
        sleep(Duration::from_millis(50)).await;
        shop.count(waiting).await == 0
    });
    assert!(done.await, "rows wait although nothing blocks them");
}

/// Asserts that every event is stored once, with the outcome that was returned, however often it was delivered.
async fn assert_every_event_is_there(shop: &Shop, known: &Known) {
    let stored: Vec<(String, i64, String, i64)> =
        shop.rows("SELECT idempotency_key, id, status, deliveries FROM payment_events").await;
    let stored: BTreeMap<String, (i64, String, i64)> =
        stored.into_iter().map(|(key, id, status, deliveries)| (key, (id, status, deliveries))).collect();
    assert_eq!(stored.keys().collect::<Vec<_>>(), known.sent.iter().collect::<Vec<_>>());
    for (key, answers) in &known.events {
        let (id, status, deliveries) = &stored[key];
        assert!(*deliveries >= answers.len() as i64, "{key}: {deliveries} deliveries, {answers:?}");
        for answer in answers {
            assert_eq!(answer.body["event_id"], *id, "{key} {answer:?}");
            let told = answer.body["event_status"].as_str().or(answer.body["status"].as_str()).unwrap_or_default();
            let possible = match told {
                "processed" => &["applied"][..],
                "refund_due" => &["refund_due", "refunded"],
                "pending_order" | "parked" | "queued" | "received" => {
                    &["applied", "ignored", "quarantined", "refund_due", "refunded", "parked"]
                }
                told => &[told],
            };
            assert!(possible.contains(&status.as_str()), "{key} is {status} after {answer:?}");
        }
    }
}

/// Asserts that every order is stored, was paid at most once, and has a trail without gaps.
async fn assert_every_order_is_there(shop: &Shop, known: &Known) {
    let stored: Vec<(String, String)> =
        shop.rows("SELECT LOWER(HEX(id)), LOWER(HEX(hold_id)) FROM orders ORDER BY id").await;
    let plain = |id: &String| id.replace('-', "");
    let acknowledged: BTreeMap<String, String> =
        known.orders.iter().map(|(order, hold)| (plain(order), plain(hold))).collect();
    assert_eq!(stored.into_iter().collect::<BTreeMap<_, _>>(), acknowledged);

    let trails: Vec<(String, Option<String>, String)> =
        shop.rows("SELECT HEX(order_id), from_status, to_status FROM order_events ORDER BY order_id, id").await;
    let mut paid = BTreeSet::new();
    for lines in trails.chunk_by(|one, other| one.0 == other.0) {
        let mut status = None;
        for (order, from, to) in lines {
            assert_eq!(*from, status, "a gap in {lines:?}");
            assert!(to != "paid" || status.as_deref() == Some("paid") || paid.insert(order), "paid twice: {lines:?}");
            status = Some(to.clone());
        }
    }
    let astray: i64 = shop
        .count(
            "SELECT COUNT(*) FROM orders LEFT JOIN (
               SELECT charges.order_id, COUNT(*) AS charged, MAX(refunded_minor) AS back FROM charges
               JOIN payment_events ON payment_events.id = event_id
               WHERE payment_events.status = 'applied' GROUP BY charges.order_id
             ) AS paid ON paid.order_id = orders.id
             WHERE COALESCE(charged, 0) <> (orders.status IN ('paid', 'refunded'))
                OR COALESCE(back, 0) <> orders.refunded_minor
                OR (orders.status = 'refunded') <> (orders.refunded_minor = orders.total_minor)",
        )
        .await;
    assert_eq!(astray, 0, "orders whose charge does not explain their state");
    let twice = "SELECT COUNT(*) - COUNT(DISTINCT txn_id) FROM payment_events
                 WHERE meaning = 'succeeded' AND status IN ('applied', 'refund_due', 'refunded')";
    assert_eq!(shop.count(twice).await, 0, "charges that count twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_loses_nothing_and_does_nothing_twice() {
    storm("apply", 1, if long() { 60 } else { 5 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_loses_nothing_that_it_queued() {
    storm("queue", 1, if long() { 60 } else { 5 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_killed_in_turn_lose_nothing_and_do_nothing_twice() {
    storm("apply", 2, if long() { 60 } else { 5 }).await;
}
