//! The requests of docs/tickets.md work as they are written.

use serde_json::json;

use super::{map, office, seated};
use crate::clients::OPERATOR;
use crate::clients::documented::{requests_at, run};
use crate::support::Shop;

#[tokio::test]
async fn the_requests_of_the_document_about_tickets_succeed() {
    let shop = Shop::open().await;
    let api = office(&shop).await;
    let script = requests_at(include_str!("../../../docs/tickets.md"), api.address());
    assert_eq!(script.matches("curl ").count(), 21);
    run(&script, &[("HOLDFAST_ADMIN_TOKEN", OPERATOR)], &[]).await;
    assert_eq!((seated(&shop, 2).await, map(&api, 1).await.len()), (24, 2));
    assert_eq!([api.available(1).await, api.available(2).await], [396, 19]);
    let states = "SELECT CAST(GROUP_CONCAT(status ORDER BY unit, issue) AS CHAR) FROM tickets";
    assert_eq!(shop.row::<String>(states).await, "void,valid,redeemed");
    assert!(map(&api, 1).await[0].contains(" 8f 9h 10h 11h 12f"));
    assert_eq!(map(&api, 1).await[1], "A-2 1f 2h 2ah 3f");
    assert_eq!(
        api.get("/api/events/1").await.expect(200).body["organizer"],
        json!({ "id": 1, "name": "City Concerts" })
    );
    shop.assert_conserved().await;
}
