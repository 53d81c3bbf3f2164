//! The audit compares each seat with its ticket type, its hold and its order, and finds each damage.

use std::collections::BTreeSet;

use holdfast::checkout::audit::report::Kind;
use holdfast::domain::Named as _;

use super::held::{named, row_of};
use super::issued::{concert, mixed};
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

#[expect(clippy::too_many_lines, reason = "a table, one entry for each damage")]
#[tokio::test]
async fn each_damage_of_a_ticket_is_found_at_its_order_and_its_repair_leaves_nothing() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(20).await;
    let (event_id, seated, standing) = concert(&client, 8).await;
    let mut orders = Vec::new();
    for status in ["pending", "paid", "refunded"] {
        let order_id = mixed(&client, plain, standing, seated).await;
        for status in ["paid", "refunded"]
            .into_iter()
            .take(["pending", "paid", "refunded"].iter().position(|it| *it == status).unwrap_or(0))
        {
            client.pay(&order_id, status, &mint()).await.expect(200);
        }
        orders.push(order_id);
    }
    shop.assert_conserved().await;
    let [pending, paid, refunded] = [0, 1, 2].map(|n: usize| binary(&orders[n]));
    let columns = "order_id, product_id, unit, issue, event_id, code, seat, status, voided_at";
    let insert = |order: &str, product_id: i64, rest: &str| {
        format!("INSERT INTO tickets ({columns}) VALUES ({order}, {product_id}, {rest})")
    };
    let delete = |rest: &str| format!("DELETE FROM tickets WHERE {rest}");
    let at = |unit: i64| format!("order_id = {paid} AND product_id = {standing} AND unit = {unit}");
    let set = |set: &str, rest: &str| format!("UPDATE tickets SET {set} WHERE {rest}");
    let seat = format!("order_id = {paid} AND product_id = {seated}");
    let label: String = shop.row(&format!("SELECT CAST(seat AS CHAR) FROM tickets WHERE {seat}")).await;
    use Kind::{TicketWrong, TicketsDiffer};
    let (of_pending, of_paid, of_refunded) = (&orders[0], &orders[1], &orders[2]);
    let damages: Vec<(String, String, &str, &[Kind])> = vec![
        // a unit without its ticket, by its state and by its row
        (
            set("status = 'void', voided_at = NOW(6)", &at(1)),
            set("status = 'valid', voided_at = NULL", &at(1)),
            of_paid,
            &[TicketsDiffer],
        ),
        (
            delete(&at(2)),
            insert(&paid, standing, &format!("2, 1, {event_id}, 'c', NULL, 'valid', NULL")),
            of_paid,
            &[TicketsDiffer],
        ),
        // two for one unit, and as many as before
        (
            insert(&paid, standing, &format!("1, 2, {event_id}, 'd', NULL, 'valid', NULL")),
            delete("issue = 2"),
            of_paid,
            &[TicketsDiffer],
        ),
        (set("unit = 3", &at(2)), set("unit = 2", &at(3)), of_paid, &[TicketWrong]),
        // of orders that are not paid
        (
            insert(&pending, standing, &format!("1, 1, {event_id}, 'e', NULL, 'valid', NULL")),
            delete(&format!("order_id = {pending}")),
            of_pending,
            &[TicketsDiffer],
        ),
        (
            set("status = 'valid', voided_at = NULL", &format!("order_id = {refunded} AND product_id = {standing}")),
            set("status = 'void', voided_at = NOW(6)", &format!("order_id = {refunded} AND product_id = {standing}")),
            of_refunded,
            &[TicketsDiffer],
        ),
        // for what the order does not have
        (
            insert(&paid, plain, &format!("1, 1, {event_id}, 'f', NULL, 'valid', NULL")),
            delete(&format!("product_id = {plain}")),
            of_paid,
            &[TicketWrong],
        ),
        (set("seat = 'A-1-1'", &seat), set(&format!("seat = '{label}'"), &seat), of_paid, &[TicketWrong]),
        (set("seat = NULL", &seat), set(&format!("seat = '{label}'"), &seat), of_paid, &[TicketWrong, TicketsDiffer]),
        (set("event_id = 4711", &at(1)), set(&format!("event_id = {event_id}"), &at(1)), of_paid, &[TicketWrong]),
        // times that do not fit
        (set("redeemed_at = NOW(6)", &at(1)), set("redeemed_at = NULL", &at(1)), of_paid, &[TicketWrong]),
        (set("status = 'redeemed'", &at(1)), set("status = 'valid'", &at(1)), of_paid, &[TicketWrong]),
        (set("voided_at = NOW(6)", &at(1)), set("voided_at = NULL", &at(1)), of_paid, &[TicketWrong]),
    ];
    for (damage, repair, order_id, kinds) in damages {
        assert!(shop.execute(&damage).await > 0, "{damage}");
        let report = audit(&client.app).await;
        let kinds: BTreeSet<(&str, String)> = kinds.iter().map(|kind| (kind.as_str(), order_id.to_owned())).collect();
        let found: BTreeSet<_> =
            report.findings.iter().map(|finding| (finding.kind.as_str(), finding.id.clone())).collect();
        assert_eq!(found, kinds, "{damage}: {report}");
        shop.execute(&repair).await;
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn an_order_that_an_older_version_paid_without_tickets_is_found() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, _, standing) = concert(&client, 1).await;
    let (hold_id, order_id) = client.hold_and_order(standing, 1).await;
    // it writes neither what tells the payment of tickets, nor these
    shop.execute(&format!("UPDATE holds SET seats = NULL WHERE id = {}", binary(&hold_id))).await;
    shop.execute(&format!("UPDATE orders SET seats = NULL WHERE id = {}", binary(&order_id))).await;
    shop.serve_without_workers().await.pay(&order_id, "paid", "key").await.expect(200);
    let report = audit(&client.app).await;
    let [finding] = report.findings.as_slice() else { panic!("{report}") };
    assert_eq!((finding.kind, &finding.id), (Kind::TicketsDiffer, &order_id));
    assert_eq!(finding.detail, format!("it is paid and has 0 tickets for 0 of 1 units of the ticket type {standing}"));
}
