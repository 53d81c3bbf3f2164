//! The first contact: secrets in files, names in the address, a port that is in use, and what a browser and a shell see first.

use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::dev::{Folder, dev_with};
use crate::support::Shop;
use crate::support::process::Process;

/// Writes a file with a secret, as a secret store mounts it.
fn secret(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.0.join(name);
    std::fs::write(&path, format!("{text}\n")).expect("the file can be written");
    path.to_str().expect("a path is text").to_owned()
}

fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[tokio::test]
async fn secrets_come_from_files_and_are_no_options() {
    let (shop, folder) = (Shop::open().await, Folder::new("secrets"));
    let token = "a-token-from-a-file";
    let url = secret(&folder, "url", &shop.database.url);
    let (off, admin) = (secret(&folder, "off", "off"), secret(&folder, "token", token));
    let settings = [
        ("HOLDFAST_DATABASE_URL_FILE", url.as_str()),
        ("HOLDFAST_WEBHOOK_SECRETS_FILE", &off),
        ("HOLDFAST_LISTEN", "127.0.0.1:0"),
        ("HOLDFAST_STOREFRONT", "open"),
    ];
    let mut process = Process::start(&["serve", "--admin-token-file", &admin], &settings);
    let client = crate::support::Client::new(process.address().await);
    client.send(client.request("GET", "/api/admin/clients").bearer_auth(token)).await.expect(200);
    process.terminate().await.expect(0);
    Process::run(&["audit", "--database-url-file", &url], &[]).await.expect(0);

    let given = [("HOLDFAST_ADMIN_TOKEN", token), ("HOLDFAST_ADMIN_TOKEN_FILE", &admin)];
    let refused = Process::run(&["serve"], &[&settings[..], &given].concat()).await.expect(2);
    let problem = "HOLDFAST_ADMIN_TOKEN_FILE: HOLDFAST_ADMIN_TOKEN is set, too";
    assert!(refused.err.contains(problem) && !refused.err.contains(token), "{}", refused.err);
    let unreadable = [("HOLDFAST_DATABASE_URL_FILE", "/nowhere/at/all"), ("HOLDFAST_POOL_SIZE", "1")];
    let refused = Process::run(&["serve"], &unreadable).await.expect(2);
    let lines = ["HOLDFAST_DATABASE_URL_FILE: `/nowhere/at/all` cannot be read", "HOLDFAST_POOL_SIZE: `1`"];
    assert!(lines.iter().all(|line| refused.err.contains(line)), "{}", refused.err);
    assert!(!refused.err.contains("HOLDFAST_DATABASE_URL: it is not set"), "{}", refused.err);

    for option in ["--database-url", "--webhook-secrets", "--stripe-secrets", "--admin-token"] {
        let refused = Process::run(&["serve", option, "S3CR3T"], &settings).await.expect(2);
        assert!(refused.err.contains(&format!("'{option}-file'")), "{}", refused.err);
    }
}

#[tokio::test]
async fn the_address_may_be_a_name_which_must_resolve() {
    let shop = Shop::open().await;
    let (process, client) = Process::serve(&shop.database.url, &[("HOLDFAST_LISTEN", "localhost:0")]).await;
    assert!(client.address().ip().is_loopback());
    client.get("/healthz").await.expect(200);
    process.terminate().await.expect(0);
    let nowhere = [("HOLDFAST_LISTEN", "no-such-host.invalid:8080")];
    let refused = Process::run(&["serve"], &nowhere).await.expect(2);
    let problem = "HOLDFAST_LISTEN: `no-such-host.invalid:8080` has no address";
    assert!(refused.err.contains(problem) && refused.err.contains("HOLDFAST_DATABASE_URL"), "{}", refused.err);
}

#[tokio::test]
async fn dev_finds_a_port_that_is_in_use_before_it_starts_a_database() {
    let folder = Folder::new("dev taken");
    let taken = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
    let address = taken.local_addr().expect("an address").to_string();
    let settings = [("HOLDFAST_LISTEN", address.as_str()), ("HOLDFAST_STATSD", "off")];
    let ended = Process::start_in(&folder.0, &["dev"], &settings).ended().await.expect(1);
    let named = ["HOLDFAST_LISTEN", "in use", &address];
    assert!(named.iter().all(|name| ended.err.contains(name)), "{}", ended.err);
    assert!(!folder.0.join(".holdfast").exists(), "no folder was made for a database");
}

#[tokio::test]
async fn dev_says_that_it_ignores_the_url_of_a_database() {
    let folder = Folder::new("dev ignores");
    let url = "mysql://user:S3CR3T@127.0.0.1:1/other";
    for (given, is_said) in [(url, true), ("", false)] {
        let (process, _) = dev_with(&folder, &[("HOLDFAST_DATABASE_URL", given)]).await;
        let ended = process.terminate().await.expect(0);
        let ignored = "HOLDFAST_DATABASE_URL is ignored";
        assert_eq!([ended.out.contains(ignored), ended.err.contains(ignored)], [is_said; 2], "{ended:?}");
        assert!(!ended.out.contains("S3CR3T") && !ended.err.contains("S3CR3T"), "{ended:?}");
    }
}

#[tokio::test]
async fn the_root_leads_a_browser_to_the_document_also_without_a_schema() {
    let shop = Shop::open().await;
    shop.execute("DELETE FROM schema_migrations").await;
    let (process, client) = Process::serve(&shop.database.url, &[("HOLDFAST_RATE_READS", "1")]).await;
    for method in ["GET", "HEAD", "GET"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        let answer = client.raw(request.as_bytes()).await.expect(307);
        assert_eq!((answer.header("location"), answer.text.as_str()), ("/docs", ""), "{method}");
    }
    let page = client.get("/").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "the redirect was followed");
    client.post("/", &serde_json::json!({})).await.refused(405, "method_not_allowed");
    let document = client.get("/openapi.json").await.expect(200).body;
    assert!(document["paths"].get("/").is_none(), "it is no part of the API");
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn a_log_filter_that_mutes_warnings_is_warned_about() {
    let shop = Shop::open().await;
    for (filter, muted) in [("error,holdfast::serve=info", true), ("info,poem=off", false)] {
        let (process, client) = Process::serve(&shop.database.url, &[("HOLDFAST_LOG", filter)]).await;
        client.get("/healthz").await.expect(200);
        let ended = process.terminate().await.expect(0);
        let warning = format!("HOLDFAST_LOG=`{filter}` mutes warnings of holdfast");
        assert_eq!(ended.err.contains(&warning), muted, "{}", ended.err);
    }
}

#[tokio::test]
async fn the_version_names_the_commit_that_is_checked_out() {
    let ended = Process::run(&["--version"], &[]).await.expect(0);
    let git = tokio::process::Command::new("git").args(["rev-parse", "HEAD"]).current_dir(project("")).output().await;
    let commit = git.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let version = format!("holdfast {}", env!("CARGO_PKG_VERSION"));
    let wanted = match commit {
        Some(commit) => format!("{version} ({})", String::from_utf8_lossy(&commit[..12])),
        // built from a tarball
        None => version,
    };
    assert_eq!(ended.out, wanted);
}

#[test]
fn the_readme_names_the_rust_version_that_the_manifest_promises() {
    let read = |name: &str| std::fs::read_to_string(project(name)).expect("a file");
    let manifest = read("Cargo.toml");
    let promised = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("a version");
    let wanted = format!("Rust {} or later", promised.trim_matches('"'));
    for document in ["README.md", "CONTRIBUTING.md"] {
        assert!(read(document).contains(&wanted), "{document}: {wanted}");
    }
}
