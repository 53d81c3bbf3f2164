//! No token is ever written: neither in logs nor metrics, nor in responses after the one that shows it, nor in the database.

use serde_json::json;

use crate::support::process::Process;
use crate::support::statsd::StatsD;
use crate::support::{Answer, Shop};

use super::{OPERATOR, Signer, ask, post};

#[tokio::test]
async fn a_whole_run_never_shows_a_token() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(50).await;
    let settings = [
        ("HOLDFAST_LOG", "trace"),
        ("HOLDFAST_ADMIN_TOKEN", OPERATOR),
        ("HOLDFAST_STOREFRONT", "token"),
        ("HOLDFAST_WEBHOOK_AUTH", "token"),
        statsd.setting(),
    ];
    let (process, client) = Process::serve(&shop.database.url, &settings).await;
    let mut secrets = vec![OPERATOR.to_owned()];
    let mut ids = Vec::new();
    for role in ["storefront", "provider", "gate", "admin"] {
        let body = json!({ "name": role, "role": role });
        let added = post(&client, "/api/admin/clients", OPERATOR, body).await.expect(201);
        secrets.push(added.text("token"));
        ids.push(added.body["id"].clone());
    }
    let url = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];
    let made = Process::run(&["client", "add", "by-hand", "--role", "gate"], &url).await.expect(0);
    secrets.push(made.out.lines().last().expect("a token").to_owned());
    let signer = Signer::new(1, "k");
    let keys = format!("/api/admin/clients/{}/keys", ids[0]);
    post(&client, &keys, OPERATOR, json!({ "kid": "k", "public_key": signer.public_key() })).await.expect(201);
    let storefront = super::Added { id: 1, name: "storefront".to_owned(), token: String::new() };
    secrets.push(signer.token(&storefront, "b"));
    secrets.push(Signer::new(2, "k").token(&storefront, "forged"));
    secrets.push(super::mistyped(&secrets[1]));
    secrets.push("a-text-that-is-no-token-at-all".to_owned());
    let hold = json!({ "product_id": product_id, "qty": 1 });
    let mut answers: Vec<Answer> = Vec::new();
    for token in &secrets {
        answers.push(post(&client, "/api/holds", token, hold.clone()).await);
        answers.push(post(&client, "/api/payments/webhook", token, json!({ "status": "paid" })).await);
        answers.push(ask(&client, "GET", "/api/admin/clients", token).await);
        answers.push(ask(&client, "GET", &format!("/api/admin/clients/{}/trail", ids[0]), token).await);
        answers.push(ask(&client, "GET", "/no/route", token).await);
        let twice = client.request("GET", "/api/products").bearer_auth(token).header("authorization", token);
        answers.push(client.send(twice).await);
    }
    post(&client, &format!("/api/admin/clients/{}/revoke", ids[0]), OPERATOR, json!({})).await.expect(200);
    answers.push(post(&client, "/api/holds", &secrets[1], hold).await);
    let processes: Vec<mysql_async::Row> = shop.rows("SHOW FULL PROCESSLIST").await;
    let ended = process.terminate().await.expect(0);
    assert!(ended.err.contains("requests had no sufficient token"), "the log is on");
    let metrics = format!("{:?}", statsd.lines());
    assert!(metrics.contains("callers.refused") && metrics.contains("admin.refused"), "{metrics}");
    let answered = answers.iter().map(|answer| format!("{} {:?}", answer.text, answer.headers)).collect::<Vec<_>>();
    let stored: Vec<String> =
        shop.rows("SELECT CONCAT_WS(' ', name, HEX(token_digest), HEX(older_digest)) FROM clients").await;
    let written =
        [ended.out, ended.err, made.err, metrics, answered.join("\n"), format!("{processes:?}"), stored.join("\n")];
    for (place, text) in written.iter().enumerate() {
        for (number, secret) in secrets.iter().enumerate() {
            // also a part of one
            let parts = [secret.as_str(), &secret[..secret.len() / 2], &secret[secret.len() / 2..]];
            assert!(parts.iter().all(|part| !text.contains(part)), "secret {number} is in text {place}");
        }
    }
}
