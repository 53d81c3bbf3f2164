//! Counts that begin again: a step of an earlier count never ends a later one, and no count keeps another product waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::counting::{STATE, count_all, many_holds, set_limit};
use super::{LIMIT, counted, operated, refused_over_limit, take, taken};
use crate::support::Shop;
use crate::support::proxy::{Action, Rule};

#[tokio::test]
async fn a_step_of_a_count_does_not_end_the_next_count_of_the_same_limit() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (worker, client) = (operated(&shop).await, operated(&shop).await);
    for sold_before in [false, true] {
        if sold_before {
            // with holds, the step reads them all before it notes the end
            client.hold(product_id, 1).await;
        }
        set_limit(&client, product_id, Some(LIMIT)).await;
        let note = worker.proxy.on("-- products/note_counted:", Action::PauseBefore);
        let app = Arc::clone(&worker.app);
        let counting = tokio::spawn(async move { app.checkout.count_limited_units().await });
        note.reached().await;
        set_limit(&client, product_id, None).await;
        let hold_id = taken(&client, product_id, 3, "b").await;
        set_limit(&client, product_id, Some(LIMIT)).await;
        note.release();
        counting.await.expect("no panic").expect("a worker's step");
        count_all(&worker.app).await;
        assert_eq!((shop.row::<String>(STATE).await.as_str(), counted(&shop, product_id, "b").await), ("enforced", 3));
        refused_over_limit(&take(&client, product_id, 2, "b").await, 3);
        shop.assert_conserved().await;
        client.release(&hold_id).await.expect(200);
        set_limit(&client, product_id, None).await;
    }
}

#[tokio::test]
async fn a_count_that_an_earlier_version_or_another_program_began_goes_on() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = operated(&shop).await;
    taken(&client, product_id, 3, "b").await;
    let began = format!("SET max_per_buyer = {LIMIT}, limit_state = 'counting', limit_counted_to = NULL");
    shop.execute(&format!("UPDATE products {began}")).await;
    count_all(&client.app).await;
    assert_eq!((shop.row::<String>(STATE).await.as_str(), counted(&shop, product_id, "b").await), ("enforced", 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_limit_that_another_program_sets_or_removes_is_seen_while_another_product_is_counted() {
    let shop = Shop::open().await;
    let (long, removed, set) = (shop.product(100_000).await, shop.product(10).await, shop.product(10).await);
    many_holds(&shop, long, 4_500, 10).await;
    let client = operated(&shop).await;
    shop.execute(&format!("UPDATE products SET limit_state = 'enforced' WHERE id = {removed}")).await;
    set_limit(&client, long, Some(LIMIT)).await;
    shop.execute(&format!("UPDATE products SET max_per_buyer = {LIMIT} WHERE id = {set}")).await;
    for _ in 0..2 {
        assert!(client.app.checkout.count_limited_units().await.expect("a worker's step"));
    }
    let state = async |id: i64| {
        shop.row::<String>(&format!("SELECT COALESCE(limit_state, 'none') FROM products WHERE id = {id}")).await
    };
    assert_eq!((state(removed).await.as_str(), state(set).await.as_str()), ("none", "counting"));
    count_all(&client.app).await;
    assert_eq!((state(long).await.as_str(), state(set).await.as_str()), ("enforced", "enforced"));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_step_that_takes_long_notes_the_place_that_it_has_reached() {
    let shop = Shop::open().await;
    let (product_id, other) = (shop.product(10).await, shop.product(100_000).await);
    many_holds(&shop, other, 4_500, 10).await;
    let client = operated(&shop).await;
    let hold_id = taken(&client, product_id, 3, "b").await;
    set_limit(&client, product_id, Some(LIMIT)).await;
    let (began, looks) = (Instant::now(), AtomicU32::new(0));
    // each page takes 300 ms
    let now = || began + Duration::from_millis(300) * looks.fetch_add(1, Ordering::Relaxed);
    let place = async || shop.row::<String>("SELECT HEX(limit_counted_to) FROM products WHERE max_per_buyer > 0").await;
    assert!(client.app.checkout.count_limited_units_by(&now).await.expect("a worker's step"));
    assert_eq!(place().await, format!("{:032X}", 4_000), "two pages of the other product");
    assert!(client.app.checkout.count_limited_units_by(&now).await.expect("a worker's step"));
    assert_eq!(counted(&shop, product_id, "b").await, 3);
    client.release(&hold_id).await.expect(200);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_step_that_does_not_end_in_time_is_repeated_with_smaller_pages() {
    let shop = Shop::open().await;
    let product_id = shop.product(100_000).await;
    many_holds(&shop, product_id, 4_500, 10).await;
    let client = operated(&shop).await;
    set_limit(&client, product_id, Some(LIMIT)).await;
    let locked = client.proxy.on(Rule::from("-- holds/list_uncounted:").always(), Action::DEADLOCK);
    client.app.checkout.count_limited_units().await.expect_err("every attempt fails");
    drop(locked);
    assert!(client.app.checkout.count_limited_units().await.expect("a worker's step"));
    let place = shop.row::<String>("SELECT HEX(limit_counted_to) FROM products").await;
    assert_eq!(place, format!("{:032X}", 1_000));
    count_all(&client.app).await;
    assert_eq!(counted(&shop, product_id, "b3").await, 4_500);
    shop.assert_conserved().await;
}
