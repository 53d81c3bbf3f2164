//! An audit runs during a sale: it finds nothing wrong, blocks no other transaction, and can start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast::checkout::Error;
use holdfast::domain::Refusal;
use serde_json::json;

use crate::audit::audit;
use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::shop::Instance;
use crate::support::{Client, Shop, mint, together, with};

/// Buys, pays, cancels, lets holds run out and refunds until `over` is set; returns the number of turns.
async fn buy(shop: Arc<Shop>, client: Client, product_id: i64, over: Arc<AtomicBool>) -> usize {
    let mut turns = 0;
    while !over.load(Ordering::SeqCst) {
        turns += 1;
        let answer = client.try_hold(product_id, 1).await;
        if answer.status != 201 {
            continue;
        }
        let hold_id = answer.text("hold_id");
        match turns % 6 {
            0 => {
                client.release(&hold_id).await.expect(200);
                continue;
            }
            1 => {
                shop.let_hold_run_out(&hold_id).await;
                continue;
            }
            _ => {}
        }
        let order_id = client.order(&hold_id).await;
        let (txn, event) = (
            mint(),
            |status: &str, txn: &str| json!({ "order_id": order_id, "status": status, "txn_id": txn, "idempotency_key": mint(), "amount": "49.99" }),
        );
        match turns % 6 {
            2 => client.webhook(&event("failed", &txn)).await.expect(200),
            3 => client.cancel(&order_id).await.expect(200),
            _ => client.webhook(&event("paid", &txn)).await.expect(200),
        };
        let other = mint();
        let more = match turns % 12 {
            2 | 3 | 8 => vec![event("paid", &other)],
            4 => vec![with(&event("refunded", &txn), json!({ "restock": true }))],
            5 => vec![event("paid", &other), event("refunded", &other)],
            10 => vec![event("paid", &txn), event("refunded", &txn)],
            11 => vec![with(&event("refunded", &txn), json!({ "amount": "9.99" }))],
            _ => vec![],
        };
        for event in more {
            client.webhook(&event).await.expect(200);
        }
    }
    turns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audits_during_a_sale_find_nothing_wrong() {
    const AUDITS: usize = 25;
    const TRANSITIONS: i64 = 200;
    let shop = Arc::new(Shop::open().await);
    let products = [shop.product(40).await, shop.product(100_000).await];
    let instances: [Instance; 2] = [shop.serve().await, shop.serve().await];
    let over = Arc::<AtomicBool>::default();
    let buyers = (0..12).map(|n: usize| {
        let client = instances[n % 2].client.clone();
        buy(Arc::clone(&shop), client, products[n / 2 % 2], Arc::clone(&over))
    });
    let buying = tokio::spawn(together(buyers.collect::<Vec<_>>()));
    let app = shop.app();
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    // a slow machine needs more audits until the sale has made this many transitions
    while seen.len() < AUDITS || seen.last().is_some_and(|&transitions| transitions < TRANSITIONS) {
        let report = audit(&app).await;
        if !report.is_clean() {
            wrong.push(report.to_string());
        }
        seen.push(report.looked_at.transitions);
    }
    over.store(true, Ordering::SeqCst);
    let turns: usize = buying.await.expect("no panic").into_iter().sum();
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), seen.len(), wrong[0]);
    assert!(turns > 0 && seen.windows(2).any(|pair| pair[0] < pair[1]), "the sale went on: {turns} {seen:?}");
}

#[tokio::test]
async fn an_audit_blocks_neither_sales_nor_schema_changes() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    client.hold_and_order(product_id, 1).await;
    let paused = proxy.on("-- audit/sum_trails:", Action::PauseBefore);
    let auditing = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.checkout.audit().await }
    });
    paused.reached().await;
    let second = app.checkout.audit().await;
    assert!(matches!(second, Err(Error::Refused(Refusal::AuditRunning))), "{second:?}");
    let (_, order_id) = client.hold_and_order(product_id, 2).await;
    client.cancel(&order_id).await.expect(200);
    shop.execute("ALTER TABLE products ADD COLUMN color INT NULL").await;
    paused.release();
    let report = auditing.await.expect("no panic").expect("an audit can be made");
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.looked_at.orders, report.looked_at.transitions), (1, 1), "later rows are not in the snapshot");
    assert_eq!(audit(&app).await.looked_at.transitions, 3);
}

#[tokio::test]
async fn an_audit_starts_again_when_the_schema_changes_or_the_connection_breaks() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    client.hold_and_order(product_id, 1).await;
    let cut = proxy.on(Rule::from("-- audit/sum_transitions:"), Action::CutBefore);
    assert!(audit(&app).await.is_clean());
    assert_eq!(cut.hits(), 1);

    let paused = proxy.on("-- audit/sum_trails:", Action::PauseBefore);
    let auditing = tokio::spawn(async move { app.checkout.audit().await });
    paused.reached().await;
    shop.execute("ALTER TABLE order_events ADD COLUMN color INT NULL, ALGORITHM = COPY").await;
    paused.release();
    assert!(auditing.await.expect("no panic").expect("an audit can be made").is_clean());
}

#[tokio::test]
async fn the_exit_code_of_the_command_shows_what_the_audit_found() {
    let (shop, product_id, client) = Shop::selling(10).await;
    client.hold_and_order(product_id, 1).await;
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];
    let clean = Process::run(&["audit"], &settings).await.expect(0);
    assert!(clean.out.ends_with("\nclean"), "{}", clean.out);
    assert!(clean.out.contains("stock 10 = 9 available + 0 held + 1 awaiting + 0 sold"), "{}", clean.out);
    shop.execute("UPDATE products SET reserved = 2").await;
    let found = Process::run(&["audit"], &settings).await.expect(1);
    assert!(found.out.contains("units_not_conserved: 1\n") && found.out.ends_with("\nNOT CLEAN"), "{}", found.out);
    Process::run(&["audit"], &[]).await.expect(2);
    let away = Process::run(&["audit"], &[("HOLDFAST_DATABASE_URL", "mysql://root@127.0.0.1:1/nothing")]).await;
    assert!(away.expect(3).err.contains("cannot run"));
}
