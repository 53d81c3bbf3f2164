//! `holdfast client`, the real binary.

use crate::support::process::Process;
use crate::support::{Shop, eventually};

use super::{Signer, ask};

/// Returns the token on the last line.
fn token(out: &str) -> String {
    out.lines().last().expect("a line").to_owned()
}

#[tokio::test]
async fn clients_are_managed_from_the_command_line() {
    let shop = Shop::open().await;
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];
    let run = async |arguments: &[&str], code: i32| {
        Process::run(&[&["client"], arguments].concat(), &settings).await.expect(code)
    };
    let first = token(&run(&["add", "shop", "--role", "storefront"], 0).await.out);
    assert!(first.starts_with("hf_storefront_"));
    let (process, client) = Process::serve(&shop.database.url, &[]).await;
    let is_live = async |token: &str| ask(&client, "GET", "/api/products", token).await.status == 200;
    assert!(is_live(&first).await, "serve is ready for tokens from its first request on");

    let taken = run(&["add", "shop", "--role", "gate"], 1).await;
    assert!(taken.err.contains("has or had this name") && taken.out.is_empty(), "{}", taken.err);
    run(&["add", "x", "--role", "owner"], 2).await;
    run(&["rotate", "unknown"], 1).await;

    let second = token(&run(&["rotate", "shop"], 0).await.out);
    assert!(eventually(async || is_live(&second).await).await && is_live(&first).await);
    let ended = run(&["end-old", "shop"], 0).await.out;
    assert!(ended.contains("one token") && !ended.contains("hf_"), "{ended}");
    assert!(eventually(async || !is_live(&first).await).await && is_live(&second).await);
    let third = token(&run(&["rotate", "shop", "--end-old"], 0).await.out);
    assert!(eventually(async || !is_live(&second).await).await && is_live(&third).await);

    let signer = Signer::new(7, "k1");
    run(&["key", "add", "shop", "k1", &signer.public_key()], 0).await;
    run(&["key", "add", "shop", "k2", "no key"], 1).await;
    let listed = run(&["list"], 0).await.out;
    assert!(listed.contains(&format!("shop\tstorefront\tone token\tkey k1 {}", signer.public_key())), "{listed}");
    let storefront = super::Added { id: 1, name: "shop".to_owned(), token: String::new() };
    let buyers_token = signer.token(&storefront, "b");
    assert!(eventually(async || is_live(&buyers_token).await).await);
    run(&["key", "remove", "shop", "k1"], 0).await;
    assert!(eventually(async || !is_live(&buyers_token).await).await);

    for _ in 0..2 {
        assert!(run(&["revoke", "shop"], 0).await.out.contains("revoked"));
    }
    assert!(eventually(async || !is_live(&third).await).await);
    let operators: Vec<String> = shop.rows("SELECT DISTINCT operator FROM client_trail").await;
    assert_eq!(operators, ["command-line"]);
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn serve_must_be_told_whether_the_storefront_is_open() {
    let shop = Shop::open().await;
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str()), ("HOLDFAST_WEBHOOK_SECRETS", "off")];
    let ended = Process::run(&["serve"], &settings).await.expect(2);
    assert!(ended.err.contains("HOLDFAST_STOREFRONT: it is not set"), "{}", ended.err);
    assert!(ended.err.contains("`open`") && ended.err.contains("`token`"), "{}", ended.err);
    for (variable, value) in [("HOLDFAST_STOREFRONT", "ajar"), ("HOLDFAST_WEBHOOK_AUTH", "both")] {
        let ended = Process::run(&["serve"], &[&settings[..], &[(variable, value)]].concat()).await.expect(2);
        assert!(ended.err.contains(variable), "{}", ended.err);
    }
}
