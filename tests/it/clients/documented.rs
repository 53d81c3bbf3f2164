//! The requests of docs/shop.md work as they are written.

use std::process::Stdio;

use holdfast::config::Config;
use holdfast::domain::{AdminToken, Role, WebhookAuth};
use serde_json::json;
use tokio::process::Command;

use super::{OPERATOR, add};
use crate::support::Shop;

/// `curl` as the document uses it; it fails unless the answer is 2xx.
pub(crate) const CURL: &str = r#"
    curl() {
        code=$(command curl -s -o answer -w '%{http_code}' "$@") || return 1
        case $code in 2*) cat answer ;; *) echo "$code for: $*" >&2; cat answer >&2; exit 1 ;; esac
    }
    set -euo pipefail
"#;

/// Returns the requests of the document: indented blocks with `curl`, without those that make keys of their own.
pub(crate) fn requests(document: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in document.lines() {
        match line.strip_prefix("    ") {
            Some(line) => {
                let block = blocks.last_mut().expect("a block");
                *block = format!("{block}{line}\n");
            }
            None if line.is_empty() => {}
            None => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| block.contains("curl") && !block.contains("openssl pkey"));
    // an answer that is shown behind its request
    blocks.iter().map(|block| block.lines().filter(|line| !line.starts_with("{\"")).fold(String::new(), join)).collect()
}

fn join(text: String, line: &str) -> String {
    format!("{text}{line}\n")
}

#[tokio::test]
async fn the_requests_of_the_shops_document_succeed() {
    let shop = Shop::open().await;
    assert_eq!([shop.product(100).await, shop.product(100).await], [1, 2]);
    let config = Config { admin_token: AdminToken::new(OPERATOR), webhook_auth: WebhookAuth::Token, ..shop.config() };
    let api = shop.serve_without_workers_as(config).await;
    let storefront = add(&api.app, "a-shop", Role::Storefront).await;
    let provider = add(&api.app, "a-provider", Role::Provider).await;
    let (_, order_id) = api.hold_and_order(1, 1).await;
    let tag = api.get("/api/products/1").await.header("etag").to_owned();
    let folder = std::env::temp_dir().join(format!("holdfast-documented-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir(&folder).expect("a folder");
    let product = json!({ "sku": "a", "name": "A", "price_minor": 1, "currency": "EUR", "stock": 1 });
    std::fs::write(folder.join("products.json"), json!({ "items": [product] }).to_string()).expect("a file");

    let document = include_str!("../../../docs/shop.md");
    let requests = requests(document);
    assert!(requests.len() >= 6, "{requests:?}");
    let script = requests.concat().replace("http://127.0.0.1:8080", &format!("http://{}", api.address()));
    let script = script.replace("\"order_id\":\"…\"", &format!("\"order_id\":\"{order_id}\""));
    let script = script.replace("\"1f2e3d4c5b6a798081828384\"", &tag);
    // this product's terms are in the tag only until one of the requests changes them
    let ran = Command::new("bash")
        .args(["-c", &format!("{CURL}\n{script}")])
        .current_dir(&folder)
        .env("HOLDFAST_ADMIN_TOKEN", OPERATOR)
        .env("ADMIN", OPERATOR)
        .env("TOKEN", storefront.token)
        .env("PROVIDER", provider.token)
        .env("SHOP", format!("http://{}", api.address()))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("bash can be started");
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    assert!(ran.status.success(), "{}\n{script}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(api.order_status(&order_id).await, "paid");
    shop.assert_conserved().await;
}
