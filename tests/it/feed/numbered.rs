//! Positions: without a gap, the same for every reader, and in the order of each order's trail.

use std::sync::Arc;

use holdfast::app::App;
use serde_json::Value;

use super::{assert_as_trails, assert_whole, number, page, read_all, told, types};
use crate::clients::{OPERATOR, managed};
use crate::support::crowd::sent;
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, eventually, mint, together};

#[tokio::test]
async fn a_transaction_that_commits_late_is_told_late_and_nothing_is_passed_over() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (one, other) = (managed(&shop).await, managed(&shop).await);
    let (first, second) = (one.hold(product_id, 1).await, other.hold(product_id, 1).await);
    let commit = one.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let ordering = one.order(&first);
    let meanwhile = async {
        commit.reached().await;
        // the row of the first order has the smaller id, and is not committed
        let order_id = other.order(&second).await;
        let before = told(&other).await;
        assert_eq!(before.iter().map(|event| &event["data"]["order_id"]).collect::<Vec<_>>(), [&order_id]);
        commit.release();
        (order_id, before)
    };
    let (late, (early, before)) = tokio::join!(ordering, meanwhile);
    let events = told(&other).await;
    assert_whole(&events);
    assert_eq!(events[0], before[0], "what was read does not change");
    assert_eq!(events.iter().map(|event| &event["data"]["order_id"]).collect::<Vec<_>>(), [&early, &late]);
}

#[tokio::test]
async fn a_reader_at_work_and_a_late_reader_of_two_instances_read_the_same_events() {
    let shop = Shop::open().await;
    let product_id = shop.product(1_000).await;
    let clients = [Arc::new(managed(&shop).await), Arc::new(managed(&shop).await)];
    let sequencing = clients.iter().map(|client| {
        let app: Arc<App> = Arc::clone(&client.app);
        tokio::spawn(async move {
            loop {
                app.checkout.number_feed().await.expect("the step runs");
                tokio::task::yield_now().await;
            }
        })
    });
    let sequencing: Vec<_> = sequencing.collect();
    let reader = {
        let client = Arc::clone(&clients[0]);
        tokio::spawn(async move {
            let (mut items, mut query) = (Vec::<Value>::new(), "wait=30&limit=7".to_owned());
            while items.iter().filter(|event| event["type"] == "order.refunded").count() < 120 {
                let read = page(&client, OPERATOR, &query).await.expect(200);
                items.extend(read.body["items"].as_array().expect("a list").iter().cloned());
                query = format!("wait=30&limit=7&after={}", read.text("next"));
            }
            items
        })
    };
    let flows = (0..120).map(|place: usize| {
        let clients = [Arc::clone(&clients[place % 2]), Arc::clone(&clients[(place / 2) % 2])];
        async move {
            let (_, order_id) = clients[0].hold_and_order(product_id, 1).await;
            clients[1].pay(&order_id, "paid", &mint()).await.expect(200);
            clients[0].pay(&order_id, "refunded", &mint()).await.expect(200);
        }
    });
    together(flows).await;
    let live = reader.await.expect("the reader reads");
    for task in sequencing {
        task.abort();
    }
    let events = told(&clients[1]).await;
    assert_eq!(events.len(), 360);
    assert_whole(&events);
    assert_as_trails(&shop, &events).await;
    let texts = |events: &[Value]| events.iter().map(Value::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&live), texts(&events));
}

#[tokio::test]
async fn a_row_that_appears_before_those_that_were_numbered_is_found_all_the_same() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = managed(&shop).await;
    client.hold_and_order(product_id, 1).await;
    // a gap between two ids, in which a row appears later
    shop.execute("ALTER TABLE feed_batches AUTO_INCREMENT = 1000").await;
    client.hold_and_order(product_id, 1).await;
    assert_eq!(told(&client).await.len(), 2);
    for (id, batch) in [(500, "00112233445566778899aabbccddeeff"), (-1, "ffeeddccbbaa99887766554433221100")] {
        let row = format!(
            "INSERT INTO feed_batches (id, client_id, items, transitions, batch, events)
             SELECT {id}, client_id, items, transitions, x'{batch}', events FROM feed_batches ORDER BY id DESC LIMIT 1"
        );
        let before = told(&client).await.len();
        shop.execute(&row).await;
        let found = eventually(async || {
            number(&client.app).await;
            read_all(&client, OPERATOR, 100).await.len() > before
        });
        assert!(found.await, "{id}");
        let events = told(&client).await;
        assert_whole(&events);
        assert_eq!(events.last().expect("it was found")["id"], format!("evt_{batch}_0"));
    }
}

#[tokio::test]
async fn more_events_than_one_step_takes_get_their_positions_in_the_order_of_their_rows() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = managed(&shop).await;
    client.hold_and_order(product_id, 1).await;
    let copies = "INSERT INTO feed_batches (client_id, items, transitions, batch, events)
                  SELECT client_id, items, transitions, UNHEX(REPLACE(UUID(), '-', '')), events FROM feed_batches";
    for _ in 0..12 {
        shop.execute(copies).await;
    }
    let events = told(&client).await;
    assert_eq!(events.len(), 4096);
    assert_whole(&events);
    let out_of_order = "SELECT COUNT(*) FROM feed_batches AS one JOIN feed_batches AS next ON next.id = one.id + 1
                        WHERE next.position <= one.position";
    assert_eq!(shop.count(out_of_order).await, 0);
    assert_eq!(types(&events[..1]), ["order.created"]);
    // a reader that wants few of them looks at many at a time
    client.proxy.clear();
    let read = page(&client, OPERATOR, "types=order.paid&limit=1").await.expect(200);
    assert_eq!(read.body["items"].as_array().map(Vec::len), Some(0));
    let reads = sent(&client.proxy, "feed_batches/list_places");
    assert!((2..=10).contains(&reads), "{reads} reads");
    assert_ne!(read.text("next"), page(&client, OPERATOR, "limit=1").await.expect(200).text("next"));
}
