//! The audit recounts the counters of units and finds each damage.

use std::num::NonZeroU32;

use holdfast::checkout::audit::report::Kind;

use super::{limited, taken};
use crate::audit::audit;
use crate::support::{Shop, binary, with_policy};

#[tokio::test]
async fn a_counter_that_is_wrong_and_a_mark_that_is_lost_are_found_where_they_are() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let config = with_policy(shop.config(), |policy| policy.max_held_units = NonZeroU32::new(10));
    let client = shop.serve_without_workers_as(config).await;
    let hold_id = taken(&client, product_id, 2, "b").await;
    taken(&client, product_id, 1, "c").await;
    client.order(&taken(&client, product_id, 1, "c").await).await;
    shop.assert_conserved().await;

    let hold = binary(&hold_id);
    let of_hold = |mark: &str| format!("(SELECT {mark} FROM holds WHERE id = {hold})");
    let name = async |mark: &str| shop.row::<String>(&format!("SELECT LOWER(HEX({}))", of_hold(mark))).await;
    let (of_buyer, held) = (name("counted_on").await, name("held_on").await);
    let counter = |set: &str, id: &str| format!("UPDATE buyer_units SET units = units {set} WHERE id = x'{id}'");
    let mark = |set: &str| format!("UPDATE holds SET {set} WHERE id = {hold}");
    let damages = [
        (counter("+ 1", &of_buyer), counter("- 1", &of_buyer), Kind::CounterWrong, of_buyer.clone()),
        (counter("- 1", &of_buyer), counter("+ 1", &of_buyer), Kind::CounterWrong, of_buyer.clone()),
        (counter("- 5", &of_buyer), counter("+ 5", &of_buyer), Kind::CounterWrong, of_buyer.clone()),
        (counter("+ 1", &held), counter("- 1", &held), Kind::CounterWrong, held.clone()),
        (
            format!("DELETE FROM buyer_units WHERE id = x'{of_buyer}'"),
            format!("INSERT INTO buyer_units (id, units) VALUES (x'{of_buyer}', 2)"),
            Kind::CounterWrong,
            of_buyer.clone(),
        ),
        (
            "INSERT INTO buyer_units (id, units) VALUES ('no buyer has it', 33)".to_owned(),
            "DELETE FROM buyer_units WHERE units = 33".to_owned(),
            Kind::CounterWrong,
            "6e6f20627579657220686173206974".to_owned(),
        ),
        (
            mark("counted_on = NULL"),
            mark(&format!("counted_on = x'{of_buyer}'")),
            Kind::UnitsNotCounted,
            hold_id.clone(),
        ),
        (mark("held_on = NULL"), mark(&format!("held_on = x'{held}'")), Kind::CounterWrong, held.clone()),
    ];
    for (damage, repair, kind, id) in damages {
        assert!(shop.execute(&damage).await > 0, "{damage}");
        let report = audit(&client.app).await;
        let found = report.findings.iter().any(|finding| finding.kind == kind && finding.id.starts_with(&id));
        assert!(found, "{damage}: {report}");
        shop.execute(&repair).await;
        shop.assert_conserved().await;
    }
    // units that are counted on another buyer leave the sum as it is
    let swap = format!("UPDATE buyer_units SET units = units + IF(id = x'{of_buyer}', 1, -1) WHERE id <> x'{held}'");
    shop.execute(&swap).await;
    assert_eq!(audit(&client.app).await.findings.len(), 2);
}
