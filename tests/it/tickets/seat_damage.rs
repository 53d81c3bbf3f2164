//! Due rows whose seats cannot be given back, because these were changed by hand: they delay no other row, the audit finds them, and
//! they come back once the seats are repaired as docs/operations.md says.

use holdfast::app::App;
use holdfast::checkout::audit::report::Kind;

use super::held::{agrees, named, row_of};
use super::{map, office};
use crate::audit::audit;
use crate::support::{Shop, binary};

async fn drain(app: &App) {
    while app.checkout.expire_holds().await.expect("the step runs") {}
    while app.checkout.cancel_overdue_orders().await.expect("the step runs") {}
}

#[tokio::test]
async fn a_hold_and_an_order_that_have_lost_a_seat_delay_no_others_and_come_back_once_it_is_repaired() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 6).await;
    let damaged = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
    let ordered = named(&client, product_id, &["A-1-3", "A-1-4"]).await.expect(201).text("hold_id");
    let order_id = client.order(&ordered).await;
    let sound = named(&client, product_id, &["A-1-5"]).await.expect(201).text("hold_id");
    let sound_order = client.order(&named(&client, product_id, &["A-1-6"]).await.expect(201).text("hold_id")).await;
    shop.execute("UPDATE seats SET hold_id = NULL WHERE label IN ('A-1-1', 'A-1-3')").await;
    shop.let_holds_run_out().await;
    for order_id in [&order_id, &sound_order] {
        shop.let_order_run_out(order_id).await;
    }
    // a buyer that asks before a worker looks
    named(&client, product_id, &["A-1-2"]).await.refused(409, "seat_taken");
    drain(&client.app).await;
    let state = async |hold_id: &str| {
        let query = format!("SELECT CAST(status AS CHAR) FROM holds WHERE id = {}", binary(hold_id));
        shop.row::<String>(&query).await
    };
    assert_eq!([state(&damaged).await, state(&sound).await], ["active", "expired"]);
    let states = [client.order_status(&order_id).await, client.order_status(&sound_order).await];
    assert_eq!(states, ["pending", "cancelled"]);
    assert_eq!(map(&client, event_id).await, ["A-1 1f 2h 3f 4h 5f 6f"]);
    let found: Vec<Kind> = audit(&client.app).await.counts.iter().map(|&(kind, _)| kind).collect();
    assert_eq!(found, [Kind::SeatsNotConserved]);
    let tries = || client.proxy.statements().iter().filter(|text| text.starts_with("-- holds/expire:")).count();
    let before = tries();
    drain(&client.app).await;
    assert_eq!(tries(), before, "it is passed over");

    for (label, hold_id) in [("A-1-1", &damaged), ("A-1-3", &ordered)] {
        let place = format!("product_id = {product_id} AND label = '{label}' AND hold_id IS NULL");
        shop.execute(&format!("UPDATE seats SET hold_id = {} WHERE {place}", binary(hold_id))).await;
    }
    drain(&shop.app()).await;
    assert_eq!(
        (map(&client, event_id).await, agrees(&shop, product_id).await),
        (vec!["A-1 1f 2f 3f 4f 5f 6f".to_owned()], 0)
    );
    shop.assert_conserved().await;
}
