//! The requests of docs/tickets.md work as they are written.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::{map, office, seated};
use crate::clients::OPERATOR;
use crate::clients::documented::{CURL, requests};
use crate::support::Shop;

#[tokio::test]
async fn the_requests_of_the_document_about_tickets_succeed() {
    let shop = Shop::open().await;
    let api = office(&shop).await;
    let requests = requests(include_str!("../../../docs/tickets.md"));
    assert_eq!(requests.concat().matches("curl ").count(), 21);
    let script = requests.concat().replace("http://127.0.0.1:8080", &format!("http://{}", api.address()));
    let folder = std::env::temp_dir().join(format!("holdfast-tickets-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir(&folder).expect("a folder");
    let ran = Command::new("bash")
        .args(["-c", &format!("{CURL}\n{script}")])
        .current_dir(&folder)
        .env("HOLDFAST_ADMIN_TOKEN", OPERATOR)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("bash can be started");
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    assert!(ran.status.success(), "{}\n{script}", String::from_utf8_lossy(&ran.stderr));
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
