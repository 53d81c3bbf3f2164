//! Signatures: only messages with a valid signature are accepted.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast::config::Config;
use holdfast::domain::signature::{Secrets, SignatureError, Standard, verify_stripe};
use rand::RngExt as _;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use standardwebhooks::Webhook;

use crate::support::shop::Instance;
use crate::support::{Answer, Client, Shop, mint, together, with};

const WEBHOOK: &str = "/api/payments/webhook";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Computes HMAC-SHA256 as RFC 2104 defines it, without a library for it.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// Returns the time in Unix seconds, by the clock that the service uses, too.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(now.as_secs()).expect("a small number")
}

/// A message as it goes over the wire.
#[derive(Debug, Clone)]
struct Message {
    id: Vec<u8>,
    timestamp: Vec<u8>,
    signatures: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    /// Signed by the scheme's own library.
    fn signed(secret: &str, id: &str, at: i64, body: &str) -> Self {
        let webhook = Webhook::new(secret).expect("a secret");
        let signature = webhook.sign(id, at, body.as_bytes()).expect("a signature");
        let timestamp = at.to_string().into_bytes();
        Self { id: id.into(), timestamp, signatures: signature.into(), body: body.into() }
    }

    /// Signed with both secrets, as a sender signs while it changes its secret.
    fn signed_with_both(secrets: [&str; 2], id: &str, body: &str) -> Self {
        let messages = secrets.map(|secret| Self::signed(secret, id, now(), body));
        let signatures = messages.each_ref().map(|message| message.signatures.clone()).join(&b' ');
        let [message, _] = messages;
        Self { signatures, ..message }
    }

    /// Verifies the message as the service does, at a time that the test chooses.
    fn verify(&self, secrets: &Secrets, now: i64) -> Result<String, SignatureError> {
        let Self { id, timestamp, signatures, body } = self;
        Standard { id, timestamp, signatures }.verify(secrets, body, now).map(str::to_owned)
    }

    fn request(&self, client: &Client) -> RequestBuilder {
        self.request_with(client, self.headers())
    }

    fn request_with(&self, client: &Client, headers: HeaderMap) -> RequestBuilder {
        let request = client.request("POST", WEBHOOK).header("content-type", "application/json");
        request.headers(headers).body(self.body.clone())
    }

    async fn send(&self, client: &Client) -> Answer {
        client.send(self.request(client)).await
    }

    /// Returns its parts, to be damaged.
    fn parts(&mut self) -> [&mut Vec<u8>; 4] {
        [&mut self.id, &mut self.timestamp, &mut self.signatures, &mut self.body]
    }

    fn headers(&self) -> HeaderMap {
        let header = |name: &str, value: &[u8]| {
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_bytes(value).expect("a value"))
        };
        HeaderMap::from_iter([
            header("webhook-id", &self.id),
            header("webhook-timestamp", &self.timestamp),
            header("webhook-signature", &self.signatures),
        ])
    }
}

fn secrets(list: &str) -> Secrets {
    Secrets::standard(list).expect("secrets")
}

fn paid(order_id: &str) -> Value {
    json!({ "order_id": order_id, "status": "paid", "amount": "49.99", "currency": "EUR", "txn_id": "txn" })
}

impl Shop {
    /// A configuration that accepts signatures with these secrets.
    pub(crate) fn believing(&self, list: &str) -> Config {
        Config { webhook_secrets: Some(secrets(list)), ..self.config() }
    }

    async fn keys(&self) -> Vec<String> {
        self.rows("SELECT idempotency_key FROM payment_events ORDER BY id").await
    }
}

/// A shop with an order, and an instance that accepts signatures with [`SECRET`].
async fn shop_with_order() -> (Shop, Instance, String) {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let instance = Instance::start(shop.believing(SECRET)).await;
    let (_, order_id) = instance.hold_and_order(product_id, 1).await;
    (shop, instance, order_id)
}

/// A text of any characters, some of them of several bytes.
fn any_text(most: usize) -> String {
    let mut rng = rand::rng();
    (0..rng.random_range(0..=most)).map(|_| rng.random::<char>()).collect()
}

#[test]
fn signatures_of_the_schemes_own_library_are_accepted_and_it_accepts_ours() {
    let mut rng = rand::rng();
    for _ in 0..500 {
        let mut key = vec![0; rng.random_range(24..=64)];
        rng.fill(&mut key[..]);
        let secret = format!("whsec_{}", STANDARD.encode(&key));
        let id: String =
            (0..rng.random_range(1..=255)).map(|_| rng.random_range('!'..='~')).filter(|c| *c != '.').collect();
        let (id, body) = (format!("m{}", &id[..id.len().min(254)]), any_text(300));
        let message = Message::signed(&secret, &id, now(), &body);
        assert_eq!(message.verify(&secrets(&secret), now()), Ok(id.clone()), "{message:?}");
        assert!(message.verify(&secrets(SECRET), now()).is_err(), "{message:?}");

        let content = [id.as_bytes(), b".", &message.timestamp, b".", body.as_bytes()].concat();
        let by_hand = format!("v1,{}", STANDARD.encode(hmac(&key, &content)));
        let message = Message { signatures: by_hand.into(), ..message };
        assert_eq!(message.verify(&secrets(&secret), now()), Ok(id), "{message:?}");
        let theirs = Webhook::new(&secret).expect("a secret").verify(&message.body, &message.headers());
        assert!(theirs.is_ok(), "{message:?}: {theirs:?}");
    }
}

#[test]
fn a_body_that_is_not_text_is_verified_byte_by_byte() {
    let key = STANDARD.decode(&SECRET[6..]).expect("base64");
    let body = b"{\"\xff\x00\": \r\n 1}".to_vec();
    let signature = STANDARD.encode(hmac(&key, &[b"msg.1614265330.", &body[..]].concat()));
    let message = Message {
        id: b"msg".to_vec(),
        timestamp: b"1614265330".to_vec(),
        signatures: format!("v1,{signature}").into(),
        body,
    };
    assert_eq!(message.verify(&secrets(SECRET), 1_614_265_330), Ok("msg".to_owned()));
}

#[test]
fn a_message_with_any_byte_changed_added_or_removed_is_rejected() {
    let at = 1_614_265_330;
    let body = r#"{"order_id":"00000000-0000-0000-0000-000000000000","status":"paid"}"#;
    let message = Message::signed(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body);
    let secrets = secrets(SECRET);
    assert!(message.verify(&secrets, at).is_ok());
    for part in 0..4 {
        for position in 0..message.clone().parts()[part].len() {
            for change in 1..=255 {
                let mut damaged = message.clone();
                damaged.parts()[part][position] ^= change;
                assert!(damaged.verify(&secrets, at).is_err(), "{damaged:?}");
            }
            let mut shorter = message.clone();
            shorter.parts()[part].remove(position);
            assert!(shorter.verify(&secrets, at).is_err(), "{shorter:?}");
            let mut longer = message.clone();
            longer.parts()[part].insert(position, b'0');
            assert!(longer.verify(&secrets, at).is_err(), "{longer:?}");
        }
    }
}

#[test]
fn a_stripe_event_with_any_byte_changed_is_rejected() {
    let (secret, at) = ("whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH", 1_700_000_000);
    let body = br#"{"id":"evt_1","type":"payment_intent.succeeded"}"#.to_vec();
    let signature = hmac(secret.as_bytes(), &[b"1700000000.", &body[..]].concat());
    let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let header = format!("t={at},v1={signature}").into_bytes();
    let secrets = Secrets::stripe(secret).expect("a secret");
    assert_eq!(verify_stripe(&header, &secrets, &body, at), Ok(()));
    for (header_bytes, body_bytes) in [(header.len(), 0), (0, body.len())] {
        for position in 0..header_bytes.max(body_bytes) {
            for change in 1..=255 {
                let (mut header, mut body) = (header.clone(), body.clone());
                let damaged = if header_bytes > 0 { &mut header } else { &mut body };
                damaged[position] ^= change;
                assert!(verify_stripe(&header, &secrets, &body, at).is_err(), "{header:?} {body:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_signed_message_is_stored_under_its_own_id_unless_its_body_has_a_key() {
    let (shop, client, order_id) = shop_with_order().await;
    let event = paid(&order_id);
    let message = Message::signed(SECRET, "msg_1", now(), &event.to_string());
    assert_eq!(message.send(&client).await.expect(200).text("status"), "processed");
    // sent again with another timestamp, as by a sender that got no response
    let again = Message::signed(SECRET, "msg_1", now() - 60, &event.to_string());
    assert_eq!(again.send(&client).await.expect(200).text("status"), "duplicate");

    let keyed = with(&event, json!({ "idempotency_key": "key" })).to_string();
    for id in ["msg_2", "msg_3"] {
        Message::signed(SECRET, id, now(), &keyed).send(&client).await.expect(200);
    }
    assert_eq!(shop.keys().await, ["msg_1", "key"]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_webhook_refuses_a_message_with_any_byte_changed() {
    let (shop, client, order_id) = shop_with_order().await;
    let message = Message::signed(SECRET, "msg_1", now(), &paid(&order_id).to_string());
    let mut damaged = Vec::new();
    for part in 0..4 {
        for position in 0..message.clone().parts()[part].len() {
            let mut other = message.clone();
            other.parts()[part][position] ^= 1;
            damaged.push((client.client.clone(), other));
        }
    }
    assert!(damaged.len() > 150, "{}", damaged.len());
    for (client, damaged) in damaged {
        damaged.send(&client).await.refused(401, "invalid_signature");
    }
    assert!(shop.keys().await.is_empty());
    assert_eq!(client.order_status(&order_id).await, "pending");
    assert_eq!(message.send(&client).await.expect(200).text("order_status"), "paid");
}

#[tokio::test]
async fn a_message_without_one_complete_signature_is_refused() {
    let (shop, client, order_id) = shop_with_order().await;
    let message = Message::signed(SECRET, "msg_1", now(), &paid(&order_id).to_string());
    let unsigned = client.webhook(&with(&paid(&order_id), json!({ "idempotency_key": "k" }))).await;
    unsigned.refused(401, "invalid_signature");
    assert_eq!(unsigned.header("www-authenticate"), "Webhook-Signature");
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = message.headers();
        let value = headers.remove(name).expect("the header");
        client.send(message.request_with(&client, headers)).await.refused(401, "invalid_signature");
        let twice = message.request(&client).header(name, value);
        client.send(twice).await.refused(401, "invalid_signature");
        let with_another = message.request(&client).header(name, "1");
        client.send(with_another).await.refused(401, "invalid_signature");
    }
    let foreign = Message::signed(OTHER_SECRET, "msg_1", now(), &paid(&order_id).to_string());
    foreign.send(&client).await.refused(401, "invalid_signature");
    assert!(shop.keys().await.is_empty());
}

#[tokio::test]
async fn a_message_with_a_wrong_or_unreadable_timestamp_is_refused() {
    let (shop, client, order_id) = shop_with_order().await;
    let body = paid(&order_id).to_string();
    let times = [
        now() - 301,
        now() + 330,
        now() - 86_400,
        0,
        -1,
        1_614_265_330,
        i64::MIN,
        i64::MIN + 1,
        i64::MAX - 1,
        i64::MAX,
    ];
    for at in times {
        let answer = Message::signed(SECRET, "msg_1", at, &body).send(&client).await;
        answer.refused(401, "invalid_signature");
    }
    let message = Message::signed(SECRET, "msg_1", now(), &body);
    let digits = String::from_utf8(message.timestamp.clone()).expect("digits");
    for text in ["+", "0", "-", "1e", "0x"].map(|before| format!("{before}{digits}")) {
        let written = Message { timestamp: text.into(), ..message.clone() };
        written.send(&client).await.refused(401, "invalid_signature");
    }
    for text in ["", "now", "9223372036854775808", "99999999999999999999999999", "1.5", "1,5"] {
        let written = Message { timestamp: text.into(), ..message.clone() };
        written.send(&client).await.refused(401, "invalid_signature");
    }
    assert!(shop.keys().await.is_empty());
    for at in [now() - 240, now() + 240] {
        Message::signed(SECRET, "msg_1", at, &body).send(&client).await.expect(200);
    }
    assert_eq!(shop.keys().await, ["msg_1"]);
}

#[tokio::test]
async fn a_body_is_not_read_before_its_signature_is_verified() {
    let (shop, client, _) = shop_with_order().await;
    for body in ["", "{", "[]", "{}", r#"{"status":"lost"}"#] {
        client.post_raw(WEBHOOK, "application/json", body).await.refused(401, "invalid_signature");
        let signed = Message::signed(SECRET, "msg_1", now(), body).send(&client).await;
        assert_eq!(signed.status, 422, "{body}: {signed:?}");
    }
    assert!(shop.keys().await.is_empty());
}

#[tokio::test]
async fn a_recorded_message_sent_under_another_key_is_a_duplicate() {
    let (shop, client, order_id) = shop_with_order().await;
    let message = Message::signed(SECRET, "msg_1", now(), &paid(&order_id).to_string());
    message.send(&client).await.expect(200);
    for key in ["another", "msg_1", "", "not a key", &"k".repeat(300)] {
        let replayed = message.request(&client).header("idempotency-key", key);
        assert_eq!(client.send(replayed).await.expect(200).text("status"), "duplicate", "{key}");
    }
    let twice = message.request(&client).header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(client.send(twice).await.expect(200).text("status"), "duplicate");
    assert_eq!(shop.keys().await, ["msg_1"]);
    assert_eq!(shop.count("SELECT CAST(SUM(deliveries) AS SIGNED) FROM payment_events").await, 7);

    let keyed = with(&paid(&order_id), json!({ "idempotency_key": "in the body".replace(' ', "-") })).to_string();
    let message = Message::signed(SECRET, "msg_2", now(), &keyed);
    let contradicted = message.request(&client).header("idempotency-key", "another");
    client.send(contradicted).await.expect(200);
    assert_eq!(shop.keys().await, ["msg_1", "in-the-body"]);
}

#[tokio::test]
async fn ten_signatures_in_one_header_are_checked() {
    let (_shop, client, order_id) = shop_with_order().await;
    let message = Message::signed(SECRET, "msg_1", now(), &paid(&order_id).to_string());
    let others = format!("v1,{} ", STANDARD.encode([0; 32])).repeat(9);
    let tenth = Message { signatures: [others.as_bytes(), &message.signatures].concat(), ..message.clone() };
    assert_eq!(tenth.send(&client).await.expect(200).text("order_status"), "paid");
    let none = Message { signatures: others.trim_end().into(), ..message };
    none.send(&client).await.refused(401, "invalid_signature");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_can_change_while_payments_arrive_and_none_is_refused() {
    let shop = Shop::open().await;
    let product_id = shop.product(60).await;
    let both = format!("{OTHER_SECRET},{SECRET}");
    let instances = [Instance::start(shop.believing(&both)).await, Instance::start(shop.believing(&both)).await];
    let mut orders = Vec::new();
    for _ in 0..60 {
        orders.push(instances[0].hold_and_order(product_id, 1).await.1);
    }
    let payments = orders.iter().enumerate().map(|(number, order_id)| {
        let (id, body) = (format!("msg_{number}"), with(&paid(order_id), json!({ "txn_id": order_id })).to_string());
        let message = match number % 3 {
            0 => Message::signed(SECRET, &id, now(), &body),
            1 => Message::signed(OTHER_SECRET, &id, now(), &body),
            _ => Message::signed_with_both([OTHER_SECRET, SECRET], &id, &body),
        };
        let client = instances[number / 3 % 2].client.clone();
        async move { message.send(&client).await }
    });
    for answer in together(payments.collect::<Vec<_>>()).await {
        assert_eq!(answer.expect(200).text("order_status"), "paid");
    }
    let after = Instance::start(shop.believing(OTHER_SECRET)).await;
    let body = paid(&orders[0]).to_string();
    Message::signed(SECRET, "late", now(), &body).send(&after).await.refused(401, "invalid_signature");
    Message::signed_with_both([SECRET, OTHER_SECRET], "late", &body).send(&after).await.expect(200);
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'paid'").await, 60);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn signature_headers_are_ignored_where_verification_is_off() {
    let (shop, product_id, client) = Shop::selling(1).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let message = Message {
        id: b"a.b".to_vec(),
        timestamp: b"soon".to_vec(),
        signatures: b"v1,none".to_vec(),
        body: with(&paid(&order_id), json!({ "idempotency_key": mint() })).to_string().into(),
    };
    assert_eq!(message.send(&client).await.expect(200).text("order_status"), "paid");
    assert_ne!(shop.keys().await, ["a.b"]);
}
