//! A product that gets its limit while units are out: they are counted, once each, whatever happens meanwhile.

use std::sync::Arc;

use holdfast::app::App;
use serde_json::{Value, json};

use super::{LIMIT, OPERATOR, counted, limited, operated, refused_over_limit, take, taken};
use crate::support::proxy::{Action, Rule};
use crate::support::{Bare, Shop, binary, mint};

pub(super) const STATE: &str = "SELECT COALESCE(limit_state, 'none') FROM products";

/// Gives a product a limit, or takes it away.
pub(super) async fn set_limit(client: &Bare, product_id: i64, limit: Option<i64>) {
    let path = format!("/api/admin/products/{product_id}");
    let request = client.request("PATCH", &path).bearer_auth(OPERATOR).json(&json!({ "max_per_buyer": limit }));
    client.send(request).await.expect(200);
}

/// Counts until there is nothing more to count. Returns the number of steps.
pub(super) async fn count_all(app: &Arc<App>) -> usize {
    let mut steps = 0;
    while app.checkout.count_limited_units().await.expect("a worker's step") {
        steps += 1;
    }
    steps
}

/// Counts until there is nothing more to count, whatever single steps come to.
pub(super) async fn count_in_spite_of_faults(app: &Arc<App>) {
    while app.checkout.count_limited_units().await.unwrap_or(true) {}
}

async fn trail(client: &Bare, product_id: i64) -> Vec<Value> {
    let path = format!("/api/admin/products/{product_id}/trail");
    let answer = client.send(client.request("GET", &path).bearer_auth(OPERATOR)).await.expect(200);
    answer.body["items"].as_array().expect("a list").clone()
}

/// Puts holds of that many buyers on the product as another program would, ten units each, with ids that ascend.
pub(super) async fn many_holds(shop: &Shop, product_id: i64, holds: u32, buyers: u32) {
    shop.execute("CREATE TABLE numbers (i INT NOT NULL PRIMARY KEY)").await;
    shop.execute("INSERT INTO numbers VALUES (1)").await;
    for power in 0..13 {
        shop.execute(&format!("INSERT INTO numbers SELECT i + {} FROM numbers", 1 << power)).await;
    }
    let id = "UNHEX(LPAD(HEX(i), 32, '0'))";
    let rows = format!("FROM numbers WHERE i <= {holds}");
    shop.execute(&format!(
        "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
         SELECT {id}, {product_id}, 10, 4999, 'EUR', '2090-01-01', '2090-01-01' {rows}"
    ))
    .await;
    shop.execute(&format!(
        "INSERT INTO hold_owners (hold_id, client_id, buyer) SELECT {id}, 0, CONCAT('b', i % {buyers}) {rows}"
    ))
    .await;
    shop.execute(&format!("UPDATE products SET reserved = reserved + {} WHERE id = {product_id}", holds * 10)).await;
}

#[tokio::test]
async fn units_that_are_out_when_a_product_gets_its_limit_are_counted_and_then_the_limit_holds() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = operated(&shop).await;
    let active = taken(&client, product_id, 1, "b").await;
    client.order(&taken(&client, product_id, 2, "b").await).await;
    let paid = client.order(&taken(&client, product_id, 3, "b").await).await;
    client.pay(&paid, "paid", &mint()).await.expect(200);
    for restock in [false, true] {
        let order_id = client.order(&taken(&client, product_id, 5, "c").await).await;
        client.pay(&order_id, "paid", &mint()).await.expect(200);
        let refund =
            json!({ "order_id": order_id, "status": "refunded", "idempotency_key": mint(), "restock": restock });
        client.webhook(&refund).await.expect(200);
    }
    let cancelled = client.order(&taken(&client, product_id, 7, "c").await).await;
    client.cancel(&cancelled).await.expect(200);
    client.release(&taken(&client, product_id, 8, "c").await).await.expect(200);
    client.hold(product_id, 9).await;
    assert_eq!(shop.count("SELECT COUNT(id) FROM buyer_units").await, 0, "without a limit nothing is counted");

    set_limit(&client, product_id, Some(LIMIT)).await;
    assert_eq!(shop.row::<String>(STATE).await, "counting");
    count_all(&client.app).await;
    assert_eq!(shop.row::<String>(STATE).await, "enforced");
    assert_eq!((counted(&shop, product_id, "b").await, counted(&shop, product_id, "c").await), (6, 5));
    refused_over_limit(&take(&client, product_id, 1, "b").await, 6);
    let entries = trail(&client, product_id).await;
    let [holds, begins] = [0, 1].map(|place: usize| &entries[place]);
    assert_eq!((&holds["actor"], &holds["to"]["limit_state"]), (&json!("holdfast"), &json!("enforced")), "{entries:?}");
    assert_eq!((&begins["actor"], &begins["to"]), (&json!("operator"), &json!({ "max_per_buyer": LIMIT })));
    shop.assert_conserved().await;

    // what was counted later is given back like everything else
    client.release(&active).await.expect(200);
    let refund = json!({ "order_id": paid, "status": "refunded", "idempotency_key": mint(), "restock": true });
    client.webhook(&refund).await.expect(200);
    assert_eq!(counted(&shop, product_id, "b").await, 2);
    taken(&client, product_id, 2, "b").await;
    refused_over_limit(&take(&client, product_id, 1, "b").await, LIMIT);
    assert_eq!(count_all(&client.app).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn new_holds_are_counted_while_older_ones_still_are_not() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = operated(&shop).await;
    let old = taken(&client, product_id, 2, "b").await;
    let returned = taken(&client, product_id, 2, "b").await;
    set_limit(&client, product_id, Some(LIMIT)).await;
    taken(&client, product_id, 3, "b").await;
    refused_over_limit(&take(&client, product_id, 2, "b").await, 3);
    client.release(&returned).await.expect(200);
    assert_eq!(counted(&shop, product_id, "b").await, 3, "what was not counted is not taken off");
    count_all(&client.app).await;
    assert_eq!(counted(&shop, product_id, "b").await, 5);
    refused_over_limit(&take(&client, product_id, 1, "b").await, 5);
    client.release(&old).await.expect(200);
    taken(&client, product_id, 1, "b").await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_limit_can_be_raised_lowered_removed_and_set_again_and_counts_stay_right() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = operated(&shop).await;
    taken(&client, product_id, LIMIT, "b").await;
    set_limit(&client, product_id, Some(LIMIT + 2)).await;
    taken(&client, product_id, 2, "b").await;
    set_limit(&client, product_id, Some(1)).await;
    let refused = take(&client, product_id, 1, "b").await;
    refused.refused(409, "buyer_limit");
    assert_eq!((&refused.body["limit"], &refused.body["yours"]), (&json!(1), &json!(LIMIT + 2)));
    assert_eq!((shop.row::<String>(STATE).await.as_str(), count_all(&client.app).await), ("enforced", 0));

    set_limit(&client, product_id, None).await;
    assert_eq!(shop.row::<String>(STATE).await, "none");
    let free = taken(&client, product_id, 5, "b").await;
    client.hold(product_id, 1).await;
    assert_eq!(counted(&shop, product_id, "b").await, LIMIT + 2, "without a limit, new holds are not counted");
    client.release(&free).await.expect(200);
    taken(&client, product_id, 3, "b").await;
    set_limit(&client, product_id, Some(LIMIT)).await;
    count_all(&client.app).await;
    assert_eq!(counted(&shop, product_id, "b").await, LIMIT + 5);
    refused_over_limit(&take(&client, product_id, 1, "b").await, LIMIT + 5);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_limit_that_another_program_sets_or_removes_is_seen_by_the_worker() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = operated(&shop).await;
    taken(&client, product_id, 2, "b").await;
    shop.execute(&format!("UPDATE products SET max_per_buyer = {LIMIT}")).await;
    count_all(&client.app).await;
    assert_eq!((shop.row::<String>(STATE).await.as_str(), counted(&shop, product_id, "b").await), ("enforced", 2));
    let states: Vec<Value> =
        trail(&client, product_id).await.iter().map(|entry| entry["to"]["limit_state"].clone()).collect();
    assert_eq!(states, ["enforced", "counting"]);
    refused_over_limit(&take(&client, product_id, 3, "b").await, 2);
    shop.execute("UPDATE products SET max_per_buyer = NULL").await;
    count_all(&client.app).await;
    assert_eq!(shop.row::<String>(STATE).await, "none");
    client.hold(product_id, 1).await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_new_product_with_a_limit_needs_no_count() {
    let shop = Shop::open().await;
    let client = operated(&shop).await;
    let body = json!({ "name": "A", "price_minor": 1, "currency": "EUR", "stock": 10, "max_per_buyer": LIMIT });
    let request = client.request("POST", "/api/admin/products").bearer_auth(OPERATOR).json(&body);
    let product_id = client.send(request).await.expect(201).body["id"].as_i64().expect("an id");
    assert_eq!((shop.row::<String>(STATE).await.as_str(), count_all(&client.app).await), ("enforced", 0));
    taken(&client, product_id, LIMIT, "b").await;
    refused_over_limit(&take(&client, product_id, 1, "b").await, LIMIT);
}

#[tokio::test]
async fn many_pages_are_counted_once_each_although_every_statement_fails_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(100_000).await;
    many_holds(&shop, product_id, 4_500, 10).await;
    let client = operated(&shop).await;
    set_limit(&client, product_id, Some(LIMIT)).await;
    let statements = [
        Rule::from("-- holds/find_any:"),
        Rule::from("-- holds/find_page_end:").skip(1),
        Rule::from("-- holds/list_uncounted:"),
        Rule::from("-- holds/mark_counted:"),
        Rule::from("-- buyer_units/add:"),
        Rule::from("-- products/note_counted:"),
        Rule::from("-- product_trail/insert:"),
        Rule::exactly("COMMIT"),
        Rule::exactly("COMMIT").skip(1),
    ];
    for statement in statements {
        for action in [Action::CutBefore, Action::CutAfter] {
            let fault = client.proxy.on(statement.clone(), action);
            count_in_spite_of_faults(&client.app).await;
            drop(fault);
            assert_eq!(shop.row::<String>(STATE).await, "enforced");
            assert_eq!(counted(&shop, product_id, "b3").await, 4_500, "{statement:?} {action:?}");
            assert_eq!(shop.count("SELECT COUNT(id) FROM holds WHERE counted_on IS NULL").await, 0);
            shop.assert_conserved().await;
            shop.execute("UPDATE holds SET counted_on = NULL").await;
            shop.execute("DELETE FROM buyer_units").await;
            shop.execute("UPDATE products SET limit_state = 'counting', limit_counted_to = NULL").await;
        }
    }
}

#[tokio::test]
async fn a_count_that_was_interrupted_goes_on_where_it_was_on_another_instance() {
    let shop = Shop::open().await;
    let product_id = shop.product(100_000).await;
    many_holds(&shop, product_id, 4_500, 10).await;
    let (client, other) = (operated(&shop).await, operated(&shop).await);
    set_limit(&client, product_id, Some(LIMIT)).await;
    assert!(client.app.checkout.count_limited_units().await.expect("a worker's step"));
    let place = shop.row::<String>("SELECT HEX(limit_counted_to) FROM products").await;
    assert_eq!(place, format!("{:032X}", 2_000));
    other.proxy.clear();
    assert_eq!(count_all(&other.app).await, 2);
    assert_eq!(counted(&shop, product_id, "b3").await, 4_500);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_instances_that_count_the_same_page_count_it_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (client, other) = (operated(&shop).await, operated(&shop).await);
    taken(&client, product_id, 2, "b").await;
    let order_id = client.order(&taken(&client, product_id, 1, "b").await).await;
    client.pay(&order_id, "paid", &mint()).await.expect(200);
    set_limit(&client, product_id, Some(LIMIT)).await;
    let held = client.proxy.on("-- orders/recount:", Action::PauseBefore);
    let app = Arc::clone(&client.app);
    let first = tokio::spawn(async move { app.checkout.count_limited_units().await });
    held.reached().await;
    count_all(&other.app).await;
    held.release();
    first.await.expect("no panic").expect("a worker's step");
    count_all(&client.app).await;
    assert_eq!((shop.row::<String>(STATE).await.as_str(), counted(&shop, product_id, "b").await), ("enforced", 3));
    shop.assert_conserved().await;
}

/// What happens to units while they are counted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Release,
    Order,
    Cancel,
    Restock,
    LatePayment,
}

#[tokio::test]
async fn units_that_come_back_or_are_taken_again_while_they_are_counted_are_counted_right() {
    use Event::{Cancel, LatePayment, Order, Release, Restock};
    for event in [Release, Order, Cancel, Restock, LatePayment] {
        // what is counted was read, or its marks are written and not committed
        for (statement, action) in
            [("-- holds/list_uncounted:", Action::PauseAfter), ("-- products/note_counted:", Action::PauseAfter)]
        {
            let shop = Shop::open().await;
            let product_id = shop.product(100).await;
            let (worker, client) = (operated(&shop).await, operated(&shop).await);
            let hold_id = taken(&client, product_id, 2, "b").await;
            let other = taken(&client, product_id, 1, "b").await;
            let order_id = match event {
                Release | Order => String::new(),
                _ => client.order(&hold_id).await,
            };
            match event {
                Restock => drop(client.pay(&order_id, "paid", "paid").await.expect(200)),
                LatePayment => drop(client.cancel(&order_id).await.expect(200)),
                _ => {}
            }
            set_limit(&client, product_id, Some(LIMIT)).await;
            let held = worker.proxy.on(statement, action);
            let app = Arc::clone(&worker.app);
            let counting = tokio::spawn(async move { app.checkout.count_limited_units().await });
            held.reached().await;
            let acting = {
                let (client, hold_id, order_id) = (client.client.clone(), hold_id.clone(), order_id.clone());
                tokio::spawn(async move {
                    match event {
                        Release => client.release(&hold_id).await,
                        Order => client.try_order(&hold_id).await,
                        Cancel => client.cancel(&order_id).await,
                        Restock => {
                            let refund = json!({
                                "order_id": order_id, "status": "refunded", "idempotency_key": "refund", "restock": true,
                            });
                            client.webhook(&refund).await
                        }
                        LatePayment => client.pay(&order_id, "paid", "late").await,
                    }
                })
            };
            if statement == "-- holds/list_uncounted:" {
                acting.await.expect("no panic");
                held.release();
            } else {
                // it waits for the locks of the count
                let waiting = match event {
                    Release => "holds/release",
                    Order => "orders/insert",
                    Cancel => "orders/cancel",
                    Restock => "orders/refund",
                    LatePayment => "buyer_units/add",
                };
                if event != Order {
                    shop.until_running(waiting).await;
                }
                held.release();
                acting.await.expect("no panic");
            }
            counting.await.expect("no panic").expect("a worker's step");
            count_all(&worker.app).await;
            let expected = if matches!(event, Order | LatePayment) { 3 } else { 1 };
            assert_eq!(counted(&shop, product_id, "b").await, expected, "{event:?} after {statement}");
            assert_eq!(shop.reserved(product_id).await, expected, "{event:?} after {statement}");
            let marked = format!("SELECT COUNT(id) FROM holds WHERE id = {} AND counted_on IS NULL", binary(&other));
            assert_eq!(shop.count(&marked).await, 0);
            shop.assert_conserved().await;
        }
    }
}
