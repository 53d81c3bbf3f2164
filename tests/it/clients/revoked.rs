//! A token ends within a second, everywhere, and is not checked by what was known too long ago.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use holdfast::config::Config;
use holdfast::domain::{AdminToken, Role};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{OPERATOR, Signer, add, ask, managed};
use crate::support::proxy::{Action, Rule};
use crate::support::{Instance, Shop, eventually};

/// A route that refuses storefronts without a look at the database: 403 while the token is live, 401 afterwards.
const PROBE: &str = "/api/admin/clients";

#[tokio::test]
async fn a_client_that_is_revoked_by_any_hand_is_refused_on_every_instance_while_the_pool_is_full() {
    let shop = Shop::open().await;
    let config = || Config { pool_size: 2, admin_token: AdminToken::new(OPERATOR), ..shop.config() };
    let [first, second] = [Instance::start(config()).await, Instance::start(config()).await];
    let storefront = add(first.service.app(), "shop", Role::Storefront).await;
    let signer = Signer::of(first.service.app(), &storefront, 1, "k").await;
    let tokens = [storefront.token.clone(), signer.token(&storefront, "b")];
    let status = async |instance: &Instance, token: &str| ask(instance, "GET", PROBE, token).await.status;
    for (instance, token) in [(&first, &tokens[0]), (&second, &tokens[0]), (&second, &tokens[1])] {
        assert!(eventually(async || status(instance, token).await == 403).await, "it is known everywhere");
    }
    // snapshots keep the whole pool until they are let go
    let (let_go, instances) = (watch::Sender::new(false), [&first, &second]);
    let snapshots: Vec<_> = instances
        .iter()
        .flat_map(|instance| [keep_a_connection(instance, &let_go), keep_a_connection(instance, &let_go)])
        .collect();
    let is_full = |instance: &Instance| instance.service.app().checkout.database().connections().1 == 2;
    assert!(eventually(async || instances.iter().all(|instance| is_full(instance))).await, "both pools are full");
    shop.execute("UPDATE clients SET revoked_at = NOW(6)").await;
    let revoked = Instant::now();
    for instance in instances {
        for token in &tokens {
            assert!(eventually(async || status(instance, token).await == 401).await, "it is dead");
        }
    }
    println!("dead everywhere after {:?}", revoked.elapsed());
    assert!(instances.iter().all(|instance| is_full(instance)), "while both pools are full");
    let_go.send_replace(true);
    for snapshot in snapshots {
        snapshot.await.expect("no panic");
    }
}

/// Keeps a connection of the instance's pool until it is let go.
fn keep_a_connection(instance: &Instance, let_go: &watch::Sender<bool>) -> JoinHandle<()> {
    let (app, let_go) = (Arc::clone(instance.service.app()), let_go.subscribe());
    tokio::spawn(async move {
        let snapshot = app.checkout.database().snapshot("a_test", |_| {
            let mut let_go = let_go.clone();
            async move {
                let _ = let_go.wait_for(|let_go| *let_go).await;
                Ok(())
            }
            .boxed()
        });
        snapshot.await.expect("nothing can fail");
    })
}

#[tokio::test]
async fn the_connection_of_the_reads_is_replaced_before_it_is_old_and_when_it_is_lost() {
    let shop = Shop::open().await;
    let app = shop.app();
    let last = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() \
                ORDER BY id DESC LIMIT 1";
    app.checkout.read_clock().await.expect("the pool has a connection");
    app.checkout.read_clients().await.expect("a database");
    let first = shop.count(last).await;
    shop.execute(&format!("KILL {first}")).await;
    app.checkout.read_clients().await.expect("another connection");
    let second = shop.count(last).await;
    assert!(second > first);
    for _ in 2..5 {
        app.checkout.read_clients().await.expect("a database");
    }
    assert!(shop.count(last).await > second, "five reads later");
}

#[tokio::test]
async fn tokens_cannot_be_checked_before_the_first_read_and_the_service_is_not_ready() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let elsewhere = managed(&shop).await;
    let storefront = add(&elsewhere.app, "shop", Role::Storefront).await;
    let signer = Signer::of(&elsewhere.app, &storefront, 1, "k").await;
    let api = managed(&shop).await;
    let tokens = [storefront.token.clone(), signer.token(&storefront, "b")];
    for token in &tokens {
        let answer = ask(&api, "GET", &format!("/api/products/{product_id}"), token).await;
        assert_eq!(answer.refused(503, "database_unavailable").header("retry-after"), "1");
    }
    api.hold(product_id, 1).await;
    ask(&api, "GET", PROBE, OPERATOR).await.expect(200);
    let read = api.proxy.on(Rule::from("-- clients/list_live:").times(50), Action::CutBefore);
    api.get("/readyz").await.refused(503, "database_unavailable");
    drop(read);
    // a result of the check is valid for a second, but not about the clients
    api.get("/readyz").await.expect(200);
    for token in &tokens {
        ask(&api, "GET", &format!("/api/products/{product_id}"), token).await.expect(200);
    }
}

#[tokio::test]
async fn a_change_by_hand_counts_like_one_of_an_operator() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let storefront = add(&api.app, "shop", Role::Storefront).await;
    let other = add(&api.app, "other", Role::Storefront).await;
    let status = async |token: &str| ask(&api, "GET", PROBE, token).await.status;
    assert_eq!(status(&storefront.token).await, 403);
    for (change, [own, others]) in [
        ("UPDATE clients SET role = 'admin' WHERE name = 'shop'", [200, 403]),
        ("UPDATE clients SET role = 'of a newer one' WHERE name = 'shop'", [401, 403]),
        (
            "UPDATE clients SET role = 'storefront', older_digest = token_digest, token_digest = REPEAT('x', 32)",
            [403, 403],
        ),
        ("UPDATE clients SET older_digest = NULL WHERE name = 'shop'", [401, 403]),
        ("DELETE FROM clients WHERE name = 'other'", [401, 401]),
    ] {
        shop.execute(change).await;
        api.app.checkout.read_clients().await.expect("a database");
        assert_eq!([status(&storefront.token).await, status(&other.token).await], [own, others], "{change}");
    }
    api.get("/api/products").await.expect(200);
    let hold = json!({ "product_id": 1, "qty": 1 });
    super::post(&api, "/api/holds", &storefront.token, hold).await.refused(401, "unauthorized");
}
