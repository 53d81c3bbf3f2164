//! `holdfast doctor`: what it finds around the service, what it advises, and its exit code.

use std::sync::atomic::{AtomicU32, Ordering};

use holdfast::db::migrations;
use mysql_async::prelude::Queryable;

use crate::support::Shop;
use crate::support::process::{Ended, Process};
use crate::support::server::{connect, url};

async fn doctor(url: &str, settings: &[(&str, &str)]) -> Ended {
    Process::run(&["doctor"], &[&[("HOLDFAST_DATABASE_URL", url)][..], settings].concat()).await
}

/// Returns the line about a subject that has this level.
#[track_caller]
fn line<'a>(ended: &'a Ended, level: &str, subject: &str) -> &'a str {
    let is_it = |line: &&str| line.split_whitespace().take(2).eq([level, subject]);
    ended.out.lines().find(is_it).unwrap_or_else(|| panic!("{level} {subject} in {}\n{}", ended.out, ended.err))
}

/// The tables of a database with their definitions, and the applied migrations.
async fn contents(shop: &Shop) -> Vec<String> {
    let mut conn = shop.sql().await;
    let tables: Vec<String> = conn.query("SHOW TABLES").await.expect("tables can be listed");
    let mut contents = Vec::new();
    for table in tables {
        let made: Option<(String, String)> =
            conn.query_first(format!("SHOW CREATE TABLE `{table}`")).await.expect("a table");
        let rows: Option<i64> = conn.query_first(format!("SELECT COUNT(*) FROM `{table}`")).await.expect("rows");
        contents.push(format!("{made:?} {rows:?}"));
    }
    contents
}

/// An account without a password and without privileges, dropped with this value.
struct Account(String);

impl Account {
    async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doctor_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let account = Self(name);
        account.run(&format!("CREATE USER '{}'@'%'", account.0)).await;
        account
    }

    async fn run(&self, statement: &str) {
        let mut conn = connect(url()).await;
        conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The URL of a shop's database for this account.
    fn url(&self, shop: &Shop) -> String {
        let at = shop.database.url.rsplit_once('@').expect("the URL has a user").1;
        format!("mysql://{}@{at}", self.0)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let name = self.0.clone();
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let _ = connect(url()).await.query_drop(format!("DROP USER IF EXISTS '{name}'@'%'")).await;
            });
        });
        let _ = dropped.join();
    }
}

#[tokio::test]
async fn the_doctor_finds_nothing_to_do_where_all_is_well_and_changes_nothing() {
    let shop = Shop::open().await;
    let before = contents(&shop).await;
    let ended = doctor(&shop.database.url, &[]).await.expect(0);
    for subject in [
        "database",
        "version",
        "durability",
        "writes",
        "connections",
        "checks",
        "privileges",
        "migrate",
        "schema",
        "clock",
        "statsd",
    ] {
        assert!(!line(&ended, "ok", subject).contains("->"), "{}", ended.out);
    }
    assert_eq!(ended.err, "");
    assert_eq!(contents(&shop).await, before);
}

#[tokio::test]
async fn the_doctor_says_what_it_can_while_the_database_is_away_and_never_shows_a_password() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let url = format!("mysql://user:S3CR3T@{address}/shop");
    let ended = doctor(&url, &[("HOLDFAST_STATSD", "no-such-host.invalid:8125")]).await.expect(2);
    let unreached = line(&ended, "fail", "database");
    assert!(unreached.contains(&address.to_string()) && unreached.contains("refused"), "{unreached}");
    assert!(unreached.contains("-> "), "{unreached}");
    line(&ended, "warn", "unread");
    line(&ended, "warn", "statsd");
    assert!(!ended.out.contains("S3CR3T") && !ended.err.contains("S3CR3T"), "{ended:?}");
}

#[tokio::test]
async fn the_grants_that_the_doctor_names_suffice_to_migrate_and_to_sell() {
    let shop = Shop::open().await;
    for verb in ["DROP", "CREATE"] {
        connect(url()).await.query_drop(format!("{verb} DATABASE `{}`", shop.database.name)).await.expect("it runs");
    }
    let account = Account::create().await;
    let own_url = account.url(&shop);
    let ended = doctor(&own_url, &[]).await.expect(2);
    line(&ended, "fail", "database");
    line(&ended, "ok", "version");
    let grants = [line(&ended, "fail", "privileges"), line(&ended, "warn", "migrate")];
    for advised in grants.map(|line| line.split_once("-> ").expect("advice").1) {
        let grant = advised.split(", or ").next().expect("a grant");
        assert!(grant.starts_with("GRANT ") && grant.contains(&shop.database.name), "{grant}");
        account.run(grant).await;
    }
    let granted = doctor(&own_url, &[]).await.expect(2);
    line(&granted, "ok", "database");
    line(&granted, "ok", "privileges");
    line(&granted, "ok", "migrate");
    assert!(line(&granted, "fail", "schema").contains("holdfast migrate"), "{}", granted.out);
    Process::run(&["migrate"], &[("HOLDFAST_DATABASE_URL", &own_url)]).await.expect(0);
    doctor(&own_url, &[]).await.expect(0);

    let product_id = shop.product(5).await;
    let (process, client) = Process::serve(&own_url, &[]).await;
    client.get("/readyz").await.expect(200);
    let (_, order_id) = client.hold_and_order(product_id, 2).await;
    client.pay(&order_id, "paid", "a-payment").await.expect(200);
    process.terminate().await.expect(0);
    Process::run(&["audit"], &[("HOLDFAST_DATABASE_URL", &own_url)]).await.expect(0);
}

#[tokio::test]
async fn the_doctor_names_what_an_account_lacks_for_each_command() {
    let shop = Shop::open().await;
    let account = Account::create().await;
    let (own_url, on) = (account.url(&shop), format!("`{}`.*", shop.database.name));
    account.run(&format!("GRANT SELECT, INSERT, UPDATE ON {on} TO '{}'@'%'", account.0)).await;
    let ended = doctor(&own_url, &[]).await.expect(2);
    let missing = line(&ended, "fail", "privileges");
    assert!(missing.ends_with(&format!("-> GRANT DELETE ON {on} TO '{}'@'%'", account.0)), "{missing}");
    account.run(&format!("GRANT DELETE ON {on} TO '{}'@'%'", account.0)).await;
    let ended = doctor(&own_url, &[]).await.expect(1);
    line(&ended, "ok", "privileges");
    assert!(line(&ended, "warn", "migrate").contains("GRANT CREATE, ALTER"), "{}", ended.out);
    account.run(&format!("REVOKE ALL PRIVILEGES ON {on} FROM '{}'@'%'", account.0)).await;
    account.run(&format!("CREATE ROLE '{}_role'", account.0)).await;
    account.run(&format!("GRANT ALL PRIVILEGES ON {on} TO '{}_role'", account.0)).await;
    account.run(&format!("GRANT '{0}_role' TO '{0}'@'%'", account.0)).await;
    let is_mariadb = shop.row::<String>("SELECT VERSION()").await.contains("MariaDB");
    let (role, to) = if is_mariadb { ("ROLE", "FOR") } else { ("ROLE", "TO") };
    account.run(&format!("SET DEFAULT {role} '{0}_role' {to} '{0}'@'%'", account.0)).await;
    let by_role = doctor(&own_url, &[]).await;
    account.run(&format!("DROP ROLE '{}_role'", account.0)).await;
    by_role.expect(0);
}

#[tokio::test]
async fn the_doctor_compares_the_schema_with_the_program() {
    let shop = Shop::open().await;
    let latest = migrations::latest();
    shop.execute(&format!("INSERT INTO schema_migrations (version, name) VALUES ({}, 'later')", latest + 1)).await;
    let ended = doctor(&shop.database.url, &[]).await.expect(1);
    line(&ended, "warn", "schema");
    shop.execute(&format!("DELETE FROM schema_migrations WHERE version >= {latest}")).await;
    let ended = doctor(&shop.database.url, &[]).await.expect(2);
    assert!(line(&ended, "fail", "schema").ends_with("-> run `holdfast migrate`"), "{}", ended.out);
    connect(url()).await.query_drop(format!("DROP DATABASE `{}`", shop.database.name)).await.expect("it runs");
    let ended = doctor(&shop.database.url, &[]).await.expect(2);
    assert!(line(&ended, "fail", "database").contains("holdfast migrate"), "{}", ended.out);
    line(&ended, "ok", "durability");
    let again = connect(url()).await.query_drop(format!("USE `{}`", shop.database.name)).await;
    assert!(again.is_err(), "the doctor makes no database");
}

#[tokio::test]
async fn the_doctor_names_a_check_that_is_not_enforced() {
    let shop = Shop::open().await;
    let check = "products_never_oversold";
    let is_mariadb = shop.row::<String>("SELECT VERSION()").await.contains("MariaDB");
    let lost = match is_mariadb {
        true => format!("DROP CONSTRAINT {check}"),
        false => format!("ALTER CHECK {check} NOT ENFORCED"),
    };
    shop.execute(&format!("ALTER TABLE products {lost}")).await;
    let ended = doctor(&shop.database.url, &[]).await.expect(2);
    let named = line(&ended, "fail", "checks");
    assert!(named.contains(check) && !named.contains("holds_qty"), "{named}");
}

#[tokio::test]
async fn the_doctor_counts_the_connections_of_all_instances() {
    let shop = Shop::open().await;
    let many = [("HOLDFAST_INSTANCES", "9000"), ("HOLDFAST_POOL_SIZE", "500")];
    let ended = doctor(&shop.database.url, &many).await.expect(2);
    let counted = line(&ended, "fail", "connections");
    assert!(counted.contains("use 4509000 of max_connections = "), "{counted}");
}

#[tokio::test]
async fn a_wrong_configuration_of_the_doctor_is_reported_at_once_and_nothing_is_examined() {
    let wrong = [("HOLDFAST_POOL_SIZE", "1"), ("HOLDFAST_STATSD", "nowhere"), ("HOLDFAST_POOL_SIZES", "1")];
    let ended = Process::run(&["doctor"], &wrong).await.expect(2);
    let named = wrong.iter().map(|(name, _)| *name).chain(["HOLDFAST_DATABASE_URL: it is not set"]);
    assert!(named.into_iter().all(|name| ended.err.contains(name)), "{}", ended.err);
    assert_eq!(ended.out, "");
}
