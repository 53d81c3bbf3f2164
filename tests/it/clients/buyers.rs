//! Buyers: the header with which a caller narrows itself, and the tokens that a storefront signs.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use holdfast::domain::Role;
use ring::hmac;
use serde_json::{Value, json};

use super::{Signer, add, ask, claims, managed};
use crate::signatures::now;
use crate::support::{Shop, with};

#[tokio::test]
async fn a_buyer_is_named_once_in_visible_ascii() {
    let (shop, product_id, _) = Shop::selling(5).await;
    let api = managed(&shop).await;
    let path = format!("/api/products/{product_id}");
    let storefront = add(&api.app, "shop", Role::Storefront).await;
    let long = "b".repeat(128);
    for token in [None, Some(&storefront.token)] {
        let ask = async |buyers: &[&str]| {
            let request = api.request("GET", &path);
            let request = token.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            api.send(buyers.iter().fold(request, |request, buyer| request.header("holdfast-buyer", *buyer))).await
        };
        for buyers in [&[][..], &["b"], &[&long]] {
            ask(buyers).await.expect(200);
        }
        for buyers in [&[""][..], &["a b"], &[&format!("{long}b")], &["ä"], &["a", "a"]] {
            ask(buyers).await.refused(400, "invalid_buyer");
        }
    }
    let hold = api.request("POST", "/api/holds").header("holdfast-buyer", "a b");
    api.send(hold.json(&json!({ "product_id": product_id, "qty": 1 }))).await.refused(400, "invalid_buyer");
    assert_eq!(shop.reserved(product_id).await, 0);
}

#[tokio::test]
async fn a_buyers_token_sells_to_that_buyer_and_does_nothing_else() {
    let (shop, product_id, _) = Shop::selling(5).await;
    let api = managed(&shop).await;
    let storefront = add(&api.app, "shop", Role::Storefront).await;
    let token = Signer::of(&api.app, &storefront, 1, "k").await.token(&storefront, "buyer-7");
    let hold = json!({ "product_id": product_id, "qty": 1 });
    for (named, status, code) in [(None, 201, ""), (Some("buyer-7"), 201, ""), (Some("buyer-8"), 422, "buyer_mismatch")]
    {
        let request = api.request("POST", "/api/holds").bearer_auth(&token).json(&hold);
        let answer =
            api.send(named.iter().fold(request, |request, buyer| request.header("holdfast-buyer", *buyer))).await;
        match status {
            201 => drop(answer.expect(201)),
            _ => drop(answer.refused(status, code)),
        }
    }
    assert_eq!(shop.reserved(product_id).await, 2);
    ask(&api, "GET", "/api/admin/clients", &token).await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_forged_or_outdated_token_of_a_buyer_is_no_token() {
    let (shop, product_id, _) = Shop::selling(5).await;
    let api = managed(&shop).await;
    let (one, other) = (add(&api.app, "one", Role::Storefront).await, add(&api.app, "other", Role::Storefront).await);
    let (own, foreign) = (Signer::of(&api.app, &one, 1, "k").await, Signer::of(&api.app, &other, 2, "k2").await);
    let good = claims(&one, "b");
    let changed = |changes: Value| own.sign(&own.header(), &with(&good, changes));
    let valid = own.token(&one, "b");
    let (text, signature) = valid.rsplit_once('.').expect("three parts");
    let unsigned = |header: Value| {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&header), part(&good))
    };
    let hs256 = unsigned(json!({ "alg": "HS256", "kid": "k" }));
    let secrets = [own.public_key().into_bytes(), BASE64_URL_SAFE_NO_PAD.decode(own.public_key()).expect("base64")];
    let confused = secrets.map(|secret| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), hs256.as_bytes());
        format!("{hs256}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
    });
    let mut attacks = vec![
        format!("{}.", unsigned(json!({ "alg": "none", "kid": "k" }))),
        format!("{}.", unsigned(json!({ "alg": "EdDSA", "kid": "k" }))),
        changed(json!({ "exp": now() - 60 })),
        changed(json!({ "exp": now() + 25 * 3600 })),
        changed(json!({ "aud": "elsewhere" })),
        changed(json!({ "aud": null })),
        changed(json!({ "exp": null })),
        changed(json!({ "iss": "other" })),
        changed(json!({ "sub": "" })),
        foreign.sign(&own.header(), &good),
        foreign.sign(&foreign.header(), &good),
        foreign.sign(&json!({ "alg": "EdDSA", "kid": "k9" }), &claims(&other, "b")),
        format!("{text}.{}", signature.replace(|letter: char| letter.is_ascii_uppercase(), "x")),
        format!("{valid}.{signature}"),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ];
    attacks.extend(confused);
    let hold = json!({ "product_id": product_id, "qty": 1 });
    for token in &attacks {
        let answer = super::post(&api, "/api/holds", token, hold.clone()).await;
        assert_eq!(answer.refused(401, "unauthorized").header("www-authenticate"), "Bearer");
    }
    // a token of a megabyte is more than a head may have
    let long = format!("Authorization: Bearer {}.x.x", "x".repeat(1_000_000));
    let head = format!("GET /api/products/{product_id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{long}\r\n\r\n");
    let answer = api.raw(head.as_bytes()).await;
    assert!([400, 401, 431].contains(&answer.status), "{answer:?}");
    assert_eq!(shop.reserved(product_id).await, 0);
    super::post(&api, "/api/holds", &valid, hold).await.expect(201);
}
