//! A hold that keeps fewer units: they are back on sale at once, and it never gets more.

use holdfast::domain::Role;

use super::*;
use crate::clients::{Added, add, managed};
use crate::support::proxy::{Action, Rule};

#[tokio::test]
async fn units_that_a_hold_gives_up_are_on_sale_at_once_and_it_never_gets_more() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    let hold_id = client.hold(product_id, 8).await;
    let before = client.get(&hold_path(&hold_id)).await.expect(200);
    let after = keep(&client, &hold_id, 3).await.expect(200);
    assert_eq!((&after.body["qty"], client.available(product_id).await), (&json!(3), 7));
    assert_eq!((&after.body["expires_at"], &after.body["status"]), (&before.body["expires_at"], &json!("active")));
    client.hold(product_id, 7).await;

    // the same again changes nothing
    keep(&client, &hold_id, 3).await.expect(200);
    assert_eq!(lines(&shop, &hold_id).await, [(product_id, 3, "active".to_owned(), 1)]);
    let larger = keep(&client, &hold_id, 4).await;
    larger.refused(409, "hold_not_larger");
    assert_eq!((&larger.body["product_id"], &larger.body["qty"]), (&json!(product_id), &json!(3)));
    for (body, code) in [
        (json!({ "qty": 0 }), "invalid_change"),
        (json!({ "qty": -1 }), "invalid_change"),
        (json!({ "items": [{ "product_id": product_id, "qty": 0 }] }), "invalid_change"),
        (json!({}), "invalid_body"),
        (json!({ "qty": 1, "items": [] }), "invalid_body"),
        (json!({ "qty": "1" }), "invalid_body"),
        (json!({ "items": [[product_id, 1]] }), "invalid_body"),
        (json!({ "items": [{ "product_id": product_id, "qty": 1, "seat": "A" }] }), "invalid_body"),
        (json!({ "qty": 1, "items": null }), "invalid_body"),
        (json!({ "qty": null, "items": [{ "product_id": product_id, "qty": 1 }] }), "invalid_body"),
        (json!({ "items": vec![json!({ "product_id": 1, "qty": 1 }); 21] }), "invalid_body"),
        (json!({ "qty": 1, "seconds": 1 }), "invalid_body"),
    ] {
        change(&client, &hold_id, body.clone()).await.refused(422, code);
    }
    let other = json!({ "items": [{ "product_id": product_id + 1, "qty": 1 }] });
    change(&client, &hold_id, other).await.refused(409, "hold_not_larger");
    assert_eq!(lines(&shop, &hold_id).await, [(product_id, 3, "active".to_owned(), 1)]);

    let order = client.try_order(&hold_id).await.expect(201);
    assert_eq!(order.body["total_minor"], 3 * 4999);
    keep(&client, &hold_id, 1).await.refused(409, "hold_used");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_of_several_products_keeps_what_is_named_and_gives_back_the_rest() {
    let shop = Shop::open().await;
    let (one, other, third) = (shop.product(10).await, shop.product(10).await, shop.product(10).await);
    let client = shop.serve_without_workers().await;
    let hold_id = cart(&shop, &[(one, 5), (other, 3), (third, 1)], 60).await;
    let items = |lines: &[(i64, i64)]| {
        let line = |&(product_id, qty): &(i64, i64)| json!({ "product_id": product_id, "qty": qty });
        json!({ "items": lines.iter().map(line).collect::<Vec<_>>() })
    };
    change(&client, &hold_id, json!({ "qty": 1 })).await.refused(422, "invalid_change");
    change(&client, &hold_id, items(&[(one, 2), (other, 4)])).await.refused(409, "hold_not_larger");
    change(&client, &hold_id, items(&[(one, 0), (other, 0), (third, 0)])).await.refused(422, "invalid_change");
    assert_eq!(shop.count("SELECT CAST(SUM(reserved) AS SIGNED) FROM products").await, 9, "nothing was changed");

    change(&client, &hold_id, items(&[(one, 2), (other, 0)])).await.expect(200);
    let active = "active".to_owned();
    assert_eq!(lines(&shop, &hold_id).await, [(one, 2, active.clone(), 1), (third, 1, active.clone(), 1)]);
    let reserved = [shop.reserved(one).await, shop.reserved(other).await, shop.reserved(third).await];
    assert_eq!(reserved, [2, 0, 1]);
    change(&client, &hold_id, items(&[(one, 2), (other, 0)])).await.expect(200);
    change(&client, &hold_id, items(&[(other, 1)])).await.refused(409, "hold_not_larger");
    extend(&client, &hold_path(&hold_id), 60).await.expect(200);
    assert_eq!(lines(&shop, &hold_id).await, [(one, 2, active.clone(), 2), (third, 1, active, 2)]);
    shop.assert_conserved().await;

    let order = client.try_order(&hold_id).await.expect(201);
    assert_eq!((&order.body["total_minor"], order.body["items"].as_array().map(Vec::len)), (&json!(3 * 4999), Some(2)));
    client.cancel(&order.text("order_id")).await.expect(200);
    assert_eq!(shop.count("SELECT CAST(SUM(reserved) AS SIGNED) FROM products").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_change_that_is_cut_off_anywhere_takes_effect_once_or_not_at_all() {
    let cuts = ["-- holds/reduce:", "-- holds/delete:", "-- products/give_back:"].map(Rule::from);
    for rule in cuts.into_iter().chain([Rule::exactly("COMMIT")]) {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let shop = Shop::open().await;
            let (one, other) = (shop.product(10).await, shop.product(10).await);
            let client = shop.serve_without_workers().await;
            let hold_id = cart(&shop, &[(one, 5), (other, 3)], 60).await;
            let cut = client.proxy.on(rule.clone(), action);
            let body = json!({ "items": [{ "product_id": one, "qty": 1 }, { "product_id": other, "qty": 0 }] });
            change(&client, &hold_id, body).await.expect(200);
            assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
            assert_eq!(lines(&shop, &hold_id).await, [(one, 1, "active".to_owned(), 1)], "{rule:?} {action:?}");
            assert_eq!((shop.reserved(one).await, shop.reserved(other).await), (1, 0), "{rule:?} {action:?}");
            shop.assert_conserved().await;
        }
    }
}

#[tokio::test]
async fn only_the_owner_and_operators_change_a_hold_or_an_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(90).await;
    let api = managed(&shop).await;
    let [one, other]: [Added; 2] =
        [add(&api.app, "one", Role::Storefront).await, add(&api.app, "other", Role::Storefront).await];
    let admin = add(&api.app, "an-admin", Role::Admin).await;
    let send = async |token: &str, buyer: &str, method: &str, path: &str, body: Value| {
        let request = api.request(method, path).bearer_auth(token).header("holdfast-buyer", buyer).json(&body);
        api.send(request).await
    };
    let own = json!({ "product_id": product_id, "qty": 9 });
    let hold_id = send(&one.token, "b", "POST", "/api/holds", own.clone()).await.expect(201).text("hold_id");
    let ordered = send(&one.token, "b", "POST", "/api/holds", own).await.expect(201).text("hold_id");
    let order = send(&one.token, "b", "POST", "/api/orders", json!({ "hold_id": ordered })).await.expect(201);
    let (hold, order) = (hold_path(&hold_id), order_path(&order.text("order_id")));
    let (more_hold, more_order) = (format!("{hold}/extend"), format!("{order}/extend"));
    let uses = [
        ("PATCH", &hold, json!({ "qty": 3 }), "hold_not_found"),
        ("POST", &more_hold, json!({ "seconds": 1 }), "hold_not_found"),
        ("POST", &more_order, json!({ "seconds": 1 }), "order_not_found"),
    ];
    for (method, path, body, code) in &uses {
        for (token, buyer) in [(&other.token, "b"), (&one.token, "c")] {
            send(token, buyer, method, path, body.clone()).await.refused(404, code);
        }
        api.send(api.request(method, path).json(body)).await.refused(404, code);
    }
    assert_eq!(lines(&shop, &hold_id).await, [(product_id, 9, "active".to_owned(), 0)]);
    assert_eq!(shop.count("SELECT COUNT(*) FROM idempotency_keys").await, 0, "a refusal leaves no key");
    for (method, path, body, _) in &uses {
        send(&one.token, "b", method, path, body.clone()).await.expect(200);
        let request = api.request(method, path).bearer_auth(&admin.token).json(body);
        api.send(request).await.expect(200);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_change_that_took_effect_without_an_answer_is_answered_whatever_came_after_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (client, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    for (after, qty, status) in [
        ("nothing", 3, "active"),
        ("fewer", 1, "active"),
        ("ordered", 3, "ordered"),
        ("released", 3, "released"),
        ("expired", 3, "expired"),
    ] {
        let hold_id = client.hold(product_id, 8).await;
        let commit = client.proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
        // two reads of the first attempt
        let second = client.proxy.on(Rule::from("-- holds/find:").skip(2), Action::PauseBefore);
        let changed = keeping(&client, &hold_id, 3);
        second.reached().await;
        match after {
            "fewer" => drop(keep(&other, &hold_id, 1).await.expect(200)),
            "ordered" => drop(other.try_order(&hold_id).await.expect(201)),
            "released" => drop(other.release(&hold_id).await.expect(200)),
            "expired" => {
                shop.let_hold_run_out(&hold_id).await;
                other.app.checkout.expire_holds().await.expect("the step runs");
            }
            _ => {}
        }
        second.release();
        let changed = answer(changed).await.expect(200);
        assert_eq!((commit.hits(), &changed.body["qty"], changed.text("status").as_str()), (1, &json!(qty), status));
    }
    shop.assert_conserved().await;
}
