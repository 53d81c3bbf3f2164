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
fn filled(statement: &sql::Source) -> String {
    let width = match statement.name {
        "holds/insert" => 7,
        "holds/insert_with_order_time" => 8,
        "holds/insert_counted" => 10,
        "holds/insert_with_seats" => 12,
        "orders/insert_with_seats" => 8,
        "products/insert_all" => 15,
        "products/insert_ticket_type" => 20,
        "seats/insert" => 8,
        "tickets/insert" => 6,
        "tickets/insert_again" => 9,
        "product_trail/insert" => 8,
        "idempotency_keys/insert" => 7,
        "payment_events/insert_applied" => 19,
        "charges/insert_all_paid" => 8,
        "due_refunds/insert" => 6,
        "order_events/insert_all_paid" => 12,
        "orders/insert" => 7,
        "feed_batches/insert" => 5,
        "order_events/insert" => 5,
        "hold_owners/insert" | "order_owners/insert" => 5,
        "push_failures/put" => 8,
        "push_attempts/insert" => 9,
        "payment_links/insert" => 5,
        "unmatched_objects/insert" => 3,
        _ => 2,
    };
    let row = format!("({})", vec!["NULL"; width].join(", "));
    let value = |placeholder: &str| match placeholder {
        "rows" => row.clone(),
        "ids" => "1".to_owned(),
        _ if statement.name.starts_with("products/take_all") => "CASE id WHEN 1 THEN NULL END".to_owned(),
        // times, for which MySQL takes no number
        name if name.ends_with("_at") && statement.name.starts_with("products/") => "NULL".to_owned(),
        "direction" => "ASC".to_owned(),
        "units" if statement.name == "holds/mark_counted" => "WHEN 1 THEN 1".to_owned(),
        "cases" | "refunded" | "due" => "WHEN 1 THEN 1".to_owned(),
        "ranges" => "returns_at >= '2000-01-01'".to_owned(),
        _ => "1".to_owned(),
    };
    let fill = |text: String, name: &&str| text.replace(&format!("{{{name}}}"), &value(name));
    statement.placeholders.iter().fold(statement.text.to_owned(), fill)
}

#[tokio::test]
async fn every_statement_prepares_on_the_migrated_schema() {
    let shop = Shop::open().await;
    let mut conn = shop.sql().await;
    for statement in sql::ALL {
        let sql::Source { name, text, .. } = statement;
        assert!(text.starts_with(&format!("-- {name}: ")), "{name} must begin with its name and its reason");
        assert!(!text.contains('*') || text.contains(" * "), "{name} must name its columns");
        let prepared = conn.prep(filled(statement)).await;
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
    let constants: BTreeSet<String> = sql::ALL.iter().map(|statement| statement.name.to_owned()).collect();
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
