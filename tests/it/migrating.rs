//! A change of the schema waits for its lock without stopping the sale.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast::db::lock_wait::{MigrateError, Patience};
use holdfast::db::migrations;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Row};

use crate::support::process::Process;
use crate::support::proxy::Action;
use crate::support::{Client, Shop, eventually};

/// The migration that these tests undo, so that it has to run again; it needs a lock on `holds`.
const UNDONE: u32 = 13;

async fn undo(shop: &Shop) {
    shop.execute("ALTER TABLE holds DROP KEY holds_due, ADD KEY holds_due (status, returns_at)").await;
    shop.execute(&format!("DELETE FROM schema_migrations WHERE version = {UNDONE}")).await;
}

async fn is_made(shop: &Shop) -> bool {
    shop.count(&format!("SELECT COUNT(version) FROM schema_migrations WHERE version = {UNDONE}")).await == 1
}

/// Opens a transaction that has read a table and stays open.
async fn open_transaction(shop: &Shop, table: &str) -> Conn {
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction begins");
    conn.query_drop(format!("SELECT COUNT(*) FROM {table}")).await.expect("the query runs");
    conn
}

async fn end(mut transaction: Conn) {
    transaction.query_drop("COMMIT").await.expect("the transaction ends");
    transaction.disconnect().await.expect("the connection ends");
}

/// Returns whether a connection to this database is altering `holds`.
async fn is_altering(shop: &Shop) -> bool {
    let rows: Vec<Row> = shop.sql().await.query("SHOW FULL PROCESSLIST").await.expect("the query runs");
    let column = |row: &Row, name: &str| row.get::<Option<Vec<u8>>, _>(name).flatten().unwrap_or_default();
    let alters = |row: &Row| String::from_utf8_lossy(&column(row, "Info")).contains("ALTER TABLE holds");
    rows.iter().any(|row| column(row, "db") == shop.database.name.as_bytes() && alters(row))
}

/// Takes one hold after the other until `done`; returns how many there were.
async fn buy_until(client: &Client, product_id: i64, done: &AtomicBool) -> u32 {
    let mut taken = 0;
    while !done.load(Ordering::Relaxed) {
        client.try_hold(product_id, 1).await.expect(201);
        taken += 1;
    }
    taken
}

#[tokio::test]
async fn buyers_take_holds_while_a_migration_waits_for_an_open_transaction() {
    let (shop, product_id, client) = Shop::selling(1_000_000).await;
    undo(&shop).await;
    let transaction = open_transaction(&shop, "holds").await;
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];
    let migrating = Process::start(&["migrate"], &settings);
    let waited_twice = AtomicBool::new(false);
    let wait = async {
        let waits =
            || migrating.err.text().matches("migration V13 holds_due_by_deadline waits for table holds").count();
        let waited = eventually(async || waits() >= 2).await;
        waited_twice.store(true, Ordering::Relaxed);
        assert!(waited, "{}", migrating.err.text());
    };
    let ((), taken) = tokio::join!(wait, buy_until(&client, product_id, &waited_twice));
    assert!(taken > 10, "the sale goes on between two attempts: {taken} holds");
    assert!(!is_made(&shop).await);
    let told = migrating.err.text();
    assert!(told.contains(&format!("connection {} of root@", transaction.id())), "the holder is named: {told}");
    assert!(told.contains("Lock wait timeout exceeded"), "the server's reason is given: {told}");

    end(transaction).await;
    let ended = migrating.ended().await.expect(0);
    assert!(ended.out.contains("applied 1 migrations"), "{ended:?}");
    assert!(is_made(&shop).await);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_migration_that_gives_up_names_the_table_and_the_connection_and_may_be_run_again() {
    let shop = Shop::open().await;
    undo(&shop).await;
    let transaction = open_transaction(&shop, "holds").await;
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];
    let ended = Process::run(&["migrate", "--migrate-wait-seconds", "1"], &settings).await.expect(4);
    let holder = format!("connection {} of root@", transaction.id());
    for part in ["V13 holds_due_by_deadline", "table holds", "gave up", "Lock wait timeout exceeded", &holder] {
        assert!(ended.err.contains(part), "{part} in {}", ended.err);
    }
    assert_eq!(ended.out, "");
    assert!(!is_made(&shop).await && !is_altering(&shop).await);
    end(transaction).await;
    Process::run(&["migrate"], &settings).await.expect(0);
    assert!(is_made(&shop).await);
}

#[tokio::test]
async fn ctrl_c_ends_a_migration_on_the_server_too() {
    let shop = Shop::open().await;
    undo(&shop).await;
    let (_, proxy) = shop.config_through_proxy().await;
    let url = proxy.url(&shop.database.url);
    let transaction = open_transaction(&shop, "holds").await;
    // The server's response is held back: for the command, the change is under way until it gets the signal.
    let altering = proxy.on("ALTER TABLE holds", Action::PauseAfter);
    let migrating = Process::start(&["migrate"], &[("HOLDFAST_DATABASE_URL", &url)]);
    altering.reached().await;
    proxy.clear();
    migrating.signal("INT").await;
    let ended = migrating.ended().await.expect(130);
    assert!(ended.err.contains("stopped before the schema was up to date"), "{}", ended.err);
    assert!(proxy.statements().iter().any(|statement| statement.starts_with("KILL ")), "{:?}", proxy.statements());
    assert!(!is_made(&shop).await && !is_altering(&shop).await);
    end(transaction).await;
}

#[tokio::test]
async fn a_session_waits_two_seconds_for_a_table_and_a_migration_one() {
    let shop = Shop::open().await;
    let (app, proxy) = shop.app_through_proxy().await;
    let waits = app.checkout.database().read("a test", |tx| {
        use futures_util::FutureExt as _;
        async move { tx.row::<u64>("SELECT @@SESSION.lock_wait_timeout", ()).await }.boxed()
    });
    assert_eq!(waits.await.expect("the query runs"), Some(2));
    let opts = Opts::from_url(&proxy.url(&shop.database.url)).expect("a database URL");
    proxy.clear();
    migrations::migrate(&opts).await.expect("it is up to date");
    assert!(proxy.statements().iter().any(|statement| statement == "SET SESSION lock_wait_timeout = 1"));
}

#[tokio::test]
async fn an_error_that_waiting_cannot_resolve_ends_a_migration_at_once() {
    let shop = Shop::open().await;
    undo(&shop).await;
    let (_, proxy) = shop.config_through_proxy().await;
    let opts = Opts::from_url(&proxy.url(&shop.database.url)).expect("a database URL");
    let _denied = proxy.on("ALTER TABLE holds", Action::Error(1142, "42000", "ALTER command denied to user"));
    let patience = Patience { total: Duration::from_secs(3600), report: &|line| panic!("it waits: {line}") };
    let failed = migrations::migrate_within(&opts, &patience, std::future::pending()).await;
    let Err(error @ MigrateError::Failed { .. }) = failed else { panic!("{failed:?}") };
    let text = error.to_string();
    assert!(text.contains("V13 holds_due_by_deadline") && text.contains("ALTER command denied"), "{text}");
}
