//! A database that is unreachable or frozen: the service notices it soon, refuses every request at once, and needs no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use holdfast::app::App;
use holdfast::checkout::Error;
use holdfast::config::Config;
use holdfast::db::{Database, Share, migrations, pool};
use holdfast::dev::PrivateServer;
use mysql_async::Opts;
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tokio::process::Command;

use crate::readiness::url_of_user;
use crate::support::crowd::{all, hold, in_order};
use crate::support::process::Process;
use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::statsd::StatsD;
use crate::support::{Client, Shop, eventually, mint, server};

/// Number of requests that are sent one after the other. If each waited for its own timeout, they would take more than a
/// minute.
const REQUESTS: usize = 15;
/// Time limit for all of these requests.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until an instance has noticed that its database is unavailable.
async fn until_known(app: &App) {
    assert!(eventually(async || !app.checkout.database().is_available()).await, "the outage was not noticed");
}

/// Sends requests of all kinds, one after the other, and checks that each is refused.
async fn is_refused_at_once(client: &Client, product_id: i64) {
    let requests = async {
        for _ in 0..REQUESTS.div_ceil(5) {
            let refused = [
                client.try_hold(product_id, 1).await,
                client.try_order(&mint()).await,
                client.get(&format!("/api/products/{product_id}")).await,
                client.pay(&mint(), "paid", &mint()).await,
                client.get("/readyz").await,
            ];
            for answer in refused {
                answer.refused(503, "database_unavailable");
                assert_eq!(answer.header("retry-after"), "1");
            }
            client.get("/healthz").await.expect(200);
        }
    };
    tokio::time::timeout(PATIENCE, requests).await.expect("requests are refused at once");
}

/// A fault that makes a database unavailable.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Refuses,
    IsFrozen,
}

impl Fault {
    async fn begin(self, proxy: &Proxy) {
        match self {
            Self::Refuses => proxy.refuse().await,
            Self::IsFrozen => proxy.freeze(),
        }
    }

    fn end(self, proxy: &Proxy) {
        match self {
            Self::Refuses => proxy.accept(),
            Self::IsFrozen => proxy.thaw(),
        }
    }
}

async fn refuse_and_recover(fault: Fault) {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (instance, proxy) = shop.serve_through_proxy().await;
    instance.hold(product_id, 1).await;
    fault.begin(&proxy).await;
    instance.try_hold(product_id, 1).await.refused(503, "database_unavailable");
    until_known(instance.service.app()).await;
    is_refused_at_once(&instance.client, product_id).await;

    fault.end(&proxy);
    assert!(
        eventually(async || instance.get("/readyz").await.status == 200).await,
        "{fault:?}: it recovers without a restart"
    );
    let held = instance.hold(product_id, 1).await;
    instance.order(&held).await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_unreachable_or_frozen_database_is_an_immediate_503_until_it_is_back() {
    tokio::join!(refuse_and_recover(Fault::Refuses), refuse_and_recover(Fault::IsFrozen));
}

/// Returns the process id of the private server with this data folder.
fn process_of(folder: &Path) -> String {
    let mark = format!("--datadir={}", folder.join("data").display());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_server = |path: &PathBuf| {
        let command = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let mut words = command.split(|byte| *byte == 0);
        words.next().is_some_and(|program| !program.ends_with(b"sh")) && words.any(|word| word == mark.as_bytes())
    };
    let found = processes.map(|process| process.path()).find(is_server).expect("the server runs");
    found.file_name().expect("a process has a number").to_string_lossy().into_owned()
}

async fn signal(name: &str, process: &str) {
    let sent = Command::new("/bin/sh").args(["-c", &format!("kill -s {name} {process}")]).status().await;
    assert!(sent.is_ok_and(|status| status.success()), "{name} can be sent");
}

#[tokio::test]
async fn a_database_server_that_is_stopped_is_noticed_and_used_again_when_it_continues() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stopped-{}", std::process::id()));
    let server = PrivateServer::start(&folder, &[]).await.expect("the private server starts");
    let url = server.url("shop");
    migrations::migrate(&Opts::from_url(&url).expect("a URL")).await.expect("the database can be migrated");
    let insert = "INSERT INTO products (name, price_minor, currency, stock) VALUES ('A thing', 4999, 'EUR', 100)";
    server::connect(&url).await.query_drop(insert).await.expect("a product can be inserted");
    let (process, client) = Process::serve(&url, &[]).await;
    client.hold(1, 1).await;
    let stopped = process_of(&folder);

    signal("STOP", &stopped).await;
    // most of these requests are in progress when the outage is noticed
    let under_way = join_all((0..50).map(|_| client.try_hold(1, 1))).await;
    signal("CONT", &stopped).await;
    for answer in under_way {
        answer.refused(503, "database_unavailable");
    }
    let says_so = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("is not available"));
    assert_eq!(lines(&process).iter().filter(|line| says_so(line)).count(), 1, "{}", process.err.text());
    assert!(
        eventually(async || client.get("/readyz").await.status == 200).await,
        "the service recovers without a restart"
    );
    client.hold(1, 1).await;
    process.terminate().await.expect(0);
    server.stop().await;
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
}

fn lines(process: &Process) -> Vec<Value> {
    process.err.all().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn requests_that_wait_in_a_queue_are_answered_as_soon_as_the_outage_is_noticed() {
    let shop = Shop::open().await;
    let product_id = shop.product(100_000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    proxy.freeze();
    let answers = all(in_order((0..6_000).map(|_| hold(&app, product_id, 1, None)))).await;
    for answer in answers {
        // no request waited for its own deadline
        let Err(Error::Unavailable(reason)) = answer else { panic!("{answer:?}") };
        assert!(reason.contains("it does not answer"), "{reason}");
    }
}

#[tokio::test]
async fn while_the_database_is_unavailable_only_the_probe_connects() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    proxy.refuse().await;
    all(in_order([hold(&app, product_id, 1, None)])).await.remove(0).expect_err("the database is unavailable");
    until_known(&app).await;
    let before = proxy.connects();
    for _ in 0..400 {
        let refused = app.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 1, None)).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    let connects = proxy.connects() - before;
    assert!(connects < 100, "{connects} connections were made for 400 requests");
}

#[tokio::test]
async fn a_locked_row_delays_only_requests_for_its_product() {
    let shop = Shop::open().await;
    let (locked, free) = (shop.product(100).await, shop.product(100).await);
    let (app, proxy) = shop.app_through_proxy().await;
    all(in_order([hold(&app, free, 1, None), hold(&app, locked, 1, None)])).await;
    proxy.clear();
    let mut holder = shop.sql().await;
    holder.query_drop("BEGIN").await.expect("a transaction begins");
    holder.query_drop(format!("UPDATE products SET name = 'x' WHERE id = {locked}")).await.expect("the row is free");
    let waiting = in_order([hold(&app, locked, 1, None)]);
    // no other statement is running, so the service probes the database, which answers
    let probed = async || proxy.statements().iter().any(|statement| statement == "SELECT 1");
    assert!(eventually(probed).await, "a statement that waits for so long causes a probe");
    for _ in 0..20 {
        app.checkout
            .create_hold(holdfast::checkout::NewHold::new(free, 1, None))
            .await
            .expect("another product is free");
        assert!(app.checkout.database().is_available(), "the database stays available");
    }
    holder.query_drop("COMMIT").await.expect("the holder commits");
    all(waiting).await.remove(0).expect("the row is free again");
}

#[tokio::test]
async fn a_connection_that_was_lost_in_an_outage_is_killed_after_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (instance, proxy) = shop.serve_through_proxy().await;
    let path = format!("/api/holds/{}", instance.hold(product_id, 1).await);
    // the hold's row is locked by then, and the server does not learn that this connection is closed
    let partition = proxy.on(Rule::from("-- products/give_back"), Action::Partition);
    let client = instance.client.clone();
    let given_back = tokio::spawn({
        let path = path.clone();
        async move { client.delete(&path).await }
    });
    partition.reached().await;
    proxy.freeze();
    given_back.await.expect("no panic").refused(503, "database_unavailable");
    until_known(instance.service.app()).await;
    proxy.thaw();
    let released = eventually(async || instance.delete(&path).await.status == 200).await;
    assert!(released, "the row is still locked");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_outage_logs_its_beginning_and_its_end_once_and_sets_a_gauge() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (_, proxy) = shop.config_through_proxy().await;
    let statsd = StatsD::start().await;
    let (process, client) = Process::serve(&proxy.url(&shop.database.url), &[statsd.setting()]).await;
    client.hold(product_id, 1).await;
    statsd.gauged("db.available", &[], |value| value == 1.0).await;
    let before = process.err.all().len();
    proxy.refuse().await;
    for _ in 0..30 {
        client.try_hold(product_id, 1).await.expect(503);
        client.get(&format!("/api/products/{product_id}")).await.expect(503);
    }
    statsd.gauged("db.available", &[], |value| value == 0.0).await;
    proxy.accept();
    assert!(eventually(async || client.get("/readyz").await.status == 200).await);
    client.hold(product_id, 1).await;
    assert!(eventually(async || process.err.all().iter().any(|line| line.contains("available again"))).await);
    let during: Vec<Value> = lines(&process).split_off(before);
    process.terminate().await.expect(0);
    let messages: Vec<&str> = during.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(messages.len(), 2, "{during:#?}");
    assert!(messages[0].contains("is not available") && messages[1].contains("available again"), "{messages:?}");
    for line in &during {
        assert!(line["host"] == "127.0.0.1" && line["port"].is_u64(), "{line}");
    }
    assert!(during[0]["reason"].is_string(), "{during:?}");
}

#[tokio::test]
async fn connections_that_were_lost_in_an_outage_are_killed_over_few_new_ones() {
    const LOST: usize = 24;
    let shop = Shop::open().await;
    let (_, proxy) = shop.config_through_proxy().await;
    let options = pool::options(&proxy.url(&shop.database.url)).expect("a URL");
    let database = Database::new(options, LOST).share(Share::Batches);
    let statements = proxy.on(Rule::exactly("SELECT 1 + 1").always(), Action::Partition);
    let calls = in_order((0..LOST).map(|_| {
        let database = database.clone();
        async move { database.transaction("test.wait", |tx| tx.execute_text("SELECT 1 + 1").boxed()).await }
    }));
    statements.reached_by(LOST).await;
    proxy.freeze();
    for ended in all(calls).await {
        assert!(matches!(ended, Err(holdfast::db::Error::Unavailable(_))), "{ended:?}");
    }
    proxy.clear();
    let before = proxy.connects();
    proxy.thaw();
    let killed = || proxy.statements().iter().filter(|statement| statement.starts_with("KILL ")).count();
    assert!(eventually(async || killed() == LOST).await, "{} were killed", killed());
    let connects = proxy.connects() - before;
    assert!(connects <= 6, "{connects} connections were opened, for probes and to kill {LOST} connections");
}

/// Why a server refuses further connections.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Limit,
    Password,
}

/// Requests of three products, of which two wait on the only connections that the server accepts.
async fn requests_use_the_open_connections(refusal: Refusal) {
    let shop = Shop::open().await;
    let products = [shop.product(10).await, shop.product(10).await, shop.product(10).await];
    let (url, user) = url_of_user(&shop).await;
    shop.execute(&format!("ALTER USER '{user}'@'%' WITH MAX_USER_CONNECTIONS 2")).await;
    let (config, proxy) = shop.config_through_proxy().await;
    let database = Opts::from_url(&proxy.url(&url)).expect("a URL");
    let app = Arc::new(App::new(&Config { database_url: database, ..config }));
    let commits = proxy.on(Rule::exactly("COMMIT").times(2), Action::PauseBefore);
    let mut answers = in_order(products[..2].iter().map(|&product_id| hold(&app, product_id, 1, None)));
    commits.reached_by(2).await;
    if matches!(refusal, Refusal::Password) {
        shop.execute(&format!("ALTER USER '{user}'@'%' IDENTIFIED BY 'another one' WITH MAX_USER_CONNECTIONS 0")).await;
    }
    let before = proxy.connects();
    answers.extend(in_order([hold(&app, products[2], 1, None)]));
    assert!(eventually(async || proxy.connects() >= before + 10).await, "{refusal:?}: it tries to connect");
    assert!(app.checkout.database().is_available(), "{refusal:?}: some connections are open");
    drop(commits);
    for answer in all(answers).await {
        answer.unwrap_or_else(|error| panic!("{refusal:?}: {error}"));
    }
    shop.execute(&format!("DROP USER '{user}'@'%'")).await;
}

#[tokio::test]
async fn a_server_that_refuses_further_connections_serves_all_requests_over_the_open_ones() {
    tokio::join!(
        requests_use_the_open_connections(Refusal::Limit),
        requests_use_the_open_connections(Refusal::Password),
    );
}

#[tokio::test]
async fn a_server_that_refuses_every_connection_is_an_immediate_503_and_one_connection_is_enough() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (url, user) = url_of_user(&shop).await;
    shop.execute(&format!("ALTER USER '{user}'@'%' WITH MAX_USER_CONNECTIONS 1")).await;
    let only = server::connect(&url).await;
    let (process, client) = Process::serve(&url, &[]).await;
    is_refused_at_once(&client, product_id).await;
    only.disconnect().await.expect("it can be closed");
    assert!(eventually(async || client.get("/readyz").await.status == 200).await, "it needs no restart");
    for answer in join_all((0..40).map(|_| client.try_hold(product_id, 1))).await {
        answer.expect(201);
    }
    let log = process.terminate().await.expect(0).err;
    let says = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((says("is not available; requests"), says("available again")), (1, 1), "{log}");
    assert!((1..=2).contains(&says("raise the limit of connections")), "{log}");
    shop.execute(&format!("DROP USER '{user}'@'%'")).await;
}
