//! Checks of the files: the OpenAPI document, the SQL statements, and the rule against explicit locks.

use std::collections::BTreeSet;
use std::path::Path;

use holdfast::db::sql;
use mysql_async::prelude::Queryable;

use crate::support::Shop;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test]
async fn the_generated_document_equals_the_one_that_is_checked_in_and_the_one_that_is_served() {
    let (shop, _, client) = Shop::selling(1).await;
    let golden = file("openapi/openapi.json");
    let generated = holdfast::http::document(&shop.app());
    assert_eq!(generated, golden, "run `cargo run -- openapi > openapi/openapi.json` and look at the difference");
    assert_eq!(client.get("/openapi.json").await.expect(200).text, golden);
}

/// Returns a statement with its placeholders filled in, so that PREPARE accepts it.
fn filled(name: &str, statement: &str) -> String {
    let width = match name {
        "holds/insert" => 7,
        "idempotency_keys/insert" => 7,
        "payment_events/insert_applied" => 19,
        "charges/insert_all_paid" => 8,
        "order_events/insert_all_paid" => 11,
        "orders/insert" => 6,
        "order_events/insert" => 4,
        "payment_links/insert" => 5,
        "unmatched_objects/insert" => 3,
        _ => 2,
    };
    let row = format!("({})", vec!["NULL"; width].join(", "));
    let mut text = statement.replace("{rows}", &row).replace("{ids}", "NULL").replace("{direction}", "ASC");
    text = text.replace("{cases}", "WHEN 1 THEN 1").replace("{ranges}", "returns_at >= '2000-01-01'");
    let numbers = [
        "{product_id}",
        "{limit}",
        "{qty}",
        "{ttl_seconds}",
        "{hold_ids}",
        "{status}",
        "{last}",
        "{provider}",
        "{pause_us}",
        "{processing_us}",
        "{row}",
        "{price_minor}",
        "{currency}",
        "{hold_id}",
        "{order_id}",
        "{due_at}",
    ];
    for number in numbers {
        text = text.replace(number, "1");
    }
    text
}

#[tokio::test]
async fn every_statement_prepares_on_the_migrated_schema() {
    let shop = Shop::open().await;
    let mut conn = shop.sql().await;
    for (name, statement) in sql::ALL {
        assert!(statement.starts_with(&format!("-- {name}: ")), "{name} must begin with its name and its reason");
        assert!(!statement.contains('*') || statement.contains(" * "), "{name} must name its columns");
        let prepared = conn.prep(filled(name, statement)).await;
        prepared.unwrap_or_else(|error| panic!("{name} does not prepare: {error}"));
    }
}

#[test]
fn every_sql_file_has_its_constant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain names")).collect()
    };
    let files: BTreeSet<String> = names(&folder)
        .into_iter()
        .flat_map(|table| {
            let verbs = names(&folder.join(&table));
            verbs.into_iter().map(move |verb| format!("{table}/{}", verb.trim_end_matches(".sql")))
        })
        .collect();
    let constants: BTreeSet<String> = sql::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, constants);
}

#[test]
fn there_is_no_explicit_lock_anywhere() {
    let mut looked_at = 0;
    let mut folders =
        vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("sql"), Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a text file").to_uppercase();
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for lock in ["FOR UPDATE", "FOR SHARE", "LOCK IN SHARE MODE", "GET_LOCK", "LOCK TABLE", "SKIP LOCKED"] {
                assert!(!words.contains(lock), "{} contains {lock}", path.display());
            }
            looked_at += 1;
        }
    }
    assert!(looked_at > 50, "only {looked_at} files");
}
