//! A database that does not accept writes: `/readyz` fails, requests get a 503, and the log tells an operator once.

use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast::db::migrations;
use holdfast::dev::PrivateServer;
use mysql_async::Opts;
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::support::crowd::sent;
use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::server::connect;
use crate::support::{Client, Instance, Shop, eventually, mint, together};

async fn until_ready(client: &Client) {
    assert!(eventually(async || client.get("/readyz").await.status == 200).await, "it becomes ready without a restart");
}

async fn until_unready(client: &Client) {
    assert!(eventually(async || client.get("/readyz").await.status == 503).await, "/readyz fails");
    let answer = client.get("/readyz").await;
    assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (503, "database_unavailable", "1"));
}

/// The tables of the hot path.
const TABLES: [&str; 8] = [
    "products",
    "holds",
    "orders",
    "order_events",
    "payment_events",
    "payment_event_deliveries",
    "charges",
    "idempotency_keys",
];

#[tokio::test]
async fn with_a_missing_table_the_service_is_unready_and_requests_get_a_503() {
    let shop = Shop::open().await;
    let instance = shop.serve().await;
    until_ready(&instance).await;
    for table in TABLES {
        shop.execute(&format!("RENAME TABLE {table} TO gone")).await;
        until_unready(&instance).await;
        if table == "holds" {
            let refused = instance.try_order(&mint()).await;
            assert_eq!(refused.refused(503, "database_unavailable").header("retry-after"), "1");
        }
        shop.execute(&format!("RENAME TABLE gone TO {table}")).await;
        until_ready(&instance).await;
    }
    let product_id = shop.product(5).await;
    let (_, order_id) = instance.hold_and_order(product_id, 1).await;
    instance.pay(&order_id, "paid", "key").await.expect(200);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_table_that_another_client_has_locked_makes_the_service_unready() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let instance = shop.serve().await;
    until_ready(&instance).await;
    let mut holder = shop.sql().await;
    holder.query_drop("LOCK TABLES charges WRITE").await.expect("the table can be locked");
    until_unready(&instance).await;
    instance.try_hold(product_id, 1).await.expect(201);
    holder.query_drop("UNLOCK TABLES").await.expect("it can be unlocked");
    until_ready(&instance).await;
}

/// Creates a database user with the privileges that the service needs on every table; returns its URL and its name.
pub(crate) async fn url_of_user(shop: &Shop) -> (String, String) {
    let (name, database) = (format!("u{}", &mint().replace('-', "")[16..]), &shop.database.name);
    shop.execute(&format!("CREATE USER '{name}'@'%'")).await;
    let tables: Vec<String> = shop.rows("SHOW TABLES").await;
    for table in tables {
        let privileges = "SELECT, INSERT, UPDATE, DELETE";
        shop.execute(&format!("GRANT {privileges} ON `{database}`.`{table}` TO '{name}'@'%'")).await;
    }
    let url = Opts::from_url(&shop.database.url).expect("a URL");
    (format!("mysql://{name}@{}:{}/{database}", url.ip_or_hostname(), url.tcp_port()), name)
}

#[tokio::test]
async fn a_lost_privilege_makes_the_service_unready_and_is_logged_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(50).await;
    let (url, user) = url_of_user(&shop).await;
    let database = &shop.database.name;
    let (process, client) = Process::serve(&url, &[]).await;
    until_ready(&client).await;
    for (privilege, table) in [
        ("INSERT", "charges"),
        ("UPDATE", "orders"),
        ("SELECT", "payment_events"),
        ("INSERT", "order_events"),
        ("INSERT", "feed_batches"),
    ] {
        shop.execute(&format!("REVOKE {privilege} ON `{database}`.`{table}` FROM '{user}'@'%'")).await;
        until_unready(&client).await;
        shop.execute(&format!("GRANT {privilege} ON `{database}`.`{table}` TO '{user}'@'%'")).await;
        until_ready(&client).await;
    }
    shop.execute(&format!("REVOKE INSERT ON `{database}`.`holds` FROM '{user}'@'%'")).await;
    for _ in 0..20 {
        client.try_hold(product_id, 1).await.refused(503, "database_unavailable");
    }
    shop.execute(&format!("GRANT INSERT ON `{database}`.`holds` TO '{user}'@'%'")).await;
    client.hold(product_id, 1).await;
    let log = process.terminate().await.expect(0).err;
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: Vec<&Value> = lines.iter().filter(|line| line["code"] == 1142).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0]["server"].as_str().is_some_and(|said| said.contains("denied")), "{told:?}");
    assert!(told[0]["advice"].as_str().is_some_and(|advice| advice.contains("INSERT")), "{told:?}");
    assert!(!log.contains("transaction failed") && !log.contains("transaction given up"), "{log}");
    shop.execute(&format!("DROP USER '{user}'@'%'")).await;
}

#[tokio::test]
async fn an_error_that_an_operator_has_to_fix_is_a_503() {
    let shop = Shop::open().await;
    let product_id = shop.product(50).await;
    let bare = shop.serve_without_workers().await;
    let (hold_id, (_, order_id)) = (bare.hold(product_id, 1).await, bare.hold_and_order(product_id, 1).await);
    let codes = [
        3, 20, 1021, 1026, 1030, 1036, 1041, 1044, 1049, 1054, 1114, 1142, 1143, 1146, 1194, 1206, 1227, 1290, 1792,
        1812, 1814, 1836, 1932,
    ];
    for code in codes {
        let action = Action::Error(code, "HY000", "the server's words");
        let rules = ["-- holds/insert", "-- orders/insert", "-- payment_events/insert", "-- products/list_some"];
        let _failing = rules.map(|rule| bare.proxy.on(Rule::from(rule).always(), action));
        for answer in [
            bare.try_hold(product_id, 1).await,
            bare.try_order(&hold_id).await,
            bare.pay(&order_id, "paid", "key").await,
            bare.get(&format!("/api/products/{product_id}")).await,
        ] {
            assert_eq!((answer.status, answer.code()), (503, "database_unavailable"), "{code}: {answer:?}");
            assert_eq!(answer.header("retry-after"), "1", "{code}");
        }
    }
    bare.order(&hold_id).await;
    bare.pay(&order_id, "paid", "key").await.expect(200);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn many_readiness_checks_at_once_share_their_queries() {
    let shop = Shop::open().await;
    let (instance, proxy) = shop.serve_through_proxy().await;
    until_ready(&instance).await;
    proxy.clear();
    together((0..300).map(|_| {
        let client = instance.client.clone();
        async move { client.get("/readyz").await.expect(200) }
    }))
    .await;
    let asked = sent(&proxy, "readiness/touch");
    assert!(asked < 30, "300 checks sent {asked} queries");
}

/// A small file system, which is unmounted with this value.
struct Small(PathBuf);

impl Small {
    fn mount(megabytes: u32) -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("small-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // the last process that uses it may take a moment to end
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn a_full_disk_is_a_503_and_nothing_is_lost_when_there_is_room_again() {
    let small = match Small::mount(256) {
        Ok(small) => small,
        Err(reason) => {
            println!("SKIPPED: no small file system can be mounted here: {reason}");
            return;
        }
    };
    let server = PrivateServer::start(&small.0.join("server"), &[]).await.expect("the private server starts");
    let url = server.url("shop");
    migrations::migrate(&Opts::from_url(&url).expect("a URL")).await.expect("the database can be migrated");
    let insert = "INSERT INTO products (name, price_minor, currency, stock) VALUES ('A thing', 4999, 'EUR', 1000000)";
    connect(&url).await.query_drop(insert).await.expect("a product can be inserted");
    let (process, client) = Process::serve(&url, &[]).await;
    until_ready(&client).await;
    // fills the rest of the disk
    let filler = small.0.join("filler");
    let _ = std::io::copy(&mut std::io::repeat(0), &mut std::fs::File::create(&filler).expect("a file"));
    let (mut taken, mut refused) = (0, 0);
    while refused == 0 {
        assert!(taken < 200_000, "the disk is not full");
        for answer in together((0..200).map(|_| {
            let client = client.clone();
            async move { client.try_hold(1, 1).await }
        }))
        .await
        {
            match answer.status {
                201 => taken += 1,
                _ => {
                    answer.refused(503, "database_unavailable");
                    refused += 1;
                }
            }
        }
    }
    until_unready(&client).await;
    std::fs::remove_file(&filler).expect("the filler can be removed");
    until_ready(&client).await;
    client.hold(1, 1).await;
    let units = "SELECT CAST(SUM(qty) AS SIGNED) FROM holds WHERE status = 'active'";
    let held: i64 = connect(&url).await.query_first(units).await.expect("the query runs").expect("a row");
    assert_eq!(held, taken + 1, "every confirmed hold is stored, and no other");
    let log = process.terminate().await.expect(0).err;
    let told = log.lines().filter(|line| line.contains("disk space")).count();
    assert!((1..=4).contains(&told), "once for each code: {log}");
    server.stop().await;
}

#[tokio::test]
async fn a_read_only_database_server_makes_the_service_unready_until_it_is_writable() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("read-only-{}", std::process::id()));
    let server = PrivateServer::start(&folder, &[]).await.expect("the private server starts");
    let url = server.url("shop");
    migrations::migrate(&Opts::from_url(&url).expect("a URL")).await.expect("the database can be migrated");
    let mut root = connect(&url).await;
    // `read_only` does not stop a user with root's privileges, so the service gets a user without them
    for statement in [
        "INSERT INTO products (name, price_minor, currency, stock) VALUES ('A thing', 4999, 'EUR', 100)",
        "CREATE USER 'service'@'%'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'service'@'%'",
    ] {
        root.query_drop(statement).await.expect("the statement runs");
    }
    let (process, client) = Process::serve(&url.replace("root@", "service@"), &[]).await;
    until_ready(&client).await;
    client.hold(1, 1).await;
    root.query_drop("SET GLOBAL read_only = ON").await.expect("`read_only` can be set");
    until_unready(&client).await;
    client.try_hold(1, 1).await.refused(503, "database_unavailable");
    client.get("/api/products/1").await.expect(200);
    root.query_drop("SET GLOBAL read_only = OFF").await.expect("`read_only` can be set");
    until_ready(&client).await;
    client.hold(1, 1).await;
    let log = process.terminate().await.expect(0).err;
    assert_eq!(log.lines().filter(|line| line.contains("make the database server writable")).count(), 1, "{log}");
    server.stop().await;
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
}

#[tokio::test]
async fn a_schema_that_is_too_old_is_a_503_on_every_route_until_it_is_migrated() {
    let shop = Shop::open().await;
    let product_id = shop.product(50).await;
    shop.execute(&format!("DELETE FROM schema_migrations WHERE version = {}", migrations::latest())).await;
    let (config, proxy) = shop.config_through_proxy().await;
    let instance = Instance::start(config).await;
    // it looks itself, should the look at the start have taken too long
    instance.get("/readyz").await.refused(503, "schema_outdated");
    proxy.clear();
    for _ in 0..20 {
        for answer in [
            instance.try_hold(product_id, 1).await,
            instance.try_order(&mint()).await,
            instance.pay(&mint(), "paid", "key").await,
            instance.get("/api/products").await,
            instance.get("/api/admin/payment-events").await,
            instance.get("/readyz").await,
        ] {
            assert_eq!(answer.refused(503, "schema_outdated").header("retry-after"), "1");
        }
        for path in ["/healthz", "/docs", "/openapi.json"] {
            instance.get(path).await.expect(200);
        }
    }
    let asked = sent(&proxy, "schema_migrations/find_latest");
    assert!(asked < 60, "180 requests sent {asked} queries");
    let migrated = Process::run(&["migrate"], &[("HOLDFAST_DATABASE_URL", &shop.database.url)]).await;
    migrated.expect(0);
    until_ready(&instance).await;
    instance.hold(product_id, 1).await;
}
