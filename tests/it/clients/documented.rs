//! The requests of docs/shop.md work as they are written.

use std::process::Stdio;

use holdfast::config::Config;
use holdfast::domain::{AdminToken, Role, WebhookAuth};
use serde_json::json;
use tokio::process::Command;

use super::{OPERATOR, add};
use crate::support::Shop;

/// `curl` as the documents use it; it keeps each answer, and fails unless that is 2xx.
const CURL: &str = r#"
    curl() {
        code=$(command curl -s -o answer -w '%{http_code}' "$@") || return 1
        case $code in 2*) cat answer; { cat answer; echo; } >>answers ;; *) echo "$code for: $*" >&2; cat answer >&2; exit 1 ;; esac
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

/// Runs requests in a folder of its own, with these variables and files, and returns the answers, one on each line. Every answer must be
/// 2xx.
pub(crate) async fn run(script: &str, variables: &[(&str, &str)], files: &[(&str, String)]) -> String {
    let folder = std::env::temp_dir().join(format!("holdfast-documented-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir(&folder).expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let ran = Command::new("bash")
        .args(["-c", &format!("{CURL}\n{script}")])
        .current_dir(&folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("bash can be started");
    let answers = std::fs::read_to_string(folder.join("answers")).unwrap_or_default();
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    assert!(ran.status.success(), "{}\n{script}", String::from_utf8_lossy(&ran.stderr));
    answers
}

/// Returns the requests of a document with the address of this service.
pub(crate) fn requests_at(document: &str, address: impl std::fmt::Display) -> String {
    requests(document).concat().replace("http://127.0.0.1:8080", &format!("http://{address}"))
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
    let product = json!({ "sku": "a", "name": "A", "price_minor": 1, "currency": "EUR", "stock": 1 });
    let products = ("products.json", json!({ "items": [product] }).to_string());
    let document = include_str!("../../../docs/shop.md");
    assert!(requests(document).len() >= 6, "{:?}", requests(document));
    let script = requests_at(document, api.address());
    let script = script.replace("\"order_id\":\"…\"", &format!("\"order_id\":\"{order_id}\""));
    // this product's terms are in the tag only until one of the requests changes them
    let script = script.replace("\"1f2e3d4c5b6a798081828384\"", &tag);
    let place = format!("http://{}", api.address());
    let tokens = [("HOLDFAST_ADMIN_TOKEN", OPERATOR), ("ADMIN", OPERATOR), ("TOKEN", &*storefront.token)];
    let variables = [&tokens[..], &[("PROVIDER", &*provider.token), ("SHOP", &*place)]].concat();
    run(&script, &variables, &[products]).await;
    assert_eq!(api.order_status(&order_id).await, "paid");
    shop.assert_conserved().await;
}
