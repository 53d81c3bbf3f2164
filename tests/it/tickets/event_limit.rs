//! The limit per buyer of an event counts the units of all of its ticket types, whatever way they are held and come back.

use holdfast::checkout::audit::report::Kind;
use holdfast::domain::{Owner, counter};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{add_seats, concert, event, keyed, office, organizer, row, send, stalls, standing, ticket_type};
use crate::audit::audit;
use crate::clients::OPERATOR;
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, binary, mint, together, with};

/// The most units of one buyer of the event.
const LIMIT: i64 = 4;

/// An event with a limit, and its ticket types.
struct Show {
    event_id: i64,
    standing: i64,
    stalls: i64,
}

/// Makes an event with this limit, an admission of 100 places, and a row of 12 seats.
async fn show(client: &Client, limit: i64) -> Show {
    let event_id = event(client, json!({ "max_per_buyer": limit })).await;
    let standing = ticket_type(client, event_id, &with(&standing(), json!({ "stock": 100 }))).await;
    let stalls = ticket_type(client, event_id, &stalls()).await;
    add_seats(client, stalls, &row("A", "1", json!(12))).await.expect(201);
    Show { event_id, standing, stalls }
}

impl Show {
    fn places(&self, qty: i64) -> Value {
        json!({ "product_id": self.standing, "qty": qty })
    }

    fn seats(&self, qty: i64) -> Value {
        json!({ "product_id": self.stalls, "qty": qty, "best_available": true })
    }

    /// Returns the units of buyer `b`, as the counter has them, and as both ticket types have them reserved.
    async fn units(&self, shop: &Shop) -> (i64, i64) {
        let owner = Owner { client_id: None, buyer: Some("b".into()) };
        let id = counter::of_buyer_at_event(self.event_id, &owner).expect("a buyer").simple().to_string();
        let counted = format!("SELECT COALESCE((SELECT units FROM buyer_units WHERE id = x'{id}'), 0)");
        (shop.count(&counted).await, shop.reserved(self.standing).await + shop.reserved(self.stalls).await)
    }

    /// Checks that a request is refused because of the event's limit.
    #[track_caller]
    fn refuses(&self, answer: &Answer, limit: i64, yours: i64) {
        let body = &answer.refused(409, "buyer_limit").body;
        let told = (&body["event_id"], &body["limit"], &body["yours"]);
        assert_eq!(told, (&json!(self.event_id), &json!(limit), &json!(yours)), "{answer:?}");
    }
}

async fn take(client: &Client, buyer: &str, items: &[Value]) -> Answer {
    client.post("/api/holds", &json!({ "items": items, "buyer": buyer })).await
}

async fn taken(client: &Client, buyer: &str, items: &[Value]) -> String {
    take(client, buyer, items).await.expect(201).text("hold_id")
}

fn start(client: &Bare, items: &[Value]) -> JoinHandle<Answer> {
    let (client, items) = (client.client.clone(), items.to_vec());
    tokio::spawn(async move { take(&client, "b", &items).await })
}

#[tokio::test]
async fn a_buyer_has_as_many_units_of_all_ticket_types_as_the_event_allows() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (show, other) = (show(&client, LIMIT).await, show(&client, LIMIT).await);
    let shown = client.get(&format!("/api/events/{}", show.event_id)).await.expect(200);
    assert_eq!(shown.body["max_per_buyer"], json!(LIMIT));
    // a single line and a cart; of places, of seats, and of both
    show.refuses(&take(&client, "b", &[show.places(5)]).await, LIMIT, 0);
    show.refuses(&take(&client, "b", &[show.places(2), show.seats(3)]).await, LIMIT, 0);
    let first = taken(&client, "b", &[show.places(1)]).await;
    taken(&client, "b", &[show.places(1), show.seats(1)]).await;
    taken(&client, "b", &[show.seats(1)]).await;
    for items in [vec![show.places(1)], vec![show.seats(1)], vec![show.seats(1), show.places(1)]] {
        show.refuses(&take(&client, "b", &items).await, LIMIT, LIMIT);
    }
    let answer = take(&client, "b", &[show.places(1), show.seats(1)]).await;
    let codes: Vec<&Value> = answer.body["items"].as_array().expect("items").iter().map(|item| &item["code"]).collect();
    assert_eq!(codes, [&json!("buyer_limit"), &json!("buyer_limit")], "{answer:?}");
    assert_eq!(answer.body["items"][0]["event_id"], json!(show.event_id));
    assert_eq!(show.units(&shop).await, (LIMIT, LIMIT));
    // another buyer, and another event
    taken(&client, "c", &[show.places(1), show.seats(3)]).await;
    taken(&client, "b", &[other.places(2), other.seats(2)]).await;
    client.release(&first).await.expect(200);
    taken(&client, "b", &[show.seats(1)]).await;
    show.refuses(&take(&client, "b", &[show.places(1)]).await, LIMIT, LIMIT);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_first_limit_that_units_pass_is_told_that_of_the_ticket_type_or_of_the_event() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let show = show(&client, LIMIT).await;
    let rare = ticket_type(&client, show.event_id, &with(&standing(), json!({ "max_per_buyer": 2 }))).await;
    let item = |qty: i64| json!({ "product_id": rare, "qty": qty });
    for items in [vec![item(3)], vec![item(3), show.places(1)]] {
        let body = take(&client, "b", &items).await.refused(409, "buyer_limit").body.clone();
        assert_eq!((&body["limit"], &body["event_id"]), (&json!(2), &Value::Null), "{body}");
    }
    taken(&client, "b", &[show.places(3)]).await;
    show.refuses(&take(&client, "b", &[item(2)]).await, LIMIT, 3);
    taken(&client, "b", &[item(1)]).await;
    assert_eq!(show.units(&shop).await, (LIMIT, 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_for_an_event_with_a_limit_needs_a_buyer() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let show = show(&client, LIMIT).await;
    let free = shop.product(5).await;
    // read for the first time, and remembered
    for _ in 0..2 {
        for items in
            [vec![show.places(1)], vec![show.seats(1)], vec![show.places(1), json!({ "product_id": free, "qty": 1 })]]
        {
            client.post("/api/holds", &json!({ "items": items })).await.refused(422, "buyer_required");
        }
        client.try_hold(show.standing, 1).await.refused(422, "buyer_required");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 0);
}

#[tokio::test]
async fn units_that_come_back_leave_the_counter_of_the_event() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let show = show(&client, LIMIT).await;
    let items = [show.places(2), show.seats(2)];
    for way in ["release", "reduce", "replace", "expiry", "cancel", "overdue", "failure", "refund"] {
        let hold_id = taken(&client, "b", &items).await;
        let report = async |order_id: &str, status: &str| {
            let event = json!({ "order_id": order_id, "status": status, "idempotency_key": mint(), "txn_id": order_id,
                                "restock": true });
            client.webhook(&event).await.expect(200);
        };
        let order = async || client.order(&hold_id).await;
        match way {
            "release" => drop(client.release(&hold_id).await.expect(200)),
            "reduce" => {
                let body = json!({ "items": [{ "product_id": show.standing, "qty": 1 }, { "product_id": show.stalls, "qty": 0 }] });
                client.send(client.request("PATCH", &format!("/api/holds/{hold_id}")).json(&body)).await.expect(200);
                assert_eq!(show.units(&shop).await, (1, 1));
                client.release(&hold_id).await.expect(200);
            }
            "replace" => {
                // the units of the old hold do not count beside those of the new one
                let body = json!({ "items": [show.places(1), show.seats(3)], "buyer": "b", "replaces": hold_id });
                let new = client.post("/api/holds", &body).await.expect(201).text("hold_id");
                assert_eq!(show.units(&shop).await, (LIMIT, LIMIT));
                client.release(&new).await.expect(200);
            }
            "expiry" => {
                shop.let_hold_run_out(&hold_id).await;
                while client.app.checkout.expire_holds().await.expect("a worker's step") {}
            }
            "cancel" => drop(client.cancel(&order().await).await.expect(200)),
            "overdue" => {
                shop.let_order_run_out(&order().await).await;
                while client.app.checkout.cancel_overdue_orders().await.expect("a worker's step") {}
            }
            "failure" => report(&order().await, "failed").await,
            _ => {
                let order_id = order().await;
                report(&order_id, "paid").await;
                show.refuses(&take(&client, "b", &[show.places(1)]).await, LIMIT, LIMIT);
                report(&order_id, "refunded").await;
            }
        }
        assert_eq!(show.units(&shop).await, (0, 0), "{way}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_late_payment_beyond_the_limit_of_the_event_is_due_for_refund() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let show = show(&client, LIMIT).await;
    let late = client.order(&taken(&client, "b", &[show.places(1), show.seats(2)]).await).await;
    client.cancel(&late).await.expect(200);
    let between = taken(&client, "b", &[show.places(2)]).await;
    let event = client.pay(&late, "paid", "late").await.expect(200);
    assert_eq!(event.body["status"], json!("refund_due"));
    let path = format!("/api/admin/payment-events/{}", event.body["event_id"]);
    let shown = client.send(client.request("GET", &path).bearer_auth(OPERATOR)).await.expect(200);
    let why = json!({ "reason": "buyer_limit", "expected": "at most 4 units", "got": "5 units" });
    assert_eq!(shown.body["event"]["quarantine"], why);
    assert_eq!(show.units(&shop).await, (2, 2));
    shop.assert_conserved().await;

    client.release(&between).await.expect(200);
    let other = client.order(&taken(&client, "b", &[show.places(2), show.seats(2)]).await).await;
    client.cancel(&other).await.expect(200);
    client.pay(&other, "paid", "in-time").await.expect(200);
    assert_eq!((client.order_status(&other).await.as_str(), show.units(&shop).await), ("paid", (LIMIT, LIMIT)));
    show.refuses(&take(&client, "b", &[show.seats(1)]).await, LIMIT, LIMIT);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_late_payment_is_not_due_because_of_a_hold_of_another_ticket_type_that_has_run_out() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let show = show(&client, LIMIT).await;
    let late = client.order(&taken(&client, "b", &[show.places(3)]).await).await;
    client.cancel(&late).await.expect(200);
    let between = taken(&client, "b", &[show.seats(2)]).await;
    shop.let_hold_run_out(&between).await;
    let event = client.pay(&late, "paid", "late").await.expect(200);
    assert_eq!((&event.body["status"], &event.body["order_status"]), (&json!("processed"), &json!("paid")));
    assert_eq!(show.units(&shop).await, (3, 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_requests_for_two_ticket_types_that_have_read_the_same_counter_one_is_refused() {
    let shop = Shop::open().await;
    let (one, other) = (office(&shop).await, office(&shop).await);
    let show = show(&one, LIMIT).await;
    for (late, first) in [(show.places(3), show.seats(2)), (show.seats(3), show.places(2))] {
        let read = one.proxy.on("-- buyer_units/list:", Action::PauseAfter);
        let late = start(&one, &[late]);
        read.reached().await;
        let hold_id = taken(&other, "b", &[first]).await;
        read.release();
        show.refuses(&late.await.expect("no panic"), LIMIT, 2);
        assert_eq!(show.units(&shop).await, (2, 2));
        other.release(&hold_id).await.expect(200);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_request_beside_one_of_another_ticket_type_waits_for_its_commit() {
    let shop = Shop::open().await;
    let (one, other) = (office(&shop).await, office(&shop).await);
    let show = show(&one, LIMIT).await;
    let commit = one.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let first = start(&one, &[show.places(3)]);
    commit.reached().await;
    let second = start(&other, &[show.seats(2)]);
    shop.until_running("buyer_units/add").await;
    commit.release();
    first.await.expect("no panic").expect(201);
    show.refuses(&second.await.expect("no panic"), LIMIT, 3);
    assert_eq!(show.units(&shop).await, (3, 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn parallel_requests_of_one_buyer_on_two_instances_never_pass_the_limit() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let show = show(&instances[0], LIMIT).await;
    let requests = (0..60_usize).map(|n| {
        let client = instances[n % 2].client.clone();
        let items = match n % 3 {
            0 => vec![show.places(1)],
            1 => vec![show.seats(1)],
            _ => vec![show.places(1), show.seats(1)],
        };
        async move {
            let answer = take(&client, "b", &items).await;
            if answer.status == 201 && n % 5 == 0 {
                client.release(&answer.text("hold_id")).await.expect(200);
            }
            answer
        }
    });
    let answers = together(requests).await;
    assert!(answers.iter().filter(|answer| answer.status != 201).all(|answer| answer.code() == "buyer_limit"));
    let (counted, reserved) = show.units(&shop).await;
    assert_eq!(counted, reserved);
    assert!(counted <= LIMIT, "{counted}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_operator_passes_the_limit_of_the_event_and_is_named_in_the_trail() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let show = show(&client, LIMIT).await;
    taken(&client, "b", &[show.places(3)]).await;
    for items in [vec![show.places(2)], vec![show.places(1), show.seats(1)]] {
        send(&client, "/api/holds", &json!({ "items": items, "buyer": "b" })).await.expect(201);
    }
    let passed = "SELECT CAST(to_values AS CHAR) FROM product_trail WHERE action = 'limit_passed' ORDER BY id";
    let rows: Vec<String> = shop.rows(passed).await;
    let told: Vec<(Value, Value, Value)> = rows
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).expect("JSON"))
        .map(|to| (to["event_id"].clone(), to["limit"].clone(), to["units"].clone()))
        .collect();
    let of = |units: i64| (json!(show.event_id), json!(LIMIT), json!(units));
    assert_eq!(told, [of(5), of(6), of(7)]);
    assert_eq!(show.units(&shop).await, (7, 7));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_lost_mark_or_a_wrong_counter_of_an_event_is_found() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let show = show(&client, LIMIT).await;
    let hold_id = taken(&client, "b", &[show.places(1), show.seats(2)]).await;
    shop.assert_conserved().await;
    let hold = binary(&hold_id);
    let of_event = format!("(SELECT event_counted_on FROM holds WHERE id = {hold} AND product_id = {})", show.standing);
    let name: String = shop.row(&format!("SELECT LOWER(HEX({of_event}))")).await;
    let mark = |value: &str| {
        format!("UPDATE holds SET event_counted_on = {value} WHERE id = {hold} AND product_id = {}", show.standing)
    };
    let add = |units: i64| format!("UPDATE buyer_units SET units = units + {units} WHERE id = x'{name}'");
    let damages = [
        (mark("NULL"), mark(&format!("x'{name}'")), Kind::UnitsNotCounted, hold_id.clone()),
        (mark("NULL"), mark(&format!("x'{name}'")), Kind::CounterWrong, name.clone()),
        (add(1), add(-1), Kind::CounterWrong, name.clone()),
    ];
    for (damage, repair, kind, id) in damages {
        assert!(shop.execute(&damage).await > 0, "{damage}");
        let report = audit(&client.app).await;
        let found = report.findings.iter().any(|finding| finding.kind == kind && finding.id.starts_with(&id));
        assert!(found, "{damage}: {report}");
        shop.execute(&repair).await;
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_limit_of_an_event_that_is_not_allowed_is_refused() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let organizer_id = organizer(&client).await;
    for limit in [0, -1, 1_000_001] {
        let body = with(&concert(organizer_id), json!({ "max_per_buyer": limit }));
        let answer = send(&client, "/api/admin/events", &body).await;
        assert!(answer.refused(422, "invalid_event").text("detail").contains("max_per_buyer"), "{answer:?}");
    }
    let body = with(&concert(organizer_id), json!({ "max_per_buyer": 1_000_000 }));
    keyed(&client, "/api/admin/events", "key", &body).await.expect(201);
    let other = with(&body, json!({ "max_per_buyer": 5 }));
    keyed(&client, "/api/admin/events", "key", &other).await.refused(422, "idempotency_key_reuse");
}
