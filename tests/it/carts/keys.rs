//! Carts with idempotency keys.

use serde_json::json;

use super::{body, items, products, reserved};
use crate::support::crowd::sent;
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, together, with};

#[tokio::test]
async fn the_same_request_in_either_form_and_any_order_is_a_copy_and_another_one_is_refused() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let client = shop.serve_without_workers().await;
    let lines = body(&[(one, 1), (other, 2)]);
    let first = client.post_keyed("/api/holds", "cart", &lines).await.expect(201);
    for same in [lines.clone(), body(&[(other, 2), (one, 1)]), body(&[(other, 1), (one, 1), (other, 1)])] {
        let copy = client.post_keyed("/api/holds", "cart", &same).await.expect(201);
        assert_eq!((copy.is_replayed(), copy.text("hold_id")), (true, first.text("hold_id")));
        assert_eq!(items(&copy), items(&first));
    }
    let replacing = with(&lines, json!({ "replaces": first.text("hold_id") }));
    for another in
        [body(&[(one, 2), (other, 2)]), body(&[(one, 1)]), replacing, with(&lines, json!({ "reference": "r" }))]
    {
        client.post_keyed("/api/holds", "cart", &another).await.refused(422, "idempotency_key_reuse");
    }
    let single = client.post_keyed("/api/holds", "one", &json!({ "product_id": one, "qty": 2 })).await.expect(201);
    for same in [body(&[(one, 2)]), body(&[(one, 1), (one, 1)])] {
        let copy = client.post_keyed("/api/holds", "one", &same).await.expect(201);
        assert_eq!((copy.is_replayed(), copy.text("hold_id")), (true, single.text("hold_id")));
    }
    assert_eq!(reserved(&shop, &[one, other]).await, [3, 2]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn copies_at_the_same_time_on_two_instances_take_one_cart() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 3).await;
    let instances = [shop.serve_without_workers().await, shop.serve_without_workers().await];
    // the units suffice for one cart alone: no copy may be refused because of those that the first one has taken
    let lines = body(&[(one, 3), (other, 2)]);
    let copies = (0..60).map(|place| {
        let (client, lines) = (instances[place % 2].client.clone(), lines.clone());
        async move { client.post_keyed("/api/holds", "cart", &lines).await }
    });
    let answers = together(copies).await;
    let first = answers[0].clone().expect(201).text("hold_id");
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.text("hold_id") == first), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1);
    assert_eq!(reserved(&shop, &[one, other]).await, [3, 2]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_copy_whose_first_request_commits_after_its_keys_were_read_is_answered() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 3).await;
    let (client, late) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let lines = body(&[(one, 3), (other, 2)]);
    // the copy has not found its key, and does not know the products
    let read = late.proxy.on("-- products/list_some:", Action::PauseBefore);
    let copy = tokio::spawn({
        let (late, lines) = (late.client.clone(), lines.clone());
        async move { late.post_keyed("/api/holds", "cart", &lines).await }
    });
    read.reached().await;
    let first = client.post_keyed("/api/holds", "cart", &lines).await.expect(201);
    drop(read);
    let copy = copy.await.expect("no panic").expect(201);
    assert_eq!((copy.is_replayed(), copy.text("hold_id")), (true, first.text("hold_id")));
    client.post_keyed("/api/holds", "another", &lines).await.refused(409, "all_held");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_response_to_a_copy_waits_for_the_disk() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 3).await;
    let client = shop.serve_without_workers().await;
    let lines = body(&[(one, 1), (other, 1)]);
    client.post_keyed("/api/holds", "cart", &lines).await.expect(201);
    client.proxy.clear();
    let commit = client.proxy.on(Rule::exactly("COMMIT"), Action::CutBefore);
    client.post_keyed("/api/holds", "cart", &lines).await.expect(201);
    // the copy is counted in its row, once more after the cut
    assert_eq!((commit.hits(), sent(&client.proxy, "idempotency_keys/insert")), (1, 2));
    let counted = "SELECT COUNT(*) FROM idempotency_keys WHERE idempotency_key = 'cart'";
    assert_eq!(shop.count(counted).await, 1);
    assert_eq!(reserved(&shop, &[one, other]).await, [1, 1]);
}
