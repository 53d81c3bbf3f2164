//! Holds and orders belong to the client that made them, and keep what it wrote on them.

mod lists;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use holdfast::app::App;
use holdfast::checkout::{Error, NewHold, NewOrder};
use holdfast::domain::{Caller, Client, Details, Refusal, Role};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::crowd::{all, held_up, hold, in_order, order};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, with};

/// Returns the caller with the token of a storefront.
fn client(id: i64) -> Caller {
    Caller::client(Arc::new(Client { id, name: format!("client {id}"), role: Role::Storefront }))
}

/// Returns what a caller writes on a hold.
fn written(caller: &Caller, buyer: Option<&str>, reference: Option<&str>) -> Option<Arc<Details>> {
    let [buyer, reference] = [buyer, reference].map(|text| text.map(str::to_owned));
    Details::of_hold(caller, buyer, reference, None).expect("valid")
}

/// Takes a hold for a caller.
async fn take(app: &App, caller: &Caller, product_id: i64, buyer: Option<&str>, reference: Option<&str>) -> Uuid {
    let new = NewHold { details: written(caller, buyer, reference), ..NewHold::new(product_id, 1, None) };
    app.checkout.create_hold(new).await.expect("enough units").hold.id
}

/// Makes an order for a caller.
async fn make(app: &App, caller: &Caller, hold_id: Uuid, reference: Option<&str>) -> Result<Uuid, Error> {
    let new = NewOrder {
        caller: caller.clone(),
        written: written(&Caller::anonymous(), None, reference),
        ..NewOrder::new(hold_id, None, None)
    };
    Ok(app.checkout.create_order(new).await?.order.id)
}

/// Returns the results of everything that a caller can do with a hold and an order, one after another.
fn all_uses<'a>(
    app: &'a App,
    caller: &'a Caller,
    [ordered, active]: [Uuid; 2],
    order_id: Uuid,
) -> Vec<(&'static str, BoxFuture<'a, Result<(), Error>>)> {
    let checkout = &app.checkout;
    vec![
        ("read a hold", async move { checkout.hold(caller, active).await.map(drop) }.boxed()),
        ("read an ordered hold", async move { checkout.hold(caller, ordered).await.map(drop) }.boxed()),
        ("read an order", async move { checkout.order(caller, order_id).await.map(drop) }.boxed()),
        ("read a trail", async move { checkout.order_events(caller, order_id).await.map(drop) }.boxed()),
        ("cancel", async move { checkout.cancel_order(caller, order_id).await.map(drop) }.boxed()),
        ("release", async move { checkout.release_hold(caller, active).await.map(drop) }.boxed()),
    ]
}

#[tokio::test]
async fn what_belongs_to_another_caller_is_not_found_and_stays_as_it_is() {
    let shop = Shop::open().await;
    let product_id = shop.product(1_000).await;
    let app = shop.app();
    let (one, other) = (client(1), client(2));
    let narrowed = |caller: &Caller, buyer: &str| caller.clone().for_buyer(buyer.into());
    let callers = [
        Caller::anonymous(),
        narrowed(&Caller::anonymous(), "b"),
        one.clone(),
        narrowed(&one, "b"),
        narrowed(&one, "c"),
        other.clone(),
        narrowed(&other, "b"),
        Caller::operator(),
    ];
    for owner in &callers {
        for caller in &callers {
            let mut holds = Vec::new();
            for _ in 0..3 {
                holds.push(take(&app, owner, product_id, None, None).await);
            }
            let order_id = make(&app, owner, holds[0], None).await.expect("its own hold");
            let sees = caller.sees(&owner.owner());
            let ordered = make(&app, caller, holds[2], None).await;
            assert_eq!(ordered.is_ok(), sees, "{caller:?} orders a hold of {owner:?}");
            assert!(sees || matches!(ordered, Err(Error::Refused(Refusal::HoldNotFound))), "{ordered:?}");
            for (what, done) in all_uses(&app, caller, [holds[0], holds[1]], order_id) {
                let done = done.await;
                assert_eq!(done.is_ok(), sees, "{caller:?} may {what} of {owner:?}: {done:?}");
                let hidden = matches!(done, Err(Error::Refused(Refusal::HoldNotFound | Refusal::OrderNotFound)));
                assert!(sees || hidden, "{what}: {done:?}");
            }
            let operator = Caller::operator();
            let status = app.checkout.order(&operator, order_id).await.expect("it is there").order.status;
            assert_eq!(status.to_string(), if sees { "cancelled" } else { "pending" });
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_foreign_order_id_tells_nothing_about_a_foreign_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let app = shop.app();
    let hold_id = take(&app, &client(1), product_id, None, None).await;
    let order_id = make(&app, &client(1), hold_id, None).await.expect("its own hold");
    let new = NewOrder { caller: client(2), ..NewOrder::new(hold_id, Some(order_id), None) };
    let refused = app.checkout.create_order(new).await.expect_err("not its hold");
    assert!(matches!(refused, Error::Refused(Refusal::HoldNotFound)), "{refused:?}");
}

#[tokio::test]
async fn what_was_written_is_returned_everywhere_and_by_copies() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = shop.serve_without_workers().await;
    let metadata = json!({ "cart": "17", "note": "für Zoë \u{1f600}", "": "" });
    let wrong = json!({ "product_id": product_id, "qty": 1, "metadata": metadata });
    client.post("/api/holds", &wrong).await.refused(422, "invalid_metadata");
    let metadata = json!({ "cart": "17", "note": "für Zoë \u{1f600}" });
    let body = json!({
        "product_id": product_id, "qty": 2, "buyer": "buyer-1", "reference": "cart/17", "metadata": metadata
    });
    let check = |answer: &Value, reference: &str| {
        assert_eq!(answer["buyer"], "buyer-1", "{answer}");
        assert_eq!(answer["reference"], reference, "{answer}");
        assert_eq!(answer["metadata"], metadata, "{answer}");
    };
    let (first, copy) =
        (client.post_keyed("/api/holds", "k", &body).await, client.post_keyed("/api/holds", "k", &body).await);
    assert!(copy.is_replayed());
    let hold_id = first.text("hold_id");
    let read = client.get(&format!("/api/holds/{hold_id}")).await.expect(200);
    for answer in [first.expect(201), copy.expect(201), read] {
        check(&answer.body, "cart/17");
    }
    let order = json!({ "hold_id": hold_id, "reference": "order-17", "metadata": metadata });
    let first = client.post_keyed("/api/orders", "k", &order).await.expect(201);
    let copy = client.post_keyed("/api/orders", "k", &order).await.expect(201);
    let path = format!("/api/orders/{}", first.text("order_id"));
    let cancelled = |answer: crate::support::Answer| answer.expect(200);
    let (read, cancel) =
        (client.get(&path).await.expect(200), cancelled(client.post(&format!("{path}/cancel"), &json!({})).await));
    assert!(copy.is_replayed());
    for answer in [first, copy, read, cancel] {
        check(&answer.body, "order-17");
    }
    // what an anonymous caller does not write is not in the answer
    let plain = client.post("/api/holds", &json!({ "product_id": product_id, "qty": 1 })).await.expect(201);
    for field in ["buyer", "reference", "metadata"] {
        assert!(plain.body.get(field).is_none(), "{}", plain.body);
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM hold_owners").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_key_stands_for_one_buyer_reference_and_metadata() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = shop.serve_without_workers().await;
    let plain = json!({ "product_id": product_id, "qty": 1 });
    let first = client.post_keyed("/api/holds", "key", &plain).await.expect(201);
    // as instances before this version computed it
    let digest = format!("SHA2('{product_id}|1', 256)");
    let kept = format!("SELECT COUNT(*) FROM idempotency_keys WHERE fingerprint = UNHEX({digest})");
    assert_eq!(shop.count(&kept).await, 1);
    let others = [
        json!({ "buyer": "b" }),
        json!({ "reference": "b" }),
        json!({ "metadata": { "b": "b" } }),
        json!({ "buyer": "b", "reference": "b" }),
    ];
    for other in &others {
        client
            .post_keyed("/api/holds", "key", &with(&plain, other.clone()))
            .await
            .refused(422, "idempotency_key_reuse");
    }
    let empty = with(&plain, json!({ "metadata": {}, "buyer": null, "reference": null }));
    let copy = client.post_keyed("/api/holds", "key", &empty).await.expect(201);
    assert_eq!(copy.text("hold_id"), first.text("hold_id"));
    // two keys with parts that read alike when they are joined
    let body = |buyer: &str, reference: &str| with(&plain, json!({ "buyer": buyer, "reference": reference }));
    client.post_keyed("/api/holds", "joined", &body("b|reference:1:c", "d")).await.expect(201);
    client
        .post_keyed("/api/holds", "joined", &body("b", "c|reference:1:d"))
        .await
        .refused(422, "idempotency_key_reuse");
}

#[tokio::test]
async fn out_of_bounds_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = shop.serve_without_workers().await;
    let hold_id = client.hold(product_id, 1).await;
    let many: serde_json::Map<String, Value> = (0..21).map(|n| (n.to_string(), json!("v"))).collect();
    for (field, value, code) in [
        ("buyer", json!(""), "invalid_buyer"),
        ("buyer", json!("a b"), "invalid_buyer"),
        ("buyer", json!(5), "invalid_body"),
        ("reference", json!("r".repeat(129)), "invalid_reference"),
        ("metadata", json!({ "k": "v".repeat(501) }), "invalid_metadata"),
        ("metadata", Value::Object(many), "invalid_metadata"),
        ("metadata", json!({ "k": { "nested": "v" } }), "invalid_body"),
        ("metadata", json!([]), "invalid_body"),
    ] {
        let mut body = json!({ "product_id": product_id, "qty": 1 });
        body[field] = value.clone();
        client.post("/api/holds", &body).await.refused(422, code);
        if field != "buyer" {
            let mut body = json!({ "hold_id": hold_id });
            body[field] = value;
            client.post("/api/orders", &body).await.refused(422, code);
        }
    }
    assert_eq!(shop.reserved(product_id).await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM hold_owners").await, 0);
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 0);
}

#[tokio::test]
async fn a_batch_stores_the_owners_of_those_that_have_one_with_it_or_not_at_all() {
    for (rule, action) in [
        (Rule::exactly("COMMIT"), Action::CutAfter),
        (Rule::exactly("COMMIT"), Action::CutBefore),
        (Rule::exactly("COMMIT"), Action::DEADLOCK),
        (Rule::from("-- holds/insert:"), Action::CutAfter),
    ] {
        let shop = Shop::open().await;
        let product_id = shop.product(1_000).await;
        let (app, proxy) = shop.app_through_proxy().await;
        let owned = |n: u32| {
            let (app, caller) = (Arc::clone(&app), client(i64::from(n)));
            async move { take(&app, &caller, product_id, Some("b"), Some(&n.to_string())).await }.boxed()
        };
        let plain = || {
            let taken = hold(&app, product_id, 1, None);
            async move { taken.await.expect("enough units").hold.id }.boxed()
        };
        let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
        let crowd = in_order((1..21).map(|n| if n % 2 == 0 { owned(n) } else { plain() }));
        let rule = proxy.on(rule, action);
        jam.release().await;
        let ids = all(crowd).await;
        assert_eq!(rule.hits(), 1, "{action:?}");
        assert_eq!(shop.reserved(product_id).await, 21);
        assert_eq!(shop.count("SELECT COUNT(*) FROM hold_owners").await, 10);
        for (place, &hold_id) in ids.iter().enumerate() {
            let n = place as i64 + 1;
            let details =
                app.checkout.hold(&Caller::operator(), hold_id).await.expect("it is there")[0].details.clone();
            let owner = details.map(|details| (details.owner.client_id, details.reference.clone()));
            assert_eq!(owner, (n % 2 == 0).then(|| (Some(n), Some(n.to_string()))));
        }
        // their orders, in one batch
        let jam = held_up(&proxy, [order(&app, ids[0], None, None)]).await;
        let orders = in_order(ids[1..].iter().enumerate().map(|(place, &hold_id)| {
            let (app, n) = (Arc::clone(&app), place as i64 + 2);
            let caller = if n % 2 == 0 { client(n) } else { Caller::anonymous() };
            async move { make(&app, &caller, hold_id, None).await.map(|order_id| (caller, order_id)) }
        }));
        jam.release().await;
        for made in all(orders).await {
            let (caller, order_id) = made.expect("its own hold");
            app.checkout.order(&caller, order_id).await.expect("its own order");
        }
        assert_eq!(shop.count("SELECT COUNT(*) FROM order_owners").await, 10);
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn an_order_that_an_earlier_version_made_belongs_to_the_owner_of_its_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let app = shop.app();
    let hold_id = take(&app, &client(1), product_id, Some("b"), None).await;
    let order_id = make(&app, &client(1), hold_id, None).await.expect("its own hold");
    assert_eq!(shop.execute("DELETE FROM order_owners").await, 1);
    assert_eq!(shop.execute("UPDATE orders SET client_id = NULL").await, 1);
    let placed = app.checkout.order(&client(1).for_buyer("b".into()), order_id).await.expect("its own order");
    assert_eq!(placed.details.map(|details| details.owner.clone()), Some(client(1).for_buyer("b".into()).owner()));
    for other in [client(2), Caller::anonymous()] {
        app.checkout.order(&other, order_id).await.expect_err("not its order");
    }
}
