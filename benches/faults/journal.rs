//! All responses that clients got, and the ledger of everything that was acknowledged.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ground::Ground;

/// The kind of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A hold of the hot product.
    Hot,
    /// A hold of another product with plenty of stock.
    Other,
    /// A hold of a product that sells out.
    Scarce,
    /// A hold of the hot product in a flood.
    Flood,
    Order,
    Payment,
    Healthz,
    Readyz,
    /// `GET /healthz` on a connection of its own.
    Newcomer,
    /// `GET /healthz` to a service that logs every request while its log is not read.
    Logged,
}

impl Kind {
    /// Whether it is a request of a buyer.
    fn sells(self) -> bool {
        !matches!(self, Self::Healthz | Self::Readyz | Self::Newcomer | Self::Logged)
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) kind: Kind,
    pub(crate) asked: Instant,
    pub(crate) took: Duration,
    /// `None` without a response.
    pub(crate) status: Option<u16>,
    /// Whether the response has `Retry-After`.
    pub(crate) retry_after: bool,
}

/// The outcome of a request, as its client knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Acknowledged,
    Refused,
    /// The service may or may not have done it.
    Unknown,
}

impl Sample {
    fn outcome(&self) -> Outcome {
        match self.status {
            Some(200..300) => Outcome::Acknowledged,
            Some(400..500) => Outcome::Refused,
            Some(503) if self.retry_after => Outcome::Refused,
            _ => Outcome::Unknown,
        }
    }

    pub(crate) fn is_acknowledged(&self) -> bool {
        self.outcome() == Outcome::Acknowledged
    }
}

/// States of a payment event in which its amount is accounted for.
const EVENT_STATES: [&str; 7] = ["received", "parked", "applied", "ignored", "quarantined", "refund_due", "refunded"];

/// The records of all clients of one fault. Ids are in upper-case hexadecimal digits.
#[derive(Default)]
pub(crate) struct Journal {
    samples: Mutex<Vec<Sample>>,
    ledger: Mutex<Ledger>,
}

/// Everything that was acknowledged.
#[derive(Default)]
struct Ledger {
    /// Ids of holds, each with the product's id.
    holds: Vec<(String, i64)>,
    orders: Vec<String>,
    /// Orders whose payment was answered with `processed` or `duplicate`.
    paid: Vec<String>,
    /// Orders whose payment got another 2xx response: it waits, is due for refund, or is quarantined.
    received: Vec<String>,
}

/// Returns the digits of a UUID as HEX of the database shows them.
pub(crate) fn digits(id: &str) -> String {
    id.replace('-', "").to_uppercase()
}

impl Journal {
    pub(crate) fn answered(&self, sample: Sample) {
        lock(&self.samples).push(sample);
    }

    pub(crate) fn held(&self, hold_id: &str, product_id: i64) {
        lock(&self.ledger).holds.push((digits(hold_id), product_id));
    }

    pub(crate) fn ordered(&self, order_id: &str) {
        lock(&self.ledger).orders.push(digits(order_id));
    }

    pub(crate) fn paid(&self, order_id: &str, processed: bool) {
        let mut ledger = lock(&self.ledger);
        let payments = if processed { &mut ledger.paid } else { &mut ledger.received };
        payments.push(digits(order_id));
    }

    /// Returns the time from `since` to the first response after it that acknowledges a hold of the hot product.
    pub(crate) fn recovered(&self, since: Instant) -> Option<Duration> {
        let samples = lock(&self.samples);
        let holds = samples.iter().filter(|sample| sample.kind == Kind::Hot && sample.is_acknowledged());
        let answered = holds.map(|sample| sample.asked + sample.took).filter(|answered| *answered >= since);
        answered.min().map(|answered| answered - since)
    }

    /// Returns the requests that were sent in this window.
    pub(crate) fn window(&self, from: Instant, to: Instant) -> Window {
        let samples = lock(&self.samples);
        let within = samples.iter().filter(|sample| (from..to).contains(&sample.asked)).copied().collect();
        Window { samples: within, length: to - from }
    }

    /// Returns the requests that were under way at any moment of this window.
    pub(crate) fn under_way(&self, from: Instant, to: Instant) -> Window {
        let samples = lock(&self.samples);
        let overlaps = |sample: &&Sample| sample.asked < to && sample.asked + sample.took >= from;
        Window { samples: samples.iter().filter(overlaps).copied().collect(), length: to - from }
    }

    /// Compares everything acknowledged with the database; `scarce` is the id and the stock of the product that sells out.
    /// Returns a text for each difference.
    pub(crate) async fn reconcile(&self, ground: &Ground, scarce: (i64, i64)) -> Vec<String> {
        let mut wrong = Vec::new();
        let holds = "SELECT HEX(id), IF(status IN ('active', 'ordered'), CAST(status AS CHAR),
                                        IF(expires_at <= NOW(6), 'ran out', 'ended early')) FROM holds";
        let orders = "SELECT HEX(id), IF(status <> 'cancelled', CAST(status AS CHAR),
                                         IF(pay_by <= NOW(6), 'ran out', 'ended early')) FROM orders";
        let events = "SELECT HEX(order_id), MAX(CAST(status AS CHAR)) FROM payment_events
                      WHERE order_id IS NOT NULL GROUP BY order_id";
        let (holds, orders) = (ground.states(holds).await, ground.states(orders).await);
        let events = ground.states(events).await;
        let oversold: i64 = ground.value("SELECT COUNT(*) FROM products WHERE reserved < 0 OR reserved > stock").await;
        if oversold > 0 {
            wrong.push(format!("{oversold} products are oversold"));
        }
        let ledger = lock(&self.ledger);
        let entries = [
            (&ledger.held(), &holds, "hold", &["active", "ordered", "ran out"][..]),
            (&ledger.orders, &orders, "order", &["pending", "paid", "ran out"]),
            (&ledger.paid, &orders, "payment of order", &["paid"]),
            (&ledger.received, &events, "payment event of order", &EVENT_STATES),
        ];
        for (ids, states, what, explained) in entries {
            let state = |id| states.get(id).map_or("missing", String::as_str);
            let lost = ids.iter().filter(|id| !explained.contains(&state(*id)));
            wrong.extend(lost.map(|id| format!("{what} {id} was acknowledged and is {}", state(id))));
        }
        let (product_id, stock) = scarce;
        let kept = |id: &String| holds.get(id).is_some_and(|state| state != "ran out");
        let sold = ledger.holds.iter().filter(|(id, product)| *product == product_id && kept(id)).count();
        if sold as i64 > stock {
            wrong.push(format!("{sold} holds of {stock} units were acknowledged"));
        }
        wrong
    }
}

impl Ledger {
    fn held(&self) -> Vec<String> {
        self.holds.iter().map(|(id, _)| id.clone()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The requests of a window of time.
pub(crate) struct Window {
    samples: Vec<Sample>,
    length: Duration,
}

impl Window {
    /// Returns the requests of one kind.
    pub(crate) fn of(&self, kind: Kind) -> Self {
        self.filtered(|sample| sample.kind == kind)
    }

    /// Returns the requests of buyers.
    pub(crate) fn sales(&self) -> Self {
        self.filtered(|sample| sample.kind.sells())
    }

    pub(crate) fn acknowledged(&self) -> Self {
        self.filtered(Sample::is_acknowledged)
    }

    pub(crate) fn refused(&self) -> Self {
        self.filtered(|sample| sample.outcome() == Outcome::Refused)
    }

    pub(crate) fn unknown(&self) -> Self {
        self.filtered(|sample| sample.outcome() == Outcome::Unknown)
    }

    /// Returns the requests whose response has this status.
    pub(crate) fn status(&self, status: u16) -> Self {
        self.filtered(|sample| sample.status == Some(status))
    }

    fn filtered(&self, keep: impl Fn(&Sample) -> bool) -> Self {
        Self { samples: self.samples.iter().filter(|sample| keep(sample)).copied().collect(), length: self.length }
    }

    pub(crate) fn count(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() as f64 / self.length.as_secs_f64()
    }

    /// Returns the latency at this quantile; `None` without requests.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let mut took: Vec<Duration> = self.samples.iter().map(|sample| sample.took).collect();
        took.sort_unstable();
        let position = (took.len() as f64 * share) as usize;
        took.get(position.min(took.len().saturating_sub(1))).copied()
    }

    /// Returns the count of each status, `-` for no response: `200×5 503×2`.
    pub(crate) fn statuses(&self) -> String {
        let mut counts: BTreeMap<Option<u16>, usize> = BTreeMap::new();
        for sample in &self.samples {
            *counts.entry(sample.status).or_default() += 1;
        }
        let name = |status: Option<u16>| status.map_or("-".to_owned(), |status| status.to_string());
        let shown: Vec<String> =
            counts.into_iter().map(|(status, count)| format!("{}×{count}", name(status))).collect();
        shown.join(" ")
    }
}
