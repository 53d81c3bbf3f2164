//! The example shop (`examples/shop.py`) works as docs/integrate.md tells it, and ends with an error where it must.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use holdfast::config::Config;
use holdfast::domain::signature::Secrets;
use holdfast::domain::{EndpointSecret, StorefrontMode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::shared::config;
use super::{ENDPOINTS, ask, read_request};
use crate::clients::OPERATOR;
use crate::feed::number;
use crate::signatures::now;
use crate::support::{Client, Instance, Shop, mint};

/// The secret of the payment provider.
pub(super) const PAYMENT_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What an endpoint of the example gets.
const TYPES: [&str; 3] = ["order.paid", "order.cancelled", "order.refunded"];

/// A service as a shop finds it: tokens are demanded, payments are signed, and pushes go to this machine.
pub(super) fn demanding(shop: &Shop) -> Config {
    let webhook_secrets = Some(Secrets::standard(PAYMENT_SECRET).expect("a secret"));
    Config { webhook_secrets, storefront: StorefrontMode::Token, ..config(shop) }
}

/// Returns an address for one run of the example, which no other process uses: it has the id of this process.
fn own_address() -> String {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("127.{}.{middle}.{low}:{}", 1 + high % 64, 8090 + COUNT.fetch_add(1, Ordering::Relaxed))
}

/// How the example ended.
#[derive(Debug)]
pub(crate) struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// Runs a command of a shell that starts the example, with an address of its own.
    pub(crate) async fn of_shop(mut shell: Command) -> Self {
        shell.env("LISTEN", own_address()).env("PYTHONDONTWRITEBYTECODE", "1");
        Self::of(shell).await
    }

    /// Waits for the end of this command.
    async fn of(mut command: Command) -> Self {
        let output = command.kill_on_drop(true).output().await;
        let output = output.expect("python3 can be started: the example needs it, and so does this test");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Checks the receipt, and returns the ids of the order and of its event.
    pub(crate) fn receipt(&self) -> (String, String) {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        let lines: Vec<&str> = self.out.lines().skip_while(|line| !line.starts_with("receipt R-")).skip(1).collect();
        let &[order, event, item, total] = lines.as_slice() else { panic!("{self:?}") };
        let order = order.strip_prefix("  order ").and_then(|rest| rest.strip_suffix(": paid")).expect("an order");
        let event = event.strip_prefix("  event ").and_then(|rest| rest.strip_suffix(", by push and by feed"));
        assert_eq!([item, total], ["  1 x product 1 at 49.99", "  total 49.99 EUR"]);
        assert_eq!(self.sent(order), 1, "{self:?}");
        (order.to_owned(), event.expect("an event").to_owned())
    }

    /// Counts how often the goods of this order were sent.
    fn sent(&self, order_id: &str) -> usize {
        self.out.lines().filter(|line| *line == format!("send the goods of order {order_id}")).count()
    }

    /// Checks that it failed, and that the last line gives this reason.
    fn failed(&self, reason: &str) {
        let last = self.err.lines().last().unwrap_or_default();
        assert!(self.code == Some(1) && last.starts_with("shop: ") && last.contains(reason), "{reason}: {self:?}");
        assert!(!self.out.contains("receipt") && !self.err.contains("Traceback"), "{self:?}");
    }
}

/// The example, with these settings and no other ones.
fn example(service: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop.py"));
    for name in ["SHOP_TOKEN", "PUSH_SECRET", "PAYMENT_SECRET", "OPERATOR_TOKEN", "LISTEN", "PRODUCT_ID"] {
        command.env_remove(name);
    }
    command.env("SERVICE_URL", service).env("PYTHONDONTWRITEBYTECODE", "1").envs(settings.iter().copied());
    command
}

/// What the operator gives a shop.
struct Given {
    token: String,
    secret: String,
    address: String,
}

impl Given {
    /// Makes a client and an endpoint for it.
    async fn by_operator(client: &Client) -> Self {
        let (body, address) = (json!({ "name": "web-shop", "role": "storefront" }), own_address());
        let added = ask(client, "POST", "/api/admin/clients", Some(body)).await.expect(201);
        let body = json!({ "url": format!("http://{address}/"), "types": TYPES, "client_id": added.body["id"] });
        let secret = ask(client, "POST", ENDPOINTS, Some(body)).await.expect(201).text("secret");
        Self { token: added.text("token"), secret, address }
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        let own = [("SHOP_TOKEN", &self.token), ("PUSH_SECRET", &self.secret), ("LISTEN", &self.address)];
        let own = own.map(|(name, value)| (name, value.as_str()));
        [&own[..], &[("PAYMENT_SECRET", PAYMENT_SECRET)]].concat()
    }
}

fn url(client: &Client) -> String {
    format!("http://{}", client.address())
}

/// Returns the events of the feed about this order, as operators read them.
async fn told(client: &Client, order_id: &str) -> Vec<Value> {
    let read = client.send(client.request("GET", "/api/feed").bearer_auth(OPERATOR)).await.expect(200);
    let items = read.body["items"].as_array().expect("items").clone();
    items.into_iter().filter(|event| event["data"]["order_id"] == order_id).collect()
}

#[tokio::test]
async fn the_example_shop_sells_with_the_token_of_an_operator_and_leaves_no_endpoint() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instance = Instance::start(demanding(&shop)).await;
    let address = own_address();
    let settings = [("OPERATOR_TOKEN", OPERATOR), ("PAYMENT_SECRET", PAYMENT_SECRET), ("LISTEN", &address)];
    for sold in 1..=2 {
        let (order_id, event_id) = Ran::of(example(&url(&instance), &settings)).await.receipt();
        let paid = told(&instance, &order_id).await.into_iter().find(|event| event["type"] == "order.paid");
        assert_eq!(paid.expect("it is in the feed")["id"], event_id);
        assert_eq!(shop.reserved(product_id).await, sold);
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM endpoints WHERE deleted_at IS NULL").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_example_shop_ends_with_the_reason_when_it_cannot_sell() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let sold_out = shop.product(0).await.to_string();
    let instance = Instance::start(demanding(&shop)).await;
    let given = Given::by_operator(&instance).await;
    let stranger = EndpointSecret::mint().reveal();
    let wrong_push = "; 1 pushes refused: is PUSH_SECRET that of the endpoint?";
    for (name, value, reason) in [
        ("PRODUCT_ID", sold_out.as_str(), "POST /api/holds: 409 sold_out: "),
        ("PRODUCT_ID", "99", "POST /api/holds: 404 product_not_found: "),
        ("SHOP_TOKEN", "", "set PAYMENT_SECRET, and OPERATOR_TOKEN or both SHOP_TOKEN and PUSH_SECRET: "),
        ("SHOP_TOKEN", "hf_storefront_x", "POST /api/holds: 401 unauthorized: "),
        ("OPERATOR_TOKEN", "not-the-token-of-operators", "POST /api/admin/clients: 401 unauthorized: "),
        ("PUSH_SECRET", "secret", "a secret must be whsec_ and base64"),
        ("LISTEN", "192.0.2.1:8090", "Cannot assign requested address"),
        ("PAYMENT_SECRET", &stranger, "POST /api/payments/webhook: 401 invalid_signature: "),
        ("PUSH_SECRET", &stranger, wrong_push),
    ] {
        let settings = [&given.settings()[..], &[(name, value)]].concat();
        Ran::of(example(&url(&instance), &settings)).await.failed(reason);
    }
    assert_eq!(shop.reserved(product_id).await, 2, "one is paid, one is not");
}

#[tokio::test]
async fn the_example_shop_refuses_pushes_that_are_forged_or_stale_and_acts_once_on_a_repeated_one() {
    let shop = Shop::open().await;
    shop.product(1).await;
    // the test tells and pushes itself
    let api = shop.serve_without_workers_as(demanding(&shop)).await;
    let given = Given::by_operator(&api).await;
    let running = tokio::spawn(Ran::of(example(&url(&api), &given.settings())));
    shop.until("SELECT COUNT(*) FROM orders WHERE status = 'paid'", 1).await;

    let (other, at) = (mint(), now());
    let other_id = "evt_1_0";
    let body = json!({ "id": other_id, "type": "order.paid", "data": { "order_id": other } }).to_string();
    let sign = |secret: &str, id: &str, at: i64, body: &str| {
        Webhook::new(secret).expect("a secret").sign(id, at, body.as_bytes()).expect("it signs")
    };
    let right = sign(&given.secret, other_id, at, &body);
    let wrong = sign(&EndpointSecret::mint().reveal(), other_id, at, &body);
    let (early, late) = (at - 330, at + 330);
    let receiver = Client::new(given.address.parse().expect("an address"));
    let push = async |id: &str, at: i64, signature: &str, body: &str| {
        let request = receiver.request("POST", "/").header("webhook-id", id).header("webhook-timestamp", at);
        receiver.send(request.header("webhook-signature", signature).body(body.to_owned())).await.status
    };
    assert_eq!(push(other_id, at, &wrong, &body).await, 401);
    assert_eq!(push(other_id, at, "", &body).await, 401);
    assert_eq!(push(other_id, at, &right, &body.replace("paid", "past")).await, 401);
    assert_eq!(push(other_id, early, &sign(&given.secret, other_id, early, &body), &body).await, 401);
    assert_eq!(push(other_id, late, &sign(&given.secret, other_id, late, &body), &body).await, 401);
    receiver.send(receiver.request("POST", "/")).await.expect(401);
    for signatures in [&right, &format!("{wrong} {right}")] {
        assert_eq!(push(other_id, at, signatures, &body).await, 204);
    }

    number(&api.app).await;
    let order_id: String = shop.row("SELECT LOWER(HEX(id)) FROM orders").await;
    let order_id = order_id.parse::<uuid::Uuid>().expect("an id").to_string();
    let paid = told(&api, &order_id).await.into_iter().find(|event| event["type"] == "order.paid").expect("told");
    let (id, body) = (paid["id"].as_str().expect("an id"), paid.to_string());
    assert_eq!(push(id, at, &sign(&given.secret, id, at, &body), &body).await, 204);
    let ran = running.await.expect("it ends");
    assert_eq!(ran.receipt(), (order_id, id.to_owned()));
    assert_eq!(ran.sent(&other), 1, "{ran:?}");
}

/// What a front does with a request before it lets the next ones of its kind through.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Passes the request on, and closes the connection instead of the answer.
    LoseAnswer,
    /// Answers with this status and code, and passes nothing on.
    Answer(u16, &'static str),
}

/// A front of a service that makes these faults, each once, and returns its URL and the requests that came.
async fn front(service: &Client, faults: Vec<(&'static str, Fault)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (url, service) = (format!("http://{}", listener.local_addr().expect("an address")), service.address());
    let (came, faults) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(faults)));
    let requests = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (requests, faults) = (Arc::clone(&requests), Arc::clone(&faults));
            tokio::spawn(async move {
                let request = read_request(&mut client, &mut Vec::new()).await.expect("a request").expect("one");
                requests.lock().expect("no panic").push(request.head.clone());
                let fault = {
                    let mut faults = faults.lock().expect("no panic");
                    let place = faults.iter().position(|(start, _)| request.head.starts_with(start));
                    place.map(|place| faults.remove(place).1)
                };
                if let Some(Fault::Answer(status, code)) = fault {
                    let body = json!({ "code": code, "detail": "a detail" }).to_string();
                    let head = format!("HTTP/1.1 {status} x\r\nretry-after: 0\r\ncontent-length: {}", body.len());
                    return client.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
                }
                let mut upstream = TcpStream::connect(service).await?;
                upstream.write_all(&[request.head.as_bytes(), b"\r\n\r\n", &request.body].concat()).await?;
                let mut answer = Vec::new();
                upstream.read_to_end(&mut answer).await?;
                match fault {
                    Some(_) => Ok(()),
                    None => client.write_all(&answer).await,
                }
            });
        }
    });
    (url, came)
}

#[tokio::test]
async fn the_example_shop_sells_once_when_answers_are_lost_and_reads_the_feed_again_after_a_reset() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instance = Instance::start(demanding(&shop)).await;
    let given = Given::by_operator(&instance).await;
    let faults = vec![
        ("POST /api/holds", Fault::LoseAnswer),
        ("POST /api/holds", Fault::Answer(503, "overloaded")),
        ("POST /api/holds", Fault::Answer(429, "rate_limited")),
        ("POST /api/orders", Fault::LoseAnswer),
        ("POST /api/payments/webhook", Fault::LoseAnswer),
        ("GET /api/feed", Fault::Answer(410, "cursor_reset")),
    ];
    let (url, came) = front(&instance, faults).await;
    Ran::of(example(&url, &given.settings())).await.receipt();
    let counts: (i64, i64, i64) = shop
        .row(
            "SELECT (SELECT COUNT(*) FROM holds), (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM payment_events)",
        )
        .await;
    assert_eq!((counts, shop.reserved(product_id).await), ((1, 1, 1), 1));
    let came = came.lock().expect("no panic").clone();
    let count = |start: &str| came.iter().filter(|head| head.starts_with(start)).count();
    let sent = ["POST /api/holds", "POST /api/orders", "POST /api/payments", "GET /api/feed"].map(count);
    assert_eq!(sent, [4, 2, 2, 2], "{came:?}");
    shop.assert_conserved().await;
}
