//! What the feed tells of holds, where it tells of them.

use std::collections::BTreeMap;

use holdfast::domain::Role;
use serde_json::{Value, json};

use super::{assert_whole, number, page, read_all, telling, told, types};
use crate::clients::{OPERATOR, add, managed};
use crate::support::crowd::{all, hold, in_order};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Shop, mint, with};

/// Sends a body with a token.
async fn send(client: &Bare, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    client.send(client.request(method, path).bearer_auth(token).json(body)).await
}

/// Takes a hold with a token.
async fn take(client: &Bare, token: &str, body: &Value) -> String {
    send(client, "POST", "/api/holds", token, body).await.expect(201).text("hold_id")
}

/// Returns what is told of a hold: the type, the state, the units and the reason.
fn of_hold(events: &[Value], hold_id: &str) -> Vec<Value> {
    let own = events.iter().filter(|event| event["data"]["hold_id"] == *hold_id);
    own.map(|event| {
        let data = &event["data"];
        let items = data["items"]
            .as_array()
            .map(|items| items.iter().map(|item| json!([item["product_id"], item["qty"]])).collect::<Vec<Value>>());
        json!([event["type"], data["status"], items, data["reason"]])
    })
    .collect()
}

async fn expire(client: &Bare) {
    while client.app.checkout.expire_holds().await.expect("the step runs") {}
}

#[tokio::test]
async fn each_change_of_a_hold_is_told_to_its_shop_with_its_units_after_it() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(10).await, shop.product(10).await);
    let client = telling(&shop).await;
    let [own, another] = ["own", "another"].map(|name| add(&client.app, name, Role::Storefront));
    let (own, another) = (own.await.token, another.await.token);
    let written = json!({ "buyer": "b-7", "reference": "R-1", "metadata": { "cart": "c1" } });
    let cart = json!({ "items": [{ "product_id": one, "qty": 3 }, { "product_id": other, "qty": 1 }] });
    let changed = take(&client, &own, &with(&written, cart)).await;
    let path = format!("/api/holds/{changed}");
    let longer = send(&client, "POST", &format!("{path}/extend"), &own, &json!({ "seconds": 60 })).await.expect(200);
    let fewer = json!({ "items": [{ "product_id": one, "qty": 2 }, { "product_id": other, "qty": 0 }] });
    send(&client, "PATCH", &path, &own, &fewer).await.expect(200);
    client.send(client.request("DELETE", &path).bearer_auth(&own)).await.expect(200);
    let single = json!({ "product_id": one, "qty": 2 });
    let old = take(&client, &own, &single).await;
    let new = take(&client, &own, &json!({ "product_id": other, "qty": 4, "replaces": old })).await;
    let ordered = take(&client, &own, &single).await;
    send(&client, "POST", "/api/orders", &own, &json!({ "hold_id": ordered })).await.expect(201);
    shop.let_hold_run_out(&new).await;
    expire(&client).await;
    let anonymous = client.hold(one, 1).await;
    client.release(&anonymous).await.expect(200);
    let events = told(&client).await;
    assert_whole(&events);
    let (both, less) = (json!([[one, 3], [other, 1]]), json!([[one, 2]]));
    let expected = [
        json!(["hold.created", "active", both, null]),
        json!(["hold.extended", "active", both, null]),
        json!(["hold.reduced", "active", less, null]),
        json!(["hold.released", "released", less, null]),
    ];
    assert_eq!(of_hold(&events, &changed), expected);
    let replaced = json!(["hold.released", "released", [[one, 2]], "replaced"]);
    assert_eq!(of_hold(&events, &old), [json!(["hold.created", "active", [[one, 2]], null]), replaced]);
    let expired = json!(["hold.expired", "expired", [[other, 4]], null]);
    assert_eq!(of_hold(&events, &new), [json!(["hold.created", "active", [[other, 4]], null]), expired]);
    let kinds: Vec<Value> = of_hold(&events, &ordered).iter().map(|told| told[0].clone()).collect();
    assert_eq!(kinds, ["hold.created", "order.created"]);
    // what was written on a hold is told with it, and when it runs out
    for event in events.iter().filter(|event| event["data"]["hold_id"] == *changed) {
        let data = &event["data"];
        let told = with(
            &json!({}),
            json!({ "buyer": data["buyer"], "reference": data["reference"], "metadata": data["metadata"] }),
        );
        assert_eq!(told, written, "{event}");
    }
    let shown = |event: &Value| event["data"]["expires_at"].as_str().map(str::to_owned);
    let times: Vec<_> = events.iter().filter(|event| event["data"]["hold_id"] == *changed).map(shown).collect();
    let last = Some(longer.text("expires_at"));
    assert_eq!(times[1..], [last.clone(), last, None]);
    assert!(times[0] < times[1], "{times:?}");
    // others hear nothing of it, and of anonymous callers only operators do
    assert_eq!(types(&read_all(&client, &another, 1000).await), Vec::<&str>::new());
    let mut own = read_all(&client, &own, 1000).await;
    assert_eq!(types(&events[own.len()..]), ["hold.created", "hold.released"]);
    own.extend(events[own.len()..].to_vec());
    assert_eq!(own, events);
    assert_eq!(of_hold(&events, &anonymous).len(), 2);
}

#[tokio::test]
async fn holds_are_not_told_unless_that_is_set() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = managed(&shop).await;
    let single = client.hold(product_id, 1).await;
    client.send(client.request("PATCH", &format!("/api/holds/{single}")).json(&json!({ "qty": 1 }))).await.expect(200);
    client.post(&format!("/api/holds/{single}/extend"), &json!({ "seconds": 60 })).await.expect(200);
    let replaced = json!({ "items": [{ "product_id": product_id, "qty": 1 }], "replaces": single });
    let cart = client.post("/api/holds", &replaced).await.expect(201).text("hold_id");
    client.release(&cart).await.expect(200);
    client.hold(product_id, 1).await;
    shop.let_holds_run_out().await;
    expire(&client).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM feed_batches").await, 0);
    assert!(client.proxy.statements().iter().all(|statement| !statement.contains("-- hold_owners/list:")));
}

#[tokio::test]
async fn of_a_crowd_each_shop_hears_of_its_own_holds_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let client = telling(&shop).await;
    let [one, other] = ["one", "other"].map(|name| add(&client.app, name, Role::Storefront));
    let tokens = [one.await.token, other.await.token];
    let body = json!({ "product_id": product_id, "qty": 1 });
    let work = (0..300).map(|place| {
        let request = client.request("POST", "/api/holds").json(&body);
        let request = match tokens.get(place % 3) {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        (place % 3, request)
    });
    let sent: Vec<_> = work.map(|(shop, request)| (shop, tokio::spawn(request.send()))).collect();
    let mut taken: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (shop, answer) in sent {
        let answer: Value = answer.await.expect("a request").expect("an answer").json().await.expect("a body");
        taken.entry(shop).or_default().push(answer["hold_id"].as_str().expect("a hold").to_owned());
    }
    shop.let_holds_run_out().await;
    // two workers at once
    let again = telling(&shop).await;
    tokio::join!(expire(&client), expire(&again));
    let events = told(&client).await;
    assert_whole(&events);
    assert!(shop.count("SELECT COUNT(*) FROM feed_batches").await < 300, "told in batches");
    for (place, mut own) in taken {
        let heard = match tokens.get(place) {
            Some(token) => read_all(&client, token, 1000).await,
            None => {
                let all = read_all(&client, OPERATOR, 1000).await;
                all.into_iter().filter(|event| own.iter().any(|id| event["data"]["hold_id"] == **id)).collect()
            }
        };
        for kind in ["hold.created", "hold.expired"] {
            let of_kind = heard.iter().filter(|event| event["type"] == kind);
            let mut told: Vec<&str> = of_kind.map(|event| event["data"]["hold_id"].as_str().expect("a hold")).collect();
            told.sort_unstable();
            own.sort_unstable();
            assert_eq!(told, own, "{kind}");
        }
        assert_eq!(heard.len(), 200);
    }
}

#[tokio::test]
async fn a_change_whose_commit_is_lost_is_told_once() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(100).await, shop.product(100).await);
    let client = telling(&shop).await;
    let rules = [Rule::from("-- feed_batches/insert:"), Rule::exactly("COMMIT")];
    let actions = [Action::CutBefore, Action::CutAfter, Action::DEADLOCK];
    for (rule, action) in rules.iter().flat_map(|rule| actions.map(|action| (rule, action))) {
        let single = json!({ "product_id": one, "qty": 3 });
        let cart = json!({ "items": [{ "product_id": one, "qty": 1 }, { "product_id": other, "qty": 1 }] });
        let mut counted = 0;
        let mut cut = async |path: &str, method: &str, body: &Value, status| {
            let cut = client.proxy.on(rule.clone(), action);
            let key = mint();
            let request = client.request(method, path).header("Idempotency-Key", &key).json(body);
            let answer = client.send(request).await.expect(status);
            assert_eq!(cut.hits(), 1, "{method} {path} {rule:?} {action:?}");
            drop(cut);
            counted += 1;
            answer
        };
        let held = cut("/api/holds", "POST", &single, 201).await.text("hold_id");
        let path = format!("/api/holds/{held}");
        cut(&format!("{path}/extend"), "POST", &json!({ "seconds": 60 }), 200).await;
        cut(&path, "PATCH", &json!({ "qty": 2 }), 200).await;
        let new = cut("/api/holds", "POST", &with(&cart, json!({ "replaces": held })), 201).await.text("hold_id");
        cut(&format!("/api/holds/{new}"), "DELETE", &json!({}), 200).await;
        let late = cut("/api/holds", "POST", &cart, 201).await.text("hold_id");
        shop.let_hold_run_out(&late).await;
        let cut = client.proxy.on(rule.clone(), action);
        expire(&client).await;
        assert_eq!(cut.hits(), 1);
        let events = told(&client).await;
        assert_whole(&events);
        let kinds = |hold_id: &str| -> Vec<String> {
            let told = of_hold(&events, hold_id);
            told.iter().map(|told| told[0].as_str().expect("a type").to_owned()).collect()
        };
        let expected = ["hold.created", "hold.extended", "hold.reduced", "hold.released"];
        assert_eq!(kinds(&held), expected, "{rule:?} {action:?}");
        assert_eq!(kinds(&new), ["hold.created", "hold.released"], "{rule:?} {action:?}");
        assert_eq!(kinds(&late), ["hold.created", "hold.expired"], "{rule:?} {action:?}");
        assert_eq!(counted, 6);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_a_late_payment_finds_overdue_is_told_before_its_refund() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = telling(&shop).await;
    let hold_id = client.hold(product_id, 1).await;
    shop.let_hold_run_out(&hold_id).await;
    let paid = json!({ "status": "paid", "order_id": mint(), "hold_id": hold_id, "idempotency_key": "k", "amount": "49.99", "currency": "EUR" });
    client.webhook(&paid).await.expect(200);
    let events = told(&client).await;
    assert_eq!(types(&events), ["hold.created", "hold.expired", "payment.refund_due"]);
}

#[tokio::test]
async fn a_buyer_of_a_shop_hears_of_the_own_holds_alone() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = telling(&shop).await;
    let own = add(&client.app, "own", Role::Storefront).await.token;
    let body = json!({ "product_id": product_id, "qty": 1 });
    let mut holds = BTreeMap::new();
    for buyer in ["b", "c"] {
        holds.insert(buyer, take(&client, &own, &with(&body, json!({ "buyer": buyer }))).await);
    }
    take(&client, &own, &body).await;
    number(&client.app).await;
    for (buyer, hold_id) in holds {
        let request = client.request("GET", "/api/feed").bearer_auth(&own).header("Holdfast-Buyer", buyer);
        let heard = client.send(request).await.expect(200).body;
        let told = of_hold(heard["items"].as_array().expect("a list"), &hold_id);
        assert_eq!((told.len(), heard["items"].as_array().map(Vec::len)), (1, Some(1)), "{buyer}");
    }
    let filtered = page(&client, &own, "types=hold.created,hold.expired").await.expect(200);
    assert_eq!(filtered.body["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_batch_that_starts_over_tells_of_the_holds_that_were_taken() {
    let shop = Shop::open().await;
    let product_id = shop.product(20).await;
    let client = telling(&shop).await;
    // more than there are units: a batch of all of them is refused and starts over with those that fit
    let taken = all(in_order((0..30).map(|_| hold(&client.app, product_id, 1, None)))).await;
    let mut holds: Vec<String> = taken.into_iter().flatten().map(|taken| taken.hold.id.to_string()).collect();
    let events = told(&client).await;
    let mut heard: Vec<String> = events
        .iter()
        .filter(|event| event["type"] == "hold.created")
        .map(|event| event["data"]["hold_id"].as_str().expect("a hold").to_owned())
        .collect();
    holds.sort_unstable();
    heard.sort_unstable();
    assert_eq!((heard, holds.len()), (holds.clone(), 20));
}
