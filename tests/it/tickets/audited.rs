//! The audit compares each seat with its ticket type, its hold and its order, and finds each damage.

use std::collections::BTreeSet;

use holdfast::checkout::audit::report::Kind;
use holdfast::domain::Named as _;

use super::held::{named, row_of};
use super::office;
use crate::audit::audit;
use crate::support::{Shop, binary, mint};

#[tokio::test]
async fn each_damage_of_a_seat_is_found_at_its_ticket_type_and_its_repair_leaves_nothing() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = row_of(&client, 8).await;
    let held = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
    let mut orders = Vec::new();
    for seat in ["A-1-3", "A-1-4", "A-1-5"] {
        let hold_id = named(&client, product_id, &[seat]).await.expect(201).text("hold_id");
        orders.push(client.order(&hold_id).await);
    }
    for (order_id, status) in [(&orders[1], "paid"), (&orders[2], "paid"), (&orders[2], "refunded")] {
        client.pay(order_id, status, &mint()).await.expect(200);
    }
    let released = named(&client, product_id, &["A-1-7"]).await.expect(201).text("hold_id");
    client.release(&released).await.expect(200);
    shop.assert_conserved().await;

    let seat = |label: &str, set: &str| format!("UPDATE seats SET {set} WHERE label = '{label}'");
    let (held, released) = (binary(&held), binary(&released));
    let of_hold = |set: &str| format!("UPDATE holds SET {set} WHERE id = {held}");
    let own = format!("hold_id = {held}");
    use Kind::{SeatSoldWrongly, SeatWithoutHold, SeatsNotConserved};
    let damages: Vec<(String, String, &[Kind])> = vec![
        // a unit without its seat, and a seat without its unit
        (seat("A-1-1", "hold_id = NULL"), seat("A-1-1", &own), &[SeatsNotConserved]),
        (seat("A-1-8", &own), seat("A-1-8", "hold_id = NULL"), &[SeatsNotConserved, SeatWithoutHold]),
        (
            format!("UPDATE products SET stock = stock + 1 WHERE id = {product_id}"),
            format!("UPDATE products SET stock = stock - 1 WHERE id = {product_id}"),
            &[SeatsNotConserved],
        ),
        // as many as before
        (
            format!("UPDATE seats SET hold_id = IF(label = 'A-1-1', NULL, {held}) WHERE label IN ('A-1-1', 'A-1-8')"),
            format!("UPDATE seats SET hold_id = IF(label = 'A-1-8', NULL, {held}) WHERE label IN ('A-1-1', 'A-1-8')"),
            &[SeatWithoutHold],
        ),
        (seat("A-1-1", "hold_id = x'0011'"), seat("A-1-1", &own), &[SeatWithoutHold]),
        (of_hold("seats = 'A-1-11\nA-1-2'"), of_hold("seats = 'A-1-1\nA-1-2'"), &[SeatWithoutHold]),
        (of_hold("seats = NULL"), of_hold("seats = 'A-1-1\nA-1-2'"), &[SeatWithoutHold]),
        // of a hold whose units are back on sale
        (
            seat("A-1-7", &format!("hold_id = {released}")),
            seat("A-1-7", "hold_id = NULL"),
            &[SeatsNotConserved, SeatWithoutHold],
        ),
        // free, held, ordered, paid, and refunded without restock
        (seat("A-1-8", "sold = TRUE"), seat("A-1-8", "sold = FALSE"), &[SeatSoldWrongly]),
        (seat("A-1-1", "sold = TRUE"), seat("A-1-1", "sold = FALSE"), &[SeatSoldWrongly]),
        (seat("A-1-3", "sold = TRUE"), seat("A-1-3", "sold = FALSE"), &[SeatSoldWrongly]),
        (seat("A-1-4", "sold = FALSE"), seat("A-1-4", "sold = TRUE"), &[SeatSoldWrongly]),
        (seat("A-1-5", "sold = FALSE"), seat("A-1-5", "sold = TRUE"), &[SeatSoldWrongly]),
    ];
    for (damage, repair, kinds) in damages {
        assert!(shop.execute(&damage).await > 0, "{damage}");
        let report = audit(&client.app).await;
        let kinds: BTreeSet<(&str, String)> =
            kinds.iter().map(|kind| (kind.as_str(), product_id.to_string())).collect();
        let found = report.findings.iter().map(|finding| (finding.kind.as_str(), finding.id.clone()));
        let found: BTreeSet<_> = found.filter(|(kind, _)| *kind != "units_not_conserved").collect();
        assert_eq!(found, kinds, "{damage}: {report}");
        shop.execute(&repair).await;
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_seated_type_that_has_lost_all_of_its_seats_is_found() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = row_of(&client, 2).await;
    shop.product(5).await;
    shop.assert_conserved().await;
    shop.execute("DELETE FROM seats").await;
    let report = audit(&client.app).await;
    let [finding] = report.findings.as_slice() else { panic!("{report}") };
    assert_eq!((finding.kind, &finding.id), (Kind::SeatsNotConserved, &product_id.to_string()));
    assert_eq!(finding.detail, "0 of 0 seats are taken, of 2 units 0 are reserved");
}
