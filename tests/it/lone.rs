//! A sale whose steps come one at a time takes two round trips a step, and its instance's memory decides nothing.

use serde_json::{Value, json};

use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Shop, mint, with};

/// Returns the beginnings of the commands that were sent: names of statements, or the first words.
fn beginnings(client: &Bare) -> Vec<String> {
    let beginning = |statement: &String| {
        let first = statement.strip_prefix("BEGIN;\n").unwrap_or(statement);
        first.split(':').next().unwrap_or_default().to_owned()
    };
    client.proxy.statements().iter().map(beginning).collect()
}

#[tokio::test]
async fn an_order_and_its_payment_on_an_idle_service_read_nothing_before_their_transactions() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let hold_id = client.hold(product_id, 1).await;
    client.proxy.clear();
    let order_id = client.order(&hold_id).await;
    assert_eq!(
        beginnings(&client),
        ["-- orders/insert", "-- feed_batches/insert", "COMMIT", "-- payment_events/list_holds"]
    );
    client.proxy.clear();
    client.pay(&order_id, "paid", "key").await.expect(200);
    assert_eq!(
        beginnings(&client),
        ["-- payment_events/insert_applied", "-- feed_batches/insert", "COMMIT", "-- orders/list_touched"]
    );
    assert_eq!(client.order_status(&order_id).await, "paid");
    shop.assert_conserved().await;
}

/// Returns the names of the statements that were sent, and how many round trips and bytes they took.
fn sent(client: &Bare) -> (Vec<String>, usize, usize) {
    let statements = client.proxy.statements();
    let names = statements.iter().flat_map(|text| text.split("-- ").skip(1));
    let names = names.filter_map(|text| text.split_once(':')).map(|(name, _)| name.to_owned());
    // comments go on in further lines, which have no name
    let names = names.filter(|name| name.contains('/') && !name.contains(' ')).collect();
    let trips = client.proxy.trips();
    (names, trips.len(), trips.iter().sum())
}

#[tokio::test]
async fn a_plain_sale_sends_these_statements_and_no_more_bytes() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let client = shop.serve_without_workers().await;
    // from now on, the service knows the product
    client.hold(product_id, 1).await;
    client.proxy.clear();
    let hold_id = client.hold(product_id, 1).await;
    let hold = sent(&client);
    client.proxy.clear();
    let order_id = client.order(&hold_id).await;
    let order = sent(&client);
    client.proxy.clear();
    client.pay(&order_id, "paid", "key").await.expect(200);
    let payment = sent(&client);
    let names = |list: &[&str]| -> Vec<String> { list.iter().map(|&name| name.to_owned()).collect() };
    let expected = names(&["holds/insert", "products/take", "products/find_left"]);
    assert_eq!((&hold.0, hold.1), (&expected, 2), "{hold:?}");
    let expected = names(&[
        "orders/insert",
        "holds/mark_ordered",
        "order_events/insert",
        "orders/find_terms",
        "feed_batches/insert",
        "payment_events/list_holds",
    ]);
    assert_eq!((&order.0, order.1), (&expected, 2), "{order:?}");
    let expected = names(&[
        "payment_events/insert_applied",
        "payment_events/list_generated",
        "charges/insert_all_paid",
        "orders/mark_all_paid",
        "order_events/insert_all_paid",
        "holds/settle",
        "feed_batches/insert",
        "orders/list_touched",
    ]);
    assert_eq!((&payment.0, payment.1), (&expected, 2), "{payment:?}");
    // the digits of durations and ids vary
    let most = [1_187 + 8, 1_868 + 8, 3_840 + 24];
    assert!(
        [hold.2, order.2, payment.2].iter().zip(most).all(|(&bytes, most)| bytes <= most),
        "{hold:?} {order:?} {payment:?}"
    );
}

/// A change that another instance makes between two steps, and what the next step answers.
type Between = (&'static str, (u16, &'static str));

#[tokio::test]
async fn a_lone_order_is_refused_for_what_another_instance_did_with_its_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (client, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let cases: [Between; 4] = [
        ("released", (409, "hold_released")),
        ("expired", (409, "hold_expired")),
        ("ordered", (409, "hold_used")),
        ("taken", (409, "order_id_taken")),
    ];
    for (between, (status, code)) in cases {
        let (hold_id, mut order_id) = (client.hold(product_id, 1).await, mint());
        match between {
            "released" => drop(other.release(&hold_id).await.expect(200)),
            "expired" => shop.let_hold_run_out(&hold_id).await,
            "ordered" => drop(other.try_order_as(&hold_id, &mint()).await.expect(201)),
            _ => (_, order_id) = other.hold_and_order(product_id, 1).await,
        }
        client.try_order_as(&hold_id, &order_id).await.refused(status, code);
    }
    shop.assert_conserved().await;
}

/// Delivers a success, and returns the answer and the state of its order.
async fn pay(client: &Bare, order_id: &str) -> (Answer, String) {
    let answer = client.pay(order_id, "paid", &mint()).await;
    (answer, client.order_status(order_id).await)
}

#[tokio::test]
async fn a_lone_payment_is_settled_by_what_another_instance_did_with_its_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instances = [shop.serve_without_workers().await, shop.serve_without_workers().await];
    for between in ["cancelled", "paid", "cancelled and sold out"] {
        let mut outcomes: Vec<(u16, Value, String)> = Vec::new();
        // the first instance made the order and remembers it, the second one reads it
        for pays in 0..2 {
            let (_, order_id) = instances[0].hold_and_order(product_id, 1).await;
            match between {
                "paid" => drop(instances[1].pay(&order_id, "paid", &mint()).await.expect(200)),
                _ => drop(instances[1].cancel(&order_id).await.expect(200)),
            }
            let rest = if between == "cancelled and sold out" { instances[1].available(product_id).await } else { 0 };
            let rest = if rest > 0 { Some(instances[1].hold(product_id, rest).await) } else { None };
            let (answer, order_status) = pay(&instances[pays], &order_id).await;
            outcomes.push((answer.status, answer.body["status"].clone(), order_status));
            if let Some(rest) = rest {
                instances[1].release(&rest).await.expect(200);
            }
        }
        assert_eq!(outcomes[0], outcomes[1], "{between}");
        assert!(outcomes[0].1.is_string(), "{outcomes:?}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_that_waits_is_applied_by_a_lone_order_whose_look_fails_or_whose_commit_is_lost() {
    let shop = Shop::open().await;
    let product_id = shop.product(20).await;
    let client = shop.serve_without_workers().await;
    let error = Action::Error(1317, "70100", "Query execution was interrupted");
    // a client that chose the id of its order may have told its provider; else an event can name the hold alone
    for (chosen, look) in [(true, "-- orders/list_touched:"), (false, "-- payment_events/list_holds:")] {
        for (rule, action, status) in [
            (Rule::exactly("COMMIT"), Action::CutAfter, "paid"),
            (Rule::exactly("COMMIT"), Action::CutBefore, "paid"),
            (Rule::from(look), Action::PauseBefore, "paid"),
            // the order is made, and the sweep finds its event
            (Rule::from(look), Action::CutBefore, "pending"),
            (Rule::from(look), Action::CutAfter, "pending"),
            (Rule::from(look), Action::Blackhole, "pending"),
            (Rule::from(look), error, "pending"),
        ] {
            let hold_id = client.hold(product_id, 1).await;
            let order_id = chosen.then(mint);
            let named = json!({ "order_id": order_id, "hold_id": hold_id });
            client.webhook(&with(&json!({ "status": "paid", "idempotency_key": mint() }), named)).await.expect(202);
            let rule = client.proxy.on(rule, action);
            let body = json!({ "hold_id": hold_id, "order_id": order_id });
            let ordering = client.post("/api/orders", &body);
            let releasing = async {
                rule.reached().await;
                rule.release();
            };
            let (order, ()) = tokio::join!(ordering, releasing);
            let order = order.expect(201);
            assert_eq!((rule.hits(), order.text("status").as_str()), (1, status), "{chosen}: {action:?}");
            if status == "pending" {
                client.app.checkout.sweep_parked().await.expect("the step runs");
            }
            assert_eq!(client.order_status(&order.text("order_id")).await, "paid");
        }
    }
    shop.assert_conserved().await;
}
