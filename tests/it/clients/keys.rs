//! Idempotency keys of different clients are different keys.

use holdfast::domain::Role;
use serde_json::json;

use super::{Signer, add, managed};
use crate::support::proxy::Action;
use crate::support::{Shop, together};

#[tokio::test]
async fn clients_with_the_same_key_in_one_batch_get_a_hold_each() {
    let (shop, product_id, _) = Shop::selling(50).await;
    let api = managed(&shop).await;
    let (one, other) = (add(&api.app, "one", Role::Storefront).await, add(&api.app, "other", Role::Storefront).await);
    let signer = Signer::of(&api.app, &one, 1, "k").await;
    let tokens = [
        None,
        Some(one.token.clone()),
        Some(other.token),
        Some(signer.token(&one, "a")),
        Some(signer.token(&one, "b")),
    ];
    let hold = |token: Option<String>| {
        let client = api.client.clone();
        async move {
            let request = client.request("POST", "/api/holds").header("idempotency-key", "the-same-key");
            let request = token.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            client.send(request.json(&json!({ "product_id": product_id, "qty": 1 }))).await.expect(201)
        }
    };
    // behind a batch that is held back, all wait for the next one
    let held_back = api.proxy.on("-- holds/insert:", Action::PauseBefore);
    let first = tokio::spawn({
        let client = api.client.clone();
        async move { client.hold(product_id, 1).await }
    });
    held_back.reached().await;
    let waiting = tokio::spawn(together(tokens.clone().map(hold)));
    held_back.release();
    first.await.expect("no panic");
    let answers = waiting.await.expect("no panic");
    let ids =
        |answers: &[crate::support::Answer]| answers.iter().map(|answer| answer.text("hold_id")).collect::<Vec<_>>();
    let mut different = ids(&answers);
    different.sort();
    different.dedup();
    assert_eq!(different.len(), tokens.len());
    assert!(answers.iter().all(|answer| !answer.is_replayed()));
    let again = together(tokens.map(hold)).await;
    assert_eq!(ids(&again), ids(&answers), "a repetition gets the client's own hold");
    assert!(again.iter().all(crate::support::Answer::is_replayed));
    assert_eq!(shop.reserved(product_id).await, 6);
}
