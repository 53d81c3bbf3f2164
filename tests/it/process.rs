//! The real binary: its commands, its configuration, and how it ends.

use std::io::BufRead as _;
use std::path::Path;
use std::time::Duration;

use holdfast::db::migrations;
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::dev::{DEV, Folder};
use crate::support::process::Process;
use crate::support::proxy::{Action, Proxy};
use crate::support::statsd::StatsD;
use crate::support::{Client, Shop, eventually, together};

const TABLES: &str = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";

fn url(shop: &Shop) -> [(&'static str, &str); 1] {
    [("HOLDFAST_DATABASE_URL", &shop.database.url)]
}

/// A shop whose database does not exist.
async fn shop_without_database() -> Shop {
    let shop = Shop::open().await;
    shop.execute(&format!("DROP DATABASE `{}`", shop.database.name)).await;
    shop
}

/// A shop whose database is empty.
async fn shop_without_schema() -> Shop {
    let shop = Shop::open().await;
    let mut conn = shop.sql().await;
    for verb in ["DROP", "CREATE"] {
        conn.query_drop(format!("{verb} DATABASE `{}`", shop.database.name)).await.expect("the statement runs");
    }
    shop
}

#[tokio::test]
async fn all_errors_in_a_configuration_are_reported_at_once_and_nothing_starts() {
    let wrong = [
        ("HOLDFAST_DATABASE_URL", "mysql://user:secret@db:3306"),
        ("HOLDFAST_LISTEN", "8080"),
        ("HOLDFAST_HOLD_TTL_SECONDS", "0"),
        ("HOLDFAST_ORDER_TTL_SECONDS", "a while"),
        ("HOLDFAST_MAX_QTY", "-1"),
        ("HOLDFAST_POOL_SIZE", "1"),
        ("HOLDFAST_DRAIN_SECONDS", "301"),
        ("HOLDFAST_WEBHOOK_SECRETS", "whsec_c2VjcmV0"),
        ("HOLDFAST_STRIPE_SECRETS", "secret,"),
        ("HOLDFAST_STOREFRONT", "ajar"),
        ("HOLDFAST_WEBHOOK_AUTH", "none"),
        ("HOLDFAST_STATSD", "nowhere"),
        ("HOLDFAST_LOG", "holdfast=loud"),
        ("HOLDFAST_ADMIN_TOKEN_FILE", "/nowhere/at/all"),
        ("HOLDFAST_ADMIN_TOKENS", "S3CR3T"),
    ];
    let ended = Process::run(&["serve"], &wrong).await.expect(2);
    for (variable, _) in wrong {
        assert!(ended.err.contains(variable), "{variable} in {}", ended.err);
    }
    for secret in ["secret@", "c2VjcmV0", "secret,", "S3CR3T"] {
        assert!(!ended.err.contains(secret), "{}", ended.err);
    }
    for command in ["serve", "migrate", "seed"] {
        let ended = Process::run(&[command], &[]).await.expect(2);
        assert!(ended.err.contains("HOLDFAST_DATABASE_URL"), "{}", ended.err);
    }
    Process::run(&["serve", "--no-such-option"], &[]).await.expect(2);
}

#[tokio::test]
async fn serving_without_a_schema_waits_for_it_and_creates_nothing() {
    let shop = shop_without_schema().await;
    let (process, client) = Process::serve(&shop.database.url, &[]).await;
    client.get("/healthz").await.expect(200);
    let refused = client.get("/readyz").await.expect(503);
    assert_eq!((refused.code(), refused.header("retry-after")), ("schema_outdated", "1"));
    assert!(refused.text("detail").contains("holdfast migrate"), "{refused:?}");
    assert_eq!(shop.count(TABLES).await, 0);

    Process::run(&["migrate"], &url(&shop)).await.expect(0);
    // a readiness result is reused for a second
    let ready = eventually(async || client.get("/readyz").await.status == 200).await;
    assert!(ready, "it becomes ready without a restart");
    let product_id = shop.product(1).await;
    client.hold(product_id, 1).await;
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn serving_without_a_database_waits_for_it_and_creates_nothing() {
    let shop = shop_without_database().await;
    let (process, client) = Process::serve(&shop.database.url, &[]).await;
    client.get("/healthz").await.expect(200);
    client.get("/readyz").await.expect(503).code();
    Process::run(&["migrate"], &url(&shop)).await.expect(0);
    let ready = eventually(async || client.get("/readyz").await.status == 200).await;
    assert!(ready, "it becomes ready without a restart");
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn migrating_creates_the_database_and_may_be_repeated() {
    let shop = shop_without_database().await;
    let first = Process::run(&["migrate"], &url(&shop)).await.expect(0);
    assert!(first.out.contains(&format!("version {}", migrations::latest())), "{}", first.out);
    let product_id = shop.product(7).await;
    let again = Process::run(&["migrate"], &url(&shop)).await.expect(0);
    assert!(again.out.contains("up to date"), "{}", again.out);
    assert_eq!(shop.count(&format!("SELECT stock FROM products WHERE id = {product_id}")).await, 7);
}

#[tokio::test]
async fn a_migration_whose_record_was_lost_may_be_applied_again() {
    let shop = Shop::open().await;
    shop.execute("DELETE FROM schema_migrations").await;
    let again = Process::run(&["migrate"], &url(&shop)).await.expect(0);
    assert!(again.out.contains(&format!("applied {} migrations", migrations::ALL.len())), "{}", again.out);
}

#[tokio::test]
async fn several_processes_may_migrate_at_once() {
    let shop = shop_without_database().await;
    let settings = url(&shop);
    let migrations = (0..3).map(|_| Process::run(&["migrate"], &settings));
    for ended in futures_util::future::join_all(migrations).await {
        ended.expect(0);
    }
    let applied = shop.count("SELECT COUNT(*) FROM schema_migrations").await;
    assert_eq!(usize::try_from(applied), Ok(migrations::ALL.len()));
}

#[tokio::test]
async fn seeding_creates_the_first_product_once() {
    let shop = Shop::open().await;
    let first = Process::run(&["seed", "--seed-stock", "7", "--seed-name", "Seven"], &url(&shop)).await.expect(0);
    assert!(first.out.contains("created"), "{}", first.out);
    shop.execute("UPDATE products SET reserved = 3").await;
    let again = Process::run(&["seed", "--seed-stock", "9"], &url(&shop)).await.expect(0);
    assert!(again.out.contains("exists already"), "{}", again.out);
    let product = shop.row::<(i64, String, i64, i64)>("SELECT id, name, stock, reserved FROM products").await;
    assert_eq!(product, (1, "Seven".to_owned(), 7, 3));
}

#[tokio::test]
async fn the_document_can_be_printed_without_any_configuration() {
    let printed = Process::run(&["openapi"], &[]).await.expect(0);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    assert_eq!(printed.out.trim_end(), std::fs::read_to_string(golden).expect("a file").trim_end());
    assert_eq!(printed.err, "");
}

#[tokio::test]
async fn a_port_that_is_in_use_is_named_in_the_error() {
    let shop = Shop::open().await;
    let taken = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
    let address = taken.local_addr().expect("an address").to_string();
    let arguments = ["serve", "--listen", &address, "--storefront", "open"];
    let settings = [&url(&shop)[..], &[("HOLDFAST_WEBHOOK_SECRETS", "off")]].concat();
    let ended = Process::run(&arguments, &settings).await.expect(1);
    assert!(ended.err.contains(&address) && ended.err.contains("in use"), "{}", ended.err);
}

/// Starts the binary behind a proxy; returns it, a client, and the path of a hold of three units.
async fn serve_and_wait_in(proxy: &Proxy, shop: &Shop, settings: &[(&str, &str)]) -> (Process, Client, String) {
    let (process, client) = Process::serve(&proxy.url(&shop.database.url), settings).await;
    let product_id = shop.product(5).await;
    let path = format!("/api/holds/{}", client.hold(product_id, 3).await);
    (process, client, path)
}

#[tokio::test]
async fn a_process_that_is_asked_to_stop_becomes_unready_first_and_finishes_its_requests() {
    let shop = Shop::open().await;
    let (_, proxy) = shop.config_through_proxy().await;
    let settings = [("HOLDFAST_LINGER_SECONDS", "2"), ("HOLDFAST_DRAIN_SECONDS", "20")];
    let (process, client, path) = serve_and_wait_in(&proxy, &shop, &settings).await;
    let held_back = proxy.on("-- products/give_back", Action::PauseBefore);
    let under_way = tokio::spawn({
        let client = client.clone();
        async move { client.delete(&path).await }
    });
    held_back.reached().await;
    client.get("/readyz").await.expect(200);
    process.signal("TERM").await;
    let told = eventually(async || client.get("/readyz").await.status == 503).await;
    assert!(told, "/readyz fails while requests are still accepted");
    assert_eq!(client.get("/readyz").await.expect(503).code(), "draining");
    client.get("/api/products/1").await.expect(200);
    let refuses = async || TcpStream::connect(client.address()).await.is_err();
    assert!(eventually(refuses).await, "then no more connections are accepted");
    held_back.release();
    under_way.await.expect("no panic").expect(200);
    process.ended().await.expect(0);
    assert_eq!(shop.count("SELECT reserved FROM products").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn requests_that_never_end_are_cut_off_when_the_drain_time_is_over() {
    let shop = Shop::open().await;
    let (_, proxy) = shop.config_through_proxy().await;
    let (process, client, path) = serve_and_wait_in(&proxy, &shop, &[("HOLDFAST_DRAIN_SECONDS", "1")]).await;
    let mut half = TcpStream::connect(client.address()).await.expect("it listens");
    half.write_all(b"POST /api/holds HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n").await.expect("half a request");
    let held_back = proxy.on("-- products/give_back", Action::PauseBefore);
    let request = client.request("DELETE", &path);
    let under_way = tokio::spawn(async move { client.try_send(request).await });
    held_back.reached().await;
    let ended = tokio::time::timeout(Duration::from_secs(15), process.terminate()).await;
    ended.expect("the process ends soon after the drain time").expect(0);
    assert!(under_way.await.expect("no panic").is_err());
    drop(held_back);
    shop.until("SELECT COUNT(*) FROM holds WHERE status = 'active'", 1).await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_command_whose_output_is_closed_ends_quietly() {
    let shop = Shop::open().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for command in ["openapi", "migrate", "seed", "audit"] {
        let ended = Process::run_unread(folder, &[command], &url(&shop), true).await.expect(141);
        assert_eq!(ended.err, "", "{command}");
    }
    for (arguments, code) in [(["audit", "--no-such-option"], 2), (["seed", "--seed-stock=1"], 2)] {
        Process::run_unread(folder, &arguments, &[], false).await.expect(code);
    }
    let dev_folder = Folder::new("dev unread");
    let ended = Process::run_unread(&dev_folder.0, &["dev"], &DEV, true).await.expect(141);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    assert_eq!(dev_folder.database_processes(), 0, "its database is stopped");
}

#[tokio::test]
async fn a_log_without_a_reader_blocks_no_request() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (process, client) = Process::serve_unlogged(&shop.database.url, &[("HOLDFAST_LOG", "debug")]).await;
    client.hold(product_id, 2).await;
    assert_eq!(client.available(product_id).await, 3);
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn a_log_that_is_not_read_blocks_neither_requests_nor_the_shutdown() {
    const REQUESTS: u32 = 10_000;
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let (_unread, log) = std::io::pipe().expect("a pipe");
    let settings = [("HOLDFAST_LOG", "info,holdfast::http=debug"), statsd.setting()];
    let (process, client) = Process::serve_logging_to(log, &shop.database.url, &settings).await;
    // so long that not all log lines fit into memory
    let path = format!("/{}", "x".repeat(4000));
    let clients = (0..20).map(|_| {
        let (client, path) = (client.clone(), path.clone());
        async move {
            for _ in 0..REQUESTS / 20 {
                client.get(&path).await.expect(404);
            }
        }
    });
    let answered = tokio::time::timeout(Duration::from_secs(120), together(clients)).await;
    assert!(answered.is_ok(), "{REQUESTS} requests are answered");
    client.get("/healthz").await.expect(200);
    let dropped = async || statsd.all("log.dropped", "c", &[]).iter().sum::<f64>() > 0.0;
    assert!(eventually(dropped).await, "{:#?}", statsd.lines());
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn a_log_that_is_read_again_says_how_many_lines_were_dropped() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let (unread, log) = std::io::pipe().expect("a pipe");
    let settings = [("HOLDFAST_LOG", "info,holdfast::http=debug"), statsd.setting()];
    let (process, client) = Process::serve_logging_to(log, &shop.database.url, &settings).await;
    let path = format!("/{}", "x".repeat(8000));
    let dropped = || statsd.all("log.dropped", "c", &[]).iter().sum::<f64>();
    let filled = eventually(async || {
        client.get(&path).await.expect(404);
        dropped() > 0.0
    });
    assert!(filled.await, "the queue is full");
    let lines = std::io::BufReader::new(unread).lines().map_while(Result::ok);
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let told = |line: Value| line["message"].as_str()?.starts_with("log lines were dropped").then_some(line);
    let line = tokio::task::spawn_blocking(move || lines.filter_map(told).next());
    let line =
        tokio::time::timeout(Duration::from_secs(60), line).await.expect("the log says it in time").expect("no panic");
    assert!(line.is_some_and(|line| line["lines"].as_u64() > Some(0)));
    process.kill().await;
}

#[tokio::test]
async fn commands_show_the_error_of_the_database_server() {
    let shop = shop_without_database().await;
    let unknown = format!("Unknown database '{}'", shop.database.name);
    for (command, code) in [("audit", 3), ("seed", 1)] {
        let ended = Process::run(&[command], &url(&shop)).await.expect(code);
        assert!(ended.err.contains(&unknown) && ended.err.contains("1049"), "{command}: {}", ended.err);
        assert_eq!(ended.out, "");
    }
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free").local_addr().expect("an address");
    let settings = [("HOLDFAST_DATABASE_URL", format!("mysql://root@{closed}/shop"))];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    for (command, code) in [("audit", 3), ("seed", 1), ("migrate", 1)] {
        let ended = Process::run(&[command], &settings).await.expect(code);
        assert!(ended.err.contains("Connection refused"), "{command}: {}", ended.err);
    }
}

#[tokio::test]
async fn a_refused_database_login_is_shown_with_its_reason_and_without_the_password() {
    let shop = Shop::open().await;
    let user = format!("refused_{}", std::process::id());
    shop.execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'right'")).await;
    let address = shop.database.url.split_once('@').expect("a user is named").1;
    let url = format!("mysql://{user}:wrong@{address}");
    for (command, code) in [("audit", 3), ("seed", 1), ("migrate", 1)] {
        let ended = Process::run(&[command], &[("HOLDFAST_DATABASE_URL", &url)]).await.expect(code);
        assert!(ended.err.contains(&format!("Access denied for user '{user}'@")), "{command}: {}", ended.err);
        assert!(!ended.err.contains("wrong"), "the password is not shown: {}", ended.err);
    }
    shop.execute(&format!("DROP USER '{user}'@'%'")).await;
}

#[tokio::test]
async fn serve_does_not_start_without_webhook_secrets_or_an_explicit_off() {
    let shop = Shop::open().await;
    let ended = Process::run(&["serve"], &url(&shop)).await.expect(2);
    assert!(ended.err.contains("HOLDFAST_WEBHOOK_SECRETS: it is not set"), "{}", ended.err);
    assert!(ended.err.contains("openssl rand -base64 32") && ended.err.contains("`off`"), "{}", ended.err);
    for secret in ["whsec_", "whsec_c2VjcmV0LWluLXNpZ2h0", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,not-one"] {
        let settings = [url(&shop)[0], ("HOLDFAST_WEBHOOK_SECRETS", secret)];
        let ended = Process::run(&["serve"], &settings).await.expect(2);
        assert!(ended.err.contains("HOLDFAST_WEBHOOK_SECRETS: secret "), "{}", ended.err);
        for part in ["c2Vjc", "MfKQ9", "not-one"] {
            assert!(!ended.err.contains(part), "{}", ended.err);
        }
    }
    let settings = [("HOLDFAST_WEBHOOK_SECRETS", "whsec_c2VjcmV0"), ("HOLDFAST_STRIPE_SECRETS", "whsec_c3RyaXBl")];
    let help = Process::run(&["serve", "--help"], &settings).await.expect(0).out;
    assert!(help.contains("HOLDFAST_WEBHOOK_SECRETS") && help.contains("HOLDFAST_STRIPE_SECRETS"), "{help}");
    assert!(!help.contains("c2VjcmV0") && !help.contains("c3RyaXBl"), "{help}");
}
