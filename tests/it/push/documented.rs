//! The requests of docs/push.md work as they are written.

use std::process::Stdio;

use holdfast::domain::Role;
use tokio::process::Command;

use super::{ENDPOINTS, ask};
use crate::clients::documented::{CURL, requests};
use crate::clients::{OPERATOR, add, managed};
use crate::support::Shop;

#[tokio::test]
async fn the_requests_of_the_document_about_pushes_succeed() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    add(&api.app, "a-shop", Role::Storefront).await;
    // the endpoint begins behind the event that the document replays
    shop.execute("UPDATE feed SET position = 50, safe = 50").await;
    let requests = requests(include_str!("../../../docs/push.md"));
    assert_eq!(requests.concat().matches("curl ").count(), 9);
    let script = requests.concat().replace("http://127.0.0.1:8080", &format!("http://{}", api.address()));
    let folder = std::env::temp_dir().join(format!("holdfast-push-{}", uuid::Uuid::now_v7().simple()));
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
    let ended = ask(&api, "GET", &format!("{ENDPOINTS}/1"), None).await.expect(200);
    assert!(ended.body["deleted_at"].is_string(), "{ended:?}");
}
