//! `holdfast dev`: its banner sells, and its private database starts, keeps its data and ends with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mysql_async::prelude::Queryable;
use serde_json::json;
use tokio::process::Command;

use crate::push::example::Ran;
use crate::support::process::Process;
use crate::support::server::connect;
use crate::support::{Client, eventually, mint};

/// A folder for one `dev`, removed with this value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name} {}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder can be made");
        Self(path)
    }

    /// Counts the server processes of the database in this folder.
    pub(crate) fn database_processes(&self) -> usize {
        let mark = format!("--datadir={}", self.0.join(".holdfast/data").display());
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        commands.filter(|command| command.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())).count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) const DEV: [(&str, &str); 3] =
    [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_STATSD", "off"), ("HOLDFAST_SEED_STOCK", "50")];

/// Starts `holdfast dev` in that folder; returns once its banner is complete.
async fn dev(folder: &Folder) -> (Process, Client) {
    dev_with(folder, &[]).await
}

/// Like [`dev`], with more settings.
pub(crate) async fn dev_with(folder: &Folder, settings: &[(&str, &str)]) -> (Process, Client) {
    let mut process = Process::start_in(&folder.0, &["dev"], &[&DEV, settings].concat());
    let client = Client::new(process.address().await);
    assert!(eventually(async || process.out.text().contains("Ctrl-C")).await, "{}", process.out.text());
    (process, client)
}

/// Returns the commands of the banner as one command line.
fn commands(banner: &str) -> String {
    let lines = banner.lines().map(|line| line.trim().trim_start_matches("Sell").trim_start());
    lines.filter(|line| line.contains("curl")).collect::<Vec<_>>().join(" && ")
}

/// Returns the folder in which the database that the banner names keeps its temporary files.
async fn temporary_files(banner: &str) -> PathBuf {
    let url =
        banner.split_whitespace().find(|word| word.starts_with("mysql://")).expect("the banner names its database");
    let place = connect(url).await.query_first::<String, _>("SELECT @@tmpdir").await;
    place.expect("the query runs").expect("a row").into()
}

#[tokio::test]
async fn dev_sells_with_the_commands_of_its_banner_and_keeps_its_data() {
    let folder = Folder::new("dev sells");
    let (process, client) = dev(&folder).await;
    let banner = process.out.text();
    assert!(banner.contains(&format!("http://{}/docs", client.address())), "{banner}");
    client.get("/docs").await.expect(200);
    let token = banner.split_once("with the token ").and_then(|(_, rest)| rest.split(',').next()).expect("a token");
    client.send(client.request("GET", "/api/admin/clients").bearer_auth(token)).await.expect(200);
    let temporary = temporary_files(&banner).await;
    assert!(
        temporary.starts_with(&folder.0),
        "another server that starts would remove its files in {}",
        temporary.display()
    );
    let commands = commands(&banner);
    assert_eq!(commands.matches("curl").count(), 3, "{banner}");
    let sold = Command::new("bash").args(["-c", &commands]).output().await.expect("bash can be started");
    let said = String::from_utf8_lossy(&sold.stdout);
    assert!(sold.status.success() && said.contains(r#""status":"processed""#), "{commands}\n{sold:?}");
    assert_eq!(client.available(1).await, 49);
    client.pay(&mint(), "paid", "unsigned").await.refused(401, "invalid_signature");

    let second = Process::start_in(&folder.0, &["dev"], &DEV).ended().await.expect(1);
    assert!(second.err.contains("already in use by process"), "{}", second.err);
    assert!(folder.database_processes() > 0);
    process.terminate().await.expect(0);
    assert_eq!(folder.database_processes(), 0, "the database ends before the command does");

    let (process, client) = dev(&folder).await;
    assert_eq!(client.available(1).await, 49, "what was sold stays sold");
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn dev_names_the_command_of_the_example_shop_which_works_in_any_terminal() {
    let folder = Folder::new("dev shop");
    let token = "a-token-that-is-given";
    for settings in [vec![], vec![("HOLDFAST_ADMIN_TOKEN", token), ("HOLDFAST_WEBHOOK_SECRETS", "off")]] {
        let (process, client) = dev_with(&folder, &settings).await;
        let banner = process.out.text();
        let line = banner.lines().find_map(|line| line.trim().strip_prefix("Shop ")).expect("a command");
        assert!(line.ends_with("python3 examples/shop.py") && !line.contains(token), "{banner}");
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(env!("CARGO_MANIFEST_DIR")).env("HOLDFAST_ADMIN_TOKEN", token);
        let before = client.available(1).await;
        Ran::of_shop(shell).await.receipt();
        assert_eq!(client.available(1).await, before - 1);
        process.terminate().await.expect(0);
    }
}

#[tokio::test]
async fn dev_sells_seats_with_the_example_of_its_document_and_makes_their_event_once() {
    let folder = Folder::new("dev seats");
    let (process, client) = dev(&folder).await;
    let document = client.get("/openapi.json").await.expect(200).body;
    let example = &document["components"]["schemas"]["CreateHold"]["example"];
    let held = client.post("/api/holds", example).await.expect(201);
    assert_eq!(held.body["items"][1]["seats"], json!(["A-1-6", "A-1-7"]), "{held:?}");
    client.post("/api/holds", &json!({ "product_id": 3, "qty": 2 })).await.expect(201);
    let states = async |client: &Client| {
        let map = client.get("/api/events/1/seats").await.expect(200).body;
        let rows = map["ticket_types"][0]["sections"][0]["rows"].as_array().expect("rows").clone();
        rows.iter().map(|row| row["states"].as_str().expect("states").to_owned()).collect::<Vec<_>>()
    };
    let free = "f".repeat(12);
    let expected = ["fffffhhfffff", &free, &free, &free];
    assert_eq!(states(&client).await, expected);
    assert!(process.out.text().contains("/api/events/1/seats"), "{}", process.out.text());
    process.terminate().await.expect(0);

    let (process, client) = dev(&folder).await;
    assert_eq!(states(&client).await, expected, "what was sold stays sold");
    let events = client.get("/api/events").await.expect(200).body;
    assert_eq!(events["items"].as_array().map(Vec::len), Some(1), "{events}");
    process.terminate().await.expect(0);
}

/// Returns the curl options in these commands; curl versions before 7.50 must know all of them.
fn options_of_curl(commands: &str) -> BTreeSet<&str> {
    let curl = commands.split("curl ").skip(1).map(|rest| rest.split([')', '|']).next().unwrap_or_default());
    curl.flat_map(str::split_whitespace).filter(|word| word.starts_with('-')).collect()
}

#[tokio::test]
async fn the_commands_of_the_dev_banner_work_in_any_terminal_with_any_secrets_and_do_not_show_them() {
    let folder = Folder::new("dev signs");
    let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let two = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for given in [one, two, "off", " "] {
        let (process, client) = dev_with(&folder, &[("HOLDFAST_WEBHOOK_SECRETS", given)]).await;
        let banner = process.out.text();
        for secret in ["MfKQ9", "C2FVs", "31f290f6bf", "0b6155b014"] {
            assert!(!banner.contains(secret), "{secret} in {banner}");
        }
        let commands = commands(&banner);
        assert_eq!(options_of_curl(&commands), BTreeSet::from(["-H", "-d", "-s"]), "{commands}");
        // another terminal has no secret in its environment, and its shell may not be bash
        let shell = Command::new("sh").args(["-c", &commands]).env_remove("HOLDFAST_WEBHOOK_SECRETS").output().await;
        let sold = shell.expect("sh can be started");
        let said = String::from_utf8_lossy(&sold.stdout);
        assert!(sold.status.success() && said.contains(r#""status":"processed""#), "{given}: {commands}\n{sold:?}");
        let unsigned = client.pay(&mint(), "paid", "unsigned").await;
        assert_eq!(unsigned.status, if given == "off" { 202 } else { 401 }, "{unsigned:?}");
        process.terminate().await.expect(0);
    }
}

#[tokio::test]
async fn the_commands_of_the_dev_banner_send_a_token_where_one_is_demanded() {
    let folder = Folder::new("dev demands");
    let none = "HOLDFAST_ADMIN_TOKEN";
    for (auth, secrets, (variable, token), sent) in [
        ("signature", " ", (none, ""), 2),
        ("both", " ", (none, ""), 3),
        ("token", "off", ("HOLDFAST_ADMIN_TOKEN", "a-token-that-is-given"), 3),
    ] {
        let demands = [("HOLDFAST_STOREFRONT", "token"), ("HOLDFAST_WEBHOOK_AUTH", auth)];
        let settings = [&demands[..], &[("HOLDFAST_WEBHOOK_SECRETS", secrets), (variable, token)]].concat();
        let (process, client) = dev_with(&folder, &settings).await;
        let banner = process.out.text();
        assert_eq!(banner.contains("python3 examples/shop.py"), auth == "signature", "{banner}");
        let commands = commands(&banner);
        assert_eq!(commands.matches("authorization").count(), sent, "{commands}");
        assert!(!commands.contains("a-token-that-is-given"), "{commands}");
        let shell = Command::new("sh").args(["-c", &commands]).env(variable, token).output().await;
        let sold = shell.expect("sh can be started");
        let said = String::from_utf8_lossy(&sold.stdout);
        assert!(sold.status.success() && said.contains(r#""status":"processed""#), "{auth}: {commands}\n{sold:?}");
        assert!(client.try_hold(1, 1).await.status == 401, "a token is demanded");
        process.terminate().await.expect(0);
    }
}

#[expect(clippy::disallowed_methods, reason = "a provider signs with its own clock")]
#[tokio::test]
async fn dev_accepts_signatures_with_the_secrets_that_it_is_given() {
    let folder = Folder::new("dev accepts");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let given = [("HOLDFAST_WEBHOOK_SECRETS", secret), ("HOLDFAST_ADMIN_TOKEN", "a-token-that-is-given")];
    let (process, client) = dev_with(&folder, &given).await;
    assert!(!process.out.text().contains("a-token-that-is-given"), "{}", process.out.text());
    client.send(client.request("GET", "/api/admin/clients").bearer_auth("a-token-that-is-given")).await.expect(200);
    let body = format!(r#"{{"order_id":"{}","status":"paid","txn_id":"signed"}}"#, mint());
    let signer = standardwebhooks::Webhook::new(secret).expect("a secret");
    let now = chrono::Utc::now().timestamp();
    let signature = signer.sign("a-message", now, body.as_bytes()).expect("it can be signed");
    let request = client.request("POST", "/api/payments/webhook").header("content-type", "application/json");
    let request = request.header("webhook-id", "a-message").header("webhook-timestamp", now.to_string());
    client.send(request.header("webhook-signature", signature).body(body)).await.expect(202);
    process.terminate().await.expect(0);
    for wrong in ["whsec_c2VjcmV0", "off,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
        let settings = [("HOLDFAST_WEBHOOK_SECRETS", wrong)];
        let ended = Process::start_in(&folder.0, &["dev"], &[&DEV, &settings[..]].concat()).ended().await.expect(2);
        assert!(ended.err.contains("HOLDFAST_WEBHOOK_SECRETS"), "{}", ended.err);
    }
}

#[tokio::test]
async fn dev_whose_log_has_no_reader_still_stops_its_database() {
    let folder = Folder::new("dev unlogged");
    Process::run_unread(&folder.0, &["dev"], &DEV, false).await.expect(141);
    assert_eq!(folder.database_processes(), 0);
}

#[tokio::test]
async fn dev_that_was_killed_leaves_nothing_running_and_starts_again() {
    let folder = Folder::new("dev killed");
    let (process, client) = dev(&folder).await;
    client.hold(1, 2).await;
    process.kill().await;
    let (process, client) = dev(&folder).await;
    assert_eq!(client.available(1).await, 48, "an acknowledged hold survives");
    process.kill().await;
    assert!(
        eventually(async || folder.database_processes() == 0).await,
        "the database ends with the process that owns it"
    );
}
