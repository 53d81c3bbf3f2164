//! Two clients, their buyers and callers without a token over HTTP: each finds its own alone, both ways.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use holdfast::domain::Role;
use serde_json::json;

use super::{Added, Signer, add, ask, managed, post};
use crate::support::{Answer, Bare, Shop};

/// Sends a request with a token, or without one.
async fn send(api: &Bare, method: &str, path: &str, token: Option<&str>) -> Answer {
    match token {
        Some(token) => ask(api, method, path, token).await,
        None => api.send(api.request(method, path)).await,
    }
}

#[tokio::test]
async fn what_a_client_took_is_not_found_by_others_and_is_in_no_other_list() {
    let shop = Shop::open().await;
    let product_id = shop.product(1_000).await;
    let api = managed(&shop).await;
    let one = add(&api.app, "one", Role::Storefront).await;
    let other = add(&api.app, "other", Role::Storefront).await;
    let admin = add(&api.app, "admin", Role::Admin).await;
    let signer = Signer::of(&api.app, &one, 1, "k").await;
    let other_signer = Signer::of(&api.app, &other, 2, "k").await;
    let token = |signer: &Signer, client: &Added, buyer: &str| signer.token(client, buyer);
    let (own, stranger, namesake) =
        (token(&signer, &one, "b"), token(&signer, &one, "c"), token(&other_signer, &other, "b"));
    let body = json!({ "product_id": product_id, "qty": 1, "buyer": "b", "reference": "r" });
    let hold = post(&api, "/api/holds", &one.token, body).await.expect(201);
    let (hold_id, order) = (hold.text("hold_id"), json!({ "hold_id": hold.text("hold_id") }));
    let foreign = [Some(other.token.as_str()), Some(&stranger), Some(&namesake), None];
    for token in foreign {
        let answer = match token {
            Some(token) => post(&api, "/api/orders", token, order.clone()).await,
            None => api.post("/api/orders", &order).await,
        };
        answer.refused(404, "hold_not_found");
    }
    let order_id = post(&api, "/api/orders", &own, order).await.expect(201).text("order_id");
    let (hold, order) = (format!("/api/holds/{hold_id}"), format!("/api/orders/{order_id}"));
    let uses = [
        ("GET", hold.clone(), "hold_not_found"),
        ("DELETE", hold.clone(), "hold_not_found"),
        ("GET", order.clone(), "order_not_found"),
        ("GET", format!("{order}/events"), "order_not_found"),
        ("POST", format!("{order}/cancel"), "order_not_found"),
    ];
    for (method, path, code) in &uses {
        for token in foreign {
            send(&api, method, path, token).await.refused(404, code);
        }
    }
    for (list, id) in [("/api/holds", &hold_id), ("/api/orders", &order_id)] {
        for token in [&one.token, &own, &admin.token] {
            let listed = ask(&api, "GET", list, token).await.expect(200);
            assert!(listed.text.contains(id.as_str()), "{list}: {}", listed.text);
        }
        for token in foreign.into_iter().flatten() {
            let listed = ask(&api, "GET", &format!("{list}?reference=r"), token).await.expect(200);
            assert_eq!(listed.body["items"], json!([]), "{list}");
        }
    }
    let unlike = ask(&api, "GET", "/api/orders?buyer=c", &own).await;
    unlike.refused(422, "buyer_mismatch");
    // a cursor that names a time which the database cannot store
    let page = ask(&api, "GET", "/api/orders?limit=1", &admin.token).await;
    assert_eq!(page.body["next_cursor"], serde_json::Value::Null);
    let second = post(&api, "/api/holds", &one.token, json!({ "product_id": product_id, "qty": 1 })).await;
    post(&api, "/api/orders", &one.token, json!({ "hold_id": second.text("hold_id") })).await.expect(201);
    let cursor = ask(&api, "GET", "/api/orders?limit=1", &one.token).await.text("next_cursor");
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&cursor).expect("base64")).expect("text");
    let (list, place) = text.split_once(':').expect("a list");
    let (_, id) = place.split_once('.').expect("a place");
    for at in ["-60000000000000000", "253402300800000000", "x"] {
        let forged = BASE64_URL_SAFE_NO_PAD.encode(format!("{list}:{at}.{id}"));
        let path = format!("/api/orders?limit=1&cursor={forged}");
        ask(&api, "GET", &path, &one.token).await.refused(400, "invalid_cursor");
    }
    ask(&api, "GET", &format!("/api/orders?limit=1&cursor={cursor}"), &one.token).await.expect(200);
    ask(&api, "GET", "/api/orders?state=wrong", &one.token).await.refused(400, "invalid_state");
    ask(&api, "GET", "/api/holds?buyers=b", &one.token).await.refused(400, "unknown_parameter");
    for (path, token) in [(&order, &own), (&order, &one.token), (&hold, &admin.token)] {
        ask(&api, "GET", path, token).await.expect(200);
    }
    ask(&api, "POST", &format!("{order}/cancel"), &own).await.expect(200);
    shop.assert_conserved().await;
}
