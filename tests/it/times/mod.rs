//! Holds and orders whose deadlines and units change: what meets them sees the change, and a hold ends as a whole.

mod fewer;
mod later;
mod meetings;
mod orders;
mod whole;

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Answer, Client, Shop, binary, mint};

/// Writes a hold with these lines, `(product, units)`, that runs out so many seconds from now, and returns its id.
pub(crate) async fn cart(shop: &Shop, lines: &[(i64, i64)], seconds: i64) -> String {
    carts(shop, lines, seconds, 1).await.swap_remove(0)
}

/// Writes so many holds with these lines.
async fn carts(shop: &Shop, lines: &[(i64, i64)], seconds: i64, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|_| mint()).collect();
    let row = |id: &String, (product_id, qty): &(i64, i64)| {
        format!("({}, {product_id}, {qty}, 4999, 'EUR', @at, @at)", binary(id))
    };
    let rows: Vec<String> = ids.iter().flat_map(|id| lines.iter().map(move |line| row(id, line))).collect();
    let mut statements =
        vec!["SET time_zone = '+00:00'".to_owned(), format!("SET @at = NOW(6) + INTERVAL {seconds} SECOND")];
    let columns = "id, product_id, qty, unit_price_minor, currency, expires_at, returns_at";
    statements
        .extend(rows.chunks(5000).map(|rows| format!("INSERT INTO holds ({columns}) VALUES {}", rows.join(", "))));
    for (product_id, qty) in lines {
        let reserved = qty * i64::try_from(count).expect("a small number");
        statements.push(format!("UPDATE products SET reserved = reserved + {reserved} WHERE id = {product_id}"));
    }
    let mut conn = shop.sql().await;
    for statement in statements {
        conn.query_drop(statement).await.expect("the statement runs");
    }
    ids
}

/// Makes a hold run out this long from now.
async fn run_out_in(shop: &Shop, hold_id: &str, milliseconds: u32) {
    let soon = format!("UTC_TIMESTAMP(6) + INTERVAL {milliseconds}000 MICROSECOND");
    let set = format!("SET expires_at = {soon}, returns_at = expires_at");
    shop.execute(&format!("UPDATE holds {set} WHERE id = {} AND status = 'active'", binary(hold_id))).await;
}

/// Makes the only pending order overdue this long from now.
async fn overdue_in(shop: &Shop, milliseconds: u32) {
    let soon = format!("UTC_TIMESTAMP(6) + INTERVAL {milliseconds}000 MICROSECOND");
    shop.execute(&format!("UPDATE orders SET pay_by = {soon} WHERE status = 'pending'")).await;
    shop.execute(
        "UPDATE holds JOIN orders ON orders.hold_id = holds.id SET holds.returns_at = orders.pay_by
         WHERE orders.status = 'pending'",
    )
    .await;
}

/// Waits until the database's clock has passed the time that a query returns.
async fn until_past(shop: &Shop, query: &str) {
    let mut conn = shop.sql().await;
    conn.query_drop("SET time_zone = '+00:00'").await.expect("the statement runs");
    let left = format!("SELECT GREATEST(0, TIMESTAMPDIFF(MICROSECOND, NOW(6), ({query})))");
    let left_us: u64 = conn.query_first(left).await.expect("the query runs").expect("a row");
    tokio::time::sleep(std::time::Duration::from_micros(left_us + 1)).await;
}

/// Returns the lines of a hold, `(product, units, state, changes)`.
async fn lines(shop: &Shop, hold_id: &str) -> Vec<(i64, i64, String, i64)> {
    let rows = "SELECT product_id, qty, status, changes FROM holds WHERE id =";
    shop.rows(&format!("{rows} {} ORDER BY product_id", binary(hold_id))).await
}

/// Returns the deadline of a hold or an order, as its body shows it.
async fn deadline(client: &Client, path: &str) -> chrono::DateTime<chrono::FixedOffset> {
    let answer = client.get(path).await.expect(200);
    let field = if path.contains("/orders/") { "pay_by" } else { "expires_at" };
    chrono::DateTime::parse_from_rfc3339(&answer.text(field)).expect("a time")
}

fn hold_path(hold_id: &str) -> String {
    format!("/api/holds/{hold_id}")
}

fn order_path(order_id: &str) -> String {
    format!("/api/orders/{order_id}")
}

/// Changes the units of a hold.
async fn change(client: &Client, hold_id: &str, body: Value) -> Answer {
    client.send(client.request("PATCH", &hold_path(hold_id)).json(&body)).await
}

/// Leaves a hold of one product with so many units.
async fn keep(client: &Client, hold_id: &str, qty: i64) -> Answer {
    change(client, hold_id, json!({ "qty": qty })).await
}

/// Extends a hold or an order.
async fn extend(client: &Client, path: &str, seconds: i64) -> Answer {
    client.post(&format!("{path}/extend"), &json!({ "seconds": seconds })).await
}

async fn extend_keyed(client: &Client, path: &str, seconds: i64, key: &str) -> Answer {
    client.post_keyed(&format!("{path}/extend"), key, &json!({ "seconds": seconds })).await
}

/// Extends beside the test.
fn extending(client: &Client, path: &str, seconds: i64) -> JoinHandle<Answer> {
    let (client, path) = (client.clone(), path.to_owned());
    tokio::spawn(async move { extend(&client, &path, seconds).await })
}

/// Changes the units of a hold beside the test.
fn keeping(client: &Client, hold_id: &str, qty: i64) -> JoinHandle<Answer> {
    let (client, hold_id) = (client.clone(), hold_id.to_owned());
    tokio::spawn(async move { keep(&client, &hold_id, qty).await })
}

/// Makes an order of a hold beside the test.
fn ordering(client: &Client, hold_id: &str) -> JoinHandle<Answer> {
    let (client, hold_id) = (client.clone(), hold_id.to_owned());
    tokio::spawn(async move { client.try_order(&hold_id).await })
}

/// Returns the result of a request beside the test.
async fn answer(request: JoinHandle<Answer>) -> Answer {
    request.await.expect("no panic")
}
