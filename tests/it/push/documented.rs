//! The requests of docs/push.md work as they are written.

use holdfast::domain::Role;

use super::{ENDPOINTS, ask};
use crate::clients::documented::{requests_at, run};
use crate::clients::{OPERATOR, add, managed};
use crate::support::Shop;

#[tokio::test]
async fn the_requests_of_the_document_about_pushes_succeed() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    add(&api.app, "a-shop", Role::Storefront).await;
    // the endpoint begins behind the event that the document replays
    shop.execute("UPDATE feed SET position = 50, safe = 50").await;
    let script = requests_at(include_str!("../../../docs/push.md"), api.address());
    assert_eq!(script.matches("curl ").count(), 9);
    run(&script, &[("HOLDFAST_ADMIN_TOKEN", OPERATOR)], &[]).await;
    let ended = ask(&api, "GET", &format!("{ENDPOINTS}/1"), None).await.expect(200);
    assert!(ended.body["deleted_at"].is_string(), "{ended:?}");
}
