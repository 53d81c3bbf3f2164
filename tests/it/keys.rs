//! The table of idempotency keys: a key is found by one column, earlier versions of the program use the same table, and its
//! size does not slow lookups down.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::{IdempotentRequest, Operation};
use holdfast::db::literal::{self, Literal};
use holdfast::db::{migrations, sql};
use holdfast::domain::OrderStatus;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use uuid::Uuid;

use crate::support::crowd::{SLOTS, all, held_up, hold, holds, in_order, keyed, order, sent};
use crate::support::{Shop, together};

/// Counts the rows without the id that the program computes.
const STRANGE: &str = "SELECT COUNT(*) FROM idempotency_keys
    WHERE id IS NULL OR id <> UNHEX(SHA2(CONCAT(scope, 0x00, operation, 0x00, idempotency_key), 256))";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_program_and_the_server_compute_the_same_id_of_a_key() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let app = shop.app();
    let visible: String = (b'!'..=b'~').map(char::from).collect();
    let texts = ["k".to_owned(), "K".to_owned(), "k".repeat(255), visible, Uuid::now_v7().to_string()];
    for text in &texts {
        let key = |operation| Some(keyed(operation, text, 0));
        let taken = hold(&app, product_id, 1, key(Operation::Hold)).await.expect("enough units");
        order(&app, taken.hold.id, None, key(Operation::Order)).await.expect("an active hold");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM idempotency_keys").await, 2 * texts.len() as i64);
    assert_eq!(shop.count(STRANGE).await, 0);
}

#[tokio::test]
async fn two_scopes_with_the_same_key_text_are_two_keys() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let key = |scope, operation, body: u8| {
        Some(IdempotentRequest::new(String::from(scope), operation, "key".to_owned(), [body; 32]))
    };
    let scopes = ["anonymous", "client", "client 2"];
    // in one batch: each is the first under its key
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let crowd = in_order(scopes.map(|scope| hold(&app, product_id, 1, key(scope, Operation::Hold, 0))));
    proxy.clear();
    jam.release().await;
    let held: Vec<_> = all(crowd).await.into_iter().map(|taken| taken.expect("enough units")).collect();
    assert_eq!(sent(&proxy, "holds/insert"), 1, "none waits for another");
    let first = holds(&app, product_id, SLOTS).await;
    let jam = held_up(&proxy, first.into_iter().map(|hold_id| order(&app, hold_id, None, None))).await;
    let keys = scopes.map(|scope| key(scope, Operation::Order, 0));
    let crowd = in_order(held.iter().zip(keys).map(|(taken, key)| order(&app, taken.hold.id, None, key)));
    proxy.clear();
    jam.release().await;
    let placed: Vec<_> = all(crowd).await.into_iter().map(|placed| placed.expect("an active hold")).collect();
    assert_eq!(sent(&proxy, "orders/insert"), 1, "none waits for another");
    assert!(held.iter().all(|taken| !taken.replayed) && placed.iter().all(|placed| !placed.replayed));
    assert_eq!(held.iter().map(|taken| taken.hold.id).collect::<BTreeSet<_>>().len(), 3);
    // in reverse order, each copy finds its own hold and order
    for place in [2, 1, 0] {
        let copy = hold(&app, product_id, 1, key(scopes[place], Operation::Hold, 0)).await.expect("a copy");
        assert_eq!((copy.hold.id, copy.replayed), (held[place].hold.id, true));
        let hold_id = held[place].hold.id;
        let copy = order(&app, hold_id, None, key(scopes[place], Operation::Order, 0)).await.expect("a copy");
        assert_eq!((copy.order.id, copy.replayed), (placed[place].order.id, true));
    }
    // another request under the same key text in another scope is no copy
    let other = hold(&app, product_id, 1, key("client 3", Operation::Hold, 1)).await.expect("another key");
    assert!(!other.replayed);
    shop.assert_conserved().await;
}

/// The statements of the version before V14.
mod earlier {
    use mysql_async::prelude::Queryable as _;

    use super::{Conn, Uuid, hex};

    pub(super) const FINGERPRINT: u8 = 7;

    fn name(operation: &str, key: &str) -> String {
        format!("x'{}', '{operation}', x'{}'", hex(b"anonymous"), hex(key.as_bytes()))
    }

    /// Inserts keys, or counts copies of them. Returns the number of affected rows; a copy counts as two.
    pub(super) async fn insert(conn: &mut Conn, operation: &str, keys: &[(String, Uuid)]) -> u64 {
        let print = hex(&[FINGERPRINT; 32]);
        let row = |(key, id): &(String, Uuid)| format!("({}, x'{print}', x'{}')", name(operation, key), id.simple());
        let rows: Vec<String> = keys.iter().map(row).collect();
        let columns = "scope, operation, idempotency_key, fingerprint, resource_id";
        let text = format!(
            "INSERT INTO idempotency_keys ({columns}) VALUES {} ON DUPLICATE KEY UPDATE replays = replays + 1",
            rows.join(", ")
        );
        conn.query_drop(text).await.expect("an earlier version can write");
        conn.affected_rows()
    }

    /// Returns the resources of those keys that exist, and the statuses in their first responses.
    pub(super) async fn list(conn: &mut Conn, operation: &str, keys: &[&str]) -> Vec<(Uuid, Option<String>)> {
        let keys: Vec<String> = keys.iter().map(|key| format!("x'{}'", hex(key.as_bytes()))).collect();
        let text = format!(
            "SELECT resource_id, answered_status FROM idempotency_keys
             WHERE scope = x'{}' AND operation = '{operation}' AND idempotency_key IN ({})",
            hex(b"anonymous"),
            keys.join(", ")
        );
        let rows: Vec<(Vec<u8>, Option<String>)> = conn.query(text).await.expect("an earlier version can read");
        rows.into_iter().map(|(id, answered)| (Uuid::from_slice(&id).expect("an id"), answered)).collect()
    }

    /// Records the status of a first response if none is recorded. Returns whether it did.
    pub(super) async fn answer(conn: &mut Conn, key: &str, status: &str) -> bool {
        let text = format!(
            "UPDATE idempotency_keys SET answered_status = '{status}'
             WHERE (scope, operation, idempotency_key) IN (({})) AND answered_status IS NULL",
            name("order", key)
        );
        conn.query_drop(text).await.expect("an earlier version can record a response");
        conn.affected_rows() == 1
    }

    /// Inserts and deletes a row, as that version does to wait for the disk.
    pub(super) async fn wait_for_disk(conn: &mut Conn) {
        let key = Uuid::now_v7().to_string();
        assert_eq!(insert(conn, "hold", &[(key.clone(), Uuid::now_v7())]).await, 1);
        let name = name("hold", &key);
        let text = format!("DELETE FROM idempotency_keys WHERE (scope, operation, idempotency_key) IN (({name}))");
        conn.query_drop(text).await.expect("an earlier version can delete");
        assert_eq!(conn.affected_rows(), 1);
    }
}

/// The number of keys before V14, and how many of them have the same time. Both exceed one part of V16.
const OLD_ROWS: usize = 3200;
const SAME_MOMENT: usize = 1200;

/// Opens a database as it was before V14, with many keys.
async fn before_the_id() -> (Shop, Conn) {
    let shop = Shop::open().await;
    let mut conn = shop.sql().await;
    conn.query_drop("DROP TABLE idempotency_keys").await.expect("the table can be dropped");
    conn.query_drop("DELETE FROM schema_migrations WHERE version >= 14").await.expect("versions can be deleted");
    conn.query_drop(statement_of(6)).await.expect("the table can be made");
    let rows: Vec<String> = (0..OLD_ROWS)
        .map(|n| {
            let age = n.saturating_sub(SAME_MOMENT);
            format!("('anonymous', 'hold', 'old-{n}', '', '', NOW(6) - INTERVAL {age} SECOND)")
        })
        .collect();
    let columns = "scope, operation, idempotency_key, fingerprint, resource_id, created_at";
    for rows in rows.chunks(500) {
        let insert = format!("INSERT INTO idempotency_keys ({columns}) VALUES {}", rows.join(", "));
        conn.query_drop(insert).await.expect("rows can be inserted");
    }
    (shop, conn)
}

fn statement_of(version: u32) -> &'static str {
    migrations::ALL.iter().find(|(number, ..)| *number == version).expect("a known version").2
}

/// The keys that the earlier version wrote between two steps of a migration.
struct Written {
    hold_key: (String, Uuid),
    order_key: (String, Uuid),
}

/// Does everything that the earlier version does with keys. `before` are the keys that it wrote before.
async fn work_as_earlier_version(conn: &mut Conn, tag: &str, before: &[Written]) -> Written {
    let written = Written {
        hold_key: (format!("{tag}-hold"), Uuid::now_v7()),
        order_key: (format!("{tag}-order"), Uuid::now_v7()),
    };
    let mut rows: Vec<(String, Uuid)> = before.iter().map(|written| written.hold_key.clone()).collect();
    let copies = rows.len() as u64;
    rows.push(written.hold_key.clone());
    rows.sort_unstable();
    assert_eq!(earlier::insert(conn, "hold", &rows).await, 2 * copies + 1, "{tag}: copies are counted");
    for (key, id) in &rows {
        assert_eq!(earlier::list(conn, "hold", &[key]).await, [(*id, None)], "{tag}: {key}");
    }
    assert_eq!(earlier::insert(conn, "order", std::slice::from_ref(&written.order_key)).await, 1);
    assert!(earlier::answer(conn, &written.order_key.0, "paid").await, "{tag}: the first answer");
    for key in before.iter().map(|written| &written.order_key.0).chain([&written.order_key.0]) {
        assert!(!earlier::answer(conn, key, "cancelled").await, "{tag}: {key} has its first answer");
    }
    earlier::wait_for_disk(conn).await;
    written
}

/// Asserts that the current version finds the keys of the earlier one.
async fn assert_found_by_this_version(app: &Arc<App>, written: &[Written]) {
    for Written { hold_key, order_key } in written {
        for (operation, (key, id), told) in
            [(Operation::Hold, hold_key, None), (Operation::Order, order_key, Some(OrderStatus::Paid))]
        {
            let wanted = keyed(operation, key, earlier::FINGERPRINT);
            let found = find(app, &wanted).await.unwrap_or_else(|| panic!("{key} is lost"));
            assert_eq!((found.resource_id, found.answered_status), (*id, told), "{key}");
        }
    }
}

async fn find(
    app: &Arc<App>,
    keyed: &IdempotentRequest,
) -> Option<holdfast::db::tables::idempotency_keys::StoredResult> {
    use futures_util::FutureExt as _;
    let database = app.checkout.database();
    let found = database
        .read("idempotency_keys.list", |tx| {
            async move { holdfast::db::tables::idempotency_keys::find(tx, keyed).await }.boxed()
        })
        .await;
    found.expect("keys can be read")
}

#[tokio::test]
async fn keys_stay_the_same_while_the_table_is_migrated_beside_an_earlier_version() {
    // the migration stops after each of its steps, before the step is recorded, and two programs run it again at once
    for stopped_after in 13..=17 {
        let (shop, mut conn) = before_the_id().await;
        let mut written = vec![work_as_earlier_version(&mut conn, "13", &[]).await];
        for version in 14..=stopped_after {
            // only V16 changes the rows in parts
            conn.query_drop(statement_of(version)).await.unwrap_or_else(|error| panic!("V{version}: {error}"));
            if version == 16 && stopped_after > 16 {
                while conn.affected_rows() > 0 {
                    conn.query_drop(statement_of(version)).await.expect("another part");
                }
            }
            written.push(work_as_earlier_version(&mut conn, &version.to_string(), &written).await);
        }
        let opts = Opts::from_url(&shop.database.url).expect("a database URL");
        let both =
            together([opts.clone(), opts.clone()].map(|opts| async move { migrations::migrate(&opts).await })).await;
        for migrated in both {
            migrated.unwrap_or_else(|error| panic!("stopped after V{stopped_after}: {error}"));
        }
        assert_eq!(migrations::migrate(&opts).await.expect("once more"), Vec::<u32>::new());
        written.push(work_as_earlier_version(&mut conn, "after", &written).await);

        assert_eq!(shop.count(STRANGE).await, 0, "stopped after V{stopped_after}");
        let first = &written[0].hold_key.0;
        let replays = format!("SELECT replays FROM idempotency_keys WHERE idempotency_key = '{first}'");
        assert_eq!(shop.count(&replays).await, written.len() as i64 - 1, "every copy is counted");
        assert_found_by_this_version(&shop.app(), &written).await;
        let rows = OLD_ROWS + 2 * written.len();
        assert_eq!(shop.count("SELECT COUNT(*) FROM idempotency_keys").await, rows as i64);
        assert_eq!(primary_key(&shop).await, ["id"]);
    }
}

async fn primary_key(shop: &Shop) -> Vec<String> {
    let query = "SELECT column_name FROM information_schema.key_column_usage
                 WHERE table_schema = DATABASE() AND table_name = 'idempotency_keys' AND constraint_name = 'PRIMARY'";
    shop.rows(query).await
}

#[tokio::test]
async fn a_key_of_this_version_is_the_same_key_for_an_earlier_one() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let app = shop.app();
    let mut conn = shop.sql().await;
    // taken by this version, sent again to the earlier one
    let key = |operation, key: &str| Some(keyed(operation, key, earlier::FINGERPRINT));
    let taken = hold(&app, product_id, 1, key(Operation::Hold, "new")).await.expect("enough units");
    let placed = order(&app, taken.hold.id, None, key(Operation::Order, "new")).await.expect("an active hold");
    assert_eq!(earlier::list(&mut conn, "hold", &["new"]).await, [(taken.hold.id, None)]);
    let pending = Some("pending".to_owned());
    assert_eq!(earlier::list(&mut conn, "order", &["new"]).await, [(placed.order.id, pending)]);
    for operation in ["hold", "order"] {
        assert_eq!(earlier::insert(&mut conn, operation, &[("new".to_owned(), Uuid::now_v7())]).await, 2, "a copy");
    }
    assert!(!earlier::answer(&mut conn, "new", "paid").await, "a first response is recorded");
    // taken by the earlier version, sent again to this one
    let held = hold(&app, product_id, 1, None).await.expect("enough units").hold.id;
    let ordered = order(&app, held, None, None).await.expect("an active hold").order.id;
    earlier::insert(&mut conn, "hold", &[("old".to_owned(), held)]).await;
    earlier::insert(&mut conn, "order", &[("old".to_owned(), ordered)]).await;
    let copy = hold(&app, product_id, 1, key(Operation::Hold, "old")).await.expect("a copy");
    assert_eq!((copy.hold.id, copy.replayed), (held, true));
    let copy = order(&app, held, None, key(Operation::Order, "old")).await.expect("a copy");
    assert_eq!((copy.order.id, copy.replayed, copy.order.status), (ordered, true, OrderStatus::Pending));
    assert!(!earlier::answer(&mut conn, "old", "paid").await, "the copy recorded the first response");
    assert_eq!(shop.count("SELECT CAST(SUM(replays) AS SIGNED) FROM idempotency_keys").await, 4);
    assert_eq!(shop.count(STRANGE).await, 0);

    let old = "UPDATE idempotency_keys SET created_at = created_at - INTERVAL 49 HOUR WHERE idempotency_key = 'old'";
    assert_eq!(shop.execute(old).await, 2);
    assert!(!app.checkout.forget_old_keys().await.expect("keys can be forgotten"));
    assert_eq!(shop.count("SELECT COUNT(*) FROM idempotency_keys WHERE idempotency_key = 'new'").await, 2);
    assert_eq!(shop.count("SELECT COUNT(*) FROM idempotency_keys").await, 2);
    shop.assert_conserved().await;
}

async fn fill(conn: &mut Conn, product_id: i64, rows: u32) {
    const DIGIT: &str = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
        UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let places: Vec<String> = (0..6).map(|place| format!("{DIGIT} AS d{place}")).collect();
    let number = "d0.n + 10 * d1.n + 100 * d2.n + 1000 * d3.n + 10000 * d4.n + 100000 * d5.n";
    let numbers = format!("(SELECT {number} AS n FROM {}) AS numbers WHERE n < {rows}", places.join(" JOIN "));
    let keys = format!(
        "INSERT INTO idempotency_keys (scope, operation, idempotency_key, fingerprint, resource_id)
         SELECT 'anonymous', IF(n % 2 = 0, 'hold', 'order'), CONCAT('key-', n), '', '' FROM {numbers}"
    );
    let holds = format!(
        "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
         SELECT LEFT(UNHEX(SHA2(n, 256)), 16), {product_id}, 1, 4999, 'EUR', NOW(6) - INTERVAL 1 DAY, NULL
         FROM {numbers}"
    );
    for statement in [&keys, &holds, "ANALYZE TABLE idempotency_keys", "ANALYZE TABLE holds"] {
        conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Returns how many rows the session has read so far.
async fn rows_read(conn: &mut Conn) -> u64 {
    let counters: Vec<(String, String)> =
        conn.query("SHOW SESSION STATUS LIKE 'Handler_read%'").await.expect("a session has counters");
    counters.iter().map(|(_, count)| count.parse::<u64>().expect("a number")).sum()
}

#[tokio::test]
async fn one_hold_or_one_key_is_found_among_many_without_reading_the_others() {
    const ROWS: u32 = 200_000;
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let mut conn = shop.sql().await;
    fill(&mut conn, product_id, ROWS).await;
    for count in [1, 2, 50] {
        let query = format!("SELECT id FROM holds LIMIT {count}");
        let holds: Vec<Vec<u8>> = conn.query(query).await.expect("holds can be read");
        let query = format!("SELECT id FROM idempotency_keys WHERE answered_status IS NULL LIMIT {count}");
        let keys: Vec<Vec<u8>> = conn.query(query).await.expect("keys can be read");
        let [hold_ids, ids] = [&holds, &keys].map(|ids| literal::list(ids.iter().map(|id| Literal::Bytes(id))));
        let expire = sql::holds::Expire { ids: hold_ids }.text();
        let status = Literal::Word("pending").into();
        let answer = sql::idempotency_keys::Answer { status, ids: ids.clone() }.text();
        for statement in [expire, answer, sql::idempotency_keys::Delete { ids }.text()] {
            conn.query_drop("BEGIN").await.expect("a transaction begins");
            let before = rows_read(&mut conn).await;
            conn.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
            let changed = conn.affected_rows();
            let read = rows_read(&mut conn).await - before;
            conn.query_drop("ROLLBACK").await.expect("the transaction ends");
            assert_eq!(changed, count, "{statement}");
            assert!(read <= 100 + 4 * count, "{read} rows read for {count}: {statement}");
        }
    }
}
