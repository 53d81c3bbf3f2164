//! A real shop that takes the same steps as the reference.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use holdfast::config::Config;
use holdfast::domain::WebhookMode;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::reference::{Charge, QTY, State};
use super::steps::{By, Event, Meaning, Step};
use crate::support::{Answer, Bare, Shop, binary, mint, with, with_policy};

/// Two instances over one database. Only the test changes it, one scenario after the other.
pub(super) struct Stage {
    pub(super) shop: Shop,
    pub(super) instances: [Bare; 2],
    conn: Mutex<Conn>,
}

/// Name, key of its owner, state, amount, refunded, restock, whether its order is known, whether its hold is known.
type ChargeRow = (String, String, String, Option<i64>, i64, bool, bool, bool);

/// One scenario's own product, hold and order.
#[derive(Debug, Clone)]
pub(super) struct Case {
    number: usize,
    product_id: i64,
    /// Whether its units are seats.
    is_seated: bool,
    /// The second product of a cart.
    second: Option<i64>,
    hold_id: String,
    order_id: String,
    stranger: String,
}

impl Stage {
    /// Opens a stage. `second` is the webhook mode of the second instance.
    pub(super) async fn open(second: WebhookMode) -> Arc<Self> {
        let shop = Shop::open().await;
        let config = with_policy(Config { pool_size: 8, ..shop.config() }, |policy| {
            (policy.hold_ttl_seconds, policy.order_ttl_seconds) = (86_400, 86_400);
            policy.max_hold_seconds = 2_592_000;
        });
        let first = shop.serve_without_workers_as(config.clone()).await;
        let second = shop.serve_without_workers_as(with_policy(config, |policy| policy.webhook_mode = second)).await;
        let conn = Mutex::new(shop.sql().await);
        Arc::new(Self { shop, instances: [first, second], conn })
    }

    /// Makes two products and a hold for each of these stocks, one for each scenario; the hold is a cart, and its units are seats, where
    /// it says so.
    pub(super) async fn prepare(&self, stocks: &[(i64, bool, bool)]) -> Vec<Case> {
        let pair = |&(stock, _, is_seated): &(i64, bool, bool)| {
            let kind = if is_seated { "'seated'" } else { "NULL" };
            format!("('A thing', 4999, 'EUR', {stock}, {kind}), ('A gift', 0, 'EUR', 1, NULL)")
        };
        let rows: Vec<String> = stocks.iter().map(pair).collect();
        let columns = "name, price_minor, currency, stock, kind";
        let insert = format!("INSERT INTO products ({columns}) VALUES {}", rows.join(", "));
        let first = {
            let mut conn = self.conn.lock().await;
            conn.query_drop(insert).await.expect("products can be inserted");
            i64::try_from(conn.last_insert_id().expect("an id")).expect("a small id")
        };
        self.make_seats(first, stocks).await;
        let hold = async |place: usize| {
            let product_id = first + 2 * place as i64;
            let (_, is_cart, is_seated) = stocks[place];
            let second = is_cart.then_some(product_id + 1);
            let lines: Vec<Value> =
                [Some(line(product_id, is_seated)), second.map(|second| json!({ "product_id": second, "qty": 1 }))]
                    .into_iter()
                    .flatten()
                    .collect();
            let taken = self.instances[0].post("/api/holds", &json!({ "items": lines })).await;
            let hold_id = taken.expect(201).text("hold_id");
            Case {
                number: product_id as usize,
                product_id,
                is_seated,
                second,
                hold_id,
                order_id: mint(),
                stranger: mint(),
            }
        };
        // each waits for its own answer alone
        stream::iter(0..stocks.len()).map(hold).buffered(4).collect().await
    }

    /// Makes the seats of the products that have some, whose ids are `first` and every second one.
    async fn make_seats(&self, first: i64, stocks: &[(i64, bool, bool)]) {
        let ids = (first..).step_by(2);
        let seats = ids.zip(stocks).filter(|(_, (.., is_seated))| *is_seated).flat_map(|(product_id, &(stock, ..))| {
            (1..=stock).map(move |n| format!("({product_id}, {n}, 'A', '1', 'A-1-{n}', 1, {n}, 1)"))
        });
        let seats: Vec<String> = seats.collect();
        if !seats.is_empty() {
            let columns = "product_id, n, section, row_name, label, row_n, place, row_rank";
            self.execute(&format!("INSERT INTO seats ({columns}) VALUES {}", seats.join(", "))).await;
        }
    }

    /// Takes one step on one instance and returns its answer. `form` selects one of several forms with the same meaning.
    pub(super) async fn take(&self, case: &Case, step: &Step, instance: usize, form: u64) -> String {
        let client = &self.instances[instance];
        let checkout = &client.app.checkout;
        let answer = match step {
            Step::Order => client.try_order_as(&case.hold_id, &case.order_id).await,
            Step::Deliver(event) => return self.deliver(case, event, instance, form).await,
            Step::Cancel => client.cancel(&case.order_id).await,
            Step::Release => client.release(&case.hold_id).await,
            Step::Reduce => {
                let request = client.request("PATCH", &format!("/api/holds/{}", case.hold_id));
                let kept = match case.second {
                    Some(_) => json!({ "items": [{ "product_id": case.product_id, "qty": 1 }] }),
                    None => json!({ "qty": 1 }),
                };
                client.send(request.json(&kept)).await
            }
            Step::ExtendHold => {
                client.post(&format!("/api/holds/{}/extend", case.hold_id), &json!({ "seconds": 60 })).await
            }
            Step::ExtendOrder => {
                client.post(&format!("/api/orders/{}/extend", case.order_id), &json!({ "seconds": 60 })).await
            }
            Step::Rival => match told(&rival(client, case).await) {
                refused if refused.starts_with("409") => return "409".to_owned(),
                told => return told,
            },
            Step::HoldRunsOut => return self.run_out(&format!("id = {}", binary(&case.hold_id))).await,
            Step::RivalsRunOut => {
                let of_others = format!("product_id = {} AND id <> {}", case.product_id, binary(&case.hold_id));
                return self.run_out(&of_others).await;
            }
            Step::OrderRunsOut => {
                self.shop.let_order_run_out(&case.order_id).await;
                return String::new();
            }
            Step::ExpireHolds => return worked(checkout.expire_holds().await),
            Step::CancelOverdue => return worked(checkout.cancel_overdue_orders().await),
            // other events may wait for one that the first sweep settles
            Step::Sweep => {
                let _ = worked(checkout.sweep_parked().await);
                return worked(checkout.sweep_parked().await);
            }
            Step::GiveUp => {
                let past = "SET park_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, due_at = park_until";
                self.execute(&format!("UPDATE payment_events {past} WHERE status = 'parked' AND {}", case.ours()))
                    .await;
                for _ in 0..3 {
                    self.work_off(case).await;
                }
                return String::new();
            }
        };
        told(&answer)
    }

    /// Runs a statement of the test, again after a deadlock with the service: it locks rows in the order of an index.
    async fn execute(&self, statement: &str) {
        let mut conn = self.conn.lock().await;
        loop {
            match conn.query_drop(statement).await {
                Err(mysql_async::Error::Server(error)) if error.code == 1213 => {}
                done => return done.expect("the statement runs"),
            }
        }
    }

    async fn run_out(&self, which: &str) -> String {
        let past = "SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, returns_at = expires_at";
        self.execute(&format!("UPDATE holds {past} WHERE status = 'active' AND {which}")).await;
        String::new()
    }

    async fn deliver(&self, case: &Case, event: &Event, instance: usize, form: u64) -> String {
        let client = &self.instances[instance];
        let request = client.request("POST", "/api/payments/webhook");
        let (body, in_header) = (case.body(event, form), form & 1 == 1 && !event.key.contains('~'));
        let request = match in_header {
            true => request.header("idempotency-key", case.name(event.key)),
            false => request,
        };
        let changes = if in_header { json!({ "idempotency_key": null }) } else { json!({}) };
        let answer = client.send(request.json(&with(&body, changes))).await;
        let word = |field: &str| answer.body[field].as_str().unwrap_or_default().to_owned();
        match answer.status {
            200 | 202 => [answer.status.to_string(), word("status"), word("event_status"), word("order_status")]
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            _ => told(&answer),
        }
    }

    /// Makes all postponed attempts due now, and runs the inbox worker.
    async fn work_off(&self, case: &Case) {
        let due = "UPDATE payment_events SET due_at = UTC_TIMESTAMP(6) WHERE status = 'received'";
        self.execute(&format!("{due} AND {}", case.ours())).await;
        let _ = worked(self.instances[0].app.checkout.process_due_events().await);
    }

    /// Runs the workers until nothing is left to do.
    pub(super) async fn drain(&self, case: &Case) {
        let checkout = &self.instances[0].app.checkout;
        for _ in 0..10 {
            self.work_off(case).await;
            let _ = worked(checkout.expire_holds().await);
            let _ = worked(checkout.sweep_parked().await);
            let received = format!("SELECT COUNT(*) FROM payment_events WHERE status = 'received' AND {}", case.ours());
            if self.shop.count(&received).await == 0 {
                break;
            }
        }
        let _ = worked(checkout.cancel_overdue_orders().await);
        for _ in 0..2 {
            let _ = worked(checkout.sweep_parked().await);
        }
    }

    /// Reads the result of a scenario. Deletes its parked events, so that they do not slow down later scenarios.
    pub(super) async fn state(&self, case: &Case) -> State {
        let (order, hold, ours) = (binary(&case.order_id), binary(&case.hold_id), case.ours());
        let query = format!(
            "SELECT status, (SELECT reserved FROM products WHERE id = product_id) FROM holds WHERE id = {hold}
             ORDER BY product_id;
             SELECT status, refunded_minor, restocked FROM orders WHERE id = {order};
             SELECT CONCAT_WS(':', CONCAT(COALESCE(from_status, ''), '>', to_status), reason, idempotency_key)
             FROM order_events LEFT JOIN payment_events ON payment_events.id = payment_event_id
             WHERE order_events.order_id = {order} ORDER BY order_events.id;
             SELECT idempotency_key, status, deliveries FROM payment_events WHERE {ours};
             SELECT name, idempotency_key, charges.status, amount_minor, refunded_minor, charges.restock,
                    charges.order_id IS NOT NULL, charges.hold_id IS NOT NULL
             FROM charges JOIN payment_events ON id = event_id
             WHERE charges.order_id = {order} OR charges.hold_id = {hold};
             DELETE FROM payment_events WHERE status = 'parked' AND {ours}"
        );
        let mut conn = self.conn.lock().await;
        let mut results = conn.query_iter(query).await.expect("the query runs");
        let lines: Vec<(String, i64)> = results.collect().await.expect("rows");
        let [(hold, first), others @ ..] = &lines[..] else { panic!("the hold has no row") };
        assert_eq!(others.len(), usize::from(case.second.is_some()), "{lines:?}");
        assert!(others.iter().all(|(other, _)| other == hold), "a hold ends as a whole: {lines:?}");
        let (hold, reserved) = (hold.clone(), (*first, others.first().map_or(0, |other| other.1)));
        let order = results.collect().await.expect("rows").pop();
        let trail: Vec<String> = results.collect().await.expect("rows");
        let events: Vec<(String, String, i64)> = results.collect().await.expect("rows");
        let charges: Vec<ChargeRow> = results.collect().await.expect("rows");
        results.drop_result().await.expect("the last result");
        let ours = |name: &str| case.plain(name);
        let charge = |(name, owner, status, amount, refunded, restock, order, hold): ChargeRow| {
            (ours(&name), Charge { owner: ours(&owner), status, amount, refunded, restock, knows: (order, hold) })
        };
        State {
            hold,
            order,
            trail: trail.iter().map(|line| ours(line)).collect(),
            events: events.into_iter().map(|(key, status, deliveries)| (ours(&key), (status, deliveries))).collect(),
            charges: charges.into_iter().map(charge).collect(),
            reserved,
        }
    }
}

/// A line of so many units, or of the seats that all want.
fn line(product_id: i64, is_seated: bool) -> Value {
    match is_seated {
        true => {
            let labels: Vec<String> = (1..=QTY).map(|seat| format!("A-1-{seat}")).collect();
            json!({ "product_id": product_id, "seats": labels })
        }
        false => json!({ "product_id": product_id, "qty": QTY }),
    }
}

async fn rival(client: &Bare, case: &Case) -> Answer {
    match case.is_seated {
        true => client.post("/api/holds", &json!({ "items": [line(case.product_id, true)] })).await,
        false => client.try_hold(case.product_id, QTY).await,
    }
}

/// Returns the empty answer of a worker's step, which must succeed.
fn worked(done: Result<bool, holdfast::checkout::Error>) -> String {
    done.expect("the step runs");
    String::new()
}

fn told(answer: &Answer) -> String {
    match answer.status {
        200 | 201 => format!("{} {}", answer.status, answer.text("status")),
        status => format!("{status} {}", answer.code()),
    }
}

impl Case {
    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.number)
    }

    /// Turns a name back into the reference's name.
    fn plain(&self, name: &str) -> String {
        name.replace(&format!("{}-", self.number), "").replace('\u{1f}', "~")
    }

    fn ours(&self) -> String {
        format!("(order_id = {} OR hold_id = {})", binary(&self.order_id), binary(&self.hold_id))
    }

    fn body(&self, event: &Event, form: u64) -> Value {
        let pick = |shift: u32, words: [&'static str; 3]| words[(form >> shift) as usize % words.len()];
        let status = match event.meaning {
            Meaning::Succeeded => pick(1, ["paid", "success", "succeeded"]),
            Meaning::Failed => pick(1, ["failed", "failure", "cancelled"]),
            Meaning::Refunded => "refunded",
        };
        let order_field = pick(3, ["order_id", "order_uuid", "order_id"]);
        let order_id = (event.by != By::Hold).then_some(&self.order_id);
        let hold_id = match event.by {
            By::Order => None,
            By::Hold | By::Both => Some(&self.hold_id),
            By::Stranger => Some(&self.stranger),
        };
        let (major, minor) = (event.amount.unwrap_or(0) / 100, event.amount.unwrap_or(0) % 100);
        let amount = event.amount.map(|cents| match form >> 5 & 3 {
            0 => json!(format!("{major}.{minor:02}")),
            1 => json!(format!("{major}.{minor:02}000")),
            2 => json!(format!("{cents}e-2")),
            _ => format!("{major}.{minor:02}").parse::<f64>().map_or(Value::Null, |number| json!(number)),
        });
        let currency = event.amount.map(|_| pick(7, ["EUR", "eur", "Eur"]));
        let key = (!event.key.contains('~')).then(|| self.name(event.key));
        let body = json!({
            "status": status, "hold_id": hold_id, "amount": amount, "currency": currency, "idempotency_key": key,
            "txn_id": event.txn.map(|name| self.name(name)), "restock": event.restock.then_some(true),
            "correlation_id": format!("{form:x}"), "timestamp": form,
        });
        with(&with(&body, json!({})), json!({ order_field: order_id }))
    }
}

/// Time after which a step counts as waiting for a lock of the step that is held back.
pub(super) const GRACE: Duration = Duration::from_millis(30);
